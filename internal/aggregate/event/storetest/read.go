package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/aggregate/event"
)

func (s suite) read(t *testing.T) {
	s.cases(t, map[string]func(*testing.T, event.Log){
		"from any revision":                        testReadFrom,      // 23
		"a stream that does not exist":             testReadNone,      // 24
		"a reader who leaves early leaves nothing": testReadBreak,     // 25
		"while others append":                      s.testReadGrows,   // 26
		"a long stream":                            s.testReadLong,    // 27
		"a cancelled reader stops":                 testReadCancelled, // 28
	})
}

func testReadFrom(t *testing.T, l event.Log) {
	const n = 600
	mustAppend(t, l, "subscription-m.0", event.NoStream, raw(1)...)
	events := fill(t, l, "subscription-m.1", event.NoStream, n)
	mustAppend(t, l, "subscription-m.2", event.NoStream, raw(1)...)
	for _, from := range []event.Revision{0, 1, 255, 256, 257, 300, n - 1, n, n + 50} {
		got, err := readAll(t.Context(), l, "subscription-m.1", from)
		if err != nil {
			t.Fatalf("from %d: %v", from, err)
		}
		wantPlaces(t, got, "subscription-m.1", from)
		if diff := cmp.Diff(events[min(from, n):], bodies(got)); diff != "" {
			t.Errorf("from %d (-want +got):\n%s", from, diff)
		}
	}
	again := l.Read(t.Context(), "subscription-m.0", 0)
	for range 2 { // an iterator may be run more than once
		n := 0
		for _, err := range again {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("the iterator gave %d events, want 1", n)
		}
	}
}

func testReadNone(t *testing.T, l event.Log) {
	mustAppend(t, l, "subscription-m.1", event.NoStream, raw(1)...)
	for _, from := range []event.Revision{0, 5} {
		looks := 0
		for _, err := range l.Read(t.Context(), "subscription-m.2", from) {
			looks++
			wantError(t, fmt.Sprintf("from %d", from), err, event.ErrStreamNotFound)
		}
		if looks != 1 {
			t.Errorf("from %d: the reader was called %d times, want once, with the error", from, looks)
		}
	}
	for name, from := range map[string]event.Revision{"subscription m": 0, "$all": 0, "": 0, "subscription-m.1": -1} {
		_, err := readAll(t.Context(), l, name, from)
		wantError(t, fmt.Sprintf("%q from %d", name, from), err, event.ErrInvalidArgument)
	}
}

func testReadBreak(t *testing.T, l event.Log) {
	fill(t, l, "subscription-m.1", event.NoStream, 300)
	leave := func(after int) {
		n := 0
		for _, err := range l.Read(t.Context(), "subscription-m.1", 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == after {
				break
			}
		}
	}
	leave(1)
	before := runtime.NumGoroutine()
	for i := range 1000 {
		leave(i%290 + 1)
	}
	// Other tests run beside this one, so only a leak that grows with the rounds is one.
	if after := runtime.NumGoroutine(); after > before+500 {
		t.Errorf("%d goroutines before, %d after 1,000 readers left early", before, after)
	}
	wantSize(t, l, "subscription-m.1", 300)
}

func wantSize(t *testing.T, l event.Log, stream string, want int) {
	t.Helper()
	all, err := readAll(t.Context(), l, stream, 0)
	if err != nil || len(all) != want {
		t.Errorf("%s: read %d events, %v; want %d", stream, len(all), err, want)
	}
	wantPlaces(t, all, stream, 0)
}

func (s suite) testReadGrows(t *testing.T, l event.Log) {
	const stream = "subscription-m.1"
	total := s.size(1000)
	mustAppend(t, l, stream, event.NoStream, raw(1)...)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for r := range event.Revision(total) {
			if _, err := l.Append(t.Context(), stream, r, raw(1)...); err != nil {
				t.Errorf("append at %d: %v", r, err)
				return
			}
		}
	}()
	seen := 0
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		all, err := readAll(t.Context(), l, stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		wantPlaces(t, all, stream, 0)
		if len(all) < seen {
			t.Fatalf("a reader saw %d events after %d", len(all), seen)
		}
		seen = len(all)
	}
	if seen != total+1 {
		t.Errorf("read %d events, want %d", seen, total+1)
	}
}

func (s suite) testReadLong(t *testing.T, l event.Log) {
	n := s.size(10000)
	fill(t, l, "subscription-m.1", event.NoStream, n)
	wantSize(t, l, "subscription-m.1", n)
}

func testReadCancelled(t *testing.T, l event.Log) {
	fill(t, l, "subscription-m.1", event.NoStream, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n, errs := 0, 0
	for _, err := range l.Read(ctx, "subscription-m.1", 0) {
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
	if _, err := readAll(ctx, l, "subscription-m.1", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader with a cancelled context got %v, want context.Canceled", err)
	}
}
