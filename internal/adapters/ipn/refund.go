package ipn

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// refund is money that went back at the gateway, asked for or not: both are told alike.
type refund interface {
	GetAmounts() *ledgerv1.Amounts
	GetParentOrderId() int64
	GetOriginalOrderId() int64
	GetPayNumber() uint32
}

func refundOf(e *ledgerv1.Event) refund {
	if observed := e.GetRefundObserved(); observed != nil {
		return observed
	}
	return e.GetRefundSucceeded()
}

// refund is the list of refund and partial_refund. Kartra's text says "the amount paid by the customer"; told is
// what went back with this event, positive: the parent's own amount would tell of two partial refunds alike.
// Source: https://support.kartra.com/support/solutions/articles/153000169509
func (f *form) refund(r refund) {
	f.returned(r.GetAmounts(), r.GetParentOrderId(), r.GetOriginalOrderId(), r.GetPayNumber())
}

// returned is what refunds and chargebacks have in common: there is no card and no shipping cost.
func (f *form) returned(a *ledgerv1.Amounts, parent, original int64, number uint32) {
	f.order()
	f.amounts(a)
	f.dateAndType()
	f.parent(parent)
	f.partners()
	f.quantity()
	f.subscriptionIDs(nil)
	f.payNumber(number)
	f.original(original)
	f.product()
	f.lead()
	f.shipping()
	f.spacedShipping()
	f.secretKey()
	f.tracking()
	f.gdpr()
	f.processorAndCompany()
}

// spacedShipping repeats four keys as Kartra's page of this list, and of no other, prints them: with a space. An
// endpoint gets them only if it asks, since a receiver may refuse what it does not know.
func (f *form) spacedShipping() {
	if !f.Endpoint.Settings.GetSpacedShippingKeys() {
		return
	}
	for _, p := range f.body {
		switch p.Key {
		case "shipping_city", "shipping_zip", "shipping_state", "shipping_country":
			f.add("shipping _"+p.Key[len("shipping_"):], p.Value)
		}
	}
}
