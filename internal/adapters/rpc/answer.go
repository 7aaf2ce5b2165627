package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// command is what every request for a change of a subscription has.
type command interface {
	proto.Message
	GetMerchantId() string
	GetRequestId() string
	GetValidateOnly() bool
}

// circumstances are what a command on a subscription that is there depends on besides the request.
type circumstances struct {
	subscription.Circumstances
	now    time.Time
	stream string
	state  subscription.State // as it was a moment ago; the decision is made on what is true then
}

// existing carries out a command on a subscription that should be there.
func (s *subscriptions) existing(
	ctx context.Context, r interface {
		command
		GetSubscriptionId() string
	}, decide func(circumstances) (aggregate.Command[subscription.State], error),
) (*ledgerv1.CommandResponse, error) {
	in := circumstances{now: s.Clock.Now(), stream: subscription.Stream(r.GetMerchantId(), r.GetSubscriptionId())}
	var err error
	if in.state, _, err = s.Subscriptions.Load(ctx, in.stream); err != nil {
		return nil, err
	}
	if !in.state.Exists() {
		return nil, aggregate.ErrNotFound("subscription", r.GetSubscriptionId())
	}
	if in.Circumstances, err = s.Circumstances(ctx, r.GetMerchantId(), in.state.Connection.ID); err != nil {
		return nil, err
	}
	c, err := decide(in)
	if err != nil {
		return nil, err
	}
	if r.GetValidateOnly() {
		return s.preview(ctx, in.stream, r, in.now, c)
	}
	res, err := s.Subscriptions.Do(ctx, in.stream, request(r, in.now), c)
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, in.stream, r, res)
}

// preview answers what a command would do now.
func (s *subscriptions) preview(ctx context.Context, stream string, r command, now time.Time, c aggregate.Command[subscription.State]) (*ledgerv1.CommandResponse, error) {
	res, err := s.Subscriptions.Preview(ctx, stream, request(r, now), c)
	if err != nil {
		return nil, err
	}
	if res.Replayed {
		return s.answer(ctx, stream, r, res)
	}
	before, _, err := s.Subscriptions.Load(ctx, stream)
	if err != nil {
		return nil, err
	}
	p := &ledgerv1.Preview{Subscription: viewSubscription(res.State, res.Revision)}
	p.Subscription.FirstOrderId, p.Subscription.LastOrderId = before.FirstOrder, before.LastOrder()
	for _, e := range res.Events {
		shown := proto.CloneOf(e.Event)
		blankSecrets(shown.ProtoReflect())
		unnumber(shown)
		p.Events = append(p.Events, shown)
		if entry, ok := entryOf(res.State, shown); ok {
			p.Entries = append(p.Entries, entry)
		}
	}
	return &ledgerv1.CommandResponse{Preview: p}, nil
}

// unnumber takes back the numbers that are only given out when a thing is done.
func unnumber(e *ledgerv1.Event) {
	kind := e.ProtoReflect().WhichOneof(e.ProtoReflect().Descriptor().Oneofs().ByName("kind"))
	m := e.ProtoReflect().Mutable(kind).Message()
	made := m.Descriptor().Fields().ByName("order_id")
	if made == nil {
		return
	}
	if first := m.Descriptor().Fields().ByName("original_order_id"); first != nil && m.Get(first).Int() == m.Get(made).Int() {
		m.Clear(first)
	}
	m.Clear(made)
}

// answer answers a command that was carried out: at once, or after the gateway said something or the caller's wait is
// over.
func (s *subscriptions) answer(ctx context.Context, stream string, r command, res aggregate.Result[subscription.State]) (*ledgerv1.CommandResponse, error) {
	answer := &ledgerv1.CommandResponse{
		Subscription: viewSubscription(res.State, res.Revision),
		Position:     res.Position().String(),
		Replayed:     res.Replayed,
	}
	var err error
	if len(res.Events) == 0 {
		answer.Position, err = s.head(ctx)
		return answer, err
	}
	asked, ok := askedOf(res.Events)
	if !ok {
		return answer, nil
	}
	current, revision := res.State, res.Revision
	if wait := waitOf(r); wait > 0 || res.Replayed {
		if current, revision, err = s.settled(ctx, stream, asked, wait); err != nil {
			return nil, err
		}
	}
	answer.Outcome = asked.outcome(current)
	if revision != res.Revision {
		// The answer tells of events that this request did not append: what follows must show them, too.
		if answer.Position, err = s.head(ctx); err != nil {
			return nil, err
		}
		if !res.Replayed {
			answer.Subscription = viewSubscription(current, revision)
		}
	}
	return answer, nil
}

// waitOf is how long a command may wait for a gateway.
func waitOf(r command) time.Duration {
	if w, ok := r.(interface{ GetWait() *durationpb.Duration }); ok {
		return w.GetWait().AsDuration()
	}
	return 0
}

func (s *Server) head(ctx context.Context) (string, error) {
	p, err := s.Log.Head(ctx)
	return p.String(), err
}

// settled reads a subscription until the gateway has said something about what was asked, for at most `patience`.
func (s *subscriptions) settled(ctx context.Context, stream string, a asked, patience time.Duration) (subscription.State, event.Revision, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	w, stop := s.tail.wait(stream)
	defer stop()
	for {
		state, revision, err := s.Subscriptions.Load(ctx, stream)
		if err != nil || a.answered(state) {
			return state, revision, err
		}
		select {
		case <-w.moved:
		case <-over.C:
			return state, revision, nil
		case <-s.stopping:
			return state, revision, nil
		case <-ctx.Done():
			return state, revision, ctx.Err()
		}
	}
}
