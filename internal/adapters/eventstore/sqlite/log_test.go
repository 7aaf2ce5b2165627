package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
	}
	goleak.VerifyTestMain(m)
}

// stored is a log that knows where it is.
type stored struct {
	*Log
	dir string
}

func openTest(t testing.TB, dir string) stored {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return stored{l, dir}
}

func TestLog(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) event.Log { return openTest(t, t.TempDir()) }, storetest.Options{
		Reopen: func(t *testing.T, l event.Log) event.Log {
			t.Helper()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return openTest(t, l.(stored).dir)
		},
	})
}

func raw(n, size int) []event.Raw {
	events := make([]event.Raw, n)
	for i := range events {
		events[i] = event.Raw{ID: uuid.New(), Type: "payment_succeeded",
			Data: []byte(strings.Repeat("d", size)), Metadata: []byte(strings.Repeat("m", size/2))}
	}
	return events
}

// openStepwise opens a log whose writer does nothing by itself until start is called.
func openStepwise(t *testing.T) (l *Log, w *writer, start func()) {
	t.Helper()
	l, w, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l, w, func() { go w.run() }
}

func newRequest(stream string, at event.Revision, events ...event.Raw) *request {
	return &request{stream: stream, at: at, events: events, answered: make(chan struct{})}
}

func TestCancelledWhileItWaits(t *testing.T) {
	t.Parallel()
	l, _, start := openStepwise(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() {
		_, err := l.Append(ctx, "subscription-m.1", event.NoStream, raw(1, 10)...)
		got <- err
	}()
	for len(l.queue) == 0 {
		runtime.Gosched() // until it waits
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) || errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want context.Canceled alone: nothing will be written", err)
	}
	start() // and it must leave the withdrawn append alone
	if _, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, raw(1, 10)...); err != nil {
		t.Errorf("another append at the same revision: %v, want that nothing stands there", err)
	}
}

func TestCancelledWhileItIsWritten(t *testing.T) {
	t.Parallel()
	l, w, start := openStepwise(t)
	ctx, cancel := context.WithCancel(t.Context())
	events := raw(2, 10)
	got := make(chan error)
	go func() {
		_, err := l.Append(ctx, "subscription-m.1", event.NoStream, events...)
		got <- err
	}()
	w.collect(<-l.queue)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) || !errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want ErrUnknownOutcome and context.Canceled", err)
	}
	w.commit()
	start()
	pos, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, events...)
	if err != nil || pos != position(2) {
		t.Errorf("repeated: %s, %v; want one copy, ending at 2", pos, err)
	}
}

func TestClosedWhileItWaits(t *testing.T) {
	t.Parallel()
	l, w, start := openStepwise(t)
	left := newRequest("subscription-m.1", event.NoStream, raw(1, 10)...)
	w.collect(left) // taken: it gets its answer
	l.queue <- newRequest("subscription-m.2", event.NoStream, raw(1, 10)...)
	got := make(chan error)
	go func() {
		_, err := l.Append(t.Context(), "subscription-m.3", event.NoStream, raw(1, 10)...)
		got <- err
	}()
	w.commit()
	if <-left.answered; left.err != nil {
		t.Errorf("the append that was taken: %v", left.err)
	}
	start()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil && !errors.Is(err, event.ErrClosed) {
		t.Errorf("the append that waited: got %v, want ErrClosed or success", err)
	}
}

func TestOneGroupManyAnswers(t *testing.T) {
	t.Parallel()
	l, w, start := openStepwise(t)
	first, fresh := raw(2, 10), raw(1, 10)
	before := newRequest("subscription-m.1", event.NoStream, first...)
	w.collect(before)
	w.commit()
	if before.err != nil {
		t.Fatal(before.err)
	}
	requests := []*request{
		newRequest("subscription-m.1", 1, fresh...),                   // appended
		newRequest("subscription-m.1", 1, raw(1, 10)...),              // lost to the one before
		newRequest("subscription-m.1", event.NoStream, first...),      // made before this group
		newRequest("subscription-m.1", 1, fresh...),                   // made in this group
		newRequest("subscription-m.2", 0, raw(1, 10)...),              // no such stream
		newRequest("subscription-m.2", event.NoStream, raw(3, 10)...), // appended
		newRequest("subscription-m.1", event.NoStream, raw(2, 10)...), // other events stand there
		newRequest("subscription-m.1", 2, raw(1, 10)...),              // appended behind the first
	}
	for _, r := range requests {
		l.queue <- r
	}
	w.collect(<-l.queue)
	if len(w.taken) != len(requests) {
		t.Fatalf("the group holds %d appends, want %d", len(w.taken), len(requests))
	}
	w.commit()
	start()
	want := []struct {
		position uint64
		actual   event.Revision // of a conflict
	}{{position: 3}, {actual: 2}, {position: 2}, {position: 3}, {actual: -1}, {position: 6}, {actual: 2}, {position: 7}}
	for i, r := range requests {
		<-r.answered
		var wrong *event.WrongRevisionError
		switch {
		case want[i].position > 0 && (r.err != nil || r.position != position(want[i].position)):
			t.Errorf("append %d: got %s, %v; want position %d", i, r.position, r.err, want[i].position)
		case want[i].position == 0 && (!errors.As(r.err, &wrong) || wrong.Actual != want[i].actual):
			t.Errorf("append %d: got %v, want a conflict with revision %d", i, r.err, want[i].actual)
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	l, w, start := openStepwise(t)
	group := func(requests ...*request) {
		for _, r := range requests {
			l.queue <- r
		}
		w.collect(<-l.queue)
		w.commit()
	}
	first := newRequest("subscription-m.1", event.NoStream, raw(1, 10)...)
	group(first)
	if first.err != nil {
		t.Fatal(first.err)
	}
	pages := func(n int) {
		if err := l.db.Raw(t.Context(), func(c driver.Conn) error {
			s, err := newStatement(c, fmt.Sprintf("PRAGMA max_page_count = %d", n))
			if err != nil {
				return err
			}
			return errors.Join(s.exec(nil), s.Close())
		}); err != nil {
			t.Fatal(err)
		}
	}
	pages(1) // the size it has
	small, large := raw(1, 10), raw(1, 100_000)
	fits, full := newRequest("subscription-m.1", 0, small...), newRequest("subscription-m.2", event.NoStream, large...)
	group(fits, full)
	for _, r := range []*request{fits, full} {
		if !errors.Is(r.err, event.ErrStoreFull) {
			t.Errorf("%s: got %v, want ErrStoreFull", r.stream, r.err)
		}
	}
	pages(1 << 30)
	start()
	// Nothing of the group was written, and nothing of it is remembered.
	pos, err := l.Append(t.Context(), "subscription-m.2", event.NoStream, large...)
	if err != nil || pos != position(2) {
		t.Errorf("with room again: %s, %v; want position 2", pos, err)
	}
	if pos, err = l.Append(t.Context(), "subscription-m.1", 0, small...); err != nil || pos != position(3) {
		t.Errorf("with room again: %s, %v; want position 3", pos, err)
	}
}

// TestFollowLargeEventsFromTheFile: a page from the file ends early where events are large, and none is missed.
func TestFollowLargeEventsFromTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openTest(t, dir).Log
	const n = 120
	for i := range event.Revision(n) {
		if _, err := l.Append(t.Context(), "subscription-m.1", i-1, raw(1, 40_000)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next := event.Revision(0)
	follow(t, openTest(t, dir).Log, event.Cursor{}, func(e event.RawRecorded) error {
		if e.Revision != next {
			t.Fatalf("got revision %d, want %d", e.Revision, next)
		}
		next++
		return nil
	})
	if next != n {
		t.Errorf("got %d events, want %d", next, n)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := func(when string, want bool) {
		t.Helper()
		if got, err := Holds(t.Context(), dir); err != nil || got != want {
			t.Errorf("%s: got %t, %v; want %t", when, got, err, want)
		}
	}
	want("no log", false)
	l := openTest(t, dir).Log
	want("an empty log", false)
	if _, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, raw(1, 10)...); err != nil {
		t.Fatal(err)
	}
	want("a log that is open", true)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want("a log", true)
}

func TestFileOfANewerProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := db.Open(filepath.Join(dir, fileName), db.Options{Version: version + 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, db.ErrTooNew) {
		t.Errorf("got %v, want ErrTooNew", err)
	}
}

func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 100_000} {
		var tail tail
		tail.start(7)
		var given [][]event.RawRecorded
		var first []uint64
		for i := range 3 * tailEvents {
			if size > 10 && i == 1000 {
				break
			}
			e := event.RawRecorded{Position: position(uint64(8 + i)), Raw: event.Raw{Data: make([]byte, size)}}
			tail.add([]event.RawRecorded{e})
			if i%16 == 0 {
				page, _, _ := tail.page(tail.after, 10)
				given, first = append(given, page), append(first, tail.after+1)
			}
			if i%500 != 0 && size == 10 {
				continue
			}
			held := 0
			for _, e := range tail.events {
				held += len(e.Data)
			}
			if len(tail.events) > tailEvents || held > tailBytes || held != tail.bytes {
				t.Fatalf("it holds %d events of %d bytes and counts %d; want at most %d of %d", len(tail.events), held, tail.bytes, tailEvents, tailBytes)
			}
			if tail.head() != e.Position.Commit {
				t.Fatalf("head is %d, want %d", tail.head(), e.Position.Commit)
			}
			last, _, ok := tail.page(e.Position.Commit-1, 10)
			if !ok || len(last) != 1 || last[0].Position != e.Position {
				t.Fatalf("the last page is %v, %v; want the event at %s", last, ok, e.Position)
			}
		}
		if _, _, ok := tail.page(7, 10); ok {
			t.Error("the tail claims to hold what it has dropped")
		}
		for n, page := range given {
			for i, e := range page {
				if want := position(first[n] + uint64(i)); e.Position != want {
					t.Fatalf("a page that was given out has changed: event %s where %s was", e.Position, want)
				}
			}
		}
	}
}
