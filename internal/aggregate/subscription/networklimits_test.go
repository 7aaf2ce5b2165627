package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// worn is past due after the payment of February was tried n times in vain, an hour apart, and by hand but for the first.
func worn(n uint32, brand string, dunning ...uint32) commands {
	first := settle(t0, 1, 1, 4700).(subscription.SettlePayment)
	first.Method = &ledgerv1.PaymentMethod{Reference: "pm_1", Brand: brand}
	given := commands{start(terms(recurring)), first, subscription.Wake{Now: feb, Circumstances: days(dunning...)}, decline(feb, 2, 1, soft)}
	for k := uint32(2); k <= n; k++ {
		at := feb.Add(time.Duration(k-1) * time.Hour)
		given = with(given, rebill(at), decline(at, 2, k, soft))
	}
	return given
}

func TestNetworkLimits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		brand string
		tries uint32
		rest  time.Duration
	}{
		{"visa", 15, 30 * day},
		{"amex", 15, 30 * day},
		{"", 15, 30 * day},
		{"mastercard", 10, day},
	}
	for _, test := range tests {
		t.Run(test.brand, func(t *testing.T) {
			t.Parallel()
			n, now := test.tries, feb.Add(23*time.Hour)
			equal(t, "the last that is allowed", refusal(t, after(t, worn(n-1, test.brand)...), now), "")
			s := after(t, worn(n, test.brand)...)
			equal(t, "one more", refusal(t, s, now), "RETRY_CAP")
			rested := feb.Add(test.rest)
			_, err := subscription.Rebill{Now: now}.Decide(s)
			equal(t, "is told when", err.(*aggregate.Error).Metadata["allowed_at"], rested.Format(time.RFC3339))
			equal(t, "just before", refusal(t, s, rested.Add(-time.Microsecond)), "RETRY_CAP")
			equal(t, "when it has rested", refusal(t, s, rested), "")
		})
	}
}

// Two limits hold at once: five more, a day later, and the 30 days count.
func TestBothLimitsOfANetwork(t *testing.T) {
	t.Parallel()
	given := worn(10, "mastercard", 60)
	last := feb
	for k := uint32(11); k <= 15; k++ {
		last = feb.Add(3*day + time.Duration(k)*time.Minute)
		given = with(given, rebill(last), decline(last, 2, k, soft))
	}
	s := after(t, given...)
	equal(t, "a day later", refusal(t, s, last.Add(2*day)), "RETRY_CAP")
	equal(t, "30 days after the first", refusal(t, s, feb.Add(30*day)), "")
}

// What a rebill by hand is refused with; "" if it is not.
func refusal(t *testing.T, s state, now time.Time) string {
	t.Helper()
	_, err := subscription.Rebill{Now: now}.Decide(s)
	return reasonOf(err)
}

// What must rest is not tried by hand, and what the ledger would try by itself is put off.
func TestRetryCap(t *testing.T) {
	t.Parallel()
	given := worn(15, "visa", 60)
	last, rested := feb.Add(14*time.Hour), feb.Add(30*day)
	run(t, []scenario{
		{name: "by hand", given: given, when: rebill(last.Add(time.Hour)), refused: "RETRY_CAP"},
		{name: "by hand, when it has rested", given: given, when: rebill(rested), then: events{requested(2, 16, 0, 4700, feb)}},
		{name: "only what was declined counts", given: with(given[:len(given)-1], doubt(last, 2, 15), absent(last.Add(time.Hour), 2, 15)), when: rebill(last.Add(time.Hour)),
			then: events{requested(2, 16, 0, 4700, feb)}},
		{name: "by resuming", given: with(given, pause(last)), when: resume(last.Add(time.Hour)), status: subscription.PastDue, then: events{resumed(feb, rested)}},
		{name: "by itself after it was resumed", given: with(given, pause(last), resume(last.Add(time.Hour))), when: wake(rested.Add(-1000)), status: subscription.PastDue},
		{name: "by itself when it has rested", given: with(given, pause(last), resume(last.Add(time.Hour))), when: wake(rested), then: events{requested(2, 16, 0, 4700, feb)}},
		{name: "another method", given: given, when: replace(last, 1), then: events{replaced(1, true), requested(2, 16, 0, 4700, feb)}},
		{name: "another method, by hand", given: with(given, replace(last, 1), decline(last, 2, 16, soft)), when: rebill(last.Add(time.Hour)), then: events{requested(2, 17, 0, 4700, feb)}},
		{name: "another method, refused", given: with(given, replace(last, 1), decline(last, 2, 16, soft), refuse(last, 1)), when: rebill(last.Add(time.Hour)), refused: "RETRY_CAP"},
	})
	s := after(t, with(given, pause(last), resume(last.Add(time.Hour)))...)
	equal(t, "due when it has rested", s.Due(last.Add(2*time.Hour)), rested)
}

func TestReattemptsArePutOff(t *testing.T) {
	t.Parallel()
	last, rested := feb.Add(14*time.Hour), feb.Add(30*day)
	d := func(n int) time.Time { return feb.Add(time.Duration(n) * day) }
	before := func(dunning ...uint32) commands { cs := worn(15, "visa", dunning...); return cs[:len(cs)-1] }
	inVain := decline(last, 2, 15, soft)
	run(t, []scenario{
		{name: "a day before the method has rested", given: before(3, 40), when: inVain, then: events{declined(16, 2, 15, 0, soft, rested)}},
		{name: "a day after", given: before(31), when: inVain, then: events{declined(16, 2, 15, 0, soft, d(31))}},
		{name: "the last day is the one on which it has", given: before(3, 30), when: inVain, then: events{declined(16, 2, 15, 0, soft, rested)}},
		{name: "no day is left then", given: before(3, 29), when: inVain, status: subscription.PastDue, then: events{declined(16, 2, 15, 0, soft, never)}},
		{name: "nothing just before", given: with(before(3, 40), inVain), when: wake(rested.Add(-1000)), status: subscription.PastDue},
		{name: "tried when it has rested, in the step that it is", given: with(before(3, 40), inVain), when: wake(rested), then: events{requested(2, 16, 1, 4700, feb)}},
		{name: "the window does not wait", given: with(before(3, 29), inVain), when: wake(d(29)), status: subscription.Cancelled, then: events{cancelled(17, byDunning)}},
		{name: "nor ends sooner", given: with(before(3, 29), inVain), when: wake(d(29).Add(-1000)), status: subscription.PastDue},
		{name: "another method is charged meanwhile", given: with(before(3, 29), inVain), when: replace(d(5), 1), then: events{replaced(1, true), requested(2, 16, 0, 4700, feb)}},
	})
	equal(t, "due when it has rested", after(t, with(before(3, 40), inVain)...).Due(last), rested)
	equal(t, "due at the end of the window", after(t, with(before(3, 29), inVain)...).Due(last), d(29))
}

// A payment that is found after all is followed by a number that is due before the method has rested. It is put off: it
// has no window that could end.
func TestNextNumberIsPutOff(t *testing.T) {
	t.Parallel()
	first, next := t0.Add(7*day), t0.Add(14*day)
	given := with(bought(every(ledgerv1.Period_PERIOD_WEEKLY)), wake(first), doubt(first, 2, 1), absent(first, 2, 1))
	for k := uint32(2); k <= 16; k++ {
		at := first.Add(time.Duration(k) * time.Hour)
		given = with(given, rebill(at), decline(at, 2, k, soft))
	}
	given = with(given, settle(first.Add(day), 2, 1, 4700))
	rested := first.Add(2*time.Hour + 30*day)
	run(t, []scenario{
		{name: "when it is due", given: given, when: wake(next), status: subscription.Active},
		{name: "by hand", given: given, when: rebill(next), refused: "RETRY_CAP"},
		{name: "just before the method has rested", given: given, when: wake(rested.Add(-1000)), status: subscription.Active},
		{name: "when it has", given: given, when: wake(rested), then: events{requested(3, 1, 0, 4700, next)}},
		{name: "another method does not wait", given: with(given, replace(next, 1)), when: wake(next), then: events{requested(3, 1, 0, 4700, next)}},
	})
	equal(t, "due when it has rested", after(t, given...).Due(first.Add(2*day)), rested)
}
