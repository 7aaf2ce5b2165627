package door

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"ledger.internal/ledger/internal/aggregate/event"
)

// ToLog is a log behind a door. It is event.Exclusive if the log is.
func ToLog(log event.Log, g Guard) event.Log {
	l := guardedLog{log, g}
	if _, alone := log.(event.Exclusive); alone {
		return exclusiveLog{l}
	}
	return l
}

type guardedLog struct {
	event.Log
	guard Guard
}

type exclusiveLog struct{ guardedLog }

// Exclusive implements event.Exclusive.
func (exclusiveLog) Exclusive() {}

// Append implements event.Log. An append whose answer is lost has an unknown outcome.
func (l guardedLog) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	c := Call{Log, "append", stream}
	if err := l.guard.Before(ctx, c); err != nil {
		return event.Position{}, err
	}
	p, err := l.Log.Append(ctx, stream, at, events...)
	if err != nil {
		return p, err
	}
	if lost := l.guard.After(ctx, c); lost != nil {
		return event.Position{}, fmt.Errorf("append to %s: %w: %w", stream, event.ErrUnknownOutcome, lost)
	}
	return p, nil
}

// Read implements event.Log.
func (l guardedLog) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		if err := l.guard.Before(ctx, Call{Log, "read", stream}); err != nil {
			yield(event.RawRecorded{}, err)
			return
		}
		l.Log.Read(ctx, stream, from)(yield)
	}
}

// Follow implements event.Log. The guard is asked before each message is delivered.
func (l guardedLog) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	of := strings.Join(categories, ",")
	return l.Log.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
		if err := l.guard.Before(ctx, Call{Log, "follow", of}); err != nil {
			return err
		}
		return h(ctx, m)
	})
}

// Head implements event.Log.
func (l guardedLog) Head(ctx context.Context) (event.Position, error) {
	if err := l.guard.Before(ctx, Call{Neighbour: Log, Name: "head"}); err != nil {
		return event.Position{}, err
	}
	return l.Log.Head(ctx)
}
