package subscription_test

import (
	"fmt"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestWake(t *testing.T) {
	t.Parallel()
	run(t, []scenario{
		{name: "before anything is due", given: bought(), when: wake(feb.Add(-1)), status: subscription.Active},
		{name: "at the due instant", given: bought(), when: wake(feb), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "after an outage of ten days", given: bought(), when: wake(feb.Add(10 * day)), then: events{requested(2, 1, 0, 4700, feb)}},
		{name: "while an attempt is open", given: due(), when: wake(apr)},
		{name: "while in doubt", given: with(due(), doubt(feb, 2, 1)), when: wake(apr), status: subscription.Active},
		{name: "after the end", given: with(bought(), cancel(t0)), when: wake(apr), status: subscription.Cancelled},
		{name: "at the end of a trial", given: bought(trial(14, 100)), when: wake(t0.Add(14 * day)), then: events{requested(2, 1, 0, 4700, t0.Add(14*day))}},
	})
}

func TestDue(t *testing.T) {
	t.Parallel()
	sold := commands{start(terms(recurring))}
	expires := subscription.PendPayment{Now: t0, Number: 1, Attempt: 1, ExpiresAt: t0.Add(time.Hour)}
	for _, c := range []struct {
		name  string
		given commands
		after time.Time
		want  time.Time
	}{
		{"nothing", nil, never, never},
		{"an attempt was sent", sold, never, never},
		{"pending: the next look-up", with(sold, expires), t0, t0.Add(30 * time.Second)},
		{"pending: before the last look-up of its hour", with(sold, expires), t0.Add(30 * time.Minute), t0.Add(time.Hour)},
		{"in doubt", with(sold, doubt(t0, 1, 1)), t0, t0.Add(30 * time.Second)},
		{"a rebill", bought(), never, feb},
		{"a rebill that is overdue is not forgotten", bought(), feb.Add(-1), feb},
		{"an instant that has passed: it is held, and tried every hour", bought(), feb, feb.Add(time.Hour)},
		{"held for hours", bought(), feb.Add(5*time.Hour + time.Minute), feb.Add(6 * time.Hour)},
		{"a trial", bought(trial(14, 100)), never, t0.Add(14 * day)},
		{"a re-attempt", failed(0), feb, step(1)},
		{"the end of the window", with(due(), decline(feb, 2, 1, hard)), feb, step(3)},
		{"a cancellation", with(bought(), atPeriodEnd(t0)), t0, feb},
		{"proven absent: at once", with(due(), doubt(feb, 2, 1), absent(feb.Add(time.Hour), 2, 1)), never, feb.Add(time.Hour)},
		{"cancelled", with(bought(), cancel(t0)), never, never},
		{"completed", commands{start(terms(oneTime)), settle(t0, 1, 1, 4700)}, never, never},
		{"failed", with(sold, decline(t0, 1, 1, soft)), never, never},
		{"cancelled while an attempt was under way", with(due(), cancel(feb)), feb, feb.Add(30 * time.Second)},
		{"a refund was sent", with(bought(), refund("r1", 0)), never, feb},
		{"a refund is pending", with(bought(), refund("r1", 0), subscription.PendRefund{Now: t0.Add(day), ID: "r1"}), t0.Add(day), t0.Add(day + 30*time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			equal(t, "due", after(t, c.given...).Due(c.after), c.want)
		})
	}
}

// The gateway is asked after 30 s, 2 m, 5 m, 30 m, 2 h and 12 h, then daily.
func TestLookUpSchedule(t *testing.T) {
	t.Parallel()
	began := feb.Add(time.Minute)
	s := after(t, with(due(), doubt(began, 2, 1))...)
	var got []time.Duration
	for now := began; len(got) < 9; now = s.Due(now) {
		if !now.Equal(began) {
			got = append(got, now.Sub(began))
		}
	}
	equal(t, "schedule", got, []time.Duration{
		30 * time.Second, 2 * time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour, day, 2 * day, 3 * day,
	})
	equal(t, "after an outage", s.Due(began.Add(100*day+time.Hour)), began.Add(101*day))
}

// Doubt that follows a pending answer does not begin the schedule anew, nor forget when the attempt was sent.
func TestLookUpsBeginOnce(t *testing.T) {
	t.Parallel()
	s := after(t, with(due(), doubt(feb, 2, 1), pend(feb.Add(time.Hour), 2, 1), cancel(feb.Add(2*time.Hour)))...)
	ls := s.Lookups()
	if len(ls) != 1 {
		t.Fatalf("got look-ups %+v, want one", ls)
	}
	equal(t, "from", ls[0].From, feb)
	equal(t, "sent", ls[0].Sent, feb.Add(-time.Second))
	equal(t, "withdrawn at", ls[0].Attempt.WithdrawnAt, feb.Add(2*time.Hour))
}

func TestOrderLimit(t *testing.T) {
	t.Parallel()
	s := after(t, bought()...)
	s.Ordinal = 9898
	equal(t, "last order", s.LastOrder(), int64(orders+9898))
	if got := s.Due(t0); !got.Equal(feb) {
		t.Errorf("one order is left: due %s, want %s", got, feb)
	}
	// The last but the reserve is promised to a refund under way.
	es, err := refund("last", 1).Decide(s)
	if err != nil {
		t.Fatal(err)
	}
	s = subscription.Evolve(s, es[0])
	for name, c := range map[string]command{"refund": refund("more", 1), "rebill": rebill(feb)} {
		_, err := c.Decide(s)
		equal(t, name, reasonOf(err), "ORDER_LIMIT")
	}
	equal(t, "due", s.Due(t0), never)
	if es, err := wake(feb).Decide(s); err != nil || len(es) > 0 {
		t.Errorf("wake: got %v, %v; want nothing", es, err)
	}
	es, err = refunded("last").Decide(s)
	if err != nil {
		t.Fatalf("an outcome is refused: %v", err)
	}
	equal(t, "its order", es[0].GetRefundSucceeded().GetOrderId(), int64(orders+9899))

	// Outcomes use the reserve, and no more than that: the id after it is another subscription's.
	s.Ordinal = 9998
	for i, want := range []string{"", "ORDER_LIMIT"} {
		es, err = subscription.Chargeback{Now: t0, OrderID: orders + 1, DisputeID: fmt.Sprint("d", i), Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN, Amount: usd(1)}.Decide(ended(s))
		equal(t, "chargeback", reasonOf(err), want)
		for _, e := range es {
			s = subscription.Evolve(s, e)
		}
	}
	equal(t, "last order", s.LastOrder(), int64(orders+9999))
}

// ended is a state in which a chargeback cancels nothing any more.
func ended(s state) state {
	s.Status = subscription.Cancelled
	return s
}
