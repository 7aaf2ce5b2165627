package rpc

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// ListEvents implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ListEvents(ctx context.Context, r *ledgerv1.ListEventsRequest) (*ledgerv1.ListEventsResponse, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return nil, err
	}
	stream := subscription.Stream(r.GetMerchantId(), r.GetSubscriptionId())
	read := func(behind *event.Revision, limit int) ([]*ledgerv1.RecordedEvent, error) {
		from := event.Revision(0)
		if behind != nil {
			from = *behind + 1
		}
		return s.readEvents(ctx, stream, r.GetSubscriptionId(), asOf, from, limit)
	}
	filter := struct {
		Stream string
		AsOf   time.Time
	}{stream, asOf}
	events, next, err := projection.ReadPage(projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()}, "events", filter, read,
		func(e *ledgerv1.RecordedEvent) event.Revision { return event.Revision(e.GetRevision()) })
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListEventsResponse{Events: events, NextPageToken: next}, nil
}

// readEvents reads what was known of a stream at an instant; all of it, if that is zero.
func (s *subscriptions) readEvents(ctx context.Context, stream, id string, asOf time.Time, from event.Revision, limit int) ([]*ledgerv1.RecordedEvent, error) {
	var events []*ledgerv1.RecordedEvent
	for raw, err := range s.Log.Read(ctx, stream, from) {
		if errors.Is(err, event.ErrStreamNotFound) {
			return nil, aggregate.ErrNotFound("subscription", id)
		}
		if err != nil {
			return nil, err
		}
		e, err := viewEvent(id, raw)
		if err != nil {
			return nil, err
		}
		if !knownAsOf(e.GetEvent(), asOf) {
			if e.GetRevision() == 0 {
				return nil, aggregate.ErrNotFound("subscription", id)
			}
			break
		}
		if events = append(events, e); len(events) == limit {
			break
		}
	}
	return events, nil
}

// knownAsOf reports whether an event was known at an instant; if that is zero, it is now. Within a stream, no event was
// recorded before those ahead of it.
func knownAsOf(e *ledgerv1.Event, t time.Time) bool {
	return t.IsZero() || !e.GetMetadata().GetRecordedAt().AsTime().After(t)
}

// load folds what was known of a subscription at an instant; all of it, if that is zero.
func (s *subscriptions) load(ctx context.Context, stream string, asOf time.Time) (subscription.State, event.Revision, error) {
	if asOf.IsZero() {
		return s.Subscriptions.Load(ctx, stream)
	}
	state, revision := subscription.State{}, event.NoStream
	for raw, err := range s.Log.Read(ctx, stream, 0) {
		if errors.Is(err, event.ErrStreamNotFound) {
			break
		}
		if err != nil {
			return state, revision, err
		}
		e, err := event.Decode(raw)
		if err != nil {
			return state, revision, err
		}
		if !knownAsOf(e.Event, asOf) {
			break
		}
		state, revision = subscription.Evolve(state, e.Event), e.Revision
	}
	return state, revision, nil
}

// WatchEvents implements ledgerv1.SubscriptionServiceServer. Each watcher follows the log by itself, from where it
// says and at its own pace; nothing is kept for it here.
func (s *subscriptions) WatchEvents(r *ledgerv1.WatchEventsRequest, stream grpc.ServerStreamingServer[ledgerv1.WatchEventsResponse]) error {
	after, err := event.ParsePosition(r.GetFrom())
	if err != nil {
		return aggregate.InvalidField("from", "POSITION_INVALID", "is not a position of this ledger")
	}
	if err := s.merchantExists(stream.Context(), r.GetMerchantId()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	w := &watch{stream: stream, patience: s.SlowConsumer, next: make(chan *ledgerv1.WatchEventsResponse)}
	go w.send(ctx, s.stopping, cancel)
	mine := subscription.Stream(r.GetMerchantId(), "")
	err = s.Log.Follow(ctx, []string{subscription.Category}, event.Cursor{Position: after}, func(ctx context.Context, m event.Message) error {
		answer, err := watched(mine, m)
		if err != nil || answer == nil {
			return err
		}
		return w.offer(ctx, answer)
	})
	switch {
	case errors.Is(err, event.ErrPositionAhead):
		return aggregate.InvalidField("from", "POSITION_AHEAD", "lies beyond the log's last event")
	case errors.Is(err, errSlow):
		s.Logger.InfoContext(ctx, "slow watcher left", "merchant", r.GetMerchantId())
		return errSlow
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// watched is what a watcher of the streams that begin with `mine` hears of a message; nil for nothing.
func watched(mine string, m event.Message) (*ledgerv1.WatchEventsResponse, error) {
	switch m.Kind {
	case event.KindCaughtUp:
		return &ledgerv1.WatchEventsResponse{CaughtUp: true, Position: m.Position.String()}, nil
	case event.KindEvent:
		id, ok := strings.CutPrefix(m.Event.Stream, mine)
		if !ok {
			return nil, nil
		}
		e, err := viewEvent(id, m.Event)
		if err != nil {
			return nil, err
		}
		return &ledgerv1.WatchEventsResponse{Event: e, Position: e.GetPosition()}, nil
	}
	return nil, nil
}

// errSlow ends a watch that is not read.
var errSlow = &aggregate.Error{Kind: aggregate.Exhausted, Reason: "SLOW_CONSUMER", Message: "nothing was read for too long; go on from the last position"}

// watch hands messages to one watcher. Send blocks while he does not read, and has no deadline of its own, so a
// goroutine of the watch's waits in it; the watch gives up on him from outside.
type watch struct {
	stream   grpc.ServerStreamingServer[ledgerv1.WatchEventsResponse]
	patience time.Duration
	next     chan *ledgerv1.WatchEventsResponse
}

// send sends what is offered until the call ends, the server stops or sending fails, and says which. A Send that
// blocks is released by gRPC when the method returns.
func (w *watch) send(ctx context.Context, stopping <-chan struct{}, end context.CancelCauseFunc) {
	for {
		select {
		case m := <-w.next:
			if err := w.stream.Send(m); err != nil {
				end(err)
				return
			}
		case <-stopping:
			end(errStopping())
			return
		case <-ctx.Done():
			return
		}
	}
}

// offer passes a message on, once the one before it is on its way.
func (w *watch) offer(ctx context.Context, m *ledgerv1.WatchEventsResponse) error {
	slow := time.NewTimer(w.patience)
	defer slow.Stop()
	select {
	case w.next <- m:
		return nil
	case <-slow.C:
		return errSlow
	case <-ctx.Done():
		return ctx.Err()
	}
}
