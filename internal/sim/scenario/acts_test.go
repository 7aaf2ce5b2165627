package scenario_test

import (
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	recurring    = ledgerv1.PriceKind_PRICE_KIND_RECURRING
	installments = ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS
	oneTime      = ledgerv1.PriceKind_PRICE_KIND_ONE_TIME

	cancels = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL
	holds   = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD
	ignores = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_IGNORE
)

func usd(minor int64) *ledgerv1.Money { return money.New("USD", minor) }
func eur(minor int64) *ledgerv1.Money { return money.New("EUR", minor) }

// What is sold.

func sold(kind ledgerv1.PriceKind, price *ledgerv1.Money) *ledgerv1.Terms {
	t := &ledgerv1.Terms{ProductId: "42", ProductName: "Course", PricePoint: 1, Kind: kind, Regular: &ledgerv1.Amounts{Base: price}}
	if kind != oneTime {
		t.Period = ledgerv1.Period_PERIOD_MONTHLY
	}
	return t
}

func monthly(price *ledgerv1.Money) *ledgerv1.Terms { return sold(recurring, price) }

// after puts an initial payment before the regular ones.
func after(days uint32, initial *ledgerv1.Money, t *ledgerv1.Terms) *ledgerv1.Terms {
	t.Initial = &ledgerv1.InitialPayment{Days: days, Amounts: &ledgerv1.Amounts{Base: initial}}
	return t
}

// What is done by callers.

func start(t *ledgerv1.Terms) act { return startAs("s1", 1, t) }

// startAs starts the n-th subscription of the merchant.
func startAs(id string, n int64, t *ledgerv1.Terms) act {
	return func(now time.Time) command {
		return subscription.Start{
			Now: now, Trial: t.Initial != nil, Number: n, Merchant: merchant, ID: id,
			Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
			Request: &ledgerv1.StartRequest{
				Buyer: &ledgerv1.Buyer{Id: "b1"}, Terms: t, ConnectionId: "main", PaymentMethodToken: "tok",
			},
		}
	}
}

func wake(now time.Time) command { return subscription.Wake{Now: now} }

// wakeDunning is wake where the merchant has dunning days of his own.
func wakeDunning(days ...uint32) act {
	return func(now time.Time) command {
		return subscription.Wake{Now: now, Circumstances: subscription.Circumstances{Policies: &ledgerv1.Policies{DunningDays: days}}}
	}
}

// rebill charges a pay number; 0 for whichever is open.
func rebill(number uint32) act {
	return func(now time.Time) command { return subscription.Rebill{Now: now, Number: number} }
}

func pause(now time.Time) command  { return subscription.Pause{Now: now} }
func resume(now time.Time) command { return subscription.Resume{Now: now} }

// refund asks for an amount of a payment to go back; nil for all that is left.
func refund(id string, order int64, amount *ledgerv1.Money) act {
	return func(now time.Time) command {
		return subscription.Refund{Now: now, ID: id, OrderID: order, Amount: amount}
	}
}

// What gateways say. Their references follow from what they are about.

func settled(number, attempt uint32, amount *ledgerv1.Money) act {
	return func(now time.Time) command { return settlement(now, number, attempt, amount) }
}

func settlement(now time.Time, number, attempt uint32, amount *ledgerv1.Money) subscription.SettlePayment {
	return subscription.SettlePayment{
		Now: now, Number: number, Attempt: attempt, Amount: amount,
		Reference: fmt.Sprintf("ch_%d_%d", number, attempt), Method: &ledgerv1.PaymentMethod{Reference: "pm_1"},
	}
}

// declined is a decline for want of money.
func declined(number, attempt uint32) act {
	return func(now time.Time) command {
		return subscription.DeclinePayment{Now: now, Number: number, Attempt: attempt,
			Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, Code: "insufficient_funds"}
	}
}

// pending is a gateway that decides later, and names no end of its own.
func pending(number, attempt uint32) act {
	return func(now time.Time) command {
		return subscription.PendPayment{Now: now, Number: number, Attempt: attempt, Reference: "pi_1"}
	}
}

// silent is a gateway that did not answer.
func silent(number, attempt uint32) act {
	return func(now time.Time) command {
		return subscription.DoubtPayment{Now: now, SentAt: now, Number: number, Attempt: attempt, Why: "timeout"}
	}
}

// absent is the proof that an attempt never arrived.
func absent(number, attempt uint32) act {
	return func(now time.Time) command {
		return subscription.ClearPayment{Now: now, Number: number, Attempt: attempt, Proof: "absent"}
	}
}

func refunded(id string) act {
	return func(now time.Time) command {
		return subscription.SettleRefund{Now: now, ID: id, Reference: "re_" + id}
	}
}

// refundSeen is a refund that was made at the gateway's desk.
func refundSeen(reference string, order int64, amount *ledgerv1.Money) act {
	return func(now time.Time) command {
		return subscription.ObserveRefund{Now: now, OrderID: order, Reference: reference, Amount: amount}
	}
}

// withdrawn takes an amount of a payment back, at a merchant with this policy; nil for all of it.
func withdrawn(dispute string, order int64, amount *ledgerv1.Money, policy ledgerv1.ChargebackPolicy) act {
	return func(now time.Time) command {
		return subscription.Chargeback{Now: now, OrderID: order, DisputeID: dispute, Amount: amount,
			Stage:         ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN,
			Circumstances: subscription.Circumstances{Policies: &ledgerv1.Policies{Chargeback: policy}}}
	}
}

func reinstated(dispute string) act {
	return func(now time.Time) command {
		return subscription.Chargeback{Now: now, DisputeID: dispute, Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED}
	}
}

func won(dispute string) act {
	return func(now time.Time) command {
		return subscription.Chargeback{Now: now, DisputeID: dispute, Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED,
			Outcome: ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON}
	}
}
