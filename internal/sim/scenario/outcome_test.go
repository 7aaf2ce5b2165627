package scenario_test

import (
	"testing"
	"time"

	"ledger.internal/ledger/internal/aggregate/subscription"
)

// asked is bought with a second payment that was asked for when it was due.
func asked(more ...step) []step {
	return append(bought(step{"2012-04-02", wake, "payment_requested 2.1 249.95"}), more...)
}

// resolved says that a charge of another amount went back.
func resolved(number, attempt uint32) act {
	return func(now time.Time) command {
		return subscription.ResolveMismatch{Now: now, Number: number, Attempt: attempt, Reference: "re_1"}
	}
}

// settledIn is a payment in the agreed currency that the gateway pays out in another one.
func settledIn(now time.Time) command {
	c := settlement(now, 1, 1, usd(24995))
	c.Settled = eur(22544)
	return c
}

func TestAnotherAmountOrCurrency(t *testing.T) {
	t.Parallel()
	live(t, []scenario{
		// A part of a payment pays nothing. The money is there, so it is in the books, but it is nobody's.
		{"10.00 of 249.95 at the start", []step{
			{"2012-03-02", start(monthly(usd(24995))), "subscription_started, payment_requested 1.1 249.95"},
			{"2012-03-02", settled(1, 1, usd(1000)), "amount_mismatch_observed 1.1 10.00 USD"},
			{"2012-03-02", settled(1, 1, usd(1000)), ""},
			{"2012-03-02", wake, ""},
			{"2012-03-02", rebill(0), "refused: AMOUNT_MISMATCH"},
			{"2012-03-03", withdrawn("d1", 10001, nil, cancels), "refused: PAYMENT_NOT_FOUND"},
		}, "pending, paid 0, another amount was charged", nil,
			[]string{"gateway:main 10.00 USD", "suspense:main -10.00 USD"}},
		{"10.00 of 249.95 at the start, returned", []step{
			{"2012-03-02", start(monthly(usd(24995))), "subscription_started, payment_requested 1.1 249.95"},
			{"2012-03-02", settled(1, 1, usd(1000)), "amount_mismatch_observed 1.1 10.00 USD"},
			{"2012-03-03", resolved(1, 1), "mismatch_resolved 1.1"},
			{"2012-03-03", wake, ""},
		}, "failed, paid 0", nil, nil},
		{"10.00 of 249.95 later, returned and charged anew", asked(
			step{"2012-04-02", settled(2, 1, usd(1000)), "amount_mismatch_observed 2.1 10.00 USD"},
			step{"2012-04-03", wake, ""},
			step{"2012-04-04", resolved(2, 1), "mismatch_resolved 2.1"},
			step{"2012-04-04", wake, "payment_requested 2.2 249.95"},
			step{"2012-04-04", settled(2, 2, usd(24995)), "payment_succeeded 2.2 249.95"},
		), "active, paid 2, due 2012-05-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 rebill 2 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "sales -499.90 USD"}},
		{"225.44 EUR in place of 249.95 USD", []step{
			{"2012-03-02", start(monthly(usd(24995))), "subscription_started, payment_requested 1.1 249.95"},
			{"2012-03-02", settled(1, 1, eur(22544)), "amount_mismatch_observed 1.1 225.44 EUR"},
		}, "pending, paid 0, another amount was charged", nil,
			[]string{"gateway:main 225.44 EUR", "suspense:main -225.44 EUR"}},
		// What the buyer paid counts, and not what the gateway pays out for it.
		{"249.95 USD, paid out as 225.44 EUR, taken back and given back", []step{
			{"2012-03-02", start(monthly(usd(24995))), "subscription_started, payment_requested 1.1 249.95"},
			{"2012-03-02", settledIn, "payment_succeeded 1.1 249.95"},
			{"2012-03-10", withdrawn("d1", 10001, eur(22544), ignores), "refused: CURRENCY_MISMATCH"},
			{"2012-03-10", withdrawn("d1", 10001, usd(24995), ignores), "dispute_funds_withdrawn 249.95"},
			{"2012-03-20", reinstated("d1"), "dispute_funds_reinstated 249.95"},
		}, "active, paid 1, due 2012-04-02, disputed", []string{
			"10001 sale 1 +249.95 paid",
			"10002 chargeback 1 -249.95 of 10001",
			"10003 chargeback_reversed 1 +249.95 of 10001 silent",
		}, []string{"gateway:main 249.95 USD", "sales -249.95 USD"}},
	})
}

// A gateway does not answer. Whatever the truth turns out to be, it is one payment under one pay number.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	live(t, []scenario{
		{"nobody knows", asked(
			step{"2012-04-02", silent(2, 1), "payment_unknown 2.1"},
			step{"2012-04-03", wake, ""},
			step{"2012-04-03", rebill(2), "refused: PAYMENT_OUTCOME_UNKNOWN"},
		), "active, paid 1, due 2012-04-02, in doubt", []string{"10001 sale 1 +249.95 paid"},
			[]string{"gateway:main 249.95 USD", "sales -249.95 USD"}},
		// The merchant tries again after eight days, and only then.
		{"it was declined, and the retry succeeds", bought(
			step{"2012-04-02", wakeDunning(8), "payment_requested 2.1 249.95"},
			step{"2012-04-02", silent(2, 1), "payment_unknown 2.1"},
			step{"2012-04-02 00:05", declined(2, 1), "payment_declined 2.1 249.95"},
			step{"2012-04-09", wakeDunning(8), ""},
			step{"2012-04-10", wakeDunning(8), "payment_requested 2.2 249.95"},
			step{"2012-04-10", settled(2, 2, usd(24995)), "payment_succeeded 2.2 249.95"},
		), "active, paid 2, due 2012-05-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 failed 2 249.95",
			"10003 rebill 2+1 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "sales -499.90 USD"}},
		// Absence is no decline: nobody is told, and no day of dunning is used up.
		{"it never arrived, and is sent anew", asked(
			step{"2012-04-02", silent(2, 1), "payment_unknown 2.1"},
			step{"2012-04-02 00:30", absent(2, 1), "payment_not_charged 2.1"},
			step{"2012-04-02 00:30", wake, "payment_requested 2.2 249.95"},
			step{"2012-04-02 00:30", settled(2, 2, usd(24995)), "payment_succeeded 2.2 249.95"},
		), "active, paid 2, due 2012-05-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 rebill 2 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "sales -499.90 USD"}},
		// What a caller asked for is what is due: it is tried again like any other.
		{"it was asked for by a caller, never arrived, and is sent anew", bought(
			step{"2012-04-02", rebill(2), "payment_requested 2.1 249.95"},
			step{"2012-04-02", silent(2, 1), "payment_unknown 2.1"},
			step{"2012-04-02 00:30", absent(2, 1), "payment_not_charged 2.1"},
			step{"2012-04-02 00:30", wake, "payment_requested 2.2 249.95"},
		), "active, paid 1, due 2012-04-02", []string{"10001 sale 1 +249.95 paid"},
			[]string{"gateway:main 249.95 USD", "sales -249.95 USD"}},
		{"a re-attempt was charged after all, and dunning is over", asked(
			step{"2012-04-02", declined(2, 1), "payment_declined 2.1 249.95"},
			step{"2012-04-05", wake, "payment_requested 2.2 249.95"},
			step{"2012-04-05", silent(2, 2), "payment_unknown 2.2"},
			step{"2012-04-11", wake, ""}, // the last day of the window
			step{"2012-04-12", settled(2, 2, usd(24995)), "payment_succeeded 2.2 249.95"},
			step{"2012-04-12", wake, ""},
		), "active, paid 2, due 2012-05-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 failed 2 249.95",
			"10003 rebill 2+1 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "sales -499.90 USD"}},
	})
}

// Messages come late, twice, and against each other. What is settled stays settled until money really goes back.
func TestStaleMessages(t *testing.T) {
	t.Parallel()
	live(t, []scenario{
		{"two failures after the success", asked(
			step{"2012-04-02", settled(2, 1, usd(24995)), "payment_succeeded 2.1 249.95"},
			step{"2012-04-02", declined(2, 1), ""},
			step{"2012-04-03", declined(2, 1), ""},
			step{"2012-04-05", wake, ""},
		), "active, paid 2, due 2012-05-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 rebill 2 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "sales -499.90 USD"}},
		{"a success after all of it went back", bought(
			step{"2012-03-05", refund("r1", 10001, nil), "refund_requested 249.95"},
			step{"2012-03-05", refunded("r1"), "refund_succeeded 249.95"},
			step{"2012-03-06", settled(1, 1, usd(24995)), ""},
			step{"2012-03-06", silent(1, 1), ""},
			step{"2012-03-06", pending(1, 1), ""},
		), "active, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 refunded",
			"10002 refund 1 -249.95 of 10001",
		}, []string{"refunds 249.95 USD", "sales -249.95 USD"}},
		// A success is never undone. That the money did not come after all is a return of it, told by the gateway as a
		// dispute or as a refund of its own; the number stays paid, and nothing is tried again by itself.
		{"the success was wrong: the bank took it back", asked(
			step{"2012-04-02", settled(2, 1, usd(24995)), "payment_succeeded 2.1 249.95"},
			step{"2012-04-04", declined(2, 1), ""},
			step{"2012-04-04", withdrawn("d1", 10002, nil, ignores), "dispute_funds_withdrawn 249.95"},
			step{"2012-04-06", wake, ""},
			step{"2012-04-06", rebill(2), "refused: PAY_NUMBER_PAID"},
		), "active, paid 2, due 2012-05-02, disputed", []string{
			"10001 sale 1 +249.95 paid",
			"10002 rebill 2 +249.95 charged_back",
			"10003 chargeback 2 -249.95 of 10002",
		}, []string{"chargebacks 249.95 USD", "gateway:main 249.95 USD", "sales -499.90 USD"}},
		{"the success was wrong: the gateway returned it", asked(
			step{"2012-04-02", settled(2, 1, usd(24995)), "payment_succeeded 2.1 249.95"},
			step{"2012-04-04", refundSeen("re_1", 10002, nil), "refund_observed 249.95"},
			step{"2012-04-04", refundSeen("re_1", 10002, nil), ""},
			step{"2012-04-06", wake, ""},
		), "active, paid 2, due 2012-05-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 rebill 2 +249.95 refunded",
			"10003 refund 2 -249.95 of 10002",
		}, []string{"gateway:main 249.95 USD", "refunds 249.95 USD", "sales -499.90 USD"}},
	})
}

// A start whose first payment the gateway decides later.
func TestStartWaitsForItsPayment(t *testing.T) {
	t.Parallel()
	waiting := func(more ...step) []step {
		return append([]step{
			{"2024-05-01 09:00", start(monthly(usd(4700))), "subscription_started, payment_requested 1.1 47.00"},
			{"2024-05-01 09:00", pending(1, 1), "payment_pending 1.1"},
		}, more...)
	}
	live(t, []scenario{
		{"it waits", waiting(
			step{"2024-05-02 09:00", wake, ""},
			step{"2024-05-02 09:00", refund("r1", 10001, nil), "refused: PAYMENT_NOT_FOUND"},
		), "pending, paid 0", nil, nil},
		{"success: it begins when it is paid", waiting(
			step{"2024-05-02 10:00", settled(1, 1, usd(4700)), "payment_succeeded 1.1 47.00"},
		), "active, paid 1, due 2024-06-02 10:00", []string{"10001 sale 1 +47.00 paid"},
			[]string{"gateway:main 47.00 USD", "sales -47.00 USD"}},
		{"failure: told, and no dunning", waiting(
			step{"2024-05-02 10:00", declined(1, 1), "payment_declined 1.1 47.00"},
			step{"2024-05-05 10:00", wake, ""},
		), "failed, paid 0", []string{"10001 failed 1 47.00"}, nil},
		{"expiry: nothing was sold, and nobody is told", waiting(
			step{"2024-05-04 08:59", wake, ""},
			step{"2024-05-04 09:00", wake, "payment_not_charged 1.1"},
			step{"2024-05-05 09:00", wake, ""},
		), "failed, paid 0", nil, nil},
		{"success after the expiry: the money is told, nothing is revived", waiting(
			step{"2024-05-04 09:00", wake, "payment_not_charged 1.1"},
			step{"2024-05-04 10:00", settled(1, 1, usd(4700)), "late_charge_observed 1.1 47.00"},
			step{"2024-06-04 10:00", wake, ""},
		), "failed, paid 1", []string{"10001 sale 1 +47.00 paid late"}, []string{"gateway:main 47.00 USD", "sales -47.00 USD"}},
	})
}
