package projection_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// far is where an event stands in a copy: elsewhere, and with other distances.
func far(p event.Position) event.Position {
	if p.IsZero() {
		return p
	}
	return event.Position{Commit: 1000 + 40*p.Commit, Prepare: 1000 + 40*p.Commit - 7}
}

// moved carries a store's positions from where events stand to where they stand in the copy.
func moved(v *views, log []event.Recorded) error {
	return v.store.Update(v.t.Context(), func(tx projection.Tx) error {
		m, err := projection.NewMove(tx)
		if err != nil {
			return err
		}
		for _, e := range log {
			if err := m.Event(e.ID, e.Position, far(e.Position)); err != nil {
				return err
			}
		}
		return m.Finish()
	})
}

// dump is every row of the tables that hold positions.
func dump(t *testing.T, v *views) (lines []string) {
	t.Helper()
	for _, query := range []string{
		`SELECT follower, commit_pos, prepare_pos, last_commit, last_prepare, last_id, '', 0, 0 FROM cursors ORDER BY follower`,
		`SELECT endpoint_id, born_commit, born_prepare, pos_commit, pos_prepare, '', '', types, disabled FROM delivery_endpoints ORDER BY endpoint_id`,
		`SELECT delivery_id, pos_commit, pos_prepare, endpoint_commit, endpoint_prepare, state, event_id, tries, coalesce(next_try_at, 0) FROM delivery_rows ORDER BY delivery_id`,
	} {
		rows, err := v.store.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name, a, b string
			var n [6]int64
			if err := rows.Scan(&name, &n[0], &n[1], &n[2], &n[3], &a, &b, &n[4], &n[5]); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprint(name, " ", n, a, b))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// sitting has a follower stand at a position, having seen the last of the events up to it.
func sitting(t *testing.T, v *views, follower string, at event.Position, log []event.Recorded) {
	t.Helper()
	c := event.Cursor{Position: at}
	for _, e := range log {
		if e.Position.Compare(at) <= 0 {
			c.LastPosition, c.LastID = e.Position, e.ID
		}
	}
	err := v.store.Update(t.Context(), func(tx projection.Tx) error {
		seat, _, _, err := projection.TakeSeat(tx, follower, projection.Deliveries().Version)
		if err != nil {
			return err
		}
		return seat.Save(tx, projection.Saved{Cursor: c})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func tellingLog() *told {
	return newTold().endpoint("a").sold("s1", 10001).changed("a").endpoint("b").sold("s1", 10002).sold("s2", 20001).
		concluded(2, "a", deliveredWell).disabled("b").sold("s2", 20002)
}

// What is moved is what the projection would have made of the copy.
func TestMove(t *testing.T) {
	t.Parallel()
	log := tellingLog().events
	copied := slices.Clone(log)
	for i := range copied {
		copied[i].Position = far(copied[i].Position)
	}
	here, there := newViews(t, projection.Deliveries()), newViews(t, projection.Deliveries())
	for v, events := range map[*views][]event.Recorded{here: log, there: copied} {
		v.apply(events...)
		end := events[len(events)-1].Position
		sitting(t, v, "deliveries", end, events)
		sitting(t, v, "begins", event.Position{}, events)
		sitting(t, v, "charge", events[3].Position, events)
	}
	want := dump(t, there)
	for _, what := range []string{"moved", "moved again"} {
		if err := moved(here, log); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d := cmp.Diff(want, dump(t, here)); d != "" {
			t.Errorf("%s (-made from the copy +%s):\n%s", what, what, d)
		}
	}
	here.apply(newTold().events...) // the store is still of use
}

// A follower that was told that nothing matches up to a position stands at the event before it.
func TestMoveBetweenEvents(t *testing.T) {
	t.Parallel()
	log := tellingLog().events
	for i := range log {
		log[i].Position = event.Position{Commit: 10 * log[i].Position.Commit, Prepare: 10 * log[i].Position.Commit}
	}
	v := newViews(t, projection.Deliveries())
	for name, at := range map[string]event.Position{
		"before all": {Commit: 9, Prepare: 9}, "between": {Commit: 25, Prepare: 25}, "between, by a hair": {Commit: 30, Prepare: 29},
		"exactly": {Commit: 30, Prepare: 30}, "behind all": {Commit: 1 << 40, Prepare: 1},
	} {
		sitting(t, v, name, at, log)
	}
	if err := moved(v, log); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]event.Position{
		"before all": {}, "between": far(log[1].Position), "between, by a hair": far(log[1].Position),
		"exactly": far(log[2].Position), "behind all": far(log[len(log)-1].Position),
	} {
		var commit, prepare int64
		if err := v.store.QueryRow(t.Context(), `SELECT commit_pos, prepare_pos FROM cursors WHERE follower = $1`, name).Scan(&commit, &prepare); err != nil {
			t.Fatal(err)
		}
		if got := (event.Position{Commit: uint64(commit), Prepare: uint64(prepare)}); got != want {
			t.Errorf("%s: moved to %s, want %s", name, got, want)
		}
	}
}

// A store of another log is left as it is.
func TestMoveOfAnotherLog(t *testing.T) {
	t.Parallel()
	log := tellingLog().events
	for name, change := range map[string]func([]event.Recorded){
		"a cursor has seen another event":     func(l []event.Recorded) { l[len(l)-1].ID = uuid.New() },
		"a notification is of another event":  func(l []event.Recorded) { l[1].ID = uuid.New() },
		"the log ends before the last cursor": func(l []event.Recorded) { l[len(l)-1].Position.Commit++ },
	} {
		v := newViews(t, projection.Deliveries())
		v.apply(log...)
		sitting(t, v, "deliveries", log[len(log)-1].Position, log)
		before := dump(t, v)
		other := slices.Clone(log)
		change(other)
		if err := moved(v, other); !errors.Is(err, projection.ErrOtherLog) {
			t.Errorf("%s: got %v, want ErrOtherLog", name, err)
		}
		if d := cmp.Diff(before, dump(t, v)); d != "" {
			t.Errorf("%s: the store was changed (-before +after):\n%s", name, d)
		}
	}
}

// TestMoveKnowsEveryPosition looks for columns that hold a position and that nobody moves.
func TestMoveKnowsEveryPosition(t *testing.T) {
	t.Parallel()
	known := []string{
		"cursors.commit_pos", "cursors.prepare_pos", "cursors.last_commit", "cursors.last_prepare",
		"delivery_endpoints.born_commit", "delivery_endpoints.born_prepare", "delivery_endpoints.pos_commit", "delivery_endpoints.pos_prepare",
		"delivery_rows.pos_commit", "delivery_rows.pos_prepare", "delivery_rows.endpoint_commit", "delivery_rows.endpoint_prepare",
	}
	v := newViews(t, projection.Work()...)
	sitting(t, v, "somebody", event.Position{}, nil) // makes the cursors
	rows, err := v.store.Query(t.Context(), `SELECT m.name || '.' || c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	position := regexp.MustCompile(`commit|prepare|pos(ition)?(_|$)`)
	found := 0
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			t.Fatal(err)
		}
		if !position.MatchString(column) {
			continue
		}
		if found++; !slices.Contains(known, column) {
			t.Errorf("%s seems to hold a position: have Move carry it over, and name it here", column)
		}
	}
	if found != len(known) {
		t.Errorf("found %d columns with positions, want %d", found, len(known))
	}
}
