package aggregatetest

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// bought are lives of a plain one-time price: one payment, then complete.
func bought() []story {
	return []story{
		{"bought once", func(l *life) {
			l.buy(amounts("USD", 4700, 0, 0, 300))
		}},
		{"bought once, shipped", func(l *life) {
			l.start(terms(oneTime, at(amounts("EUR", 10000, 1500, 995, 1615))), boughtBy(company()),
				func(s *ledgerv1.SubscriptionStarted) { s.Quantity, s.ExternalRef = 2, "cart-5512" })
			l.charged(1)
			l.completed()
		}},
		{"bought once with PayPal", func(l *life) {
			l.byPayPal()
			l.method.AgreementId = "" // a single payment needs none
			l.buy(amounts("USD", 4700, 0, 0, 300))
		}},
		{"bought for yen", func(l *life) {
			l.buy(amounts("JPY", 5200, 200, 0, 500))
			l.refunded("r1", l.last(), 1, amounts("JPY", 1000, 0, 0, 100), false)
		}},
		{"bought for nothing", func(l *life) {
			l.buy(amounts("USD", 4700, 4700, 0, 0))
		}},
		{"bought, declined", func(l *life) {
			l.start(terms(oneTime))
			l.requested(1, 1, 0)
			l.declined(1, 1, 0, ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, 0)
		}},
		{"bought, part refunded, disputed", func(l *life) {
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.later(3 * day)
			l.refunded("r1", sale, 1, amounts("USD", 940, 0, 0, 60), false)
			l.later(20 * day)
			l.disputeOpened("dp_1", sale, 4000, false)
			l.withdrawn("dp_1", sale, 1, amounts("USD", 3760, 0, 0, 240), false)
			l.later(40 * day)
			l.reinstated("dp_1", sale, 1, amounts("USD", 3760, 0, 0, 240))
			l.disputeClosed("dp_1", sale, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON)
		}},
		{"bought, refunded", func(l *life) {
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.later(day)
			l.refunded("r1", sale, 1, amounts("USD", 4700, 0, 0, 300), true)
		}},
		{"bought, charged back, refunded too", func(l *life) {
			// The chargeback overtook a refund that was on its way: more went back than was captured.
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.later(day)
			l.refundRequested("r1", sale, 1, amounts("USD", 4700, 0, 0, 300))
			l.refundPending("r1")
			l.disputeOpened("dp_2", sale, 5000, false)
			l.withdrawn("dp_2", sale, 1, amounts("USD", 4700, 0, 0, 300), false)
			l.later(day)
			l.refundSucceeded("r1", sale, 1, amounts("USD", 4700, 0, 0, 300), true, true)
			l.disputeClosed("dp_2", sale, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST)
		}},
	}
}

// buy pays a plain one-time price.
func (l *life) buy(price *ledgerv1.Amounts) (sale int64) {
	l.start(terms(oneTime, at(price)))
	sale = l.charged(1)
	l.completed()
	return sale
}
