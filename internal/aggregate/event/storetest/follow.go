package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

func (s suite) follow(t *testing.T) {
	s.cases(t, map[string]func(*testing.T, event.Log){
		"from the beginning, then live":                 testFollow,             // 31
		"the cursor itself is not delivered again":      testFollowAfter,        // 32
		"only the categories asked for":                 testFollowCategories,   // 33
		"checkpoints pass long stretches":               testFollowCheckpoints,  // 34
		"caught up without a matching event":            testFollowEmpty,        // 35
		"an error of the handler ends it":               testFollowHandlerError, // 36
		"a slow handler misses nothing":                 s.testFollowSlow,       // 37
		"many followers at once":                        s.testFollowMany,       // 38
		"a cursor of another past is refused":           s.testFollowPast,       // 42
		"a cancelled follower stops":                    testFollowCancelled,    // 43
		"a follower that crashes anywhere counts right": s.testFollowCrash,      // 45
	})
}

func testFollow(t *testing.T, l event.Log) {
	want := fill(t, l, "subscription-m.1", event.NoStream, 700)
	f := startFollow(t, l, event.Cursor{})
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, _ := f.until(t, head)
	wantPlaces(t, got, "subscription-m.1", 0)
	if diff := cmp.Diff(want, bodies(got)); diff != "" {
		t.Fatalf("events until caught up (-want +got):\n%s", diff)
	}
	for i := range 5 {
		events := raw(i + 1)
		pos := mustAppend(t, l, fmt.Sprintf("subscription-n.%d", i), event.NoStream, events...)
		live, marks := f.until(t, pos)
		if diff := cmp.Diff(events, bodies(live)); diff != "" {
			t.Errorf("live events (-want +got):\n%s", diff)
		}
		if last := marks[len(marks)-1]; last.Kind != event.KindCaughtUp || last.Position != pos {
			t.Errorf("after the live events came %+v, want that it is caught up at %s", last, pos)
		}
	}
}

func testFollowAfter(t *testing.T, l event.Log) {
	fill(t, l, "subscription-m.1", event.NoStream, 20)
	fill(t, l, "endpoint-m.1", event.NoStream, 250)
	fill(t, l, "subscription-m.1", 19, 20)
	all, marks := followAll(t, l, event.Cursor{}, "subscription")
	if len(all) != 40 {
		t.Fatalf("got %d events, want 40", len(all))
	}
	for i, e := range all {
		rest, _ := followAll(t, l, event.Cursor{Position: e.Position, LastPosition: e.Position, LastID: e.ID}, "subscription")
		if diff := cmp.Diff(all[i+1:], rest, cmp.Comparer(sameEvent), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("after event %d (-want +got):\n%s", i, diff)
		}
	}
	for _, m := range marks {
		var want []event.RawRecorded
		for _, e := range all {
			if e.Position.Compare(m.Position) > 0 {
				want = append(want, e)
			}
		}
		rest, _ := followAll(t, l, event.Cursor{Position: m.Position}, "subscription")
		if diff := cmp.Diff(want, rest, cmp.Comparer(sameEvent), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("after the mark at %s (-want +got):\n%s", m.Position, diff)
		}
	}
}

func sameEvent(a, b event.RawRecorded) bool {
	return a.Position == b.Position && a.ID == b.ID && a.Stream == b.Stream && a.Revision == b.Revision
}

func testFollowCategories(t *testing.T, l event.Log) {
	byStream := map[string]uuid.UUID{}
	for _, stream := range []string{"subscription-m.1", "endpoint-m.1", "subscription-a-b", "subscriptions-m.1", "subscription",
		"numbers", "endpoint", "delivery-m.subscription-1", "SUBSCRIPTION-m.1"} {
		events := raw(1)
		mustAppend(t, l, stream, event.NoStream, events...)
		byStream[stream] = events[0].ID
	}
	for _, tt := range []struct{ categories, streams []string }{
		{[]string{"subscription"}, []string{"subscription-m.1", "subscription-a-b", "subscription"}},
		{[]string{"endpoint", "numbers"}, []string{"endpoint-m.1", "numbers", "endpoint"}},
		{[]string{"subscription-m.1"}, nil},
		{[]string{"nothing"}, nil},
	} {
		var want []uuid.UUID
		for _, stream := range tt.streams {
			want = append(want, byStream[stream])
		}
		got, _ := followAll(t, l, event.Cursor{}, tt.categories...)
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(ids(got))); diff != "" {
			t.Errorf("categories %v (-want +got):\n%s", tt.categories, diff)
		}
	}
	if all, _ := followAll(t, l, event.Cursor{}); len(all) != len(byStream) {
		t.Errorf("without categories: got %d events, want %d", len(all), len(byStream))
	}
}

func testFollowCheckpoints(t *testing.T, l event.Log) {
	fill(t, l, "numbers", event.NoStream, 1)
	fill(t, l, "delivery-m.1", event.NoStream, 950)
	fill(t, l, "numbers", 0, 1)
	fill(t, l, "delivery-m.1", 949, 333)
	want, _ := followAll(t, l, event.Cursor{}, "numbers")
	if len(want) != 2 {
		t.Fatalf("got %d events, want 2", len(want))
	}
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	place := map[event.Position]int{{}: 0} // how many events of the log stand up to a position
	everything, _ := followAll(t, l, event.Cursor{})
	for i, e := range everything {
		place[e.Position] = i + 1
	}
	f := startFollow(t, l, event.Cursor{}, "numbers")
	var marks []event.Cursor
	for c := (event.Cursor{}); c.Position != head; {
		m := f.next(t)
		if passed := place[m.Position] - place[c.Position]; passed > 101 {
			t.Errorf("the handler heard nothing between %s and %s, %d events", c.Position, m.Position, passed)
		}
		if c.Position = m.Position; m.Kind == event.KindEvent {
			c.LastPosition, c.LastID = m.Position, m.Event.ID
		}
		marks = append(marks, c)
	}
	for _, c := range marks {
		got, _ := followAll(t, l, c, "numbers")
		left := 0
		for _, e := range want {
			if e.Position.Compare(c.Position) > 0 {
				left++
			}
		}
		if len(got) != left {
			t.Errorf("after %s: got %d events, want %d", c.Position, len(got), left)
		}
	}
}

func testFollowEmpty(t *testing.T, l event.Log) {
	f := startFollow(t, l, event.Cursor{}, "subscription")
	if m := f.next(t); m.Kind != event.KindCaughtUp || !m.Position.IsZero() {
		t.Errorf("on an empty log: got %+v, want that it is caught up at the beginning", m)
	}
	for range 3 { // an append that does not match moves the follower, too
		pos := mustAppend(t, l, "numbers-"+uuid.NewString(), event.NoStream, raw(2)...)
		if events, _ := f.until(t, pos); len(events) != 0 {
			t.Errorf("got %d events, want none", len(events))
		}
	}
}

func testFollowHandlerError(t *testing.T, l event.Log) {
	events := fill(t, l, "subscription-m.1", event.NoStream, 10)
	stop := errors.New("stop")
	var at event.Cursor
	for i := range events {
		err := l.Follow(t.Context(), nil, at, func(_ context.Context, m event.Message) error {
			if m.Kind != event.KindEvent {
				return nil
			}
			if m.Event.ID == events[i].ID {
				return stop
			}
			at = event.Cursor{Position: m.Position, LastPosition: m.Position, LastID: m.Event.ID}
			return nil
		})
		if err != stop {
			t.Fatalf("event %d: got error %v, want the handler's own", i, err)
		}
	}
	rest, _ := followAll(t, l, at)
	if len(rest) != 1 || rest[0].ID != events[9].ID {
		t.Errorf("after the last failure came %v, want the event that failed", ids(rest))
	}
}

func (s suite) testFollowSlow(t *testing.T, l event.Log) {
	f := startFollow(t, l, event.Cursor{}) // whose handler waits for the test to take each message
	want := fill(t, l, "subscription-m.1", event.NoStream, 3)
	if m := f.next(t); m.Kind == event.KindEvent && m.Event.ID != want[0].ID {
		t.Fatalf("got %v first, want %s", m.Event.ID, want[0].ID)
	}
	n := s.size(9000)
	want = append(want, fill(t, l, "subscription-m.1", 2, n)...) // the blocked handler holds up nobody
	f.stop()
	all, _ := followAll(t, l, event.Cursor{})
	if diff := cmp.Diff(len(want), len(all)); diff != "" {
		t.Errorf("number of events (-want +got):\n%s", diff)
	}

	g := startFollow(t, l, event.Cursor{})
	first := g.next(t)
	want = append(want, fill(t, l, "subscription-m.1", event.Revision(len(want)-1), n)...)
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, _ := g.until(t, head)
	got = append([]event.RawRecorded{first.Event}, got...)
	wantPlaces(t, got, "subscription-m.1", 0)
	if len(got) != len(want) {
		t.Errorf("got %d events, want %d", len(got), len(want))
	}
}

func (s suite) testFollowMany(t *testing.T, l event.Log) {
	const followers = 50
	var all [followers]*following
	for i := range all {
		all[i] = startFollow(t, l, event.Cursor{}, []string{"subscription", "endpoint"}[i%2])
	}
	fill(t, l, "subscription-m.1", event.NoStream, 200)
	fill(t, l, "endpoint-m.1", event.NoStream, 200)
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() {
			events := 0
			for m := range f.messages {
				if m.Kind == event.KindEvent {
					events++
				}
				if m.Kind == event.KindCaughtUp && m.Position == head {
					break
				}
			}
			if events != 200 {
				t.Errorf("follower %d got %d events, want 200", i, events)
			}
		})
	}
	wg.Wait()
}

func (s suite) testFollowPast(t *testing.T, l event.Log) {
	fill(t, l, "subscription-m.1", event.NoStream, 5)
	short := s.open(t)
	defer closeLog(t, short)
	fill(t, short, "subscription-m.1", event.NoStream, 3)
	all, _ := followAll(t, l, event.Cursor{})
	last, second := all[4], all[1]
	refused := func(what string, l event.Log, c event.Cursor, want error) {
		t.Helper()
		err := l.Follow(t.Context(), nil, c, func(context.Context, event.Message) error {
			t.Errorf("%s: a message was delivered", what)
			return context.Canceled
		})
		wantError(t, what, err, want)
	}
	refused("the log is shorter", short, event.Cursor{Position: last.Position, LastPosition: last.Position, LastID: last.ID}, event.ErrPositionAhead)
	refused("another event stands there", l, event.Cursor{Position: second.Position, LastPosition: second.Position, LastID: last.ID}, event.ErrDiverged)
	refused("another event stood before the checkpoint", l,
		event.Cursor{Position: last.Position, LastPosition: second.Position, LastID: uuid.New()}, event.ErrDiverged)
	refused("last event behind the position", l,
		event.Cursor{Position: second.Position, LastPosition: last.Position, LastID: last.ID}, event.ErrInvalidArgument)
	refused("an event without a position", l, event.Cursor{Position: second.Position, LastID: last.ID}, event.ErrInvalidArgument)

	// Checkpoints far behind the last event that was delivered are no reason for alarm.
	fill(t, l, "numbers", event.NoStream, 150)
	_, marks := followAll(t, l, event.Cursor{}, "subscription")
	for _, m := range marks {
		c := event.Cursor{Position: m.Position, LastPosition: last.Position, LastID: last.ID}
		if events, _ := followAll(t, l, c, "subscription"); len(events) != 0 {
			t.Errorf("after the mark at %s: got %d events, want none", m.Position, len(events))
		}
	}
}

func testFollowCancelled(t *testing.T, l event.Log) {
	fill(t, l, "subscription-m.1", event.NoStream, 300)
	for _, at := range []struct {
		name string
		when func(event.Message) bool
	}{
		{"on its way", func(m event.Message) bool { return m.Kind == event.KindEvent }},
		{"waiting for more", func(m event.Message) bool { return m.Kind == event.KindCaughtUp }},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := l.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
			if ctx.Err() != nil {
				t.Errorf("%s: a message after the cancellation", at.name)
			}
			if at.when(m) {
				cancel()
			}
			return nil
		})
		cancel()
		wantError(t, at.name, err, context.Canceled)
	}
}

// testFollowCrash keeps rows and a cursor together, fails before or after they are kept, and starts again from them.
func (s suite) testFollowCrash(t *testing.T, l event.Log) {
	n := s.size(2000)
	want := fill(t, l, "subscription-m.1", event.NoStream, n/2)
	fill(t, l, "numbers", event.NoStream, n)
	want = append(want, fill(t, l, "subscription-m.1", event.Revision(len(want)-1), n/2)...)
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	crash := errors.New("crash")
	var rows []uuid.UUID
	var at event.Cursor
	for crashes := 0; at.Position != head; crashes++ {
		err := l.Follow(t.Context(), []string{"subscription"}, at, func(_ context.Context, m event.Message) error {
			before, after := random.IntN(100) == 0, random.IntN(100) == 0
			if before {
				return crash
			}
			at.Position = m.Position
			if m.Kind == event.KindEvent {
				at.LastPosition, at.LastID = m.Position, m.Event.ID
				rows = append(rows, m.Event.ID)
			}
			if after || m.Position == head {
				return crash
			}
			return nil
		})
		if err != crash {
			t.Fatalf("after %d crashes: %v", crashes, err)
		}
	}
	clean := make([]uuid.UUID, len(want))
	for i, e := range want {
		clean[i] = e.ID
	}
	if diff := cmp.Diff(clean, rows); diff != "" {
		t.Errorf("rows differ from those of a clean run (-want +got):\n%s", diff)
	}
}
