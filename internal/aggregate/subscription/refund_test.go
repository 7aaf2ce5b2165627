package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// refund asks for a part of the first payment; 0 for all that is left.
func refund(id string, minor int64) command {
	c := subscription.Refund{Now: t0.Add(day), ID: id, OrderID: orders + 1}
	if minor != 0 {
		c.Amount = usd(minor)
	}
	return c
}

func refunded(id string) command {
	return subscription.SettleRefund{Now: t0.Add(2 * day), ID: id, Reference: "re_" + id}
}

func giveUp(id string) command {
	return subscription.FailRefund{Now: t0.Add(2 * day), ID: id, Code: "absent"}
}

func reverse(id string) command {
	return subscription.ReverseRefund{Now: t0.Add(3 * day), ID: id, Code: "returned"}
}

func refundRequested(id string, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: id, ParentOrderId: orders + 1, PayNumber: 1, Amounts: price(minor),
	}}}
}

func refundSucceeded(order int64, id string, minor int64, full bool, over int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
		OrderId: orders + order, RefundId: id, ParentOrderId: orders + 1, OriginalOrderId: orders + 1, PayNumber: 1,
		Amounts: price(minor), Reference: "re_" + id, Full: full, OverReturned: over > 0, Excess: excess(over),
	}}}
}

func refundReversed(order int64, id string, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundReversed{RefundReversed: &ledgerv1.RefundReversed{
		OrderId: orders + order, RefundId: id, ParentOrderId: orders + 1, OriginalOrderId: orders + 1, PayNumber: 1,
		Amounts: price(minor), Code: "returned",
	}}}
}

func TestRefund(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "all", given: bought(), when: refund("r1", 0), then: events{refundRequested("r1", 4700)}},
		{name: "a part", given: bought(), when: refund("r1", 1000), then: events{refundRequested("r1", 1000)}},
		{name: "all that is left", given: with(bought(), refund("r1", 1000), refunded("r1")), when: refund("r2", 0), then: events{refundRequested("r2", 3700)}},
		{name: "all that is left, while one is open", given: with(bought(), refund("r1", 1000)), when: refund("r2", 0), then: events{refundRequested("r2", 3700)}},
		{name: "after the end", given: with(bought(), cancel(t0)), when: refund("r1", 0), then: events{refundRequested("r1", 4700)}},
		{name: "after a failed one", given: with(bought(), refund("r1", 0), giveUp("r1")), when: refund("r2", 0), then: events{refundRequested("r2", 4700)}},
		{name: "after a reversed one", given: with(bought(), refund("r1", 0), refunded("r1"), reverse("r1")), when: refund("r2", 0), then: events{refundRequested("r2", 4700)}},
		{name: "more than was captured", given: bought(), when: refund("r1", 4701), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "more than is left", given: with(bought(), refund("r1", 4000), refunded("r1")), when: refund("r2", 701), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "more than is left of an open one", given: with(bought(), refund("r1", 4000)), when: refund("r2", 701), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "twice", given: with(bought(), refund("r1", 0)), when: refund("r2", 0), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "nothing", given: bought(), when: subscription.Refund{Now: t0, ID: "r1", OrderID: orders + 1, Amount: usd(0)}, refused: "AMOUNT_RANGE"},
		{name: "less than nothing", given: bought(), when: refund("r1", -1), refused: "AMOUNT_RANGE"},
		{name: "another currency", given: bought(), refused: "CURRENCY_MISMATCH",
			when: subscription.Refund{Now: t0, ID: "r1", OrderID: orders + 1, Amount: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 1}}},
		{name: "a payment that nobody made", given: bought(), when: subscription.Refund{Now: t0, ID: "r1", OrderID: orders + 9}, refused: "PAYMENT_NOT_FOUND"},
		{name: "no payment named", given: bought(), when: subscription.Refund{Now: t0, ID: "r1"}, refused: "PAYMENT_NOT_FOUND"},
		{name: "a failed payment", given: with(due(), decline(feb, 2, 1, soft)), when: subscription.Refund{Now: feb, ID: "r1", OrderID: orders + 2}, refused: "NOT_CAPTURED"},
		{name: "a failed payment while the next attempt is in doubt", given: with(failed(0), wake(step(1)), doubt(step(1), 2, 2)),
			when: subscription.Refund{Now: step(1), ID: "r1", OrderID: orders + 2}, refused: "NOT_CAPTURED"},
		{name: "a payment in doubt", given: with(due(), doubt(feb, 2, 1)), when: subscription.Refund{Now: feb, ID: "r1", OrderID: orders + 2}, refused: "PAYMENT_OUTCOME_UNKNOWN"},
		{name: "a free trial", given: commands{start(terms(subscription.Recurring, trial(14, 0))), settle(t0, 1, 1, 0)}, when: refund("r1", 0), refused: "NOT_CAPTURED"},
		{name: "the first payment while the second is in doubt", given: with(due(), doubt(feb, 2, 1)), when: refund("r1", 0), then: events{refundRequested("r1", 4700)}},
	})
	s := after(t, with(bought(), refund("r1", 1000))...)
	r, ok := s.FindRefund("r1")
	if !ok {
		t.Fatal("the refund is not found")
	}
	equal(t, "refund", r, &subscription.RefundRecord{ID: "r1", Parent: orders + 1, Number: 1, Amounts: price(1000), Key: r.Key,
		Connection: "main", ChargeReference: "ch_1_1", RequestedAt: t0.Add(day)})
	if got, ok := s.FindRefund("r2"); ok {
		t.Errorf("got a refund that nobody asked for: %+v", got)
	}
}

func TestRefundOutcomes(t *testing.T) {
	t.Parallel()
	asked := with(bought(), refund("r1", 0))
	pended := subscription.PendRefund{Now: t0.Add(day), ID: "r1", Reference: "re_1"}
	doubted := subscription.DoubtRefund{Now: t0.Add(day), SentAt: t0.Add(day), ID: "r1", Why: "timeout"}
	failed := &ledgerv1.Event{Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{RefundId: "r1", Code: "absent"}}}
	parts := with(bought(), refund("r1", 1000), refunded("r1"), refund("r2", 1700), refunded("r2"))
	run(t, []scenario{
		{name: "full", given: asked, when: refunded("r1"), status: subscription.Active, then: events{refundSucceeded(2, "r1", 4700, true, 0)}},
		{name: "first of three parts", given: with(bought(), refund("r1", 1000)), when: refunded("r1"), then: events{refundSucceeded(2, "r1", 1000, false, 0)}},
		{name: "second of three parts", given: with(bought(), refund("r1", 1000), refunded("r1"), refund("r2", 1700)), when: refunded("r2"),
			then: events{refundSucceeded(3, "r2", 1700, false, 0)}},
		{name: "last of three parts is the full one", given: with(parts, refund("r3", 0)), when: refunded("r3"), then: events{refundSucceeded(4, "r3", 2000, true, 0)}},
		{name: "an open one does not count", given: with(bought(), refund("r1", 1000), refund("r2", 3700)), when: refunded("r2"),
			then: events{refundSucceeded(2, "r2", 3700, false, 0)}},
		{name: "succeeds twice", given: with(asked, refunded("r1")), when: refunded("r1")},
		{name: "pending", given: asked, when: pended, then: events{{Kind: &ledgerv1.Event_RefundPending{RefundPending: &ledgerv1.RefundPending{RefundId: "r1", Reference: "re_1"}}}}},
		{name: "pending twice", given: with(asked, pended), when: pended},
		{name: "unknown", given: asked, when: doubted, then: events{{Kind: &ledgerv1.Event_RefundUnknown{RefundUnknown: &ledgerv1.RefundUnknown{
			RefundId: "r1", Why: "timeout", SentAt: at(t0.Add(day))}}}}},
		{name: "unknown twice", given: with(asked, doubted), when: doubted},
		{name: "unknown, then found", given: with(asked, doubted), when: refunded("r1"), then: events{refundSucceeded(2, "r1", 4700, true, 0)}},
		{name: "fails", given: asked, when: giveUp("r1"), then: events{failed}},
		{name: "fails twice", given: with(asked, giveUp("r1")), when: giveUp("r1")},
		{name: "given up, then found", given: with(asked, giveUp("r1")), when: refunded("r1"), then: events{refundSucceeded(2, "r1", 4700, true, 0)}},
		{name: "given up, done again, then found: over-returned", given: with(asked, giveUp("r1"), refund("r2", 0), refunded("r2")), when: refunded("r1"),
			then: events{refundSucceeded(3, "r1", 4700, true, 4700)}},
		{name: "fails after it succeeded: that is a reversal", given: with(asked, refunded("r1")), when: giveUp("r1")},
		{name: "reversed", given: with(asked, refunded("r1")), when: reverse("r1"), then: events{refundReversed(3, "r1", 4700)}},
		{name: "reversed twice", given: with(asked, refunded("r1"), reverse("r1")), when: reverse("r1")},
		{name: "reversed, then told as done again", given: with(asked, refunded("r1"), reverse("r1")), when: refunded("r1")},
		{name: "reversed before it was done", given: asked, when: reverse("r1"), refused: "REFUND_NOT_DONE"},
		{name: "pending of nothing", given: asked, when: subscription.PendRefund{ID: "r9"}, refused: "REFUND_NOT_FOUND"},
		{name: "unknown of nothing", given: asked, when: subscription.DoubtRefund{ID: "r9"}, refused: "REFUND_NOT_FOUND"},
		{name: "success of nothing", given: asked, when: refunded("r9"), refused: "REFUND_NOT_FOUND"},
		{name: "failure of nothing", given: asked, when: giveUp("r9"), refused: "REFUND_NOT_FOUND"},
		{name: "reversal of nothing", given: asked, when: reverse("r9"), refused: "REFUND_NOT_FOUND"},
	})
	s := after(t, with(asked, doubted)...)
	equal(t, "in doubt", s.InDoubt(), true)
	if ls := s.Lookups(); len(ls) != 1 || ls[0].Refund == nil || ls[0].Refund.ID != "r1" || !ls[0].Sent.Equal(t0.Add(day)) {
		t.Errorf("got look-ups %+v, want one of r1", ls)
	}
	equal(t, "looked up", s.Due(t0.Add(day)), t0.Add(day+30*time.Second))
}

// The parts of partial refunds are those of the payment, and the last one takes what the others left.
func TestRefundParts(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	parts := terms(subscription.OneTime)
	parts.Regular = &ledgerv1.Amounts{Base: usd(10000), Discount: usd(1500), Shipping: usd(995), Tax: usd(1615)}
	l.do(start(parts), settle(t0, 1, 1, 11110))
	sum := price(0)
	for i, minor := range []int64{3333, 3333, 0} {
		id := string(rune('a' + i))
		got, err := l.ask(refund(id, minor))
		if err != nil {
			t.Fatal(err)
		}
		a := got[0].GetRefundRequested().Amounts
		if a.Full.MinorUnits != a.Base.MinorUnits-a.Discount.MinorUnits+a.Shipping.MinorUnits+a.Tax.MinorUnits {
			t.Errorf("refund %d does not balance: %v", i, a)
		}
		for _, p := range [][2]*ledgerv1.Money{{sum.Full, a.Full}, {sum.Base, a.Base}, {sum.Discount, a.Discount}, {sum.Shipping, a.Shipping}, {sum.Tax, a.Tax}} {
			p[0].MinorUnits += p[1].MinorUnits
		}
		l.do(refunded(id))
	}
	equal(t, "sum of the refunds", sum, l.state.Charges[0].Amounts)
	equal(t, "refunded", l.state.Charges[0].Refunded, sum)
}

// A caller can say which parts go back, as long as no part of them, and no part of what then stays, is overdrawn.
func TestRefundByParts(t *testing.T) {
	t.Parallel()
	of := func(base, discount, shipping, tax int64) *ledgerv1.Amounts {
		return &ledgerv1.Amounts{Full: usd(base - discount + shipping + tax), Base: usd(base), Discount: usd(discount), Shipping: usd(shipping), Tax: usd(tax)}
	}
	sold := terms(oneTime)
	sold.Regular = of(10000, 1500, 995, 1615)
	given := commands{start(sold), settle(t0, 1, 1, 11110)}
	back := func(id string, a *ledgerv1.Amounts) command {
		return subscription.Refund{Now: t0.Add(day), ID: id, OrderID: orders + 1, Parts: a}
	}
	asked := func(id string, a *ledgerv1.Amounts) events {
		return events{{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{RefundId: id, ParentOrderId: orders + 1, PayNumber: 1, Amounts: a}}}}
	}
	shipping := with(given, back("r1", of(0, 0, 995, 0)))
	run(t, []scenario{
		{name: "shipping alone", given: given, when: back("r1", of(0, 0, 995, 0)), then: asked("r1", of(0, 0, 995, 0))},
		{name: "all", given: given, when: back("r1", of(10000, 1500, 995, 1615)), then: asked("r1", of(10000, 1500, 995, 1615))},
		{name: "parts that are left out are nothing", given: given, when: back("r1", &ledgerv1.Amounts{Base: usd(100)}), then: asked("r1", of(100, 0, 0, 0))},
		{name: "base with its discount", given: given, when: back("r1", of(5000, 750, 0, 0)), then: asked("r1", of(5000, 750, 0, 0))},
		{name: "the rest, prorated", given: with(shipping, refunded("r1")), when: refund("r2", 0), then: asked("r2", of(10000, 1500, 0, 1615))},
		{name: "shipping twice", given: shipping, when: back("r2", of(0, 0, 1, 0)), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "shipping twice, the first one failed", given: with(shipping, giveUp("r1")), when: back("r2", of(0, 0, 995, 0)), then: asked("r2", of(0, 0, 995, 0))},
		{name: "more base than was sold", given: given, when: back("r1", of(10001, 1500, 0, 0)), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "more tax", given: given, when: back("r1", of(0, 0, 0, 1616)), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "more discount", given: given, when: back("r1", of(10000, 1501, 0, 0)), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "more base than the discount leaves", given: given, when: back("r1", of(8501, 0, 0, 0)), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "as much base as the discount leaves", given: given, when: back("r1", of(8500, 0, 0, 0)), then: asked("r1", of(8500, 0, 0, 0))},
		{name: "nothing", given: given, when: back("r1", of(0, 0, 0, 0)), refused: "AMOUNT_RANGE"},
		{name: "parts that do not add up", given: given, when: back("r1", &ledgerv1.Amounts{Base: usd(1), Full: usd(2)}), refused: "AMOUNTS_UNBALANCED"},
		{name: "in another currency", given: given, when: back("r1", &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 1}}), refused: "CURRENCY_MISMATCH"},
		{name: "both an amount and its parts", given: given, refused: "AMOUNT_OR_PARTS",
			when: subscription.Refund{Now: t0, ID: "r1", OrderID: orders + 1, Amount: usd(1), Parts: of(1, 0, 0, 0)}},
	})
}

func TestRefundAndCancel(t *testing.T) {
	t.Parallel()
	both := func(reason ledgerv1.CancelReason) command {
		return subscription.Refund{Now: t0.Add(day), ID: "r1", OrderID: orders + 1, Cancel: true, CancelReason: reason}
	}
	once := commands{start(terms(oneTime)), settle(t0, 1, 1, 4700)}
	run(t, []scenario{
		{name: "for no reason: the buyer's wish", given: bought(), when: both(0), status: subscription.Cancelled, then: events{refundRequested("r1", 4700), cancelled(2, byBuyer)}},
		{name: "for a reason", given: bought(), when: both(byMerchant), status: subscription.Cancelled, then: events{refundRequested("r1", 4700), cancelled(2, byMerchant)}},
		{name: "for a reason of ours", given: bought(), when: both(byDunning), refused: "CANCEL_REASON_INVALID"},
		{name: "paused", given: with(bought(), pause(t0)), when: both(0), status: subscription.Cancelled, then: events{refundRequested("r1", 4700), cancelled(2, byBuyer)}},
		{name: "what is completed", given: once, when: both(0), status: subscription.Completed, then: events{refundRequested("r1", 4700)}},
		{name: "what is cancelled", given: with(bought(), cancel(t0)), when: both(0), status: subscription.Cancelled, then: events{refundRequested("r1", 4700)}},
		{name: "what cannot be refunded is not cancelled", given: with(bought(), refund("r0", 0)), when: both(0), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "the refund succeeds after it", given: with(bought(), both(0)), when: refunded("r1"), status: subscription.Cancelled, then: events{refundSucceeded(3, "r1", 4700, true, 0)}},
	})
}

// A refund that was given up turns up, and another one had been promised its amount: that one is not sent any more.
func TestRefundTurnsUpBesideAnother(t *testing.T) {
	t.Parallel()
	given := with(bought(), refund("r1", 0), giveUp("r1"), refund("r2", 0), refunded("r1"))
	run(t, []scenario{{name: "it was sent all the same", given: given, when: refunded("r2"), then: events{refundSucceeded(3, "r2", 4700, true, 4700)}}})
	r2, _ := after(t, given...).FindRefund("r2")
	equal(t, "withdrawn", r2.Withdrawn, true)
	room := after(t, with(bought(), refund("r1", 1000), giveUp("r1"), refund("r2", 3700), refunded("r1"))...)
	r2, _ = room.FindRefund("r2")
	equal(t, "withdrawn though both fit", r2.Withdrawn, false)
}

// A chargeback overtakes a refund: the intent is withdrawn, and what the gateway did all the same is recorded.
func TestRefundRacesAChargeback(t *testing.T) {
	t.Parallel()
	raced := with(bought(), refund("r1", 1000), takeBack("d1", 0))
	run(t, []scenario{
		{name: "found done: more went back than was captured", given: raced, when: refunded("r1"), then: events{refundSucceeded(4, "r1", 1000, true, 1000)}},
		{name: "found failed", given: raced, when: giveUp("r1"), then: events{{Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{RefundId: "r1", Code: "absent"}}}}},
		{name: "nothing is left to refund", given: raced, when: refund("r2", 0), refused: "REFUND_EXCEEDS_CAPTURED"},
		{name: "a part was charged back, the rest refunded", given: with(bought(), takeBack("d1", 4000), refund("r1", 0)), when: refunded("r1"),
			then: events{refundSucceeded(4, "r1", 700, true, 0)}},
		{name: "reinstated: it can be refunded again", given: with(bought(), takeBack("d1", 0), giveBack("d1")), when: refund("r1", 0), then: events{refundRequested("r1", 4700)}},
	})
	later := subscription.Refund{Now: feb, ID: "r2", OrderID: orders + 2}
	beside, _ := after(t, with(due(), settle(feb, 2, 1, 4700), later, takeBack("d1", 0))...).FindRefund("r2")
	equal(t, "a refund of another payment is withdrawn", beside.Withdrawn, false)
	s := after(t, raced...)
	r, _ := s.FindRefund("r1")
	equal(t, "withdrawn", r.Withdrawn, true)
	equal(t, "in doubt", s.InDoubt(), true)
	if ls := s.Lookups(); len(ls) != 1 || ls[0].Refund != r {
		t.Errorf("got look-ups %+v, want one of r1", ls)
	}
}
