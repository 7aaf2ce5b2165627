package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// reconcile asks the gateways about everything of a subscription that is in doubt or pending, and records proof:
// what the gateway knows, or, past its horizon, that it knows nothing. inHand: a gateway has a payment in hand that does
// not end now, whatever end it named when the buyer had yet to do his part.
func (p *Process) reconcile(ctx context.Context, stream string, s subscription.State) (inHand bool, err error) {
	var errs []error
	for _, l := range s.Lookups() {
		has, err := p.lookUp(ctx, stream, s, l)
		if err != nil {
			errs = append(errs, err)
		}
		inHand = inHand || has
	}
	return inHand, errors.Join(errs...)
}

func (p *Process) lookUp(ctx context.Context, stream string, s subscription.State, l subscription.Lookup) (inHand bool, err error) {
	conn, gw, err := p.Connect(ctx, s.Started.MerchantId, l.Connection)
	if err != nil {
		return false, err
	}
	if a := l.Attempt; a != nil {
		find := p.chargeFinder(gw, conn, s, a)
		if !a.ExpiresAt.IsZero() && !p.Clock.Now().Before(a.ExpiresAt) {
			find = p.endingFinder(gw, conn, s, a)
		}
		return p.findOut(ctx, stream, conn, gw, l, find)
	}
	return p.findOut(ctx, stream, conn, gw, l, refundFinder(gw, conn, refundOf(s, l.Refund)))
}

// findOut records what find tells of something that is in doubt or pending. inHand is as in reconcile.
func (p *Process) findOut(
	ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, l subscription.Lookup, find finder,
) (inHand bool, err error) {
	res, found, err := find(ctx, asked(l))
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", l.Key, err)
	}
	if !found {
		return false, p.notFound(ctx, stream, conn, gw, l)
	}
	if l.Attempt != nil {
		return p.stillInHand(res), p.reportCharge(ctx, stream, conn, l.Attempt, uuid.Nil, res)
	}
	return false, p.reportRefund(ctx, stream, conn, l.Refund, uuid.Nil, res)
}

// stillInHand reports whether a payment that is pending is the gateway's to decide: until an end that it names, or without
// one if nothing is left for the buyer to do.
func (p *Process) stillInHand(r gateway.Result) bool {
	return r.Class == gateway.Pending && (r.ExpiresAt.After(p.Clock.Now()) || r.ExpiresAt.IsZero() && r.NextAction == nil)
}

// asked is when a call was asked for, and so the earliest time at which it can have been sent.
func asked(l subscription.Lookup) time.Time {
	if l.Attempt != nil {
		return l.Attempt.RequestedAt
	}
	return l.Refund.RequestedAt
}

// notFound records that a key never reached the gateway, once enough time has passed that it cannot turn up any more.
// The time counts from when looking up began: nothing is sent after that, but an attempt that was tried for hours
// while the gateway was away may have been sent just before. It has to have passed in this run, too: that the calendar
// has moved on proves nothing.
func (p *Process) notFound(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, l subscription.Lookup) error {
	now, enough := p.Clock.Now(), horizon(gw.Traits())
	if now.Sub(l.From) < enough || p.sinceSent(l.Key) < enough {
		return nil
	}
	var err error
	if a := l.Attempt; a != nil {
		_, err = p.do(ctx, stream, attemptName(a, "absent"), who(conn), uuid.Nil, subscription.ClearPayment{
			Now: now, Number: a.Number, Attempt: a.Attempt, Proof: "absent",
		})
	} else {
		_, err = p.do(ctx, stream, refundName(l.Refund, "absent"), who(conn), uuid.Nil, subscription.FailRefund{
			Now: now, ID: l.Refund.ID, Code: "absent", Message: "the gateway never received it",
		})
	}
	if err = settled(err); err == nil {
		p.sent.forget(l.Key)
	}
	return err
}
