package subscription_test

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	importTrialing = ledgerv1.ImportState_IMPORT_STATE_TRIALING
	importActive   = ledgerv1.ImportState_IMPORT_STATE_ACTIVE
	importPastDue  = ledgerv1.ImportState_IMPORT_STATE_PAST_DUE
	importPaused   = ledgerv1.ImportState_IMPORT_STATE_PAUSED
)

// importAt takes over a subscription whose payments up to a number are made elsewhere.
func importAt(now time.Time, t *ledgerv1.Terms, s ledgerv1.ImportState, paid uint32, due time.Time) subscription.Import {
	return subscription.Import{
		Now: now, Number: orders / 10_000, Merchant: "acme", ID: "s1",
		Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.ImportRequest{
			Buyer: &ledgerv1.Buyer{Id: "lead-1", FirstName: "Zoë"}, Terms: t, ConnectionId: "main", PaymentMethod: card(),
			State: s, PaidNumber: paid, NextDueAt: at(due),
		},
	}
}
