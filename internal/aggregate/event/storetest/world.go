package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// world is a log, and in it the streams of one test.
type world struct {
	event.Log
	*suite
	tag   string         // stands in the name of each of its streams
	start event.Cursor   // what was there before the test
	last  event.Position // of what mustAppend appended
}

func (s *suite) world(t *testing.T) *world {
	t.Helper()
	nameGoroutines(t)
	t.Cleanup(func() { s.wantGoroutines(t, 1) }) // the test's own, when the log and what open cleans up are gone
	w := &world{Log: s.open(t), suite: s, tag: "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:10]}
	t.Cleanup(func() { closeLog(t, w.Log) })
	head, err := w.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	if !s.Shared && !head.IsZero() {
		t.Fatalf("a new log has its head at %s, want that it is empty", head)
	}
	w.start.Position, w.last = head, head
	return w
}

// stream is the name by which a stream of this test is known: "subscription-m.1" becomes "t0a1b2c3d4e_subscription-m.1".
func (w *world) stream(name string) string { return w.tag + "_" + name }

// category is the category of the streams of that category.
func (w *world) category(name string) string { return w.stream(name) }

// mine are the events that stand in streams of this test.
func (w *world) mine(events []event.RawRecorded) []event.RawRecorded {
	return slices.DeleteFunc(slices.Clone(events), func(e event.RawRecorded) bool { return !w.owns(e.Stream) })
}

// owns reports whether a stream is of this test.
func (w *world) owns(stream string) bool { return !w.Shared || strings.Contains(stream, w.tag) }

// alone keeps other tests of the kind away from a shared log until this one has ended.
func (w *world) alone(t *testing.T) {
	if w.Shared {
		w.heavy.Lock()
		t.Cleanup(w.heavy.Unlock)
	}
}

// reopen goes on with the same store, opened again.
func (w *world) reopen(t *testing.T) {
	t.Helper()
	if w.Reopen == nil {
		w.skip(t, "it does not outlive its process")
	}
	w.Log = w.Reopen(t, w.Log)
}

func closeLog(t *testing.T, l event.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// raw makes n events with ids of their own.
func raw(n int) []event.Raw {
	events := make([]event.Raw, n)
	for i := range events {
		events[i] = event.Raw{ID: uuid.New(), Type: "payment_succeeded", Data: fmt.Appendf(nil, `{"n":%d}`, i), Metadata: []byte(`{"actor":"test"}`)}
	}
	return events
}

func (w *world) mustAppend(t *testing.T, stream string, at event.Revision, events ...event.Raw) event.Position {
	t.Helper()
	pos, err := w.Append(t.Context(), stream, at, events...)
	if err != nil {
		t.Fatalf("append %d events to %s at %d: %v", len(events), stream, at, err)
	}
	if pos.Compare(w.last) > 0 {
		w.last = pos
	}
	return pos
}

// fill appends n events to a stream that is at revision at, a hundred at a time, and returns them.
func (w *world) fill(t *testing.T, stream string, at event.Revision, n int) []event.Raw {
	t.Helper()
	all := raw(n)
	for part := range slices.Chunk(all, 100) {
		w.mustAppend(t, stream, at, part...)
		at += event.Revision(len(part))
	}
	return all
}

// head is the log's last position.
func (w *world) head(t *testing.T) event.Position {
	t.Helper()
	head, err := w.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return head
}

// wantHead checks that the test's last append stands at the head, or before it where others append too.
func (w *world) wantHead(t *testing.T, last event.Position) {
	t.Helper()
	if head := w.head(t); !w.at(head, last) {
		t.Errorf("head: got %s after an append at %s", head, last)
	}
}

// at reports whether a position that counts every event is where this test's last append left it.
func (w *world) at(got, want event.Position) bool {
	if w.Shared {
		return got.Compare(want) >= 0
	}
	return got == want
}

// wantConflict checks that an append was refused because its stream was elsewhere.
func wantConflict(t *testing.T, err error, stream string, expected, actual event.Revision) {
	t.Helper()
	var wrong *event.WrongRevisionError
	if !errors.As(err, &wrong) {
		t.Errorf("append to %s at %d: got error %v, want *WrongRevisionError", stream, expected, err)
		return
	}
	want := event.WrongRevisionError{Stream: stream, Expected: expected, Actual: actual}
	if diff := cmp.Diff(want, *wrong); diff != "" {
		t.Errorf("append to %s at %d: conflict (-want +got):\n%s", stream, expected, diff)
	}
}

// refused appends new events where they cannot stand.
func (w *world) refused(t *testing.T, stream string, at, actual event.Revision, events ...event.Raw) {
	t.Helper()
	_, err := w.Append(t.Context(), stream, at, events...)
	wantConflict(t, err, stream, at, actual)
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// readAll reads a stream to its end.
func readAll(ctx context.Context, l event.Log, stream string, from event.Revision) (all []event.RawRecorded, err error) {
	for e, err := range l.Read(ctx, stream, from) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// wantStream checks that a stream holds exactly these events, in places that fit.
func (w *world) wantStream(t *testing.T, stream string, want ...event.Raw) []event.RawRecorded {
	t.Helper()
	got, err := readAll(t.Context(), w, stream, 0)
	if len(want) == 0 {
		wantError(t, "read "+stream, err, event.ErrStreamNotFound)
		return nil
	}
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	wantPlaces(t, got, stream, 0)
	wantBodies(t, "events of "+stream, got, want)
	return got
}

// wantBodies checks that these events, as they were written, are what came.
func wantBodies(t *testing.T, what string, got []event.RawRecorded, want []event.Raw) {
	t.Helper()
	wantSame(t, what, bodies(got), want, sameBody)
}

// wantEvents checks that these very events came, each in its place.
func wantEvents(t *testing.T, what string, got, want []event.RawRecorded) {
	t.Helper()
	wantSame(t, what, got, want, sameEvent)
}

// wantSame shows where two lists part. To compare thousands of events well takes a minute, and nobody reads it.
func wantSame[E any](t *testing.T, what string, got, want []E, same func(E, E) bool) {
	t.Helper()
	if slices.EqualFunc(want, got, same) {
		return
	}
	from := 0
	for from < min(len(want), len(got)) && same(want[from], got[from]) {
		from++
	}
	few := func(all []E) []E { return all[from:min(from+3, len(all))] }
	t.Errorf("%s: %d, want %d; from number %d on (-want +got):\n%s",
		what, len(got), len(want), from, cmp.Diff(few(want), few(got), cmpopts.EquateEmpty()))
}

// wantPlaces checks that events stand one behind the other.
func wantPlaces(t *testing.T, got []event.RawRecorded, stream string, from event.Revision) {
	t.Helper()
	last := event.Position{}
	for i, e := range got {
		if e.Stream != stream || e.Revision != from+event.Revision(i) || e.Position.Compare(last) <= 0 {
			t.Errorf("event %d of %s: got stream %s, revision %d, position %s after %s; want revision %d and a later position",
				i, stream, e.Stream, e.Revision, e.Position, last, from+event.Revision(i))
		}
		last = e.Position
	}
}

func sameBody(a, b event.Raw) bool {
	return a.ID == b.ID && a.Type == b.Type && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Metadata, b.Metadata)
}

func sameEvent(a, b event.RawRecorded) bool {
	return a.Stream == b.Stream && a.Revision == b.Revision && a.Position == b.Position && sameBody(a.Raw, b.Raw)
}

func bodies(events []event.RawRecorded) []event.Raw {
	raws := make([]event.Raw, len(events))
	for i, e := range events {
		raws[i] = e.Raw
	}
	return raws
}

func ids(events []event.RawRecorded) []uuid.UUID { return rawIDs(bodies(events)) }

func rawIDs(events []event.Raw) []uuid.UUID {
	all := make([]uuid.UUID, len(events))
	for i, e := range events {
		all[i] = e.ID
	}
	return all
}
