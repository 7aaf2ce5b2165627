// Package memory keeps the log in memory: for tests, the simulation and a first look. It passes the same suite as
// the logs that survive their process.
package memory

import (
	"context"
	"iter"
	"slices"
	"sync"

	"ledger.internal/ledger/internal/aggregate/event"
)

// skipped is how many events that do not match may pass before a follower is told how far it has come.
const skipped = 100

// Log implements event.Log. The n-th event of the log has the position {n, n}.
type Log struct {
	mu      sync.RWMutex
	all     []event.RawRecorded
	streams map[string][]int // indexes in all
	more    chan struct{}    // closed, and replaced, by each append
	closed  chan struct{}
}

var _ event.Log = (*Log)(nil)

// New returns an empty log.
func New() *Log {
	return &Log{streams: map[string][]int{}, more: make(chan struct{}), closed: make(chan struct{})}
}

// Exclusive implements event.Exclusive.
func (l *Log) Exclusive() {}

// Append implements event.Log.
func (l *Log) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	if err := event.CheckAppend(stream, at, events); err != nil {
		return event.Position{}, err
	}
	if err := l.usable(ctx); err != nil {
		return event.Position{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	places := l.streams[stream]
	current := event.Revision(len(places)) - 1
	if at < current && l.same(places[at+1:], events) {
		return l.all[places[int(at)+len(events)]].Position, nil
	}
	if at != current {
		return event.Position{}, &event.WrongRevisionError{Stream: stream, Expected: at, Actual: current}
	}
	for _, e := range events {
		at++
		places = append(places, len(l.all))
		l.all = append(l.all, event.RawRecorded{Stream: stream, Revision: at, Position: position(len(l.all) + 1), Raw: clone(e)})
	}
	l.streams[stream] = places
	close(l.more)
	l.more = make(chan struct{})
	return position(len(l.all)), nil
}

// same reports whether events stand at the beginning of places: this append was made before.
func (l *Log) same(places []int, events []event.Raw) bool {
	if len(events) > len(places) {
		return false
	}
	for i, e := range events {
		if l.all[places[i]].ID != e.ID {
			return false
		}
	}
	return true
}

// Read implements event.Log.
func (l *Log) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		if err := event.CheckRead(stream, from); err != nil {
			yield(event.RawRecorded{}, err)
			return
		}
		for r := from; ; r++ {
			e, found, err := l.at(ctx, stream, r)
			if err != nil {
				yield(event.RawRecorded{}, err)
				return
			}
			if !found || !yield(e, nil) {
				return
			}
		}
	}
}

func (l *Log) at(ctx context.Context, stream string, r event.Revision) (e event.RawRecorded, found bool, err error) {
	if err := l.usable(ctx); err != nil {
		return e, false, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	places, ok := l.streams[stream]
	if !ok {
		return e, false, event.ErrStreamNotFound
	}
	if r >= event.Revision(len(places)) {
		return e, false, nil
	}
	e = l.all[places[r]]
	e.Raw = clone(e.Raw)
	return e, true, nil
}

// Follow implements event.Log.
func (l *Log) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	if err := l.verify(after); err != nil {
		return err
	}
	unmatched := 0
	for at := int(after.Position.Commit); ; {
		if err := l.usable(ctx); err != nil {
			return err
		}
		m, more := l.next(at)
		switch {
		case m.Kind == event.KindCaughtUp:
			if err := h(ctx, m); err != nil {
				return err
			}
			unmatched = 0
			select {
			case <-more:
			case <-l.closed:
			case <-ctx.Done():
			}
			continue
		case len(categories) > 0 && !slices.Contains(categories, event.Category(m.Event.Stream)):
			at++
			if unmatched++; unmatched < skipped {
				continue
			}
			m = event.Message{Kind: event.KindCheckpoint, Position: m.Position}
		default:
			at++
		}
		unmatched = 0
		if err := h(ctx, m); err != nil {
			return err
		}
	}
}

// next is the event after index at, or KindCaughtUp and what to wait for.
func (l *Log) next(at int) (m event.Message, more <-chan struct{}) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if at == len(l.all) {
		return event.Message{Kind: event.KindCaughtUp, Position: position(at)}, l.more
	}
	e := l.all[at]
	e.Raw = clone(e.Raw)
	return event.Message{Kind: event.KindEvent, Position: e.Position, Event: e}, nil
}

// verify refuses a cursor that is not of this log's past.
func (l *Log) verify(c event.Cursor) error {
	if err := event.CheckCursor(c); err != nil {
		return err
	}
	if c.Position != position(int(c.Position.Commit)) || c.LastPosition != position(int(c.LastPosition.Commit)) {
		return event.ErrInvalidArgument
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c.Position.Commit > uint64(len(l.all)) {
		return event.ErrPositionAhead
	}
	if last := c.LastPosition.Commit; last > 0 && l.all[last-1].ID != c.LastID {
		return event.ErrDiverged
	}
	return nil
}

// Head implements event.Log.
func (l *Log) Head(ctx context.Context) (event.Position, error) {
	if err := l.usable(ctx); err != nil {
		return event.Position{}, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return position(len(l.all)), nil
}

// Close implements event.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *Log) usable(ctx context.Context) error {
	select {
	case <-l.closed:
		return event.ErrClosed
	default:
		return ctx.Err()
	}
}

func position(n int) event.Position { return event.Position{Commit: uint64(n), Prepare: uint64(n)} }

// clone keeps the caller's hands off the log, and the log's off the caller.
func clone(e event.Raw) event.Raw {
	e.Data, e.Metadata = slices.Clone(e.Data), slices.Clone(e.Metadata)
	return e
}
