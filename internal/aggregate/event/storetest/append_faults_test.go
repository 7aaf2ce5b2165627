package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

var appendFaults = faults{
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
