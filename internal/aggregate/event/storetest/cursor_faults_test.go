package storetest_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

var cursorFaults = faults{
	"begins with the event at the cursor": {by: "cursor/what it stands at is not delivered again", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				if p := &after.Position; !p.IsZero() {
					p.Commit, p.Prepare = p.Commit-1, p.Prepare-1
				}
				return l.Follow(ctx, categories, event.Cursor{Position: after.Position}, h)
			}
		})},
	"sends no checkpoints": {by: "cursor/checkpoints pass long stretches", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindCheckpoint {
					return nil
				}
				return h(ctx, m)
			}
		})},
	"sends checkpoints that are too far": {by: "cursor/going on from anywhere loses nothing", in: tells(
		func(l event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if head, _ := l.Head(ctx); m.Kind == event.KindCheckpoint {
					m.Position.Commit = min(m.Position.Commit+200, head.Commit)
					m.Position.Prepare = m.Position.Commit
				}
				return h(ctx, m)
			}
		})},
	"begins behind the next event after a checkpoint": {by: "cursor/going on from anywhere loses nothing", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				skip := after.Position != after.LastPosition
				return l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
					if skip && m.Kind == event.KindEvent {
						skip = false
						return nil
					}
					return h(ctx, m)
				})
			}
		})},
	"believes any cursor": {by: "cursor/of another past is refused", in: cursors(
		func(c event.Cursor) event.Cursor { return event.Cursor{Position: c.Position} })},
	"looks at a cursor's event only where the cursor stands": {by: "cursor/of another past is refused", in: cursors(
		func(c event.Cursor) event.Cursor {
			if c.Position != c.LastPosition {
				return event.Cursor{Position: c.Position}
			}
			return c
		})},
	"waits at its end for the events that a cursor has seen": {by: "cursor/of a longer log is refused", in: waitsAtItsEnd},
	"waits at its end for whatever is ahead":                 {by: "cursor/behind all there is is refused", in: waitsAtItsEnd},
	"goes on for a cursor with the categories that it came from": {by: "cursor/of one follower fits another", in: follows(
		func(l event.Log) followFunc {
			var mu sync.Mutex
			of := map[event.Position][]string{}
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				mu.Lock()
				if before, ok := of[after.Position]; ok {
					categories = before
				}
				mu.Unlock()
				return l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
					mu.Lock()
					of[m.Position] = categories
					mu.Unlock()
					return h(ctx, m)
				})
			}
		})},
	"takes a cursor without its place": {by: "cursor/that cannot be is refused", in: cursors(
		func(c event.Cursor) event.Cursor {
			if c.LastPosition.IsZero() {
				c.LastID = uuid.Nil
			}
			return c
		})},
	"takes a checkpoint for an alarm": {by: "cursor/far behind its last event is no alarm", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				if after.LastID != uuid.Nil && after.Position.Commit > after.LastPosition.Commit+100 {
					return event.ErrDiverged
				}
				return l.Follow(ctx, categories, after, h)
			}
		})},
	"skips an event when it is asked again": {by: "cursor/kept with its rows counts each event once", in: follows(
		func(l event.Log) followFunc {
			var asked atomic.Int64
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				skip := asked.Add(1) == 3
				return l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
					if skip && m.Kind == event.KindEvent {
						skip = false
						return nil
					}
					return h(ctx, m)
				})
			}
		})},
	"gives other places when it is opened again": {by: "cursor/kept by a process before goes on in the new", reopen: func(t *testing.T, l event.Log) event.Log {
		return copied(t, l, func(all []event.RawRecorded) []event.RawRecorded { return all[1:] })
	}},
}

// waitsAtItsEnd takes a cursor that is ahead for one that is at the head.
func waitsAtItsEnd(l event.Log) event.Log {
	return changed{Log: l, follow: func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
		err := l.Follow(ctx, categories, after, h)
		if errors.Is(err, event.ErrPositionAhead) {
			head, _ := l.Head(ctx)
			err = l.Follow(ctx, categories, event.Cursor{Position: head}, h)
		}
		return err
	}}
}

// cursors plants a change to the cursor that a follower gives.
func cursors(f func(event.Cursor) event.Cursor) func(event.Log) event.Log {
	return follows(func(l event.Log) followFunc {
		return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
			if err := event.CheckCursor(f(after)); err != nil {
				return err
			}
			return l.Follow(ctx, categories, f(after), h)
		}
	})
}
