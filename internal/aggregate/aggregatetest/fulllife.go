package aggregatetest

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// fullLives hold, for each price kind, one notification of every type that it can have.
func fullLives() []story {
	return []story{
		{"a full life, one-time with an initial payment", func(l *life) {
			l.start(terms(oneTime, trial(30, amounts("USD", 900, 0, 0, 100))))
			l.fullLife()
			l.completed()
			l.moneyBack()
		}},
		{"a full life, recurring", func(l *life) {
			l.start(terms(recurring))
			l.fullLife()
			l.moneyBack()
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK)
		}},
		{"a full life, installments", func(l *life) {
			l.start(terms(installments, trial(14, amounts("USD", 100, 0, 0, 0))), boughtBy(company()))
			l.fullLife()
			l.moneyBack()
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK)
		}},
		{"a full life, recurring installments", func(l *life) {
			l.start(terms(recurringInstallments))
			l.fullLife()
			l.moneyBack()
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK)
		}},
		{"installments, paid to the end", func(l *life) {
			l.start(terms(installments, coupon(1, amounts("USD", 4700, 700, 0, 255))))
			l.charged(1)
			l.rebilled(2)
			l.rebilled(3)
			l.completed()
		}},
	}
}

// fullLife sells, fails once, and rebills.
func (l *life) fullLife() {
	l.charged(1)
	l.awaited(2)
	l.requested(2, 1, 0)
	l.declined(2, 1, 0, ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, 3*day)
	l.later(3 * day)
	l.wake()
	l.requested(2, 2, 1)
	l.succeeded(2, 2, 1)
}

// moneyBack returns the second payment in two refunds, and then the first one is charged back.
func (l *life) moneyBack() {
	rebill := l.last()
	l.later(day)
	l.refunded("r1", rebill, 2, amounts("USD", 1880, 0, 0, 120), false)
	l.later(day)
	l.refunded("r2", rebill, 2, amounts("USD", 2820, 0, 0, 180), true)
	l.later(10 * day)
	back := l.amounts(1)
	l.disputeOpened("dp_"+l.id, l.first, back.Full.MinorUnits, false)
	l.withdrawn("dp_"+l.id, l.first, 1, back, false)
}
