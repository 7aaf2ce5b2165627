package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const schema = `CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tags (note BIGINT NOT NULL REFERENCES notes(id), tag TEXT NOT NULL);`

func openTest(t *testing.T, path string, o Options) *DB {
	t.Helper()
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := d.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(schema)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func insert(tx projection.Tx, text string) error {
	_, err := tx.Exec("INSERT INTO notes (text) VALUES ($1)", text)
	return err
}

func texts(t *testing.T, d *DB) []string {
	t.Helper()
	rows, err := d.Query(t.Context(), "SELECT text FROM notes ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUpdateKeepsAllOrNothing(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	refused := errors.New("refused")
	if err := d.Update(t.Context(), func(tx projection.Tx) error { return insert(tx, "kept") }); err != nil {
		t.Fatal(err)
	}
	err := d.Update(t.Context(), func(tx projection.Tx) error {
		if err := insert(tx, "undone"); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow("SELECT count(*) FROM notes").Scan(&n); err != nil || n != 2 {
			t.Errorf("inside the transaction: %d notes, %v; want 2", n, err)
		}
		return refused
	})
	if err != refused {
		t.Errorf("got error %v, want what the function returned", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = d.Update(t.Context(), func(tx projection.Tx) error {
			if err := insert(tx, "panicked"); err != nil {
				return err
			}
			panic("bug")
		})
	}()
	if diff := cmp.Diff([]string{"kept"}, texts(t, d)); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestUpdatesOfManyGoroutines(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{Synchronous: "NORMAL"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if err := d.Update(t.Context(), func(tx projection.Tx) error { return insert(tx, "x") }); err != nil {
					t.Error(err)
				}
				var n int
				if err := d.QueryRow(t.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil || n == 0 {
					t.Errorf("count: %d, %v; want at least this goroutine's own", n, err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(texts(t, d)); got != 80 {
		t.Errorf("got %d notes, want 80", got)
	}
}

func TestNoRows(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	var s string
	if err := d.QueryRow(t.Context(), "SELECT text FROM notes WHERE id = $1", 7).Scan(&s); !errors.Is(err, projection.ErrNoRows) {
		t.Errorf("reader: got %v, want ErrNoRows", err)
	}
	if err := d.Update(t.Context(), func(tx projection.Tx) error {
		return tx.QueryRow("SELECT text FROM notes WHERE id = $1", 7).Scan(&s)
	}); !errors.Is(err, projection.ErrNoRows) {
		t.Errorf("transaction: got %v, want ErrNoRows", err)
	}
}

func TestManyDifferentQueries(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{Synchronous: "NORMAL"})
	for i := range maxStatements + 5 {
		query := "SELECT 1" + strings.Repeat(" ", i)
		var got int
		if err := d.QueryRow(t.Context(), query).Scan(&got); err != nil || got != 1 {
			t.Fatalf("query %d of a reader: %d, %v; want 1", i, got, err)
		}
		if err := d.Update(t.Context(), func(tx projection.Tx) error { return tx.QueryRow(query).Scan(&got) }); err != nil {
			t.Fatalf("query %d of the writer: %v", i, err)
		}
	}
	if got := len(d.reads.byID); got > maxStatements {
		t.Errorf("the readers' cache holds %d statements, want at most %d", got, maxStatements)
	}
}

func TestForeignKeysHold(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	err := d.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec("INSERT INTO tags (note, tag) VALUES ($1, $2)", 99, "orphan")
		return err
	})
	if err == nil {
		t.Error("a row that refers to nothing was taken")
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	var id int
	if err := d.QueryRow(t.Context(), "INSERT INTO notes (text) VALUES ('x') RETURNING id").Scan(&id); err == nil {
		t.Error("a query wrote")
	}
}

func TestWritesAreDurable(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]int{"": 2, "FULL": 2, "NORMAL": 1} {
		d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{Synchronous: asked})
		var sync, keys int
		var mode string
		if err := d.Update(t.Context(), func(tx projection.Tx) error {
			return errors.Join(tx.QueryRow("PRAGMA synchronous").Scan(&sync), tx.QueryRow("PRAGMA journal_mode").Scan(&mode),
				tx.QueryRow("PRAGMA foreign_keys").Scan(&keys))
		}); err != nil {
			t.Fatal(err)
		}
		if sync != want || mode != "wal" || keys != 1 {
			t.Errorf("asked for %q: synchronous %d, journal_mode %s, foreign_keys %d; want %d, wal, 1", asked, sync, mode, keys, want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "a.db"), Options{Synchronous: "OFF"}); err == nil {
		t.Error("opened with synchronous OFF")
	}
}

func TestNewerFileIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd name?#%.db")
	for _, version := range []int{1, 2, 2} {
		d, err := Open(path, Options{Version: version})
		if err != nil {
			t.Fatalf("open with version %d: %v", version, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{Version: 1}); !errors.Is(err, ErrTooNew) {
		t.Errorf("older program: got %v, want ErrTooNew", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the file was changed:\n%s", diff)
	}
}

func TestFileIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	openTest(t, path, Options{})
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode %o, want 600", filepath.Base(name), got)
		}
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	err := d.Update(t.Context(), func(tx projection.Tx) error {
		var pages int
		if err := tx.QueryRow("PRAGMA max_page_count = 1").Scan(&pages); err != nil { // takes the size it has
			return err
		}
		return insert(tx, strings.Repeat("x", 1<<20))
	})
	if !errors.Is(err, event.ErrStoreFull) {
		t.Fatalf("got %v, want ErrStoreFull", err)
	}
	if err := d.Update(t.Context(), func(tx projection.Tx) error { return insert(tx, "small") }); err != nil {
		t.Errorf("what still fits: %v", err)
	}
}

func TestContexts(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Update(cancelled, func(projection.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("update: got %v, want context.Canceled", err)
	}
	err := d.Raw(t.Context(), func(driver.Conn) error { // a waiting writer is not kept waiting
		return d.Update(cancelled, func(projection.Tx) error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("waiting update: got %v, want context.Canceled", err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	d := openTest(t, filepath.Join(t.TempDir(), "a.db"), Options{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Update(t.Context(), func(projection.Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("update: got %v, want ErrClosed", err)
	}
	if err := d.QueryRow(t.Context(), "SELECT 1").Scan(new(int)); err == nil {
		t.Error("a query was answered after Close")
	}
}

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	unlock, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockDir(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second taker: got %v, want ErrLocked", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = LockDir(dir)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	d, err := Open(filepath.Join(b.TempDir(), "a.db"), Options{Synchronous: "NORMAL"})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := d.Update(b.Context(), func(tx projection.Tx) error { _, err := tx.Exec(schema); return err }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Update(b.Context(), func(tx projection.Tx) error {
			for range 10 {
				if err := insert(tx, "text"); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestReadOnlyBesideAWriter reads from a second connection while the first one goes on writing: each answer is one
// snapshot, and nobody waits.
func TestReadOnlyBesideAWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	d := openTest(t, path, Options{Version: 3})
	pair := func() {
		if err := d.Update(t.Context(), func(tx projection.Tx) error {
			return errors.Join(insert(tx, "one"), insert(tx, "two"))
		}); err != nil {
			t.Error(err)
		}
	}
	pair()
	r, err := OpenReadOnly(path, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 20 {
		rows, err := r.Query(t.Context(), "SELECT text FROM notes")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; rows.Next(); n++ {
			if n == 0 {
				pair() // while the answer is being read
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || n == 0 || n%2 != 0 {
			t.Fatalf("%d rows, %v; want whole pairs", n, err)
		}
	}
	var n int
	if err := r.QueryRow(t.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil || n != 42 {
		t.Errorf("%d rows in the end (%v), want 42", n, err)
	}
	if err := r.QueryRow(t.Context(), "DELETE FROM notes RETURNING id").Scan(&n); err == nil {
		t.Error("who only reads has deleted a row")
	}
}

func TestReadOnlyRefusesOtherVersions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	openTest(t, path, Options{Version: 3})
	for version, want := range map[int]error{2: ErrTooNew, 4: ErrTooOld} {
		if _, err := OpenReadOnly(path, version); !errors.Is(err, want) {
			t.Errorf("version %d: got %v, want %v", version, err, want)
		}
	}
	if _, err := OpenReadOnly(path+"x", 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v, want %v", err, os.ErrNotExist)
	}
}

func TestSpareIsThrownAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	d := openTest(t, path, Options{})
	left, err := d.Spare(t.Context()) // as after a crash: never closed
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(schema + "; INSERT INTO notes (text) VALUES ('half')")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, d); len(got) != 0 {
		t.Errorf("the database has %q, want what is in the spare only there", got)
	}
	again, err := d.Spare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if columns, _, err := again.Columns(t.Context(), "notes"); err != nil || len(columns) != 0 {
		t.Errorf("a new spare has columns %v (%v), want it to be empty", columns, err)
	}
	if err := errors.Join(again.Close(), left.Close()); err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(path + "*spare*")
	if err != nil || len(files) != 0 {
		t.Errorf("%v are left (%v), want nothing", files, err)
	}
}
