package transfer

import (
	"context"
	"errors"
	"fmt"

	"ledger.internal/ledger/internal/aggregate/event"
)

// ahead is how many events are read before they are asked for.
const ahead = 64

// errEnd ends the reading of a log that has no more.
var errEnd = errors.New("read to the end")

// reader hands out the events of a log one by one.
type reader struct {
	events chan event.RawRecorded
	stop   context.CancelFunc
	last   event.Position
	err    error // why events was closed; nil at the end
}

// open reads a log from its beginning to where it ends now.
func open(ctx context.Context, log event.Log) (*reader, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return nil, err
	}
	return follow(ctx, log, event.Cursor{}, head), nil
}

// follow reads a log behind a cursor, up to and with a position.
func follow(ctx context.Context, log event.Log, after event.Cursor, end event.Position) *reader {
	ctx, stop := context.WithCancel(ctx)
	r := &reader{events: make(chan event.RawRecorded, ahead), stop: stop, last: after.Position}
	go func() {
		defer close(r.events)
		if err := log.Follow(ctx, nil, after, r.take(end)); !errors.Is(err, errEnd) {
			r.err = err
		}
	}()
	return r
}

// take hands on what the log delivers, until all up to end was.
func (r *reader) take(end event.Position) func(context.Context, event.Message) error {
	return func(ctx context.Context, m event.Message) error {
		if m.Kind == event.KindEvent && m.Position.Compare(end) <= 0 {
			select {
			case r.events <- m.Event:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if m.Position.Compare(end) >= 0 {
			return errEnd
		}
		return nil
	}
}

// next is the next event; ok is false at the end.
func (r *reader) next() (e event.RawRecorded, ok bool, err error) {
	if e, ok = <-r.events; !ok {
		return e, false, r.err
	}
	if e.Position.Compare(r.last) <= 0 {
		return e, false, fmt.Errorf("%w: %s stands at %s, not behind %s", ErrBroken, place(e), e.Position, r.last)
	}
	r.last = e.Position
	return e, true, nil
}

// close ends the reading, wherever it is.
func (r *reader) close() {
	r.stop()
	for range r.events { // until it has ended
	}
}
