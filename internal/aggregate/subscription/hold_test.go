package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// withPolicy is a withdrawal under another policy than to cancel.
func withPolicy(c command, p ledgerv1.ChargebackPolicy) command {
	cb := c.(subscription.Chargeback)
	cb.Policies = &ledgerv1.Policies{Chargeback: p}
	return cb
}

// hold withdraws the first payment from a merchant who wants to wait how the dispute ends.
func hold(dispute string) command { return withPolicy(takeBack(dispute, 0), holds) }

func withdrawnUnder(p ledgerv1.ChargebackPolicy, order int64, id string, minor int64, over int64) *ledgerv1.Event {
	e := withdrawn(order, id, minor, over)
	e.GetDisputeFundsWithdrawn().Policy = p
	return e
}

func TestHold(t *testing.T) {
	t.Parallel()
	held := with(bought(), hold("d1"))
	won1 := closeDispute("d1", won)
	lost1 := closeDispute("d1", lost)
	part := withPolicy(takeBack("d2", 1000), holds)
	run(t, []scenario{
		{name: "withdrawn: told, and it lives", given: bought(), when: hold("d1"), status: subscription.Active, then: events{withdrawnUnder(holds, 2, "d1", 4700, 0)}},
		{name: "withdrawn again", given: held, when: hold("d1"), status: subscription.Active},
		{name: "nothing is charged when due", given: held, when: wake(feb), status: subscription.Active},
		{name: "nor by hand", given: held, when: rebill(feb), refused: "PAYMENT_HELD"},
		{name: "an inquiry holds nothing", given: with(bought(), withPolicy(dispute("d1", inquiryStage), holds)), when: wake(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "reinstated: held until it is closed", given: with(held, giveBack("d1")), when: wake(feb), status: subscription.Active},
		{name: "won", given: held, when: won1, status: subscription.Active, then: events{closed("d1", won)}},
		{name: "won: charged at once", given: with(held, won1), when: wake(mar.Add(day)), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "won: what passed is skipped", given: with(held, won1, wake(mar.Add(day))), when: settle(mar.Add(day), 2, 1, 4700), status: subscription.Active,
			then: events{succeeded(3, 2, 1, 0, 4700, 9999, apr), skipped(1, mar, mar, apr)}},
		{name: "won before anything was due", given: with(held, won1), when: wake(feb.Add(-1)), status: subscription.Active},
		{name: "lost", given: held, when: lost1, status: subscription.Cancelled, then: events{closed("d1", lost), cancelled(3, byChargeback)}},
		{name: "lost, told before the withdrawal", given: with(bought(), lost1), when: hold("d1"), status: subscription.Cancelled,
			then: events{withdrawnUnder(holds, 2, "d1", 4700, 0), cancelled(3, byChargeback)}},
		{name: "won, told before the withdrawal: nothing is held", given: with(bought(), won1, hold("d1")), when: wake(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "lost after the end", given: with(held, cancel(feb)), when: lost1, status: subscription.Cancelled, then: events{closed("d1", lost)}},
		{name: "one of two is won: held", given: with(held, part, won1), when: wake(feb), status: subscription.Active},
		{name: "both are won", given: with(held, part, won1, closeDispute("d2", won)), when: wake(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "one is won, the other lost", given: with(held, part, won1), when: closeDispute("d2", lost), status: subscription.Cancelled,
			then: events{closed("d2", lost), cancelled(4, byChargeback)}},
		{name: "a cancellation takes effect", given: with(held, atPeriodEnd(t0.Add(3*day))), when: wake(feb), status: subscription.Cancelled, then: events{cancelled(3, byMerchant)}},
		{name: "paused too: won", given: with(held, pause(t0.Add(3*day)), won1), when: wake(feb), status: subscription.Paused},
		{name: "paused too: resumed", given: with(held, pause(t0.Add(3*day)), resume(t0.Add(4*day))), when: wake(feb), status: subscription.Active},
		{name: "a trial", given: with(bought(trial(14, 4700)), hold("d1")), when: wake(feb), status: subscription.Trialing},
	})
	s := after(t, held...)
	equal(t, "held", s.Held(), true)
	equal(t, "due", s.Due(t0), never)
	equal(t, "due when won", after(t, with(held, won1)...).Due(never), feb)
}

// Dunning waits while funds are held, and goes on where it was.
func TestHoldWhilePastDue(t *testing.T) {
	t.Parallel()
	closeAt := func(now time.Time) command {
		c := closeDispute("d1", won).(subscription.Chargeback)
		c.Now = now
		return c
	}
	soft1 := with(failed(0), hold("d1"))
	hard1 := with(due(), decline(feb, 2, 1, hard), hold("d1"))
	open := with(due(), hold("d1"))
	run(t, []scenario{
		{name: "no re-attempt", given: soft1, when: wake(step(1)), status: subscription.PastDue},
		{name: "the window does not end", given: hard1, when: wake(step(9)), status: subscription.PastDue},
		{name: "won within the window: on its day", given: with(soft1, closeAt(feb.Add(day))), when: wake(step(1)), then: events{requested(2, 2, 1, 4700, feb)}},
		{name: "won: not before its day", given: with(soft1, closeAt(feb.Add(day))), when: wake(step(1).Add(-1)), status: subscription.PastDue},
		{name: "won after the window: at once", given: with(soft1, closeAt(step(9))), when: wake(step(9)), then: events{requested(2, 2, 3, 4700, feb)}},
		{name: "won, with a method that must not be tried: the window is over", given: with(hard1, closeAt(step(9))), when: wake(step(9)), status: subscription.Cancelled, then: events{cancelled(4, byDunning)}},
		{name: "an open attempt is settled", given: open, when: settle(feb, 2, 1, 4700), status: subscription.Active, then: events{succeeded(3, 2, 1, 0, 4700, 9999, mar)}},
		{name: "an open attempt is declined after the window: not the end", given: open, when: decline(step(9), 2, 1, soft), status: subscription.PastDue,
			then: events{declined(3, 2, 1, 0, soft, never)}},
		{name: "then won: once more", given: with(open, decline(step(9), 2, 1, soft), closeAt(step(9))), when: wake(step(9)), then: events{requested(2, 2, 3, 4700, feb)}},
		{name: "then won, in vain", given: with(open, decline(step(9), 2, 1, soft), closeAt(step(9)), wake(step(9))), when: decline(step(9), 2, 2, soft), status: subscription.Cancelled,
			then: events{declined(4, 2, 2, 3, soft, never), cancelled(5, byDunning)}},
		{name: "an open attempt is declined for good, then won: the end", given: with(open, decline(step(9), 2, 1, hard), closeAt(step(9))), when: wake(step(9)), status: subscription.Cancelled,
			then: events{cancelled(4, byDunning)}},
	})
	open1 := after(t, with(failed(0), withPolicy(takeBack("d1", 0), ignores), wake(step(1)), closeAt(step(1)))...)
	equal(t, "an attempt under way that nothing held is not followed at once", open1.NextAttempt, never)
	equal(t, "due when won after the window", after(t, with(open, decline(step(9), 2, 1, soft), closeAt(step(10)))...).Due(never), step(10))
}

func TestIgnore(t *testing.T) {
	t.Parallel()
	given := with(bought(), withPolicy(takeBack("d1", 0), ignores))
	run(t, []scenario{
		{name: "withdrawn", given: bought(), when: withPolicy(takeBack("d1", 0), ignores), status: subscription.Active, then: events{withdrawnUnder(ignores, 2, "d1", 4700, 0)}},
		{name: "it goes on", given: given, when: wake(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "lost", given: given, when: closeDispute("d1", lost), status: subscription.Active, then: events{closed("d1", lost)}},
		{name: "lost, told before the withdrawal", given: with(bought(), closeDispute("d1", lost)), when: withPolicy(takeBack("d1", 0), ignores), status: subscription.Active,
			then: events{withdrawnUnder(ignores, 2, "d1", 4700, 0)}},
		{name: "no policy: the end", given: bought(), when: withPolicy(takeBack("d1", 0), 0), status: subscription.Cancelled, then: events{withdrawn(2, "d1", 4700, 0), cancelled(3, byChargeback)}},
	})
}

// What is due through a blocked connection is held: it is looked at every hour, and nothing is stacked.
func TestBlockedConnection(t *testing.T) {
	t.Parallel()
	blocked := func(now time.Time) command {
		return subscription.Wake{Now: now, Circumstances: subscription.Circumstances{Blocked: true}}
	}
	hard1 := with(due(), decline(feb, 2, 1, hard))
	now := mar.Add(10 * day)
	run(t, []scenario{
		{name: "when due", given: bought(), when: blocked(feb), status: subscription.Active},
		{name: "two periods later", given: bought(), when: blocked(now), status: subscription.Active},
		{name: "unblocked: charged at once", given: with(bought(), blocked(feb), blocked(mar)), when: wake(now), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "unblocked: what passed is skipped", given: with(bought(), blocked(feb), blocked(mar), wake(now)), when: settle(now, 2, 1, 4700),
			then: events{succeeded(2, 2, 1, 0, 4700, 9999, apr), skipped(1, mar, mar, apr)}},
		{name: "by hand", given: bought(), when: subscription.Rebill{Now: feb, Circumstances: subscription.Circumstances{Blocked: true}}, refused: "CONNECTION_BLOCKED"},
		{name: "no re-attempt", given: failed(0), when: blocked(step(1)), status: subscription.PastDue},
		{name: "unblocked within the window: the step of the day", given: failed(0), when: wake(step(2).Add(day)), then: events{requested(2, 2, 2, 4700, feb)}},
		{name: "the window does not end", given: hard1, when: blocked(step(5)), status: subscription.PastDue},
		{name: "unblocked: the window ends", given: hard1, when: wake(step(5)), status: subscription.Cancelled, then: events{cancelled(3, byDunning)}},
		{name: "a cancellation takes effect", given: with(bought(), atPeriodEnd(t0)), when: blocked(feb), status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "a first payment expires", given: commands{start(terms(recurring)), pend(t0, 1, 1)}, when: blocked(t0.Add(72 * time.Hour)), status: subscription.Failed, then: events{notCharged(1, 1, "expired")}},
		{name: "what was sent is settled", given: due(), when: subscription.SettlePayment{Now: feb, Number: 2, Attempt: 1, Amount: usd(4700), Circumstances: subscription.Circumstances{Blocked: true}},
			status: subscription.Active, then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
	})
	for _, c := range []struct {
		name  string
		given commands
		from  time.Time // when it was due
	}{{"a rebill", bought(), feb}, {"a re-attempt", failed(0), step(1)}, {"the end of the window", hard1, step(3)}} {
		s := after(t, c.given...)
		ticks := 0
		for now := c.from; now.Before(c.from.Add(2*day)) && ticks < 100; now = s.Due(now) {
			ticks++
			if es, err := blocked(now).Decide(s); err != nil || len(es) > 0 {
				t.Fatalf("%s at %s: got %v, %v; want nothing", c.name, now, es, err)
			}
		}
		equal(t, c.name+": ticks in two days", ticks, 48)
	}
}

// An outage of ten days is in the way of a whole schedule: the day that came last is made up for, and no other.
func TestOutageDuringDunning(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "from day 1 to day 11", given: failed(0), when: wake(feb.Add(11 * day)), then: events{requested(2, 2, 3, 4700, feb)}},
		{name: "from day 4 to day 14", given: failed(1), when: wake(feb.Add(14 * day)), then: events{requested(2, 3, 3, 4700, feb)}},
		{name: "in vain: the end", given: with(failed(1), wake(feb.Add(14*day))), when: decline(feb.Add(14*day), 2, 3, soft), status: subscription.Cancelled,
			then: events{declined(4, 2, 3, 3, soft, never), cancelled(5, byDunning)}},
		{name: "recovered", given: with(failed(1), wake(feb.Add(14*day))), when: settle(feb.Add(14*day), 2, 3, 4700), status: subscription.Active,
			then: events{succeeded(4, 2, 3, 3, 4700, 9999, mar)}},
	})
}
