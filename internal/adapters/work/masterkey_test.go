package work_test

import (
	"math"
	"path/filepath"
	"testing"

	"ledger.internal/ledger/internal/adapters/work"
)

func TestMasterKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "work.db")
	want := func(when string, want uint32) {
		t.Helper()
		if got, err := work.MasterKeyOf(t.Context(), path); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", when, got, err, want)
		}
	}
	want("no store", 0)
	w := open(t, path)
	want("a new store", 0)
	check(t, w.SetMasterKey(t.Context(), 7))
	want("a key", 7)
	check(t, w.SetMasterKey(t.Context(), math.MaxUint32))
	want("another one", math.MaxUint32)
	check(t, w.StartOver(t.Context()))
	if got, err := w.MasterKey(t.Context()); err != nil || got != math.MaxUint32 {
		t.Errorf("got %d, %v; want what MasterKeyOf reads, whoever else begins anew", got, err)
	}
}
