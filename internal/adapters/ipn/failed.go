package ipn

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// failed is the list "Failed rebill": a payment that was due and was declined. Its original_id is the first order,
// which is its own if nothing was ever sold.
// Source: https://support.kartra.com/support/solutions/articles/153000169509
func (f *form) failed(e *ledgerv1.PaymentDeclined) {
	f.order()
	f.amounts(e.Amounts)
	f.dateAndType()
	f.parent(0)
	f.partners()
	f.subscriptionIDs(e.Method)
	f.payNumber(e.PayNumber)
	f.quantity()
	f.card(e.Method)
	f.original(e.OriginalOrderId)
	f.product()
	f.lead()
	f.shipping()
	f.shippingCost(e.Amounts)
	f.secretKey()
	f.tracking()
	f.addInt("failed_reattempt_number", int64(e.Reattempt))
	f.gdpr()
	f.processorAndCompany()
}
