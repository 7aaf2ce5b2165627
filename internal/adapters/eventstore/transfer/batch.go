package transfer

import (
	"context"
	"slices"

	"ledger.internal/ledger/internal/aggregate/event"
)

// maxBatch is how many events one append of a copy holds at most.
const maxBatch = 100

// batch are events of one stream that stand together in the log. They are appended at once: that keeps the order, and
// pays for one flush instead of many.
type batch struct {
	stream string
	first  event.Revision
	events []event.Raw
	size   int
}

// takes reports whether an event may stand in the same append as those that are there.
func (b *batch) takes(e event.RawRecorded) bool {
	return len(b.events) == 0 ||
		e.Stream == b.stream && len(b.events) < maxBatch && b.size+e.Size() <= event.MaxAppend && !b.has(e)
}

// has reports whether an event's id is there already: no append takes an id twice.
func (b *batch) has(e event.RawRecorded) bool {
	return slices.ContainsFunc(b.events, func(other event.Raw) bool { return other.ID == e.ID })
}

func (b *batch) add(e event.RawRecorded) {
	if len(b.events) == 0 {
		b.stream, b.first = e.Stream, e.Revision
	}
	b.events = append(b.events, e.Raw)
	b.size += e.Size()
}

func (b *batch) append(ctx context.Context, to event.Log) error {
	_, err := to.Append(ctx, b.stream, b.first-1, b.events...)
	return err
}
