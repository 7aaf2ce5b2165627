package scenario_test

import (
	"fmt"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/projection"
)

// pay wakes a subscription whenever it is due, and has everything charged that it asks for, until it wants nothing more
// or an instant has come. It returns the days on which it charged.
func (w *world) pay(id string, until string) (days []string) {
	w.t.Helper()
	for range 100 {
		due := w.state(id).Due(on("2000-01-01"))
		if due.IsZero() || !due.Before(on(until)) {
			return days
		}
		w.do(id, due, wake)
		a, open := w.state(id).OpenAttempt()
		if !open {
			w.t.Fatalf("%s was woken at %s and asked for nothing", id, due)
		}
		w.do(id, due, settled(a.Number, a.Attempt, a.Amounts.Full))
		days = append(days, due.Format("2006-01-02"))
	}
	w.t.Fatalf("%s is never done", id)
	return nil
}

// A course costs 599.95 once and then 199.95 for twelve months, beside a membership of 29.95 a month.
func TestTwelveInstallments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	course := after(1, usd(59995), sold(installments, usd(19995)))
	course.Installments = 12
	w.live("s1",
		step{"2015-03-31", start(course), "subscription_started, payment_requested 1.1 599.95"},
		step{"2015-03-31", settled(1, 1, usd(59995)), "payment_succeeded 1.1 599.95"},
	)
	w.live("s2",
		step{"2015-03-31", startAs("s2", 2, after(1, usd(0), monthly(usd(2995)))), "subscription_started, payment_requested 1.1 0.00"},
		step{"2015-03-31", settled(1, 1, usd(0)), "payment_succeeded 1.1 0.00"},
	)

	var first12 []string
	for month := range 12 {
		first12 = append(first12, on("2015-04-01").AddDate(0, month, 0).Format("2006-01-02"))
	}
	equal(t, "days of the installments", w.pay("s1", "2020-01-01"), first12)
	equal(t, "days of the membership", w.pay("s2", "2016-04-02"), append(first12, "2016-04-01"))
	if got := w.do("s1", on("2016-04-01"), wake); got != "" {
		t.Errorf("a thirteenth installment: %s", got)
	}
	if got := w.do("s1", on("2016-04-01"), rebill(0)); got != "refused: STATE_INVALID" {
		t.Errorf("a thirteenth installment that is asked for: %s", got)
	}

	completed := 0
	for _, e := range w.events["s1"] {
		if e.GetSubscriptionCompleted() != nil {
			completed++
		}
	}
	if completed != 1 {
		t.Errorf("it was completed %d times, want once", completed)
	}
	for id, want := range map[string]string{"s1": "completed, paid 13", "s2": "active, paid 14, due 2016-05-01"} {
		if got := w.stands(id); got != want {
			t.Errorf("%s stands so: %s; want %s", id, got, want)
		}
	}
	views := w.views()
	want := []string{"10001 sale 1 +599.95 paid"}
	for i := range 12 {
		want = append(want, fmt.Sprintf("%d rebill %d +199.95 paid", 10002+i, 2+i))
	}
	equal(t, "orders", w.orders(views, "s1"), want)
	// 599.95 + 12 × 199.95 + 13 × 29.95
	equal(t, "books", w.books(views, projection.PeriodFilter{}), []string{"gateway:main 3388.70 USD", "sales -3388.70 USD"})
}

func TestDueInstants(t *testing.T) {
	t.Parallel()
	paused := bought(
		step{"2012-03-04", pause, "subscription_paused"},
		step{"2012-04-02", wake, ""},
		step{"2012-04-02", rebill(0), "refused: STATE_INVALID"},
	)
	live(t, []scenario{
		// Days are no money here: what was paid before the pause stays paid, April is left out, May costs what it costs.
		{"a pause over a due instant", append(paused[:len(paused):len(paused)],
			step{"2012-04-05", resume, "subscription_resumed, periods_skipped"},
			step{"2012-04-05", wake, ""},
			step{"2012-05-02", wake, "payment_requested 2.1 249.95"},
			step{"2012-05-02", settled(2, 1, usd(24995)), "payment_succeeded 2.1 249.95"},
		), "active, paid 2, due 2012-06-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 rebill 2 +249.95 paid",
		}, []string{"gateway:main 499.90 USD", "sales -499.90 USD"}},

		// A trial lasts to the minute, the whole price is charged after it, and being woken late moves nothing.
		{"the end of a trial", []step{
			{"2024-03-05 12:12", start(after(10, eur(0), monthly(eur(5_000_000)))), "subscription_started, payment_requested 1.1 0.00"},
			{"2024-03-05 12:12", settled(1, 1, eur(0)), "payment_succeeded 1.1 0.00"},
			{"2024-03-15 12:02", wake, ""},
			{"2024-03-15 13:02", wake, "payment_requested 2.1 50000.00"},
			{"2024-03-15 13:02", settled(2, 1, eur(5_000_000)), "payment_succeeded 2.1 50000.00"},
		}, "active, paid 2, due 2024-04-15 12:12", []string{
			"10001 sale 1 0.00 paid",
			"10002 rebill 2 +50000.00 paid",
		}, []string{"gateway:main 50000.00 EUR", "sales -50000.00 EUR"}},
	})
}

// Each number has its own days, counted from its first attempt; on the last of them the subscription ends, once.
func TestDunning(t *testing.T) {
	t.Parallel()
	live(t, []scenario{
		{"one failure, one retry", asked(
			step{"2012-04-02", pending(2, 1), "payment_pending 2.1"},
			step{"2012-04-02 06:00", declined(2, 1), "payment_declined 2.1 249.95"},
			step{"2012-04-02 06:00", declined(2, 1), ""},
			step{"2012-04-02 06:00", wake, ""},
		), "past_due, paid 1, due 2012-04-02, attempt 2012-04-05", []string{
			"10001 sale 1 +249.95 paid",
			"10002 failed 2 249.95",
		}, []string{"gateway:main 249.95 USD", "sales -249.95 USD"}},
		{"one failure, one retry, which is under way", asked(
			step{"2012-04-02", declined(2, 1), "payment_declined 2.1 249.95"},
			step{"2012-04-05", wake, "payment_requested 2.2 249.95"},
			step{"2012-04-05", wake, ""},
			step{"2012-04-05", declined(2, 1), ""},
			step{"2012-04-08", wake, ""},
		), "past_due, paid 1, due 2012-04-02", []string{
			"10001 sale 1 +249.95 paid",
			"10002 failed 2 249.95",
		}, []string{"gateway:main 249.95 USD", "sales -249.95 USD"}},
	})
}

// Two buyers, one in dollars and one in euros, owe the same merchant, who tries again after two days and after four.
func TestDunningByBuyer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dun := wakeDunning(2, 4)
	begin := func(day, id string, n int64, price *ledgerv1.Money) {
		w.t.Helper()
		w.do(id, on(day), startAs(id, n, monthly(price)))
		w.do(id, on(day), settled(1, 1, price))
	}
	begin("2024-01-01", "s1", 1, usd(12000))
	begin("2024-01-04", "s2", 2, eur(14900))
	w.live("s1",
		step{"2024-02-01", dun, "payment_requested 2.1 120.00"},
		step{"2024-02-01", declined(2, 1), "payment_declined 2.1 120.00"},
		step{"2024-02-02", dun, ""},
		step{"2024-02-03", dun, "payment_requested 2.2 120.00"},
		step{"2024-02-03", declined(2, 2), "payment_declined 2.2 120.00"},
	)
	w.live("s2",
		step{"2024-02-03", dun, ""},
		step{"2024-02-04", dun, "payment_requested 2.1 149.00"},
		step{"2024-02-04", declined(2, 1), "payment_declined 2.1 149.00"},
	)
	w.live("s1",
		step{"2024-02-05", dun, "payment_requested 2.3 120.00"},
		step{"2024-02-05", declined(2, 3), "payment_declined 2.3 120.00, subscription_cancelled"},
		step{"2024-02-05", declined(2, 3), ""},
	)
	w.live("s2",
		step{"2024-02-06", dun, "payment_requested 2.2 149.00"},
		step{"2024-02-06", declined(2, 2), "payment_declined 2.2 149.00"},
		step{"2024-02-08", dun, "payment_requested 2.3 149.00"},
		step{"2024-02-08", settled(2, 3, eur(14900)), "payment_succeeded 2.3 149.00"},
	)
	for _, id := range []string{"s1", "s2"} {
		w.live(id, step{"2024-02-12", dun, ""})
	}
	for id, want := range map[string]string{"s1": "cancelled, paid 1", "s2": "active, paid 2, due 2024-03-04"} {
		if got := w.stands(id); got != want {
			t.Errorf("%s stands so: %s; want %s", id, got, want)
		}
	}
	views := w.views()
	equal(t, "orders in dollars", w.orders(views, "s1"), []string{
		"10001 sale 1 +120.00 paid",
		"10002 failed 2 120.00",
		"10003 failed 2+1 120.00",
		"10004 failed 2+2 120.00",
		"10005 cancellation",
	})
	equal(t, "orders in euros", w.orders(views, "s2"), []string{
		"20001 sale 1 +149.00 paid",
		"20002 failed 2 149.00",
		"20003 failed 2+1 149.00",
		"20004 rebill 2+2 +149.00 paid",
	})
	equal(t, "books", w.books(views, projection.PeriodFilter{}), []string{
		"gateway:main 298.00 EUR", "sales -298.00 EUR",
		"gateway:main 120.00 USD", "sales -120.00 USD",
	})
}
