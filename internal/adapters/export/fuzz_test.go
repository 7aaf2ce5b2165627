package export

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"ledger.internal/ledger/internal/projection"
)

// FuzzCSV says that a text comes out of a CSV file as it went in, but for one apostrophe where a spreadsheet would
// take it for a formula, and that it stays within its cell.
func FuzzCSV(f *testing.F) {
	f.Fuzz(func(t *testing.T, cell string) {
		var out bytes.Buffer
		w, err := New("csv", &out, "", []projection.Column{{Name: "before"}, {Name: "cell"}, {Name: "after"}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.Write([]any{"a", cell, "b"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Fatalf("%q: %d rows, %v; want a header and two", cell, len(rows), err)
		}
		plain := strings.ReplaceAll(cell, "\r", "") // lines end as lines of a CSV file do
		for _, row := range rows[1:] {
			got := strings.ReplaceAll(row[1], "\r", "")
			if row[0] != "a" || row[2] != "b" || got != plain && got != "'"+plain {
				t.Fatalf("%q became %q", cell, row)
			}
			if got != "" && strings.Contains("=+-@\t", got[:1]) {
				t.Fatalf("%q became a formula: %q", cell, got)
			}
		}
	})
}
