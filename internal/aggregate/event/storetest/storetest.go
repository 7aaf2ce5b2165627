// Package storetest is the suite that every event.Log passes. What a log promises is written at event.Log; here it is
// tried, the odd corners first. A log that needs more than its package to run, such as a server that fails on demand,
// tests that beside this suite.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Options say what a log can do beside the contract.
type Options struct {
	// Reopen closes a log and opens the same store again; nil if a log does not outlive its process.
	Reopen func(t *testing.T, l event.Log) event.Log
	// Short makes the long tests shorter, for a log that is slow in tests.
	Short bool
}

// patience ends a test that waits for what does not come. Nothing takes that long.
const patience = 60 * time.Second

// Run runs the suite. open returns a new, empty log, which the suite closes.
func Run(t *testing.T, open func(t *testing.T) event.Log, opts Options) {
	s := suite{open: open, Options: opts}
	t.Run("append", s.append)
	t.Run("read", s.read)
	t.Run("follow", s.follow)
	t.Run("lifecycle", s.lifecycle)
}

type suite struct {
	open func(t *testing.T) event.Log
	Options
}

// cases runs tests in parallel, each on a log of its own.
func (s suite) cases(t *testing.T, tests map[string]func(*testing.T, event.Log)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := s.open(t)
			t.Cleanup(func() { closeLog(t, l) })
			test(t, l)
		})
	}
}

// size is n, or a tenth of it where tests shall be short.
func (s suite) size(n int) int {
	if s.Short || testing.Short() {
		return max(n/10, 10)
	}
	return n
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

func mustAppend(t *testing.T, l event.Log, stream string, at event.Revision, events ...event.Raw) event.Position {
	t.Helper()
	pos, err := l.Append(t.Context(), stream, at, events...)
	if err != nil {
		t.Fatalf("append %d events to %s at %d: %v", len(events), stream, at, err)
	}
	return pos
}

// fill appends n events to a stream that is at revision at, a hundred at a time, and returns them.
func fill(t *testing.T, l event.Log, stream string, at event.Revision, n int) []event.Raw {
	t.Helper()
	all := raw(n)
	for from := 0; from < n; from += 100 {
		part := all[from:min(from+100, n)]
		mustAppend(t, l, stream, at, part...)
		at += event.Revision(len(part))
	}
	return all
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
func wantStream(t *testing.T, l event.Log, stream string, want ...event.Raw) []event.RawRecorded {
	t.Helper()
	got, err := readAll(t.Context(), l, stream, 0)
	if len(want) == 0 {
		wantError(t, "read "+stream, err, event.ErrStreamNotFound)
		return nil
	}
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	wantPlaces(t, got, stream, 0)
	if slices.EqualFunc(want, bodies(got), sameBody) { // comparing a mebibyte well takes a minute
		return got
	}
	if diff := cmp.Diff(want, bodies(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("events of %s (-want +got):\n%s", stream, diff)
	}
	return got
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

func bodies(events []event.RawRecorded) []event.Raw {
	raws := make([]event.Raw, len(events))
	for i, e := range events {
		raws[i] = e.Raw
	}
	return raws
}

// following is a Follow that runs beside the test and hands over its messages.
type following struct {
	messages chan event.Message
	done     chan error
	stop     context.CancelFunc
}

func startFollow(t *testing.T, l event.Log, after event.Cursor, categories ...string) *following {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	f := &following{messages: make(chan event.Message), done: make(chan error, 1), stop: cancel}
	go func() {
		f.done <- l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
			select {
			case f.messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(f.messages)
	}()
	t.Cleanup(func() {
		cancel()
		for range f.messages { // until the goroutine has ended
			continue
		}
	})
	return f
}

// next is the next message.
func (f *following) next(t *testing.T) event.Message {
	t.Helper()
	m, ok := <-f.messages
	if !ok {
		t.Fatalf("follow ended: %v", <-f.done)
	}
	return m
}

// until takes messages up to one that says that everything up to pos was delivered.
func (f *following) until(t *testing.T, pos event.Position) (events []event.RawRecorded, marks []event.Message) {
	t.Helper()
	last := event.Position{}
	for {
		m := f.next(t)
		if m.Position.Compare(last) < 0 || m.Kind == event.KindEvent && m.Position == last {
			t.Fatalf("message of kind %d at %s after one at %s", m.Kind, m.Position, last)
		}
		last = m.Position
		if m.Kind == event.KindEvent {
			events = append(events, m.Event)
			continue
		}
		marks = append(marks, m)
		if m.Kind == event.KindCaughtUp && m.Position.Compare(pos) >= 0 {
			return events, marks
		}
	}
}

// followAll is everything after a cursor up to the head.
func followAll(t *testing.T, l event.Log, after event.Cursor, categories ...string) ([]event.RawRecorded, []event.Message) {
	t.Helper()
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	f := startFollow(t, l, after, categories...)
	defer f.stop()
	return f.until(t, head)
}

func ids(events []event.RawRecorded) []uuid.UUID {
	all := make([]uuid.UUID, len(events))
	for i, e := range events {
		all[i] = e.ID
	}
	return all
}
