package stripe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Abandon implements gateway.Abandoner. Stripe's page stays open when its buyer turns back, and can still be paid, and so
// can an intent that waits for his authentication: both are closed. What became of the payment is looked up afterwards,
// for he may have paid meanwhile, or been declined before.
func (g *Gateway) Abandon(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	r, found, err := g.Lookup(ctx, conn, c.Key, sent)
	if err != nil || !found || r.Class != gateway.Pending {
		return r, found, err
	}
	for id, err := range g.listed(ctx, conn, "/v1/checkout/sessions", c.Key, sent) {
		if err == nil {
			err = g.expire(ctx, conn, id)
		}
		if err != nil {
			return gateway.Result{}, false, fmt.Errorf("abandon %s: %w", c.Key, err)
		}
	}
	for _, path := range []string{"/v1/payment_intents", "/v1/setup_intents"} {
		for id, err := range g.listed(ctx, conn, path, c.Key, sent) {
			if err == nil {
				err = g.giveUp(ctx, conn, path, id)
			}
			if err != nil {
				return gateway.Result{}, false, fmt.Errorf("abandon %s: %w", c.Key, err)
			}
		}
	}
	return g.Lookup(ctx, conn, c.Key, sent)
}

// giveUp cancels an intent that waits for its buyer. One that a bank works on goes on.
// https://docs.stripe.com/payments/paymentintents/lifecycle
func (g *Gateway) giveUp(ctx context.Context, conn gateway.Connection, path, id string) error {
	i, err := g.intent(ctx, conn, path, id)
	if err != nil || i.Metadata[metaCheckout] != "" || i.Status != statusRequiresAction && i.Status != statusRequiresPaymentMethod {
		return err
	}
	_, err = g.cancel(ctx, conn, path, i)
	return err
}

// expire closes a page, so that nobody can pay there any more. Stripe refuses to close one that is not open; that it is
// not is all that is wanted. Its key is its own: the library would make up another one for every call.
// https://docs.stripe.com/api/checkout/sessions/expire
func (g *Gateway) expire(ctx context.Context, conn gateway.Connection, id string) error {
	path := "/v1/checkout/sessions/" + url.PathEscape(id) + "/expire"
	reply, err := g.call(conn, http.MethodPost, path, &stripego.CheckoutSessionExpireParams{Params: as(ctx, conn, id+"-expire")})
	if err != nil {
		return err
	}
	if e := errorOf(reply); reply.Status == http.StatusBadRequest && e != nil && e.Type == invalidRequest {
		return nil
	}
	if reply.Status != http.StatusOK {
		return fmt.Errorf("%s: status %d", path, reply.Status)
	}
	return nil
}
