package db_test

import (
	"errors"
	"testing"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/projection"
)

func newMemory(t *testing.T) *db.Memory {
	t.Helper()
	m, err := db.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	err = m.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(`CREATE TABLE kinds (n bigint, text text, bytes blob, flag boolean, size real, missing text)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func insert(tx projection.Tx) error {
	_, err := tx.Exec(`INSERT INTO kinds VALUES (42, 'a text', x'0102', 1, 1.5, NULL)`)
	return err
}

// Answers are scanned into what callers scan into elsewhere.
func TestMemoryScans(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	if err := m.Update(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	var small uint32
	var n *int64
	var text string
	var bytes []byte
	var flag bool
	var size float64
	var nothing *string
	var any any
	err := m.QueryRow(t.Context(), `SELECT n, n, text, bytes, flag, size, missing, text FROM kinds WHERE n = $1`, 42).
		Scan(&small, &n, &text, &bytes, &flag, &size, &nothing, &any)
	if err != nil {
		t.Fatal(err)
	}
	if small != 42 || *n != 42 || text != "a text" || string(bytes) != "\x01\x02" || !flag || size != 1.5 || nothing != nil || any != "a text" {
		t.Errorf("got %d %d %q %x %v %v %v %v", small, *n, text, bytes, flag, size, nothing, any)
	}
	if err := m.QueryRow(t.Context(), `SELECT missing FROM kinds`).Scan(&text); err == nil {
		t.Error("NULL was scanned into a text")
	}
	if err := m.QueryRow(t.Context(), `SELECT n FROM kinds WHERE n = 1`).Scan(&n); !errors.Is(err, projection.ErrNoRows) {
		t.Errorf("got %v, want %v", err, projection.ErrNoRows)
	}
}

// A transaction is kept whole or not at all, and an answer that is open holds up nobody.
func TestMemoryIsTransactional(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	failed := errors.New("on second thought")
	if err := m.Update(t.Context(), func(tx projection.Tx) error { return errors.Join(insert(tx), failed) }); !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
	rows, err := m.Query(t.Context(), `SELECT n FROM kinds`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if rows.Next() {
		t.Error("a row of a transaction that failed is there")
	}
	if err := m.Update(t.Context(), insert); err != nil {
		t.Errorf("while an answer is open: %v", err)
	}
}
