package door

import (
	"context"
	"errors"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// ToGateway is a gateway behind a door. It is a gateway.Notifier and a gateway.Connector if the gateway is. It always is a
// gateway.Finder, a gateway.Completer and a gateway.Abandoner, and does for a gateway that is not what is done without.
func ToGateway(gw gateway.Gateway, g Guard) gateway.Gateway {
	d := guardedGateway{gw, g}
	notifier, notifies := gw.(gateway.Notifier)
	connector, connects := gw.(gateway.Connector)
	switch {
	case connects && !notifies:
		return struct {
			guardedGateway
			gateway.Connector
		}{d, connector}
	case notifies && connects:
		return struct {
			guardedGateway
			gateway.Notifier
			gateway.Connector
		}{d, notifier, connector}
	case notifies:
		return struct {
			guardedGateway
			gateway.Notifier
		}{d, notifier}
	}
	return d
}

var (
	_ gateway.Finder    = guardedGateway{}
	_ gateway.Completer = guardedGateway{}
	_ gateway.Abandoner = guardedGateway{}
)

type guardedGateway struct {
	gateway.Gateway
	guard Guard
}

// Charge implements gateway.Gateway. A charge whose answer is lost is unknown.
func (d guardedGateway) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	return d.call(ctx, Call{Gateway, "charge", c.Key}, func() gateway.Result { return d.Gateway.Charge(ctx, conn, c) })
}

// Refund implements gateway.Gateway.
func (d guardedGateway) Refund(ctx context.Context, conn gateway.Connection, r gateway.Refund) gateway.Result {
	return d.call(ctx, Call{Gateway, "refund", r.Key}, func() gateway.Result { return d.Gateway.Refund(ctx, conn, r) })
}

func (d guardedGateway) call(ctx context.Context, c Call, do func() gateway.Result) gateway.Result {
	if err := d.guard.Before(ctx, c); err != nil {
		return resultOf(err)
	}
	res := do()
	if err := d.guard.After(ctx, c); err != nil {
		return resultOf(err)
	}
	return res
}

// resultOf is what an adapter makes of a call that failed.
func resultOf(err error) gateway.Result {
	if errors.Is(err, ErrNotSent) {
		return gateway.Result{Class: gateway.NotSent, Why: err.Error()}
	}
	return gateway.Result{Class: gateway.Unknown, Why: err.Error()}
}

// Lookup implements gateway.Gateway. The key is what it is about.
func (d guardedGateway) Lookup(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
	return d.look(ctx, key, func() (gateway.Result, bool, error) { return d.Gateway.Lookup(ctx, conn, key, sent) })
}

// FindCharge implements gateway.Finder.
func (d guardedGateway) FindCharge(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	return d.look(ctx, c.Key, func() (gateway.Result, bool, error) { return gateway.FindCharge(ctx, d.Gateway, conn, c, sent) })
}

// FindRefund implements gateway.Finder.
func (d guardedGateway) FindRefund(ctx context.Context, conn gateway.Connection, r gateway.Refund, sent time.Time) (gateway.Result, bool, error) {
	return d.look(ctx, r.Key, func() (gateway.Result, bool, error) { return gateway.FindRefund(ctx, d.Gateway, conn, r, sent) })
}

// Abandon implements gateway.Abandoner.
func (d guardedGateway) Abandon(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	return d.look(ctx, c.Key, func() (gateway.Result, bool, error) { return gateway.Abandon(ctx, d.Gateway, conn, c, sent) })
}

func (d guardedGateway) look(ctx context.Context, key string, look func() (gateway.Result, bool, error)) (gateway.Result, bool, error) {
	if err := d.guard.Before(ctx, Call{Gateway, "lookup", key}); err != nil {
		return gateway.Result{}, false, err
	}
	return look()
}

// Complete implements gateway.Completer. A notice of a gateway that is none is complete.
func (d guardedGateway) Complete(ctx context.Context, conn gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	c, ok := d.Gateway.(gateway.Completer)
	if !ok {
		return n, nil
	}
	if err := d.guard.Before(ctx, Call{Gateway, "lookup", n.ID}); err != nil {
		return n, err
	}
	return c.Complete(ctx, conn, n)
}
