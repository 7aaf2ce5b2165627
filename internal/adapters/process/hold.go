package process

import (
	"context"
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/event"
)

// holdPause is how long what is held by a blocked connection rests before somebody looks whether it still is.
const holdPause = time.Hour

// errHeld is that an intent waits for its connection.
func errHeld(conn gateway.Connection, key string) error {
	return bus.RetryAfter(fmt.Errorf("%s waits: nothing is charged through connection %s: %s", key, conn.ID, conn.Blocked), holdPause)
}

// held is what stands in for sending an intent through a blocked connection. Nothing goes out; what may have gone out
// before is looked up. If the gateway does not know it, there is no hurry to call that a doubt: it waits as well, and
// is dealt with when the block ends.
func (p *Process) held(ctx context.Context, gw gateway.Gateway, conn gateway.Connection, key string, intent event.Recorded) (gateway.Result, error) {
	if !p.maybeSent(key, intent) {
		return gateway.Result{}, errHeld(conn, key)
	}
	res, found, err := gw.Lookup(ctx, conn, key, intent.Metadata.RecordedAt.AsTime())
	switch {
	case err != nil:
		return gateway.Result{}, fmt.Errorf("look up %s: %w", key, err)
	case !found:
		return gateway.Result{}, errHeld(conn, key)
	}
	return res, nil
}

// unblocked has what a connection has held up tried again now rather than within the hour.
func (p *Process) unblocked(_ context.Context, e event.Recorded) error {
	if p.Hurry == nil {
		return nil
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_ConnectionUnblocked:
		p.Hurry(k.ConnectionUnblocked.MerchantId)
	case *ledgerv1.Event_ConnectionActivated:
		p.Hurry(k.ConnectionActivated.MerchantId)
	}
	return nil
}
