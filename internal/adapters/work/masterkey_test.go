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
	want := func(when string, want work.MasterKey) {
		t.Helper()
		if got, err := work.MasterKeyOf(t.Context(), path); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", when, got, err, want)
		}
	}
	want("no store", work.MasterKey{})
	w := open(t, path)
	want("a new store", work.MasterKey{})
	check(t, w.SetMasterKey(t.Context(), 7))
	want("a key", work.MasterKey{Sealing: 7})
	check(t, w.SetResealed(t.Context(), 7))
	want("all is sealed with it", work.MasterKey{Sealing: 7, Resealed: 7})
	check(t, w.SetMasterKey(t.Context(), math.MaxUint32))
	last := work.MasterKey{Sealing: math.MaxUint32, Resealed: 7}
	want("another one", last)
	check(t, w.StartOver(t.Context()))
	if got, err := w.MasterKey(t.Context()); err != nil || got != last {
		t.Errorf("got %+v, %v; want what MasterKeyOf reads, whoever else begins anew", got, err)
	}
}
