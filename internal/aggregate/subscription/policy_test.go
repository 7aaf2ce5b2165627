package subscription_test

import (
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	holds   = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD
	ignores = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_IGNORE
	refunds = ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_REFUND
)

func days(n ...uint32) subscription.Circumstances {
	return subscription.Circumstances{Policies: &ledgerv1.Policies{DunningDays: n}}
}

// A merchant's own days are fixed by a number's first attempt; what he changes later holds for the numbers after it.
func TestOwnDunningDays(t *testing.T) {
	t.Parallel()
	wakeAt := func(now time.Time, n ...uint32) command {
		return subscription.Wake{Now: now, Circumstances: days(n...)}
	}
	asked := func(number, attempt, reattempt uint32, due time.Time, n ...uint32) *ledgerv1.Event {
		e := requested(number, attempt, reattempt, 4700, due)
		e.GetPaymentRequested().DunningDays = n
		return e
	}
	d := func(n int) time.Time { return feb.Add(time.Duration(n) * day) }
	own := with(bought(), wakeAt(feb, 1, 20), decline(feb, 2, 1, soft))
	run(t, []scenario{
		{name: "fixed by the first attempt", given: bought(), when: wakeAt(feb, 1, 20), then: events{asked(2, 1, 0, feb, 1, 20)}},
		{name: "fixed by a rebill by hand", given: bought(), when: subscription.Rebill{Now: feb, Circumstances: days(5)}, then: events{asked(2, 1, 0, feb, 5)}},
		{name: "the first day", given: with(bought(), wakeAt(feb, 1, 20)), when: decline(feb, 2, 1, soft), then: events{declined(2, 2, 1, 0, soft, d(1))}},
		{name: "not fixed anew", given: own, when: wakeAt(d(1), 2), then: events{asked(2, 2, 1, feb)}},
		{name: "the second day", given: with(own, wakeAt(d(1), 2)), when: decline(d(1), 2, 2, soft), then: events{declined(3, 2, 2, 1, soft, d(20))}},
		{name: "the last day in vain", given: with(own, wakeAt(d(1)), decline(d(1), 2, 2, soft), wakeAt(d(20))), when: decline(d(20), 2, 3, soft), status: subscription.Cancelled,
			then: events{declined(4, 2, 3, 2, soft, never), cancelled(5, byDunning)}},
		{name: "a hard decline waits for the last day", given: with(bought(), wakeAt(feb, 1, 20), decline(feb, 2, 1, hard)), when: wake(d(20).Add(-1)), status: subscription.PastDue},
		{name: "and no longer", given: with(bought(), wakeAt(feb, 1, 20), decline(feb, 2, 1, hard)), when: wake(d(20)), status: subscription.Cancelled, then: events{cancelled(3, byDunning)}},
		{name: "the next number has the days of its own time", given: with(own, wakeAt(d(1)), settle(d(1), 2, 2, 4700)), when: wakeAt(mar, 7), then: events{asked(3, 1, 0, mar, 7)}},
		{name: "the next number has the default again", given: with(own, wakeAt(d(1)), settle(d(1), 2, 2, 4700), wake(mar)), when: decline(mar, 3, 1, soft), status: subscription.PastDue,
			then: events{{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
				OrderId: orders + 4, PayNumber: 3, Attempt: 1, Amounts: price(4700), Category: soft, OriginalOrderId: orders + 1, NextAttemptAt: at(mar.Add(3 * day))}}}}},
		{name: "an import that is past due", given: commands{importAt(feb, terms(recurring), importPastDue, 1, feb)}, when: wakeAt(feb, 4), then: events{asked(2, 1, 0, feb, 4)}},
	})
}

func TestLateChargePolicy(t *testing.T) {
	t.Parallel()
	late1 := func(p ledgerv1.LateChargePolicy) subscription.SettlePayment {
		c := settle(feb.Add(time.Hour), 2, 1, 4700).(subscription.SettlePayment)
		c.Policies = &ledgerv1.Policies{LateCharge: p}
		return c
	}
	given := with(due(), cancel(feb))
	found := late(3, 2, 1, 0, 9999, never, mar)
	unreferenced := late1(refunds)
	unreferenced.Reference = ""
	run(t, []scenario{
		{name: "kept", given: given, when: late1(ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_KEEP), then: events{found}},
		{name: "kept by default", given: given, when: late1(0), then: events{found}},
		{name: "nothing to refund it by", given: given, when: unreferenced, then: events{found}},
		{name: "found again", given: with(given, late1(refunds)), when: late1(refunds), status: subscription.Cancelled},
		{name: "of what lives: kept", given: failed(0), when: late1(refunds), status: subscription.Active, then: events{late(3, 2, 1, 0, 9999, mar, mar)}},
	})
	l := newLife(t)
	l.do(given...)
	got, err := l.ask(late1(refunds))
	if err != nil || len(got) != 2 {
		t.Fatalf("got %v, %v; want a late charge and its refund", got, err)
	}
	r := got[1].GetRefundRequested()
	equalEvents(t, got, events{found, {Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: r.GetRefundId(), ParentOrderId: orders + 3, PayNumber: 2, Amounts: price(4700), Reason: "late charge",
	}}}})
	if !strings.HasPrefix(r.GetRefundId(), "rf_") || len(r.GetRefundId()) != 23 || r.GetChargeReference() != "ch_2_1" || r.GetKey() == "" {
		t.Errorf("got refund %v", r)
	}
	again := newLife(t)
	again.do(with(given, late1(refunds))...)
	equal(t, "the refund's id after a restore", again.state.Refunds[0].ID, r.GetRefundId())

	s := after(t, given...)
	s.Ordinal = 9_950
	es, err := late1(refunds).Decide(s)
	if err != nil || len(es) != 1 {
		t.Errorf("with no order left to promise: got %v, %v; want the late charge alone", es, err)
	}
}
