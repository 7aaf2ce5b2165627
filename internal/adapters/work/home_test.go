package work_test

import (
	"path/filepath"
	"testing"

	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/projection"
)

func TestHome(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "work.db")
	want := func(when string, want work.Home) {
		t.Helper()
		if got, err := work.HomeOf(t.Context(), path); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", when, got, err, want)
		}
	}
	want("no store", work.Home{})
	w := open(t, path)
	want("a new store", work.Home{})
	check(t, w.Update(t.Context(), func(tx projection.Tx) error {
		return work.SetHome(tx, work.Home{Log: "esdb://db1:2113", Copied: true})
	}))
	want("a copy", work.Home{Log: "esdb://db1:2113", Copied: true})
	check(t, w.SetLog(t.Context(), "embedded"))
	want("a ledger has run", work.Home{Log: "embedded"})
	if got, err := w.Home(t.Context()); err != nil || got.Log != "embedded" {
		t.Errorf("got %+v, %v; want what HomeOf reads", got, err)
	}
	check(t, w.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(`DROP TABLE log_home`)
		return err
	}))
	want("a store of an older program", work.Home{})
}
