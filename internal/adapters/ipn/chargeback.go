package ipn

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// chargeback has the list of a refund. It is told once per dispute, when the funds are withdrawn; its parent is the
// payment that is reversed, be it a rebill.
// Source: https://support.kartra.com/support/solutions/articles/153000169509
func (f *form) chargeback(e *ledgerv1.DisputeFundsWithdrawn) {
	f.returned(e.Amounts, e.ParentOrderId, e.OriginalOrderId, e.PayNumber)
}
