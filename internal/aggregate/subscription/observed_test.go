package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// byGateway is an import whose schedule the gateway runs: its third payment is due in February.
func byGateway(changes ...change) commands {
	c := anchored(importAt(t0, terms(recurring, changes...), importActive, 2, feb), t0)
	c.Request.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	return commands{c}
}

// observe is a payment that the gateway took by itself.
func observe(at time.Time, reference string, minor int64) subscription.ObservePayment {
	return subscription.ObservePayment{Now: at.Add(time.Hour), At: at, Reference: reference, Amount: usd(minor)}
}

func observed(order int64, number uint32, reference string, minor int64, left uint32, next, through time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
		OrderId: orders + order, PayNumber: number, Amounts: price(minor), Reference: reference, OriginalOrderId: orders + 1,
		PaymentsLeft: left, NextDue: at(next), PaidThrough: at(through), Ended: next.IsZero() && !through.IsZero(),
	}}}
}

func TestObservePayment(t *testing.T) {
	t.Parallel()
	given := byGateway()
	plan := func(paid uint32) commands {
		c := anchored(importAt(t0, terms(installments, payments(3)), importActive, paid, feb), t0)
		c.Request.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
		return commands{c}
	}
	fee := func(c subscription.ObservePayment, m *ledgerv1.Money) subscription.ObservePayment {
		c.Fee = m
		return c
	}
	settled := func(c subscription.ObservePayment, m *ledgerv1.Money) subscription.ObservePayment {
		c.Settled = m
		return c
	}
	parts := func(a *ledgerv1.Amounts) subscription.ObservePayment {
		return subscription.ObservePayment{Now: feb, Reference: "ch_1", Amounts: a}
	}
	euro := &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 4700}
	run(t, []scenario{
		{name: "when due", given: given, when: observe(feb, "ch_1", 4700), status: subscription.Active, then: events{observed(1, 3, "ch_1", 4700, 9999, mar, mar)}},
		{name: "early", given: given, when: observe(feb.Add(-day), "ch_1", 4700), then: events{observed(1, 3, "ch_1", 4700, 9999, mar, mar)}},
		{name: "late", given: given, when: observe(feb.Add(9*day), "ch_1", 4700), then: events{observed(1, 3, "ch_1", 4700, 9999, mar, mar)}},
		{name: "learned months later: the gateway's schedule went on", given: given,
			when: subscription.ObservePayment{Now: may, At: feb, Reference: "ch_1", Amount: usd(4700)}, then: events{observed(1, 3, "ch_1", 4700, 9999, mar, mar)}},
		{name: "months late at the gateway: what it left out is its own", given: given, when: observe(apr.Add(day), "ch_1", 4700), then: events{observed(1, 3, "ch_1", 4700, 9999, may, may)}},
		{name: "told twice", given: with(given, observe(feb, "ch_1", 4700)), when: observe(feb, "ch_1", 4700)},
		{name: "the next one", given: with(given, observe(feb, "ch_1", 4700)), when: observe(mar, "ch_2", 4700), then: events{observed(2, 4, "ch_2", 4700, 9999, apr, apr)}},
		{name: "of another amount: all base", given: given, when: observe(feb, "ch_1", 4600), then: events{observed(1, 3, "ch_1", 4600, 9999, mar, mar)}},
		{name: "with its parts", given: given, when: parts(&ledgerv1.Amounts{Base: usd(4700), Tax: usd(300)}), then: events{{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
			OrderId: orders + 1, PayNumber: 3, Amounts: &ledgerv1.Amounts{Full: usd(5000), Base: usd(4700), Discount: usd(0), Shipping: usd(0), Tax: usd(300)},
			Reference: "ch_1", OriginalOrderId: orders + 1, PaymentsLeft: 9999, NextDue: at(mar), PaidThrough: at(mar)}}}}},
		{name: "of a trial: the first regular one", given: commands{func() command {
			c := importAt(t0, terms(recurring, trial(14, 100)), importTrialing, 1, feb)
			c.Request.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
			return c
		}()}, when: observe(feb, "ch_1", 4700), status: subscription.Active, then: events{observed(1, 2, "ch_1", 4700, 9999, feb.AddDate(0, 1, 0), feb.AddDate(0, 1, 0))}},
		{name: "the last of a plan", given: plan(2), when: observe(feb, "ch_1", 4700), status: subscription.Completed, then: events{observed(1, 3, "ch_1", 4700, 0, never, never), completed(3)}},
		{name: "out of the plan: it is a fact", given: with(plan(2), observe(feb, "ch_1", 4700)), when: observe(mar, "ch_2", 4700), status: subscription.Completed,
			then: events{func() *ledgerv1.Event {
				e := observed(2, 4, "ch_2", 4700, 0, never, never)
				e.GetPaymentObserved().Ended = true
				return e
			}()}},
		{name: "after the end: no revival", given: with(given, cancel(t0.Add(day))), when: observe(feb, "ch_1", 4700), status: subscription.Cancelled,
			then: events{func() *ledgerv1.Event {
				e := observed(2, 3, "ch_1", 4700, 9999, never, mar)
				return e
			}()}},
		{name: "after the end, twice", given: with(given, cancel(t0.Add(day)), observe(feb, "ch_1", 4700)), when: observe(feb, "ch_1", 4700), status: subscription.Cancelled},
		{name: "with a fee, settled in another currency", given: given, when: settled(fee(observe(feb, "ch_1", 4700), usd(166)), euro),
			then: events{func() *ledgerv1.Event {
				e := observed(1, 3, "ch_1", 4700, 9999, mar, mar)
				e.GetPaymentObserved().Fee, e.GetPaymentObserved().Settled = usd(166), euro
				return e
			}()}},

		{name: "without a reference", given: given, when: observe(feb, "", 4700), refused: "REFERENCE_REQUIRED"},
		{name: "of nothing", given: given, when: observe(feb, "ch_1", 0), refused: "AMOUNT_RANGE"},
		{name: "without an amount", given: given, when: parts(nil), refused: "AMOUNT_REQUIRED"},
		{name: "in another currency", given: given, when: subscription.ObservePayment{Now: feb, Reference: "ch_1", Amount: euro}, refused: "CURRENCY_MISMATCH"},
		{name: "with parts that do not add up", given: given, when: parts(&ledgerv1.Amounts{Base: usd(1), Full: usd(2)}), refused: "AMOUNTS_UNBALANCED"},
		{name: "with a fee that cannot be", given: given, when: fee(observe(feb, "ch_1", 4700), usd(-1)), refused: "AMOUNT_RANGE"},
		{name: "settled as what cannot be", given: given, when: settled(observe(feb, "ch_1", 4700), usd(-1)), refused: "AMOUNT_RANGE"},
		{name: "where the ledger charges", given: bought(), when: observe(feb, "ch_x", 4700), refused: "LEDGER_SCHEDULE"},
		{name: "where nothing is", when: observe(feb, "ch_1", 4700), refused: "NOT_FOUND"},
	})
}

// The ledger leaves a gateway's schedule to the gateway.
func TestGatewaySchedule(t *testing.T) {
	t.Parallel()
	given := byGateway()
	paid := with(given, observe(feb, "ch_1", 4700))
	run(t, []scenario{
		{name: "nothing when due", given: given, when: wake(mar), status: subscription.Active},
		{name: "nothing when due again", given: paid, when: wake(may), status: subscription.Active},
		{name: "by hand", given: given, when: rebill(mar), refused: "GATEWAY_SCHEDULE"},
		{name: "cancelled", given: given, when: cancel(feb), status: subscription.Cancelled, then: events{cancelled(1, byBuyer)}},
		{name: "cancelled at the period's end", given: with(given, atPeriodEnd(t0)), when: wake(feb), status: subscription.Cancelled, then: events{func() *ledgerv1.Event {
			return cancelled(1, byMerchant)
		}()}},
		{name: "the agreement is gone", given: paid, when: subscription.LoseAgreement{Now: mar, Code: "mp_cancel"}, status: subscription.Cancelled,
			then: events{{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: "mp_cancel"}}}, cancelled(2, byAgreement)}},
		{name: "a payment is refunded", given: paid, when: subscription.Refund{Now: mar, ID: "r1", OrderID: orders + 1}, then: events{{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
			RefundId: "r1", ParentOrderId: orders + 1, PayNumber: 3, Amounts: price(4700)}}}}},
	})
	for name, c := range map[string]commands{"imported": given, "paid": paid} {
		equal(t, name+": due", after(t, c...).Due(never), never)
	}
	s := after(t, with(given, subscription.ObservePayment{Now: feb, Reference: "ch_1", Amount: usd(4700), Method: otherCard(), Connection: "second"})...)
	equal(t, "the method that the gateway names", s.Method, otherCard())
	equal(t, "charged through", s.Charges[0].Connection, "second")
	s = after(t, paid...)
	equal(t, "the method that is known", s.Method, card())
	equal(t, "charged through the one in use", s.Charges[0].Connection, "main")
	equal(t, "at", s.Charges[0].At, feb)
}

func observeRefund(reference string, minor int64) subscription.ObserveRefund {
	c := subscription.ObserveRefund{Now: t0.Add(2 * day), OrderID: orders + 1, Reference: reference, Reason: "at the desk"}
	if minor != 0 {
		c.Amount = usd(minor)
	}
	return c
}

func refundObserved(order int64, reference string, minor int64, full bool, over int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
		OrderId: orders + order, ParentOrderId: orders + 1, OriginalOrderId: orders + 1, PayNumber: 1, Amounts: price(minor),
		Reference: reference, Full: full, OverReturned: over > 0, Excess: excess(over), Reason: "at the desk",
	}}}
}

func TestObserveRefund(t *testing.T) {
	t.Parallel()
	most := with(bought(), refund("r1", 4000), refunded("r1"))
	unnamed := observeRefund("re_x", 100)
	unnamed.OrderID = orders + 9
	euro := observeRefund("re_x", 100)
	euro.Amount = &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 100}
	run(t, []scenario{
		{name: "all", given: bought(), when: observeRefund("re_x", 0), status: subscription.Active, then: events{refundObserved(2, "re_x", 4700, true, 0)}},
		{name: "a part", given: bought(), when: observeRefund("re_x", 1000), then: events{refundObserved(2, "re_x", 1000, false, 0)}},
		{name: "twice", given: with(bought(), observeRefund("re_x", 1000)), when: observeRefund("re_x", 1000)},
		{name: "two", given: with(bought(), observeRefund("re_x", 1000)), when: observeRefund("re_y", 3700), then: events{refundObserved(3, "re_y", 3700, true, 0)}},
		{name: "all that is left", given: most, when: observeRefund("re_x", 0), then: events{refundObserved(3, "re_x", 700, true, 0)}},
		{name: "more than is left: it is a fact, and flagged", given: most, when: observeRefund("re_x", 1000), then: events{refundObserved(3, "re_x", 1000, true, 300)}},
		{name: "more than was captured", given: bought(), when: observeRefund("re_x", 5000), then: events{refundObserved(2, "re_x", 5000, true, 300)}},
		{name: "all of what is back already", given: with(bought(), refund("r1", 0), refunded("r1")), when: observeRefund("re_x", 0), refused: "AMOUNT_RANGE"},
		{name: "our own, told by the gateway", given: with(bought(), refund("r1", 0), refunded("r1")), when: observeRefund("re_r1", 4700)},
		{name: "after the end", given: with(bought(), cancel(t0)), when: observeRefund("re_x", 0), status: subscription.Cancelled, then: events{refundObserved(3, "re_x", 4700, true, 0)}},
		{name: "reversed", given: with(bought(), observeRefund("re_x", 0)), when: refund("r1", 0), refused: "REFUND_EXCEEDS_CAPTURED"},

		{name: "without a reference", given: bought(), when: observeRefund("", 100), refused: "REFERENCE_REQUIRED"},
		{name: "less than nothing", given: bought(), when: observeRefund("re_x", -1), refused: "AMOUNT_RANGE"},
		{name: "in another currency", given: bought(), when: euro, refused: "CURRENCY_MISMATCH"},
		{name: "of a payment that nobody made", given: bought(), when: unnamed, refused: "PAYMENT_NOT_FOUND"},
		{name: "of a failed payment", given: with(due(), decline(feb, 2, 1, soft)), when: subscription.ObserveRefund{Now: feb, OrderID: orders + 2, Reference: "re_x"}, refused: "NOT_CAPTURED"},
		{name: "where nothing is", when: observeRefund("re_x", 100), refused: "NOT_FOUND"},
	})
}

// A refund at the desk takes what was promised to one that is on its way: that one is not sent any more.
func TestObservedRefundOvertakes(t *testing.T) {
	t.Parallel()
	s := after(t, with(bought(), refund("r1", 0), observeRefund("re_x", 100))...)
	r, _ := s.FindRefund("r1")
	equal(t, "withdrawn", r.Withdrawn, true)
	s = after(t, with(bought(), refund("r1", 4600), observeRefund("re_x", 100))...)
	r, _ = s.FindRefund("r1")
	equal(t, "withdrawn though both fit", r.Withdrawn, false)
	equal(t, "refunded", s.Charges[0].Refunded, price(100))
	one := after(t, with(bought(), observeRefund("re_x", 100))...)
	two := after(t, with(bought(), observeRefund("re_y", 100))...)
	if one.Refunds[0].ID == two.Refunds[0].ID || one.Refunds[0].ID != s.Refunds[1].ID {
		t.Errorf("ids do not follow from the gateway's: %q, %q, %q", one.Refunds[0].ID, two.Refunds[0].ID, s.Refunds[1].ID)
	}
	run(t, []scenario{{name: "it came back", given: with(bought(), observeRefund("re_x", 100)), status: subscription.Active,
		when: subscription.ReverseRefund{Now: t0.Add(3 * day), ID: one.Refunds[0].ID, Code: "returned"},
		then: events{refundReversed(3, one.Refunds[0].ID, 100)}}})
}

// A charge of another amount that went back frees its number.
func TestResolveMismatch(t *testing.T) {
	t.Parallel()
	now := feb.Add(day)
	resolve := func(number, attempt uint32) command {
		return subscription.ResolveMismatch{Now: now, Number: number, Attempt: attempt, Reference: "re_m"}
	}
	resolved := func(number, attempt uint32, minor int64) *ledgerv1.Event {
		return &ledgerv1.Event{Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: &ledgerv1.MismatchResolved{
			PayNumber: number, Attempt: attempt, Reference: "re_m", Amount: usd(minor),
		}}}
	}
	blocked := with(due(), settle(feb, 2, 1, 4600))
	first := commands{start(terms(recurring)), settle(t0, 1, 1, 4600)}
	stopped := with(failed(0), rebill(feb), decline(feb, 2, 2, hard), settle(feb, 2, 1, 4600))
	two := with(failed(0), rebill(feb), settle(feb, 2, 2, 4600), settle(feb, 2, 1, 4500))
	paid := with(failed(0), rebill(feb), settle(feb, 2, 2, 4700), settle(feb, 2, 1, 4600))
	unnamed := subscription.ResolveMismatch{Now: now, Number: 2, Attempt: 1}
	run(t, []scenario{
		{name: "resolved", given: blocked, when: resolve(2, 1), status: subscription.Active, then: events{resolved(2, 1, 4600)}},
		{name: "tried again at once", given: with(blocked, resolve(2, 1)), when: wake(now), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "of a first payment: failed", given: first, when: resolve(1, 1), status: subscription.Failed, then: events{resolved(1, 1, 4600)}},
		{name: "after the end", given: with(blocked, cancel(feb)), when: resolve(2, 1), status: subscription.Cancelled, then: events{resolved(2, 1, 4600)}},
		{name: "paused", given: with(blocked, pause(feb), resolve(2, 1)), when: wake(now), status: subscription.Paused},
		{name: "one of two: blocked", given: with(two, resolve(2, 1)), when: wake(now), status: subscription.PastDue},
		{name: "both", given: with(two, resolve(2, 1), resolve(2, 2)), when: wake(now), then: events{requested(2, 3, 0, 4700, feb)}},
		{name: "of a number that was paid: the next one when it is due", given: with(paid, resolve(2, 1)), when: wake(mar), then: events{requested(3, 1, 0, 4700, mar)}},
		{name: "of a number that was paid: nothing before", given: with(paid, resolve(2, 1)), when: wake(mar.Add(-1)), status: subscription.Active},
		{name: "the method must not be tried: nothing", given: with(stopped, resolve(2, 1)), when: wake(now), status: subscription.PastDue},
		{name: "the method must not be tried: the window ends", given: with(stopped, resolve(2, 1)), when: wake(step(3)), status: subscription.Cancelled, then: events{cancelled(4, byDunning)}},
		{name: "moved meanwhile: not before", given: with(blocked, move(feb, mar), resolve(2, 1)), when: wake(mar.Add(-1)), status: subscription.Active},
		{name: "moved meanwhile", given: with(blocked, move(feb, mar), resolve(2, 1)), when: wake(mar), then: events{requested(2, 2, 0, 4700, mar)}},
		{name: "twice", given: with(blocked, resolve(2, 1)), when: resolve(2, 1), refused: "MISMATCH_NOT_OPEN"},
		{name: "of a payment that was right", given: bought(), when: resolve(1, 1), refused: "MISMATCH_NOT_OPEN"},
		{name: "of an attempt that nobody made", given: blocked, when: resolve(2, 7), refused: "MISMATCH_NOT_OPEN"},
		{name: "without a reference", given: blocked, when: unnamed, refused: "REFERENCE_REQUIRED"},
		{name: "where nothing is", when: resolve(1, 1), refused: "NOT_FOUND"},
	})
	equal(t, "due", after(t, with(blocked, resolve(2, 1))...).Due(never), now)
}
