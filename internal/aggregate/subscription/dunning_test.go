package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// step is the day of a re-attempt of the payment that was due in February.
func step(k int) time.Time { return feb.Add(time.Duration(3*k) * day) }

// failed is past due after k soft re-attempts in vain.
func failed(k int) commands {
	cs := with(due(), decline(feb, 2, 1, soft))
	for i := 1; i <= k; i++ {
		cs = with(cs, wake(step(i)), decline(step(i), 2, uint32(i+1), soft))
	}
	return cs
}

func TestDunning(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "the due payment is declined", given: due(), when: decline(feb, 2, 1, soft), status: subscription.PastDue,
			then: events{declined(2, 2, 1, 0, soft, step(1))}},
		{name: "nothing before day 3", given: failed(0), when: wake(step(1).Add(-1)), status: subscription.PastDue},
		{name: "day 3", given: failed(0), when: wake(step(1)), then: events{requested(2, 2, 1, 4700, feb)}},
		{name: "day 3 in vain", given: with(failed(0), wake(step(1))), when: decline(step(1).Add(time.Hour), 2, 2, soft),
			then: events{declined(3, 2, 2, 1, soft, step(2))}},
		{name: "day 6", given: failed(1), when: wake(step(2)), then: events{requested(2, 3, 2, 4700, feb)}},
		{name: "day 9", given: failed(2), when: wake(step(3)), then: events{requested(2, 4, 3, 4700, feb)}},
		{name: "recovers on the second re-attempt", given: with(failed(1), wake(step(2))), when: settle(step(2), 2, 3, 4700), status: subscription.Active,
			then: events{succeeded(4, 2, 3, 2, 4700, 9999, mar)}},
		{name: "the fourth failure cancels in the same append", given: with(failed(2), wake(step(3))), when: decline(step(3), 2, 4, soft), status: subscription.Cancelled,
			then: events{declined(5, 2, 4, 3, soft, never), cancelled(6, byDunning)}},
		{name: "a step that passed is left out", given: failed(0), when: wake(step(2).Add(day)), then: events{requested(2, 2, 2, 4700, feb)}},
		{name: "all steps passed", given: failed(0), when: wake(step(3).Add(30 * day)), then: events{requested(2, 2, 3, 4700, feb)}},
		{name: "all steps passed, in vain", given: with(failed(0), wake(step(3).Add(30*day))), when: decline(step(3).Add(30*day), 2, 2, soft), status: subscription.Cancelled,
			then: events{declined(3, 2, 2, 3, soft, never), cancelled(4, byDunning)}},
		{name: "an outcome that came late leaves days out", given: with(due(), pend(feb, 2, 1)), when: decline(step(2).Add(day), 2, 1, soft),
			then: events{declined(2, 2, 1, 0, soft, step(3))}},
		{name: "an outcome after the window", given: with(due(), doubt(feb, 2, 1)), when: decline(step(3), 2, 1, soft), status: subscription.Cancelled,
			then: events{declined(2, 2, 1, 0, soft, never), cancelled(3, byDunning)}},
		{name: "a hard outcome after the window", given: with(due(), doubt(feb, 2, 1)), when: decline(step(3), 2, 1, hard), status: subscription.Cancelled,
			then: events{declined(2, 2, 1, 0, hard, never), cancelled(3, byDunning)}},
		{name: "the window does not end while an attempt is open", given: with(failed(2), wake(step(3)), doubt(step(3), 2, 4)), when: wake(step(5)), status: subscription.PastDue},
		{name: "the next number counts its days anew", given: with(failed(0), wake(step(1)), settle(step(1), 2, 2, 4700), wake(mar)), when: decline(mar, 3, 1, soft), status: subscription.PastDue,
			then: events{{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
				OrderId: orders + 4, PayNumber: 3, Attempt: 1, Amounts: price(4700), Category: soft,
				OriginalOrderId: orders + 1, NextAttemptAt: at(mar.Add(3 * day))}}}}},
	})
}

func TestHardDeclines(t *testing.T) {
	t.Parallel()
	given := with(due(), decline(feb, 2, 1, hard))
	run(t, []scenario{
		{name: "hard: no more attempts", given: due(), when: decline(feb, 2, 1, hard), status: subscription.PastDue,
			then: events{declined(2, 2, 1, 0, hard, never)}},
		{name: "the buyer has to act: no more attempts", given: due(), when: decline(feb, 2, 1, buyer), status: subscription.PastDue,
			then: events{declined(2, 2, 1, 0, buyer, never)}},
		{name: "nothing on day 3", given: given, when: wake(step(1)), status: subscription.PastDue},
		{name: "nothing just before day 9", given: given, when: wake(step(3).Add(-1)), status: subscription.PastDue},
		{name: "the window ends on day 9", given: given, when: wake(step(3)), status: subscription.Cancelled,
			then: events{cancelled(3, byDunning)}},
		{name: "hard on a re-attempt", given: with(failed(0), wake(step(1))), when: decline(step(1), 2, 2, hard), status: subscription.PastDue,
			then: events{declined(3, 2, 2, 1, hard, never)}},
		{name: "hard on the last day", given: with(failed(2), wake(step(3))), when: decline(step(3), 2, 4, hard), status: subscription.Cancelled,
			then: events{declined(5, 2, 4, 3, hard, never), cancelled(6, byDunning)}},
		{name: "a stop order cancels at once", given: due(), status: subscription.Cancelled,
			when: subscription.DeclinePayment{Now: feb, Number: 2, Attempt: 1, Category: soft, StopOrder: true},
			then: events{declined(2, 2, 1, 0, soft, never), cancelled(3, byDunning)}},
		{name: "a stop order on the first payment", given: commands{start(terms(subscription.Recurring))}, status: subscription.Failed,
			when: subscription.DeclinePayment{Now: t0, Number: 1, Attempt: 1, Category: hard, StopOrder: true},
			then: events{declined(1, 1, 1, 0, hard, never)}},
	})
	s := after(t, given...)
	equal(t, "stopped", s.Stopped, true)
	equal(t, "due at the end of the window", s.Due(feb), step(3))
}

func TestManualRebillKeepsTheStep(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "before day 3", given: failed(0), when: rebill(feb.Add(day)), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "before day 6", given: failed(1), when: rebill(step(1).Add(day)), then: events{requested(2, 3, 1, 4700, feb)}},
		{name: "in vain: the schedule goes on", given: with(failed(1), rebill(step(1).Add(day))), when: decline(step(1).Add(day), 2, 3, soft),
			then: events{declined(4, 2, 3, 1, soft, step(2))}},
		{name: "in vain, then day 6", given: with(failed(1), rebill(step(1).Add(day)), decline(step(1).Add(day), 2, 3, soft)), when: wake(step(2)),
			then: events{requested(2, 4, 2, 4700, feb)}},
		{name: "proven absent: the step is kept", given: with(failed(0), wake(step(1)), doubt(step(1), 2, 2), absent(step(1).Add(time.Hour), 2, 2)), when: wake(step(1).Add(time.Hour)),
			then: events{requested(2, 3, 1, 4700, feb)}},
		{name: "proven absent after day 6: the step is kept", given: with(failed(0), wake(step(1)), doubt(step(1), 2, 2), absent(step(2).Add(day), 2, 2)), when: wake(step(2).Add(day)),
			then: events{requested(2, 3, 1, 4700, feb)}},
		{name: "proven absent after the window, then declined", status: subscription.Cancelled,
			given: with(failed(0), wake(step(1)), doubt(step(1), 2, 2), absent(step(4), 2, 2), wake(step(4))),
			when:  decline(step(4), 2, 3, soft), then: events{declined(3, 2, 3, 1, soft, never), cancelled(4, byDunning)}},
	})
}

// A caller who asked for less does not expect the re-attempts to ask for more.
func TestReattemptsAskForWhatWasAsked(t *testing.T) {
	t.Parallel()
	less := with(bought(), subscription.Rebill{Now: feb, Amounts: price(1000)}, decline(feb, 2, 1, soft))
	run(t, []scenario{
		{name: "by itself", given: less, when: wake(step(1)), then: events{requested(2, 2, 1, 1000, feb)}},
		{name: "by hand, the whole price", given: less, when: rebill(feb.Add(day)), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "next month", given: with(less, wake(step(1)), settle(step(1), 2, 2, 1000)), when: wake(mar), then: events{requested(3, 1, 0, 4700, mar)}},
	})
}
