package subscription_test

import (
	"fmt"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// replace gives the n-th other method, which is charged through a second connection.
func replace(now time.Time, n int) command {
	return subscription.ReplacePaymentMethod{Now: now, Token: fmt.Sprint("tok", n), Mode: ledgerv1.Mode_MODE_TEST,
		Connection: subscription.Connection{ID: "second", Gateway: "sandbox", Processor: "PayPal"}}
}

// replaceThrough is the same through another connection.
func replaceThrough(now time.Time, n int, connection string) command {
	c := replace(now, n).(subscription.ReplacePaymentMethod)
	c.Connection.ID = connection
	return c
}

func otherCard() *ledgerv1.PaymentMethod {
	return &ledgerv1.PaymentMethod{Reference: "pm_2", Brand: "mastercard", Last4: "4444"}
}

func store(now time.Time, n uint32) command {
	return subscription.StoreMethod{Now: now, Replacement: n, Method: otherCard()}
}

func refuse(now time.Time, n uint32) command {
	return subscription.RefuseMethod{Now: now, Replacement: n, Code: "card_declined"}
}

func replaced(n uint32, charged bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodReplaced{PaymentMethodReplaced: &ledgerv1.PaymentMethodReplaced{
		Replacement: n, PaymentMethodToken: fmt.Sprint("tok", n), ConnectionId: "second", Charged: charged,
	}}}
}

func methodStored(n uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodStored{PaymentMethodStored: &ledgerv1.PaymentMethodStored{
		Replacement: n, Method: otherCard(),
	}}}
}

func methodRefused(n uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodRefused{PaymentMethodRefused: &ledgerv1.PaymentMethodRefused{
		Replacement: n, Code: "card_declined",
	}}}
}

func TestReplacePaymentMethod(t *testing.T) {
	t.Parallel()
	now := feb.Add(time.Hour)
	stopped := with(due(), decline(feb, 2, 1, hard))
	blocked := replace(now, 1).(subscription.ReplacePaymentMethod)
	blocked.Blocked = true
	live := replace(now, 1).(subscription.ReplacePaymentMethod)
	live.Mode = ledgerv1.Mode_MODE_LIVE
	nothing := replace(now, 1).(subscription.ReplacePaymentMethod)
	nothing.Token = ""
	run(t, []scenario{
		{name: "active: nothing is due", given: bought(), when: replace(t0, 1), status: subscription.Active, then: events{replaced(1, false)}},
		{name: "trialing", given: bought(trial(14, 100)), when: replace(t0, 1), status: subscription.Trialing, then: events{replaced(1, false)}},
		{name: "past due: charged at once, the step is kept", given: failed(0), when: replace(now, 1), status: subscription.PastDue,
			then: events{replaced(1, true), requested(2, 2, 0, 4700, feb)}},
		{name: "past due after a re-attempt: the step is kept", given: failed(1), when: replace(step(1).Add(day), 1), then: events{replaced(1, true), requested(2, 3, 1, 4700, feb)}},
		{name: "after a hard decline", given: stopped, when: replace(now, 1), status: subscription.PastDue, then: events{replaced(1, true), requested(2, 2, 0, 4700, feb)}},
		{name: "days after a hard decline: the step is kept", given: stopped, when: replace(step(2).Add(day), 1), then: events{replaced(1, true), requested(2, 2, 0, 4700, feb)}},
		{name: "days after a hard decline, in vain: the day that is left", given: with(stopped, replace(step(2).Add(day), 1)), when: decline(step(2).Add(day), 2, 2, soft), status: subscription.PastDue,
			then: events{declined(3, 2, 2, 0, soft, step(3))}},
		{name: "days after a hard decline, in vain, then day 9", given: with(stopped, replace(step(2).Add(day), 1), decline(step(2).Add(day), 2, 2, soft)), when: wake(step(3)),
			then: events{requested(2, 3, 3, 4700, feb)}},
		{name: "it succeeds", given: with(stopped, replace(now, 1)), when: settle(now, 2, 2, 4700), status: subscription.Active, then: events{succeeded(3, 2, 2, 0, 4700, 9999, mar)}},
		{name: "it is declined: the schedule goes on", given: with(stopped, replace(now, 1)), when: decline(now, 2, 2, soft), status: subscription.PastDue,
			then: events{declined(3, 2, 2, 0, soft, step(1))}},
		{name: "it is declined for good", given: with(stopped, replace(now, 1)), when: decline(now, 2, 2, hard), status: subscription.PastDue, then: events{declined(3, 2, 2, 0, hard, never)}},
		{name: "a third method", given: with(stopped, replace(now, 1), decline(now, 2, 2, hard)), when: replace(now, 2), then: events{replaced(2, true), requested(2, 3, 0, 4700, feb)}},
		{name: "past due, connection blocked: held", given: failed(0), when: blocked, status: subscription.PastDue, then: events{replaced(1, false)}},
		{name: "past due, connection blocked, unblocked", given: with(failed(0), blocked), when: wake(now.Add(time.Hour)), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "past due, disputed funds held", given: with(failed(0), hold("d1")), when: replace(now, 1), then: events{replaced(1, false)}},
		{name: "past due, disputed funds held, won", given: with(failed(0), hold("d1"), replace(now, 1), closeDispute("d1", won)), when: wake(now), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "past due, an attempt in doubt", given: with(failed(0), wake(step(1)), doubt(step(1), 2, 2)), when: replace(step(1), 1), then: events{replaced(1, false)}},
		{name: "past due and paused", given: with(failed(0), pause(feb)), when: replace(now, 1), status: subscription.Paused, then: events{replaced(1, false)}},
		{name: "past due and paused: not charged", given: with(failed(0), pause(feb), replace(now, 1)), when: wake(step(3)), status: subscription.Paused},
		{name: "past due, another amount was charged", given: with(failed(0), rebill(feb.Add(time.Minute)), settle(feb.Add(time.Minute), 2, 2, 1)), when: replace(now, 1), then: events{replaced(1, false)}},

		{name: "without a token", given: bought(), when: nothing, refused: "TOKEN_REQUIRED"},
		{name: "of another mode", given: bought(), when: live, refused: "MODE_MISMATCH"},
		{name: "pending", given: commands{start(terms(recurring))}, when: replace(t0, 1), refused: "STATE_INVALID"},
		{name: "after the end", given: with(bought(), cancel(t0)), when: replace(t0, 1), refused: "STATE_INVALID"},
		{name: "on the gateway's schedule", given: byGateway(), when: replace(t0, 1), refused: "GATEWAY_SCHEDULE"},
	})
}

func TestReplacedMethodIsStored(t *testing.T) {
	t.Parallel()
	given := with(bought(), replace(t0, 1))
	run(t, []scenario{
		{name: "stored", given: given, when: store(t0, 1), then: events{methodStored(1)}},
		{name: "stored twice", given: with(given, store(t0, 1)), when: store(t0, 1)},
		{name: "stored after it was refused", given: with(given, refuse(t0, 1)), when: store(t0, 1)},
		{name: "stored after yet another was given", given: with(given, replace(t0, 2)), when: store(t0, 1)},
		{name: "the other is stored", given: with(given, replace(t0, 2)), when: store(t0, 2), then: events{methodStored(2)}},
		{name: "stored, but not as what", given: given, when: subscription.StoreMethod{Now: t0, Replacement: 1}},
		{name: "what nobody gave", given: bought(), when: store(t0, 1)},
		{name: "the first one", given: bought(), when: store(t0, 0)},
		{name: "the first one, which the gateway did not describe", given: commands{start(terms(recurring)), settleUntold(t0, 1, 1)}, when: store(t0, 0)},
		{name: "of nothing", when: store(t0, 1)},
		{name: "refused", given: given, when: refuse(t0, 1), then: events{methodRefused(1)}},
		{name: "refused twice", given: with(given, refuse(t0, 1)), when: refuse(t0, 1)},
		{name: "refused after it was stored", given: with(given, store(t0, 1)), when: refuse(t0, 1)},
		{name: "refused after it was charged", given: with(failed(0), replace(feb, 1), settleUntold(feb, 2, 2)), when: refuse(feb, 1)},
		{name: "stored after it was charged", given: with(failed(0), replace(feb, 1), settleUntold(feb, 2, 2)), when: store(feb, 1), then: events{methodStored(1)}},
	})
}

// settleUntold is a success of which the gateway does not tell the method.
func settleUntold(now time.Time, number, attempt uint32) command {
	return subscription.SettlePayment{Now: now, Number: number, Attempt: attempt, Amount: usd(4700), Reference: fmt.Sprintf("ch_%d_%d", number, attempt)}
}

// Which method and connection are charged, as the story goes on.
func TestWayOfPaying(t *testing.T) {
	t.Parallel()
	first := subscription.Way{Method: card(), Connection: subscription.Connection{ID: "main", Gateway: "sandbox", Processor: "Stripe"}}
	second := subscription.Connection{ID: "second", Gateway: "sandbox", Processor: "PayPal"}
	stopped := first
	stopped.Stopped = true
	unstored := subscription.Way{Token: "tok1", Connection: second, Replacement: 1}
	for _, c := range []struct {
		name  string
		given commands
		want  subscription.Way
	}{
		{"bought", bought(), first},
		{"replaced", with(bought(), replace(t0, 1)), unstored},
		{"stored", with(bought(), replace(t0, 1), store(t0, 1)), subscription.Way{Method: otherCard(), Connection: second, Replacement: 1}},
		{"refused", with(bought(), replace(t0, 1), refuse(t0, 1)), first},
		{"refused after two", with(bought(), replace(t0, 1), replace(t0, 2), refuse(t0, 2)), first},
		{"refused, the one before was stored", with(bought(), replace(t0, 1), store(t0, 1), replace(t0, 2), refuse(t0, 2)),
			subscription.Way{Method: otherCard(), Connection: second, Replacement: 1}},
		{"charged and so stored", with(failed(0), replace(feb, 1), settle(feb, 2, 2, 4700)), subscription.Way{Method: card(), Connection: second, Replacement: 1}},
		{"charged, not described", with(failed(0), replace(feb, 1), settleUntold(feb, 2, 2)), unstored},
		{"an attempt of the one before succeeds", with(due(), replace(feb, 1), settle(feb, 2, 1, 4700)), unstored},
		{"an attempt of the one before is found later", with(failed(0), replace(feb, 1), settle(feb, 2, 2, 4700), settle(feb, 2, 1, 4700)),
			subscription.Way{Method: card(), Connection: second, Replacement: 1}},
		{"an attempt of the one before is declined for good", with(due(), replace(feb, 1), decline(feb, 2, 1, hard)), unstored},
		{"refused, and charged all the same", with(due(), decline(feb, 2, 1, hard), replace(feb, 1), refuse(feb, 1), settle(feb, 2, 2, 4700)),
			subscription.Way{Method: card(), Connection: second, Replacement: 1}},
		{"refused and charged all the same, another one was refused since", with(due(), decline(feb, 2, 1, hard), replace(feb, 1), refuse(feb, 1),
			replaceThrough(feb, 2, "third"), refuse(feb, 2), settle(feb, 2, 2, 4700)), subscription.Way{Method: card(), Connection: second, Replacement: 1}},
		{"refused and charged, another one came between", with(failed(0), replace(feb, 1), refuse(feb, 1), replace(feb, 2), settle(feb, 2, 2, 4700)),
			subscription.Way{Token: "tok2", Connection: second, Replacement: 2}},
		{"declined for good, refused", with(due(), decline(feb, 2, 1, hard), replace(feb, 1), refuse(feb, 1)), stopped},
		{"declined for good, found charged, refused", with(due(), decline(feb, 2, 1, hard), replace(feb, 1), settle(feb, 2, 1, 4700), refuse(feb, 1)), first},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			equal(t, "way", after(t, c.given...).Way, c.want)
		})
	}
	s := after(t, with(bought(), replace(t0, 1))...)
	equal(t, "uses the first", s.Uses("main"), true)
	equal(t, "uses the second", s.Uses("second"), true)
	equal(t, "uses a third", s.Uses("third"), false)
	equal(t, "processor of the second", s.Processor("second"), "PayPal")
	equal(t, "processor of events that name none", s.Processor(""), "Stripe")
}

// What becomes of an attempt of the method before, and of one that waits.
func TestReplacedWhileTrying(t *testing.T) {
	t.Parallel()
	now := feb.Add(time.Hour)
	open := with(due(), replace(feb, 1))
	doubtful := with(due(), doubt(feb, 2, 1), replace(feb, 1))
	refused := with(open, refuse(feb, 1))
	newOpen := with(due(), decline(feb, 2, 1, hard), replace(feb, 1))
	old := subscription.LoseAgreement{Now: now, Number: 2, Attempt: 1, Code: "145005"}
	lost := &ledgerv1.Event{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: "145005"}}}
	run(t, []scenario{
		{name: "the old one succeeds", given: open, when: settle(now, 2, 1, 4700), status: subscription.Active, then: events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{name: "the old one is declined for good: the new one is charged at once", given: open, when: decline(now, 2, 1, hard), status: subscription.PastDue,
			then: events{declined(2, 2, 1, 0, hard, now)}},
		{name: "at once", given: with(open, decline(now, 2, 1, hard)), when: wake(now), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "the old one is declined: the new one is charged at once", given: open, when: decline(now, 2, 1, soft), then: events{declined(2, 2, 1, 0, soft, now)}},
		{name: "the old one is declined after the window", given: doubtful, when: decline(step(5), 2, 1, hard), status: subscription.PastDue, then: events{declined(2, 2, 1, 0, hard, step(5))}},
		{name: "a stop order cancels all the same", given: open, status: subscription.Cancelled,
			when: subscription.DeclinePayment{Now: now, Number: 2, Attempt: 1, Category: hard, StopOrder: true}, then: events{declined(2, 2, 1, 0, hard, never), cancelled(3, byDunning)}},
		{name: "in doubt, absent: the new one is charged at once", given: with(doubtful, absent(now, 2, 1)), when: wake(now), then: events{requested(2, 2, 0, 4700, feb)}},
		{name: "the old agreement is gone: nothing is charged by it any more", given: open, when: old, status: subscription.Active, then: events{notCharged(2, 1, "agreement_lost")}},
		{name: "the old agreement is gone and the new one refused: nothing is left to charge", given: with(open, old), when: refuse(now, 1), status: subscription.Cancelled,
			then: events{methodRefused(1), {Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: "agreement_lost"}}}, cancelled(2, byAgreement)}},
		{name: "the old one is declined for good and the new one refused: it is not tried again", given: with(open, decline(now, 2, 1, hard), refuse(now, 1)),
			when: wake(step(2)), status: subscription.PastDue},
		{name: "the agreement in use is gone", given: with(due(), pause(feb)), when: old, status: subscription.Cancelled,
			then: events{notCharged(2, 1, "agreement_lost"), lost, cancelled(2, byAgreement)}},

		{name: "refused, then the old one is declined for good: it is not tried again", given: refused, when: decline(now, 2, 1, hard), status: subscription.PastDue,
			then: events{declined(2, 2, 1, 0, hard, never)}},
		{name: "refused, then the old one is declined: its schedule goes on", given: refused, when: decline(now, 2, 1, soft), then: events{declined(2, 2, 1, 0, soft, step(1))}},
		{name: "a charge of the refused one is declined: the old one's schedule goes on", given: with(failed(0), replace(now, 1), refuse(now, 1)), when: decline(now, 2, 2, soft), status: subscription.PastDue,
			then: events{declined(3, 2, 2, 0, soft, step(1))}},
		{name: "a charge of the refused one is declined for good: so it does", given: with(failed(0), replace(now, 1), refuse(now, 1)), when: decline(now, 2, 2, hard), status: subscription.PastDue,
			then: events{declined(3, 2, 2, 0, hard, step(1))}},
		{name: "a charge of the refused one is declined: the old one stays stopped", given: with(newOpen, refuse(now, 1)), when: decline(now, 2, 2, soft), status: subscription.PastDue,
			then: events{declined(3, 2, 2, 0, soft, never)}},
		{name: "a charge of the refused one is absent: the old one stays stopped", given: with(newOpen, refuse(now, 1), absent(now, 2, 2)), when: wake(step(3).Add(-1)), status: subscription.PastDue},
		{name: "and the window ends", given: with(newOpen, refuse(now, 1), absent(now, 2, 2)), when: wake(step(3)), status: subscription.Cancelled, then: events{cancelled(3, byDunning)}},
	})
}

// A refused method leaves the dunning of the one before as it was.
func TestRefusedMethodWhilePastDue(t *testing.T) {
	t.Parallel()
	blocked := replace(feb.Add(time.Hour), 1).(subscription.ReplacePaymentMethod)
	blocked.Blocked = true
	now := feb.Add(2 * time.Hour)
	for _, c := range []struct {
		name  string
		given commands
		want  time.Time
	}{
		{"the next day is to come", with(failed(0), blocked, refuse(now, 1)), step(1)},
		{"the next day has passed", with(failed(0), pause(feb), replace(step(4), 1), resumeBlocked(step(4)), refuse(step(4), 1)), step(1)},
		{"proven absent: at once", with(failed(0), wake(step(1)), doubt(step(1), 2, 2), replace(step(1), 1), absent(step(1).Add(time.Hour), 2, 2), refuse(step(1).Add(2*time.Hour), 1)), step(1).Add(time.Hour)},
		{"no day is left, but it was paused: at once", with(failed(2), wake(step(3)), pause(step(3)), decline(step(3), 2, 4, soft), replace(step(4), 1), resumeBlocked(step(5)), refuse(step(5), 1)), step(5)},
		{"stopped: the window's end", with(due(), decline(feb, 2, 1, hard), blocked, refuse(now, 1)), step(3)},
		{"of an import that was never tried", commands{importAt(feb, terms(recurring), importPastDue, 1, feb), blocked, refuse(now, 1)}, feb.Add(time.Hour)},
	} {
		equal(t, c.name, after(t, c.given...).Due(never), c.want)
	}
	charged := with(failed(2), wake(step(3)), doubt(step(3), 2, 4), replace(step(3), 1), refuse(step(3), 1))
	run(t, []scenario{{name: "the last day's attempt is declined", given: charged, when: decline(step(3), 2, 4, soft), status: subscription.Cancelled,
		then: events{declined(5, 2, 4, 3, soft, never), cancelled(6, byDunning)}}})
}

// A refund goes the way of the payment that it returns, whatever is charged today; so does a dispute.
func TestMoneyGoesBackTheWayItCame(t *testing.T) {
	t.Parallel()
	given := with(bought(), replace(t0, 1), store(t0, 1), wake(feb), settle(feb, 2, 1, 4700))
	l := newLife(t)
	l.do(given...)
	for order, want := range map[int64]string{1: "main", 2: "second"} {
		for name, c := range map[string]command{
			"refund":          subscription.Refund{Now: feb, ID: fmt.Sprint("r", order), OrderID: orders + order, Amount: usd(100)},
			"observed refund": subscription.ObserveRefund{Now: feb, OrderID: orders + order, Reference: fmt.Sprint("re", order), Amount: usd(100)},
			"dispute":         subscription.Chargeback{Now: feb, OrderID: orders + order, DisputeID: "d", Stage: withdrawnStage},
		} {
			es, err := c.Decide(l.state)
			if err != nil {
				t.Fatalf("%s of order %d: %v", name, order, err)
			}
			m := es[0].ProtoReflect()
			inner := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message()
			equal(t, fmt.Sprintf("%s of order %d goes through", name, order), inner.Get(inner.Descriptor().Fields().ByName("connection_id")).String(), want)
		}
	}
	requested := l.history[len(l.history)-2].GetPaymentRequested()
	equal(t, "charged through", requested.ConnectionId, "second")
	equal(t, "charged", requested.Method, otherCard())
	equal(t, "paid through", l.history[len(l.history)-1].GetPaymentSucceeded().ConnectionId, "second")
}

// A cancellation names what was charged last, not what never was.
func TestCancelledMethod(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given      commands
		method     *ledgerv1.PaymentMethod
		connection string
	}{
		"stored":     {with(bought(), replace(t0, 1), store(t0, 1)), otherCard(), "second"},
		"not stored": {with(bought(), replace(t0, 1)), card(), "main"},
	} {
		es, err := cancel(t0).Decide(after(t, c.given...))
		if err != nil {
			t.Fatal(err)
		}
		got := es[0].GetSubscriptionCancelled()
		equal(t, name+": method", got.Method, c.method)
		equal(t, name+": connection", got.ConnectionId, c.connection)
	}
}
