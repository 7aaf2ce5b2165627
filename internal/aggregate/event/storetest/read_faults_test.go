package storetest_test

import (
	"context"
	"errors"
	"iter"

	"ledger.internal/ledger/internal/aggregate/event"
)

var readFaults = faults{
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
}
