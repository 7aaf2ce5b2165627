package process

import (
	"context"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// A finder looks one call up that may have been sent at `sent` or later.
type finder func(ctx context.Context, sent time.Time) (gateway.Result, bool, error)

// chargeFinder looks an attempt up. At some gateways that may take the money that the buyer has agreed to, so it is done
// for what may be charged only: of what was withdrawn, and through a blocked connection, the key is asked for.
func (p *Process) chargeFinder(gw gateway.Gateway, conn gateway.Connection, s subscription.State, a *subscription.Attempt) finder {
	return func(ctx context.Context, sent time.Time) (gateway.Result, bool, error) {
		if a.Withdrawn || !a.Open() || conn.Blocked != "" {
			return gw.Lookup(ctx, conn, a.Key, sent)
		}
		return gateway.FindCharge(ctx, gw, conn, p.chargeOf(conn, s, a), sent)
	}
}

// endingFinder looks a payment up whose time has run out. If its buyer could still pay, the gateway is asked to end it:
// nobody waits for him any more.
func (p *Process) endingFinder(gw gateway.Gateway, conn gateway.Connection, s subscription.State, a *subscription.Attempt) finder {
	look := p.chargeFinder(gw, conn, s, a)
	return func(ctx context.Context, sent time.Time) (gateway.Result, bool, error) {
		res, found, err := look(ctx, sent)
		if err != nil || !found || res.Class != gateway.Pending || res.NextAction == nil {
			return res, found, err
		}
		return gateway.Abandon(ctx, gw, conn, p.chargeOf(conn, s, a), sent)
	}
}

// refundFinder looks a refund up.
func refundFinder(gw gateway.Gateway, conn gateway.Connection, r gateway.Refund) finder {
	return func(ctx context.Context, sent time.Time) (gateway.Result, bool, error) {
		return gateway.FindRefund(ctx, gw, conn, r, sent)
	}
}

// refundOf is what the gateway is asked for.
func refundOf(s subscription.State, r *subscription.RefundRecord) gateway.Refund {
	return gateway.Refund{
		Key: r.Key, ChargeReference: r.ChargeReference, Amount: r.Amounts.GetFull(), Others: others(s, r),
	}
}

// others counts the refunds of the same amount of the same charge that a gateway without names for them shows beside r.
// Of two that are both in doubt the earlier is looked for first, so that one that was made is not found twice.
func others(s subscription.State, r *subscription.RefundRecord) (n int) {
	earlier := true
	for _, o := range s.Refunds {
		if o == r || o.ID == r.ID {
			earlier = false
			continue
		}
		if o.ChargeReference != r.ChargeReference || !money.Equal(o.Amounts.GetFull(), r.Amounts.GetFull()) {
			continue
		}
		switch o.Status {
		case subscription.RefundPending, subscription.RefundSucceeded:
			n++
		case subscription.RefundUnknown:
			if earlier {
				n++
			}
		}
	}
	return n
}
