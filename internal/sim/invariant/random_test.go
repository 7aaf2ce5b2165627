package invariant_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/invariant"
)

// Whatever callers ask, whatever gateways answer and however late, what the ledger makes of it breaks no promise.
func TestRandomLivesAreClean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		l := newRandomLife(r)
		for range rapid.IntRange(20, 60).Draw(r, "steps") {
			l.step()
		}
		report, err := invariant.Check(t.Context(), invariant.World{Log: l.log, Evidence: invariant.Evidence{Captures: l.captures}})
		if err != nil {
			r.Fatal(err)
		}
		for _, v := range report.Violations {
			r.Error(v)
		}
	})
}

// randomLife is a subscription and a gateway that keeps its own book.
type randomLife struct {
	*rapid.T
	log      *memory.Log
	runner   *aggregate.Runner[subscription.State]
	now      time.Time
	state    subscription.State
	captures []invariant.Capture
	denied   map[string]bool
	next     int
}

const randomStream = "subscription-acme.s1"

func newRandomLife(t *rapid.T) *randomLife {
	log := memory.New()
	l := &randomLife{T: t, log: log, runner: aggregate.NewRunner(log, subscription.Type()), captures: []invariant.Capture{},
		now: time.Date(2026, time.January, 31, 10, 0, 0, 0, time.UTC), denied: map[string]bool{}}
	price := func(minor int64) *ledgerv1.Amounts { return &ledgerv1.Amounts{Base: usd(minor)} }
	terms := &ledgerv1.Terms{ProductId: "p1", ProductName: "Course", PricePoint: 2, Regular: price(4700),
		Kind: rapid.SampledFrom([]ledgerv1.PriceKind{subscription.OneTime, subscription.Recurring, subscription.Installments}).Draw(t, "kind")}
	if terms.Kind != subscription.OneTime {
		terms.Period = rapid.SampledFrom([]ledgerv1.Period{ledgerv1.Period_PERIOD_WEEKLY, ledgerv1.Period_PERIOD_MONTHLY}).Draw(t, "period")
	}
	if terms.Kind == subscription.Installments {
		terms.Installments = 3
	}
	if rapid.Bool().Draw(t, "coupon") {
		terms.Introductory = &ledgerv1.Introductory{Payments: 2, Amounts: price(rapid.SampledFrom([]int64{0, 700}).Draw(t, "introductory"))}
	}
	buyer := &ledgerv1.Buyer{Id: "b1"}
	if terms.Kind == subscription.Recurring && rapid.IntRange(0, 3).Draw(t, "imported") == 0 {
		l.do("import", subscription.Import{Now: l.now, Number: 1, Merchant: "acme", ID: "s1", Gateway: "sandbox", Mode: ledgerv1.Mode_MODE_TEST,
			Request: &ledgerv1.ImportRequest{Buyer: buyer, Terms: terms, ConnectionId: "main", PaymentMethod: &ledgerv1.PaymentMethod{Reference: "pm"},
				State: ledgerv1.ImportState_IMPORT_STATE_ACTIVE, PaidNumber: 3, NextDueAt: stamp(l.now.Add(24 * time.Hour)),
				ChargedBy: ledgerv1.ChargedBy(rapid.IntRange(1, 2).Draw(t, "charged by"))}})
		return l
	}
	trial := rapid.Bool().Draw(t, "trial")
	if trial {
		terms.Initial = &ledgerv1.InitialPayment{Days: 14, Amounts: price(rapid.SampledFrom([]int64{0, 100}).Draw(t, "initial"))}
	}
	l.do("start", subscription.Start{Now: l.now, Trial: trial, Number: 1, Merchant: "acme", ID: "s1", Gateway: "sandbox", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.StartRequest{Buyer: buyer, Terms: terms, ConnectionId: "main", PaymentMethodToken: "tok"}})
	return l
}

// do sends a command; what is refused changes nothing.
func (l *randomLife) do(request string, c aggregate.Command[subscription.State]) {
	l.next++
	_, _ = l.runner.Do(l.Context(), randomStream, aggregate.Request{ID: fmt.Sprintf("%s/%d", request, l.next), At: l.now}, c)
	var err error
	if l.state, _, err = l.runner.Load(l.Context(), randomStream); err != nil {
		l.Fatal(err)
	}
}

// step lets time pass, and something happen.
func (l *randomLife) step() {
	if due := l.state.Due(l.now); !due.IsZero() && rapid.IntRange(0, 2).Draw(l.T, "time") > 0 {
		l.now = due
	} else {
		l.now = l.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(l.T, "days")) * 24 * time.Hour)
	}
	switch rapid.IntRange(0, 15).Draw(l.T, "what") {
	case 0, 1, 2, 3:
		l.answer()
	case 4, 5, 6, 7:
		l.do("wake", subscription.Wake{Now: l.now})
	case 11:
		l.do("rebill", subscription.Rebill{Now: l.now})
	case 12:
		l.do("pause", subscription.Pause{Now: l.now})
		l.do("resume", subscription.Resume{Now: l.now.Add(time.Hour)})
	case 13:
		l.do("method", subscription.ReplacePaymentMethod{Now: l.now, Token: "tok", Mode: ledgerv1.Mode_MODE_TEST,
			Connection: subscription.Connection{ID: "second", Gateway: "sandbox"}})
	case 8, 9, 10:
		l.moneyBack()
	case 15:
		l.rarely()
	}
}

// rarely is what is at the end of most lives, or changes them.
func (l *randomLife) rarely() {
	switch rapid.IntRange(0, 5).Draw(l.T, "rarely") {
	case 0:
		l.do("cancel", subscription.Cancel{Now: l.now, Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
	case 1:
		l.do("cancel", subscription.Cancel{Now: l.now, Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: true})
	case 2:
		l.do("terms", subscription.ChangeTerms{Now: l.now, Consent: "mail", Amounts: &ledgerv1.Amounts{Base: usd(int64(1000 + l.next))}})
	case 3:
		l.do("reschedule", subscription.Reschedule{Now: l.now, Due: l.now.Add(100 * time.Hour)})
	case 4:
		l.do("lost", subscription.LoseAgreement{Now: l.now, Code: "lost"})
	case 5:
		reference := fmt.Sprintf("ch_own_%d", l.next)
		paid := len(l.state.Charges)
		l.do("observed", subscription.ObservePayment{Now: l.now, Reference: reference, Amount: usd(4700)})
		if len(l.state.Charges) > paid {
			l.captured("", reference, l.state.Paid, 4700)
		}
	}
}

// answer is a gateway's, to one of the last attempts. It may have denied before that it charged.
func (l *randomLife) answer() {
	if len(l.state.Attempts) == 0 {
		return
	}
	a := l.state.Attempts[max(0, len(l.state.Attempts)-rapid.IntRange(1, 2).Draw(l.T, "back"))]
	switch rapid.IntRange(0, 9).Draw(l.T, "answer") {
	case 6:
		l.do("ledger:payment", subscription.DoubtPayment{Now: l.now, SentAt: l.now, Number: a.Number, Attempt: a.Attempt, Why: "timeout"})
	case 7:
		l.denied[a.Key] = true
		l.do("ledger:payment", subscription.ClearPayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Proof: "absent"})
	case 8, 9:
		l.denied[a.Key] = true
		l.do("ledger:payment", subscription.DeclinePayment{Now: l.now, Number: a.Number, Attempt: a.Attempt,
			Category: ledgerv1.DeclineCategory(rapid.IntRange(1, 3).Draw(l.T, "category"))})
	default:
		amount := a.Amounts.Full
		if amount.MinorUnits > 0 && rapid.IntRange(0, 9).Draw(l.T, "another amount") == 0 {
			amount = usd(amount.MinorUnits + 1)
		}
		if l.open(a) {
			l.captured(a.Key, "ch_"+a.Key, a.Number, amount.MinorUnits)
		}
		l.do("ledger:payment", subscription.SettlePayment{Now: l.now, Number: a.Number, Attempt: a.Attempt, Reference: "ch_" + a.Key,
			Amount: amount, Method: &ledgerv1.PaymentMethod{Reference: "pm"}})
	}
}

// open reports whether the gateway's book may take a charge for an attempt.
func (l *randomLife) open(a *subscription.Attempt) bool {
	return a.Open() || a.Status == subscription.AttemptDeclined || a.Status == subscription.AttemptNotCharged
}

func (l *randomLife) captured(key, reference string, number uint32, minor int64) {
	if minor > 0 {
		l.captures = append(l.captures, invariant.Capture{Merchant: "acme", Subscription: "s1", PayNumber: number, Key: key,
			Reference: reference, Currency: "USD", Minor: minor, Denied: l.denied[key]})
	}
}

// moneyBack refunds, or disputes, or resolves what is in suspense.
func (l *randomLife) moneyBack() {
	for _, r := range l.state.Refunds {
		if r.Status == subscription.RefundSucceeded || r.Status == subscription.RefundReversed || rapid.IntRange(0, 2).Draw(l.T, "later") == 0 {
			continue
		}
		if rapid.Bool().Draw(l.T, "refunded") {
			l.do("ledger:refund", subscription.SettleRefund{Now: l.now, ID: r.ID, Reference: "re_" + r.ID})
		} else {
			l.do("ledger:refund", subscription.FailRefund{Now: l.now, ID: r.ID})
		}
		return
	}
	for _, a := range l.state.Attempts {
		if a.Status == subscription.AttemptMismatched && !a.Returned {
			l.do("resolve", subscription.ResolveMismatch{Now: l.now, Number: a.Number, Attempt: a.Attempt, Reference: "re_m"})
			return
		}
	}
	if len(l.state.Charges) == 0 {
		return
	}
	order := rapid.SampledFrom(l.state.Charges).Draw(l.T, "charge").OrderID
	switch rapid.IntRange(0, 3).Draw(l.T, "money back") {
	case 0:
		l.do("dispute", subscription.Chargeback{Now: l.now, OrderID: order, DisputeID: fmt.Sprint("d", order), Stage: ledgerv1.DisputeStage(rapid.IntRange(1, 5).Draw(l.T, "stage")),
			Outcome: ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON})
	case 1:
		l.do("desk", subscription.ObserveRefund{Now: l.now, OrderID: order, Reference: fmt.Sprint("re_desk", l.next), Amount: usd(rapid.Int64Range(1, 4700).Draw(l.T, "amount"))})
	default:
		l.do("refund", subscription.Refund{Now: l.now, ID: fmt.Sprint("rf", l.next), OrderID: order})
	}
}
