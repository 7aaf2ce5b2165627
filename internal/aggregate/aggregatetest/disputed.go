package aggregatetest

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// disputed are lives of merchants who do not cancel what is charged back.
func disputed() []story {
	hold, ignore := ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD, ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_IGNORE
	return []story{
		{"disputed, held, won, rebilled", func(l *life) {
			sale := l.begin(terms(recurring))
			due := l.due
			l.takenBack(sale, hold)
			l.at = month(due, 1).Add(day)
			l.reinstated("dp_"+l.id, sale, 1, l.amounts(1))
			l.due = due // what was held is charged at once
			l.disputeClosed("dp_"+l.id, sale, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON)
			l.wake()
			l.requested(2, 1, 0)
			missed := l.instant(3)
			l.skipped = 1
			l.succeeded(2, 1, 0)
			l.skips(missed, missed)
			l.rebilled(3)
		}},
		{"disputed, held, lost", func(l *life) {
			sale := l.begin(terms(recurring))
			l.takenBack(sale, hold)
			l.later(60 * day)
			l.disputeClosed("dp_"+l.id, sale, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST)
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK)
		}},
		{"disputed, ignored, rebilled", func(l *life) {
			sale := l.begin(terms(recurring))
			due := l.due
			l.takenBack(sale, ignore)
			l.due = due
			l.rebilled(2)
			l.disputeClosed("dp_"+l.id, sale, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST)
			l.rebilled(3)
		}},
	}
}

// takenBack is the first payment's chargeback, with what it does to the subscription.
func (l *life) takenBack(sale int64, policy ledgerv1.ChargebackPolicy) {
	l.later(5 * day)
	l.disputeOpened("dp_"+l.id, sale, l.amounts(1).Full.MinorUnits, false)
	if policy == ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD {
		l.due = time.Time{}
	}
	l.withdrawn("dp_"+l.id, sale, 1, l.amounts(1), false)
	l.history.Events[len(l.history.Events)-1].GetDisputeFundsWithdrawn().Policy = policy
}
