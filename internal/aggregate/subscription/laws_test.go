package subscription_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// world drives one subscription at random: callers ask, gateways answer what they like in any order, time passes,
// connections are blocked and merchants change their policies.
type world struct {
	life
	now    time.Time
	around subscription.Circumstances
	t      *rapid.T
	next   int // names what has to be unique
}

func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{life: life{t: t}, now: t0, t: t}
		w.send(w.begin())
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.pass()
			w.turn()
			w.send(w.anything())
		}
	})
}

// begin is a start or, for some, an import.
func (w *world) begin() command {
	tm := anyTerms(w.t)
	most := uint32(3)
	switch {
	case tm.Kind == oneTime:
		most = 1
	case tm.Kind == installments:
		most = tm.Installments
	}
	if tm.Initial == nil && (tm.Kind == oneTime || tm.Kind == installments) {
		most--
	}
	if most == 0 || rapid.IntRange(0, 2).Draw(w.t, "begin") > 0 {
		return startAt(w.now, tm)
	}
	paid := rapid.Uint32Range(1, most).Draw(w.t, "paid")
	states := []ledgerv1.ImportState{importActive, importPastDue, importPaused}
	if tm.Initial != nil && paid == 1 {
		states[0] = importTrialing
	}
	c := importAt(w.now, tm, rapid.SampledFrom(states).Draw(w.t, "state"), paid, w.now.Add(-day))
	if c.Request.State != importPastDue {
		c.Request.NextDueAt = at(w.now.Add(time.Duration(rapid.IntRange(-90, 60).Draw(w.t, "due in days")) * day))
	}
	if byLedger := c.Request.State == importPastDue || c.Request.State == importPaused; !byLedger && rapid.Bool().Draw(w.t, "by gateway") {
		c.Request.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	}
	return c
}

// turn changes what merchants and connections say, now and then.
func (w *world) turn() {
	if rapid.IntRange(0, 4).Draw(w.t, "turn") > 0 {
		return
	}
	w.around.Blocked = rapid.IntRange(0, 3).Draw(w.t, "blocked") == 0
	w.around.Policies = rapid.SampledFrom([]*ledgerv1.Policies{
		nil, {}, {DunningDays: []uint32{1}}, {DunningDays: []uint32{1, 2, 5, 20}, Chargeback: ignores}, {Chargeback: holds, LateCharge: refunds},
	}).Draw(w.t, "policies")
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
	switch rapid.IntRange(0, 17).Draw(w.t, "command") {
	case 0, 1, 2:
		return w.wake(w.now)
	case 3:
		c := subscription.Rebill{Now: w.now, Circumstances: w.around}
		if rapid.Bool().Draw(w.t, "less") {
			c.Amounts = price(rapid.SampledFrom([]int64{0, 500}).Draw(w.t, "amount"))
		}
		return c
	case 4, 5, 6, 7:
		return w.outcome()
	case 8:
		return w.refund()
	case 9, 10:
		return w.refundOutcome()
	case 11:
		return w.dispute()
	case 12, 13:
		return w.changeOfPlan()
	case 14, 15:
		return w.changeOfMethod()
	case 16:
		return w.surprise()
	}
	switch rapid.IntRange(0, 5).Draw(w.t, "end") {
	case 0:
		return cancel(w.now)
	case 1:
		return w.agreementLost()
	case 2:
		return subscription.WithdrawCancellation{Now: w.now}
	}
	return atPeriodEnd(w.now)
}

func (w *world) wake(now time.Time) command {
	return subscription.Wake{Now: now, Circumstances: w.around}
}

// changeOfPlan is what a caller wants to be otherwise from now on.
func (w *world) changeOfPlan() command {
	switch rapid.IntRange(0, 5).Draw(w.t, "plan") {
	case 0:
		return subscription.Pause{Now: w.now}
	case 1, 2:
		return subscription.Resume{Now: w.now, Circumstances: w.around}
	case 3:
		return subscription.ChangeTerms{Now: w.now, Consent: "mail", Amounts: price(rapid.SampledFrom([]int64{0, 700, 4700}).Draw(w.t, "amount"))}
	}
	return subscription.Reschedule{Now: w.now, KeepAnchor: rapid.Bool().Draw(w.t, "keep"),
		Due: w.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(w.t, "due in days")) * day)}
}

// changeOfMethod is a buyer with another card, or the gateway's answer to it.
func (w *world) changeOfMethod() command {
	replacement := max(1, w.state.Replaced)
	switch rapid.IntRange(0, 3).Draw(w.t, "method") {
	case 0:
		return subscription.StoreMethod{Now: w.now, Replacement: replacement, Method: card()}
	case 1:
		return subscription.RefuseMethod{Now: w.now, Replacement: replacement, Code: "declined"}
	}
	return subscription.ReplacePaymentMethod{Now: w.now, Token: w.unique("tok"), Mode: ledgerv1.Mode_MODE_TEST, Circumstances: w.around,
		Connection: subscription.Connection{ID: rapid.SampledFrom([]string{"main", "second"}).Draw(w.t, "connection")}}
}

// surprise is what a gateway did without being asked, or what was done about it.
func (w *world) surprise() command {
	switch rapid.IntRange(0, 3).Draw(w.t, "surprise") {
	case 0:
		return subscription.ObserveRefund{Now: w.now, OrderID: w.anyOrder(), Reference: w.unique("re"), Amount: usd(rapid.Int64Range(1, 6000).Draw(w.t, "amount"))}
	case 1:
		return subscription.ObservePayment{Now: w.now, At: w.now.Add(-time.Duration(rapid.IntRange(0, 40).Draw(w.t, "days ago")) * day),
			Reference: w.unique("ch"), Amount: usd(rapid.SampledFrom([]int64{700, 4700}).Draw(w.t, "amount"))}
	}
	for _, a := range w.state.Attempts {
		if a.Status == subscription.AttemptMismatched && !a.Returned {
			return subscription.ResolveMismatch{Now: w.now, Number: a.Number, Attempt: a.Attempt, Reference: w.unique("re")}
		}
		if a.Status == subscription.AttemptDuplicate {
			return subscription.ReturnDuplicate{Now: w.now, Number: a.Number, Attempt: a.Attempt, Reference: w.unique("re")}
		}
	}
	return w.wake(w.now)
}

// agreementLost is told by itself, or to an attempt.
func (w *world) agreementLost() command {
	c := subscription.LoseAgreement{Now: w.now, Code: "lost"}
	if a, ok := w.state.OpenAttempt(); ok && rapid.Bool().Draw(w.t, "told to an attempt") {
		c.Number, c.Attempt = a.Number, a.Attempt
	}
	return c
}

// outcome reports something of any attempt there was, also what contradicts an earlier report.
func (w *world) outcome() command {
	if len(w.state.Attempts) == 0 {
		return w.wake(w.now)
	}
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
	c := subscription.SettlePayment{Now: w.now, Number: a.Number, Attempt: a.Attempt, Amount: a.Amounts.Full, Circumstances: w.around,
		Reference: fmt.Sprintf("ch_%d_%d", a.Number, a.Attempt)}
	if rapid.Bool().Draw(w.t, "method told") {
		c.Method = card()
	}
	return c
}

func (w *world) refund() command {
	c := subscription.Refund{Now: w.now, ID: w.unique("r"), OrderID: w.anyOrder()}
	c.Cancel = rapid.IntRange(0, 9).Draw(w.t, "cancel too") == 0
	switch rapid.IntRange(0, 3).Draw(w.t, "part") {
	case 0, 1:
		c.Amount = usd(rapid.Int64Range(1, 5000).Draw(w.t, "amount"))
	case 2:
		c.Parts = price(rapid.Int64Range(1, 5000).Draw(w.t, "base"))
	}
	return c
}

func (w *world) anyOrder() int64 {
	return orders + rapid.Int64Range(1, max(1, w.state.Ordinal)).Draw(w.t, "order")
}

func (w *world) refundOutcome() command {
	if len(w.state.Refunds) == 0 {
		return w.wake(w.now)
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
		Outcome:   rapid.SampledFrom([]ledgerv1.DisputeOutcome{won, lost}).Draw(w.t, "outcome"),

		Circumstances: w.around,
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
	w.isNotForgotten()
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
		case s.Status == subscription.Paused || s.Held() || s.ByGateway() || w.around.Blocked && r.PayNumber > 1:
			w.t.Fatalf("charged in state %v, held %v, by gateway %v, connection blocked %v", s.Status, s.Held(), s.ByGateway(), w.around.Blocked)
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
		if k.LateChargeObserved.Ended != s.Ended() {
			w.t.Fatalf("in state %v: %v", s.Status, k.LateChargeObserved)
		}
	case *ledgerv1.Event_PaymentObserved:
		w.paidOnce(s, k.PaymentObserved.PayNumber)
		if !s.ByGateway() || k.PaymentObserved.Ended != s.Ended() {
			w.t.Fatalf("in state %v, by gateway %v: %v", s.Status, s.ByGateway(), k.PaymentObserved)
		}
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
	after := subscription.Evolve(s, e)
	if status, resumes := follows(s, e); after.Status != status || after.Resumes != resumes {
		w.t.Fatalf("%v (%v) became %v (%v) by %T, want %v (%v)", s.Status, s.Resumes, after.Status, after.Resumes, e.Kind, status, resumes)
	}
}

// follows is the whole table of what becomes of a state, and of the one that a pause goes back to, by an event.
func follows(s state, e *ledgerv1.Event) (status, resumes ledgerv1.SubscriptionState) {
	paused := s.Status == subscription.Paused
	alive := func(st ledgerv1.SubscriptionState) (status, resumes ledgerv1.SubscriptionState) {
		switch {
		case s.Ended():
			return s.Status, s.Resumes
		case paused:
			return subscription.Paused, st
		}
		return st, 0
	}
	paid := func(number uint32) (status, resumes ledgerv1.SubscriptionState) {
		if number == 1 && s.Terms().Initial != nil {
			return alive(subscription.Trialing)
		}
		return alive(subscription.Active)
	}
	pendingOr := func(st ledgerv1.SubscriptionState) ledgerv1.SubscriptionState {
		if s.Status == subscription.Pending {
			return subscription.Failed
		}
		return st
	}
	switch k := e.Kind.(type) {
	case *ledgerv1.Event_SubscriptionStarted:
		return subscription.Pending, 0
	case *ledgerv1.Event_SubscriptionImported:
		i := k.SubscriptionImported
		living := subscription.Active
		if i.PaidNumber == 1 && i.Terms.Initial != nil {
			living = subscription.Trialing
		}
		switch i.State {
		case importPaused:
			return subscription.Paused, living
		case importPastDue:
			return subscription.PastDue, 0
		}
		return living, 0
	case *ledgerv1.Event_PaymentSucceeded:
		return paid(k.PaymentSucceeded.PayNumber)
	case *ledgerv1.Event_PaymentObserved:
		return paid(k.PaymentObserved.PayNumber)
	case *ledgerv1.Event_LateChargeObserved:
		return paid(k.LateChargeObserved.PayNumber)
	case *ledgerv1.Event_PaymentDeclined:
		return alive(pendingOr(subscription.PastDue))
	case *ledgerv1.Event_PaymentNotCharged, *ledgerv1.Event_MismatchResolved:
		return pendingOr(s.Status), s.Resumes
	case *ledgerv1.Event_SubscriptionPaused:
		return subscription.Paused, s.Status
	case *ledgerv1.Event_SubscriptionResumed:
		return s.Resumes, 0
	case *ledgerv1.Event_SubscriptionCancelled:
		return pendingOr(subscription.Cancelled), 0
	case *ledgerv1.Event_SubscriptionCompleted:
		return subscription.Completed, 0
	}
	return s.Status, s.Resumes
}

// paidOnce: numbers are paid in order, without a gap, each once.
func (w *world) paidOnce(s state, number uint32) {
	if number != s.Paid+1 || len(s.Charges) != int(s.Paid-s.Import.GetPaidNumber()) {
		w.t.Fatalf("number %d is paid after %d, with %d charges", number, s.Paid, len(s.Charges))
	}
}

func (w *world) lawfulState() {
	s := w.state
	open := map[uint32]int{}
	for _, a := range s.Attempts {
		if a.Open() && a.Number > s.Paid {
			open[a.Number]++
		}
		if a.Open() && !a.Withdrawn {
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
	if s.Stopped && !s.NextAttempt.IsZero() {
		w.t.Fatalf("a method that must not be tried is to be tried at %s, in state %v", s.NextAttempt, s.Status)
	}
	after := w.now.Add(time.Duration(rapid.IntRange(-100_000, 100_000).Draw(w.t, "minutes from now")) * time.Minute)
	if due := s.Due(after); !due.IsZero() && !due.After(after) {
		w.t.Fatalf("due at %s when asked for after %s", due, after)
	}
}

// isNotForgotten: whatever lives and waits for nothing but time says when it wants to be woken.
func (w *world) isNotForgotten() {
	s := w.state
	open, isOpen := s.OpenAttempt()
	switch {
	case s.Ended() || s.ByGateway() || s.Status == subscription.Paused || s.Mismatch || s.Held():
		return // something else has to happen first
	case isOpen && open.Number > s.Paid && open.Status == subscription.AttemptRequested && !open.Withdrawn:
		return // it is being sent
	}
	if s.Due(time.Time{}).IsZero() || s.Due(w.now).IsZero() {
		w.t.Fatalf("forgotten in state %v: due first at %s, and after %s at %s", s.Status, s.Due(time.Time{}), w.now, s.Due(w.now))
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
		r, o, d := e.GetRefundSucceeded(), e.GetRefundObserved(), e.GetDisputeFundsWithdrawn()
		if r.GetParentOrderId() == ch.OrderID && r.GetOverReturned() || o.GetParentOrderId() == ch.OrderID && o.GetOverReturned() ||
			d.GetParentOrderId() == ch.OrderID && d.GetOverReturned() {
			return
		}
	}
	w.t.Fatalf("%d of %d are on their way back: %+v", back, ch.Amounts.Full.MinorUnits, ch)
}

// wakesOnce: a wake that does nothing leaves nothing due at its instant, so no timer spins; and a wake is never
// needed before the instant that Due names, unless a connection was unblocked: that is found within the hour.
func (w *world) wakesOnce() {
	s := w.state
	does := func(now time.Time) bool {
		es, err := w.wake(now).Decide(s)
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
		case does(due.Add(-1)) && !w.around.Blocked:
			w.t.Fatalf("a wake before %s finds something to do", due)
		case i == 20 && !w.around.Blocked && len(s.Lookups()) == 0:
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
	case *ledgerv1.Event_PaymentObserved:
		return k.PaymentObserved.OrderId
	case *ledgerv1.Event_RefundObserved:
		return k.RefundObserved.OrderId
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
