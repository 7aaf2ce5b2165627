package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// subscriptions is ledgerv1.SubscriptionService.
type subscriptions struct {
	ledgerv1.UnimplementedSubscriptionServiceServer
	*Server
}

// command is what every request for a change of a subscription has.
type command interface {
	proto.Message
	GetMerchantId() string
	GetRequestId() string
}

// StartTrial implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) StartTrial(ctx context.Context, r *ledgerv1.StartTrialRequest) (*ledgerv1.CommandResponse, error) {
	return s.start(ctx, r, r.GetStart(), true)
}

// StartSubscription implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) StartSubscription(ctx context.Context, r *ledgerv1.StartSubscriptionRequest) (*ledgerv1.CommandResponse, error) {
	return s.start(ctx, r, r.GetStart(), false)
}

func (s *subscriptions) start(ctx context.Context, r command, start *ledgerv1.StartRequest, trial bool) (*ledgerv1.CommandResponse, error) {
	if start == nil {
		return nil, aggregate.InvalidField("start", "START_REQUIRED", "say what is started")
	}
	conn, err := s.chargeable(ctx, r.GetMerchantId(), start.GetConnectionId())
	if err != nil {
		return nil, err
	}
	c := subscription.Start{
		Now: s.Clock.Now(), Trial: trial, Request: start,
		Merchant: r.GetMerchantId(), ID: givenOr(start.GetSubscriptionId(), "sub", r.GetMerchantId(), r.GetRequestId()),
		Gateway: conn.Gateway, Processor: conn.Processor, Mode: conn.Mode,
	}
	if _, err := c.Decide(subscription.State{}); err == nil { // no number for a start that is refused anyway
		if c.Number, err = s.numbers.take(ctx, s.NextNumber); err != nil {
			return nil, err
		}
	}
	stream := subscription.Stream(c.Merchant, c.ID)
	res, err := s.Subscriptions.Do(ctx, stream, request(r, c.Now), c)
	if res.Replayed || refusedBy(err) {
		s.numbers.giveBack(c.Number)
	}
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, stream, r, res)
}

// refusedBy reports whether err is a refusal: then nothing was written.
func refusedBy(err error) bool {
	var refusal *aggregate.Error
	return errors.As(err, &refusal)
}

// chargeable finds the connection that a start names. A merchant who has one, exists.
func (s *subscriptions) chargeable(ctx context.Context, merchantID, connectionID string) (connection.State, error) {
	if connectionID == "" {
		return connection.State{}, aggregate.InvalidField("start.connection_id", "ID_INVALID", "name the connection that is charged")
	}
	c, err := s.connections.find(ctx, &s.Config, merchantID, connectionID)
	if err != nil {
		return c, err
	}
	if c.Exists() && s.Gateways[c.Gateway] != nil {
		return c, nil
	}
	if err := s.merchantExists(ctx, merchantID); err != nil {
		return c, err
	}
	return c, aggregate.Refuse("GATEWAY_UNKNOWN", "there is no connection %s to a gateway of this service", connectionID)
}

func (s *Server) merchantExists(ctx context.Context, id string) error {
	m, _, err := s.Merchants.Load(ctx, merchant.Stream(id))
	if err == nil && !m.Exists() {
		err = aggregate.ErrNotFound("merchant", id)
	}
	return err
}

// Rebill implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Rebill(ctx context.Context, r *ledgerv1.RebillRequest) (*ledgerv1.CommandResponse, error) {
	now := s.Clock.Now()
	return s.existing(ctx, r, r.GetSubscriptionId(), now, func(string) aggregate.Command[subscription.State] {
		return subscription.Rebill{Now: now, Number: r.GetPayNumber(), Amounts: r.GetAmounts()}
	})
}

// Refund implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Refund(ctx context.Context, r *ledgerv1.RefundRequest) (*ledgerv1.CommandResponse, error) {
	now := s.Clock.Now()
	return s.existing(ctx, r, r.GetSubscriptionId(), now, func(stream string) aggregate.Command[subscription.State] {
		return subscription.Refund{Now: now, ID: subscription.RefundID(stream, r.GetRequestId()),
			OrderID: r.GetOrderId(), Amount: r.GetAmount(), Reason: r.GetReason()}
	})
}

// Chargeback implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Chargeback(ctx context.Context, r *ledgerv1.ChargebackRequest) (*ledgerv1.CommandResponse, error) {
	now := s.Clock.Now()
	return s.existing(ctx, r, r.GetSubscriptionId(), now, func(string) aggregate.Command[subscription.State] {
		return subscription.Chargeback{Now: now, At: instant(r.GetOccurredAt()), OrderID: r.GetOrderId(), DisputeID: r.GetDisputeId(),
			Stage: r.GetStage(), Amount: r.GetAmount(), Fee: r.GetFee(), Reason: r.GetReason(), Outcome: r.GetOutcome()}
	})
}

// Cancel implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Cancel(ctx context.Context, r *ledgerv1.CancelRequest) (*ledgerv1.CommandResponse, error) {
	now := s.Clock.Now()
	return s.existing(ctx, r, r.GetSubscriptionId(), now, func(string) aggregate.Command[subscription.State] {
		return subscription.Cancel{Now: now, Reason: r.GetReason(), AtPeriodEnd: r.GetAtPeriodEnd()}
	})
}

// UpdateBuyer implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) UpdateBuyer(ctx context.Context, r *ledgerv1.UpdateBuyerRequest) (*ledgerv1.CommandResponse, error) {
	now := s.Clock.Now()
	return s.existing(ctx, r, r.GetSubscriptionId(), now, func(string) aggregate.Command[subscription.State] {
		return subscription.UpdateBuyer{Now: now, Buyer: r.GetBuyer()}
	})
}

// existing carries out a command on a subscription that should be there.
func (s *subscriptions) existing(ctx context.Context, r command, id string, now time.Time, c func(stream string) aggregate.Command[subscription.State]) (*ledgerv1.CommandResponse, error) {
	stream := subscription.Stream(r.GetMerchantId(), id)
	res, err := s.Subscriptions.Do(ctx, stream, request(r, now), must{c(stream), id})
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, stream, r, res)
}

// must refuses a command on a subscription that is not there, and names it.
type must struct {
	aggregate.Command[subscription.State]
	id string
}

// Decide implements aggregate.Command.
func (m must) Decide(s subscription.State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("subscription", m.id)
	}
	return m.Command.Decide(s)
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

// GetSubscription implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) GetSubscription(ctx context.Context, r *ledgerv1.GetSubscriptionRequest) (*ledgerv1.Subscription, error) {
	state, revision, err := s.Subscriptions.Load(ctx, subscription.Stream(r.GetMerchantId(), r.GetSubscriptionId()))
	if err != nil {
		return nil, err
	}
	if !state.Exists() {
		return nil, aggregate.ErrNotFound("subscription", r.GetSubscriptionId())
	}
	return viewSubscription(state, revision), nil
}

// instant is a time of a request; zero if it is absent.
func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
