package rpc

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// asked is the attempt, the refund or the new method that a command asked a gateway for.
type asked struct {
	payNumber, attempt uint32
	refund             string
	method             uint32 // the replacement that is to be stored; else 0
	free               int64  // the order of a payment of 0 that asked nobody; else 0
}

// askedOf finds in a command's events what it asked for.
func askedOf(events []event.Recorded) (asked, bool) {
	for _, e := range events {
		switch k := e.GetKind().(type) {
		case *ledgerv1.Event_PaymentRequested:
			return asked{payNumber: k.PaymentRequested.GetPayNumber(), attempt: k.PaymentRequested.GetAttempt()}, true
		case *ledgerv1.Event_RefundRequested:
			return asked{payNumber: k.RefundRequested.GetPayNumber(), refund: k.RefundRequested.GetRefundId()}, true
		case *ledgerv1.Event_PaymentMethodReplaced:
			if r := k.PaymentMethodReplaced; !r.GetCharged() {
				return asked{method: r.GetReplacement()}, true
			}
		case *ledgerv1.Event_PaymentSucceeded:
			p := k.PaymentSucceeded
			return asked{payNumber: p.GetPayNumber(), attempt: p.GetAttempt(), free: p.GetOrderId()}, true
		}
	}
	return asked{}, false
}

// answered reports whether the gateway has said anything, if only that it will decide later.
func (a asked) answered(s subscription.State) bool {
	return a.outcome(s).GetStatus() != ledgerv1.Outcome_STATUS_REQUESTED
}

// outcome tells how what was asked for stands in a state.
func (a asked) outcome(s subscription.State) *ledgerv1.Outcome {
	if a.refund != "" {
		return a.refundOutcome(s)
	}
	if a.method != 0 {
		return a.methodOutcome(s)
	}
	o := &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_REQUESTED, PayNumber: a.payNumber, Attempt: a.attempt}
	t, ok := s.FindAttempt(a.payNumber, a.attempt)
	if !ok {
		if a.free != 0 {
			o.Status, o.OrderId = ledgerv1.Outcome_STATUS_SUCCEEDED, a.free
		}
		return o
	}
	o.Status = attemptStatus(t.Status)
	o.OrderId = t.OrderID
	o.DeclineCategory, o.DeclineCode = t.Category, t.Code
	if t.Status == subscription.AttemptPending {
		o.NextAction = t.NextAction
	}
	return o
}

func attemptStatus(s subscription.AttemptStatus) ledgerv1.Outcome_Status {
	switch s {
	case subscription.AttemptRequested:
		return ledgerv1.Outcome_STATUS_REQUESTED
	case subscription.AttemptPending:
		return ledgerv1.Outcome_STATUS_PENDING
	case subscription.AttemptUnknown:
		return ledgerv1.Outcome_STATUS_UNKNOWN
	case subscription.AttemptSucceeded:
		return ledgerv1.Outcome_STATUS_SUCCEEDED
	case subscription.AttemptDeclined:
		return ledgerv1.Outcome_STATUS_DECLINED
	case subscription.AttemptNotCharged:
		return ledgerv1.Outcome_STATUS_NOT_CHARGED
	case subscription.AttemptMismatched, subscription.AttemptDuplicate:
		return ledgerv1.Outcome_STATUS_FAILED // money moved, but it is not this payment's
	}
	return ledgerv1.Outcome_STATUS_UNSPECIFIED
}

// methodOutcome tells whether the gateway took a method. One that another has replaced before it was stored is given up.
func (a asked) methodOutcome(s subscription.State) *ledgerv1.Outcome {
	switch {
	case s.Refused.GetReplacement() == a.method:
		return &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_FAILED, DeclineCode: s.Refused.GetCode()}
	case s.Replaced > a.method:
		return &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_FAILED}
	case s.Method == nil:
		return &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_REQUESTED}
	}
	return &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_SUCCEEDED}
}

func (a asked) refundOutcome(s subscription.State) *ledgerv1.Outcome {
	o := &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_REQUESTED, PayNumber: a.payNumber, RefundId: a.refund}
	r, ok := s.FindRefund(a.refund)
	if !ok {
		return o
	}
	o.Status, o.OrderId, o.DeclineCode = refundStatus(r.Status), r.OrderID, r.Code
	return o
}

func refundStatus(s subscription.RefundStatus) ledgerv1.Outcome_Status {
	switch s {
	case subscription.RefundRequested:
		return ledgerv1.Outcome_STATUS_REQUESTED
	case subscription.RefundPending:
		return ledgerv1.Outcome_STATUS_PENDING
	case subscription.RefundUnknown:
		return ledgerv1.Outcome_STATUS_UNKNOWN
	case subscription.RefundSucceeded:
		return ledgerv1.Outcome_STATUS_SUCCEEDED
	case subscription.RefundFailed, subscription.RefundReversed:
		return ledgerv1.Outcome_STATUS_FAILED
	}
	return ledgerv1.Outcome_STATUS_UNSPECIFIED
}
