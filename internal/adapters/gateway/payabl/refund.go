package payabl

import (
	"context"
	"fmt"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
)

// clockSlack is how far payabl.'s clock may be behind ours.
const clockSlack = 2 * time.Minute

// Refund implements gateway.Gateway: all of a captured payment, or a part, as often as something is left
// (https://docs.payabl.com/docs/refund-1). The usual answer is that it is pending.
func (g *Gateway) Refund(ctx context.Context, conn gateway.Connection, r gateway.Refund) gateway.Result {
	name := orderID(roleRefund, r.Key)
	p := params{"transactionid": r.ChargeReference, "external_id": name}
	if err := p.setAmount(r.Amount); err != nil {
		return failed(err)
	}
	a, res, ok := g.pay(ctx, conn, "payment_refund", p)
	if !ok {
		return res
	}
	if a.transaction != r.ChargeReference && (a.transaction != "" || a.code >= 0) {
		return unknown("the answer is about transaction %.50q, and not about this payment", a.transaction)
	}
	switch codes[a.code].means {
	case approved:
		return acceptedResult(name, a.amount, nil)
	case pending:
		return gateway.Result{Class: gateway.Pending, Reference: name}
	case again:
		return g.originalRefund(ctx, conn, r, a)
	}
	if res, ok := g.turnedAway(ctx, conn, a.code); ok {
		return res
	}
	return declined(name, a.code)
}

// originalRefund is the outcome of the refund that payabl. takes this one for a repeat of, if that was ours too.
func (g *Gateway) originalRefund(ctx context.Context, conn gateway.Connection, r gateway.Refund, a answer) gateway.Result {
	res, found, err := g.FindRefund(ctx, conn, r, g.c.Clock.Now())
	switch {
	case err != nil:
		return unknown("taken for a repeat, and the first was not found out about: %v", err)
	case found && res.Class != gateway.Rejected:
		return res
	}
	res, _ = turnedAway(a.code)
	return res
}

// FindRefund implements gateway.Finder. payabl. shows refunds as steps of the payment, without a name, so those of the
// same amount are counted: if more of them stand than are others, this one was made. It cannot be mistaken for a refund
// that failed before it was asked for, but for one made at payabl.'s own desk it can: then money went back, all the same.
func (g *Gateway) FindRefund(ctx context.Context, conn gateway.Connection, r gateway.Refund, sent time.Time) (gateway.Result, bool, error) {
	t, err := g.byID(ctx, conn, r.ChargeReference)
	if err != nil {
		return gateway.Result{}, false, fmt.Errorf("look up refund %s: %w", r.Key, err)
	}
	if t == nil { // it was refunded because it was there: this answer proves no absence
		return gateway.Result{}, false, fmt.Errorf("look up refund %s: payment %s is not shown", r.Key, r.ChargeReference)
	}
	var standing, fell []step
	for _, s := range t.steps {
		if !isRefund(s) || !money.Equal(s.amount, r.Amount) {
			continue
		}
		switch codes[s.code].means {
		case approved, pending:
			standing = append(standing, s)
		default:
			if !s.created.IsZero() && !s.created.Before(sent.Add(-clockSlack)) {
				fell = append(fell, s)
			}
		}
	}
	name := orderID(roleRefund, r.Key)
	switch {
	case len(standing) > max(r.Others, 0):
		return refundResult(name, standing[max(r.Others, 0)]), true, nil
	case len(fell) > 0:
		return declined(name, fell[len(fell)-1].code), true, nil
	}
	return gateway.Result{}, false, nil
}

func refundResult(name string, s step) gateway.Result {
	if codes[s.code].means == pending {
		return gateway.Result{Class: gateway.Pending, Reference: name}
	}
	return acceptedResult(name, s.amount, nil)
}
