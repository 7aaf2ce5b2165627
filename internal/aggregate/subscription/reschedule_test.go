package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// move moves the next payment and the ones after it, moveAlone it alone.
func move(now, due time.Time) command { return subscription.Reschedule{Now: now, Due: due} }
func moveAlone(now, due time.Time) command {
	return subscription.Reschedule{Now: now, Due: due, KeepAnchor: true}
}

// moved is told with the anchor and the cancellation that moved too, if they did.
func moved(before, due, anchor, cancelAt time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: &ledgerv1.PaymentRescheduled{
		PreviousDue: at(before), NextDue: at(due), Anchor: at(anchor), CancelAt: at(cancelAt),
	}}}
}

func TestReschedule(t *testing.T) {
	t.Parallel()
	d := func(m time.Month, day int) time.Time { return date(2026, m, day) }
	feb10, mar10 := d(time.February, 10), d(time.March, 10)
	asked := with(bought(), atPeriodEnd(t0))
	sleeping := with(bought(), pause(t0))
	run(t, []scenario{
		{name: "later", given: bought(), when: move(t0, mar10), status: subscription.Active, then: events{moved(feb, mar10, mar10, never)}},
		{name: "earlier", given: bought(), when: move(t0, feb10), then: events{moved(feb, feb10, feb10, never)}},
		{name: "alone", given: bought(), when: moveAlone(t0, mar10), then: events{moved(feb, mar10, never, never)}},
		{name: "to a fraction of a microsecond: as it is stored", given: bought(), when: move(t0, mar10.Add(999)), then: events{moved(feb, mar10, mar10, never)}},
		{name: "nothing at the old instant", given: with(bought(), move(t0, mar10)), when: wake(feb), status: subscription.Active},
		{name: "charged at the new instant", given: with(bought(), move(t0, mar10)), when: wake(mar10), then: events{requested(2, 1, 0, 4700, mar10)}},
		{name: "not before it by hand", given: with(bought(), move(t0, mar10)), when: rebill(feb), refused: "NOT_DUE"},
		{name: "a trial", given: bought(trial(14, 100)), when: move(t0, mar10), status: subscription.Trialing, then: events{moved(t0.Add(14*day), mar10, mar10, never)}},
		{name: "what is due and not charged yet", given: bought(), when: move(feb, mar10), then: events{moved(feb, mar10, mar10, never)}},
		{name: "what is proven absent", given: with(due(), doubt(feb, 2, 1), absent(feb, 2, 1)), when: move(feb, mar10), then: events{moved(feb, mar10, mar10, never)}},
		{name: "what is proven absent is not charged before", given: with(due(), doubt(feb, 2, 1), absent(feb, 2, 1), move(feb, mar10)), when: wake(mar10.Add(-1)), status: subscription.Active},
		{name: "the same instant, with the anchor", given: bought(), when: move(t0, feb), then: events{moved(feb, feb, feb, never)}},

		{name: "a cancellation moves along", given: asked, when: move(t0, mar10), then: events{moved(feb, mar10, mar10, mar10)}},
		{name: "it is not cancelled at the old end", given: with(asked, move(t0, mar10)), when: wake(feb), status: subscription.Active},
		{name: "it is cancelled at the new end", given: with(asked, move(t0, mar10)), when: wake(mar10), status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "paused", given: sleeping, when: move(t0, mar10), status: subscription.Paused, then: events{moved(feb, mar10, mar10, never)}},
		{name: "paused, not charged", given: with(sleeping, move(t0, mar10)), when: wake(mar10), status: subscription.Paused},
		{name: "paused, resumed", given: with(sleeping, move(t0, mar10)), when: resume(feb.Add(day)), status: subscription.Active, then: events{resumed(mar10, mar10)}},

		{name: "to now", given: bought(), when: move(t0, t0), refused: "DUE_RANGE"},
		{name: "to the past", given: bought(), when: move(t0, t0.Add(-1)), refused: "DUE_RANGE"},
		{name: "to never", given: bought(), when: move(t0, never), refused: "DUE_RANGE"},
		{name: "more than ten years ahead", given: bought(), when: move(t0, t0.Add(3661*day)), refused: "DUE_RANGE"},
		{name: "to where it is, alone", given: bought(), when: moveAlone(t0, feb), refused: "UNCHANGED"},
		{name: "to where it was moved", given: with(bought(), move(t0, mar10)), when: move(t0, mar10), refused: "UNCHANGED"},
		{name: "while an attempt is open", given: due(), when: move(feb, mar10), refused: "PAYMENT_IN_PROGRESS"},
		{name: "in doubt", given: with(due(), doubt(feb, 2, 1)), when: move(feb, mar10), refused: "PAYMENT_IN_PROGRESS"},
		{name: "past due", given: failed(0), when: move(feb, mar10), refused: "STATE_INVALID"},
		{name: "past due and paused", given: with(failed(0), pause(feb)), when: move(feb, mar10), refused: "STATE_INVALID"},
		{name: "pending", given: commands{start(terms(recurring))}, when: move(t0, mar10), refused: "STATE_INVALID"},
		{name: "after the end", given: with(bought(), cancel(t0)), when: move(t0, mar10), refused: "STATE_INVALID"},
		{name: "at the end that was asked for, before the ledger woke", given: asked, when: move(feb, mar10), refused: "STATE_INVALID"},
		{name: "on the gateway's schedule", given: byGateway(), when: move(t0, mar10), refused: "GATEWAY_SCHEDULE"},
	})
	s := after(t, with(bought(trial(14, 100)), move(t0, mar10))...)
	equal(t, "due", s.Due(t0), mar10)
	equal(t, "entitled until", s.PaidThrough, mar10)
	equal(t, "the trial as sold", s.Terms().Initial.Days, uint32(14))
}

// What follows a payment that was moved, once it is made at its new instant.
func TestAfterAMove(t *testing.T) {
	t.Parallel()
	d := func(m time.Month, day int) time.Time { return date(2026, m, day) }
	feb10, feb20, mar10, apr10 := d(time.February, 10), d(time.February, 20), d(time.March, 10), d(time.April, 10)
	leap := date(2028, time.February, 29)
	yearlyFrom := commands{startAt(date(2027, time.June, 1), terms(recurring, every(ledgerv1.Period_PERIOD_YEARLY))), settle(date(2027, time.June, 1), 1, 1, 4700)}
	monthEnd := commands{startAt(date(2028, time.January, 31), terms(recurring)), settle(date(2028, time.January, 31), 1, 1, 4700)}
	for _, c := range []struct {
		name  string
		given commands
		want  []time.Time // the instants after the moved one
	}{
		{"later", with(bought(), move(t0, mar10)), []time.Time{apr10, d(time.May, 10)}},
		{"earlier", with(bought(), move(t0, feb10)), []time.Time{mar10, apr10}},
		{"to the end of a month", with(bought(), move(t0, mar)), []time.Time{apr, may}},
		{"alone, earlier: its period is not paid twice", with(bought(), moveAlone(t0, feb10)), []time.Time{mar, apr}},
		{"alone, later", with(bought(), moveAlone(t0, mar10)), []time.Time{mar, apr}},
		{"alone, over the next instant", with(bought(), moveAlone(t0, apr10)), []time.Time{apr, may}},
		{"alone, earlier, twice", with(bought(), moveAlone(t0, feb10), moveAlone(t0, feb20)), []time.Time{mar, apr}},
		{"alone, later, then earlier", with(bought(), moveAlone(t0, mar10), moveAlone(t0, feb10)), []time.Time{mar, apr}},
		{"alone, and back", with(bought(), moveAlone(t0, feb10), moveAlone(t0, feb)), []time.Time{mar, apr}},
		{"alone, then with the anchor", with(bought(), moveAlone(t0, feb10), move(t0, feb20)), []time.Time{d(time.March, 20), d(time.April, 20)}},
		{"a long trial, alone, then with the anchor", with(bought(trial(60, 100)), moveAlone(t0, feb10), move(t0, feb20)), []time.Time{d(time.March, 20), d(time.April, 20)}},
		{"with the anchor, then alone", with(bought(), move(t0, mar10), moveAlone(t0, feb20)), []time.Time{apr10, d(time.May, 10)}},
		{"a trial", with(bought(trial(14, 100)), move(t0, mar10)), []time.Time{apr10, d(time.May, 10)}},
		{"a trial alone, longer", with(bought(trial(14, 100)), moveAlone(t0, feb20)), []time.Time{d(time.March, 14), d(time.April, 14)}},
		{"a trial alone, shorter", with(bought(trial(14, 100)), moveAlone(t0, feb10)), []time.Time{d(time.March, 14), d(time.April, 14)}},
		{"yearly, to a leap day", with(yearlyFrom, move(date(2027, time.July, 1), leap)), []time.Time{date(2029, time.February, 28), date(2030, time.February, 28), date(2031, time.February, 28), date(2032, time.February, 29)}},
		{"on a leap day, moved alone", with(monthEnd, moveAlone(date(2028, time.February, 1), date(2028, time.February, 20))), []time.Time{date(2028, time.March, 31), date(2028, time.April, 30)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			l.do(c.given...)
			var got []time.Time
			for range c.want {
				now := l.state.NextDue
				l.do(wake(now))
				a, _ := l.state.OpenAttempt()
				l.do(settle(now, a.Number, a.Attempt, 4700))
				got = append(got, l.state.NextDue)
			}
			equal(t, "instants", got, c.want)
		})
	}
}

// Recurring installments over the end of their year, with a payment moved.
func TestRescheduledCycles(t *testing.T) {
	t.Parallel()
	jan := date(2027, time.January, 31)
	jan10, feb5, feb10, mar10 := date(2027, time.January, 10), date(2027, time.February, 5), date(2027, time.February, 10), date(2027, time.March, 10)
	// lived goes on to pay what is due until so many are paid, and returns when those were due.
	lived := func(l *life, n uint32) (got []time.Time) {
		for l.state.Paid < n {
			now := l.state.NextDue
			got = append(got, now)
			l.do(wake(now))
			a, _ := l.state.OpenAttempt()
			l.do(settle(now, a.Number, a.Attempt, 4700))
		}
		return append(got, l.state.NextDue)
	}
	for _, c := range []struct {
		name string
		paid uint32 // before the moves
		move commands
		want []time.Time
	}{
		{"not moved", 2, nil, []time.Time{jan, date(2027, time.February, 28), date(2028, time.January, 31)}},
		{"the first of a cycle", 2, commands{move(mar, feb10)}, []time.Time{feb10, mar10, date(2028, time.February, 10)}},
		{"the first of a cycle, alone", 2, commands{moveAlone(mar, feb10)}, []time.Time{feb10, date(2027, time.February, 28), date(2028, time.January, 31)}},
		{"the first of a cycle, alone, and a pause that it outlasts", 2, commands{moveAlone(mar, feb10), pause(mar), resume(mar)},
			[]time.Time{feb10, date(2027, time.February, 28), date(2028, time.January, 31)}},
		{"the first of a cycle, alone and then with the anchor", 2, commands{moveAlone(mar, feb5), move(mar, feb10)}, []time.Time{feb10, mar10, date(2028, time.February, 10)}},
		{"the first of a cycle, earlier", 2, commands{move(mar, jan10)}, []time.Time{jan10, feb10, date(2028, time.January, 10)}},
		{"the first of a cycle, earlier, alone and then with the anchor", 2, commands{moveAlone(mar, feb5), move(mar, jan10)}, []time.Time{jan10, feb10, date(2028, time.January, 10)}},
		{"the last of a cycle", 1, commands{move(t0, date(2026, time.March, 10))}, []time.Time{date(2026, time.March, 10), feb10, mar10, feb10.AddDate(1, 0, 0)}},
		{"the last of a cycle, beyond its year", 1, commands{move(t0, mar10)}, []time.Time{mar10, date(2027, time.April, 10), date(2027, time.May, 10), date(2028, time.April, 10)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			l.do(start(terms(recurringInstallments, yearly(2))), settle(t0, 1, 1, 4700))
			lived(l, c.paid)
			l.do(c.move...)
			equal(t, "instants", lived(l, 4), c.want)
		})
	}
}

// A payment that was moved alone and then paused over goes back to the anchor.
func TestPauseOverAMovedPayment(t *testing.T) {
	t.Parallel()
	mar10 := date(2026, time.March, 10)
	early := date(2026, time.February, 10)
	run(t, []scenario{
		{name: "moved later, resumed before the next anchor", given: with(bought(), moveAlone(t0, mar10), pause(t0)), when: resume(mar10.Add(day)), status: subscription.Active,
			then: events{resumed(mar, mar)}},
		{name: "moved later, resumed after it", given: with(bought(), moveAlone(t0, mar10), pause(t0)), when: resume(mar.Add(day)), status: subscription.Active,
			then: events{resumed(apr, apr), skipped(1, mar, mar, apr)}},
		{name: "moved earlier, resumed before its own anchor", given: with(bought(), moveAlone(t0, early), pause(t0)), when: resume(early.Add(day)), status: subscription.Active,
			then: events{resumed(feb, feb)}},
		{name: "moved earlier, resumed after it", given: with(bought(), moveAlone(t0, early), pause(t0)), when: resume(feb.Add(day)), status: subscription.Active,
			then: events{resumed(mar, mar), skipped(1, feb, feb, mar)}},
	})
}
