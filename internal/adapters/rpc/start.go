package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/reservation"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// starting is what both ways of starting a subscription ask.
type starting interface {
	command
	GetStart() *ledgerv1.StartRequest
	GetAllowDuplicate() bool
}

func (s *subscriptions) start(ctx context.Context, r starting, trial bool) (*ledgerv1.CommandResponse, error) {
	start := r.GetStart()
	if start == nil {
		return nil, aggregate.InvalidField("start", "START_REQUIRED", "say what is started")
	}
	conn, err := s.chargeable(ctx, "start.connection_id", r.GetMerchantId(), start.GetConnectionId())
	if err != nil {
		return nil, err
	}
	c := subscription.Start{
		Now: s.Clock.Now(), Trial: trial, Request: start,
		Merchant: r.GetMerchantId(), ID: givenOr(start.GetSubscriptionId(), "sub", r.GetMerchantId(), r.GetRequestId()),
		Gateway: conn.Gateway, Processor: conn.Processor, Mode: conn.Mode,
	}
	begin := func(number int64) aggregate.Command[subscription.State] {
		c.Number = number
		return c
	}
	if _, err := c.Decide(subscription.State{}); err != nil {
		return s.begin(ctx, r, c.ID, c.Now, false, begin) // refused: nothing is reserved for it
	}
	// An id that the caller chose may be taken, and then nothing is reserved for it. One that follows from the request is
	// taken only if the request was done before, which is rare enough to be looked at when something is in its way.
	taken := false
	if start.GetSubscriptionId() != "" {
		if taken, err = s.taken(ctx, c); err != nil {
			return nil, err
		}
	}
	if !taken {
		if refusal := s.mayBegin(ctx, r, c); refusal != nil {
			if taken, err = s.taken(ctx, c); err != nil || !taken {
				return nil, refusal
			}
		}
	}
	return s.begin(ctx, r, c.ID, c.Now, !taken, begin)
}

// taken reports whether there is a subscription of the start's id: then that is what answers, whatever holds today.
func (s *subscriptions) taken(ctx context.Context, c subscription.Start) (bool, error) {
	there, _, err := s.Subscriptions.Load(ctx, subscription.Stream(c.Merchant, c.ID))
	return there.Exists(), err
}

// mayBegin refuses a start that nothing speaks against but the world around it.
func (s *subscriptions) mayBegin(ctx context.Context, r starting, c subscription.Start) error {
	if err := s.open(ctx, c.Merchant, c.Request.GetConnectionId()); err != nil {
		return err
	}
	reserve := s.reserve
	if r.GetValidateOnly() {
		reserve = s.reservable
	}
	err := reserve(ctx, c)
	if r.GetAllowDuplicate() && refusedBy(err) {
		return nil // a duplicate that is allowed reserves what it can, so that those after it meet it
	}
	return err
}

func (s *subscriptions) importOne(ctx context.Context, r *ledgerv1.ImportSubscriptionRequest) (*ledgerv1.CommandResponse, error) {
	imported := r.GetImport()
	if imported == nil {
		return nil, aggregate.InvalidField("import", "IMPORT_REQUIRED", "say what is taken over")
	}
	conn, err := s.chargeable(ctx, "import.connection_id", r.GetMerchantId(), imported.GetConnectionId())
	if err != nil {
		return nil, err
	}
	c := subscription.Import{
		Now: s.Clock.Now(), Request: imported,
		Merchant: r.GetMerchantId(), ID: givenOr(imported.GetSubscriptionId(), "sub", r.GetMerchantId(), r.GetRequestId()),
		Gateway: conn.Gateway, Processor: conn.Processor, Mode: conn.Mode,
	}
	_, err = c.Decide(subscription.State{})
	return s.begin(ctx, r, c.ID, c.Now, err == nil && !r.GetValidateOnly(), func(number int64) aggregate.Command[subscription.State] {
		c.Number = number
		return c
	})
}

// begin brings a subscription into being. It takes a number only if it will need one.
func (s *subscriptions) begin(
	ctx context.Context, r command, id string, now time.Time, numbered bool, begin func(number int64) aggregate.Command[subscription.State],
) (*ledgerv1.CommandResponse, error) {
	stream := subscription.Stream(r.GetMerchantId(), id)
	if r.GetValidateOnly() {
		return s.preview(ctx, stream, r, now, begin(0))
	}
	var number int64
	var err error
	if numbered {
		if number, err = s.numbers.take(ctx, s.NextNumber); err != nil {
			return nil, err
		}
	}
	res, err := s.Subscriptions.Do(ctx, stream, request(r, now), begin(number))
	if res.Replayed || refusedBy(err) {
		s.numbers.giveBack(number)
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

// reservedFor is how long a reservation holds whose subscription is not there: its start may be about to be written.
const reservedFor = time.Minute

// reserve makes sure that no other first payment of the buyer for the price point is undecided.
func (s *subscriptions) reserve(ctx context.Context, c subscription.Start) error {
	res, err := s.takeReservation(ctx, c, nil, "")
	if fresh := len(res.Events) > 0 && !res.Replayed; fresh || err != nil && !refusedBy(err) {
		return err
	}
	// Somebody has it, perhaps this very start from an earlier try: who, and does he still need it?
	held, revision, err := s.Reservations.Load(ctx, reservationOf(c))
	if err != nil {
		return err
	}
	var past string
	if held.Subscription == c.ID {
		past, err = s.stale(ctx, held, c)
	} else {
		past, err = s.decided(ctx, held, c)
	}
	if err != nil || held.Subscription == c.ID && past == "" {
		return err
	}
	_, err = s.takeReservation(ctx, c, &revision, past)
	return err
}

// takeReservation takes the reservation from nobody or, if it stands still as it was seen, from past. Who renews it
// meanwhile keeps it; then it is for the caller to come again.
func (s *subscriptions) takeReservation(
	ctx context.Context, c subscription.Start, seen *event.Revision, past string,
) (aggregate.Result[reservation.State], error) {
	q := aggregate.Request{ID: aggregate.InternalPrefix + "reserve/" + c.ID, Actor: actor, At: c.Now, Expected: seen}
	if seen != nil {
		q.ID += fmt.Sprintf("/%d", *seen)
	}
	return s.Reservations.Do(ctx, reservationOf(c), q, reservation.Reserve{Merchant: c.Merchant, Subscription: c.ID, Past: past})
}

// stale names the start that asks, which has the reservation, if that is from an earlier try and may run out before the
// start is written: then others would take it over. It is taken anew.
func (s *subscriptions) stale(ctx context.Context, held reservation.State, c subscription.Start) (string, error) {
	if c.Now.Before(held.At.Add(reservedFor / 2)) {
		return "", nil
	}
	there, err := s.taken(ctx, c)
	if err != nil || there {
		return "", err
	}
	return c.ID, nil
}

// reservable refuses what reserve would refuse, and takes nothing.
func (s *subscriptions) reservable(ctx context.Context, c subscription.Start) error {
	held, _, err := s.Reservations.Load(ctx, reservationOf(c))
	if err != nil || held.Subscription == "" || held.Subscription == c.ID {
		return err
	}
	past, err := s.decided(ctx, held, c)
	if err == nil {
		_, err = reservation.Reserve{Merchant: c.Merchant, Subscription: c.ID, Past: past}.Decide(held)
	}
	return err
}

func reservationOf(c subscription.Start) string {
	terms := c.Request.GetTerms()
	return reservation.Stream(c.Merchant, c.Request.GetBuyer().GetId(), terms.GetProductId(), terms.GetPricePoint())
}

// decided names the holder of a reservation if nothing is open about his first payment; else it is empty.
func (s *subscriptions) decided(ctx context.Context, held reservation.State, c subscription.Start) (string, error) {
	holder, _, err := s.Subscriptions.Load(ctx, subscription.Stream(c.Merchant, held.Subscription))
	if err != nil {
		return "", err
	}
	if !holder.Exists() && c.Now.Before(held.At.Add(reservedFor)) || holder.Status == subscription.Pending {
		return "", nil
	}
	return held.Subscription, nil
}

// chargeable finds the account that a request names. A merchant who has one, exists.
func (s *subscriptions) chargeable(ctx context.Context, field, merchantID, connectionID string) (account, error) {
	if connectionID == "" {
		return account{}, aggregate.InvalidField(field, "ID_INVALID", "name the connection that is charged")
	}
	a, ok, err := s.accounts.find(ctx, &s.Config, merchantID, connectionID)
	if err != nil {
		return a, err
	}
	if ok && s.Connections.Gateways[a.Gateway] != nil {
		return a, nil
	}
	if err := s.merchantExists(ctx, merchantID); err != nil {
		return a, err
	}
	return a, aggregate.Refuse("GATEWAY_UNKNOWN", "there is no connection %s to a gateway of this service", connectionID)
}

// open refuses to begin anything through a connection that holds what is due: a buyer at the till does not wait until it
// is open again.
func (s *subscriptions) open(ctx context.Context, merchantID, id string) error {
	c, err := s.Connections.Load(ctx, merchantID, id)
	switch {
	case err != nil:
		return err
	case c.Blocked:
		return aggregate.Refuse("CONNECTION_BLOCKED", "nothing can be charged through connection %s now", id)
	case c.Held() != "":
		return aggregate.Refuse("CONNECTION_NOT_ACTIVE", "nothing can be charged through connection %s now: %s", id, c.Held())
	}
	return nil
}

func (s *Server) merchantExists(ctx context.Context, id string) error {
	m, _, err := s.Merchants.Load(ctx, merchant.Stream(id))
	if err == nil && !m.Exists() {
		err = aggregate.ErrNotFound("merchant", id)
	}
	return err
}
