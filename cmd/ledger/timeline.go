package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// happening is an event as a person tells it.
type happening struct {
	at     *timestamppb.Timestamp
	words  string
	amount *ledgerv1.Money
	order  int64
	number string // the pay number and, behind a plus, its re-attempt
	step   bool   // on the way to what a later event tells
}

// kindOf is the message of the kind that an event is of.
func kindOf(e *ledgerv1.Event) proto.Message {
	m := e.ProtoReflect()
	fd := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if fd == nil {
		return nil // of a newer server
	}
	return m.Get(fd).Message().Interface()
}

// narrate puts an event into words. ok is false for what does not happen to subscriptions.
func narrate(e *ledgerv1.Event) (h happening, ok bool) {
	kind := kindOf(e)
	for _, words := range []func(proto.Message) string{
		lifeInWords, changeInWords, paymentInWords, surpriseInWords, refundInWords, disputeInWords,
	} {
		if h.words = words(kind); h.words != "" {
			break
		}
	}
	if h.words == "" {
		return happening{}, false
	}
	h.at = e.GetMetadata().GetOccurredAt()
	if m, ok := kind.(interface{ GetOrderId() int64 }); ok {
		h.order = m.GetOrderId()
	}
	h.number, h.amount, h.step = numberIn(kind), amountIn(kind), isStep(kind)
	return h, true
}

func numberIn(kind proto.Message) string {
	m, ok := kind.(interface{ GetPayNumber() uint32 })
	if !ok {
		return "-"
	}
	if again, ok := kind.(interface{ GetReattempt() uint32 }); ok {
		return numberOf(m.GetPayNumber(), again.GetReattempt())
	}
	return numberOf(m.GetPayNumber(), 0)
}

func amountIn(kind proto.Message) *ledgerv1.Money {
	switch m := kind.(type) {
	case *ledgerv1.AmountMismatchObserved:
		return m.Charged
	case interface{ GetAmounts() *ledgerv1.Amounts }:
		return m.GetAmounts().GetFull()
	case interface{ GetAmount() *ledgerv1.Money }:
		return m.GetAmount()
	}
	return nil
}

// isStep reports whether what an event says is told again by the one that decides it.
func isStep(kind proto.Message) bool {
	switch kind.(type) {
	case *ledgerv1.PaymentRequested, *ledgerv1.PaymentPending, *ledgerv1.RefundRequested, *ledgerv1.RefundPending,
		*ledgerv1.PaymentMethodStored:
		return true
	}
	return false
}

// lifeInWords tells how a subscription begins, rests and ends.
func lifeInWords(kind proto.Message) string {
	switch m := kind.(type) {
	case *ledgerv1.SubscriptionStarted:
		return "started: " + m.Terms.GetProductName() + ", " + priceOf(m.Terms) + trialOf(m.Terms)
	case *ledgerv1.SubscriptionImported:
		return fmt.Sprintf("taken over from another system, %d paid", m.PaidNumber)
	case *ledgerv1.CancellationScheduled:
		return "will end on " + dayOf(m.CancelAt) + ": " + reasonInWords(m.Reason)
	case *ledgerv1.CancellationWithdrawn:
		return "will not end after all"
	case *ledgerv1.SubscriptionPaused:
		return "paused"
	case *ledgerv1.SubscriptionResumed:
		return "goes on after the pause"
	case *ledgerv1.SubscriptionCancelled:
		return "ended: " + reasonInWords(m.Reason)
	case *ledgerv1.SubscriptionCompleted:
		return fmt.Sprintf("completed: %d paid, nothing is left", m.Payments)
	case *ledgerv1.AgreementLost:
		return "the agreement to be charged ended"
	}
	return ""
}

// changeInWords tells what was changed by somebody.
func changeInWords(kind proto.Message) string {
	switch m := kind.(type) {
	case *ledgerv1.BuyerUpdated:
		return "the buyer's details were changed"
	case *ledgerv1.TermsChanged:
		return fmt.Sprintf("the price was changed from payment %d on", m.FromPayNumber)
	case *ledgerv1.PaymentMethodReplaced:
		return "another payment method was given"
	case *ledgerv1.PaymentMethodStored:
		return "the new payment method was stored"
	case *ledgerv1.PaymentMethodRefused:
		return "the new payment method was refused"
	case *ledgerv1.PaymentRescheduled:
		return "the next payment was moved to " + dayOf(m.NextDue)
	case *ledgerv1.PeriodsSkipped:
		return fmt.Sprintf("%d due dates were skipped; next %s", m.Count, dayOf(m.NextDue))
	}
	return ""
}

func paymentInWords(kind proto.Message) string {
	switch m := kind.(type) {
	case *ledgerv1.PaymentRequested:
		return "the gateway is asked to charge"
	case *ledgerv1.PaymentPending:
		return "waiting for the buyer or the bank"
	case *ledgerv1.PaymentSucceeded:
		return "paid"
	case *ledgerv1.PaymentObserved:
		return "paid, by the gateway's own schedule"
	case *ledgerv1.PaymentDeclined:
		return "declined: " + declineInWords(m.Category, m.Code)
	case *ledgerv1.PaymentUnknown:
		return "no answer: charged or not is not known"
	case *ledgerv1.PaymentNotCharged:
		if m.Proof == "expired" {
			return "not charged: nobody confirmed it in time"
		}
		return "not charged, which is proven now"
	}
	return ""
}

// surpriseInWords tells what a gateway did that it was not asked for.
func surpriseInWords(kind proto.Message) string {
	switch m := kind.(type) {
	case *ledgerv1.LateChargeObserved:
		if m.Ended {
			return "found late: it was charged, after the end"
		}
		return "found late: it was charged after all"
	case *ledgerv1.DuplicateChargeObserved:
		return "charged a second time; it is given back"
	case *ledgerv1.DuplicateChargeReturned:
		return "the second charge was given back"
	case *ledgerv1.AmountMismatchObserved:
		return "charged that instead of " + inWords(m.Expected)
	case *ledgerv1.MismatchResolved:
		return "the wrong amount was given back"
	}
	return ""
}

func refundInWords(kind proto.Message) string {
	switch m := kind.(type) {
	case *ledgerv1.RefundRequested:
		return fmt.Sprintf("a refund of order %d is asked for", m.ParentOrderId)
	case *ledgerv1.RefundPending:
		return "the refund is on its way"
	case *ledgerv1.RefundSucceeded:
		return refunded(m.Full, m.ParentOrderId)
	case *ledgerv1.RefundObserved:
		return refunded(m.Full, m.ParentOrderId) + " at the gateway"
	case *ledgerv1.RefundFailed:
		return "the refund failed; nothing was returned"
	case *ledgerv1.RefundUnknown:
		return "no answer: refunded or not is not known"
	case *ledgerv1.RefundReversed:
		return fmt.Sprintf("the refund of order %d came back", m.ParentOrderId)
	}
	return ""
}

func refunded(full bool, order int64) string {
	if full {
		return fmt.Sprintf("order %d was refunded", order)
	}
	return fmt.Sprintf("order %d was refunded in part", order)
}

func disputeInWords(kind proto.Message) string {
	switch m := kind.(type) {
	case *ledgerv1.DisputeOpened:
		if m.Inquiry {
			return fmt.Sprintf("the bank asks about order %d", m.ParentOrderId)
		}
		return fmt.Sprintf("the buyer disputes order %d", m.ParentOrderId)
	case *ledgerv1.DisputeFundsWithdrawn:
		return fmt.Sprintf("the bank took order %d back", m.ParentOrderId)
	case *ledgerv1.DisputeFundsReinstated:
		return fmt.Sprintf("the bank returned order %d to the merchant", m.ParentOrderId)
	case *ledgerv1.DisputeClosed:
		return fmt.Sprintf("the dispute of order %d is closed: %s", m.ParentOrderId, outcomeInWords(m.Outcome))
	}
	return ""
}

func outcomeInWords(o ledgerv1.DisputeOutcome) string {
	switch o {
	case ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON:
		return "for the merchant"
	case ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST:
		return "for the buyer"
	}
	return "it was a question only"
}

// reasonInWords says why a subscription ends. A merchant's suspicion is not for the buyer's ears.
func reasonInWords(r ledgerv1.CancelReason) string {
	switch r {
	case ledgerv1.CancelReason_CANCEL_REASON_BUYER:
		return "the buyer wished so"
	case ledgerv1.CancelReason_CANCEL_REASON_DUNNING:
		return "a payment kept failing"
	case ledgerv1.CancelReason_CANCEL_REASON_AGREEMENT:
		return "the agreement to be charged ended"
	case ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK:
		return "a payment was disputed"
	}
	return "the merchant ended it"
}

// priceOf is "47.00 USD monthly", "3 x 47.00 USD monthly", "19.90 EUR once".
func priceOf(t *ledgerv1.Terms) string {
	price := inWords(t.GetRegular().GetFull())
	switch {
	case t.GetKind() == ledgerv1.PriceKind_PRICE_KIND_ONE_TIME:
		return price + " once"
	case t.GetInstallments() > 0:
		price = fmt.Sprintf("%d x %s", t.Installments, price)
	}
	return price + " " + strings.ReplaceAll(nameOf(t.GetPeriod()), "_", " ")
}

// trialOf is ", after 14 days for 1.00 USD"; empty without an initial payment.
func trialOf(t *ledgerv1.Terms) string {
	if t.GetInitial() == nil {
		return ""
	}
	return fmt.Sprintf(", after %d days for %s", t.Initial.Days, inWords(t.Initial.Amounts.GetFull()))
}

// question is something that is not decided yet.
type question struct {
	key, words string
	since      *timestamppb.Timestamp
}

// questions are what a history leaves open, oldest first.
func questions(events []*ledgerv1.RecordedEvent) []question {
	var open []question
	for _, e := range events {
		for _, key := range answers(kindOf(e.GetEvent())) {
			open = slices.DeleteFunc(open, func(q question) bool { return q.key == key })
		}
		if key, words := asks(kindOf(e.GetEvent())); key != "" {
			open = append(open, question{key, words, e.GetEvent().GetMetadata().GetOccurredAt()})
		}
	}
	return open
}

// attemptKey names an attempt among the questions.
func attemptKey(m interface {
	GetPayNumber() uint32
	GetAttempt() uint32
}) string {
	return fmt.Sprintf("payment %d/%d", m.GetPayNumber(), m.GetAttempt())
}

// asks says which question an event raises.
func asks(kind proto.Message) (key, words string) {
	switch m := kind.(type) {
	case *ledgerv1.PaymentRequested:
		return attemptKey(m), fmt.Sprintf("payment %d is being charged", m.PayNumber)
	case *ledgerv1.PaymentPending:
		return attemptKey(m), fmt.Sprintf("payment %d waits for the buyer or the bank%s", m.PayNumber, until(m.ExpiresAt))
	case *ledgerv1.PaymentUnknown:
		return attemptKey(m), fmt.Sprintf("nobody knows if payment %d was charged; the gateway is asked until it is known", m.PayNumber)
	case *ledgerv1.AmountMismatchObserved:
		return "mismatch " + attemptKey(m), fmt.Sprintf("payment %d was charged with %s instead of %s", m.PayNumber, inWords(m.Charged), inWords(m.Expected))
	case *ledgerv1.DuplicateChargeObserved:
		return "second " + attemptKey(m), fmt.Sprintf("payment %d was charged twice; one of them is on its way back", m.PayNumber)
	case *ledgerv1.RefundRequested:
		return "refund " + m.RefundId, fmt.Sprintf("%s of order %d are being refunded", inWords(m.Amounts.GetFull()), m.ParentOrderId)
	case *ledgerv1.RefundPending:
		return "refund " + m.RefundId, "a refund is on its way"
	case *ledgerv1.RefundUnknown:
		return "refund " + m.RefundId, "nobody knows if a refund went out; the gateway is asked until it is known"
	case *ledgerv1.DisputeOpened:
		return "dispute " + m.DisputeId, fmt.Sprintf("order %d is disputed", m.ParentOrderId)
	case *ledgerv1.DisputeFundsWithdrawn:
		return "dispute " + m.DisputeId, fmt.Sprintf("order %d is disputed and the bank has taken it back", m.ParentOrderId)
	}
	return "", ""
}

// answers says which questions an event decides, or asks anew.
func answers(kind proto.Message) []string {
	switch m := kind.(type) {
	case *ledgerv1.MismatchResolved:
		return []string{"mismatch " + attemptKey(m)}
	case *ledgerv1.DuplicateChargeReturned:
		return []string{"second " + attemptKey(m)}
	case interface {
		GetPayNumber() uint32
		GetAttempt() uint32
	}:
		return []string{attemptKey(m)}
	case interface{ GetRefundId() string }:
		return []string{"refund " + m.GetRefundId()}
	case interface{ GetDisputeId() string }:
		return []string{"dispute " + m.GetDisputeId()}
	}
	return nil
}

func until(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return ", until " + dayOf(t)
}
