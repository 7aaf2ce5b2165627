package sandbox

import (
	"errors"
	"testing"

	"ledger.internal/ledger/internal/projection"
)

// One change that fails does not take the others of its commit with it, and leaves nothing behind.
func TestCommitOfAGroup(t *testing.T) {
	t.Parallel()
	b, err := openBook(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("wrong")
	job := func(kind string, err error) change {
		return change{result: make(chan error, 1), run: func(tx projection.Tx) error {
			_, execErr := tx.Exec(`INSERT INTO jobs (due, kind, subject) VALUES (1, $1, '')`, kind)
			return errors.Join(execErr, err)
		}}
	}
	group := []change{job("first", nil), job("bad", wrong), job("last", nil)}
	b.commit(group)
	for i, want := range []error{nil, wrong, nil} {
		if err := <-group[i].result; !errors.Is(err, want) {
			t.Errorf("change %d: got %v, want %v", i, err, want)
		}
	}
	var kinds string
	if err := b.QueryRow(t.Context(), `SELECT group_concat(kind) FROM (SELECT kind FROM jobs ORDER BY seq)`).Scan(&kinds); err != nil || kinds != "first,last" {
		t.Errorf("kept %q, %v, want the first and the last", kinds, err)
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	if err := b.do(func(projection.Tx) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("after closing: got %v, want %v", err, errClosed)
	}
}
