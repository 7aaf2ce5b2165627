package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func changeTerms(now time.Time, minor int64) command {
	return subscription.ChangeTerms{Now: now, Consent: "mail of 1 February", Amounts: price(minor)}
}

func termsChanged(from uint32, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_TermsChanged{TermsChanged: &ledgerv1.TermsChanged{
		FromPayNumber: from, Amounts: price(minor), ConsentReference: "mail of 1 February",
	}}}
}

func TestChangeTerms(t *testing.T) {
	t.Parallel()
	withCoupon := commands{start(terms(recurring, coupon(3, 700))), settle(t0, 1, 1, 700)}
	couponOver := commands{start(terms(recurring, coupon(1, 700))), settle(t0, 1, 1, 700)}
	plan := commands{start(terms(installments, payments(2))), settle(t0, 1, 1, 4700)}
	changed := with(bought(), changeTerms(t0, 5900))
	run(t, []scenario{
		{name: "active: from the next payment on", given: bought(), when: changeTerms(t0, 5900), status: subscription.Active, then: events{termsChanged(2, 5900)}},
		{name: "trialing", given: bought(trial(14, 100)), when: changeTerms(t0, 5900), status: subscription.Trialing, then: events{termsChanged(2, 5900)}},
		{name: "paused", given: with(bought(), pause(t0)), when: changeTerms(t0, 5900), status: subscription.Paused, then: events{termsChanged(2, 5900)}},
		{name: "the next payment", given: changed, when: wake(feb), then: events{requested(2, 1, 0, 5900, feb)}},
		{name: "the one after it", given: with(changed, wake(feb), settle(feb, 2, 1, 5900)), when: wake(mar), then: events{requested(3, 1, 0, 5900, mar)}},
		{name: "at most what is asked now", given: with(bought(), changeTerms(t0, 3900)), when: subscription.Rebill{Now: feb, Amounts: price(4700)}, refused: "AMOUNT_NOT_CONSENTED"},
		{name: "again", given: changed, when: changeTerms(t0, 6900), then: events{termsChanged(2, 6900)}},
		{name: "again: the last counts", given: with(changed, changeTerms(t0, 6900)), when: wake(feb), then: events{requested(2, 1, 0, 6900, feb)}},
		{name: "back", given: changed, when: changeTerms(t0, 4700), then: events{termsChanged(2, 4700)}},
		{name: "to nothing", given: bought(), when: changeTerms(t0, 0), then: events{termsChanged(2, 0)}},

		{name: "under way: from the one after it", given: due(), when: changeTerms(feb, 5900), then: events{termsChanged(3, 5900)}},
		{name: "past due: from the one after it", given: failed(0), when: changeTerms(feb, 5900), then: events{termsChanged(3, 5900)}},
		{name: "past due: re-attempts stay", given: with(failed(0), changeTerms(feb, 5900)), when: wake(step(1)), then: events{requested(2, 2, 1, 4700, feb)}},
		{name: "past due: so does a try by hand", given: with(failed(0), changeTerms(feb, 5900)), when: rebill(feb.Add(day)), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "past due: and a try with another method", given: with(failed(0), changeTerms(feb, 5900)), when: replace(feb, 1), then: events{replaced(1, true), requested(2, 2, 0, 4700, feb)}},
		{name: "past due, recovered: the next payment", given: with(failed(0), changeTerms(feb, 5900), wake(step(1)), settle(step(1), 2, 2, 4700)), when: wake(mar),
			then: events{requested(3, 1, 0, 5900, mar)}},
		{name: "a running coupon ends", given: with(withCoupon, changeTerms(t0, 5900)), when: wake(feb), then: events{requested(2, 1, 0, 5900, feb)}},
		{name: "to the coupon's price for good", given: withCoupon, when: changeTerms(t0, 700), then: events{termsChanged(2, 700)}},
		{name: "to the coupon's price, beyond the coupon", given: with(withCoupon, changeTerms(t0, 700), wake(feb), settle(feb, 2, 1, 700), wake(mar), settle(mar, 3, 1, 700)),
			when: wake(apr), then: events{requested(4, 1, 0, 700, apr)}},
		{name: "the last payment of a plan", given: plan, when: changeTerms(t0, 5900), then: events{termsChanged(2, 5900)}},
		{name: "of an import", given: commands{importAt(t0, terms(recurring), importActive, 7, feb)}, when: changeTerms(t0, 5900), then: events{termsChanged(8, 5900)}},

		{name: "when the last payment is under way", given: with(plan, wake(feb)), when: changeTerms(feb, 5900), refused: "NO_PAYMENT_LEFT"},
		{name: "to what they are", given: bought(), when: changeTerms(t0, 4700), refused: "UNCHANGED"},
		{name: "to what they are since", given: changed, when: changeTerms(t0, 5900), refused: "UNCHANGED"},
		{name: "to what they are once the coupon is over", given: couponOver, when: changeTerms(t0, 4700), refused: "UNCHANGED"},
		{name: "to what they are since, instead of a coupon", given: with(withCoupon, changeTerms(t0, 700)), when: changeTerms(t0, 700), refused: "UNCHANGED"},
		{name: "without consent", given: bought(), when: subscription.ChangeTerms{Now: t0, Amounts: price(1)}, refused: "CONSENT_REQUIRED"},
		{name: "to no amounts", given: bought(), when: subscription.ChangeTerms{Now: t0, Consent: "mail"}, refused: "AMOUNT_REQUIRED"},
		{name: "in another currency", given: bought(), refused: "CURRENCY_MISMATCH",
			when: subscription.ChangeTerms{Now: t0, Consent: "mail", Amounts: &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 1}}}},
		{name: "pending", given: commands{start(terms(recurring))}, when: changeTerms(t0, 1), refused: "STATE_INVALID"},
		{name: "after the end", given: with(bought(), cancel(t0)), when: changeTerms(t0, 1), refused: "STATE_INVALID"},
		{name: "on the gateway's schedule", given: byGateway(), when: changeTerms(t0, 1), refused: "GATEWAY_SCHEDULE"},
	})
	s := after(t, changed...)
	equal(t, "next", s.NextAmounts(), price(5900))
	equal(t, "the terms as sold", s.Terms().Regular, price(4700))
	equal(t, "of what has ended", after(t, with(bought(), cancel(t0))...).NextAmounts(), (*ledgerv1.Amounts)(nil))
	equal(t, "of nothing", state{}.NextAmounts(), (*ledgerv1.Amounts)(nil))
}
