package subscription_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// TestModel lives random lives twice, in the ledger and in a model of it, and compares after every step what both say.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := &both{life: life{t: t}, m: &model{sold: modelTerms(t)}, now: t0}
		b.merchant(t)
		b.agree(startAt(b.now, b.m.sold), nil)
		b.m.start(b.now)
		if evenly(t, 4, "sold") > 0 {
			b.settles(b.m.trying())
		}
		steps := []happening{
			{"time passes", b.timePasses}, {"a payment is due", b.paymentDue}, {"the next one too", b.paymentDue},
			{"an outcome", b.outcome}, {"another outcome", b.outcome}, {"an outcome of old", b.lateOutcome},
			{"rebill", b.rebill}, {"hammer", b.hammer}, {"method", b.changeMethod}, {"refund", b.refund}, {"outcome of a refund", b.refundOutcome},
			{"dispute", b.dispute}, {"hold", b.hold}, {"cancel", b.cancel}, {"pause", b.pause}, {"reschedule", b.reschedule},
			{"change terms", b.changeTerms}, {"merchant", b.merchant},
		}
		t.Repeat(map[string]func(*rapid.T){
			"": b.compare,
			"step": func(t *rapid.T) {
				s := steps[evenly(t, len(steps), "what")]
				t.Logf("%s at %s", s.name, b.now)
				s.do(t)
			},
		})
	})
}

// happening is something that happens to a subscription.
type happening struct {
	name string
	do   func(*rapid.T)
}

// evenly draws one of n numbers from 0, each as likely: rapid's own draws prefer the small ones, and the lives made of
// them are short.
func evenly(t *rapid.T, n int, label string) int {
	return rapid.Custom(func(t *rapid.T) int {
		v := 0
		for range 10 {
			v *= 2
			if rapid.Bool().Draw(t, "bit") {
				v++
			}
		}
		return v % n
	}).Draw(t, label)
}

// both are the ledger's life of a subscription and the model's.
type both struct {
	life
	m   *model
	now time.Time
}

// modelTerms are terms of every kind, with a trial, a coupon and payments of 0 among them.
func modelTerms(t *rapid.T) *ledgerv1.Terms {
	tm := anyTerms(t)
	if tm.Kind != oneTime && tm.Kind != recurringInstallments && evenly(t, 5, "quarterly") == 0 {
		tm.Period = ledgerv1.Period_PERIOD_QUARTERLY
	}
	return tm
}

// agree asks the ledger, and wants it refused if there is a reason against it.
func (b *both) agree(c command, against []string) {
	b.t.Helper()
	_, err := b.ask(c)
	reason := reasonOf(err)
	if against == nil && reason != "" || against != nil && !slices.Contains(against, reason) {
		b.t.Fatalf("%T at %s: the ledger answers %q, the model knows reasons %q", c, b.now, reason, against)
	}
}

func (b *both) around() subscription.Circumstances {
	return subscription.Circumstances{Policies: b.m.policies, Blocked: b.m.blocked}
}

func (b *both) wakes() {
	b.agree(subscription.Wake{Now: b.now, Circumstances: b.around()}, nil)
	b.m.wake(b.now)
}

func (b *both) timePasses(t *rapid.T) {
	b.now = b.now.Add(time.Duration(rapid.IntRange(1, 100*24).Draw(t, "hours")) * time.Hour)
	if rapid.Bool().Draw(t, "wakes") {
		b.wakes()
	}
}

// comesDue passes the time to whatever is next.
func (b *both) comesDue() {
	for _, at := range []time.Time{b.m.cancelAt, b.m.rested(b.m.next)} {
		if at.After(b.now) {
			b.now = at
			break
		}
	}
	b.wakes()
}

// paymentDue has the gateway answer what comes due, well as a rule.
func (b *both) paymentDue(t *rapid.T) {
	b.comesDue()
	if open := b.m.trying(); open != nil && evenly(t, 3, "answered") > 0 {
		b.settles(open)
	}
}

func (b *both) settles(on *try) {
	b.agree(settle(b.now, on.number, on.attempt, on.cents), nil)
	b.m.pay(b.now, on)
}

func (b *both) outcome(t *rapid.T) {
	if open := b.m.trying(); open != nil {
		b.answers(t, open)
	}
}

// lateOutcome is something that a gateway tells of any try there was, again or against what it told before.
func (b *both) lateOutcome(t *rapid.T) {
	b.answers(t, b.m.tries[evenly(t, len(b.m.tries), "try")])
}

func (b *both) answers(t *rapid.T, on *try) {
	switch n := evenly(t, 10, "answer"); n {
	case 0:
		b.agree(doubt(b.now, on.number, on.attempt), nil)
		b.m.doubt(on)
	case 1:
		b.agree(pend(b.now, on.number, on.attempt), nil)
		b.m.pend(b.now, on)
	case 2:
		b.agree(absent(b.now, on.number, on.attempt), nil)
		b.m.absent(b.now, on)
	case 3, 4, 5, 6:
		c := subscription.DeclinePayment{Now: b.now, Number: on.number, Attempt: on.attempt, Category: soft}
		switch n {
		case 3:
			c.Category = rapid.SampledFrom([]ledgerv1.DeclineCategory{hard, buyer}).Draw(t, "category")
		case 4:
			c.StopOrder = evenly(t, 4, "stop order") == 0
			c.Expired = !c.StopOrder && rapid.Bool().Draw(t, "expired")
		}
		b.agree(c, nil)
		b.m.decline(b.now, on, c.Category, c.StopOrder, c.Expired)
	default:
		b.settles(on)
	}
}

func (b *both) rebill(t *rapid.T) {
	c := subscription.Rebill{Now: b.now, Circumstances: b.around()}
	cents := b.m.owed(b.m.paid + 1)
	if rapid.Bool().Draw(t, "another amount") {
		cents = rapid.SampledFrom([]int64{0, 500, 9900}).Draw(t, "amount")
		c.Amounts = price(cents)
	}
	b.agree(c, b.m.rebill(b.now, cents))
}

// hammer is a merchant who tries again and again, and is declined as often.
func (b *both) hammer(t *rapid.T) {
	if b.m.due.After(b.now) {
		b.now = b.m.due
	}
	for range 1 + evenly(t, 20, "times") {
		b.now = b.now.Add(time.Duration(1+evenly(t, 24, "hours")) * time.Hour)
		b.agree(subscription.Rebill{Now: b.now, Circumstances: b.around()}, b.m.rebill(b.now, b.m.owed(b.m.paid+1)))
		if open := b.m.trying(); open != nil && open.fate == asked && !open.withdrawn {
			b.agree(decline(b.now, open.number, open.attempt, soft), nil)
			b.m.decline(b.now, open, soft, false, false)
		}
	}
}

func (b *both) changeMethod(t *rapid.T) {
	if evenly(t, 3, "stored") == 0 {
		b.agree(subscription.StoreMethod{Now: b.now, Replacement: uint32(b.m.method), Method: card()}, nil)
		b.m.stored = b.m.stored || b.m.method > 0
		return
	}
	b.agree(subscription.ReplacePaymentMethod{Now: b.now, Token: "tok", Connection: subscription.Connection{ID: "main"},
		Mode: ledgerv1.Mode_MODE_TEST, Circumstances: b.around()}, b.m.replace(b.now))
}

func (b *both) refund(t *rapid.T) {
	order := rapid.Int64Range(1, b.m.orders+1).Draw(t, "order")
	if len(b.m.payments) > 0 && evenly(t, 4, "a payment") > 0 {
		order = b.m.payments[evenly(t, len(b.m.payments), "payment")].order
	}
	c := subscription.Refund{Now: b.now, ID: fmt.Sprint("r", len(b.m.refunds)), OrderID: orders + order}
	cents := rapid.SampledFrom([]int64{0, 1, 700, 2000, 4700, 5000}).Draw(t, "cents")
	if cents > 0 {
		c.Amount = usd(cents)
	}
	b.agree(c, b.m.refund(order, cents))
}

func (b *both) refundOutcome(t *rapid.T) {
	if len(b.m.refunds) == 0 {
		return
	}
	i := evenly(t, len(b.m.refunds), "refund")
	r, id := b.m.refunds[i], fmt.Sprint("r", i)
	switch evenly(t, 6, "outcome") {
	case 0:
		b.agree(subscription.DoubtRefund{Now: b.now, SentAt: b.now, ID: id}, nil)
	case 1:
		b.agree(subscription.FailRefund{Now: b.now, ID: id}, nil)
		b.m.refundFails(r)
	case 2:
		b.agree(subscription.ReverseRefund{Now: b.now, ID: id}, b.m.refundComesBack(r))
	default:
		b.agree(subscription.SettleRefund{Now: b.now, ID: id}, nil)
		b.m.refunded(r)
	}
}

// dispute tells a step of a dispute, in any order.
func (b *both) dispute(t *rapid.T) {
	if q := b.disputed(t); q != nil && evenly(t, 2, "peace") == 0 {
		b.tells(t, q, ledgerv1.DisputeStage(1+evenly(t, 5, "stage")))
	}
}

// hold is a dispute that holds a payment which is on its way already, and ends after its outcome.
func (b *both) hold(t *rapid.T) {
	q := b.disputed(t)
	if q == nil {
		return
	}
	b.m.policies = &ledgerv1.Policies{Chargeback: holds}
	b.comesDue()
	b.tells(t, q, ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN)
	b.timePasses(t)
	b.outcome(t)
	b.tells(t, q, ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED)
}

// disputed is the dispute about some payment; nil if there is nothing to quarrel about.
func (b *both) disputed(t *rapid.T) *quarrel {
	var captured []*payment
	for _, p := range b.m.payments {
		if p.cents > 0 {
			captured = append(captured, p)
		}
	}
	if len(captured) == 0 {
		return nil
	}
	of := captured[evenly(t, len(captured), "disputed")]
	for _, q := range b.m.disputes {
		if q.of == of {
			return q
		}
	}
	q := &quarrel{of: of}
	b.m.disputes = append(b.m.disputes, q)
	return q
}

func (b *both) tells(t *rapid.T, q *quarrel, stage ledgerv1.DisputeStage) {
	wins := evenly(t, 2, "won") > 0
	c := subscription.Chargeback{Now: b.now, OrderID: orders + q.of.order, DisputeID: fmt.Sprint("d", q.of.order),
		Stage: stage, Outcome: lost, Circumstances: b.around()}
	if wins {
		c.Outcome = won
	}
	var against []string
	switch stage {
	case ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN:
		b.m.takeBack(q)
	case ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED:
		b.m.close(b.now, q, wins)
	case ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED:
		against = b.m.giveIn(q)
	}
	b.agree(c, against)
}

func (b *both) cancel(t *rapid.T) {
	switch evenly(t, 6, "cancel") {
	case 0:
		b.agree(cancel(b.now), b.m.cancel(b.now, false))
	case 1, 2:
		b.agree(subscription.WithdrawCancellation{Now: b.now}, b.m.withdraw(b.now))
	default:
		b.agree(subscription.Cancel{Now: b.now, Reason: byBuyer, AtPeriodEnd: true}, b.m.cancel(b.now, true))
	}
}

func (b *both) pause(t *rapid.T) {
	if evenly(t, 3, "pause") == 0 {
		b.agree(subscription.Pause{Now: b.now}, b.m.pause())
		return
	}
	b.agree(subscription.Resume{Now: b.now, Circumstances: b.around()}, b.m.resume(b.now))
}

func (b *both) reschedule(t *rapid.T) {
	due := b.now.Add(time.Duration(rapid.IntRange(-5, 60).Draw(t, "in days")) * day)
	keep := rapid.Bool().Draw(t, "keep the anchor")
	b.agree(subscription.Reschedule{Now: b.now, Due: due, KeepAnchor: keep}, b.m.reschedule(b.now, due, keep))
}

func (b *both) changeTerms(t *rapid.T) {
	cents := rapid.SampledFrom([]int64{0, 700, 4700}).Draw(t, "cents")
	b.agree(subscription.ChangeTerms{Now: b.now, Consent: "mail", Amounts: price(cents)}, b.m.changeTerms(cents))
}

// merchant changes his policies, or the state of his connection.
func (b *both) merchant(t *rapid.T) {
	b.m.blocked = evenly(t, 4, "blocked") == 0
	b.m.policies = []*ledgerv1.Policies{
		nil, {DunningDays: []uint32{1}}, {DunningDays: []uint32{1, 2, 5, 20}, Chargeback: ignores},
		{Chargeback: holds}, {Chargeback: holds, DunningDays: []uint32{2}},
	}[evenly(t, 5, "policies")]
}

// told is what both say of a subscription.
type told struct {
	Status, Resumes      ledgerv1.SubscriptionState
	Paid, Left           uint32
	Due, Next, CancelAt  time.Time
	Asks, Orders         int64
	Stopped, Held        bool
	Tries                []toldTry
	Refundable, Returned []int64 // of each payment
}

type toldTry struct {
	Number, Attempt, Step uint32
	Cents                 int64
	Open, Withdrawn       bool
}

func (b *both) compare(t *rapid.T) {
	if diff := cmp.Diff(b.m.tells(), ledgerTells(b.now, b.state)); diff != "" {
		t.Fatalf("at %s (-model +ledger):\n%s", b.now, diff)
	}
}

func (m *model) tells() told {
	v := told{Status: m.status, Resumes: m.remembered, Paid: m.paid, Left: m.paymentsLeft(), Orders: m.orders, CancelAt: m.cancelAt}
	if !m.ended() {
		v.Due, v.Asks, v.Stopped, v.Held = m.due, m.again(), m.stopped, m.held()
		if m.trying() == nil && !m.paused() {
			v.Next = m.next
		}
	}
	for _, t := range m.tries {
		v.Tries = append(v.Tries, toldTry{t.number, t.attempt, t.step, t.cents, t.open(), t.open() && t.withdrawn})
	}
	for _, p := range m.payments {
		v.Refundable, v.Returned = append(v.Refundable, m.refundable(p)), append(v.Returned, p.returned+p.takenBack)
	}
	return v
}

func ledgerTells(now time.Time, s state) told {
	v := told{Status: s.Status, Resumes: s.Resumes, Paid: s.Paid, Left: s.PaymentsLeft(), Orders: s.Ordinal, CancelAt: s.CancelAt}
	if !s.Ended() {
		v.Due, v.Asks, v.Stopped, v.Held = s.NextDue, s.NextAmounts().Full.MinorUnits, s.Stopped, s.Held()
		if a, open := s.OpenAttempt(); !open || a.Number <= s.Paid {
			v.Next = s.NextAttempt
		}
	}
	for _, a := range s.Attempts {
		v.Tries = append(v.Tries, toldTry{a.Number, a.Attempt, a.Reattempt, a.Amounts.Full.MinorUnits, a.Open(), a.Open() && a.Withdrawn})
	}
	for _, c := range s.Charges {
		left := int64(0) // what a caller who asks for everything gets
		if es, err := (subscription.Refund{Now: now, ID: "all", OrderID: c.OrderID}).Decide(s); err == nil {
			left = es[0].GetRefundRequested().Amounts.Full.MinorUnits
		}
		v.Refundable = append(v.Refundable, left)
		v.Returned = append(v.Returned, c.Refunded.Full.MinorUnits+c.ChargedBack.Full.MinorUnits)
	}
	return v
}
