package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func pause(now time.Time) command  { return subscription.Pause{Now: now, Reason: "holiday"} }
func resume(now time.Time) command { return subscription.Resume{Now: now} }

func resumeBlocked(now time.Time) command {
	return subscription.Resume{Now: now, Circumstances: subscription.Circumstances{Blocked: true}}
}

func paused() *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{Reason: "holiday"}}}
}

func resumed(due, attempt time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionResumed{SubscriptionResumed: &ledgerv1.SubscriptionResumed{
		NextDue: at(due), NextAttemptAt: at(attempt),
	}}}
}

func TestPause(t *testing.T) {
	t.Parallel()
	trialing := bought(trial(14, 100))
	stopped := with(due(), decline(feb, 2, 1, hard))
	run(t, []scenario{
		{name: "active", given: bought(), when: pause(t0.Add(day)), status: subscription.Paused, then: events{paused()}},
		{name: "trialing", given: trialing, when: pause(t0.Add(day)), status: subscription.Paused, then: events{paused()}},
		{name: "past due", given: failed(0), when: pause(feb.Add(day)), status: subscription.Paused, then: events{paused()}},
		{name: "pending", given: commands{start(terms(recurring))}, when: pause(t0), refused: "STATE_INVALID"},
		{name: "twice", given: with(bought(), pause(t0)), when: pause(t0), refused: "STATE_INVALID"},
		{name: "after the end", given: with(bought(), cancel(t0)), when: pause(t0), refused: "STATE_INVALID"},
		{name: "on the gateway's schedule", given: byGateway(), when: pause(t0), refused: "GATEWAY_SCHEDULE"},

		{name: "nothing is charged when due", given: with(bought(), pause(t0)), when: wake(apr), status: subscription.Paused},
		{name: "nor at the end of a trial", given: with(trialing, pause(t0)), when: wake(apr), status: subscription.Paused},
		{name: "nor by hand", given: with(bought(), pause(t0)), when: rebill(feb), refused: "STATE_INVALID"},
		{name: "no re-attempt", given: with(failed(0), pause(feb.Add(day))), when: wake(step(1)), status: subscription.Paused},
		{name: "the window does not end", given: with(stopped, pause(feb.Add(day))), when: wake(step(9)), status: subscription.Paused},

		{name: "ends by a cancellation", given: with(bought(), pause(t0)), when: cancel(t0.Add(day)), status: subscription.Cancelled, then: events{cancelled(2, byBuyer)}},
		{name: "ends when the cancellation does that was asked for before", given: with(bought(), atPeriodEnd(t0), pause(t0)), when: wake(feb), status: subscription.Cancelled,
			then: events{cancelled(2, byMerchant)}},
		{name: "a cancellation is scheduled meanwhile", given: with(bought(), pause(t0)), when: atPeriodEnd(t0), status: subscription.Paused, then: events{scheduled(feb)}},
		{name: "the period is over: cancelled at once", given: with(bought(), pause(t0)), when: atPeriodEnd(feb), status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "ends when the agreement does", given: with(bought(), pause(t0)), when: subscription.LoseAgreement{Now: feb, Code: "1"}, status: subscription.Cancelled,
			then: events{{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: "1"}}}, cancelled(2, byAgreement)}},
		{name: "ends by a chargeback", given: with(bought(), pause(t0)), when: takeBack("d1", 0), status: subscription.Cancelled,
			then: events{withdrawn(2, "d1", 4700, 0), cancelled(3, byChargeback)}},
	})
	s := after(t, with(bought(), pause(t0))...)
	equal(t, "due", s.Due(t0), never)
	equal(t, "remembered", s.Resumes, subscription.Active)
	equal(t, "due with a cancellation", after(t, with(bought(), atPeriodEnd(t0), pause(t0))...).Due(t0), feb)
}

func TestResume(t *testing.T) {
	t.Parallel()
	sleeping := with(bought(), pause(t0.Add(day)))
	pastDue := with(failed(0), pause(feb.Add(day)))
	stopped := with(due(), decline(feb, 2, 1, hard), pause(feb.Add(day)))
	trialing := with(bought(trial(14, 100)), pause(t0))
	rest := with(commands{start(terms(oneTime, trial(7, 100))), settle(t0, 1, 1, 100)}, pause(t0))
	trialEnd := t0.Add(14 * day)
	run(t, []scenario{
		{name: "before the due instant", given: sleeping, when: resume(feb.Add(-1000)), status: subscription.Active, then: events{resumed(feb, feb)}},
		{name: "at the due instant: it has passed", given: sleeping, when: resume(feb), status: subscription.Active,
			then: events{resumed(mar, mar), skipped(1, feb, feb, mar)}},
		{name: "over three due instants", given: sleeping, when: resume(apr.Add(day)), status: subscription.Active,
			then: events{resumed(may, may), skipped(3, feb, apr, may)}},
		{name: "and then nothing before the new instant", given: with(sleeping, resume(apr.Add(day))), when: wake(may.Add(-1)), status: subscription.Active},
		{name: "and then the same number", given: with(sleeping, resume(apr.Add(day))), when: wake(may), then: events{requested(2, 1, 0, 4700, may)}},
		{name: "over the end of a trial", given: trialing, when: resume(t0.Add(20 * day)), status: subscription.Trialing,
			then: events{resumed(trialEnd.AddDate(0, 1, 0), trialEnd.AddDate(0, 1, 0)), skipped(1, trialEnd, trialEnd, trialEnd.AddDate(0, 1, 0))}},
		{name: "the rest of a one-time price: now", given: rest, when: resume(mar), status: subscription.Trialing, then: events{resumed(mar, mar)}},
		{name: "the rest of a one-time price, charged", given: with(rest, resume(mar)), when: wake(mar), then: events{requested(2, 1, 0, 4700, mar)}},

		{name: "past due: at once, before day 3", given: pastDue, when: resume(feb.Add(2 * day)), status: subscription.PastDue,
			then: events{resumed(feb, feb.Add(2*day)), requested(2, 2, 0, 4700, feb)}},
		{name: "past due: at once, after day 6", given: pastDue, when: resume(step(2).Add(day)), status: subscription.PastDue,
			then: events{resumed(feb, step(2).Add(day)), requested(2, 2, 2, 4700, feb)}},
		{name: "past due, in vain after the window", given: with(pastDue, resume(step(5))), when: decline(step(5), 2, 2, soft), status: subscription.Cancelled,
			then: events{declined(3, 2, 2, 3, soft, never), cancelled(4, byDunning)}},
		{name: "past due, recovered after two periods", given: with(pastDue, resume(apr.Add(day))), when: settle(apr.Add(day), 2, 2, 4700), status: subscription.Active,
			then: events{succeeded(3, 2, 2, 3, 4700, 9999, may), skipped(2, mar, apr, may)}},
		{name: "past due with a method that must not be tried", given: stopped, when: resume(feb.Add(2 * day)), status: subscription.PastDue,
			then: events{resumed(feb, never)}},
		{name: "that method is not tried later", given: with(stopped, resume(feb.Add(2*day))), when: wake(step(3).Add(-1)), status: subscription.PastDue},
		{name: "its window ends as ever", given: with(stopped, resume(feb.Add(2*day))), when: wake(step(3)), status: subscription.Cancelled, then: events{cancelled(3, byDunning)}},
		{name: "its window is over", given: with(stopped, resume(apr)), when: wake(apr), status: subscription.Cancelled, then: events{cancelled(3, byDunning)}},
		{name: "another method was given meanwhile", given: with(stopped, replace(step(1), 1)), when: resume(step(1)), status: subscription.PastDue,
			then: events{resumed(feb, step(1)), requested(2, 2, 0, 4700, feb)}},
		{name: "past due, connection blocked", given: pastDue, when: resumeBlocked(step(1)), status: subscription.PastDue, then: events{resumed(feb, step(1))}},
		{name: "past due, connection blocked, unblocked", given: with(pastDue, resumeBlocked(step(1))), when: wake(step(1).Add(time.Hour)), then: events{requested(2, 2, 1, 4700, feb)}},
		{name: "past due, disputed funds held", given: with(pastDue, hold("d1")), when: resume(step(1)), status: subscription.PastDue, then: events{resumed(feb, step(1))}},

		{name: "what is not paused", given: bought(), when: resume(t0), refused: "STATE_INVALID"},
		{name: "twice", given: with(sleeping, resume(t0.Add(day))), when: resume(t0.Add(day)), refused: "STATE_INVALID"},
	})
}

// A pause withdraws what was not sent. An earlier run may have sent it all the same: the look-up tells.
func TestPauseWithdraws(t *testing.T) {
	t.Parallel()
	now := feb.Add(time.Hour)
	unsent := with(due(), pause(feb.Add(time.Minute)))
	last := commands{start(terms(installments, payments(2))), settle(t0, 1, 1, 4700), wake(feb), pause(feb)}
	stop := subscription.DeclinePayment{Now: now, Number: 2, Attempt: 1, Category: soft, StopOrder: true}
	run(t, []scenario{
		{name: "found charged", given: unsent, when: settle(now, 2, 1, 4700), status: subscription.Paused, then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{name: "found charged, the last one: completed", given: last, when: settle(now, 2, 1, 4700), status: subscription.Completed,
			then: events{succeeded(2, 2, 1, 0, 4700, 0, never), completed(2)}},
		{name: "declined", given: unsent, when: decline(now, 2, 1, soft), status: subscription.Paused, then: events{declined(2, 2, 1, 0, soft, never)}},
		{name: "declined, then resumed past due", given: with(unsent, decline(now, 2, 1, soft)), when: resume(now), status: subscription.PastDue,
			then: events{resumed(feb, now), requested(2, 2, 0, 4700, feb)}},
		{name: "declined for good, then resumed", given: with(unsent, decline(now, 2, 1, hard)), when: resume(now), status: subscription.PastDue, then: events{resumed(feb, never)}},
		{name: "declined after the window: not the end", given: unsent, when: decline(step(9), 2, 1, soft), status: subscription.Paused, then: events{declined(2, 2, 1, 0, soft, never)}},
		{name: "declined after the window, then resumed: once more", given: with(unsent, decline(step(9), 2, 1, soft)), when: resume(step(9)), status: subscription.PastDue,
			then: events{resumed(feb, step(9)), requested(2, 2, 3, 4700, feb)}},
		{name: "a stop order: the end", given: unsent, when: stop, status: subscription.Cancelled, then: events{declined(2, 2, 1, 0, soft, never), cancelled(3, byDunning)}},
		{name: "absent", given: unsent, when: absent(now, 2, 1), status: subscription.Paused, then: events{notCharged(2, 1, "absent")}},
		{name: "absent: nothing is tried", given: with(unsent, absent(now, 2, 1)), when: wake(mar), status: subscription.Paused},
		{name: "absent, then resumed: the period is skipped", given: with(unsent, absent(now, 2, 1)), when: resume(now), status: subscription.Active,
			then: events{resumed(mar, mar), skipped(1, feb, feb, mar)}},
		{name: "resumed before it is known", given: unsent, when: resume(now), status: subscription.Active, then: events{resumed(feb, feb)}},
		{name: "resumed, then found charged", given: with(unsent, resume(now)), when: settle(now, 2, 1, 4700), status: subscription.Active, then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{name: "resumed: nothing new before it is known", given: with(unsent, resume(now)), when: wake(now.Add(day)), status: subscription.Active},
		{name: "resumed, then absent: tried at once", given: with(unsent, resume(now), absent(now, 2, 1)), when: wake(now), then: events{requested(2, 2, 0, 4700, feb)}},
	})
	s := after(t, unsent...)
	if a, ok := s.OpenAttempt(); !ok || !a.Withdrawn || !s.InDoubt() {
		t.Errorf("the intent was not withdrawn: %+v", a)
	}
	equal(t, "looked up", s.Due(feb.Add(time.Minute)), feb.Add(90*time.Second))
}

// What the gateway has is settled, pause or not.
func TestPauseSettlesWhatWasSent(t *testing.T) {
	t.Parallel()
	now := feb.Add(time.Hour)
	for name, sent := range map[string]commands{
		"pending": with(due(), pend(feb, 2, 1), pause(feb)),
		"unknown": with(due(), doubt(feb, 2, 1), pause(feb)),
	} {
		a, ok := after(t, sent...).OpenAttempt()
		if !ok || a.Withdrawn {
			t.Errorf("%s: got %+v, want an open attempt that is not withdrawn", name, a)
		}
		run(t, []scenario{
			{name: name + ", paid", given: sent, when: settle(now, 2, 1, 4700), status: subscription.Paused, then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
			{name: name + ", paid, resumed", given: with(sent, settle(now, 2, 1, 4700)), when: resume(now), status: subscription.Active, then: events{resumed(mar, mar)}},
			{name: name + ", declined", given: sent, when: decline(now, 2, 1, soft), status: subscription.Paused, then: events{declined(2, 2, 1, 0, soft, never)}},
		})
	}
}

// A cycle of recurring installments whose first payment a pause was in the way of begins with that payment.
func TestPauseOverABeginningCycle(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	s := &scenarioOf{t, l}
	jan, mar31, apr30 := date(2027, time.January, 31), date(2027, time.March, 31), date(2027, time.April, 30)
	l.do(start(terms(recurringInstallments, yearly(2))), settle(t0, 1, 1, 4700), wake(feb), settle(feb, 2, 1, 4700))
	equal(t, "next cycle", l.state.NextDue, jan)
	l.do(pause(jan.Add(-day)))
	s.expect(resume(mar31.Add(-day)), events{resumed(mar31, mar31), skipped(2, jan, date(2027, time.February, 28), mar31)})
	l.do(wake(mar31))
	s.expect(settle(mar31, 3, 1, 4700), events{succeeded(3, 3, 1, 0, 4700, 1, apr30)})
	l.do(wake(apr30))
	s.expect(settle(apr30, 4, 1, 4700), events{succeeded(4, 4, 1, 0, 4700, 0, date(2028, time.March, 31))})
}
