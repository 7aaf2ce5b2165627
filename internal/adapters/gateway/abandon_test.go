package gateway_test

import (
	"context"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// taking is a gateway at which to find a charge that is wanted takes its money.
type taking struct {
	gateway.Gateway
	looked string
	taken  int
}

func (g *taking) Lookup(_ context.Context, _ gateway.Connection, key string, _ time.Time) (gateway.Result, bool, error) {
	g.looked = key
	return gateway.Result{Class: gateway.Pending}, true, nil
}

func (g *taking) FindCharge(context.Context, gateway.Connection, gateway.Charge, time.Time) (gateway.Result, bool, error) {
	g.taken++
	return gateway.Result{Class: gateway.Accepted}, true, nil
}

func (g *taking) FindRefund(context.Context, gateway.Connection, gateway.Refund, time.Time) (gateway.Result, bool, error) {
	return gateway.Result{}, false, nil
}

// ending is one that can end a payment.
type ending struct{ *taking }

func (ending) Abandon(context.Context, gateway.Connection, gateway.Charge, time.Time) (gateway.Result, bool, error) {
	return gateway.Result{Class: gateway.Rejected, Expired: true}, true, nil
}

// A buyer who has turned back is not charged, whatever the gateway can do.
func TestAbandon(t *testing.T) {
	t.Parallel()
	g := &taking{}
	r, found, err := gateway.Abandon(t.Context(), g, gateway.Connection{}, gateway.Charge{Key: "k"}, time.Time{})
	if err != nil || !found || r.Class != gateway.Pending || g.looked != "k" || g.taken != 0 {
		t.Errorf("got %+v, %v, %v, taken %d times; want the look-up of k", r, found, err, g.taken)
	}
	r, _, _ = gateway.Abandon(t.Context(), ending{g}, gateway.Connection{}, gateway.Charge{Key: "k"}, time.Time{})
	if !r.Expired || g.taken != 0 {
		t.Errorf("got %+v, taken %d times; want it ended", r, g.taken)
	}
}
