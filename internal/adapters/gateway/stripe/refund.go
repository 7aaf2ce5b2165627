package stripe

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Refund implements gateway.Gateway. https://docs.stripe.com/api/refunds/create
func (g *Gateway) Refund(ctx context.Context, conn gateway.Connection, r gateway.Refund) gateway.Result {
	units, err := inUnits(r.Amount)
	if err != nil {
		return gateway.Result{Class: gateway.Rejected, Category: hard, Code: "amount_not_expressible", Message: err.Error()}
	}
	p := &stripego.RefundCreateParams{
		Params: as(ctx, conn, r.Key), Amount: &units,
		Metadata: map[string]string{metaKey: r.Key, metaMerchant: conn.Merchant},
	}
	if isCharge(r.ChargeReference) {
		p.Charge = &r.ChargeReference
	} else {
		p.PaymentIntent = &r.ChargeReference
	}
	reply, err := g.call(conn, http.MethodPost, "/v1/refunds", p)
	if err != nil {
		return failed(err)
	}
	if reply.Status != http.StatusOK {
		return refused(reply)
	}
	var made refund
	if err := json.Unmarshal(reply.Body, &made); err != nil {
		return unknown("unreadable answer: %v", err)
	}
	if made.ID == "" || made.Object != "refund" || made.Metadata[metaKey] != r.Key || !made.isOf(r.ChargeReference) {
		return unknown("the answer is not about this refund")
	}
	return made.result()
}

func (r *refund) isOf(reference string) bool {
	return r.PaymentIntent == reference || r.Charge == reference
}

// isCharge tells a charge from an intent: what was sold before PaymentIntents, or imported, is known by its charge.
func isCharge(reference string) bool {
	return strings.HasPrefix(reference, "ch_") || strings.HasPrefix(reference, "py_")
}
