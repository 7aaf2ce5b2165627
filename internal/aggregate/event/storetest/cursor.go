package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

var cursorTests = tests{
	"what it stands at is not delivered again":    testCursorExclusive,   // 32
	"checkpoints pass long stretches":             testCursorCheckpoints, // 34
	"going on from anywhere loses nothing":        testCursorAnywhere,    // 32, 34
	"of one follower fits another":                testCursorOfAnother,   // 32, 34
	"of another past is refused":                  testCursorPast,        // 42
	"of a longer log is refused":                  testCursorLonger,      // 42
	"behind all there is is refused":              testCursorAhead,       // 42
	"that cannot be is refused":                   testCursorImpossible,  // 42
	"far behind its last event is no alarm":       testCursorFarBehind,   // 42
	"kept with its rows counts each event once":   testCursorCrash,       // 45
	"kept by a process before goes on in the new": testCursorReopened,    // 45, 62
}

func testCursorExclusive(t *testing.T, w *world) {
	stream, category := w.stream("subscription-m.1"), w.category("subscription")
	w.fill(t, stream, event.NoStream, 20)
	w.fill(t, w.stream("endpoint-m.1"), event.NoStream, 250)
	w.fill(t, stream, 19, 20)
	all := w.followed(t, w.start, category)
	if len(all) != 40 {
		t.Fatalf("got %d events, want 40", len(all))
	}
	for i, e := range all {
		wantEvents(t, fmt.Sprintf("behind event %d", i), w.followed(t, behind(e), category), all[i+1:])
		wantEvents(t, fmt.Sprintf("behind the place of event %d", i), w.followed(t, event.Cursor{Position: e.Position}, category), all[i+1:])
	}
}

func testCursorCheckpoints(t *testing.T, w *world) {
	numbers, delivery := w.stream("numbers"), w.stream("delivery-m.1")
	w.fill(t, numbers, event.NoStream, 1)
	w.fill(t, delivery, event.NoStream, 950)
	w.fill(t, numbers, 0, 1)
	w.fill(t, delivery, 949, 333)
	head := w.head(t)
	whole := w.following(t, w.start)
	var places []event.Position // of every event, whosever it is
	for whole.at.Position.Compare(head) < 0 {
		if m := whole.next(t); m.Kind == event.KindEvent {
			places = append(places, m.Position)
		}
	}
	passed := func(p event.Position) int { // a checkpoint need not be the place of an event
		n, found := slices.BinarySearchFunc(places, p, event.Position.Compare)
		if found {
			n++
		}
		return n
	}
	f := w.following(t, w.start, w.category("numbers"))
	for f.at.Position.Compare(head) < 0 {
		before := f.at.Position
		f.next(t)
		if silent := passed(f.at.Position) - passed(before); silent > 101 {
			t.Errorf("the handler heard nothing between %s and %s, %d events", before, f.at.Position, silent)
		}
	}
}

// testCursorAnywhere is a law: whichever message was the last, the events behind it are what comes next.
func testCursorAnywhere(t *testing.T, w *world) {
	random := rand.New(rand.NewPCG(7, 11))
	names := []string{"subscription", "endpoint", "delivery"}
	at := map[string]event.Revision{}
	for range 40 { // stretches of one category, some of them long
		stream := w.stream(names[random.IntN(len(names))] + "-m.1")
		if _, ok := at[stream]; !ok {
			at[stream] = event.NoStream
		}
		n := 1 + random.IntN(5)
		if random.IntN(4) == 0 {
			n = 80 + random.IntN(80)
		}
		w.fill(t, stream, at[stream], n)
		at[stream] += event.Revision(n)
	}
	for _, categories := range [][]string{{"subscription"}, {"endpoint", "delivery"}} {
		for i := range categories {
			categories[i] = w.category(categories[i])
		}
		all, cursors := w.passed(t, w.start, categories...)
		step := max(1, len(cursors)/w.size(100))
		for i, c := range cursors {
			if i%step != 0 && c.Position == c.LastPosition { // of the events some, of the others all
				continue
			}
			wantEvents(t, fmt.Sprintf("%v behind %+v", categories, c), w.followed(t, c, categories...), later(all, c.Position))
		}
	}
}

// testCursorOfAnother: a follower that is given more categories goes on from where it was.
func testCursorOfAnother(t *testing.T, w *world) {
	for i := range event.Revision(10) {
		w.fill(t, w.stream("subscription-m.1"), i-1, 1)
		w.fill(t, w.stream("endpoint-m.1"), 12*i-1, 12)
	}
	all := w.followed(t, w.start, w.category("subscription"), w.category("endpoint"))
	if len(all) != 130 {
		t.Fatalf("got %d events, want 130", len(all))
	}
	_, cursors := w.passed(t, w.start, w.category("subscription"))
	for _, c := range cursors {
		got := w.followed(t, c, w.category("subscription"), w.category("endpoint"))
		wantEvents(t, fmt.Sprintf("behind %+v", c), got, later(all, c.Position))
	}
}

// refuses checks that a cursor is answered by one of these errors, and by no message.
func (w *world) refuses(t *testing.T, what string, c event.Cursor, want ...error) {
	t.Helper()
	err := w.handle(t, nil, c, func(context.Context, event.Message) error {
		t.Errorf("%s: a message was delivered", what)
		return context.Canceled
	})
	if !slices.ContainsFunc(want, func(want error) bool { return errors.Is(err, want) }) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func testCursorPast(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 5)
	all := w.followed(t, w.start, w.category("subscription"))
	if len(all) != 5 {
		t.Fatalf("got %d events, want 5", len(all))
	}
	second, last := all[1], all[4]
	w.refuses(t, "another event stands there",
		event.Cursor{Position: second.Position, LastPosition: second.Position, LastID: last.ID}, event.ErrDiverged)
	w.refuses(t, "an event that never was stood there",
		event.Cursor{Position: last.Position, LastPosition: last.Position, LastID: uuid.New()}, event.ErrDiverged)
	w.refuses(t, "another event stood before the checkpoint",
		event.Cursor{Position: last.Position, LastPosition: second.Position, LastID: uuid.New()}, event.ErrDiverged)
	// The log may have grown over the place, so that only the event tells.
	w.fill(t, w.stream("subscription-m.1"), 4, 200)
	w.refuses(t, "others were appended since",
		event.Cursor{Position: last.Position, LastPosition: last.Position, LastID: second.ID}, event.ErrDiverged)
}

func testCursorAhead(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 5)
	const far = 1 << 40
	ahead := event.Position{Commit: w.last.Commit + far, Prepare: w.last.Prepare + far}
	w.refuses(t, "an event far behind the head", event.Cursor{Position: ahead, LastPosition: ahead, LastID: uuid.New()}, event.ErrPositionAhead)
}

// testCursorLonger: an older log was restored, and its followers have seen more than it holds.
func testCursorLonger(t *testing.T, w *world) {
	if w.Shared {
		w.skip(t, "a second log that is shorter is not at hand")
	}
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 5)
	last := w.followed(t, w.start)[4]
	shorter := &world{Log: w.open(t), suite: w.suite, tag: w.tag}
	t.Cleanup(func() { closeLog(t, shorter.Log) })
	shorter.refuses(t, "the log is empty", behind(last), event.ErrPositionAhead)
	shorter.fill(t, w.stream("subscription-m.1"), event.NoStream, 3)
	shorter.refuses(t, "the log is shorter", behind(last), event.ErrPositionAhead)
}

func testCursorImpossible(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 5)
	all := w.followed(t, w.start, w.category("subscription"))
	if len(all) != 5 {
		t.Fatalf("got %d events, want 5", len(all))
	}
	second, last := all[1], all[4]
	w.refuses(t, "the last event behind the position",
		event.Cursor{Position: second.Position, LastPosition: last.Position, LastID: last.ID}, event.ErrInvalidArgument)
	w.refuses(t, "an event without a place", event.Cursor{Position: second.Position, LastID: last.ID}, event.ErrInvalidArgument)
	w.refuses(t, "a place without an event", event.Cursor{Position: second.Position, LastPosition: second.Position}, event.ErrInvalidArgument)
	nowhere := event.Position{Commit: last.Position.Commit, Prepare: last.Position.Prepare + 1}
	w.refuses(t, "a place where nothing can stand", event.Cursor{Position: nowhere, LastPosition: nowhere, LastID: last.ID},
		event.ErrInvalidArgument, event.ErrDiverged, event.ErrPositionAhead)
}

// testCursorFarBehind: checkpoints may lie far behind the last event that was delivered, and behind the last there is.
func testCursorFarBehind(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 5)
	w.fill(t, w.stream("numbers"), event.NoStream, 350)
	_, cursors := w.passed(t, w.start, w.category("subscription"))
	last := cursors[len(cursors)-1]
	if last.LastPosition.IsZero() || last.Position.Compare(last.LastPosition) <= 0 {
		t.Fatalf("got cursor %+v at the end, want it behind the last event", last)
	}
	for _, c := range cursors {
		if c.LastPosition != last.LastPosition {
			continue
		}
		if got := w.followed(t, c, w.category("subscription")); len(got) != 0 {
			t.Errorf("behind %+v: got %d events, want none", c, len(got))
		}
	}
}

// testCursorCrash keeps rows and a cursor together, fails before or after they are kept, and starts again from them.
func testCursorCrash(t *testing.T, w *world) {
	n := w.size(2000)
	stream := w.stream("subscription-m.1")
	want := w.fill(t, stream, event.NoStream, n/2)
	w.fill(t, w.stream("numbers"), event.NoStream, n)
	want = append(want, w.fill(t, stream, event.Revision(len(want)-1), n/2)...)
	head := w.head(t)
	random := rand.New(rand.NewPCG(1, 2))
	crash := errors.New("crash")
	var rows []uuid.UUID
	at := w.start
	for crashes := 0; at.Position.Compare(head) < 0; crashes++ {
		err := w.handle(t, []string{w.category("subscription")}, at, func(_ context.Context, m event.Message) error {
			before, after := random.IntN(20) == 0, random.IntN(20) == 0
			if before {
				return crash
			}
			if at = advance(at, m); m.Kind == event.KindEvent {
				rows = append(rows, m.Event.ID)
			}
			if after || m.Position.Compare(head) >= 0 {
				return crash
			}
			return nil
		})
		if err != crash {
			t.Fatalf("after %d crashes: %v", crashes, err)
		}
	}
	if diff := cmp.Diff(rawIDs(want), rows); diff != "" {
		t.Errorf("rows differ from those of a clean run (-want +got):\n%s", diff)
	}
}

func testCursorReopened(t *testing.T, w *world) {
	w.fill(t, w.stream("subscription-m.1"), event.NoStream, 10)
	w.fill(t, w.stream("numbers"), event.NoStream, 250)
	w.fill(t, w.stream("subscription-m.1"), 9, 10)
	all, cursors := w.passed(t, w.start, w.category("subscription"))
	w.reopen(t)
	for _, c := range cursors {
		wantEvents(t, fmt.Sprintf("behind %+v", c), w.followed(t, c, w.category("subscription")), later(all, c.Position))
	}
}
