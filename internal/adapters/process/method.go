package process

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// method has the gateway store a method that replaced another, unless it is stored, refused or replaced itself. No money
// moves, so nothing is ever in doubt: it is asked for, under one key, until the gateway has decided.
func (p *Process) method(ctx context.Context, e event.Recorded) error {
	r := e.GetPaymentMethodReplaced()
	if r == nil {
		return nil
	}
	s, _, err := p.Subscriptions.Load(ctx, e.Stream)
	if err != nil || !toBeStored(s, r) {
		return err
	}
	conn, gw, err := p.Connect(ctx, s.Started.MerchantId, r.ConnectionId)
	if err != nil {
		return fmt.Errorf("store method %s: %w", r.Key, err)
	}
	if conn.Blocked != "" {
		return errHeld(conn, r.Key) // an account that is suspended refuses what is no fault of the method
	}
	c := p.storing(conn, s, r)
	find := func(ctx context.Context, sent time.Time) (gateway.Result, bool, error) {
		return gateway.FindCharge(ctx, gw, conn, c, sent)
	}
	res, err := p.sendUntilDecided(ctx, gw, conn, r.Key, e, find, func() gateway.Result { return gw.Charge(ctx, conn, c) })
	if err != nil {
		return err
	}
	if decided, err := p.reportMethod(ctx, e.Stream, conn, r, e.ID, res); err != nil || decided {
		return err
	}
	return fmt.Errorf("method %s is not stored yet: %s", r.Key, res.Why)
}

// reportMethod records what a gateway said of a replacement. decided is false if there is nothing to record yet.
func (p *Process) reportMethod(
	ctx context.Context, stream string, conn gateway.Connection, r *ledgerv1.PaymentMethodReplaced, cause uuid.UUID, res gateway.Result,
) (decided bool, err error) {
	name, cmd := p.methodCommand(r, res)
	if cmd == nil {
		return false, nil
	}
	_, err = p.do(ctx, stream, fmt.Sprintf("method/%d/%s", r.Replacement, name), who(conn), cause, cmd)
	if err = settled(err); err == nil {
		p.sent.forget(r.Key)
	}
	return true, err
}

// toBeStored reports whether a replacement still waits for the gateway. A charge with its token stores it too, and a
// one-time token is not spent twice.
func toBeStored(s subscription.State, r *ledgerv1.PaymentMethodReplaced) bool {
	if r.Charged || s.Ended() || s.Replaced != r.Replacement || s.Method != nil || s.Before == nil {
		return false
	}
	return !slices.ContainsFunc(s.Attempts, func(a *subscription.Attempt) bool {
		return a.Replacement == r.Replacement && a.Method == nil
	})
}

// storing is the charge of nothing that stores a method.
func (p *Process) storing(conn gateway.Connection, s subscription.State, r *ledgerv1.PaymentMethodReplaced) gateway.Charge {
	c := gateway.Charge{
		Key: r.Key, Token: r.PaymentMethodToken,
		Amount:   &ledgerv1.Money{CurrencyCode: s.Terms().GetRegular().GetFull().GetCurrencyCode()},
		Merchant: s.Started.GetMerchantId(), Subscription: s.Started.GetSubscriptionId(), Buyer: s.Buyer,
	}
	c.ReturnURL, c.CancelURL = p.Addresses(conn, c)
	return c
}

func (p *Process) methodCommand(r *ledgerv1.PaymentMethodReplaced, res gateway.Result) (string, aggregate.Command[subscription.State]) {
	now := p.Clock.Now()
	switch {
	case res.Class == gateway.Accepted && res.Method != nil:
		return "stored", subscription.StoreMethod{Now: now, Replacement: r.Replacement, Method: res.Method}
	case res.Class == gateway.Rejected:
		return "refused", subscription.RefuseMethod{Now: now, Replacement: r.Replacement, Code: res.Code, Message: res.Message}
	}
	return "", nil
}
