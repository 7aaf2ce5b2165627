package aggregatetest

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// repaid are lives in which money went back in parts, by itself, or because it should not have come.
func repaid() []story {
	return []story{
		{"shipped, refunded by parts and cancelled", func(l *life) {
			sale := l.begin(terms(recurring, at(amounts("EUR", 10000, 1500, 995, 1615))))
			l.later(day)
			l.refunded("r1", sale, 1, amounts("EUR", 0, 0, 995, 0), false)
			l.later(day)
			l.refundRequested("r2", sale, 1, amounts("EUR", 10000, 1500, 0, 1615))
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_BUYER)
			l.refundSucceeded("r2", sale, 1, amounts("EUR", 10000, 1500, 0, 1615), true, false)
		}},
		{"bought, refunded at the gateway's desk too", func(l *life) {
			// A refund was on its way; the desk took its amount. What the gateway did all the same is more than there was.
			l.connection = Connection
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.later(day)
			l.refundRequested("r1", sale, 1, amounts("USD", 2820, 0, 0, 180))
			l.refundObserved("desk", sale, 1, amounts("USD", 3760, 0, 0, 240), false, false)
			l.later(time.Minute)
			l.refundSucceeded("r1", sale, 1, amounts("USD", 2820, 0, 0, 180), true, true)
		}},
		{"bought, over-returned at the gateway's desk", func(l *life) {
			l.connection = Connection
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.later(day)
			l.refunded("r1", sale, 1, amounts("USD", 4700, 0, 0, 300), true)
			l.later(day)
			l.refundObserved("desk", sale, 1, amounts("USD", 940, 0, 0, 60), true, true)
		}},
		{"cancelled while in doubt, charged after all, refunded", func(l *life) {
			l.begin(terms(recurring))
			l.awaited(2)
			l.requested(2, 1, 0)
			l.unknown(2, 1)
			l.later(time.Minute)
			l.asked("cancel")
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_BUYER)
			l.later(time.Hour)
			rebill := l.late(2, 1)
			l.history.Events[len(l.history.Events)-1].GetLateChargeObserved().Ended = true
			l.returnedLate("late", rebill, 2)
			l.refundSucceeded("late", rebill, 2, l.amounts(2), true, false)
		}},
		{"charged another amount, returned, charged", func(l *life) {
			l.begin(terms(recurring))
			l.awaited(2)
			l.requested(2, 1, 0)
			l.due = time.Time{}
			l.outcome("charge/2.1/mismatch")
			charged := &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 500}
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
				PayNumber: 2, Attempt: 1, Reference: l.reference(2, 1), Expected: l.amounts(2).Full, Charged: charged,
			}}})
			l.later(day)
			l.asked("resolve-mismatch")
			l.due = l.at
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: &ledgerv1.MismatchResolved{
				PayNumber: 2, Attempt: 1, Reference: "re_" + l.id + "_mismatch", Amount: charged,
			}}})
			l.wake()
			l.requested(2, 2, 0)
			l.succeeded(2, 2, 0)
		}},
	}
}

// returnedLate asks for a late charge to go back, in the append that noted it.
func (l *life) returnedLate(id string, order int64, number uint32) {
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: id, ParentOrderId: order, PayNumber: number, Amounts: l.amounts(number),
		Key: Merchant + "-" + l.id + "-refund-" + id, ChargeReference: l.reference(number, 1), Reason: "late charge",
	}}})
}
