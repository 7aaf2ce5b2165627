package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Complete implements gateway.Completer: of a refund or a dispute it reads the payment's metadata, of a detached method
// its customer's. Whether access is still taken away it asks too, for such a notice may come late.
func (g *Gateway) Complete(ctx context.Context, conn gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	if n.Kind == gateway.NoticeDisconnected {
		return g.confirmDisconnected(ctx, conn, n)
	}
	path, id := placeOf(n)
	if path == "" {
		return n, nil
	}
	body, err := g.get(ctx, conn, path+url.PathEscape(id), nil)
	if errors.Is(err, errMissing) {
		return gateway.Notice{ID: n.ID}, nil
	}
	if err != nil {
		return gateway.Notice{}, fmt.Errorf("complete %s: %w", n.ID, err)
	}
	var o anything
	if err := json.Unmarshal(body, &o); err != nil || o.ID != id {
		return gateway.Notice{}, fmt.Errorf("complete %s: the answer is not %s", n.ID, id)
	}
	if o.Metadata[metaSubscription] == "" || o.Metadata[metaMerchant] != conn.Merchant {
		return gateway.Notice{ID: n.ID}, nil
	}
	n.Subscription = o.Metadata[metaSubscription]
	if n.Dispute != nil {
		d := *n.Dispute
		d.ChargeKey, n.Dispute = o.Metadata[metaKey], &d
	}
	if n.Refund != nil {
		r := *n.Refund
		r.ChargeKey, n.Refund = o.Metadata[metaKey], &r
	}
	return n, nil
}

// confirmDisconnected ignores the notice of a consent that has been given again since: webhooks are repeated for days. One
// about an account with a key of its own says nothing, for that key still opens it; nor does one about no account.
func (g *Gateway) confirmDisconnected(ctx context.Context, conn gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	if conn.Secret != "" || conn.Account == "" {
		return gateway.Notice{ID: n.ID}, nil
	}
	granted, err := g.granted(ctx, conn)
	if err != nil {
		return gateway.Notice{}, fmt.Errorf("complete %s: %w", n.ID, err)
	}
	if granted {
		return gateway.Notice{ID: n.ID}, nil
	}
	return n, nil
}

// placeOf is where the rest of a notice is to be had; empty if it is whole.
func placeOf(n gateway.Notice) (path, id string) {
	switch n.Kind {
	case gateway.NoticeDispute:
		return paidAt(n.Dispute.ChargeReference)
	case gateway.NoticeRefund, gateway.NoticeRefundMade:
		return paidAt(n.Refund.ChargeReference)
	case gateway.NoticeAgreement:
		customer, _ := splitReference(n.Method)
		return "/v1/customers/", customer
	}
	return "", ""
}

// paidAt is where a payment is read. A charge carries its intent's metadata.
// https://docs.stripe.com/api/payment_intents/create#create_payment_intent-metadata
func paidAt(reference string) (path, id string) {
	if isCharge(reference) {
		return "/v1/charges/", reference
	}
	return "/v1/payment_intents/", reference
}
