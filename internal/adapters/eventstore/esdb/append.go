package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Append implements event.Log. A try that may have been written is repeated with the same ids at the same revision, for
// which the server answers what it answered, or would have answered, the first one: it compares with what stands there.
func (l *Log) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	if err := event.CheckAppend(stream, at, events); err != nil {
		return event.Position{}, err
	}
	if err := l.usable(ctx); err != nil {
		return event.Position{}, err
	}
	bound, cancel := l.bind(ctx)
	defer cancel()
	unsure := false // a try may have been written
	for tries := 0; ; tries++ {
		var p event.Position
		f := l.once(bound, func(c *call) (err error) {
			p, err = c.append(stream, at, events)
			return err
		})
		var conflict *event.WrongRevisionError
		switch {
		case f == nil:
			return p, nil
		case errors.As(f.error, &conflict) && unsure:
			return l.resolve(bound, conflict, events)
		case errors.As(f.error, &conflict):
			return event.Position{}, conflict
		}
		unsure = unsure || !f.unsent
		if f.final || f.refused || l.pause(bound, f, tries) != nil || bound.Err() != nil {
			return event.Position{}, l.gaveUp(ctx, stream, unsure, f)
		}
		l.cluster.metrics.retries.WithLabelValues("append").Inc()
	}
}

// unrepeated keeps gRPC from making a call again on another connection, which it does with what was sent so far. Whoever
// sends an append is told that its stream has ended, sends no more, and asks for the answer, which ends what he sends: on
// the other connection that would be all of the append, and the server would write its first events alone.
var unrepeated = grpc.MaxRetryRPCBufferSize(0)

// append makes one try. A stream that is elsewhere is a *event.WrongRevisionError.
func (c *call) append(stream string, at event.Revision, events []event.Raw) (event.Position, error) {
	out, err := c.streams.Append(c.ctx, append(slices.Clip(c.options), unrepeated)...)
	if err != nil {
		return event.Position{}, err
	}
	err = out.Send(appendHeader(stream, at))
	for _, e := range events {
		if err != nil {
			break
		}
		err = out.Send(proposed(e))
	}
	// A server that says no before it has heard all ends the stream: what it said is to be received.
	if err != nil && !errors.Is(err, io.EOF) {
		return event.Position{}, err
	}
	answer, err := out.CloseAndRecv()
	if err != nil {
		c.trailer = out.Trailer()
		return event.Position{}, err
	}
	if wrong := answer.GetWrongExpectedVersion(); wrong != nil {
		return event.Position{}, &fault{unsent: true, error: &event.WrongRevisionError{Stream: stream, Expected: at, Actual: actual(wrong)}}
	}
	return c.appended(stream, at+event.Revision(len(events)), answer.GetSuccess())
}

// actual is the revision that a conflict found.
func actual(w *streams.AppendResp_WrongExpectedVersion) event.Revision {
	if o, ok := w.GetCurrentRevisionOption().(*streams.AppendResp_WrongExpectedVersion_CurrentRevision); ok {
		return event.Revision(o.CurrentRevision)
	}
	return event.NoStream
}

// appended reads a yes. The last event must stand where it was meant to: after somebody has deleted the stream, the
// server begins it behind its old end, and says yes.
func (c *call) appended(stream string, last event.Revision, yes *streams.AppendResp_Success) (event.Position, error) {
	if yes == nil {
		return event.Position{}, fmt.Errorf("append to %s: %w", stream, errNonsense)
	}
	if got, ok := yes.GetCurrentRevisionOption().(*streams.AppendResp_Success_CurrentRevision); !ok || got.CurrentRevision != uint64(last) {
		return event.Position{}, &fault{final: true, error: lost(stream, "an append for revision %d was taken as %d: the stream was deleted", last, yes.GetCurrentRevision())}
	}
	if p := yes.GetPosition(); p != nil && p.GetCommitPosition() != math.MaxUint64 {
		return position(p), nil
	}
	e, found, err := c.event(readStream(stream, last, 1)) // a server that does not say where the first try stands
	if err == nil && !found {
		err = errNonsense
	}
	return e.Position, err
}

// resolve finds out whether an append that met a conflict after a try of unknown outcome is in conflict with itself: the
// server knows a repeated append by the events that stand there, but not if it no longer can look at them.
func (l *Log) resolve(ctx context.Context, conflict *event.WrongRevisionError, events []event.Raw) (p event.Position, err error) {
	at := conflict.Expected + 1
	i := 0
	for e, err := range l.Read(ctx, conflict.Stream, at) {
		if errors.Is(err, event.ErrStreamNotFound) {
			break
		}
		if err != nil {
			return p, fmt.Errorf("append to %s: %w: %w", conflict.Stream, event.ErrUnknownOutcome, err)
		}
		if e.ID != events[i].ID {
			break
		}
		if i++; i == len(events) {
			return e.Position, nil
		}
	}
	return p, conflict
}

// gaveUp is what a caller is told whose append neither succeeded nor met a conflict.
func (l *Log) gaveUp(ctx context.Context, stream string, unsure bool, f *fault) error {
	why := f.error
	if err := l.usable(ctx); err != nil && !errors.Is(why, err) {
		why = fmt.Errorf("%w: %w", err, why)
	}
	if f.certain() {
		return fmt.Errorf("append to %s: %w", stream, why)
	}
	if unsure {
		return fmt.Errorf("append to %s: %w: %w", stream, event.ErrUnknownOutcome, why)
	}
	return fmt.Errorf("append to %s: %w: %w", stream, event.ErrUnavailable, why)
}
