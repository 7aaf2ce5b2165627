package storetest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
)

var lifecycleFaults = faults{
	"loses the last event when it is opened again": {by: "lifecycle/what was appended survives", reopen: func(t *testing.T, l event.Log) event.Log {
		return copied(t, l, func(all []event.RawRecorded) []event.RawRecorded { return all[:len(all)-1] })
	}},
	"answers when it is closed": {by: "lifecycle/a closed log says so", in: func(l event.Log) event.Log {
		return changed{Log: l, close: func() error { return nil }}
	}},
	"closes once": {by: "lifecycle/a closed log says so", in: func(l event.Log) event.Log {
		return changed{Log: l, close: func() error {
			if _, err := l.Head(context.Background()); err != nil {
				return err
			}
			return l.Close()
		}}
	}},
	"lets a follower wait when it is closed": {by: "lifecycle/closed under who waits", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				err := l.Follow(ctx, categories, after, h)
				if errors.Is(err, event.ErrClosed) {
					<-ctx.Done()
				}
				return err
			}
		})},
	"has its own error when it is closed under a call": {by: "lifecycle/closed in the middle of everything", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				err := l.Follow(ctx, categories, after, h)
				if errors.Is(err, event.ErrClosed) {
					return errors.New("use of closed connection")
				}
				return err
			}
		})},
	"leaves a goroutine when it is closed": {by: "lifecycle/opened and closed many times", in: func(l event.Log) event.Log {
		go func() { select {} }()
		return l
	}},
	"is another for each that opens it": {by: "lifecycle/two ways to one log are one log", shared: true},
	"says yes and writes nothing, now and then": {by: "lifecycle/everything at once", in: appends(
		func(l event.Log) appendFunc {
			var n atomic.Int64
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				if n.Add(1)%100 == 0 {
					return l.Head(ctx)
				}
				return l.Append(ctx, stream, at, e...)
			}
		})},
}

// copied is a log into which some of another's events were brought.
func copied(t *testing.T, from event.Log, some func([]event.RawRecorded) []event.RawRecorded) event.Log {
	t.Helper()
	var all []event.RawRecorded
	done := errors.New("done")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := from.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind == event.KindCaughtUp {
			return done
		}
		all = append(all, m.Event)
		return nil
	}); err != done {
		t.Fatal(err)
	}
	to, at := memory.New(), map[string]event.Revision{}
	for _, e := range some(all) {
		if _, ok := at[e.Stream]; !ok {
			at[e.Stream] = event.NoStream
		}
		if _, err := to.Append(t.Context(), e.Stream, at[e.Stream], e.Raw); err != nil {
			t.Fatal(err)
		}
		at[e.Stream]++
	}
	return to
}
