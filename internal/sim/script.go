package sim

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// act is one thing that a customer does after a while. make gets the subscription as it is then.
type act struct {
	after time.Duration
	make  func(request string, s subscription.State) command
}

// play does one act after the other.
func (c *customer) play(script []act) {
	for i, a := range script {
		_ = c.world.clock.WaitUntil(context.Background(), c.world.clock.Now().Add(a.after))
		if a.make != nil {
			c.give(a.make(string(rune('a'+i)), c.world.peek(subscription.Stream(scripted, "s1"))))
		}
	}
}

// scripted is the merchant of a script; his subscription is s1, his connection account1.
const scripted = "m1"

const day = 24 * time.Hour

// wait lets time pass.
func wait(d time.Duration) act { return act{after: d} }

// sell starts the subscription; the first payment comes to what outcome says.
func sell(outcome neighbour.Outcome, change func(*ledgerv1.Terms)) act {
	return act{make: func(id string, _ subscription.State) command {
		t := &ledgerv1.Terms{
			ProductId: "1", ProductName: "Course", PricePoint: 1, Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING,
			Period: ledgerv1.Period_PERIOD_MONTHLY, Regular: price("USD", 4700, 300),
		}
		if change != nil {
			change(t)
		}
		start := &ledgerv1.StartRequest{
			SubscriptionId: "s1", Buyer: &ledgerv1.Buyer{Id: "b1"}, Terms: t, ConnectionId: "account1",
			PaymentMethodToken: neighbour.Token(outcome, "1"),
		}
		if t.Initial != nil {
			return of("StartTrial", &ledgerv1.StartTrialRequest{MerchantId: scripted, RequestId: id, Start: start})
		}
		return of("StartSubscription", &ledgerv1.StartSubscriptionRequest{MerchantId: scripted, RequestId: id, Start: start})
	}}
}

func of(method string, request proto.Message) command {
	return command{subscriptions + method, request, subscription.Stream(scripted, "s1")}
}

// refunding returns a part of the first payment, or with 0 all that is left of it.
func refunding(minor int64) act {
	return act{make: func(id string, s subscription.State) command {
		r := &ledgerv1.RefundRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1", OrderId: s.FirstOrder}
		if minor > 0 {
			r.Amount = &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor}
		}
		return of("Refund", r)
	}}
}

// disputed reports a step of a dispute of the first payment.
func disputed(stage ledgerv1.DisputeStage, outcome ledgerv1.DisputeOutcome) act {
	return act{after: time.Hour, make: func(id string, s subscription.State) command {
		return of("Chargeback", &ledgerv1.ChargebackRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1",
			OrderId: s.FirstOrder, DisputeId: "d1", Stage: stage, Outcome: outcome})
	}}
}

func cancelling(atEnd bool) act {
	return act{make: func(id string, _ subscription.State) command {
		return of("Cancel", &ledgerv1.CancelRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1",
			Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: atEnd})
	}}
}

func pausing() act {
	return act{make: func(id string, _ subscription.State) command {
		return of("Pause", &ledgerv1.PauseRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1"})
	}}
}

func resuming() act {
	return act{make: func(id string, _ subscription.State) command {
		return of("Resume", &ledgerv1.ResumeRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1"})
	}}
}

func replacing(outcome neighbour.Outcome) act {
	return act{make: func(id string, _ subscription.State) command {
		return of("ReplacePaymentMethod", &ledgerv1.ReplacePaymentMethodRequest{MerchantId: scripted, RequestId: id,
			SubscriptionId: "s1", PaymentMethodToken: neighbour.Token(outcome, "2")})
	}}
}

func rebilling() act {
	return act{make: func(id string, _ subscription.State) command {
		return of("Rebill", &ledgerv1.RebillRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1"})
	}}
}

func resolving() act {
	return act{make: func(id string, s subscription.State) command {
		r := &ledgerv1.ResolveMismatchRequest{MerchantId: scripted, RequestId: id, SubscriptionId: "s1", PayNumber: 1, Attempt: 1, Reference: "by hand"}
		for _, a := range s.Attempts {
			if a.Status == subscription.AttemptMismatched {
				r.PayNumber, r.Attempt = a.Number, a.Attempt
			}
		}
		return of("ResolveMismatch", r)
	}}
}
