package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestFirstPayment(t *testing.T) {
	t.Parallel()
	sold := commands{start(terms(subscription.Recurring))}
	later := t0.Add(5 * time.Minute)
	m5 := time.Date(2026, time.February, 28, 10, 5, 0, 0, time.UTC)
	run(t, []scenario{
		{name: "succeeds", given: sold, when: settle(later, 1, 1, 4700), status: subscription.Active,
			then: events{succeeded(1, 1, 1, 0, 4700, 9999, m5)}},
		{name: "of a one-time price completes it", given: commands{start(terms(subscription.OneTime))}, when: settle(t0, 1, 1, 4700), status: subscription.Completed,
			then: events{succeeded(1, 1, 1, 0, 4700, 0, never), completed(1)}},
		{name: "is an initial one", given: commands{start(terms(subscription.Recurring, trial(14, 100)))}, when: settle(t0, 1, 1, 100), status: subscription.Trialing,
			then: events{succeeded(1, 1, 1, 0, 100, 9999, t0.Add(14*day))}},
		{name: "is learned after its period", given: with(sold, doubt(t0, 1, 1)), status: subscription.Active,
			when: subscription.SettlePayment{Now: t0.Add(90 * day), At: t0, Number: 1, Attempt: 1, Amount: usd(4700)},
			then: events{succeeded(1, 1, 1, 0, 4700, 9999, may), skipped(3, feb, apr, may)}},
		{name: "succeeds at a gateway whose clock runs ahead", given: sold,
			when: subscription.SettlePayment{Now: t0, At: t0.Add(day), Number: 1, Attempt: 1, Amount: usd(4700)},
			then: events{succeeded(1, 1, 1, 0, 4700, 9999, feb)}},
		{name: "is declined", given: sold, when: decline(t0, 1, 1, soft), status: subscription.Failed,
			then: events{declined(1, 1, 1, 0, soft, never)}},
		{name: "is declined without a category", given: sold, when: decline(t0, 1, 1, 0), status: subscription.Failed,
			then: events{declined(1, 1, 1, 0, soft, never)}},
		{name: "waits 72 hours for a gateway that names no end", given: sold, when: pend(later, 1, 1), status: subscription.Pending,
			then: events{pending(1, 1, later.Add(72*time.Hour))}},
		{name: "waits as long as the gateway says", given: sold,
			when: subscription.PendPayment{Now: t0, Number: 1, Attempt: 1, ExpiresAt: t0.Add(time.Hour)},
			then: events{pending(1, 1, t0.Add(time.Hour))}},
		{name: "is found pending while in doubt", given: with(sold, doubt(t0, 1, 1)), when: pend(t0, 1, 1),
			then: events{pending(1, 1, t0.Add(72*time.Hour))}},
		{name: "pending is told twice", given: with(sold, pend(t0, 1, 1)), when: pend(later, 1, 1)},
		{name: "does not expire early", given: with(sold, pend(t0, 1, 1)), when: wake(t0.Add(72*time.Hour - 1)), status: subscription.Pending},
		{name: "expires", given: with(sold, pend(t0, 1, 1)), when: wake(t0.Add(72 * time.Hour)), status: subscription.Failed,
			then: events{notCharged(1, 1, "expired")}},
		{name: "does not expire unasked", given: with(sold, pend(t0, 1, 1)), status: subscription.Pending,
			when: subscription.Wake{Now: t0.Add(72 * time.Hour), Unasked: true}},
		{name: "expires at the gateway", given: with(sold, pend(t0, 1, 1)), status: subscription.Failed,
			when: subscription.DeclinePayment{Now: later, Number: 1, Attempt: 1, Expired: true},
			then: events{notCharged(1, 1, "expired")}},
		{name: "in doubt never expires", given: with(sold, doubt(t0, 1, 1)), when: wake(t0.Add(1000 * day)), status: subscription.Pending},
		{name: "succeeds after it expired", given: with(sold, pend(t0, 1, 1), wake(t0.Add(72*time.Hour))), status: subscription.Failed,
			when: subscription.SettlePayment{Now: t0.Add(73 * time.Hour), At: t0.Add(time.Hour), Number: 1, Attempt: 1, Amount: usd(4700)},
			then: events{late(1, 1, 1, 0, 9999, never, feb.Add(time.Hour))}},
		{name: "is proven absent", given: with(sold, doubt(t0, 1, 1)), when: absent(t0.Add(time.Hour), 1, 1), status: subscription.Failed,
			then: events{notCharged(1, 1, "absent")}},
		{name: "is proven absent twice", given: with(sold, doubt(t0, 1, 1), absent(later, 1, 1)), when: absent(later, 1, 1), status: subscription.Failed},
		{name: "of another amount", given: sold, when: settle(t0, 1, 1, 4600), status: subscription.Pending, then: events{mismatched(1, 1, usd(4600))}},
		{name: "in another currency", given: sold, status: subscription.Pending,
			when: subscription.SettlePayment{Now: t0, Number: 1, Attempt: 1, Amount: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 4700}},
			then: events{mismatched(1, 1, &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 4700})}},
	})
}

func mismatched(number, attempt uint32, charged *ledgerv1.Money) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
		PayNumber: number, Attempt: attempt, Expected: usd(4700), Charged: charged,
	}}}
}

func TestRebill(t *testing.T) {
	t.Parallel()
	pastDue := with(due(), decline(feb, 2, 1, soft))
	run(t, []scenario{
		{name: "when due", given: bought(), when: rebill(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "when due, before the wake of ten days ago", given: bought(), when: rebill(feb.Add(10 * day)), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "of the number that is meant", given: bought(), when: subscription.Rebill{Now: feb, Number: 2}, then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "of less", given: bought(), when: subscription.Rebill{Now: feb, Amounts: price(1000)}, then: events{requested(2, 1, 0, 1000, feb)}},
		{name: "of nothing", given: bought(), when: subscription.Rebill{Now: feb, Amounts: price(0)},
			then: events{requested(2, 1, 0, 0, feb), succeeded(2, 2, 1, 0, 0, 9999, mar)}},
		{name: "while past due keeps the step", given: pastDue, when: rebill(feb.Add(day)), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "of what does not exist yet", given: bought(), when: subscription.Rebill{Now: feb, Number: 3}, refused: "PAY_NUMBER_GAP"},
		{name: "of what is paid", given: bought(), when: subscription.Rebill{Now: feb, Number: 1}, refused: "PAY_NUMBER_PAID"},
		{name: "too early", given: bought(), when: rebill(feb.Add(-1)), refused: "NOT_DUE"},
		{name: "of more", given: bought(), when: subscription.Rebill{Now: feb, Amounts: price(4701)}, refused: "AMOUNT_NOT_CONSENTED"},
		{name: "in another currency", given: bought(), refused: "CURRENCY_MISMATCH",
			when: subscription.Rebill{Now: feb, Amounts: &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 100}}}},
		{name: "of parts that do not add up", given: bought(), refused: "AMOUNTS_UNBALANCED",
			when: subscription.Rebill{Now: feb, Amounts: &ledgerv1.Amounts{Base: usd(100), Full: usd(99)}}},
		{name: "twice", given: due(), when: rebill(feb), refused: "PAYMENT_IN_PROGRESS"},
		{name: "while pending", given: with(due(), pend(feb, 2, 1)), when: rebill(feb), refused: "PAYMENT_IN_PROGRESS"},
		{name: "in doubt", given: with(due(), doubt(feb, 2, 1)), when: rebill(feb), refused: "PAYMENT_OUTCOME_UNKNOWN"},
		{name: "of a first payment", given: commands{start(terms(subscription.Recurring))}, when: rebill(t0), refused: "STATE_INVALID"},
		{name: "of a first payment in doubt", given: commands{start(terms(subscription.Recurring)), doubt(t0, 1, 1)}, when: rebill(t0), refused: "PAYMENT_OUTCOME_UNKNOWN"},
		{name: "after the end", given: with(bought(), cancel(t0)), when: rebill(feb), refused: "STATE_INVALID"},
		{name: "after the end, in doubt", given: with(due(), doubt(feb, 2, 1), cancel(feb)), when: rebill(feb), refused: "STATE_INVALID"},
		{name: "at the instant of the end", given: with(bought(), subscription.Cancel{Now: t0, Reason: byBuyer, AtPeriodEnd: true}), when: rebill(feb), refused: "STATE_INVALID"},
		{name: "with a method that was declined for good", given: with(due(), decline(feb, 2, 1, hard)), when: rebill(feb.Add(day)), refused: "METHOD_STOPPED"},
		{name: "after another amount was charged", given: with(due(), settle(feb, 2, 1, 1)), when: rebill(feb.Add(day)), refused: "AMOUNT_MISMATCH"},
	})
}

func TestRebillTellsWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		given commands
		when  command
		want  map[string]string
	}{
		{bought(), rebill(t0), map[string]string{"due": "2026-02-28T10:00:00Z"}},
		{bought(), subscription.Rebill{Now: feb, Number: 9}, map[string]string{"next": "2"}},
		{with(due(), doubt(feb.Add(time.Minute), 2, 1)), rebill(mar), map[string]string{"since": "2026-02-28T10:01:00Z"}},
		{with(bought(), cancel(t0)), rebill(feb), map[string]string{"state": "cancelled"}},
		{commands{start(terms(subscription.Recurring)), settle(t0, 1, 1, 1)}, rebill(feb), nil},
	} {
		_, err := c.when.Decide(after(t, c.given...))
		refused, ok := err.(*aggregate.Error)
		if !ok {
			t.Fatalf("%+v: got %v, want an aggregate.Error", c.when, err)
		}
		equal(t, refused.Reason, refused.Metadata, c.want)
	}
}

func TestRebillOutcomes(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "succeeds late in the period", given: due(), when: settle(feb.Add(20*day), 2, 1, 4700), status: subscription.Active,
			then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{name: "succeeds when the next instant has come", given: due(), when: settle(mar, 2, 1, 4700),
			then: events{succeeded(2, 2, 1, 0, 4700, 9999, apr), skipped(1, mar, mar, apr)}},
		{name: "by a gateway whose clock runs ahead", given: due(),
			when: subscription.SettlePayment{Now: feb, At: mar.Add(day), Number: 2, Attempt: 1, Amount: usd(4700)},
			then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{name: "pending has no end of its own", given: due(), when: pend(feb, 2, 1), then: events{pending(2, 1, never)}},
		{name: "pending is waited for", given: with(due(), subscription.PendPayment{Now: feb, Number: 2, Attempt: 1, ExpiresAt: feb.Add(day)}),
			when: wake(feb.Add(30 * day)), status: subscription.Active},
		{name: "pending expires at the gateway: a soft decline", given: with(due(), pend(feb, 2, 1)), status: subscription.PastDue,
			when: subscription.DeclinePayment{Now: feb.Add(day), Number: 2, Attempt: 1, Expired: true, Category: hard},
			then: events{declined(2, 2, 1, 0, soft, feb.Add(3*day))}},
		{name: "succeeds twice", given: with(due(), settle(feb, 2, 1, 4700)), when: settle(feb, 2, 1, 4700)},
		{name: "unknown after it succeeded", given: with(due(), settle(feb, 2, 1, 4700)), when: doubt(feb, 2, 1)},
		{name: "pending after it succeeded", given: with(due(), settle(feb, 2, 1, 4700)), when: pend(feb, 2, 1)},
		{name: "declined after it succeeded", given: with(due(), settle(feb, 2, 1, 4700)), when: decline(feb, 2, 1, hard)},
		{name: "absent after it succeeded", given: with(due(), settle(feb, 2, 1, 4700)), when: absent(feb, 2, 1)},
		{name: "unknown while pending", given: with(due(), pend(feb, 2, 1)), when: doubt(feb, 2, 1)},
		{name: "proven absent is tried again at once", given: with(due(), doubt(feb, 2, 1), absent(feb.Add(time.Hour), 2, 1)), when: wake(feb.Add(time.Hour)),
			then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "proven absent, then found", given: with(due(), doubt(feb, 2, 1), absent(feb, 2, 1)), when: settle(feb.Add(time.Hour), 2, 1, 4700), status: subscription.Active,
			then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{name: "found after a decline", given: with(due(), decline(feb, 2, 1, soft)), when: settle(feb.Add(day), 2, 1, 4700), status: subscription.Active,
			then: events{late(3, 2, 1, 0, 9999, mar, mar)}},
		{name: "found after a hard decline", given: with(due(), decline(feb, 2, 1, hard)), when: settle(feb.Add(day), 2, 1, 4700), status: subscription.Active,
			then: events{late(3, 2, 1, 0, 9999, mar, mar)}},
		{name: "found after the end", given: with(due(), doubt(feb, 2, 1), cancel(feb)), when: settle(feb.Add(day), 2, 1, 4700), status: subscription.Cancelled,
			then: events{late(3, 2, 1, 0, 9999, never, mar)}},
		{name: "first payment found after it was declined", given: commands{start(terms(subscription.Recurring)), decline(t0, 1, 1, soft)}, when: settle(t0, 1, 1, 4700), status: subscription.Failed,
			then: events{late(2, 1, 1, 0, 9999, never, feb)}},
		{name: "last payment found after a decline completes", status: subscription.Completed,
			given: commands{start(terms(subscription.OneTime, trial(7, 100))), settle(t0, 1, 1, 100), wake(t0.Add(7 * day)), decline(t0.Add(7*day), 2, 1, soft)},
			when:  settle(t0.Add(8*day), 2, 1, 4700),
			then:  events{late(3, 2, 1, 0, 0, never, never), completed(2)}},
		{name: "the declined one is found while its re-attempt is open", status: subscription.Active,
			given: with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day))), when: settle(feb.Add(3*day), 2, 1, 4700),
			then: events{late(3, 2, 1, 0, 9999, mar, mar)}},
		{name: "the re-attempt charged too", status: subscription.Active,
			given: with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day)), settle(feb.Add(3*day), 2, 1, 4700)), when: settle(feb.Add(3*day), 2, 2, 4700),
			then: events{duplicate(2, 2)}},
		{name: "the re-attempt was declined", status: subscription.Active,
			given: with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day)), settle(feb.Add(3*day), 2, 1, 4700)), when: decline(feb.Add(3*day), 2, 2, hard),
			then: events{notCharged(2, 2, "declined")}},
		{name: "the re-attempt succeeded, then the declined one is found", status: subscription.Active,
			given: with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day)), settle(feb.Add(3*day), 2, 2, 4700)), when: settle(feb.Add(3*day), 2, 1, 4700),
			then: events{duplicate(2, 1)}},
		{name: "a second capture of another amount", status: subscription.Active,
			given: with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day)), settle(feb.Add(3*day), 2, 2, 4700)), when: settle(feb.Add(3*day), 2, 1, 4600),
			then: events{mismatched(2, 1, usd(4600))}},
	})
}

// Doubt about an attempt whose number was paid by another one does not keep the next number from being charged.
func TestDoubtBlocksOnlyItsPayNumber(t *testing.T) {
	t.Parallel()
	paid := with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day)), settle(feb.Add(3*day), 2, 1, 4700))
	s := after(t, paid...)
	equal(t, "in doubt", s.InDoubt(), true)
	run(t, []scenario{
		{name: "wake", given: paid, when: wake(mar), then: events{requested(3, 1, 0, 4700, mar)}},
		{name: "rebill", given: paid, when: rebill(mar), then: events{requested(3, 1, 0, 4700, mar)}},
		{name: "its end hurries no re-attempt of the next number", given: with(paid, wake(mar), decline(mar, 3, 1, soft), absent(mar, 2, 2)), when: wake(mar.Add(day)), status: subscription.PastDue},
	})
	equal(t, "due after the look-ups of the day", s.Due(mar.Add(-1)).After(mar), false)
}

func TestOutcomesOfUnknownAttempts(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "settle", given: bought(), when: settle(t0, 2, 1, 4700), refused: "ATTEMPT_UNKNOWN"},
		{name: "decline", given: bought(), when: decline(t0, 2, 1, soft), refused: "ATTEMPT_UNKNOWN"},
		{name: "doubt", given: bought(), when: doubt(t0, 2, 1), refused: "ATTEMPT_UNKNOWN"},
		{name: "pend", given: bought(), when: pend(t0, 2, 1), refused: "ATTEMPT_UNKNOWN"},
		{name: "absent", given: bought(), when: absent(t0, 2, 1), refused: "ATTEMPT_UNKNOWN"},
		{name: "return", given: bought(), when: subscription.ReturnDuplicate{Now: t0, Number: 1, Attempt: 1}, refused: "ATTEMPT_UNKNOWN"},
		{name: "return of what was never tried", given: bought(), when: subscription.ReturnDuplicate{Now: t0, Number: 2, Attempt: 1}, refused: "ATTEMPT_UNKNOWN"},
	})
}

func TestDoubt(t *testing.T) {
	t.Parallel()
	at1 := feb.Add(time.Minute)
	unknown := &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentUnknown{PaymentUnknown: &ledgerv1.PaymentUnknown{
		PayNumber: 2, Attempt: 1, Why: "timeout", SentAt: at(at1.Add(-time.Second)),
	}}}
	run(t, []scenario{
		{name: "begins", given: due(), when: doubt(at1, 2, 1), then: events{unknown}},
		{name: "begins once", given: with(due(), doubt(at1, 2, 1)), when: doubt(at1, 2, 1)},
	})
	s := after(t, with(due(), doubt(at1, 2, 1))...)
	a, ok := s.OpenAttempt()
	if !ok || !s.InDoubt() {
		t.Fatalf("got no open attempt (%v) or no doubt (%v)", ok, s.InDoubt())
	}
	equal(t, "sent", a.SentAt, at1.Add(-time.Second))
	equal(t, "doubtful from", a.DoubtfulFrom, at1)
	equal(t, "why", a.Why, "timeout")
	byKey, ok := s.FindAttemptByKey(a.Key)
	if !ok || byKey != a {
		t.Errorf("by key: got %+v, want %+v", byKey, a)
	}
	if got, ok := s.FindAttemptByKey("nobody's"); ok {
		t.Errorf("by another key: got %+v", got)
	}
	s = after(t, with(due(), pend(feb, 2, 1))...)
	equal(t, "pending is no doubt", s.InDoubt(), false)
}

// A captured payment keeps what is needed to find and refund it, and the method it was made with.
func TestPaymentIsRemembered(t *testing.T) {
	t.Parallel()
	fee, settled := usd(166), &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 4000}
	l := newLife(t)
	l.do(due()...)
	got, err := l.ask(subscription.SettlePayment{
		Now: feb.Add(time.Minute), At: feb.Add(time.Second), Number: 2, Attempt: 1, Amount: usd(4700), Reference: "ch_2", Fee: fee, Settled: settled,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := got[0].GetPaymentSucceeded()
	equal(t, "reference", p.Reference, "ch_2")
	equal(t, "fee", p.Fee, fee)
	equal(t, "settled", p.Settled, settled)
	equal(t, "method, where the gateway names none", p.Method, card())
	equal(t, "occurred", got[0].Metadata.OccurredAt.AsTime(), feb.Add(time.Second))
	equal(t, "recorded", got[0].Metadata.RecordedAt.AsTime(), feb.Add(time.Minute))
	ch, ok := l.state.FindCharge(orders + 2)
	a, _ := l.state.FindAttempt(2, 1)
	if !ok {
		t.Fatal("the charge is not found by its order")
	}
	equal(t, "charge", ch, &subscription.Charge{
		OrderID: orders + 2, Number: 2, Attempt: 1, Key: a.Key, Connection: "main", Amounts: price(4700), Reference: "ch_2", At: feb.Add(time.Second),
		Refunded: price(0), ChargedBack: price(0),
	})
	equal(t, "last order", l.state.LastOrder(), int64(orders+2))
	equal(t, "first order", l.state.FirstOrder, int64(orders+1))
	equal(t, "started", l.state.StartedAt, t0)
	equal(t, "paid through", l.state.PaidThrough, mar)
}

// Events from before connections were told went through the subscription's first one.
func TestChargeWithoutConnection(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.do(with(bought(), replace(t0, 1), wake(feb))...)
	e := succeeded(2, 2, 1, 0, 4700, 9999, mar)
	e.Metadata = &ledgerv1.Metadata{OccurredAt: at(feb), RecordedAt: at(feb)}
	equal(t, "connection", subscription.Evolve(l.state, e).Charges[1].Connection, "main")
}

func TestZeroAmounts(t *testing.T) {
	t.Parallel()
	free := terms(subscription.Recurring, coupon(2, 0))
	freeTrial := commands{start(terms(subscription.Recurring, trial(14, 0))), settle(t0, 1, 1, 0)}
	run(t, []scenario{
		{name: "of a trial: the gateway stores the method", when: startAt(t0, terms(subscription.Recurring, trial(14, 0))), status: subscription.Pending, then: events{
			started(terms(subscription.Recurring, trial(14, 0))), requested(1, 1, 0, 0, t0)}},
		{name: "of a trial: stored", given: commands{start(terms(subscription.Recurring, trial(14, 0)))}, when: settle(t0, 1, 1, 0), status: subscription.Trialing,
			then: events{succeeded(1, 1, 1, 0, 0, 9999, t0.Add(14*day))}},
		{name: "of a trial: the method is declined", given: commands{start(terms(subscription.Recurring, trial(14, 0)))}, when: decline(t0, 1, 1, hard), status: subscription.Failed,
			then: events{{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
				OrderId: orders + 1, PayNumber: 1, Attempt: 1, Amounts: price(0), Category: hard, OriginalOrderId: orders + 1}}}}},
		{name: "after a free trial the price is charged", given: freeTrial, when: wake(t0.Add(14 * day)),
			then: events{requested(2, 1, 0, 4700, t0.Add(14*day))}},
		{name: "with a stored method: paid in the intent's append", given: commands{start(free), settle(t0, 1, 1, 0)}, when: wake(feb), status: subscription.Active,
			then: events{requested(2, 1, 0, 0, feb), succeeded(2, 2, 1, 0, 0, 9999, mar)}},
		{name: "with a stored method, months late", given: commands{start(free), settle(t0, 1, 1, 0)}, when: wake(apr), status: subscription.Active,
			then: events{requested(2, 1, 0, 0, feb), succeeded(2, 2, 1, 0, 0, 9999, may), skipped(2, mar, apr, may)}},
		{name: "the last of a plan", given: commands{start(terms(subscription.Installments, payments(2), coupon(2, 0))), settle(t0, 1, 1, 0)}, when: wake(feb), status: subscription.Completed,
			then: events{requested(2, 1, 0, 0, feb), succeeded(2, 2, 1, 0, 0, 0, never), completed(2)}},
	})
	s := after(t, commands{start(free), settle(t0, 1, 1, 0), wake(feb)}...)
	equal(t, "open attempt", len(s.Lookups()), 0)
	if a, ok := s.OpenAttempt(); ok {
		t.Errorf("an attempt is left open: %+v", a)
	}
}

// A gateway that stored no method is asked again: nothing says that a zero payment could be made without it.
func TestZeroAmountWithoutStoredMethod(t *testing.T) {
	t.Parallel()
	free := terms(subscription.Recurring, coupon(2, 0))
	run(t, []scenario{{name: "asked again", status: subscription.Active,
		given: commands{start(free), subscription.SettlePayment{Now: t0, Number: 1, Attempt: 1, Amount: usd(0)}},
		when:  wake(feb), then: events{requested(2, 1, 0, 0, feb)}}})
}

func started(t *ledgerv1.Terms) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: &ledgerv1.SubscriptionStarted{
		MerchantId: "acme", SubscriptionId: "s1", Number: 7, BuyerId: "lead-1", Buyer: &ledgerv1.Buyer{FirstName: "Zoë"},
		Terms: t, ConnectionId: "main", Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
		PaymentMethodToken: "tok", Quantity: 1,
	}}}
}

func TestDuplicateIsReturnedOnce(t *testing.T) {
	t.Parallel()
	twice := with(due(), decline(feb, 2, 1, soft), wake(feb.Add(3*day)), settle(feb.Add(3*day), 2, 2, 4700), settle(feb.Add(3*day), 2, 1, 4700))
	back := subscription.ReturnDuplicate{Now: feb.Add(4 * day), Number: 2, Attempt: 1, Reference: "re_1"}
	run(t, []scenario{
		{name: "returned", given: twice, when: back, then: events{{Kind: &ledgerv1.Event_DuplicateChargeReturned{DuplicateChargeReturned: &ledgerv1.DuplicateChargeReturned{
			PayNumber: 2, Attempt: 1, RefundReference: "re_1", Amount: usd(4700),
		}}}}},
		{name: "returned twice", given: with(twice, back), when: back},
		{name: "observed twice", given: twice, when: settle(feb.Add(3*day), 2, 1, 4700)},
		{name: "observed after it was returned", given: with(twice, back), when: settle(feb.Add(3*day), 2, 1, 4700)},
	})
	s := after(t, twice...)
	paid, _ := s.FindAttempt(2, 2)
	second, _ := s.FindAttempt(2, 1)
	equal(t, "charges", len(s.Charges), 2)
	if second.RefundKey == "" || second.RefundKey == second.Key || second.RefundKey == paid.Key {
		t.Errorf("the key %q of the return is not its own", second.RefundKey)
	}
}

// A charge of another amount blocks: nothing is charged until somebody resolves it, but the buyer may still leave.
func TestMismatchBlocks(t *testing.T) {
	t.Parallel()
	blocked := with(due(), settle(feb, 2, 1, 4600))
	run(t, []scenario{
		{name: "wake", given: blocked, when: wake(apr), status: subscription.Active},
		{name: "told twice", given: blocked, when: settle(feb, 2, 1, 4600)},
		{name: "cancel", given: blocked, when: cancel(apr), status: subscription.Cancelled, then: events{cancelled(2, byBuyer)}},
	})
	s := after(t, blocked...)
	equal(t, "mismatch", s.Mismatch, true)
	equal(t, "paid", s.Paid, uint32(1))
	equal(t, "due", s.Due(feb), never)
}

// Keys derive from what is done and from nothing else.
func TestKeys(t *testing.T) {
	t.Parallel()
	keys := map[string]string{}
	note := func(what, key string) {
		t.Helper()
		if len(key) != 32 {
			t.Errorf("%s: key %q has %d characters, want 32", what, key, len(key))
		}
		for other, k := range keys {
			if k == key {
				t.Errorf("%s and %s have the same key %s", what, other, key)
			}
		}
		keys[what] = key
	}
	first := startAt(t0, terms(subscription.Recurring))
	note("1/1", after(t, first).Attempts[0].Key)
	again := startAt(t0.Add(time.Hour), terms(subscription.Recurring, regular(1)))
	equal(t, "the same attempt after a restore", after(t, again).Attempts[0].Key, keys["1/1"])
	other := first
	other.Merchant = "acme2"
	note("of another merchant", after(t, other).Attempts[0].Key)
	other = first
	other.ID = "s2"
	note("of another subscription", after(t, other).Attempts[0].Key)
	s := after(t, with(due(), doubt(feb, 2, 1), absent(feb, 2, 1), wake(feb))...)
	note("2/1", s.Attempts[1].Key)
	note("2/2", s.Attempts[2].Key)
	id := subscription.RefundID("subscription-acme.s1", "r1")
	equal(t, "length of a refund's id", len(id), 23)
	if other := subscription.RefundID("subscription-acme.s2", "r1"); other == id {
		t.Errorf("two streams share the refund id %s", id)
	}
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	equal(t, "name", subscription.StateName(subscription.PastDue), "past_due")
}
