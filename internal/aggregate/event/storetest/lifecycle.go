package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

func (s suite) lifecycle(t *testing.T) {
	s.cases(t, map[string]func(*testing.T, event.Log){
		"closed in the middle of everything": testClose,          // 60
		"a closed log says so":               testClosed,         // 60
		"everything at once":                 s.testSoak,         // 62
		"what was appended survives":         s.testReopen,       // 6, 62
		"opened and closed many times":       s.testOpenAndClose, // 61
	})
}

func testClose(t *testing.T, l event.Log) {
	fill(t, l, "subscription-m.1", event.NoStream, 500)
	allowed := func(what string, err error) {
		if err != nil && !errors.Is(err, event.ErrClosed) && !errors.Is(err, event.ErrUnknownOutcome) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s beside Close: got %v, want ErrClosed or success", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
			if _, err := l.Append(ctx, fmt.Sprintf("subscription-n.%d", i), r, raw(1)...); err != nil {
				allowed("append", err)
				return
			}
		}
	})
	start(func(int) {
		for {
			if _, err := readAll(ctx, l, "subscription-m.1", 0); err != nil {
				allowed("read", err)
				return
			}
		}
	})
	start(func(int) {
		allowed("follow", l.Follow(ctx, nil, event.Cursor{}, func(context.Context, event.Message) error { return nil }))
	})
	start(func(int) {
		for {
			if _, err := l.Head(ctx); err != nil {
				allowed("head", err)
				return
			}
		}
	})
	begun.Wait()
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	ended.Wait()
	if ctx.Err() != nil {
		t.Errorf("after %s something had still not noticed that the log is closed", patience)
	}
}

func testClosed(t *testing.T, l event.Log) {
	mustAppend(t, l, "subscription-m.1", event.NoStream, raw(1)...)
	closeLog(t, l)
	closeLog(t, l) // twice is fine
	_, err := l.Append(t.Context(), "subscription-m.1", 0, raw(1)...)
	wantError(t, "append", err, event.ErrClosed)
	_, err = readAll(t.Context(), l, "subscription-m.1", 0)
	wantError(t, "read", err, event.ErrClosed)
	_, err = l.Head(t.Context())
	wantError(t, "head", err, event.ErrClosed)
	err = l.Follow(t.Context(), nil, event.Cursor{}, func(context.Context, event.Message) error { return nil })
	wantError(t, "follow", err, event.ErrClosed)
}

// testSoak lets writers, repeaters, readers and followers loose, and then checks the law: the streams laid side by
// side are the log, and every follower saw the log.
func (s suite) testSoak(t *testing.T, l event.Log) {
	const writers, streams = 8, 5
	rounds := s.size(300)
	live := startFollow(t, l, event.Cursor{})
	seen := make(chan []uuid.UUID, 1)
	go func() {
		var got []uuid.UUID
		for m := range live.messages {
			if m.Kind == event.KindEvent {
				got = append(got, m.Event.ID)
			}
			if m.Kind == event.KindEvent && m.Event.Stream == "end" {
				break
			}
		}
		seen <- got
	}()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { soakWriter(t, l, w, streams, rounds) })
	}
	wg.Wait()
	mustAppend(t, l, "end", event.NoStream, raw(1)...)
	all, _ := followAll(t, l, event.Cursor{})
	select {
	case got := <-seen:
		if diff := cmp.Diff(ids(all), got); diff != "" {
			t.Errorf("a live follower and one from the beginning differ (-beginning +live):\n%s", diff)
		}
	case <-time.After(patience):
		t.Fatal("the live follower never came to the end")
	}
	byStream := map[string][]event.RawRecorded{}
	for _, e := range all {
		byStream[e.Stream] = append(byStream[e.Stream], e)
	}
	for stream, want := range byStream {
		got, err := readAll(t.Context(), l, stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s as followed and as read (-followed +read):\n%s", stream, diff)
		}
		wantPlaces(t, got, stream, 0)
	}
	if len(byStream) != streams+1 {
		t.Errorf("got %d streams, want %d", len(byStream), streams+1)
	}
}

// soakWriter appends to shared streams, reading where they are when it loses, and repeats half of its appends.
func soakWriter(t *testing.T, l event.Log, w, streams, rounds int) {
	at := map[string]event.Revision{}
	for i := range rounds {
		stream := fmt.Sprintf("subscription-m.%d", (w+i)%streams)
		if _, ok := at[stream]; !ok {
			at[stream] = event.NoStream
		}
		events := raw(i%3 + 1)
		for {
			pos, err := l.Append(t.Context(), stream, at[stream], events...)
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
				again, err := l.Append(t.Context(), stream, at[stream], events...)
				if err != nil || again != pos {
					t.Errorf("repeated append: %s, %v; want %s", again, err, pos)
				}
			}
			at[stream] += event.Revision(len(events))
			break
		}
	}
}

func (s suite) testReopen(t *testing.T, l event.Log) {
	if s.Reopen == nil {
		t.Skip("this log does not outlive its process")
	}
	var want []uuid.UUID
	var last event.RawRecorded
	for round := range event.Revision(5) {
		if _, err := l.Append(t.Context(), "subscription-m.1", round*10+5, raw(1)...); err == nil {
			t.Errorf("round %d: an append ahead of the stream was taken", round)
		}
		for _, e := range fill(t, l, "subscription-m.1", round*10-1, 10) {
			want = append(want, e.ID)
		}
		l = s.Reopen(t, l)
		all, _ := followAll(t, l, event.Cursor{})
		if diff := cmp.Diff(want, ids(all)); diff != "" {
			t.Fatalf("after restart %d (-want +got):\n%s", round, diff)
		}
		if last.ID != uuid.Nil {
			rest, _ := followAll(t, l, event.Cursor{Position: last.Position, LastPosition: last.Position, LastID: last.ID})
			if len(rest) != 10 {
				t.Errorf("after restart %d: got %d events after the old cursor, want 10", round, len(rest))
			}
		}
		last = all[len(all)-1]
		if head, err := l.Head(t.Context()); err != nil || head != last.Position {
			t.Errorf("after restart %d: head %s, %v; want %s", round, head, err, last.Position)
		}
	}
	closeLog(t, l)
}

func (s suite) testOpenAndClose(t *testing.T, l event.Log) {
	closeLog(t, l)
	for range s.size(50) {
		l := s.open(t)
		mustAppend(t, l, "subscription-m.1", event.NoStream, raw(1)...)
		f := startFollow(t, l, event.Cursor{})
		f.next(t)
		closeLog(t, l)
		for range f.messages {
			continue
		}
		wantError(t, "follow beside close", <-f.done, event.ErrClosed)
	}
}
