package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// hold keeps the writer from writing until release is called, and returns when it can no longer begin.
func hold(t *testing.T, l *Log) (release func()) {
	t.Helper()
	held, let := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.db.Raw(context.Background(), func(driver.Conn) error { close(held); <-let; return nil }); err != nil {
			t.Errorf("hold: %v", err)
		}
	})
	<-held
	return func() { close(let); wg.Wait() }
}

// busy gives a held writer an append to work on, so that what comes later waits in the queue.
func busy(t *testing.T, l *Log) (wait func()) {
	t.Helper()
	r := &request{stream: "busy", at: event.NoStream, events: raw(1, 10), answered: make(chan struct{})}
	l.queue <- r
	for r.state.Load() != taken { // the writer is on its way
		continue
	}
	return func() {
		if <-r.answered; r.err != nil {
			t.Errorf("busy: %v", r.err)
		}
	}
}

func TestCancelledWhileItWaits(t *testing.T) {
	t.Parallel()
	l := openTest(t, t.TempDir()).Log
	release := hold(t, l)
	wait := busy(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() {
		_, err := l.Append(ctx, "subscription-m.1", event.NoStream, raw(1, 10)...)
		got <- err
	}()
	for len(l.queue) == 0 {
		continue
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) || errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want context.Canceled alone: nothing will be written", err)
	}
	release()
	wait()
	if _, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, raw(1, 10)...); err != nil {
		t.Errorf("another append at the same revision: %v, want that nothing stands there", err)
	}
}

func TestCancelledWhileItIsWritten(t *testing.T) {
	t.Parallel()
	l := openTest(t, t.TempDir()).Log
	release := hold(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	r := &request{stream: "subscription-m.1", at: event.NoStream, events: raw(2, 10), answered: make(chan struct{})}
	l.queue <- r
	for r.state.Load() != taken {
		continue
	}
	cancel()
	if _, err := r.abandon(ctx.Err()); !errors.Is(err, context.Canceled) || !errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want ErrUnknownOutcome and context.Canceled", err)
	}
	release()
	pos, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, r.events...)
	if err != nil {
		t.Fatalf("repeated: %v", err)
	}
	<-r.answered
	if pos != r.position || pos != position(2) {
		t.Errorf("repeated: %s, the first was written at %s; want one copy, ending at 2", pos, r.position)
	}
}

func TestOneGroupManyAnswers(t *testing.T) {
	t.Parallel()
	l := openTest(t, t.TempDir()).Log
	first := raw(2, 10)
	if _, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, first...); err != nil {
		t.Fatal(err)
	}
	release := hold(t, l)
	wait := busy(t, l)
	fresh := raw(1, 10)
	requests := []*request{
		{stream: "subscription-m.1", at: 1, events: fresh},                   // appended
		{stream: "subscription-m.1", at: 1, events: raw(1, 10)},              // lost to the one before
		{stream: "subscription-m.1", at: event.NoStream, events: first},      // made before this group
		{stream: "subscription-m.1", at: 1, events: fresh},                   // made in this group
		{stream: "subscription-m.2", at: 0, events: raw(1, 10)},              // no such stream
		{stream: "subscription-m.2", at: event.NoStream, events: raw(3, 10)}, // appended
		{stream: "subscription-m.1", at: event.NoStream, events: raw(2, 10)}, // other events stand there
		{stream: "subscription-m.1", at: 2, events: raw(1, 10)},              // appended behind the first
	}
	for _, r := range requests {
		r.answered = make(chan struct{})
		l.queue <- r
	}
	release()
	wait()
	want := []struct {
		position uint64
		actual   event.Revision // of a conflict
	}{{position: 4}, {actual: 2}, {position: 2}, {position: 4}, {actual: -1}, {position: 7}, {actual: 2}, {position: 8}}
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
	l := openTest(t, t.TempDir()).Log
	if _, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, raw(1, 10)...); err != nil {
		t.Fatal(err)
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
	_, err := l.Append(t.Context(), "subscription-m.1", 0, raw(1, 100_000)...)
	if !errors.Is(err, event.ErrStoreFull) {
		t.Errorf("got %v, want ErrStoreFull", err)
	}
	pages(1 << 30)
	pos, err := l.Append(t.Context(), "subscription-m.1", 0, raw(1, 100_000)...)
	if err != nil || pos != position(2) {
		t.Errorf("with room again: %s, %v; want position 2", pos, err)
	}
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
		given, _, _ := tail.page(7, 10)
		for i := range 3 * tailEvents {
			if size > 10 && i == 1000 {
				break
			}
			e := event.RawRecorded{Position: position(uint64(8 + i)), Raw: event.Raw{Data: make([]byte, size)}}
			tail.add([]event.RawRecorded{e})
			if i == 20 {
				given, _, _ = tail.page(7, 10)
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
		for i, e := range given {
			if e.Position != position(uint64(8+i)) {
				t.Errorf("a page that was given out has changed: %v at %d", e.Position, i)
			}
		}
	}
}
