package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
)

// fault is something that a log can do wrong.
type fault struct {
	by     string // the test that finds it
	in     func(event.Log) event.Log
	reopen func(*testing.T, event.Log) event.Log // if it shows in a log that is opened again
	shared bool
}

// faults are known by what the log does.
var faults = map[string]fault{
	// Append
	"begins a stream again": {by: "append/a stream that exists is not begun again", in: conflicts(
		func(l event.Log, a answer, actual event.Revision) (event.Position, error) {
			if a.at == event.NoStream {
				return l.Append(context.Background(), a.stream, actual, a.events...)
			}
			return a.position, a.err
		})},
	"takes any revision": {by: "append/only the exact revision is taken", in: conflicts(
		func(l event.Log, a answer, actual event.Revision) (event.Position, error) {
			return l.Append(context.Background(), a.stream, actual, a.events...)
		})},
	"conflicts late, with the revision of before": {by: "append/a conflict tells where the others have come", in: conflicts(
		func(_ event.Log, a answer, actual event.Revision) (event.Position, error) {
			return a.position, a.conflict(max(actual-1, event.NoStream))
		})},
	"conflicts with its own words": {by: "append/a stream that exists is not begun again", in: conflicts(
		func(event.Log, answer, event.Revision) (event.Position, error) {
			return event.Position{}, errors.New("wrong expected version")
		})},
	"says yes to the loser of a race": {by: "append/one of many writers wins each revision", in: conflicts(
		func(l event.Log, a answer, actual event.Revision) (event.Position, error) {
			if a.at != actual-1 {
				return a.position, a.err
			}
			return l.Head(context.Background())
		})},
	"writes an append event by event": {by: "append/readers see all of an append or nothing", in: appends(
		func(l event.Log) appendFunc {
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (pos event.Position, err error) {
				for i := range e {
					if pos, err = l.Append(ctx, stream, at+event.Revision(i), e[i]); err != nil {
						return pos, err
					}
					runtime.Gosched() // a reader may look
				}
				return pos, nil
			}
		})},
	"answers the first event's position": {by: "append/a new stream begins at revision 0", in: answers(
		func(_ event.Log, a answer) (event.Position, error) {
			if a.err == nil {
				a.position.Commit -= uint64(len(a.events) - 1)
				a.position.Prepare = a.position.Commit
			}
			return a.position, a.err
		})},
	"says yes to nothing": {by: "append/what cannot be stored is refused", in: answers(
		func(l event.Log, a answer) (event.Position, error) {
			if len(a.events) == 0 {
				return l.Head(context.Background())
			}
			return a.position, a.err
		})},
	"takes names that it must mend": {by: "append/what cannot be stored is refused", in: appends(
		func(l event.Log) appendFunc {
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				return l.Append(ctx, strings.ReplaceAll(stream, "/", "_"), at, e...)
			}
		})},
	"calls too large an outage": {by: "append/an append may hold one mebibyte", in: answers(
		func(_ event.Log, a answer) (event.Position, error) {
			if errors.Is(a.err, event.ErrTooLarge) {
				return a.position, event.ErrUnavailable
			}
			return a.position, a.err
		})},
	"takes a byte less": {by: "append/an append may hold one mebibyte", in: appends(
		func(l event.Log) appendFunc {
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				size := 0
				for _, e := range e {
					size += len(e.Data) + len(e.Metadata) + 2*len(e.Type)
				}
				if size >= event.MaxAppend {
					return event.Position{}, event.ErrTooLarge
				}
				return l.Append(ctx, stream, at, e...)
			}
		})},
	"stores text without its zero bytes": {by: "append/bodies come back byte by byte", in: stores(
		func(e *event.Raw) { e.Data = bytes.ReplaceAll(e.Data, []byte{0}, nil) })},
	"loses the metadata of a body that is no JSON": {by: "append/bodies come back byte by byte", in: stores(
		func(e *event.Raw) {
			if !bytes.HasPrefix(e.Data, []byte("{")) {
				e.Metadata = nil
			}
		})},
	"turns the first half of an id": {by: "append/ids of every version come back", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool {
				slices.Reverse(e.ID[:8])
				return yield(e, err)
			}
		})},
	"folds names": {by: "append/names may be long", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool {
				e.Stream = strings.ToLower(e.Stream)
				return yield(e, err)
			}
		})},
	"writes what was cancelled": {by: "append/a cancelled append writes nothing", in: appends(
		func(l event.Log) appendFunc {
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				pos, err := l.Append(context.WithoutCancel(ctx), stream, at, e...)
				return pos, errors.Join(err, ctx.Err())
			}
		})},
	"denies what it wrote when it was cancelled": {by: "append/an append cancelled on its way converges", in: appends(
		func(l event.Log) appendFunc {
			var first sync.Once
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				pos, err := l.Append(context.WithoutCancel(ctx), stream, at, e...)
				first.Do(func() { <-ctx.Done() })
				if ctx.Err() != nil {
					return event.Position{}, ctx.Err()
				}
				return pos, err
			}
		})},
	"has its head behind": {by: "append/positions grow in commit order", in: func(l event.Log) event.Log {
		return changed{Log: l, head: func(ctx context.Context) (event.Position, error) {
			p, err := l.Head(ctx)
			if p.Commit > 4 {
				p = event.Position{Commit: p.Commit - 1, Prepare: p.Prepare - 1}
			}
			return p, err
		}}
	}},
	"keeps the caller's bytes": {by: "append/the caller keeps his bytes", in: func(l event.Log) event.Log {
		kept := map[uuid.UUID]event.Raw{}
		return changed{Log: l, append: func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
			for _, e := range e {
				kept[e.ID] = e
			}
			return l.Append(ctx, stream, at, e...)
		}, read: func(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
			return func(yield func(event.RawRecorded, error) bool) {
				for e, err := range l.Read(ctx, stream, from) {
					e.Raw = kept[e.ID]
					if !yield(e, err) {
						return
					}
				}
			}
		}}
	}},

	// Repetitions
	"refuses a repetition": {by: "repeat/the same append gives the first answer", in: repetitions(
		func(l event.Log, a answer) (event.Position, error) {
			return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
		})},
	"answers a repetition with the head": {by: "repeat/the same append gives the first answer", in: repetitions(
		func(l event.Log, _ answer) (event.Position, error) { return l.Head(context.Background()) })},
	"writes a repetition again": {by: "repeat/the same append gives the first answer", in: repetitions(
		func(l event.Log, a answer) (event.Position, error) {
			_, err := l.Append(context.Background(), a.stream, event.Revision(len(stored(l, a.stream)))-1, a.events...)
			return a.position, err
		})},
	"knows the last hundred events only": {by: "repeat/many events later", in: repetitions(forgetful)},
	"forgets when other streams move":    {by: "repeat/after other streams have moved", in: repetitions(forgetful)},
	"forgets when it is opened again": {by: "repeat/after a restart", reopen: func(_ *testing.T, l event.Log) event.Log {
		return repetitions(func(l event.Log, a answer) (event.Position, error) {
			return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
		})(l)
	}},
	"compares the first id only": {by: "repeat/with another event somewhere it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) { return comparing(l, a, 0) })},
	"compares the last id only": {by: "repeat/with another event somewhere it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) {
			return comparing(l, a, len(a.events)-1)
		})},
	"compares the ids as a set": {by: "repeat/with another event somewhere it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) {
			for _, e := range a.events {
				if !slices.ContainsFunc(stored(l, a.stream), func(s event.RawRecorded) bool { return s.ID == e.ID }) {
					return a.position, a.err
				}
			}
			return l.Head(context.Background())
		})},
	"compares bodies": {by: "repeat/the ids count and not the bodies", in: repetitions(
		func(l event.Log, a answer) (event.Position, error) {
			all := stored(l, a.stream)
			if !bytes.Equal(all[a.at+1].Data, a.events[0].Data) {
				return event.Position{}, a.conflict(event.Revision(len(all)) - 1)
			}
			return a.position, nil
		})},
	"knows an event by its id, wherever": {by: "repeat/at another revision it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) {
			for _, e := range stored(l, a.stream) {
				if e.ID == a.events[0].ID {
					return e.Position, nil
				}
			}
			return a.position, a.err
		})},
	"refuses the repetition of a beginning": {by: "repeat/of the beginning it is taken", in: wholeAppends},
	"knows an append by its bounds":         {by: "repeat/across the bounds of appends it is taken", in: wholeAppends},
	"takes an id once": {by: "repeat/one id may stand in two streams", in: appends(
		func(l event.Log) appendFunc {
			seen := map[uuid.UUID]event.Position{}
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				if pos, ok := seen[e[0].ID]; ok {
					return pos, nil
				}
				pos, err := l.Append(ctx, stream, at, e...)
				seen[e[0].ID] = pos
				return pos, err
			}
		})},

	// Read
	"drops an event at the end of a page": {by: "read/from any revision", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool { return e.Revision == 32 && err == nil || yield(e, err) }
		})},
	"reads an event twice": {by: "read/from any revision", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool { return (e.Revision != 64 || yield(e, err)) && yield(e, err) }
		})},
	"does not find the end": {by: "read/from any revision", in: func(l event.Log) event.Log {
		return changed{Log: l, read: func(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
			if from > 0 && int(from) >= len(stored(l, stream)) {
				return func(yield func(event.RawRecorded, error) bool) { yield(event.RawRecorded{}, event.ErrStreamNotFound) }
			}
			return l.Read(ctx, stream, from)
		}}
	}},
	"reads one time what it read before": {by: "read/an iterator may be run again", in: func(l event.Log) event.Log {
		return changed{Log: l, read: func(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
			all := stored(l, stream)
			return func(yield func(event.RawRecorded, error) bool) {
				for _, e := range all {
					if !yield(e, nil) {
						return
					}
				}
			}
		}}
	}},
	"reads places of its own": {by: "read/as it is followed", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool { e.Position.Prepare--; return yield(e, err) }
		})},
	"finds what does not exist": {by: "read/a stream that does not exist", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool {
				return errors.Is(err, event.ErrStreamNotFound) || yield(e, err)
			}
		})},
	"leaves a goroutine with each reader": {by: "read/a reader who leaves early leaves nothing", in: reads(
		func(yield yields) yields {
			go func() { select {} }()
			return yield
		})},
	"goes back now and then": {by: "read/while others append", in: func(l event.Log) event.Log {
		looks := 0
		return reads(func(yield yields) yields {
			looks++
			behind, n := looks%2 == 0, 0
			return func(e event.RawRecorded, err error) bool {
				n++
				return (!behind || n < 10) && yield(e, err)
			}
		})(l)
	}},
	"ends after a thousand events": {by: "read/a long stream", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool { return e.Revision < 999 && yield(e, err) }
		})},
	"reads on when it is cancelled": {by: "read/a cancelled reader stops", in: func(l event.Log) event.Log {
		return changed{Log: l, read: func(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
			return l.Read(context.WithoutCancel(ctx), stream, from)
		}}
	}},
	"cuts off a cancelled reader in silence": {by: "read/a cancelled reader stops", in: reads(
		func(yield yields) yields {
			return func(e event.RawRecorded, err error) bool { return err == nil && yield(e, err) }
		})},

	// Follow
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

	// Cursors
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
	"waits at its end for the events that a cursor has seen": {by: "cursor/of a longer log is refused", in: follows(
		func(l event.Log) followFunc {
			return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
				err := l.Follow(ctx, categories, after, h)
				if errors.Is(err, event.ErrPositionAhead) {
					head, _ := l.Head(ctx)
					err = l.Follow(ctx, categories, event.Cursor{Position: head}, h)
				}
				return err
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

	// The log's life
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

// stores plants a change to what is stored.
func stores(f func(e *event.Raw)) func(event.Log) event.Log {
	return appends(func(l event.Log) appendFunc {
		return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
			e = slices.Clone(e)
			for i := range e {
				f(&e[i])
			}
			return l.Append(ctx, stream, at, e...)
		}
	})
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

// forgetful answers a repetition only if little was appended since.
func forgetful(l event.Log, a answer) (event.Position, error) {
	head, err := l.Head(context.Background())
	if head.Commit-a.position.Commit > 90 {
		return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
	}
	return a.position, err
}

// comparing takes an append for a repetition if its i-th event stands where it would.
func comparing(l event.Log, a answer, i int) (event.Position, error) {
	all := stored(l, a.stream)
	if place := int(a.at) + 1 + i; place < len(all) && all[place].ID == a.events[i].ID {
		return all[place].Position, nil
	}
	return a.position, a.err
}

// wholeAppends knows a repetition only if it has the bounds of the append that it repeats.
func wholeAppends(l event.Log) event.Log {
	type bounds struct {
		stream string
		at     event.Revision
		n      int
	}
	var mu sync.Mutex
	made := map[bounds]bool{}
	return answers(func(l event.Log, a answer) (event.Position, error) {
		mu.Lock()
		defer mu.Unlock()
		b := bounds{a.stream, a.at, len(a.events)}
		if a.repeated && !made[b] {
			return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
		}
		made[b] = made[b] || a.err == nil
		return a.position, a.err
	})(l)
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
