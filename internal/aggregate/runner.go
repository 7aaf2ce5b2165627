package aggregate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// maxConflicts is how often a decision is made anew because somebody else appended first.
	maxConflicts = 5
	// appendTimeout bounds an append once it has begun; from then on it no longer depends on the caller's patience.
	appendTimeout = 10 * time.Second
	// firstPause is how long an append of unknown outcome waits before it is repeated; it doubles up to longestPause.
	firstPause, longestPause = 5 * time.Millisecond, 160 * time.Millisecond
	// cachedStates is how many folded streams a Runner keeps.
	cachedStates = 4096
)

// Runner carries requests to the aggregates of one type.
//
// It keeps folded states, and proves what it answers: an acceptance by appending at the exact revision, a refusal
// or a read by reading the stream's tail first. So a stale state costs a second look and never a wrong answer.
type Runner[S any] struct {
	log   event.Log
	typ   Type[S]
	cache *lru.Cache[string, folded[S]]
	locks locks
	// doubt is set once the outcome of an append stayed unknown: it may turn up behind anything that comes later.
	doubt atomic.Bool
}

// NewRunner returns a Runner over log.
func NewRunner[S any](log event.Log, typ Type[S]) *Runner[S] {
	cache, err := lru.New[string, folded[S]](cachedStates)
	if err != nil {
		panic("aggregate: " + err.Error()) // only for a size that is not positive
	}
	return &Runner[S]{log: log, typ: typ, cache: cache}
}

// folded is a stream as far as it was read.
type folded[S any] struct {
	state    S
	revision event.Revision
	last     *ledgerv1.Metadata // of the last event; nil before the first
	requests *requests          // shared along one stream's history, guarded by the stream's lock
}

// requests remembers which request made which events.
type requests struct{ byID map[string]made }

type made struct {
	last event.Revision // of the request's events
	hash [32]byte
}

// Do lets a command decide on a stream and appends what it decides. The same request is done once; asked again it
// is answered from its own events, with Replayed.
//
// Errors: what the command refuses with (*Error), IDEMPOTENCY_KEY_REUSED, REVISION_CONFLICT if others were faster
// once more after five new decisions, or an error of the log.
func (r *Runner[S]) Do(ctx context.Context, stream string, q Request, c Command[S]) (Result[S], error) {
	unlock, err := r.locks.lock(ctx, stream)
	if err != nil {
		return Result[S]{}, err
	}
	defer unlock()

	f, fresh, err := r.begin(ctx, stream)
	if err != nil {
		return Result[S]{}, err
	}
	for conflicts := 0; ; {
		if m, ok := f.requests.byID[q.ID]; ok {
			return r.replay(ctx, stream, q, m)
		}
		var events []*ledgerv1.Event
		refusal := q.expects(f.revision)
		if refusal == nil {
			events, refusal = c.Decide(f.state)
		}
		if (refusal != nil || len(events) == 0) && !fresh {
			// Nothing will be appended that could prove the state current, so the tail is read first.
			if f, err = r.catchUp(ctx, stream, f); err != nil {
				return Result[S]{}, err
			}
			fresh = true
			continue
		}
		if refusal != nil {
			return Result[S]{}, refusal
		}
		if len(events) == 0 {
			return Result[S]{State: f.state, Revision: f.revision}, nil
		}
		var res Result[S]
		res, err = r.append(ctx, stream, q, f, events)
		var wrong *event.WrongRevisionError
		if !errors.As(err, &wrong) {
			return res, err
		}
		if conflicts++; conflicts > maxConflicts {
			return Result[S]{}, conflict(wrong.Actual)
		}
		if wrong.Actual < f.revision {
			f = r.forget(stream) // the log has lost what was read of it
		}
		if f, err = r.catchUp(ctx, stream, f); err != nil {
			return Result[S]{}, err
		}
		fresh = true
	}
}

// Preview lets a command decide as Do would now, and appends nothing. A request that was done is answered as Do
// answers it. The events have neither ids nor positions.
func (r *Runner[S]) Preview(ctx context.Context, stream string, q Request, c Command[S]) (Result[S], error) {
	unlock, err := r.locks.lock(ctx, stream)
	if err != nil {
		return Result[S]{}, err
	}
	defer unlock()
	f, fresh, err := r.begin(ctx, stream)
	if err == nil && !fresh {
		f, err = r.catchUp(ctx, stream, f)
	}
	if err != nil {
		return Result[S]{}, err
	}
	if m, ok := f.requests.byID[q.ID]; ok {
		return r.replay(ctx, stream, q, m)
	}
	if err := q.expects(f.revision); err != nil {
		return Result[S]{}, err
	}
	events, err := c.Decide(f.state)
	if err != nil {
		return Result[S]{}, err
	}
	res := Result[S]{State: r.stamp(q, f, events), Revision: f.revision + event.Revision(len(events))}
	for i, e := range events {
		res.Events = append(res.Events, event.Recorded{Stream: stream, Revision: f.revision + 1 + event.Revision(i), Event: e})
	}
	return res, nil
}

// Load folds a stream to its end.
func (r *Runner[S]) Load(ctx context.Context, stream string) (S, event.Revision, error) {
	unlock, err := r.locks.lock(ctx, stream)
	if err != nil {
		var none S
		return none, event.NoStream, err
	}
	defer unlock()
	f, fresh, err := r.begin(ctx, stream)
	if err == nil && !fresh {
		f, err = r.catchUp(ctx, stream, f)
	}
	return f.state, f.revision, err
}

// LoadAt folds a stream up to and including a position.
func (r *Runner[S]) LoadAt(ctx context.Context, stream string, upTo event.Position) (S, error) {
	s := r.typ.New()
	for raw, err := range r.log.Read(ctx, stream, 0) {
		if errors.Is(err, event.ErrStreamNotFound) {
			break
		}
		if err != nil {
			return s, fmt.Errorf("read %s: %w", stream, err)
		}
		if raw.Position.Compare(upTo) > 0 {
			break
		}
		e, err := event.Decode(raw)
		if err != nil {
			return s, fmt.Errorf("load %s: %w", stream, err)
		}
		s = r.typ.Evolve(s, e.Event)
	}
	return s, nil
}

// begin gives what is known of a stream; of what is not known, all is read.
func (r *Runner[S]) begin(ctx context.Context, stream string) (f folded[S], fresh bool, err error) {
	if f, ok := r.cache.Get(stream); ok {
		return f, false, nil
	}
	f, err = r.catchUp(ctx, stream, r.forget(stream))
	return f, true, err
}

// forget drops what is known of a stream: nothing of it is folded then.
func (r *Runner[S]) forget(stream string) folded[S] {
	r.cache.Remove(stream)
	return folded[S]{state: r.typ.New(), revision: event.NoStream, requests: &requests{byID: map[string]made{}}}
}

// catchUp folds what stands behind f in the stream and keeps the result.
func (r *Runner[S]) catchUp(ctx context.Context, stream string, f folded[S]) (folded[S], error) {
	for raw, err := range r.log.Read(ctx, stream, f.revision+1) {
		if errors.Is(err, event.ErrStreamNotFound) {
			return f, nil
		}
		if err != nil {
			return f, fmt.Errorf("read %s: %w", stream, err)
		}
		e, err := event.Decode(raw)
		if err != nil {
			return f, fmt.Errorf("load %s: %w", stream, err)
		}
		f = r.fold(f, e)
	}
	r.cache.Add(stream, f)
	return f, nil
}

func (r *Runner[S]) fold(f folded[S], e event.Recorded) folded[S] {
	f.state = r.typ.Evolve(f.state, e.Event)
	return f.note(e)
}

// note takes down all of an event but what it does to the state.
func (f folded[S]) note(e event.Recorded) folded[S] {
	f.revision = e.Revision
	f.last = e.Metadata
	id := e.Metadata.GetRequestId()
	m, ok := f.requests.byID[id]
	if !ok {
		copy(m.hash[:], e.Metadata.GetRequestHash())
	}
	m.last = e.Revision
	f.requests.byID[id] = m
	return f
}

// append stamps, encodes and appends events behind f.
func (r *Runner[S]) append(ctx context.Context, stream string, q Request, f folded[S], events []*ledgerv1.Event) (Result[S], error) {
	if err := ctx.Err(); err != nil {
		return Result[S]{}, err
	}
	after := r.stamp(q, f, events)
	raws := make([]event.Raw, len(events))
	recorded := make([]event.Recorded, len(events))
	prev := f.last.GetHash()
	for i, e := range events {
		revision := f.revision + 1 + event.Revision(i)
		id := event.ID(stream, q.ID, i)
		raw, err := event.Encode(prev, stream, revision, id, e)
		if err != nil {
			return Result[S]{}, fmt.Errorf("append to %s: %w", stream, err)
		}
		prev = e.Metadata.Hash
		raws[i] = raw
		recorded[i] = event.Recorded{Stream: stream, Revision: revision, ID: id, Event: e}
	}
	// From here on the caller's patience no longer counts: what has begun is brought to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	last, err := r.write(ctx, stream, f.revision, raws)
	if err != nil {
		if errors.Is(err, event.ErrUnknownOutcome) {
			r.doubt.Store(true)
		}
		return Result[S]{}, err
	}
	if _, alone := r.log.(event.Exclusive); !alone || r.doubt.Load() {
		if err := r.confirm(ctx, stream, f.revision, raws); err != nil {
			return Result[S]{}, err
		}
	}
	for i := range recorded {
		recorded[i].Position = last // the others stand before it, nobody asks where
		f = f.note(recorded[i])
	}
	f.state = after
	r.cache.Add(stream, f)
	return Result[S]{State: f.state, Revision: f.revision, Events: recorded}, nil
}

// stamp fills in the metadata that the runner knows: who, when, why, and when the stream wants attention next. It
// returns the state after the events.
func (r *Runner[S]) stamp(q Request, f folded[S], events []*ledgerv1.Event) S {
	at := q.At.UTC().Truncate(time.Microsecond)
	if last := f.last.GetRecordedAt(); last != nil && at.Before(last.AsTime()) {
		at = last.AsTime() // recorded_at never decreases, whatever the clock does
	}
	recorded := timestamppb.New(at)
	s := f.state
	for _, e := range events {
		if e.Metadata == nil {
			e.Metadata = &ledgerv1.Metadata{}
		}
		m := e.Metadata
		m.RecordedAt = recorded
		if m.OccurredAt == nil {
			m.OccurredAt = recorded
		}
		m.Actor, m.RequestId = q.Actor, q.ID
		if q.Hash != [32]byte{} {
			m.RequestHash = q.Hash[:]
		}
		if q.Cause != uuid.Nil {
			m.Causation = q.Cause.String()
		}
		s = r.typ.Evolve(s, e)
	}
	if r.typ.Due == nil {
		return s
	}
	if due := r.typ.Due(s, time.Time{}); !due.IsZero() {
		for _, e := range events {
			e.Metadata.DueAt = timestamppb.New(due)
		}
	}
	return s
}

// write appends and resolves what the log cannot say: if it is not known whether the append took place, the same
// append is repeated, which the log answers as it answered, or would have answered, the first. That a repetition was not
// written says nothing about the one before it.
func (r *Runner[S]) write(ctx context.Context, stream string, at event.Revision, raws []event.Raw) (event.Position, error) {
	for unsure, wait := false, firstPause; ; wait = min(2*wait, longestPause) {
		last, err := r.log.Append(ctx, stream, at, raws...)
		var conflict *event.WrongRevisionError
		unknown := errors.Is(err, event.ErrUnknownOutcome)
		switch {
		case err == nil || errors.As(err, &conflict) || !unknown && !unsure:
			return last, err
		case !unknown:
			err = fmt.Errorf("%w: %w", event.ErrUnknownOutcome, err)
		}
		if unsure = true; errors.Is(err, event.ErrClosed) {
			return last, err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return last, err // still unknown, and told as that
		}
	}
}

// confirm reads back what an append wrote, where others append too or an earlier append may turn up. The log knows an append again by its
// ids alone, so it also says yes if another replica has done the same request meanwhile, at another time or even
// with another content. Then the other's events stand, and that is a conflict like any other.
func (r *Runner[S]) confirm(ctx context.Context, stream string, at event.Revision, raws []event.Raw) error {
	i := 0
	for raw, err := range r.log.Read(ctx, stream, at+1) {
		if err != nil {
			return fmt.Errorf("read back %s: %w", stream, err)
		}
		if !bytes.Equal(raw.Metadata, raws[i].Metadata) {
			return &event.WrongRevisionError{Stream: stream, Expected: at, Actual: raw.Revision}
		}
		if i++; i == len(raws) {
			return nil
		}
	}
	return fmt.Errorf("read back %s: %w", stream, event.ErrUnknownOutcome)
}

// replay answers a request that was done before from the stream folded up to its last event.
func (r *Runner[S]) replay(ctx context.Context, stream string, q Request, m made) (Result[S], error) {
	if q.Hash != [32]byte{} && m.hash != [32]byte{} && q.Hash != m.hash {
		return Result[S]{}, &Error{Kind: Invalid, Reason: "IDEMPOTENCY_KEY_REUSED", Field: "request_id",
			Message: "this request id was used before with another request"}
	}
	res := Result[S]{State: r.typ.New(), Revision: m.last, Replayed: true}
	for raw, err := range r.log.Read(ctx, stream, 0) {
		if err != nil {
			return Result[S]{}, fmt.Errorf("replay %s: %w", stream, err)
		}
		if raw.Revision > m.last {
			break
		}
		e, err := event.Decode(raw)
		if err != nil {
			return Result[S]{}, fmt.Errorf("replay %s: %w", stream, err)
		}
		res.State = r.typ.Evolve(res.State, e.Event)
		if e.Metadata.GetRequestId() == q.ID {
			res.Events = append(res.Events, e)
		}
	}
	if len(res.Events) == 0 {
		r.forget(stream)
		return Result[S]{}, fmt.Errorf("replay %s: the log has lost what request %s did: %w", stream, q.ID, event.ErrUnavailable)
	}
	return res, nil
}
