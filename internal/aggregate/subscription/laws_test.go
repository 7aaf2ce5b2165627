package subscription_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// world drives one subscription at random: callers ask, gateways answer what they like in any order, time passes.
type world struct {
	life
	now  time.Time
	t    *rapid.T
	next int // names what has to be unique
}

func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{life: life{t: t}, now: t0, t: t}
		w.send(startAt(w.now, anyTerms(t)))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.pass()
			w.send(w.anything())
		}
	})
}

// anyTerms are terms that can be sold. Periods are short, so that sixty steps see many of them.
func anyTerms(t *rapid.T) *ledgerv1.Terms {
	kind := rapid.SampledFrom([]ledgerv1.PriceKind{recurring, installments, recurringInstallments, oneTime}).Draw(t, "kind")
	tm := terms(kind)
	if kind != oneTime {
		tm.Period = rapid.SampledFrom([]ledgerv1.Period{weekly, every2Weeks, everyMonth, ledgerv1.Period_PERIOD_YEARLY}).Draw(t, "period")
	}
	switch kind {
	case installments:
		tm.Installments = rapid.Uint32Range(1, 5).Draw(t, "installments")
	case recurringInstallments:
		yearly(1)(tm)
		if tm.Period != ledgerv1.Period_PERIOD_YEARLY {
			yearly(rapid.Uint32Range(1, 12).Draw(t, "installments"))(tm)
		}
	}
	if rapid.Bool().Draw(t, "trial") {
		trial(14, rapid.SampledFrom([]int64{0, 100}).Draw(t, "initial"))(tm)
	}
	if rapid.Bool().Draw(t, "coupon") {
		coupon(2, rapid.SampledFrom([]int64{0, 700}).Draw(t, "introductory"))(tm)
	}
	return tm
}

// pass lets time pass: a little, to the next due instant, or a lot.
func (w *world) pass() {
	switch rapid.IntRange(0, 3).Draw(w.t, "time") {
	case 0:
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(w.t, "seconds")) * time.Second)
	case 1, 2:
		if due := w.state.Due(w.now); !due.IsZero() {
			w.now = due
		}
	case 3:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(w.t, "days")) * day)
	}
}

func (w *world) unique(what string) string {
	w.next++
	return fmt.Sprintf("%s%d", what, w.next)
}

// anything is a command that somebody could send now.
func (w *world) anything() command {
	switch rapid.IntRange(0, 12).Draw(w.t, "command") {
	case 0, 1, 2:
		return wake(w.now)
	case 3:
		if rapid.Bool().Draw(w.t, "less") {
			return subscription.Rebill{Now: w.now, Amounts: price(rapid.SampledFrom([]int64{0, 500}).Draw(w.t, "amount"))}
		}
		return rebill(w.now)
	case 4, 5, 6, 7:
		return w.outcome()
	case 8:
		return w.refund()
	case 9, 10:
		return w.refundOutcome()
	case 11:
		return w.dispute()
	}
	switch rapid.IntRange(0, 4).Draw(w.t, "end") {
	case 0:
		return cancel(w.now)
	case 1:
		return subscription.LoseAgreement{Now: w.now, Code: "lost"}
	}
	return atPeriodEnd(w.now)
}

// outcome reports something of any attempt there was, also what contradicts an earlier report.
func (w *world) outcome() command {
	a := w.state.Attempts[max(0, len(w.state.Attempts)-rapid.IntRange(1, 3).Draw(w.t, "back"))]
	switch rapid.IntRange(0, 11).Draw(w.t, "outcome") {
	case 0:
		return doubt(w.now, a.Number, a.Attempt)
	case 1:
		return pend(w.now, a.Number, a.Attempt)
	case 2:
		return absent(w.now, a.Number, a.Attempt)
	case 3, 4:
		return subscription.DeclinePayment{Now: w.now, Number: a.Number, Attempt: a.Attempt,
			Category:  ledgerv1.DeclineCategory(rapid.IntRange(0, 3).Draw(w.t, "category")),
			Expired:   rapid.IntRange(0, 9).Draw(w.t, "expired") == 0,
			StopOrder: rapid.IntRange(0, 9).Draw(w.t, "stop order") == 0}
	case 5:
		if rapid.IntRange(0, 9).Draw(w.t, "mismatch") == 0 {
			return settle(w.now, a.Number, a.Attempt, a.Amounts.Full.MinorUnits+1)
		}
	}
	return settle(w.now, a.Number, a.Attempt, a.Amounts.Full.MinorUnits)
}

func (w *world) refund() command {
	c := subscription.Refund{Now: w.now, ID: w.unique("r"), OrderID: w.anyOrder()}
	if rapid.Bool().Draw(w.t, "part") {
		c.Amount = usd(rapid.Int64Range(1, 5000).Draw(w.t, "amount"))
	}
	return c
}

func (w *world) anyOrder() int64 {
	return orders + rapid.Int64Range(1, max(1, w.state.Ordinal)).Draw(w.t, "order")
}

func (w *world) refundOutcome() command {
	if len(w.state.Refunds) == 0 {
		return wake(w.now)
	}
	id := rapid.SampledFrom(w.state.Refunds).Draw(w.t, "refund").ID
	switch rapid.IntRange(0, 6).Draw(w.t, "refund outcome") {
	case 0:
		return subscription.PendRefund{Now: w.now, ID: id}
	case 1:
		return subscription.DoubtRefund{Now: w.now, SentAt: w.now, ID: id}
	case 2:
		return subscription.FailRefund{Now: w.now, ID: id}
	case 3:
		return subscription.ReverseRefund{Now: w.now, ID: id}
	}
	return subscription.SettleRefund{Now: w.now, ID: id}
}

func (w *world) dispute() command {
	return subscription.Chargeback{Now: w.now, OrderID: w.anyOrder(),
		DisputeID: rapid.SampledFrom([]string{"d1", "d2"}).Draw(w.t, "dispute"),
		Stage:     ledgerv1.DisputeStage(rapid.IntRange(1, 5).Draw(w.t, "stage")),
		Outcome:   lost,
	}
}

// send asks, and checks that the laws hold for what was answered. That asking changes nothing, and that the state
// is the history's, is checked by ask.
func (w *world) send(c command) {
	before := w.state
	got, _ := w.ask(c)
	s := before
	for i, e := range got {
		w.lawful(s, e)
		s = subscription.Evolve(s, got[i])
	}
	w.lawfulState()
	w.wakesOnce()
}

// lawful judges an event by the state it came upon.
func (w *world) lawful(s state, e *ledgerv1.Event) {
	if id := orderOf(e); id != 0 && id != orders+s.Ordinal+1 {
		w.t.Fatalf("order %d follows ordinal %d", id, s.Ordinal)
	}
	switch k := e.Kind.(type) {
	case *ledgerv1.Event_PaymentRequested:
		r := k.PaymentRequested
		switch {
		case s.Ended():
			w.t.Fatalf("charged after the end: %v", r)
		case r.PayNumber != s.Paid+1:
			w.t.Fatalf("number %d is charged when %d is paid", r.PayNumber, s.Paid)
		case w.now.Before(s.NextDue):
			w.t.Fatalf("charged at %s, before it is due at %s", w.now, s.NextDue)
		case !s.CancelAt.IsZero() && !w.now.Before(s.CancelAt):
			w.t.Fatalf("charged at %s, after the end at %s that was asked for", w.now, s.CancelAt)
		case s.Mismatch || s.Stopped:
			w.t.Fatalf("charged though mismatch %v, method stopped %v", s.Mismatch, s.Stopped)
		}
		if _, known := s.FindAttempt(r.PayNumber, r.Attempt); known {
			w.t.Fatalf("attempt %d of number %d is made twice", r.Attempt, r.PayNumber)
		}
	case *ledgerv1.Event_PaymentSucceeded:
		w.paidOnce(s, k.PaymentSucceeded.PayNumber)
		if s.Ended() {
			w.t.Fatalf("an ended subscription is paid: %v", k.PaymentSucceeded)
		}
	case *ledgerv1.Event_LateChargeObserved:
		w.paidOnce(s, k.LateChargeObserved.PayNumber)
	case *ledgerv1.Event_PeriodsSkipped:
		k1 := k.PeriodsSkipped
		if n := k1.Count; n == 0 || k1.Last.AsTime().After(w.now) || !k1.NextDue.AsTime().After(w.now) || n == 1 != k1.First.AsTime().Equal(k1.Last.AsTime()) {
			w.t.Fatalf("at %s: %v", w.now, k1)
		}
	case *ledgerv1.Event_RefundSucceeded:
		r := k.RefundSucceeded
		ch, _ := s.FindCharge(r.ParentOrderId)
		back := ch.Refunded.Full.MinorUnits + ch.ChargedBack.Full.MinorUnits + r.Amounts.Full.MinorUnits
		if captured := ch.Amounts.Full.MinorUnits; r.OverReturned != (back > captured) || r.Full != (back >= captured) {
			w.t.Fatalf("%d of %d are back: %v", back, captured, r)
		}
	}
	if after := subscription.Evolve(s, e); s.Ended() && after.Status != s.Status {
		w.t.Fatalf("%v became %v", s.Status, after.Status)
	}
}

// paidOnce: numbers are paid in order, without a gap, each once.
func (w *world) paidOnce(s state, number uint32) {
	if number != s.Paid+1 || len(s.Charges) != int(s.Paid) {
		w.t.Fatalf("number %d is paid after %d, with %d charges", number, s.Paid, len(s.Charges))
	}
}

func (w *world) lawfulState() {
	s := w.state
	open := map[uint32]int{}
	for _, a := range s.Attempts {
		if a.Open() && !a.Withdrawn {
			open[a.Number]++
			if open[a.Number] > 1 || a.Number <= s.Paid || s.Ended() {
				w.t.Fatalf("open attempt %+v when %d is paid, in state %v", a, s.Paid, s.Status)
			}
		}
	}
	for _, ch := range s.Charges {
		w.neverMoreThanCaptured(ch)
	}
	if !s.Ended() && s.Paid > 0 && s.NextDue.IsZero() {
		w.t.Fatalf("nothing is due in state %v", s.Status)
	}
}

// neverMoreThanCaptured: what is asked for, under way and done never exceeds captured - charged back, unless the
// event that made it so is flagged. What is withdrawn does not count: it is not sent any more, and flagged if it was.
func (w *world) neverMoreThanCaptured(ch *subscription.Charge) {
	back := ch.Refunded.Full.MinorUnits + ch.ChargedBack.Full.MinorUnits
	for _, r := range w.state.Refunds {
		if r.Parent == ch.OrderID && r.Open() && !r.Withdrawn {
			back += r.Amounts.Full.MinorUnits
		}
	}
	if back <= ch.Amounts.Full.MinorUnits {
		return
	}
	for _, e := range w.history {
		r, d := e.GetRefundSucceeded(), e.GetDisputeFundsWithdrawn()
		if r.GetParentOrderId() == ch.OrderID && r.GetOverReturned() || d.GetParentOrderId() == ch.OrderID && d.GetOverReturned() {
			return
		}
	}
	w.t.Fatalf("%d of %d are on their way back: %+v", back, ch.Amounts.Full.MinorUnits, ch)
}

// wakesOnce: a wake that does nothing leaves nothing due at its instant, so no timer spins; and a wake is never
// needed before the instant that Due names.
func (w *world) wakesOnce() {
	s := w.state
	does := func(now time.Time) bool {
		es, err := wake(now).Decide(s)
		if err != nil {
			w.t.Fatalf("wake at %s: %v", now, err)
		}
		return len(es) > 0
	}
	for t, i := w.now, 0; !does(t); i++ {
		due := s.Due(t)
		switch {
		case due.IsZero():
			return
		case !due.After(t):
			w.t.Fatalf("due at %s when asked for after %s", due, t)
		case does(due.Add(-1)):
			w.t.Fatalf("a wake before %s finds something to do", due)
		case i == 20 && len(s.Lookups()) == 0:
			w.t.Fatalf("twenty wakes in vain and nothing to look up: %+v", s)
		case i == 20:
			return
		}
		t = due
	}
}

// orderOf is the id of the order that an event makes; 0 if it makes none.
func orderOf(e *ledgerv1.Event) int64 {
	switch k := e.Kind.(type) {
	case *ledgerv1.Event_PaymentSucceeded:
		return k.PaymentSucceeded.OrderId
	case *ledgerv1.Event_LateChargeObserved:
		return k.LateChargeObserved.OrderId
	case *ledgerv1.Event_PaymentDeclined:
		return k.PaymentDeclined.OrderId
	case *ledgerv1.Event_RefundSucceeded:
		return k.RefundSucceeded.OrderId
	case *ledgerv1.Event_RefundReversed:
		return k.RefundReversed.OrderId
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		return k.DisputeFundsWithdrawn.OrderId
	case *ledgerv1.Event_DisputeFundsReinstated:
		return k.DisputeFundsReinstated.OrderId
	case *ledgerv1.Event_SubscriptionCancelled:
		return k.SubscriptionCancelled.OrderId
	}
	return 0
}
