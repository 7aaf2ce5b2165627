package esdb

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// A page is read whole, so that a call lasts no longer than the server takes; it ends early when it holds pageBytes.
	pageEvents = 256
	pageBytes  = 1 << 20
)

// loss says that events which the log has held are gone: somebody deleted a stream, set metadata that ends events, or
// restored a copy. It is an event.ErrChain.
type loss struct{ text string }

func lost(stream, format string, args ...any) error {
	return &loss{fmt.Sprintf("stream %s: %s", stream, fmt.Sprintf(format, args...))}
}

func (l *loss) Error() string        { return l.text }
func (l *loss) Is(target error) bool { return target == event.ErrChain }

// certain reports whether a try found a loss, which says what became of the tries before it, too.
func (f *fault) certain() bool {
	var broken *loss
	return errors.As(f.error, &broken)
}

// Read implements event.Log.
func (l *Log) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		err := event.CheckRead(stream, from)
		for next := from; err == nil; {
			var page []event.RawRecorded
			var more bool
			if page, more, err = l.page(ctx, stream, next); err != nil {
				break
			}
			for _, e := range page {
				if err = l.usable(ctx); err != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if err == nil && !more {
				return
			}
			next += event.Revision(len(page))
		}
		yield(event.RawRecorded{}, err)
	}
}

// page reads events of a stream. What came of a try that failed counts: the next try goes on behind it. An event that is
// left out twice is gone.
func (l *Log) page(ctx context.Context, stream string, from event.Revision) (page []event.RawRecorded, more bool, err error) {
	held, missing := 0, event.NoStream
	err = l.patiently(ctx, "read", func(c *call) error {
		more = false
		next := from + event.Revision(len(page))
		return c.collect(readStream(stream, next, uint64(pageEvents-len(page))), func(m *streams.ReadResp) (bool, error) {
			if m.GetStreamNotFound() != nil {
				return false, &fault{final: true, error: fmt.Errorf("%w: %s", event.ErrStreamNotFound, stream)}
			}
			if m.GetEvent() == nil {
				return true, nil
			}
			e, err := recorded(m.GetEvent())
			want := from + event.Revision(len(page))
			switch {
			case err != nil:
				return false, err
			case e.Stream != stream || e.Revision < want:
				return false, fmt.Errorf("%s at %d instead of %s at %d: %w", e.Stream, e.Revision, stream, want, errNonsense)
			case e.Revision > want && missing == want:
				return false, &fault{final: true, error: lost(stream, "the events from revision %d to %d are gone", want, e.Revision-1)}
			case e.Revision > want:
				missing = want
				return false, &fault{error: fmt.Errorf("%s at %d instead of %d: %w", stream, e.Revision, want, errNonsense)}
			}
			page = append(page, e)
			held += len(e.Data) + len(e.Metadata)
			more = len(page) == pageEvents || held >= pageBytes
			return !more, nil
		})
	})
	if errors.Is(err, event.ErrStreamNotFound) && len(page) > 0 {
		err = lost(stream, "it was deleted while it was read")
	}
	if err == nil && from == 0 && len(page) == 0 {
		err = lost(stream, "it exists, and its events are gone")
	}
	return page, more, err
}
