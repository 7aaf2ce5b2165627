package export

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"ledger.internal/ledger/internal/projection"
)

var columns = []projection.Column{
	{Name: "zebra", Kind: projection.Text}, {Name: "count", Kind: projection.Integer},
	{Name: "amount", Kind: projection.Decimal}, {Name: "at", Kind: projection.Instant},
}

const at = "2026-01-31T09:00:00.000001Z"

// rowsOf answers with rows that stand in memory.
type rowsOf struct {
	rows [][]any
	n    int
	err  error
}

func (r *rowsOf) Next() bool { r.n++; return r.n <= len(r.rows) }
func (r *rowsOf) Err() error { return r.err }
func (*rowsOf) Close() error { return nil }
func (r *rowsOf) Scan(into ...any) error {
	for i, v := range r.rows[r.n-1] {
		*into[i].(*any) = v
	}
	return nil
}

func export(t *testing.T, format string, rows ...[]any) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := New(format, &file, "things", columns)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Copy(t.Context(), w, columns, &rowsOf{rows: rows}); err != nil || n != int64(len(rows)) {
		t.Fatalf("%d rows, %v; want %d", n, err, len(rows))
	}
	return file.Bytes()
}

func TestCSV(t *testing.T) {
	t.Parallel()
	got := string(export(t, "csv",
		[]any{`say "hi", twice` + "\nplease", int64(-1), "-47.00", at}, []any{nil, nil, nil, nil}))
	want := "zebra,count,amount,at\r\n\"say \"\"hi\"\", twice\r\nplease\",-1,-47.00," + at + "\r\n,,,\r\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCSVRunsNothing: a spreadsheet takes a cell that begins with one of these for a formula.
func TestCSVRunsNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'=1", // the line ends are the writer's own
		"a=1": "a=1", "": "", " =1": " =1",
	} {
		file := export(t, "csv", []any{text, int64(0), "-0.05", at})
		lines, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
		if err != nil || len(lines) != 2 {
			t.Fatalf("%q: %d lines, %v", text, len(lines), err)
		}
		if d := cmp.Diff([]string{want, "0", "-0.05", at}, lines[1]); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}

func TestParquet(t *testing.T) {
	t.Parallel()
	file := export(t, "parquet", []any{"=x", int64(1 << 60), "47.00", at}, []any{nil, nil, nil, nil})
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := `message things {
	optional binary zebra (STRING);
	optional int64 count (INT(64,true));
	optional binary amount (STRING);
	optional int64 at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
}`
	if d := cmp.Diff(want, f.Schema().String()); d != "" {
		t.Errorf("schema (-want +got):\n%s", d)
	}
	rows := f.RowGroups()[0].Rows()
	defer rows.Close()
	read := make([]parquet.Row, 3)
	n, err := rows.ReadRows(read)
	if n != 2 || !errors.Is(err, io.EOF) && err != nil {
		t.Fatalf("%d rows, %v; want 2", n, err)
	}
	when, _ := time.Parse(time.RFC3339Nano, at)
	if r := read[0]; r[0].String() != "=x" || r[1].Int64() != 1<<60 || r[2].String() != "47.00" || r[3].Int64() != when.UnixMicro() {
		t.Errorf("the first row is %v", r)
	}
	for _, v := range read[1] {
		if !v.IsNull() {
			t.Errorf("the second row is %v, want all of it absent", read[1])
		}
	}
}

func TestXLSX(t *testing.T) {
	t.Parallel()
	file := export(t, "xlsx", []any{"=1+1", int64(12), "-47.00", at}, []any{nil, int64(0), "1.234", nil})
	x, err := excelize.OpenReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	rows, err := x.GetRows("things", excelize.Options{RawCellValue: true})
	want := [][]string{{"zebra", "count", "amount", "at"}, {"=1+1", "12", "-47", at}, {"", "0", "1.234"}}
	if d := cmp.Diff(want, rows); d != "" || err != nil {
		t.Errorf("rows (-want +got), %v:\n%s", err, d)
	}
	if formula, err := x.GetCellFormula("things", "A2"); formula != "" || err != nil {
		t.Errorf("the text became the formula %q (%v)", formula, err)
	}
	for cell, want := range map[string]excelize.CellType{"A2": excelize.CellTypeInlineString, "B2": excelize.CellTypeUnset, "C2": excelize.CellTypeUnset} {
		if got, err := x.GetCellType("things", cell); got != want || err != nil {
			t.Errorf("%s is of type %d (%v), want %d", cell, got, err, want)
		}
	}
}

// TestXLSXBeginsAnotherSheet when one is full.
func TestXLSXBeginsAnotherSheet(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w, err := newXLSX(&file, "things", columns, 3)
	if err != nil {
		t.Fatal(err)
	}
	row := []any{"a", int64(1), "1.00", at}
	if n, err := Copy(t.Context(), w, columns, &rowsOf{rows: [][]any{row, row, row, row, row}}); err != nil || n != 5 {
		t.Fatalf("%d rows, %v", n, err)
	}
	x, err := excelize.OpenReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	got := map[string]int{}
	for _, sheet := range x.GetSheetList() {
		rows, err := x.GetRows(sheet)
		if err != nil || rows[0][0] != "zebra" {
			t.Errorf("%s begins with %v (%v), want the header", sheet, rows[0], err)
		}
		got[sheet] = len(rows)
	}
	if d := cmp.Diff(map[string]int{"things": 3, "things 2": 3, "things 3": 2}, got); d != "" {
		t.Errorf("rows of sheets (-want +got):\n%s", d)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	if _, err := New("pdf", io.Discard, "things", columns); err == nil || !strings.Contains(err.Error(), "csv parquet xlsx") {
		t.Errorf("got %v, want an error that names the formats", err)
	}
	broken := errors.New("broken")
	for _, format := range Formats() {
		for name, rows := range map[string]*rowsOf{
			"a number for a text": {rows: [][]any{{int64(1), int64(1), "1.00", at}}},
			"a text for a number": {rows: [][]any{{"a", "1", "1.00", at}}},
			"no answer":           {err: broken},
		} {
			w, err := New(format, io.Discard, "things", columns)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Copy(t.Context(), w, columns, rows); err == nil {
				t.Errorf("%s, %s: no error", format, name)
			}
		}
	}
}

// TestExportsStayFlat measures what is held after so many rows, after twice as many, and when the end of the file goes
// out: a file that is kept in memory, even a compressed one, holds 10 MB more by then. It is not parallel, for it looks
// at the memory of all tests.
func TestExportsStayFlat(t *testing.T) {
	const few, many = rowGroup, 2 * rowGroup // of a kilobyte: more than a chunk of a sheet, too
	for _, format := range Formats() {
		t.Run(format, func(t *testing.T) {
			out := &watched{}
			w, err := New(format, out, "things", columns)
			if err != nil {
				t.Fatal(err)
			}
			random, noise := rand.NewChaCha8([32]byte{}), make([]byte, 500)
			row := []any{nil, int64(0), "1.00", at}
			var before int64
			for n := range int64(many) {
				if n == few {
					before = held()
				}
				_, _ = random.Read(noise)
				row[0], row[1] = hex.EncodeToString(noise), n
				if err := w.Write(row); err != nil {
					t.Fatal(err)
				}
			}
			out.look = true
			after := held()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if grown := max(after, out.held) - before; grown > 8<<20 {
				t.Errorf("%d rows hold %d bytes more than %d do", many, grown, few)
			}
		})
	}
}

// held is the memory in use.
func held() int64 {
	for range 3 { // what is pooled outlives one
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// watched looks once at the memory that is in use when something is written to it.
type watched struct {
	look bool
	held int64
}

func (w *watched) Write(b []byte) (int, error) {
	if w.look {
		w.look, w.held = false, held()
	}
	return len(b), nil
}
