package scenario_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// bought is a monthly subscription of 249.95 whose first payment succeeded on 2 March 2012.
func bought(more ...step) []step {
	return append([]step{
		{"2012-03-02", start(monthly(usd(24995))), "subscription_started, payment_requested 1.1 249.95"},
		{"2012-03-02", settled(1, 1, usd(24995)), "payment_succeeded 1.1 249.95"},
	}, more...)
}

// shipped is bought, the 249.95 being 200.00 for the goods, 9.95 for the shipping and 40.00 of tax.
func shipped(more ...step) []step {
	terms := monthly(usd(20000))
	terms.Regular.Shipping, terms.Regular.Tax = usd(995), usd(4000)
	life := bought(more...)
	life[0].do = start(terms)
	return life
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	parts := func(base int64) act {
		return func(now time.Time) command {
			return subscription.Refund{Now: now, ID: "r2", OrderID: 10001, Parts: &ledgerv1.Amounts{Base: usd(base)}}
		}
	}
	live(t, []scenario{
		// What went back is not owed again: the number stays paid, and the next one is due on its day.
		{"the whole of the first payment after a free trial", []step{
			{"2012-02-01", start(after(30, usd(0), monthly(usd(23382)))), "subscription_started, payment_requested 1.1 0.00"},
			{"2012-02-01", settled(1, 1, usd(0)), "payment_succeeded 1.1 0.00"},
			{"2012-03-02", wake, "payment_requested 2.1 233.82"},
			{"2012-03-02", settled(2, 1, usd(23382)), "payment_succeeded 2.1 233.82"},
			{"2012-03-03", refund("r1", 10002, nil), "refund_requested 233.82"},
			{"2012-03-03", refunded("r1"), "refund_succeeded 233.82"},
			{"2012-03-03", rebill(2), "refused: PAY_NUMBER_PAID"},
			{"2012-03-03", rebill(0), "refused: NOT_DUE"},
			{"2012-03-03", wake, ""},
		}, "active, paid 2, due 2012-04-02", []string{
			"10001 sale 1 0.00 paid",
			"10002 rebill 2 +233.82 refunded",
			"10003 refund 2 -233.82 of 10002",
		}, []string{"refunds 233.82 USD", "sales -233.82 USD"}},

		{"three parts, one of them given as parts", bought(
			step{"2012-03-05", refund("r1", 10001, usd(1000)), "refund_requested 10.00"},
			step{"2012-03-05", refunded("r1"), "refund_succeeded 10.00"},
			step{"2012-03-06", parts(100), "refund_requested 1.00"},
			step{"2012-03-06", refunded("r2"), "refund_succeeded 1.00"},
			step{"2012-03-07", refund("r3", 10001, usd(1000)), "refund_requested 10.00"},
			step{"2012-03-07", refunded("r3"), "refund_succeeded 10.00"},
			step{"2012-03-08", refund("r4", 10001, usd(22896)), "refused: REFUND_EXCEEDS_CAPTURED"},
		), "active, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 partially_refunded",
			"10002 partial_refund 1 -10.00 of 10001",
			"10003 partial_refund 1 -1.00 of 10001",
			"10004 partial_refund 1 -10.00 of 10001",
		}, []string{"gateway:main 228.95 USD", "refunds 21.00 USD", "sales -249.95 USD"}},

		// Each message comes twice, and the first once more at the end: gateways that report sums repeat themselves.
		{"a part, then the rest, told again and again", bought(
			step{"2012-03-05", refund("r1", 10001, usd(1000)), "refund_requested 10.00"},
			step{"2012-03-05", refunded("r1"), "refund_succeeded 10.00"},
			step{"2012-03-05", refunded("r1"), ""},
			step{"2012-03-06", refund("r2", 10001, nil), "refund_requested 239.95"},
			step{"2012-03-06", refunded("r2"), "refund_succeeded 239.95"},
			step{"2012-03-06", refunded("r2"), ""},
			step{"2012-03-07", refunded("r1"), ""},
			step{"2012-03-07", refundSeen("re_r1", 10001, usd(1000)), ""}, // found at the desk: it is ours
			step{"2012-03-07", settled(1, 1, usd(24995)), ""},
			step{"2012-03-08", refund("r3", 10001, usd(1)), "refused: REFUND_EXCEEDS_CAPTURED"},
		), "active, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 refunded",
			"10002 partial_refund 1 -10.00 of 10001",
			"10003 refund 1 -239.95 of 10001",
		}, []string{"refunds 249.95 USD", "sales -249.95 USD"}},

		// 27 of 30 days of 249.95 are 224.955. Which cent that is is the caller's to say; it is returned as it is said. Its
		// parts are 180.004 of the goods, 8.9552 of the shipping and 36.0008 of the tax: the cent that rounding down
		// leaves over is the shipping's, whose remainder is the largest.
		{"an amount that was rounded half up", shipped(
			step{"2012-03-05", refund("r1", 10001, usd(22496)), "refund_requested 224.96"},
			step{"2012-03-05", refunded("r1"), "refund_succeeded 224.96"},
		), "active, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 partially_refunded",
			"10002 partial_refund 1 -224.96 of 10001",
		}, []string{"gateway:main 24.99 USD", "refunds 180.00 USD", "sales -200.00 USD", "shipping -0.99 USD", "tax_payable -4.00 USD"}},
		{"an amount that was rounded half up, and the rest", shipped(
			step{"2012-03-05", refund("r1", 10001, usd(22496)), "refund_requested 224.96"},
			step{"2012-03-05", refunded("r1"), "refund_succeeded 224.96"},
			step{"2012-03-06", refund("r2", 10001, nil), "refund_requested 24.99"},
			step{"2012-03-06", refunded("r2"), "refund_succeeded 24.99"},
		), "active, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 refunded",
			"10002 partial_refund 1 -224.96 of 10001",
			"10003 refund 1 -24.99 of 10001",
		}, []string{"refunds 200.00 USD", "sales -200.00 USD"}},
	})
}

// 75.00 EUR with 20 % tax were paid when the buyer leaves in the middle of the month; 15.00 of it go back in the same
// step, tax in proportion.
func TestRefundOfTheUnusedDaysEndsTheSubscription(t *testing.T) {
	t.Parallel()
	terms := monthly(eur(6250))
	terms.Regular.Tax = eur(1250)
	leave := func(now time.Time) command {
		return subscription.Refund{Now: now, ID: "r1", OrderID: 10001, Amount: eur(1500), Cancel: true}
	}
	live(t, []scenario{{"part of a month", []step{
		{"2023-02-08", start(terms), "subscription_started, payment_requested 1.1 75.00"},
		{"2023-02-08", settled(1, 1, eur(7500)), "payment_succeeded 1.1 75.00"},
		{"2023-02-21", leave, "refund_requested 15.00, subscription_cancelled"},
		{"2023-02-22", refunded("r1"), "refund_succeeded 15.00"},
		{"2023-03-08", wake, ""},
	}, "cancelled, paid 1", []string{
		"10001 sale 1 +75.00 partially_refunded",
		"10002 cancellation",
		"10003 partial_refund 1 -15.00 of 10001",
	}, []string{"gateway:main 60.00 EUR", "refunds 12.50 EUR", "sales -62.50 EUR", "tax_payable -10.00 EUR"}}})
}

func TestChargebacks(t *testing.T) {
	t.Parallel()
	live(t, []scenario{
		{"taken back and given back", bought(
			step{"2012-03-10", withdrawn("d1", 10001, nil, ignores), "dispute_funds_withdrawn 249.95"},
			step{"2012-03-20", reinstated("d1"), "dispute_funds_reinstated 249.95"},
			step{"2012-03-20", won("d1"), "dispute_closed"},
		), "active, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 chargeback 1 -249.95 of 10001",
			"10003 chargeback_reversed 1 +249.95 of 10001 silent",
		}, []string{"gateway:main 249.95 USD", "sales -249.95 USD"}},

		// Where a chargeback ends the subscription, winning brings back the money and nothing else.
		{"taken back, the end, and given back", bought(
			step{"2012-03-10", withdrawn("d1", 10001, nil, cancels), "dispute_funds_withdrawn 249.95, subscription_cancelled"},
			step{"2012-03-10", withdrawn("d1", 10001, nil, cancels), ""},
			step{"2012-03-20", reinstated("d1"), "dispute_funds_reinstated 249.95"},
			step{"2012-03-20", reinstated("d1"), ""},
			step{"2012-03-20", won("d1"), "dispute_closed"},
			step{"2012-04-02", wake, ""},
		), "cancelled, paid 1", []string{
			"10001 sale 1 +249.95 paid",
			"10002 chargeback 1 -249.95 of 10001",
			"10003 cancellation",
			"10004 chargeback_reversed 1 +249.95 of 10001 silent",
		}, []string{"gateway:main 249.95 USD", "sales -249.95 USD"}},

		// Banks do not ask what is left. What they took is a fact, and what exceeds the payment is a loss.
		{"five of 50.00 of a payment of 249.95", bought(
			step{"2012-03-10", withdrawn("d1", 10001, usd(5000), cancels), "dispute_funds_withdrawn 50.00, subscription_cancelled"},
			step{"2012-03-11", withdrawn("d2", 10001, usd(5000), cancels), "dispute_funds_withdrawn 50.00"},
			step{"2012-03-12", withdrawn("d3", 10001, usd(5000), cancels), "dispute_funds_withdrawn 50.00"},
			step{"2012-03-13", withdrawn("d4", 10001, usd(5000), cancels), "dispute_funds_withdrawn 50.00"},
			step{"2012-03-14", withdrawn("d5", 10001, usd(5000), cancels), "dispute_funds_withdrawn 50.00 over-returned"},
			step{"2012-03-15", refund("r1", 10001, nil), "refused: REFUND_EXCEEDS_CAPTURED"},
		), "cancelled, paid 1, disputed", []string{
			"10001 sale 1 +249.95 charged_back",
			"10002 chargeback 1 -50.00 of 10001",
			"10003 cancellation",
			"10004 chargeback 1 -50.00 of 10001",
			"10005 chargeback 1 -50.00 of 10001",
			"10006 chargeback 1 -50.00 of 10001",
			"10007 chargeback 1 -50.00 of 10001",
		}, []string{"chargebacks 249.95 USD", "gateway:main -0.05 USD", "losses 0.05 USD", "sales -249.95 USD"}},

		{"the one too many is given back", bought(
			step{"2012-03-10", withdrawn("d1", 10001, usd(20000), ignores), "dispute_funds_withdrawn 200.00"},
			step{"2012-03-14", withdrawn("d2", 10001, usd(5000), ignores), "dispute_funds_withdrawn 50.00 over-returned"},
			step{"2012-03-20", reinstated("d2"), "dispute_funds_reinstated 50.00"},
			step{"2012-03-21", refund("r1", 10001, nil), "refund_requested 49.95"},
			step{"2012-03-21", refunded("r1"), "refund_succeeded 49.95"},
		), "active, paid 1, due 2012-04-02, disputed", []string{
			"10001 sale 1 +249.95 charged_back",
			"10002 chargeback 1 -200.00 of 10001",
			"10003 chargeback 1 -50.00 of 10001",
			"10004 chargeback_reversed 1 +50.00 of 10001 silent",
			"10005 refund 1 -49.95 of 10001",
		}, []string{"chargebacks 200.00 USD", "refunds 49.95 USD", "sales -249.95 USD"}},

		{"10.00, one refunded, two taken back, one of them given back", []step{
			{"2015-06-01", start(sold(oneTime, usd(1000))), "subscription_started, payment_requested 1.1 10.00"},
			{"2015-06-01", settled(1, 1, usd(1000)), "payment_succeeded 1.1 10.00, subscription_completed"},
			{"2015-06-02", refund("r1", 10001, usd(100)), "refund_requested 1.00"},
			{"2015-06-02", refunded("r1"), "refund_succeeded 1.00"},
			{"2015-06-03", withdrawn("d1", 10001, usd(100), cancels), "dispute_funds_withdrawn 1.00"},
			{"2015-06-04", withdrawn("d2", 10001, usd(100), cancels), "dispute_funds_withdrawn 1.00"},
			{"2015-06-05", reinstated("d1"), "dispute_funds_reinstated 1.00"},
			{"2015-06-06", refund("r2", 10001, usd(801)), "refused: REFUND_EXCEEDS_CAPTURED"},
		}, "completed, paid 1, disputed", []string{
			"10001 sale 1 +10.00 charged_back",
			"10002 partial_refund 1 -1.00 of 10001",
			"10003 chargeback 1 -1.00 of 10001",
			"10004 chargeback 1 -1.00 of 10001",
			"10005 chargeback_reversed 1 +1.00 of 10001 silent",
		}, []string{"chargebacks 1.00 USD", "gateway:main 8.00 USD", "refunds 1.00 USD", "sales -10.00 USD"}},
	})
}

// rebilled is bought with a second payment, on 2 April.
func rebilled(more ...step) []step {
	return append(bought(
		step{"2012-04-02", wake, "payment_requested 2.1 249.95"},
		step{"2012-04-02", settled(2, 1, usd(24995)), "payment_succeeded 2.1 249.95"},
	), more...)
}

// The first of two payments is disputed 35 days after it was made, and comes back in May.
func TestChargebackHoldsTheNextPayment(t *testing.T) {
	t.Parallel()
	disputed := []string{
		"10001 sale 1 +249.95 paid",
		"10002 rebill 2 +249.95 paid",
		"10003 chargeback 1 -249.95 of 10001",
		"10004 chargeback_reversed 1 +249.95 of 10001 silent",
		"10005 rebill 3 +249.95 paid",
	}
	live(t, []scenario{
		{"policy hold", rebilled(
			step{"2012-04-06", withdrawn("d1", 10001, nil, holds), "dispute_funds_withdrawn 249.95"},
			step{"2012-05-02", wake, ""},
			step{"2012-05-02", rebill(0), "refused: PAYMENT_HELD"},
			step{"2012-05-10", reinstated("d1"), "dispute_funds_reinstated 249.95"},
			step{"2012-05-10", wake, ""}, // the money is back, the dispute is still open
			step{"2012-05-11", won("d1"), "dispute_closed"},
			step{"2012-05-11", wake, "payment_requested 3.1 249.95"},
			step{"2012-05-11", settled(3, 1, usd(24995)), "payment_succeeded 3.1 249.95"},
		), "active, paid 3, due 2012-06-02", disputed, []string{"gateway:main 749.85 USD", "sales -749.85 USD"}},
		{"policy ignore", rebilled(
			step{"2012-04-06", withdrawn("d1", 10001, nil, ignores), "dispute_funds_withdrawn 249.95"},
			step{"2012-04-10", reinstated("d1"), "dispute_funds_reinstated 249.95"},
			step{"2012-04-10", won("d1"), "dispute_closed"},
			step{"2012-05-02", wake, "payment_requested 3.1 249.95"},
			step{"2012-05-02", settled(3, 1, usd(24995)), "payment_succeeded 3.1 249.95"},
		), "active, paid 3, due 2012-06-02", disputed, []string{"gateway:main 749.85 USD", "sales -749.85 USD"}},
		// A refund is the merchant's own will: it holds nothing.
		{"a refund instead", rebilled(
			step{"2012-04-06", refund("r1", 10001, nil), "refund_requested 249.95"},
			step{"2012-04-06", refunded("r1"), "refund_succeeded 249.95"},
			step{"2012-05-02", wake, "payment_requested 3.1 249.95"},
			step{"2012-05-02", settled(3, 1, usd(24995)), "payment_succeeded 3.1 249.95"},
		), "active, paid 3, due 2012-06-02", []string{
			"10001 sale 1 +249.95 refunded",
			"10002 rebill 2 +249.95 paid",
			"10003 refund 1 -249.95 of 10001",
			"10004 rebill 3 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "refunds 249.95 USD", "sales -749.85 USD"}},
	})
}

// Books tell a payment in the month in which it was made and its refund in the month in which that was, and what was
// not known yet at the end of a month is not in the books as they were then.
func TestBooksByMonth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live("s1",
		step{"2024-01-01", start(sold(oneTime, usd(9000))), "subscription_started, payment_requested 1.1 90.00"},
		step{"2024-01-01", settled(1, 1, usd(9000)), "payment_succeeded 1.1 90.00, subscription_completed"},
		step{"2024-02-01", refund("r1", 10001, nil), "refund_requested 90.00"},
		step{"2024-02-01", refunded("r1"), "refund_succeeded 90.00"},
	)
	// Another one is asked for in January and paid by transfer on 9 February.
	w.live("s2",
		step{"2024-01-31", startAs("s2", 2, sold(oneTime, usd(2000))), "subscription_started, payment_requested 1.1 20.00"},
		step{"2024-01-31", pending(1, 1), "payment_pending 1.1"},
		step{"2024-02-09", settled(1, 1, usd(2000)), "payment_succeeded 1.1 20.00, subscription_completed"},
	)
	// A third one was charged on 31 January, and nobody knew before 2 February.
	found := func(now time.Time) command {
		c := settlement(now, 1, 1, usd(500))
		c.At = on("2024-01-31")
		return c
	}
	w.live("s3",
		step{"2024-01-31", startAs("s3", 3, sold(oneTime, usd(500))), "subscription_started, payment_requested 1.1 5.00"},
		step{"2024-01-31", silent(1, 1), "payment_unknown 1.1"},
		step{"2024-02-02", found, "payment_succeeded 1.1 5.00, subscription_completed"},
	)
	views := w.views()
	january := projection.PeriodFilter{OccurredTo: on("2024-02-01")}
	equal(t, "January", w.books(views, january), []string{"gateway:main 95.00 USD", "sales -95.00 USD"})
	equal(t, "February", w.books(views, projection.PeriodFilter{OccurredFrom: on("2024-02-01"), OccurredTo: on("2024-03-01")}),
		[]string{"gateway:main -70.00 USD", "refunds 90.00 USD", "sales -20.00 USD"})
	equal(t, "both", w.books(views, projection.PeriodFilter{}), []string{"gateway:main 25.00 USD", "refunds 90.00 USD", "sales -115.00 USD"})
	january.AsOf = on("2024-02-01")
	equal(t, "January as it was known when it was over", w.books(views, january), []string{"gateway:main 90.00 USD", "sales -90.00 USD"})
}
