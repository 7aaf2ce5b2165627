package aggregatetest

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// replanned are lives that somebody wanted to go on otherwise.
func replanned() []story {
	soft, hard := ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	return []story{
		{"monthly, paused over a due date, rebilled", func(l *life) {
			l.begin(terms(recurring))
			l.later(10 * day)
			l.paused()
			missed := l.instant(2)
			l.at, l.skipped = missed.Add(5*day), 1
			l.resumed(l.instant(2), l.instant(2))
			l.skips(missed, missed)
			l.rebilled(2)
		}},
		{"monthly, paused while past due, resumed", func(l *life) {
			l.begin(terms(recurring))
			l.awaited(2)
			l.requested(2, 1, 0)
			l.declined(2, 1, 0, soft, 3*day)
			l.later(day)
			l.paused()
			l.later(6 * day)
			l.resumed(l.instant(2), l.at)
			l.requested(2, 2, 2)
			l.succeeded(2, 2, 2)
		}},
		{"monthly, paused before it was sent", func(l *life) {
			l.begin(terms(recurring))
			l.awaited(2)
			l.requested(2, 1, 0)
			l.paused()
			l.later(30 * time.Minute)
			l.notCharged(2, 1, "absent")
			missed := l.instant(2)
			l.skipped = 1
			l.later(day)
			l.resumed(l.instant(2), l.instant(2))
			l.skips(missed, missed)
			l.awaited(2)
			l.requested(2, 2, 0)
			l.succeeded(2, 2, 0)
		}},
		{"trial, extended, rebilled", func(l *life) {
			l.begin(terms(recurring, trial(14, amounts("USD", 900, 0, 0, 100))))
			l.later(day)
			l.rescheduled(l.due.Add(7*day), false)
			l.rebilled(2)
			l.rebilled(3)
		}},
		{"monthly, moved forward alone, rebilled", func(l *life) {
			l.begin(terms(recurring))
			l.later(day)
			l.rescheduled(l.due.Add(-7*day), true)
			l.at = l.due.Add(2 * time.Second)
			l.wake()
			l.requested(2, 1, 0)
			l.succeeded(2, 1, 0)
			l.rebilled(3)
		}},
		{"monthly, moved with its cancellation, cancelled", func(l *life) {
			l.begin(terms(recurring))
			l.later(day)
			l.cancelsAt(l.due)
			l.rescheduled(l.due.Add(3*day), false)
			l.history.Events[len(l.history.Events)-1].GetPaymentRescheduled().CancelAt = stamp(l.due)
			l.awaited(2)
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_BUYER)
		}},
		{"monthly, cancellation withdrawn, rebilled", func(l *life) {
			l.begin(terms(recurring))
			l.later(10 * day)
			l.cancelsAt(l.due)
			l.later(day)
			l.asked("withdraw-cancellation")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_CancellationWithdrawn{CancellationWithdrawn: &ledgerv1.CancellationWithdrawn{}}})
			l.rebilled(2)
		}},
		{"declined for good, another method", func(l *life) {
			l.begin(terms(recurring))
			l.awaited(2)
			l.requested(2, 1, 0)
			l.declined(2, 1, 0, hard, 0)
			l.later(2 * day)
			l.replaced(1, true)
			l.requested(2, 2, 0)
			l.succeeded(2, 2, 0)
			l.rebilled(3)
		}},
		{"monthly, another method, rebilled", func(l *life) {
			l.begin(terms(recurring))
			l.later(day)
			l.replaced(1, false)
			l.methodStored(1)
			l.rebilled(2)
		}},
		{"monthly, another method refused, rebilled", func(l *life) {
			l.begin(terms(recurring))
			l.later(day)
			before := l.method
			l.replaced(1, false)
			l.outcome("method/1/refused")
			l.method, l.unstored = before, false
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodRefused{PaymentMethodRefused: &ledgerv1.PaymentMethodRefused{
				Replacement: 1, Code: "card_declined", Message: "The card was declined.",
			}}})
			l.rebilled(2)
		}},
		{"monthly, other terms, rebilled", func(l *life) {
			l.begin(terms(recurring, coupon(6, amounts("USD", 4700, 1000, 0, 240))))
			l.later(day)
			l.termsChanged(2, amounts("USD", 5900, 0, 0, 380))
			l.rebilled(2)
			l.awaited(3)
			l.requested(3, 1, 0)
			l.declined(3, 1, 0, soft, 3*day)
			before := l.amounts(3)
			l.later(day)
			l.termsChanged(4, amounts("USD", 3900, 0, 0, 250))
			l.price, l.priced = before, 3 // its re-attempts ask for what it asked for
			l.later(2 * day)
			l.wake()
			l.requested(3, 2, 1)
			l.succeeded(3, 2, 1)
			l.price, l.priced = amounts("USD", 3900, 0, 0, 250), 4
			l.rebilled(4)
		}},
		{"monthly, declined on the merchant's own days", func(l *life) {
			l.begin(terms(recurring))
			l.awaited(2)
			l.requested(2, 1, 0)
			l.history.Events[len(l.history.Events)-1].GetPaymentRequested().DunningDays = []uint32{1, 20}
			l.declined(2, 1, 0, soft, day)
			l.later(day)
			l.wake()
			l.requested(2, 2, 1)
			l.declined(2, 2, 1, soft, 19*day)
			l.later(19 * day)
			l.wake()
			l.requested(2, 3, 2)
			l.declined(2, 3, 2, soft, 0)
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_DUNNING)
		}},
	}
}

// begin starts a life as it is written down today, and makes its first payment.
func (l *life) begin(t *ledgerv1.Terms) int64 {
	l.connection = Connection
	l.start(t, func(s *ledgerv1.SubscriptionStarted) {
		s.Metadata = []*ledgerv1.Pair{{Key: "campaign", Value: "winter"}}
	})
	return l.charged(1)
}

// paused stops charging; nothing is due until it is resumed.
func (l *life) paused() {
	l.asked("pause")
	l.due = time.Time{}
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{Reason: "on holiday"}}})
}

func (l *life) resumed(due, attempt time.Time) {
	l.asked("resume")
	l.due = attempt
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionResumed{SubscriptionResumed: &ledgerv1.SubscriptionResumed{
		NextDue: stamp(due), NextAttemptAt: stamp(attempt),
	}}})
}

// skips says that one period passed, and that what it was to pay is due next.
func (l *life) skips(first, last time.Time) {
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PeriodsSkipped{PeriodsSkipped: &ledgerv1.PeriodsSkipped{
		Count: 1, First: stamp(first), Last: stamp(last), NextDue: stamp(l.due),
	}}})
}

// rescheduled moves the next payment, alone or with the ones after it.
func (l *life) rescheduled(due time.Time, alone bool) {
	e := &ledgerv1.PaymentRescheduled{NextDue: stamp(due), PreviousDue: stamp(l.due)}
	if !alone {
		e.Anchor = stamp(due)
		l.anchor, l.anchored = due, int(l.paid)+1
	}
	l.asked("reschedule")
	l.due = due
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: e}})
}

// cancelsAt has the buyer leave at an instant to come.
func (l *life) cancelsAt(at time.Time) {
	l.asked("cancel")
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_CancellationScheduled{CancellationScheduled: &ledgerv1.CancellationScheduled{
		CancelAt: timestamppb.New(at), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER,
	}}})
}

// replaced gives another card, which the gateway has yet to store or, at once, to charge.
func (l *life) replaced(n uint32, charged bool) {
	l.asked("replace-method")
	l.method, l.unstored = &ledgerv1.PaymentMethod{Reference: "pm_" + l.id + "_2", Brand: "mastercard", Last4: "4444"}, true
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodReplaced{PaymentMethodReplaced: &ledgerv1.PaymentMethodReplaced{
		Replacement: n, PaymentMethodToken: "tok_" + l.id + "_2", Gateway: "sandbox", Processor: l.processor,
		Key: Merchant + "-" + l.id + "-method-1", Charged: charged,
	}}})
}

func (l *life) methodStored(n uint32) {
	l.outcome("method/%d/stored", n)
	l.unstored = false
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodStored{PaymentMethodStored: &ledgerv1.PaymentMethodStored{
		Replacement: n, Method: proto.CloneOf(l.method),
	}}})
}

// termsChanged asks for other amounts from a number on.
func (l *life) termsChanged(from uint32, price *ledgerv1.Amounts) {
	l.asked(fmt.Sprint("change-terms-", from))
	l.price, l.priced = price, from
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_TermsChanged{TermsChanged: &ledgerv1.TermsChanged{
		FromPayNumber: from, Amounts: proto.CloneOf(price), ConsentReference: "mail of 1 February 2026",
	}}})
}
