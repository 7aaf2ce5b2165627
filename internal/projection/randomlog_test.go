package projection_test

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// randomLog is a log of a few subscriptions that live at random: callers ask, gateways answer what they like in any
// order, time passes, stands still, and at times goes back. What the aggregate refuses is not in it.
type randomLog struct {
	t      *rapid.T
	now    time.Time
	lives  []*randomLife
	events []event.Recorded
	next   int // names what has to be unique
}

type randomLife struct {
	id       string
	state    subscription.State
	recorded time.Time // of the last event
	created  time.Time
	revision event.Revision
}

func newRandomLog(t *rapid.T, lives int) *randomLog {
	l := &randomLog{t: t, now: time.Date(2026, time.January, 31, 10, 0, 0, 0, time.UTC)}
	for i := range lives {
		l.lives = append(l.lives, &randomLife{id: fmt.Sprintf("s%d", i), revision: event.NoStream})
	}
	return l
}

// step lets something happen, and says to whom; the events of it are appended.
func (l *randomLog) step() *randomLife {
	s := rapid.SampledFrom(l.lives).Draw(l.t, "life")
	l.pass(s.state)
	c := l.command(s)
	events, err := c.Decide(s.state)
	if err != nil {
		return s // refused
	}
	at := l.now
	if at.Before(s.recorded) {
		at = s.recorded // within a stream it never decreases
	}
	s.recorded, s.created = at, earlier(s.created, at)
	l.next++
	stream := subscription.Stream("acme", s.id)
	for i, e := range events {
		e.Metadata.RecordedAt = timestamppb.New(at)
		s.state = subscription.Evolve(s.state, e)
		s.revision++
		place := uint64(len(l.events) + 1)
		l.events = append(l.events, event.Recorded{Stream: stream, Revision: s.revision, Event: e,
			Position: event.Position{Commit: place, Prepare: place}, ID: event.ID(stream, fmt.Sprint(l.next), i)})
	}
	return s
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// pass moves the clock: not at all, a little forth or back, to what is due, or far ahead.
func (l *randomLog) pass(s subscription.State) {
	switch rapid.IntRange(0, 5).Draw(l.t, "time") {
	case 0:
	case 1:
		l.now = l.now.Add(time.Duration(rapid.IntRange(-5, 600).Draw(l.t, "seconds")) * time.Second)
	case 2, 3, 4:
		if due := s.Due(l.now); !due.IsZero() {
			l.now = due
		}
	case 5:
		l.now = l.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(l.t, "days")) * 24 * time.Hour)
	}
}

func (l *randomLog) unique(what string) string {
	l.next++
	return fmt.Sprintf("%s%d", what, l.next)
}

// command is one that somebody could send now. Small numbers are drawn more often than large ones: they stand for what
// keeps a life going.
func (l *randomLog) command(s *randomLife) aggregate.Command[subscription.State] {
	if !s.state.Exists() {
		return l.start(s)
	}
	switch rapid.IntRange(0, 20).Draw(l.t, "command") {
	case 0, 1, 2, 3:
		return l.outcome(s.state)
	case 4, 5, 6, 7:
		return subscription.Wake{Now: l.now}
	case 8:
		return l.rebill()
	case 9:
		return l.refund(s.state)
	case 10, 11:
		return l.refundOutcome(s.state)
	case 12:
		return l.dispute(s.state)
	case 13:
		return subscription.UpdateBuyer{Now: l.now, Buyer: &ledgerv1.Buyer{Email: l.unique("B") + "@Mail.example"}}
	case 14:
		return subscription.Pause{Now: l.now, Reason: "holiday"}
	case 15, 16:
		return subscription.Resume{Now: l.now}
	case 17, 18:
		return l.method(s.state)
	case 19:
		return l.change(s.state)
	}
	switch rapid.IntRange(0, 4).Draw(l.t, "end") {
	case 0, 1:
		return subscription.WithdrawCancellation{Now: l.now}
	case 2:
		return subscription.Cancel{Now: l.now, Reason: ledgerv1.CancelReason_CANCEL_REASON_MERCHANT}
	case 3:
		return subscription.LoseAgreement{Now: l.now, Code: "lost"}
	}
	return subscription.Cancel{Now: l.now, Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: true}
}

func (l *randomLog) start(s *randomLife) aggregate.Command[subscription.State] {
	price := func(minor int64) *ledgerv1.Amounts { return &ledgerv1.Amounts{Base: usd(minor)} }
	t := &ledgerv1.Terms{ProductId: "p1", ProductName: "Course", PricePoint: 2, Regular: price(4700),
		Kind: ledgerv1.PriceKind(rapid.IntRange(1, 4).Draw(l.t, "kind"))}
	if t.Kind != subscription.OneTime {
		t.Period = rapid.SampledFrom([]ledgerv1.Period{ledgerv1.Period_PERIOD_WEEKLY, ledgerv1.Period_PERIOD_MONTHLY}).Draw(l.t, "period")
	}
	if t.Kind == subscription.Installments || t.Kind == subscription.RecurringInstallments {
		t.Installments = rapid.Uint32Range(1, 3).Draw(l.t, "installments")
	}
	if t.Kind == subscription.RecurringInstallments {
		t.Frequency = ledgerv1.Frequency_FREQUENCY_EVERY_YEAR
	}
	if rapid.Bool().Draw(l.t, "coupon") {
		t.Introductory = &ledgerv1.Introductory{Payments: 2, Amounts: price(rapid.SampledFrom([]int64{0, 700}).Draw(l.t, "introductory"))}
	}
	trial := rapid.Bool().Draw(l.t, "trial")
	if trial {
		t.Initial = &ledgerv1.InitialPayment{Days: 14, Amounts: price(rapid.SampledFrom([]int64{0, 100}).Draw(l.t, "initial"))}
	}
	c := subscription.Start{Now: l.now, Trial: trial, Number: int64(len(l.events) + 1), Merchant: "acme", ID: s.id, Gateway: "sandbox",
		Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST, Request: &ledgerv1.StartRequest{
			Buyer: &ledgerv1.Buyer{Id: "b1", Email: "Ada@Example.com"}, Terms: t, ConnectionId: "main", PaymentMethodToken: "tok", ExternalRef: "cart-7"}}
	if rapid.IntRange(0, 3).Draw(l.t, "imported") == 0 {
		return l.imported(c)
	}
	return c
}

// imported is what was started, taken over from elsewhere.
func (l *randomLog) imported(s subscription.Start) aggregate.Command[subscription.State] {
	r := &ledgerv1.ImportRequest{Buyer: s.Request.Buyer, Terms: s.Request.Terms, ConnectionId: "main",
		PaymentMethod: &ledgerv1.PaymentMethod{Reference: "pm"}, ExternalRef: "cart-8",
		State:      ledgerv1.ImportState(rapid.IntRange(1, 4).Draw(l.t, "state")),
		PaidNumber: rapid.Uint32Range(1, 4).Draw(l.t, "paid"),
		NextDueAt:  timestamppb.New(l.now.Add(time.Duration(rapid.IntRange(-40, 40).Draw(l.t, "due")) * 24 * time.Hour)),
		ChargedBy:  ledgerv1.ChargedBy(rapid.IntRange(0, 2).Draw(l.t, "charged by")),
	}
	if rapid.Bool().Draw(l.t, "start is known") {
		r.StartedAt = timestamppb.New(l.now.Add(-100 * 24 * time.Hour))
	}
	return subscription.Import{Now: l.now, Number: s.Number, Request: r, Merchant: s.Merchant, ID: s.ID, Gateway: s.Gateway,
		Processor: s.Processor, Mode: s.Mode}
}

// method replaces the payment method, or says what became of a replacement.
func (l *randomLog) method(s subscription.State) aggregate.Command[subscription.State] {
	switch rapid.IntRange(0, 3).Draw(l.t, "method") {
	case 0:
		return subscription.StoreMethod{Now: l.now, Replacement: s.Replaced, Method: &ledgerv1.PaymentMethod{Reference: "pm2"}}
	case 1:
		return subscription.RefuseMethod{Now: l.now, Replacement: s.Replaced, Code: "refused"}
	}
	return subscription.ReplacePaymentMethod{Now: l.now, Token: "tok2", Mode: ledgerv1.Mode_MODE_TEST,
		Connection: subscription.Connection{ID: rapid.SampledFrom([]string{"main", "second", "third"}).Draw(l.t, "connection"), Gateway: "sandbox"}}
}

// change is what a merchant changes, and what a gateway does by itself.
func (l *randomLog) change(s subscription.State) aggregate.Command[subscription.State] {
	switch rapid.IntRange(0, 5).Draw(l.t, "change") {
	case 0:
		return subscription.ChangeTerms{Now: l.now, Amounts: &ledgerv1.Amounts{Base: usd(int64(l.next) + 1000)}, Consent: "mail-1"}
	case 1:
		return subscription.Reschedule{Now: l.now, Due: l.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(l.t, "days ahead")) * 24 * time.Hour),
			KeepAnchor: rapid.Bool().Draw(l.t, "keep the anchor")}
	case 2:
		return subscription.ObserveRefund{Now: l.now, OrderID: l.anyOrder(s), Reference: l.unique("re_desk_"),
			Amount: usd(rapid.Int64Range(1, 4700).Draw(l.t, "amount"))}
	case 3:
		for _, a := range s.Attempts {
			if a.Status == subscription.AttemptMismatched && !a.Returned {
				return subscription.ResolveMismatch{Now: l.now, Number: a.Number, Attempt: a.Attempt, Reference: l.unique("re_mismatch_")}
			}
		}
	}
	return subscription.ObservePayment{Now: l.now, Reference: l.unique("ch_own_"), Amount: usd(4700)}
}

func (l *randomLog) rebill() aggregate.Command[subscription.State] {
	c := subscription.Rebill{Now: l.now}
	if rapid.Bool().Draw(l.t, "less") {
		c.Amounts = &ledgerv1.Amounts{Base: usd(500)}
	}
	return c
}

// outcome reports something of one of the last attempts, also what contradicts an earlier report.
func (l *randomLog) outcome(s subscription.State) aggregate.Command[subscription.State] {
	if len(s.Attempts) == 0 {
		return subscription.ObservePayment{Now: l.now, Reference: l.unique("ch_own_"), Amount: usd(4700)}
	}
	a := s.Attempts[max(0, len(s.Attempts)-rapid.IntRange(1, 2).Draw(l.t, "back"))]
	switch rapid.IntRange(0, 15).Draw(l.t, "outcome") {
	case 11:
		return subscription.DoubtPayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Why: "timeout", SentAt: l.now}
	case 12:
		return subscription.PendPayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Reference: "pi"}
	case 13:
		return subscription.ClearPayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Proof: "absent"}
	case 14, 15:
		return subscription.DeclinePayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Code: l.unique("code"),
			Category: ledgerv1.DeclineCategory(rapid.IntRange(0, 3).Draw(l.t, "category"))}
	}
	amount := a.Amounts.Full
	if rapid.IntRange(0, 15).Draw(l.t, "another amount") == 15 {
		amount = usd(amount.MinorUnits + 1)
	}
	return subscription.SettlePayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Reference: l.unique("ch_"), Amount: amount,
		Method: &ledgerv1.PaymentMethod{Reference: "pm"}}
}

// anyOrder is one of a subscription's orders, or its first one to be.
func (l *randomLog) anyOrder(s subscription.State) int64 {
	return s.Started.GetNumber()*10_000 + rapid.Int64Range(1, max(1, s.Ordinal)).Draw(l.t, "order")
}

func (l *randomLog) refund(s subscription.State) aggregate.Command[subscription.State] {
	c := subscription.Refund{Now: l.now, ID: l.unique("rf_"), OrderID: l.anyOrder(s), Cancel: rapid.IntRange(0, 9).Draw(l.t, "also cancel") == 0}
	if rapid.Bool().Draw(l.t, "part") {
		c.Amount = usd(rapid.Int64Range(1, 4700).Draw(l.t, "amount"))
	}
	return c
}

func (l *randomLog) refundOutcome(s subscription.State) aggregate.Command[subscription.State] {
	if len(s.Refunds) == 0 {
		return subscription.Wake{Now: l.now}
	}
	id := rapid.SampledFrom(s.Refunds).Draw(l.t, "refund").ID
	switch rapid.IntRange(0, 7).Draw(l.t, "refund outcome") {
	case 3:
		return subscription.PendRefund{Now: l.now, ID: id}
	case 4:
		return subscription.DoubtRefund{Now: l.now, SentAt: l.now, ID: id}
	case 5, 6:
		return subscription.FailRefund{Now: l.now, ID: id}
	case 7:
		return subscription.ReverseRefund{Now: l.now, ID: id}
	}
	return subscription.SettleRefund{Now: l.now, ID: id, Reference: "re_" + id}
}

func (l *randomLog) dispute(s subscription.State) aggregate.Command[subscription.State] {
	policy := ledgerv1.ChargebackPolicy(rapid.IntRange(0, 3).Draw(l.t, "policy"))
	return subscription.Chargeback{Circumstances: subscription.Circumstances{Policies: &ledgerv1.Policies{Chargeback: policy}}, Now: l.now, OrderID: l.anyOrder(s),
		DisputeID: rapid.SampledFrom([]string{"d1", "d2"}).Draw(l.t, "dispute"),
		Stage:     ledgerv1.DisputeStage(rapid.IntRange(1, 5).Draw(l.t, "stage")),
		Outcome:   ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST}
}
