package aggregatetest

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// ended are lives that somebody ended.
func ended() []story {
	return []story{
		{"trial, cancelled by the buyer", func(l *life) {
			l.start(terms(oneTime, trial(30, amounts("USD", 900, 0, 0, 100))))
			l.charged(1)
			l.later(2 * day)
			l.asked("cancel")
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_BUYER)
		}},
		{"monthly, cancelled at the period's end", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.later(10 * day)
			l.asked("cancel")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_CancellationScheduled{CancellationScheduled: &ledgerv1.CancellationScheduled{
				CancelAt: timestamppb.New(l.due), Reason: ledgerv1.CancelReason_CANCEL_REASON_MERCHANT,
			}}})
			l.awaited(2)
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_MERCHANT)
		}},
		{"first payment declined", func(l *life) {
			l.start(terms(recurring))
			l.requested(1, 1, 0)
			l.declined(1, 1, 0, ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, 0)
		}},
		{"cancelled before anything was sold", func(l *life) {
			l.start(terms(recurring))
			l.requested(1, 1, 0)
			l.asked("cancel")
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_MERCHANT)
			l.notCharged(1, 1, "absent")
		}},
	}
}
