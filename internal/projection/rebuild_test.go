package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// rebuilding is a log of all histories, and live views that followers have made from it.
type rebuilding struct {
	*views
	log *memory.Log
}

func newRebuilding(t *testing.T) *rebuilding {
	t.Helper()
	w := &rebuilding{views: newViews(t), log: memory.New()}
	w.projections = projection.Views()
	for _, h := range aggregatetest.Histories() {
		w.append(h)
	}
	w.follow()
	return w
}

func (w *rebuilding) append(h aggregatetest.History) {
	w.t.Helper()
	raws, err := h.Raws()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.log.Append(w.t.Context(), h.Stream, event.NoStream, raws...); err != nil {
		w.t.Fatal(err)
	}
}

// follow lets followers bring the live views up to the end of the log.
func (w *rebuilding) follow() {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range w.projections {
		ctx, stop := context.WithCancel(w.t.Context())
		f := projection.NewFollower(w.log, w.store, p)
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		if err := f.WaitFor(ctx, head); err != nil {
			w.t.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *rebuilding) rebuild() projection.Rebuild {
	return projection.Rebuild{Log: w.log, Store: w.store, Views: w.projections}
}

// differences are what a rebuild found, one a line.
func differences(r *projection.Rebuilt) (lines []string) {
	for _, t := range r.Tables {
		if t.Skipped != "" {
			lines = append(lines, t.Table+": "+t.Skipped)
		}
		for _, d := range t.First {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s is %s %s", t.Table, d.Key, d.What, strings.Join(d.Columns, ","))))
		}
	}
	return lines
}

func (w *rebuilding) exec(statements ...string) {
	w.t.Helper()
	w.update(func(tx projection.Tx) error {
		for _, s := range statements {
			if n, err := tx.Exec(s); err != nil || n == 0 {
				return fmt.Errorf("%s: %d rows, %w", s, n, err)
			}
		}
		return nil
	})
}

// TestRebuiltIsLive rebuilds what followers have made: the same rows, and followers go on behind them.
func TestRebuiltIsLive(t *testing.T) {
	t.Parallel()
	w := newRebuilding(t)
	live := w.dump()
	for table, rows := range live {
		if len(rows) == 0 && table != "open_intents" {
			t.Errorf("table %s has no rows, want some to compare", table)
		}
	}
	done, err := w.rebuild().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := differences(done); len(got) > 0 || !done.Switched || done.Events != len(allHistories(t)) {
		t.Errorf("switched %t, %d events, differences %q; want all events and no difference", done.Switched, done.Events, got)
	}
	if d := cmp.Diff(live, w.dump()); d != "" {
		t.Errorf("rows (-followed +rebuilt):\n%s", d)
	}
	for h := range aggregatetest.Endless() {
		if _, err := lastRevision(w.log, h.Stream); errors.Is(err, event.ErrStreamNotFound) {
			w.append(h)
			break
		}
	}
	w.follow()
	done, err = w.rebuild().Run(t.Context())
	if err != nil || len(differences(done)) > 0 {
		t.Errorf("after followers went on: %v, differences %q; want none", err, differences(done))
	}
}

func lastRevision(log event.Log, stream string) (last event.Revision, err error) {
	for e, err := range log.Read(context.Background(), stream, 0) {
		if err != nil {
			return 0, err
		}
		last = e.Revision
	}
	return last, nil
}

func TestRebuildNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newRebuilding(t)
	right := w.dump()
	w.exec(
		`UPDATE order_rows SET cash_effect = cash_effect + 1, buyer_id = 'somebody' WHERE order_id = 1010001`,
		`DELETE FROM order_rows WHERE order_id = 1020001`,
		`UPDATE order_rows SET order_id = 7 WHERE order_id = 1030001`,
		`UPDATE subscription_facts SET external_ref = 'x' WHERE subscription_id = 's01'`,
	)
	wrong := w.dump()
	want := []string{
		"order_rows: order_id=1010001 is wrong cash_effect,buyer_id",
		"order_rows: order_id=1020001 is missing",
		"order_rows: order_id=1030001 is missing",
		"order_rows: order_id=7 is too many",
		"subscription_facts: merchant_id=acme subscription_id=s01 is wrong external_ref",
	}
	check := w.rebuild()
	check.Check = true
	done, err := check.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, differences(done)); d != "" || done.Switched {
		t.Errorf("switched %t, want only a look; differences (-want +got):\n%s", done.Switched, d)
	}
	if rows, tables := done.Differing(); rows != 5 || tables != 0 {
		t.Errorf("%d rows and %d tables differ, want 5 and 0", rows, tables)
	}
	if d := cmp.Diff(wrong, w.dump()); d != "" {
		t.Errorf("a look changed rows:\n%s", d)
	}
	if done, err = w.rebuild().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, differences(done)); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
	if d := cmp.Diff(right, w.dump()); d != "" {
		t.Errorf("rows (-right +rebuilt):\n%s", d)
	}
}

func TestRebuildNamesAFewRowsOfMany(t *testing.T) {
	t.Parallel()
	w := newRebuilding(t)
	w.exec(`UPDATE order_rows SET product_id = 'another'`, `UPDATE pay_number_versions SET attempts = attempts + 1`)
	done, err := w.rebuild().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range done.Tables {
		if c.Table != "order_rows" && c.Table != "pay_number_versions" {
			continue
		}
		if len(c.First) != 20 || c.Differing <= 20 || c.Differing != c.Rows {
			t.Errorf("%s: %d of %d rows differ, %d are named; want all of them and 20 named", c.Table, c.Differing, c.Rows, len(c.First))
		}
	}
}

// TestRebuildComparesWhatTheLiveViewHasSeen rebuilds while the log is longer than what followers have seen, each
// another part of it.
func TestRebuildComparesWhatTheLiveViewHasSeen(t *testing.T) {
	t.Parallel()
	w := newRebuilding(t)
	all := w.projections
	n := 0
	for h := range aggregatetest.Endless() {
		if n++; n <= len(aggregatetest.Histories()) {
			continue
		}
		w.append(h)
		if w.projections = w.projections[1:]; len(w.projections) == 0 {
			break
		}
		w.follow() // the first view has seen the least
	}
	w.projections = all
	w.exec(`UPDATE pay_number_versions SET attempts = 9 WHERE subscription_id = 's03' AND known_to IS NULL AND pay_number = 1`)
	done, err := w.rebuild().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := differences(done)
	if len(got) != 1 || !strings.Contains(got[0], "subscription_id=s03") || !strings.HasSuffix(got[0], "is wrong attempts") {
		t.Errorf("differences %q, want the one that was made", got)
	}
	rebuilt := w.dump()
	w.follow()
	if d := cmp.Diff(rebuilt, w.dump()); d != "" {
		t.Errorf("a follower found more to do (-rebuilt +followed):\n%s", d)
	}
}

func TestRebuildSaysWhyItDoesNotCompare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, statement, want string }{
		{"no live view", `DELETE FROM cursors WHERE follower = 'orders'`, "order_rows: it was never built"},
		{"another version", `UPDATE cursors SET version = 77 WHERE follower = 'orders'`, "order_rows: it is of version 77, this program makes version 2"},
		{"another event at its place", `UPDATE cursors SET last_id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8' WHERE follower = 'orders'`, "order_rows: it was made from another log"},
		{"a longer log", `UPDATE cursors SET last_commit = 100000, last_prepare = 100000, commit_pos = 100000, prepare_pos = 100000 WHERE follower = 'orders'`, "order_rows: it was made from another log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newRebuilding(t)
			right := w.dump()
			w.exec(c.statement)
			done, err := w.rebuild().Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := differences(done); len(got) != 2 || got[0] != c.want { // the two tables of the view
				t.Errorf("differences %q, want %q first", got, c.want)
			}
			if d := cmp.Diff(right, w.dump()); d != "" {
				t.Errorf("rows (-right +rebuilt):\n%s", d)
			}
			w.follow() // which would fail if it stood in another log
		})
	}
}

// TestRebuildInterruptedChangesNothing ends rebuilds by their context and by an event that cannot be applied.
func TestRebuildInterruptedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newRebuilding(t)
	w.exec(`UPDATE order_rows SET cash_effect = cash_effect + 1 WHERE order_id = 1010001`)
	wrong := w.dump()
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := w.rebuild()
	failing := w.rebuild()
	failing.Views = append([]projection.Projection(nil), failing.Views...)
	apply, n := failing.Views[1].Apply, 0
	broken := errors.New("broken")
	interrupted.Views = append([]projection.Projection(nil), failing.Views...)
	failing.Views[1].Apply = func(tx projection.Tx, known time.Time, e event.Recorded) error {
		if n++; n == 100 {
			return broken
		}
		return apply(tx, known, e)
	}
	interrupted.Views[1].Apply = func(tx projection.Tx, known time.Time, e event.Recorded) error {
		if n++; n == 150 {
			cancel()
		}
		return apply(tx, known, e)
	}
	if _, err := failing.Run(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "revision") {
		t.Errorf("got %v, want the projection's error with the event's place", err)
	}
	n = 100
	if _, err := interrupted.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if d := cmp.Diff(wrong, w.dump()); d != "" {
		t.Errorf("rows (-before +after):\n%s", d)
	}
	done, err := w.rebuild().Run(t.Context())
	if err != nil || len(differences(done)) != 1 {
		t.Errorf("the next one: %v, differences %q; want one", err, differences(done))
	}
}

// TestEveryTableOfAViewHasAKey: rows are compared by it.
func TestEveryTableOfAViewHasAKey(t *testing.T) {
	t.Parallel()
	w := newRebuilding(t)
	spare, err := w.store.Spare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	for _, p := range projection.Views() {
		if err := spare.Update(t.Context(), func(tx projection.Tx) error { _, err := tx.Exec(p.Schema); return err }); err != nil {
			t.Fatal(err)
		}
		for _, table := range p.Tables {
			if columns, key, err := spare.Columns(t.Context(), table); err != nil || len(columns) == 0 || len(key) == 0 {
				t.Errorf("%s of %s has columns %v and key %v (%v), want both", table, p.Name, columns, key, err)
			}
		}
	}
}
