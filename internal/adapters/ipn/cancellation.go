package ipn

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// cancellation is the list "Cancelation of a recurring payment subscription". No money moves, so there is none in
// it. The last three variables were not visible on Kartra's page and are taken from its other lists.
// Source: https://support.kartra.com/support/solutions/articles/153000169508
func (f *form) cancellation(e *ledgerv1.SubscriptionCancelled) {
	f.order()
	f.dateAndType()
	f.subscriptionIDs(e.Method)
	f.card(e.Method)
	f.original(e.OriginalOrderId)
	f.product()
	f.lead()
	f.secretKey()
	f.tracking()
	f.gdpr()
	f.processorAndCompany()
}
