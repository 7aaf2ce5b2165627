package projection_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/projection"
)

// inShort is a subscription on one line: "active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4700".
func inShort(s *ledgerv1.SubscriptionSummary) string {
	line := fmt.Sprintf("%s paid %d left %d",
		strings.ToLower(strings.TrimPrefix(s.GetState().String(), "SUBSCRIPTION_STATE_")), s.GetPaidNumber(), s.GetPaymentsLeft())
	for _, at := range []struct {
		name string
		time *timestamppb.Timestamp
	}{{"due", s.GetNextDueAt()}, {"attempt", s.GetNextAttemptAt()}, {"through", s.GetPaidThrough()}, {"ends", s.GetCancelAt()}} {
		if at.time != nil {
			line += " " + at.name + " " + at.time.AsTime().Format("15:04")
		}
	}
	if s.GetNextAmount() != nil {
		line += fmt.Sprintf(" asks %d", s.GetNextAmount().GetMinorUnits())
	}
	if s.GetCancelReason() != 0 {
		line += " for " + strings.ToLower(strings.TrimPrefix(s.GetCancelReason().String(), "CANCEL_REASON_"))
	}
	if s.GetDeclineCode() != "" {
		line += " code " + s.GetDeclineCode()
	}
	if s.GetConnectionId() != "main" {
		line += " by " + s.GetConnectionId()
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{" in doubt", s.GetInDoubt()}, {" disputed", s.GetDisputed()}, {" mismatch", s.GetAmountMismatch()}} {
		if flag.set {
			line += flag.name
		}
	}
	return line
}

// monthly asks for 47.00, at first for 40.00.
func monthly(number int64) *ledgerv1.Event {
	return startedAs(number, func(s *ledgerv1.SubscriptionStarted) {
		s.Terms.Kind = ledgerv1.PriceKind_PRICE_KIND_RECURRING
		s.Terms.Introductory = &ledgerv1.Introductory{Payments: 2, Amounts: amounts(4000)}
	})
}

// paidUntil is a payment that succeeded; the next one is due in a minute.
func paidUntil(order int64, number, attempt uint32, next int) *ledgerv1.Event {
	e := succeeded(order, number, attempt, 0)
	p := e.GetPaymentSucceeded()
	p.PaymentsLeft, p.NextDue, p.PaidThrough = 9999, timestamppb.New(minute(next)), timestamppb.New(minute(next))
	p.Method = &ledgerv1.PaymentMethod{Reference: "pm"}
	return e
}

func hardDeclined(order int64, number, attempt uint32) *ledgerv1.Event {
	e := declined(order, number, attempt, 0, 0)
	e.GetPaymentDeclined().Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	return e
}

func subscriptionPaused() *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{}}}
}

func subscriptionResumed(next int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionResumed{SubscriptionResumed: &ledgerv1.SubscriptionResumed{
		NextDue: timestamppb.New(minute(next)), NextAttemptAt: timestamppb.New(minute(next)),
	}}}
}

func scheduled(at int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_CancellationScheduled{CancellationScheduled: &ledgerv1.CancellationScheduled{
		CancelAt: timestamppb.New(minute(at)), Reason: ledgerv1.CancelReason_CANCEL_REASON_MERCHANT,
	}}}
}

func paymentRescheduled(next int, cancelAt *timestamppb.Timestamp) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: &ledgerv1.PaymentRescheduled{
		NextDue: timestamppb.New(minute(next)), CancelAt: cancelAt,
	}}}
}

func termsChanged(from uint32, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_TermsChanged{TermsChanged: &ledgerv1.TermsChanged{FromPayNumber: from, Amounts: amounts(minor)}}}
}

// inMinute is the beginning of a minute; absent for 0.
func inMinute(n int) *timestamppb.Timestamp {
	if n == 0 {
		return nil
	}
	return timestamppb.New(minute(n))
}

func replaced(connection string, next int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodReplaced{PaymentMethodReplaced: &ledgerv1.PaymentMethodReplaced{
		Replacement: 1, ConnectionId: connection, NextAttemptAt: inMinute(next),
	}}}
}

func methodRefused(connection string, next int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodRefused{PaymentMethodRefused: &ledgerv1.PaymentMethodRefused{
		Replacement: 1, ConnectionId: connection, NextAttemptAt: inMinute(next),
	}}}
}

func disputeClosed(next int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeClosed{DisputeClosed: &ledgerv1.DisputeClosed{
		DisputeId: "dp_1", ParentOrderId: 10001, Outcome: ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON, NextAttemptAt: inMinute(next),
	}}}
}

func subscriptionImported(state ledgerv1.ImportState, by ledgerv1.ChargedBy, change func(*ledgerv1.SubscriptionImported)) *ledgerv1.Event {
	i := &ledgerv1.SubscriptionImported{
		Number: 1, ConnectionId: "main", State: state, ChargedBy: by, PaidNumber: 2, NextDue: timestamppb.New(minute(20)),
		Terms: &ledgerv1.Terms{Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING, Regular: amounts(4700)},
	}
	if change != nil {
		change(i)
	}
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionImported{SubscriptionImported: i}}
}

func paymentObserved(order int64, number uint32, next int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
		OrderId: order, PayNumber: number, Amounts: amounts(4700), PaymentsLeft: 9999,
		NextDue: timestamppb.New(minute(next)), PaidThrough: timestamppb.New(minute(next)),
	}}}
}

func TestSubscriptionChanges(t *testing.T) {
	t.Parallel()
	stored := &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodStored{PaymentMethodStored: &ledgerv1.PaymentMethodStored{Replacement: 1}}}
	completed := &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCompleted{SubscriptionCompleted: &ledgerv1.SubscriptionCompleted{}}}
	withdrawnCancellation := &ledgerv1.Event{Kind: &ledgerv1.Event_CancellationWithdrawn{CancellationWithdrawn: &ledgerv1.CancellationWithdrawn{}}}
	resolved := &ledgerv1.Event{Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: &ledgerv1.MismatchResolved{PayNumber: 2, Attempt: 1, NextAttemptAt: inMinute(22)}}}
	atDesk := &ledgerv1.Event{Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{OrderId: 10002, ParentOrderId: 10001, Amounts: amounts(4700)}}}
	installments := func(i *ledgerv1.SubscriptionImported) {
		i.Terms.Kind, i.Terms.Installments = ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS, 5
		i.Terms.Initial = &ledgerv1.InitialPayment{Days: 14, Amounts: amounts(100)}
	}
	const (
		trialing = ledgerv1.ImportState_IMPORT_STATE_TRIALING
		active   = ledgerv1.ImportState_IMPORT_STATE_ACTIVE
		pastDue  = ledgerv1.ImportState_IMPORT_STATE_PAST_DUE
		pausedAt = ledgerv1.ImportState_IMPORT_STATE_PAUSED
		ledger   = ledgerv1.ChargedBy_CHARGED_BY_LEDGER
		gateway  = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	)
	sold := func() *past {
		return newPast("s1").at(1, monthly(1), requested(1, 1, 0)).at(2, paidUntil(10001, 1, 1, 20))
	}
	asked := func() *past { return sold().at(20, requested(2, 1, 0)) }
	failed := func() *past { return asked().at(21, hardDeclined(10002, 2, 1)) }
	for _, tt := range []struct {
		name string
		past *past
		want string
	}{
		{"sold", sold(), "active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4000"},
		{"paused, what is under way may have been sent", asked().at(21, subscriptionPaused()), "paused paid 1 left 9999 due 12:20 through 12:20 asks 4700 in doubt"},
		{"paused, what the gateway has is settled there", asked().at(21, pending(2, 1)).at(22, subscriptionPaused()), "paused paid 1 left 9999 due 12:20 through 12:20 asks 4700"},
		{"declined while paused", asked().at(21, pending(2, 1)).at(22, subscriptionPaused()).at(23, declined(10002, 2, 1, 0, 30)),
			"paused paid 1 left 9999 due 12:20 attempt 12:30 through 12:20 asks 4700 code no_funds"},
		{"declined while paused, resumed", asked().at(21, pending(2, 1)).at(22, subscriptionPaused()).at(23, declined(10002, 2, 1, 0, 30)).at(24, subscriptionResumed(20)),
			"past_due paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4700 code no_funds"},
		{"paid while paused", asked().at(21, subscriptionPaused()).at(22, paidUntil(10002, 2, 1, 40)), "paused paid 2 left 9999 due 12:40 through 12:40 asks 4700"},
		{"past due, paused, paid and resumed", failed().at(22, subscriptionPaused()).at(23, paidUntil(10003, 2, 1, 40)).at(24, subscriptionResumed(40)),
			"active paid 2 left 9999 due 12:40 attempt 12:40 through 12:40 asks 4700"},
		{"completed while paused", asked().at(21, subscriptionPaused()).at(22, succeeded(10002, 2, 1, 0), completed), "completed paid 2 left 0"},
		{"cancelled while paused", sold().at(3, subscriptionPaused()).at(4, cancelled(10002)), "cancelled paid 1 left 0 through 12:20 for buyer"},
		{"to end, paused and resumed", sold().at(3, scheduled(20)).at(4, subscriptionPaused()).at(5, subscriptionResumed(20)),
			"active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 ends 12:20 asks 4000 for merchant"},
		{"to end, and then not", sold().at(3, scheduled(20)).at(4, withdrawnCancellation), "active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4000"},
		{"moved", sold().at(3, paymentRescheduled(30, nil)), "active paid 1 left 9999 due 12:30 attempt 12:30 through 12:30 asks 4000"},
		{"moved with its end", sold().at(3, scheduled(20)).at(4, paymentRescheduled(30, timestamppb.New(minute(30)))),
			"active paid 1 left 9999 due 12:30 attempt 12:30 through 12:30 ends 12:30 asks 4000 for merchant"},

		{"other terms", sold().at(3, termsChanged(2, 5000)), "active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 5000"},
		{"other terms end a coupon", sold().at(3, termsChanged(2, 5000)).at(20, requested(2, 1, 0), paidUntil(10002, 2, 1, 40)),
			"active paid 2 left 9999 due 12:40 attempt 12:40 through 12:40 asks 5000"},
		{"other terms after what is asked for", failed().at(22, termsChanged(3, 5000)), "past_due paid 1 left 9999 due 12:20 through 12:20 asks 4700 code no_funds"},
		{"other terms after what was asked for", failed().at(22, termsChanged(3, 5000)).at(23, paidUntil(10003, 2, 1, 40)),
			"active paid 2 left 9999 due 12:40 attempt 12:40 through 12:40 asks 5000"},
		{"other terms twice", failed().at(22, termsChanged(3, 5000)).at(23, termsChanged(3, 6000)).at(24, paidUntil(10003, 2, 1, 40)),
			"active paid 2 left 9999 due 12:40 attempt 12:40 through 12:40 asks 6000"},

		{"another method", sold().at(3, replaced("second", 20)), "active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4000 by second"},
		{"another method, stored", sold().at(3, replaced("second", 20)).at(4, stored), "active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4000 by second"},
		{"another method, refused", sold().at(3, replaced("second", 20)).at(4, methodRefused("main", 20)),
			"active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4000"},
		{"another method while past due", failed().at(22, replaced("second", 22)),
			"past_due paid 1 left 9999 due 12:20 attempt 12:22 through 12:20 asks 4700 code no_funds by second"},
		{"another method while past due, refused", failed().at(22, replaced("second", 22)).at(23, methodRefused("main", 0)),
			"past_due paid 1 left 9999 due 12:20 through 12:20 asks 4700 code no_funds"},
		{"a dispute that held is closed", failed().at(22, disputeClosed(22)), "past_due paid 1 left 9999 due 12:20 attempt 12:22 through 12:20 asks 4700 code no_funds"},

		{"another amount", asked().at(21, mismatched(2, 1)), "active paid 1 left 9999 due 12:20 through 12:20 asks 4700 mismatch"},
		{"another amount, returned", asked().at(21, mismatched(2, 1)).at(22, resolved), "active paid 1 left 9999 due 12:20 attempt 12:22 through 12:20 asks 4700"},
		{"a refund at the gateway's desk, while another is under way", sold().at(3, refundRequested("rf_1", 10001, 4700)).at(4, atDesk),
			"active paid 1 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4000 in doubt"},

		{"imported", newPast("s1").at(1, subscriptionImported(active, ledger, nil)), "active paid 2 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4700"},
		{"imported, trialing", newPast("s1").at(1, subscriptionImported(trialing, ledger, func(i *ledgerv1.SubscriptionImported) { installments(i); i.PaidNumber = 1 })),
			"trialing paid 1 left 5 due 12:20 attempt 12:20 through 12:20 asks 4700"},
		{"imported, past due, in the midst of a plan", newPast("s1").at(1, subscriptionImported(pastDue, ledger, installments)),
			"past_due paid 2 left 4 due 12:20 attempt 12:20 through 12:20 asks 4700"},
		{"imported, paused", newPast("s1").at(1, subscriptionImported(pausedAt, ledger, nil)), "paused paid 2 left 9999 due 12:20 through 12:20 asks 4700"},
		{"imported, paused, resumed", newPast("s1").at(1, subscriptionImported(pausedAt, ledger, nil)).at(2, subscriptionResumed(20)),
			"active paid 2 left 9999 due 12:20 attempt 12:20 through 12:20 asks 4700"},
		{"charged by the gateway", newPast("s1").at(1, subscriptionImported(active, gateway, nil)), "active paid 2 left 9999 due 12:20 through 12:20 asks 4700"},
		{"charged by the gateway, paid", newPast("s1").at(1, subscriptionImported(active, gateway, nil)).at(20, paymentObserved(10001, 3, 40)),
			"active paid 3 left 9999 due 12:40 through 12:40 asks 4700"},
		{"charged by the gateway after the end", newPast("s1").at(1, subscriptionImported(active, gateway, nil)).at(2, cancelled(10001)).at(20, paymentObserved(10002, 3, 40)),
			"cancelled paid 3 left 0 through 12:40 for buyer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.Subscriptions())
			v.apply(tt.past.events...)
			if d := cmp.Diff(tt.want, inShort(v.row(t, 1))); d != "" {
				t.Errorf("subscription (-want +got):\n%s", d)
			}
		})
	}
}
