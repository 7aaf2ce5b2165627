package aggregatetest

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// doubts are lives in which it was not clear at once what became of a payment.
func doubts() []story {
	return []story{
		{"redirected, paid", func(l *life) {
			l.byPayPal()
			l.start(terms(recurring), func(s *ledgerv1.SubscriptionStarted) { s.PaymentMethodToken = "" })
			l.requested(1, 1, 0)
			l.pending(1, 1)
			l.later(5 * time.Minute)
			l.succeeded(1, 1, 0)
		}},
		{"redirected, never came back", func(l *life) {
			l.start(terms(recurring), func(s *ledgerv1.SubscriptionStarted) { s.PaymentMethodToken = "" })
			l.requested(1, 1, 0)
			l.pending(1, 1)
			l.later(3 * day)
			l.notCharged(1, 1, "expired")
		}},
		{"in doubt, charged after all", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.awaited(2)
			l.requested(2, 1, 0)
			l.unknown(2, 1)
			l.later(30 * time.Second)
			l.succeeded(2, 1, 0)
		}},
		{"in doubt, never charged, tried again", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.awaited(2)
			l.requested(2, 1, 0)
			l.unknown(2, 1)
			l.later(30 * time.Minute)
			l.notCharged(2, 1, "absent")
			l.wake()
			l.requested(2, 2, 0)
			l.succeeded(2, 2, 0)
		}},
	}
}

// surprises are lives in which a charge turned up that nobody waited for any more, or another than was asked for.
func surprises() []story {
	return []story{
		{"declined, charged after all", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.awaited(2)
			l.requested(2, 1, 0)
			l.declined(2, 1, 0, ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, 3*day)
			l.later(time.Hour)
			l.late(2, 1)
		}},
		{"cancelled while in doubt, charged after all", func(l *life) {
			// The sale is told and kept, and the subscription stays as ended as it is.
			l.start(terms(recurring))
			l.requested(1, 1, 0)
			l.unknown(1, 1)
			l.later(time.Minute)
			l.asked("cancel")
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_BUYER)
			l.later(time.Hour)
			l.outcome("charge/1.1/late")
			l.late(1, 1)
		}},
		{"charged twice, returned once", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.later(time.Hour)
			l.outcome("charge/1.1/duplicate")
			paid := l.amounts(1).Full
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{
				PayNumber: 1, Attempt: 1, Reference: "ch_" + l.id + "_twin", Amount: paid,
				ConnectionId: Connection, RefundKey: Merchant + "-" + l.id + "-return-1-1",
			}}})
			l.outcome("charge/1.1/returned")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeReturned{DuplicateChargeReturned: &ledgerv1.DuplicateChargeReturned{
				PayNumber: 1, Attempt: 1, RefundReference: "re_" + l.id + "_twin", Amount: paid,
			}}})
		}},
		{"charged another amount", func(l *life) {
			l.start(terms(recurring))
			l.requested(1, 1, 0)
			l.outcome("charge/1.1/mismatch")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
				PayNumber: 1, Attempt: 1, Reference: "ch_" + l.id + "_1_1",
				Expected: l.amounts(1).Full,
				Charged:  &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 500},
			}}})
		}},
	}
}

// pending says that the gateway waits for the buyer.
func (l *life) pending(number, attempt uint32) {
	l.outcome("charge/%d.%d/pending", number, attempt)
	l.due = l.at.Add(3 * day)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentPending{PaymentPending: &ledgerv1.PaymentPending{
		PayNumber:  number,
		Attempt:    attempt,
		Reference:  l.reference(number, attempt),
		NextAction: &ledgerv1.NextAction{RedirectUrl: "https://gateway.example/approve/" + l.id},
		ExpiresAt:  timestamppb.New(l.due),
	}}})
}
