package process

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// byItself reports whether a notice tells of money that moved, or may move, without our doing. Somebody has to know of
// it even if it has no place here.
func byItself(k gateway.NoticeKind) bool {
	return k == gateway.NoticePayment || k == gateway.NoticeRefundMade || k == gateway.NoticeDispute
}

// payment records a payment of a schedule that the gateway runs.
func (in *Inbound) payment(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, p *gateway.ObservedPayment) error {
	if _, known := findCharge(s, conn, "", p.Reference); known {
		return nil
	}
	if a, ours := findAttempt(s, conn, "", p.Reference); ours {
		return in.hintedCharge(ctx, stream, conn, gw, s, a)
	}
	if !s.ByGateway() {
		return fmt.Errorf("%w: the gateway took payment %s of %s %s by itself, though the ledger charges %s",
			errNoPlace, p.Reference, money.Format(p.Amount), p.Amount.GetCurrencyCode(), stream)
	}
	_, err := in.do(ctx, stream, "observed-payment/"+p.Reference, who(conn), uuid.Nil, subscription.ObservePayment{
		Now: in.Clock.Now(), At: p.At, Reference: p.Reference, Amount: p.Amount, Fee: p.Fee, Settled: p.Settled,
		Method: p.Method, Connection: conn.ID,
	})
	return err
}

// refundMade records a refund that was made at the gateway itself.
func (in *Inbound) refundMade(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, told *gateway.ObservedRefund) error {
	for _, r := range s.Refunds {
		if r.Reference == told.Reference && r.Connection == conn.ID {
			return in.hintedRefund(ctx, stream, conn, gw, s, r)
		}
	}
	ch, s, err := in.chargeTold(ctx, stream, conn, gw, s, told.ChargeKey, told.ChargeReference)
	if err != nil {
		return err
	}
	if ours, err := in.asked(ctx, stream, conn, gw, s, ch, told.Reference); ours || err != nil {
		return err
	}
	_, err = in.do(ctx, stream, "observed-refund/"+told.Reference, who(conn), uuid.Nil, subscription.ObserveRefund{
		Now: in.Clock.Now(), At: told.At, OrderID: ch.OrderID, Reference: told.Reference, Amount: told.Amount, Reason: told.Reason,
	})
	return err
}

// asked reports whether a refund is one that we asked for and whose reference we have not learned yet: a message may be
// faster than the answer to the call. If so, the answer is recorded.
func (in *Inbound) asked(
	ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, ch *subscription.Charge, reference string,
) (ours bool, err error) {
	for _, r := range s.Refunds {
		if r.Parent != ch.OrderID || !r.Open() || r.Reference != "" {
			continue
		}
		res, found, err := refundFinder(gw, conn, refundOf(s, r))(ctx, r.RequestedAt)
		if err != nil {
			return false, fmt.Errorf("look up %s: %w", r.Key, err)
		}
		if found && res.Reference == reference {
			return true, in.reportRefund(ctx, stream, conn, r, uuid.Nil, res)
		}
	}
	return false, nil
}

// dispute records one step of a dispute.
func (in *Inbound) dispute(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, d *gateway.Dispute) error {
	ch, s, err := in.chargeTold(ctx, stream, conn, gw, s, d.ChargeKey, d.ChargeReference)
	if err != nil {
		return err
	}
	around, err := in.around(ctx, s)
	if err != nil {
		return err
	}
	_, err = in.do(ctx, stream, fmt.Sprintf("dispute/%s/%s", d.ID, stageName(d.Stage)), who(conn), uuid.Nil,
		subscription.Chargeback{
			Now: in.Clock.Now(), At: d.At, OrderID: ch.OrderID, DisputeID: d.ID, Stage: d.Stage,
			Amount: d.Amount, Fee: d.Fee, Reason: d.Reason, Outcome: d.Outcome,
			Circumstances: around,
		})
	return err
}

func stageName(s ledgerv1.DisputeStage) string { return fmt.Sprint(int32(s)) }

// chargeTold finds the payment that a message is about, by our key or by the gateway's reference, in the state as it is
// then. One that we have not heard of is looked up first: its attempt may be open, or may have been declined and
// charged after all. If there is none, the message that tells of it may still come.
func (in *Inbound) chargeTold(
	ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, key, reference string,
) (*subscription.Charge, subscription.State, error) {
	if ch, ok := findCharge(s, conn, key, reference); ok {
		return ch, s, nil
	}
	if a, ok := findAttempt(s, conn, key, reference); ok {
		if err := in.hintedCharge(ctx, stream, conn, gw, s, a); err != nil {
			return nil, s, err
		}
		var err error
		if s, _, err = in.Subscriptions.Load(ctx, stream); err != nil {
			return nil, s, err
		}
		if ch, ok := findCharge(s, conn, key, reference); ok {
			return ch, s, nil
		}
	}
	return nil, s, fmt.Errorf("%w: %s has no payment %s", errNotYet, stream, cmp.Or(reference, key))
}

// findCharge finds a payment that went through a connection: the same reference may mean another one elsewhere.
func findCharge(s subscription.State, conn gateway.Connection, key, reference string) (*subscription.Charge, bool) {
	i := slices.IndexFunc(s.Charges, func(c *subscription.Charge) bool {
		return c.Connection == conn.ID && named(c.Key, c.Reference, key, reference)
	})
	if i < 0 {
		return nil, false
	}
	return s.Charges[i], true
}

// findAttempt is findCharge for attempts.
func findAttempt(s subscription.State, conn gateway.Connection, key, reference string) (*subscription.Attempt, bool) {
	i := slices.IndexFunc(s.Attempts, func(a *subscription.Attempt) bool {
		return a.Connection == conn.ID && named(a.Key, a.Reference, key, reference)
	})
	if i < 0 {
		return nil, false
	}
	return s.Attempts[i], true
}

// named reports whether what has a key and a reference of its own is meant; an empty name means nothing.
func named(itsKey, itsReference, key, reference string) bool {
	return key != "" && itsKey == key || reference != "" && itsReference == reference
}
