package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

var followTests = tests{
	"from the beginning, then live":                 testFollow,            // 31
	"only the categories asked for":                 testFollowCategories,  // 33
	"what the store keeps for itself is not events": testFollowSystem,      // 33
	"caught up on an empty log":                     testFollowEmpty,       // 35
	"caught up without a matching event":            testFollowNothing,     // 35
	"an append that does not match is heard of":     testFollowUnmatched,   // 34, 35
	"an error of the handler ends it, unchanged":    testFollowErrors,      // 36
	"a slow handler misses nothing":                 testFollowSlow,        // 37
	"a slow handler keeps nobody waiting":           testFollowBlocked,     // 37
	"many followers at once":                        testFollowMany,        // 38
	"one handler's error is no other's":             testFollowIndependent, // 38
	"a cancelled follower stops":                    testFollowCancelled,   // 43
	"a cancelled follower leaves nothing":           testFollowLeaves,      // 43
}

func testFollow(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	want := w.fill(t, stream, event.NoStream, 700)
	head := w.head(t)
	f := w.following(t, w.start)
	got := f.until(t, head)
	wantPlaces(t, got, stream, 0)
	wantBodies(t, "events until caught up", got, want)
	for i := range 5 {
		events := raw(i + 1)
		began := time.Now()
		pos := w.mustAppend(t, w.stream(fmt.Sprintf("subscription-n.%d", i)), event.NoStream, events...)
		live := f.until(t, pos)
		wantBodies(t, "live events", live, events)
		if took := time.Since(began); took > w.soon() {
			t.Errorf("a live event took %s", took)
		}
		if !w.at(f.at.Position, pos) {
			t.Errorf("after the live events it is caught up at %s, want %s", f.at.Position, pos)
		}
	}
}

func testFollowCategories(t *testing.T, w *world) {
	byStream := map[string]uuid.UUID{}
	streams := []string{"subscription-m.1", "endpoint-m.1", "subscription-a-b", "subscriptions-m.1", "subscription",
		"numbers", "endpoint", "delivery-m.subscription-1", "SUBSCRIPTION-m.1", "subscription.x-m.1", "sub-scription"}
	for _, stream := range streams {
		events := raw(1)
		w.mustAppend(t, w.stream(stream), event.NoStream, events...)
		byStream[stream] = events[0].ID
	}
	w.mustAppend(t, "un"+w.stream("subscription-m.1"), event.NoStream, raw(1)...)
	for _, tt := range []struct{ categories, streams []string }{
		{[]string{"subscription"}, []string{"subscription-m.1", "subscription-a-b", "subscription"}},
		{[]string{"endpoint", "numbers"}, []string{"endpoint-m.1", "numbers", "endpoint"}},
		{[]string{"numbers", "subscriptions", "numbers"}, []string{"subscriptions-m.1", "numbers"}},
		{[]string{"subscription.x"}, []string{"subscription.x-m.1"}},
		{[]string{"subscription-m.1"}, nil},
		{[]string{"nothing"}, nil},
	} {
		var categories []string
		for _, c := range tt.categories {
			categories = append(categories, w.category(c))
		}
		var want []uuid.UUID
		for _, stream := range tt.streams {
			want = append(want, byStream[stream])
		}
		got := w.followed(t, w.start, categories...)
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(ids(got))); diff != "" {
			t.Errorf("categories %v (-want +got):\n%s", tt.categories, diff)
		}
	}
	if all := w.followed(t, w.start); len(all) != len(byStream)+1 {
		t.Errorf("without categories: got %d events, want %d", len(all), len(byStream)+1)
	}
}

// testFollowSystem looks at the log's beginning, where a server writes about itself.
func testFollowSystem(t *testing.T, w *world) {
	w.mustAppend(t, w.stream("subscription-m.1"), event.NoStream, raw(1)...)
	f := w.following(t, event.Cursor{})
	for range 1000 {
		m := f.next(t)
		if m.Kind == event.KindCaughtUp {
			break
		}
		if m.Kind == event.KindCheckpoint {
			continue
		}
		if err := event.CheckStream(m.Event.Stream); err != nil {
			t.Errorf("an event came that nobody can have appended: %v", err)
		}
	}
}

func testFollowEmpty(t *testing.T, w *world) {
	if w.Shared {
		w.skip(t, "it is not empty")
	}
	for _, categories := range [][]string{nil, {"subscription"}} {
		f := w.following(t, event.Cursor{}, categories...)
		if m := f.next(t); m.Kind != event.KindCaughtUp || !m.Position.IsZero() {
			t.Errorf("categories %v: got %+v, want that it is caught up at the beginning", categories, m)
		}
	}
	if head := w.head(t); !head.IsZero() {
		t.Errorf("the head of an empty log: got %s, want that it is before everything", head)
	}
}

func testFollowNothing(t *testing.T, w *world) {
	for range 3 {
		if got := w.followed(t, w.start, w.category("subscription"), w.category("endpoint")); len(got) != 0 {
			t.Errorf("got %d events, want none", len(got))
		}
		w.fill(t, w.stream("numbers-"+uuid.NewString()), event.NoStream, 120)
	}
	head := w.head(t)
	f := w.following(t, w.start, w.category("subscription"))
	f.until(t, head)
	if !w.at(f.at.Position, head) {
		t.Errorf("it is caught up at %s, want %s, where the others' events end", f.at.Position, head)
	}
}

// testFollowUnmatched: who waits until a follower has come to a position waits for events of others, too.
func testFollowUnmatched(t *testing.T, w *world) {
	f := w.following(t, w.start, w.category("subscription"))
	f.until(t, w.start.Position)
	for range 3 {
		pos := w.mustAppend(t, w.stream("numbers-"+uuid.NewString()), event.NoStream, raw(2)...)
		if events := f.until(t, pos); len(events) != 0 {
			t.Errorf("got %d events, want none", len(events))
		}
		if !w.at(f.at.Position, pos) {
			t.Errorf("it is caught up at %s, want %s", f.at.Position, pos)
		}
	}
}

// testFollowErrors: also an error by which the log itself would try again, or say that it is closed, is the handler's.
func testFollowErrors(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 10)
	w.fill(t, w.stream("numbers"), event.NoStream, 150)
	all := w.followed(t, w.start, w.category("subscription"))
	for _, stop := range []error{
		errors.New("stop"), context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, event.ErrUnavailable, event.ErrClosed,
		event.ErrUnknownOutcome, event.ErrStreamNotFound, event.ErrPositionAhead, &event.WrongRevisionError{},
	} {
		for _, kind := range []event.Kind{event.KindEvent, event.KindCheckpoint, event.KindCaughtUp} {
			stopped := false
			err := w.handle(t, []string{w.category("subscription")}, w.start, func(_ context.Context, m event.Message) error {
				if stopped {
					t.Errorf("%v at kind %d: a message after the error", stop, kind)
				}
				if m.Kind != kind {
					return nil
				}
				stopped = true
				return stop
			})
			if err != stop {
				t.Errorf("%v at kind %d: got error %v, want the handler's own", stop, kind, err)
			}
		}
	}
	// Starting again behind the last event that was handled delivers the one that was not.
	stop, at := errors.New("stop"), w.start
	for i := range all {
		err := w.handle(t, []string{w.category("subscription")}, at, func(_ context.Context, m event.Message) error {
			if m.Kind == event.KindEvent && m.Event.ID == all[i].ID {
				return stop
			}
			at = advance(at, m)
			return nil
		})
		if err != stop {
			t.Fatalf("event %d: got error %v, want the handler's own", i, err)
		}
	}
	wantEvents(t, "after the last failure", w.followed(t, at, w.category("subscription")), all[9:])
}

// testFollowSlow lets a follower fall behind by thousands of events while its handler has one in hand.
func testFollowSlow(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	want := w.fill(t, stream, event.NoStream, 3)
	f := w.following(t, w.start, w.category("subscription")) // whose handler waits for the test to take each message
	got := f.collect(t, 3)
	for range 2 {
		more := w.fill(t, stream, event.Revision(len(want)-1), w.size(5000))
		want, got = append(want, more...), append(got, f.collect(t, len(more))...)
	}
	wantPlaces(t, got, stream, 0)
	wantBodies(t, "events of a slow handler", got, want)
}

func testFollowBlocked(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	want := w.fill(t, stream, event.NoStream, 1)
	var blocked [3]*following
	var first [3]event.Message
	for i := range blocked {
		blocked[i] = w.following(t, w.start, w.category("subscription"))
		first[i] = blocked[i].next(t) // and the one behind it stays in the handler's hands
	}
	want = append(want, w.fill(t, stream, 0, w.size(5000))...)
	wantBodies(t, "events of another follower", w.followed(t, w.start, w.category("subscription")), want)
	w.wantStream(t, stream, want...)
	for i, f := range blocked { // none was given up meanwhile
		var got []event.RawRecorded
		if first[i].Kind == event.KindEvent {
			got = append(got, first[i].Event)
		}
		wantBodies(t, "events of a follower that was blocked", append(got, f.collect(t, len(want)-len(got))...), want)
	}
}

func testFollowMany(t *testing.T, w *world) {
	w.alone(t)
	const followers, n = 50, 200
	categories := []string{w.category("subscription"), w.category("endpoint")}
	var all [followers]*following
	for i := range all {
		all[i] = w.following(t, w.start, categories[i%2])
	}
	want := map[string][]event.Raw{}
	for _, c := range categories {
		want[c] = w.fill(t, c+"-m.1", event.NoStream, n)
	}
	var taking sync.WaitGroup
	for i, f := range all {
		taking.Go(func() {
			var got []event.RawRecorded
			for len(got) < n {
				m, err := f.take()
				if err != nil {
					t.Errorf("follower %d: %v", i, err)
					return
				}
				if m.Kind == event.KindEvent {
					got = append(got, m.Event)
				}
			}
			wantBodies(t, fmt.Sprintf("follower %d", i), got, want[f.categories[0]])
		})
	}
	taking.Wait()
}

func testFollowIndependent(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	want := w.fill(t, stream, event.NoStream, 50)
	staying := w.following(t, w.start, w.category("subscription"))
	got := staying.collect(t, len(want))
	for i := range 5 {
		stop := errors.New("stop")
		if err := w.handle(t, nil, w.start, func(context.Context, event.Message) error { return stop }); err != stop {
			t.Errorf("got error %v, want the handler's own", err)
		}
		leaving := w.following(t, w.start, w.category("subscription"))
		leaving.next(t)
		leaving.end()
		events := raw(i + 1)
		w.mustAppend(t, stream, event.Revision(len(want))-1, events...)
		want, got = append(want, events...), append(got, staying.collect(t, len(events))...)
	}
	wantBodies(t, "events of the follower that stayed", got, want)
}

func testFollowCancelled(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 300)
	for _, at := range []struct {
		name string
		when func(event.Message) bool
	}{
		{"on its way", func(m event.Message) bool { return m.Kind == event.KindEvent }},
		{"waiting for more", func(m event.Message) bool { return m.Kind == event.KindCaughtUp }},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), w.Patience)
		err := w.Follow(ctx, nil, w.start, func(_ context.Context, m event.Message) error {
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
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	err := w.Follow(late, nil, w.start, func(context.Context, event.Message) error {
		t.Error("a message after the deadline")
		return nil
	})
	wantError(t, "too late", err, context.DeadlineExceeded)
}

// testFollowLeaves cancels followers that wait for events which do not come.
func testFollowLeaves(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 20)
	last := w.followed(t, w.start, w.category("subscription"))[19]
	leave := func() {
		f := w.following(t, behind(last), w.category("subscription"))
		f.until(t, last.Position)
		began := time.Now()
		f.end()
		if took := time.Since(began); took > w.soon() {
			t.Errorf("a follower took %s to stop", took)
		}
		if err := <-f.done; !errors.Is(err, context.Canceled) {
			t.Errorf("a follower that was cancelled: got %v, want context.Canceled", err)
		}
	}
	leave()
	before, _ := goroutines(t)
	for range w.size(100) {
		leave()
	}
	w.wantGoroutines(t, before)
}
