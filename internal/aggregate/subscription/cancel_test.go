package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func atPeriodEnd(now time.Time) command {
	return subscription.Cancel{Now: now, Reason: byMerchant, AtPeriodEnd: true}
}

func scheduled(when time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_CancellationScheduled{CancellationScheduled: &ledgerv1.CancellationScheduled{
		CancelAt: at(when), Reason: byMerchant,
	}}}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	sold := commands{start(terms(subscription.Recurring))}
	trialing := commands{start(terms(subscription.Recurring, trial(14, 100))), settle(t0, 1, 1, 100)}
	pastDue := with(due(), decline(feb, 2, 1, soft))
	run(t, []scenario{
		{name: "active", given: bought(), when: cancel(t0), status: subscription.Cancelled, then: events{cancelled(2, byBuyer)}},
		{name: "trialing", given: trialing, when: cancel(t0), status: subscription.Cancelled, then: events{cancelled(2, byBuyer)}},
		{name: "past due", given: pastDue, when: cancel(feb), status: subscription.Cancelled, then: events{cancelled(3, byBuyer)}},
		{name: "pending: no order", given: sold, when: cancel(t0), status: subscription.Failed, then: events{cancelled(0, byBuyer)}},
		{name: "pending, at period end", given: sold, when: atPeriodEnd(t0), status: subscription.Failed, then: events{cancelled(0, byMerchant)}},
		{name: "twice", given: with(bought(), cancel(t0)), when: cancel(t0), status: subscription.Cancelled},
		{name: "what has failed", given: with(sold, decline(t0, 1, 1, soft)), when: cancel(t0), status: subscription.Failed},
		{name: "what is completed", given: commands{start(terms(subscription.OneTime)), settle(t0, 1, 1, 4700)}, when: cancel(t0), refused: "STATE_INVALID"},
		{name: "without a reason", given: bought(), when: subscription.Cancel{Now: t0}, refused: "CANCEL_REASON_INVALID"},
		{name: "for a reason of ours", given: bought(), when: subscription.Cancel{Now: t0, Reason: byDunning}, refused: "CANCEL_REASON_INVALID"},
		{name: "for fraud", given: bought(), when: subscription.Cancel{Now: t0, Reason: ledgerv1.CancelReason_CANCEL_REASON_FRAUD},
			then: events{cancelled(2, ledgerv1.CancelReason_CANCEL_REASON_FRAUD)}},
	})
}

func TestCancelAtPeriodEnd(t *testing.T) {
	t.Parallel()
	asked := with(bought(), atPeriodEnd(t0.Add(day)))
	run(t, []scenario{
		{name: "active", given: bought(), when: atPeriodEnd(t0), status: subscription.Active, then: events{scheduled(feb)}},
		{name: "in a trial", given: bought(trial(14, 100)), when: atPeriodEnd(t0), status: subscription.Trialing, then: events{scheduled(t0.Add(14 * day))}},
		{name: "past due: the end has passed", given: with(due(), decline(feb, 2, 1, soft)), when: atPeriodEnd(feb.Add(day)), status: subscription.Cancelled,
			then: events{cancelled(3, byMerchant)}},
		{name: "at the very end", given: bought(), when: atPeriodEnd(feb), status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "twice", given: asked, when: atPeriodEnd(t0.Add(2 * day)), refused: "CANCELLATION_SCHEDULED"},
		{name: "nothing before it", given: asked, when: wake(feb.Add(-1)), status: subscription.Active},
		{name: "takes effect before anything is charged", given: asked, when: wake(feb), status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "takes effect late", given: asked, when: wake(apr), status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "again, when it has passed: a pause moved what is due, not the end", given: with(asked, pause(feb.Add(-1)), resume(feb)), when: atPeriodEnd(feb),
			status: subscription.Cancelled, then: events{cancelled(2, byMerchant)}},
		{name: "now after all", given: asked, when: cancel(t0.Add(2 * day)), status: subscription.Cancelled, then: events{cancelled(2, byBuyer)}},
	})
	s := after(t, asked...)
	equal(t, "cancel at", s.CancelAt, feb)
	equal(t, "reason", s.CancelReason, byMerchant)
	equal(t, "due", s.Due(t0), feb)
	ended := after(t, with(asked, wake(feb))...)
	equal(t, "cancel at, after the end", ended.CancelAt, never)
	equal(t, "next due, after the end", ended.NextDue, never)
	equal(t, "payments left, after the end", ended.PaymentsLeft(), uint32(0))
	equal(t, "due, after the end", ended.Due(feb), never)
	equal(t, "entitled until", ended.PaidThrough, feb)
}

func TestWithdrawCancellation(t *testing.T) {
	t.Parallel()
	withdraw := func(now time.Time) command { return subscription.WithdrawCancellation{Now: now} }
	asked := with(bought(), atPeriodEnd(t0.Add(day)))
	undone := &ledgerv1.Event{Kind: &ledgerv1.Event_CancellationWithdrawn{CancellationWithdrawn: &ledgerv1.CancellationWithdrawn{}}}
	run(t, []scenario{
		{name: "before the end", given: asked, when: withdraw(feb.Add(-1)), status: subscription.Active, then: events{undone}},
		{name: "then it goes on", given: with(asked, withdraw(feb.Add(-1))), when: wake(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "then it is asked for again", given: with(asked, withdraw(feb.Add(-1))), when: atPeriodEnd(feb.Add(-1)), then: events{scheduled(feb)}},
		{name: "paused", given: with(asked, pause(t0.Add(day))), when: withdraw(feb.Add(-1)), status: subscription.Paused, then: events{undone}},
		{name: "of a trial", given: with(bought(trial(14, 100)), atPeriodEnd(t0)), when: withdraw(t0), status: subscription.Trialing, then: events{undone}},
		{name: "at the end", given: asked, when: withdraw(feb), refused: "STATE_INVALID"},
		{name: "after the end", given: with(asked, wake(feb)), when: withdraw(feb), refused: "STATE_INVALID"},
		{name: "of nothing", given: bought(), when: withdraw(t0), refused: "CANCELLATION_NOT_SCHEDULED"},
		{name: "twice", given: with(asked, withdraw(t0.Add(day))), when: withdraw(t0.Add(day)), refused: "CANCELLATION_NOT_SCHEDULED"},
	})
	s := after(t, with(asked, withdraw(t0.Add(day)))...)
	equal(t, "cancel at", s.CancelAt, never)
	equal(t, "reason", s.CancelReason, ledgerv1.CancelReason_CANCEL_REASON_UNSPECIFIED)
	equal(t, "due", s.Due(t0), feb)
}

// A cancellation withdraws what is under way; what an earlier run may have done is found by look-up.
func TestCancelWithdraws(t *testing.T) {
	t.Parallel()
	sold := commands{start(terms(subscription.Recurring))}
	for name, open := range map[string]commands{
		"requested": sold,
		"pending":   with(sold, pend(t0, 1, 1)),
		"unknown":   with(sold, doubt(t0, 1, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := with(open, cancel(t0.Add(time.Minute)))
			run(t, []scenario{
				{name: "found charged: a sale, no revival", given: given, when: settle(t0.Add(time.Hour), 1, 1, 4700), status: subscription.Failed,
					then: events{late(1, 1, 1, 0, 9999, never, feb.Add(time.Hour))}},
				{name: "absent", given: given, when: absent(t0.Add(time.Hour), 1, 1), status: subscription.Failed, then: events{notCharged(1, 1, "absent")}},
				{name: "declined: no order", given: given, when: decline(t0.Add(time.Hour), 1, 1, hard), status: subscription.Failed, then: events{notCharged(1, 1, "declined")}},
				{name: "nothing by time alone", given: given, when: wake(t0.Add(100 * day)), status: subscription.Failed},
				{name: "cancelled again", given: given, when: cancel(t0.Add(time.Hour)), status: subscription.Failed},
				{name: "absent, then found charged", given: with(given, absent(t0.Add(time.Hour), 1, 1)), when: settle(t0.Add(time.Hour), 1, 1, 4700), status: subscription.Failed,
					then: events{late(1, 1, 1, 0, 9999, never, feb.Add(time.Hour))}},
			})
			s := after(t, given...)
			a, _ := s.OpenAttempt()
			if a == nil || !a.Withdrawn || !s.InDoubt() {
				t.Fatalf("got open attempt %+v, in doubt %v; want a withdrawn one in doubt", a, s.InDoubt())
			}
			if ls := s.Lookups(); len(ls) != 1 || ls[0].Attempt != a || ls[0].Key != a.Key || ls[0].Sent.After(t0) {
				t.Errorf("got look-ups %+v, want one of the attempt as it may have been sent at its start", ls)
			}
		})
	}
}

func TestCancelWhileRebilling(t *testing.T) {
	t.Parallel()
	given := with(due(), cancel(feb.Add(time.Minute)))
	run(t, []scenario{
		{name: "found charged: a rebill, no revival", given: given, when: settle(feb.Add(time.Hour), 2, 1, 4700), status: subscription.Cancelled,
			then: events{late(3, 2, 1, 0, 9999, never, mar)}},
		{name: "found charged twice", given: with(given, settle(feb.Add(time.Hour), 2, 1, 4700)), when: settle(feb.Add(time.Hour), 2, 1, 4700), status: subscription.Cancelled},
		{name: "declined: no order", given: given, when: decline(feb.Add(time.Hour), 2, 1, soft), status: subscription.Cancelled, then: events{notCharged(2, 1, "declined")}},
		{name: "absent: nothing is tried again", given: with(given, absent(feb.Add(time.Hour), 2, 1)), when: wake(feb.Add(time.Hour)), status: subscription.Cancelled},
	})
}

func TestLoseAgreement(t *testing.T) {
	t.Parallel()
	lose := func(number, attempt uint32) command {
		return subscription.LoseAgreement{Now: feb, Number: number, Attempt: attempt, Code: "145005"}
	}
	lost := &ledgerv1.Event{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: "145005"}}}
	sold := commands{start(terms(subscription.Recurring))}
	run(t, []scenario{
		{name: "told by itself", given: bought(), when: lose(0, 0), status: subscription.Cancelled, then: events{lost, cancelled(2, byAgreement)}},
		{name: "told to an attempt: no decline", given: due(), when: lose(2, 1), status: subscription.Cancelled,
			then: events{notCharged(2, 1, "agreement_lost"), lost, cancelled(2, byAgreement)}},
		{name: "told to an attempt in doubt", given: with(due(), doubt(feb, 2, 1)), when: lose(2, 1), status: subscription.Cancelled,
			then: events{notCharged(2, 1, "agreement_lost"), lost, cancelled(2, byAgreement)}},
		{name: "past due", given: with(due(), decline(feb, 2, 1, soft)), when: lose(0, 0), status: subscription.Cancelled, then: events{lost, cancelled(3, byAgreement)}},
		{name: "told to the first attempt", given: sold, when: lose(1, 1), status: subscription.Failed,
			then: events{notCharged(1, 1, "agreement_lost"), lost}},
		{name: "told by itself before the first payment", given: sold, when: lose(0, 0), status: subscription.Failed, then: events{lost, cancelled(0, byAgreement)}},
		{name: "told twice", given: with(bought(), lose(0, 0)), when: lose(0, 0), status: subscription.Cancelled},
		{name: "told after the end", given: with(bought(), cancel(t0)), when: lose(0, 0), status: subscription.Cancelled},
		{name: "told to an attempt after the end", given: with(due(), cancel(feb)), when: lose(2, 1), status: subscription.Cancelled,
			then: events{notCharged(2, 1, "agreement_lost")}},
	})
}
