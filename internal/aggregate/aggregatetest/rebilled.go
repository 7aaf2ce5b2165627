package aggregatetest

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// rebilled are lives that go on.
func rebilled() []story {
	return []story{
		{"free trial, rebilled", func(l *life) {
			l.start(terms(recurring, trial(14, amounts("USD", 0, 0, 0, 0))))
			l.charged(1)
			l.rebilled(2)
			l.rebilled(3)
		}},
		{"free trial with shipping, coupon, rebilled", func(l *life) {
			l.start(terms(recurring, trial(7, amounts("USD", 0, 0, 495, 0)), coupon(1, amounts("USD", 4700, 2350, 0, 150))),
				boughtBy(company()))
			l.charged(1)
			l.rebilled(2)
			l.rebilled(3)
		}},
		{"monthly, moved, rebilled", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.later(5 * day)
			l.moved("Bahnhofstrasse 1", "Zürich", "8001", "ZH", "CH")
			l.rebilled(2)
		}},
		{"monthly in dinars, rebilled", func(l *life) {
			l.start(terms(recurring, at(amounts("KWD", 1234, 0, 0, 0))))
			l.charged(1)
			l.rebilled(2)
		}},
		{"monthly with PayPal, agreement lost", func(l *life) {
			l.byPayPal()
			l.start(terms(recurring))
			l.charged(1)
			l.rebilled(2)
			l.later(9 * day)
			l.outcome("agreement/lost")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{
				Code: "mp_cancel", Message: "The payer cancelled the agreement.",
			}}})
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_AGREEMENT)
		}},
	}
}

// interrupted are lives that go on after something was in the way.
func interrupted() []story {
	soft := ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	return []story{
		{"monthly, declined, recovered", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.awaited(2)
			l.requested(2, 1, 0)
			l.declined(2, 1, 0, soft, 3*day)
			l.later(3 * day)
			l.wake()
			l.requested(2, 2, 1)
			l.succeeded(2, 2, 1)
		}},
		{"monthly, declined to the end", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			l.awaited(2)
			for step := uint32(0); step <= 3; step++ {
				next := 3 * day
				if step == 3 {
					next = 0
				}
				l.requested(2, step+1, step)
				l.declined(2, step+1, step, soft, next)
				if step < 3 {
					l.later(3 * day)
					l.wake()
				}
			}
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_DUNNING)
		}},
		{"monthly, an outage of three months", func(l *life) {
			l.start(terms(recurring))
			l.charged(1)
			first := l.due
			l.at = month(first, 2).Add(day)
			l.wake()
			l.requested(2, 1, 0)
			l.succeeded(2, 1, 0)
			p := l.history.Events[len(l.history.Events)-1].GetPaymentSucceeded()
			l.due = month(first, 3)
			p.NextDue, p.PaidThrough = stamp(l.due), stamp(l.due)
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PeriodsSkipped{PeriodsSkipped: &ledgerv1.PeriodsSkipped{
				Count: 2, First: stamp(month(first, 1)), Last: stamp(month(first, 2)), NextDue: stamp(l.due),
			}}})
		}},
		{"recurring installments, second cycle", func(l *life) {
			l.start(terms(recurringInstallments))
			l.charged(1)
			for n := uint32(2); n <= 4; n++ {
				l.rebilled(n)
			}
		}},
	}
}

// awaited waits for the instant at which a number is due and begins the request that charges it.
func (l *life) awaited(number uint32) {
	if at := l.instant(number); at.After(l.at) {
		l.at = at.Add(2 * time.Second)
	}
	l.wake()
}

// rebilled waits for a due number and charges it.
func (l *life) rebilled(number uint32) int64 {
	l.awaited(number)
	l.requested(number, 1, 0)
	return l.succeeded(number, 1, 0)
}

// moved gives the buyer another address.
func (l *life) moved(line, city, zip, state, country string) {
	b := buyer()
	id := b.Id
	b.Id = ""
	b.Address = &ledgerv1.Address{Line: line, City: city, Zip: zip, State: state, CountryCode: country}
	l.asked("moved")
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_BuyerUpdated{BuyerUpdated: &ledgerv1.BuyerUpdated{BuyerId: id, Buyer: b}}})
}
