package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/aggregate/event"
)

var lifecycleTests = tests{
	"closed in the middle of everything": testClose,         // 60
	"closed under who waits":             testCloseWaiting,  // 60
	"a closed log says so":               testClosed,        // 60
	"opened and closed many times":       testOpenAndClose,  // 61
	"everything at once":                 testSoak,          // 62
	"what was appended survives":         testReopen,        // 6, 62
	"two ways to one log are one log":    testSecondOpening, // 11, 31
}

func testClose(t *testing.T, w *world) {
	w.alone(t)
	stream := w.stream("subscription-m.1")
	w.fill(t, stream, event.NoStream, 200)
	allowed := func(what string, err error) {
		if err != nil && !errors.Is(err, event.ErrClosed) && !errors.Is(err, event.ErrUnknownOutcome) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s beside Close: got %v, want ErrClosed or success", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), w.Patience)
	defer cancel()
	var begun, ended sync.WaitGroup
	start := func(f func(i int)) {
		for i := range 25 {
			begun.Add(1)
			ended.Go(func() { begun.Done(); f(i) })
		}
	}
	start(func(i int) {
		for r := event.NoStream; ; r++ {
			if _, err := w.Append(ctx, w.stream(fmt.Sprintf("subscription-n.%d", i)), r, raw(1)...); err != nil {
				allowed("append", err)
				return
			}
		}
	})
	start(func(int) {
		for ; ; runtime.Gosched() { // a log in memory answers so fast that nobody else would come to run
			if _, err := readAll(ctx, w, stream, 0); err != nil {
				allowed("read", err)
				return
			}
		}
	})
	start(func(int) {
		allowed("follow", w.Follow(ctx, nil, w.start, func(context.Context, event.Message) error { return nil }))
	})
	start(func(int) {
		for ; ; runtime.Gosched() {
			if _, err := w.Head(ctx); err != nil {
				allowed("head", err)
				return
			}
		}
	})
	begun.Wait()
	for range 3 { // also beside itself
		ended.Go(func() { closeLog(t, w) })
	}
	ended.Wait()
	if ctx.Err() != nil {
		t.Errorf("after %s something had still not noticed that the log is closed", w.Patience)
	}
}

// testCloseWaiting closes a log under a follower that waits for more, a handler that is busy, and a reader between two
// events.
func testCloseWaiting(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	w.fill(t, stream, event.NoStream, 400)
	waiting := w.following(t, w.start)
	waiting.until(t, w.start.Position)
	busy := w.following(t, w.start)
	busy.next(t)
	n, errs := 0, 0
	for _, err := range w.Read(t.Context(), stream, 0) {
		if err != nil {
			errs++
			wantError(t, "a reader under whom the log is closed", err, event.ErrClosed)
			continue
		}
		if n++; n == 1 {
			closeLog(t, w)
		}
	}
	if errs > 1 || n+errs < 2 || errs == 0 && n != 400 {
		t.Errorf("got %d events and %d errors, want all 400 or one error", n, errs)
	}
	began := time.Now()
	for _, f := range []*following{waiting, busy} {
		for range f.messages { // what was already on its way
			continue
		}
		wantError(t, "follow", <-f.done, event.ErrClosed)
	}
	if took := time.Since(began); took > w.soon() {
		t.Errorf("the followers took %s to notice", took)
	}
}

func testClosed(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	w.mustAppend(t, stream, event.NoStream, raw(1)...)
	closeLog(t, w)
	closeLog(t, w) // twice is fine
	_, err := w.Append(t.Context(), stream, 0, raw(1)...)
	wantError(t, "append", err, event.ErrClosed)
	_, err = readAll(t.Context(), w, stream, 0)
	wantError(t, "read", err, event.ErrClosed)
	_, err = w.Head(t.Context())
	wantError(t, "head", err, event.ErrClosed)
	err = w.handle(t, nil, w.start, func(context.Context, event.Message) error { return nil })
	wantError(t, "follow", err, event.ErrClosed)
}

func testOpenAndClose(t *testing.T, w *world) {
	rounds := w.size(50)
	files := openFiles()
	before, _ := goroutines(t)
	t.Run("rounds", func(t *testing.T) { // at whose end also what open leaves to the test is gone
		for i := range rounds {
			l := &world{Log: w.open(t), suite: w.suite, tag: w.tag}
			l.mustAppend(t, w.stream(fmt.Sprintf("subscription-m.%d", i)), event.NoStream, raw(1)...)
			f := l.following(t, w.start)
			f.next(t)
			closeLog(t, l)
			for range f.messages {
				continue
			}
			wantError(t, "follow beside close", <-f.done, event.ErrClosed)
		}
	})
	w.wantGoroutines(t, before)
	// Files do not tell whose they are. Those of the tests beside this one go when they end.
	w.eventually(t, func() error {
		if left := openFiles(); left >= files+rounds {
			return fmt.Errorf("%d files are open, %d were before the log was opened and closed %d times", left, files, rounds)
		}
		return nil
	})
}

// openFiles is how many files and sockets this process holds, where the system tells; otherwise 0.
func openFiles() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// testSoak lets writers, repeaters and followers loose, and then checks the law: the streams laid side by side are the
// log, and every follower saw the log.
func testSoak(t *testing.T, w *world) {
	w.alone(t)
	const writers, streams = 8, 5
	rounds := w.size(240)
	live := w.following(t, w.start)
	end := w.stream("end")
	seen := make(chan []event.RawRecorded, 1)
	go func() {
		var got []event.RawRecorded
		for len(got) == 0 || got[len(got)-1].Stream != end {
			m, err := live.take()
			if err != nil {
				t.Errorf("the live follower: %v", err)
				break
			}
			if m.Kind == event.KindEvent {
				got = append(got, m.Event)
			}
		}
		seen <- w.mine(got)
	}()
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() { soakWriter(t, w, i, streams, rounds) })
	}
	writing.Wait()
	w.mustAppend(t, end, event.NoStream, raw(1)...)
	all := w.followed(t, w.start)
	if diff := cmp.Diff(ids(all), ids(<-seen)); diff != "" {
		t.Errorf("a live follower and one from the beginning differ (-beginning +live):\n%s", diff)
	}
	byStream := map[string][]event.RawRecorded{}
	for _, e := range all {
		byStream[e.Stream] = append(byStream[e.Stream], e)
	}
	for stream, want := range byStream {
		got, err := readAll(t.Context(), w, stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		wantEvents(t, stream+" as followed and as read", got, want)
		wantPlaces(t, got, stream, 0)
	}
	if len(byStream) != streams+1 {
		t.Errorf("got %d streams, want %d", len(byStream), streams+1)
	}
	if want := writers*rounds*2 + 1; len(all) != want { // one, two or three events in a round
		t.Errorf("got %d events, want %d", len(all), want)
	}
}

// soakWriter appends to shared streams, reading where they are when it loses, and repeats half of its appends.
func soakWriter(t *testing.T, w *world, writer, streams, rounds int) {
	at := map[string]event.Revision{}
	for i := range rounds {
		stream := w.stream(fmt.Sprintf("subscription-m.%d", (writer+i)%streams))
		if _, ok := at[stream]; !ok {
			at[stream] = event.NoStream
		}
		events := raw(i%3 + 1)
		for {
			pos, err := w.Append(t.Context(), stream, at[stream], events...)
			var wrong *event.WrongRevisionError
			if errors.As(err, &wrong) {
				at[stream] = wrong.Actual
				continue
			}
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			if i%2 == 0 {
				again, err := w.Append(t.Context(), stream, at[stream], events...)
				if err != nil || again != pos {
					t.Errorf("repeated append: %s, %v; want %s", again, err, pos)
				}
			}
			at[stream] += event.Revision(len(events))
			break
		}
	}
}

func testReopen(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	var want []event.Raw
	at := w.start
	for round := range event.Revision(5) {
		if _, err := w.Append(t.Context(), stream, round*10+5, raw(1)...); err == nil {
			t.Errorf("round %d: an append ahead of the stream was taken", round)
		}
		want = append(want, w.fill(t, stream, round*10-1, 10)...)
		w.reopen(t)
		wantBodies(t, fmt.Sprintf("after restart %d", round), w.followed(t, w.start), want)
		all := w.wantStream(t, stream, want...)
		wantEvents(t, fmt.Sprintf("after restart %d, behind the old cursor", round), w.followed(t, at), all[round*10:])
		at = behind(all[len(all)-1])
		w.wantHead(t, at.Position)
	}
}

// testSecondOpening: two that share a log see each other's appends, in answers and live.
func testSecondOpening(t *testing.T, w *world) {
	if !w.Shared {
		w.skip(t, "each opening is a log of its own")
	}
	other := &world{Log: w.open(t), suite: w.suite, tag: w.tag}
	t.Cleanup(func() { closeLog(t, other.Log) })
	stream, events := w.stream("subscription-m.1"), raw(10)
	here, there := w.following(t, w.start, w.category("subscription")), other.following(t, w.start, w.category("subscription"))
	for i := range event.Revision(5) {
		one, two := events[2*i:2*i+1], events[2*i+1:2*i+2]
		first := w.mustAppend(t, stream, 2*i-1, one...)
		other.refused(t, stream, 2*i-1, 2*i, two...)
		other.repeated(t, stream, 2*i-1, first, one...)
		pos := other.mustAppend(t, stream, 2*i, two...)
		w.wantHead(t, pos)
		for _, f := range []*following{here, there} {
			wantBodies(t, fmt.Sprintf("followed in round %d", i), f.until(t, pos), []event.Raw{one[0], two[0]})
		}
	}
	w.wantStream(t, stream, events...)
}
