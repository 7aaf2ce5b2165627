package process

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// buyerWaits is how long a gateway may take to answer while a buyer waits for his page.
const buyerWaits = 8 * time.Second

// Settle finds out what became of the payment, or of the stored method, that a gateway knows by key, for a buyer who has
// come back from there: that he has says nothing. It answers the subscription as it is afterwards; the error is that the
// log could not be read. If the gateway does not answer, or has not decided yet, nothing changes.
func (p *Process) Settle(ctx context.Context, stream, key string) (subscription.State, error) {
	return p.withBuyer(ctx, stream, key, p.chargeFinder)
}

// Abandon is Settle for a buyer who has turned back: a subscription's first payment is ended at the gateway, unless it was
// made already. Nothing else can be ended so. What charges a subscription that lives is for its merchant to stop.
func (p *Process) Abandon(ctx context.Context, stream, key string) (subscription.State, error) {
	return p.withBuyer(ctx, stream, key, func(gw gateway.Gateway, conn gateway.Connection, s subscription.State, a *subscription.Attempt) finder {
		if !isFirst(s) {
			return p.chargeFinder(gw, conn, s, a)
		}
		return func(ctx context.Context, sent time.Time) (gateway.Result, bool, error) {
			return gateway.Abandon(ctx, gw, conn, p.chargeOf(conn, s, a), sent)
		}
	})
}

// isFirst reports whether nothing was ever paid, so that what is open is the first payment.
func isFirst(s subscription.State) bool { return s.StartedAt.IsZero() && s.Import == nil }

// finderOf makes the finder of an attempt.
type finderOf func(gw gateway.Gateway, conn gateway.Connection, s subscription.State, a *subscription.Attempt) finder

func (p *Process) withBuyer(ctx context.Context, stream, key string, find finderOf) (subscription.State, error) {
	s, _, err := p.Subscriptions.Load(ctx, stream)
	if err != nil {
		return s, err
	}
	asking, done := context.WithTimeout(ctx, buyerWaits)
	defer done()
	if err := p.settle(asking, stream, s, key, find); err != nil {
		p.Logger.WarnContext(ctx, "look-up for a waiting buyer failed", "stream", stream, "key", key, "error", err)
	}
	s, _, err = p.Subscriptions.Load(ctx, stream)
	return s, err
}

// settle looks up what is open under a key. Of what was not sent yet nobody can have come back.
func (p *Process) settle(ctx context.Context, stream string, s subscription.State, key string, find finderOf) error {
	if r := s.Replacing; r != nil && r.Key == key {
		return p.settleMethod(ctx, stream, s)
	}
	open := s.Lookups()
	i := slices.IndexFunc(open, func(l subscription.Lookup) bool { return l.Attempt != nil && l.Key == key })
	if i < 0 {
		return nil
	}
	conn, gw, err := p.Connect(ctx, s.Started.GetMerchantId(), open[i].Connection)
	if err != nil {
		return err
	}
	_, err = p.findOut(ctx, stream, conn, gw, open[i], find(gw, conn, s, open[i].Attempt))
	return err
}

func (p *Process) settleMethod(ctx context.Context, stream string, s subscription.State) error {
	r := s.Replacing
	if !toBeStored(s, r) {
		return nil
	}
	conn, gw, err := p.Connect(ctx, s.Started.GetMerchantId(), r.ConnectionId)
	if err != nil || conn.Blocked != "" { // an account that is suspended refuses what is no fault of the method
		return err
	}
	res, found, err := gateway.FindCharge(ctx, gw, conn, p.storing(conn, s, r), s.ReplacedAt)
	if err != nil || !found {
		return err
	}
	_, err = p.reportMethod(ctx, stream, conn, r, uuid.Nil, res)
	return err
}
