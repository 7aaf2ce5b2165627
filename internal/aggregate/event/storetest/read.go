package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

var readTests = tests{
	"from any revision":                        testReadFrom,      // 23
	"an iterator may be run again":             testReadAgain,     // 23
	"as it is followed":                        testReadFollowed,  // 22
	"a stream that does not exist":             testReadNone,      // 24
	"a reader who leaves early leaves nothing": testReadBreak,     // 25
	"while others append":                      testReadGrows,     // 26
	"a long stream":                            testReadLong,      // 27
	"a cancelled reader stops":                 testReadCancelled, // 28
}

// testReadFrom reads streams that end at, before and behind the ends of pages, as logs and servers read them.
func testReadFrom(t *testing.T, w *world) {
	for _, n := range []int{1, 31, 32, 33, 64, 65, 255, 256, 257, 600} {
		stream := w.stream(fmt.Sprintf("subscription-m.%d", n))
		events := w.fill(t, stream, event.NoStream, n)
		for _, from := range []int{0, 1, n - 33, n - 32, n - 31, n/2 + 1, n - 1, n, n + 50} {
			if from < 0 {
				continue
			}
			got, err := readAll(t.Context(), w, stream, event.Revision(from))
			if err != nil {
				t.Fatalf("%d events from %d: %v", n, from, err)
			}
			wantPlaces(t, got, stream, event.Revision(from))
			wantBodies(t, fmt.Sprintf("%d events from %d", n, from), got, events[min(from, n):])
		}
	}
}

func testReadAgain(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	reading := w.Read(t.Context(), stream, 0)
	for want := range 3 {
		got := 0
		for _, err := range reading {
			switch {
			case want == 0:
				wantError(t, "before the first append", err, event.ErrStreamNotFound)
			case err != nil:
				t.Fatal(err)
			default:
				got++
			}
		}
		if got != want {
			t.Errorf("the iterator gave %d events, want the %d that stand there now", got, want)
		}
		w.mustAppend(t, stream, event.Revision(want)-1, raw(1)...)
	}
}

// testReadFollowed: a stream's reader and a follower of the log see each event in the same place.
func testReadFollowed(t *testing.T, w *world) {
	const streams, rounds = 4, 20
	for i := range event.Revision(rounds) {
		for s := range streams {
			w.mustAppend(t, w.stream(fmt.Sprintf("subscription-m.%d", s)), 2*i-1, raw(2)...)
		}
	}
	byStream := map[string][]event.RawRecorded{}
	for _, e := range w.followed(t, w.start) {
		byStream[e.Stream] = append(byStream[e.Stream], e)
	}
	if len(byStream) != streams {
		t.Errorf("followed %d streams, want %d", len(byStream), streams)
	}
	for stream, want := range byStream {
		got, err := readAll(t.Context(), w, stream, 0)
		if err != nil || len(got) != 2*rounds {
			t.Errorf("read %d events, %v; want %d", len(got), err, 2*rounds)
		}
		wantEvents(t, stream+" as followed and as read", got, want)
	}
}

func testReadNone(t *testing.T, w *world) {
	w.mustAppend(t, w.stream("subscription-m.1"), event.NoStream, raw(1)...)
	for _, from := range []event.Revision{0, 5} {
		looks := 0
		for e, err := range w.Read(t.Context(), w.stream("subscription-m.2"), from) {
			looks++
			wantError(t, fmt.Sprintf("from %d, event %v", from, e), err, event.ErrStreamNotFound)
		}
		if looks != 1 {
			t.Errorf("from %d: the reader was called %d times, want once, with the error", from, looks)
		}
	}
	for name, from := range map[string]event.Revision{"subscription m": 0, "$all": 0, "": 0, w.stream("subscription-m.1"): -1} {
		_, err := readAll(t.Context(), w, name, from)
		wantError(t, fmt.Sprintf("%q from %d", name, from), err, event.ErrInvalidArgument)
	}
}

func testReadBreak(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	events := w.fill(t, stream, event.NoStream, 300)
	leave := func(stream string, after int) {
		n := 0
		for range w.Read(t.Context(), stream, 0) {
			if n++; n == after {
				break
			}
		}
	}
	leave(stream, 1)
	before, _ := goroutines(t)
	for i := range w.size(300) {
		leave(stream, i%290+1)
		leave(w.stream("subscription-m.2"), 1) // which does not exist
	}
	w.wantGoroutines(t, before)
	w.wantStream(t, stream, events...)
}

// testReadGrows: what a reader sees is a beginning of what there will be, and never less than he saw before.
func testReadGrows(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(w.size(500))
	written := make(chan struct{})
	w.mustAppend(t, stream, event.NoStream, events[0])
	go func() {
		defer close(written)
		for next := 1; next < len(events); {
			part := events[next:min(next+1+next%3, len(events))]
			if _, err := w.Append(t.Context(), stream, event.Revision(next)-1, part...); err != nil {
				t.Errorf("append %d: %v", next, err)
				return
			}
			next += len(part)
		}
	}()
	seen := 1
	for last := 3; last > 0; { // looks after the last append
		select {
		case <-written:
			last--
		default:
		}
		from := seen / 2
		got, err := readAll(t.Context(), w, stream, event.Revision(from))
		if err != nil {
			t.Fatal(err)
		}
		wantPlaces(t, got, stream, event.Revision(from))
		if to := from + len(got); to < seen || to > len(events) {
			t.Fatalf("a reader saw %d events after %d", to, seen)
		}
		seen = from + len(got)
		wantBodies(t, "a beginning of what is appended", got, events[from:seen])
	}
	if seen != len(events) {
		t.Errorf("read %d events, want %d", seen, len(events))
	}
}

func testReadLong(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	w.wantStream(t, stream, w.fill(t, stream, event.NoStream, w.size(10000))...)
}

func testReadCancelled(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	w.fill(t, stream, event.NoStream, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n, errs := 0, 0
	for _, err := range w.Read(ctx, stream, 0) {
		if err != nil {
			errs++
			wantError(t, "a cancelled reader", err, context.Canceled)
			continue
		}
		if n++; n == 10 {
			cancel()
		}
	}
	if n > 700 || errs != 1 {
		t.Errorf("got %d events and %d errors, want that it stops soon with one error", n, errs)
	}
	if _, err := readAll(ctx, w, stream, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader with a cancelled context got %v, want context.Canceled", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := readAll(late, w, stream, 0)
	wantError(t, "a reader who is late", err, context.DeadlineExceeded)
	_, err = w.Head(late)
	wantError(t, "a look at the head that is late", err, context.DeadlineExceeded)
}
