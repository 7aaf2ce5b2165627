package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"ledger.internal/ledger/internal/aggregate/event"
)

var followFaults = faults{
	"drops an event": {by: "follow/from the beginning, then live", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindEvent && m.Event.Revision == 256 {
					return nil
				}
				return h(ctx, m)
			}
		})},
	"drops an event where it turns live": {by: "follow/from the beginning, then live", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			last := event.KindEvent
			return func(ctx context.Context, m event.Message) error {
				drop := last == event.KindCaughtUp && m.Kind == event.KindEvent
				if last = m.Kind; drop {
					return nil
				}
				return h(ctx, m)
			}
		})},
	"tells an event twice": {by: "follow/from the beginning, then live", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if err := h(ctx, m); err != nil || m.Kind != event.KindEvent || m.Event.Revision != 256 {
					return err
				}
				return h(ctx, m)
			}
		})},
	"tells two events in the wrong order": {by: "follow/from the beginning, then live", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			var held []event.Message
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindEvent && m.Event.Revision == 5 {
					held = append(held, m)
					return nil
				}
				err := h(ctx, m)
				for _, m := range held {
					err = errors.Join(err, h(ctx, m))
				}
				held = nil
				return err
			}
		})},
	"tells a message at another place than its event's": {by: "follow/from the beginning, then live", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindEvent {
					m.Position.Prepare++
				}
				return h(ctx, m)
			}
		})},
	"is caught up too early": {by: "follow/from the beginning, then live", in: tells(
		func(l event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if err := h(ctx, m); err != nil || m.Kind != event.KindEvent || m.Event.Revision != 100 {
					return err
				}
				head, _ := l.Head(ctx)
				return h(ctx, event.Message{Kind: event.KindCaughtUp, Position: head})
			}
		})},
	"takes a category for the beginning of a name": {by: "follow/only the categories asked for", in: categories(strings.HasPrefix)},
	"takes a category for a part of a name":        {by: "follow/only the categories asked for", in: categories(strings.Contains)},
	"wants an id behind a category": {by: "follow/only the categories asked for", in: categories(
		func(stream, category string) bool { return strings.HasPrefix(stream, category+"-") })},
	"ends a category at the last dash": {by: "follow/only the categories asked for", in: categories(
		func(stream, category string) bool { return stream[:max(strings.LastIndex(stream, "-"), 0)] == category })},
	"folds categories": {by: "follow/only the categories asked for", in: categories(
		func(stream, category string) bool { return strings.EqualFold(event.Category(stream), category) })},
	"tells of its own settings": {by: "follow/what the store keeps for itself is not events", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindEvent {
					m.Event.Stream = "$settings"
				}
				return h(ctx, m)
			}
		})},
	"is never caught up with nothing": {by: "follow/caught up on an empty log", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				if m.Position.IsZero() {
					return nil
				}
				return h(ctx, m)
			}
		})},
	"is caught up at the last that matched": {by: "follow/caught up without a matching event", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			var last event.Position
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindEvent {
					last = m.Position
				}
				if m.Kind == event.KindCaughtUp {
					m.Position = last
				}
				return h(ctx, m)
			}
		})},
	"is silent about what does not match": {by: "follow/an append that does not match is heard of", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			caughtUp := false
			return func(ctx context.Context, m event.Message) error {
				if m.Kind == event.KindCaughtUp && caughtUp {
					return nil
				}
				caughtUp = caughtUp || m.Kind == event.KindCaughtUp
				return h(ctx, m)
			}
		})},
	"wraps the handler's error": {by: "follow/an error of the handler ends it, unchanged", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				return fmt.Errorf("follow: %w", l.Follow(ctx, categories, after, h))
			}
		})},
	"tries again when the handler is unavailable": {by: "follow/an error of the handler ends it, unchanged", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				err := l.Follow(ctx, categories, after, h)
				if errors.Is(err, event.ErrUnavailable) {
					err = l.Follow(ctx, categories, after, h)
				}
				return err
			}
		})},
	"takes the handler's end for its own": {by: "follow/an error of the handler ends it, unchanged", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				err := l.Follow(ctx, categories, after, h)
				if errors.Is(err, context.Canceled) && ctx.Err() == nil {
					return event.ErrClosed
				}
				return err
			}
		})},
	"drops what a slow handler keeps waiting": {by: "follow/a slow handler misses nothing", in: tells(
		func(l event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				head, _ := l.Head(ctx)
				if m.Kind == event.KindEvent && head.Commit-m.Position.Commit > 400 {
					return nil
				}
				return h(ctx, m)
			}
		})},
	"keeps writers waiting for a handler": {by: "follow/a slow handler keeps nobody waiting", in: func(l event.Log) event.Log {
		var handling sync.RWMutex
		return changed{Log: l, append: func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
			handling.Lock()
			defer handling.Unlock()
			return l.Append(ctx, stream, at, e...)
		}, follow: func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
			return l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
				handling.RLock()
				defer handling.RUnlock()
				return h(ctx, m)
			})
		}}
	}},
	"has places for twenty followers": {by: "follow/many followers at once", in: follows(
		func(l event.Log) followFunc {
			places := make(chan struct{}, 20)
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				select {
				case places <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				defer func() { <-places }()
				return l.Follow(ctx, categories, after, h)
			}
		})},
	"ends all followers with one": {by: "follow/one handler's error is no other's", in: follows(
		func(l event.Log) followFunc {
			var mu sync.Mutex
			var all []context.CancelFunc
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				ctx, cancel := context.WithCancel(ctx)
				mu.Lock()
				all = append(all, cancel)
				mu.Unlock()
				err := l.Follow(ctx, categories, after, h)
				mu.Lock()
				defer mu.Unlock()
				for _, end := range all {
					end()
				}
				return err
			}
		})},
	"tells one more after a cancellation": {by: "follow/a cancelled follower stops", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			return func(ctx context.Context, m event.Message) error {
				err := h(ctx, m)
				if ctx.Err() != nil {
					m.Position.Commit++
					return h(ctx, m)
				}
				return err
			}
		})},
	"leaves a goroutine with each follower": {by: "follow/a cancelled follower leaves nothing", in: tells(
		func(_ event.Log, h handleFunc) handleFunc {
			go func() { select {} }()
			return h
		})},
}

// categories plants another idea of which streams are of a category.
func categories(of func(stream, category string) bool) func(event.Log) event.Log {
	return follows(func(l event.Log) followFunc {
		return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
			return l.Follow(ctx, nil, after, func(ctx context.Context, m event.Message) error {
				matches := func(c string) bool { return of(m.Event.Stream, c) }
				if m.Kind == event.KindEvent && len(categories) > 0 && !slices.ContainsFunc(categories, matches) {
					return nil
				}
				return h(ctx, m)
			})
		}
	})
}
