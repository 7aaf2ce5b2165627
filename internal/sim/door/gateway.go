package door

import (
	"context"
	"errors"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// ToGateway is a gateway behind a door. It is a gateway.Notifier and a gateway.Connector if the gateway is both.
func ToGateway(gw gateway.Gateway, g Guard) gateway.Gateway {
	d := guardedGateway{gw, g}
	notifier, notifies := gw.(gateway.Notifier)
	connector, connects := gw.(gateway.Connector)
	switch {
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
func (d guardedGateway) Lookup(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (r gateway.Result, found bool, err error) {
	if err := d.guard.Before(ctx, Call{Gateway, "lookup", key}); err != nil {
		return r, false, err
	}
	return d.Gateway.Lookup(ctx, conn, key, sent)
}
