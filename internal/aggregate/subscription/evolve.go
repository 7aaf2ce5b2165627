package subscription

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted:
		return s.started(k.SubscriptionStarted)
	case *ledgerv1.Event_SubscriptionImported:
		return s.imported(k.SubscriptionImported)
	case *ledgerv1.Event_TermsChanged:
		return s.termsChanged(k.TermsChanged)
	case *ledgerv1.Event_PaymentMethodReplaced:
		return s.paymentMethodReplaced(e.Metadata, k.PaymentMethodReplaced)
	case *ledgerv1.Event_PaymentMethodStored:
		return s.paymentMethodStored(k.PaymentMethodStored)
	case *ledgerv1.Event_PaymentMethodRefused:
		return s.paymentMethodRefused(k.PaymentMethodRefused)
	case *ledgerv1.Event_BuyerUpdated:
		s.Buyer = k.BuyerUpdated.Buyer
		return s
	case *ledgerv1.Event_PaymentRequested:
		return s.paymentRequested(e.Metadata, k.PaymentRequested)
	case *ledgerv1.Event_PaymentPending:
		return s.paymentPending(e.Metadata, k.PaymentPending)
	case *ledgerv1.Event_PaymentSucceeded:
		return s.paymentSucceeded(e.Metadata, k.PaymentSucceeded)
	case *ledgerv1.Event_PaymentDeclined:
		return s.paymentDeclined(k.PaymentDeclined)
	case *ledgerv1.Event_PaymentUnknown:
		return s.paymentUnknown(e.Metadata, k.PaymentUnknown)
	case *ledgerv1.Event_PaymentNotCharged:
		return s.paymentNotCharged(e.Metadata, k.PaymentNotCharged)
	case *ledgerv1.Event_LateChargeObserved:
		return s.lateChargeObserved(e.Metadata, k.LateChargeObserved)
	case *ledgerv1.Event_DuplicateChargeObserved:
		return s.duplicateChargeObserved(k.DuplicateChargeObserved)
	case *ledgerv1.Event_DuplicateChargeReturned:
		return s.duplicateChargeReturned(k.DuplicateChargeReturned)
	case *ledgerv1.Event_AmountMismatchObserved:
		return s.amountMismatchObserved(k.AmountMismatchObserved)
	case *ledgerv1.Event_MismatchResolved:
		return s.mismatchResolved(e.Metadata, k.MismatchResolved)
	case *ledgerv1.Event_PaymentObserved:
		return s.paymentObserved(e.Metadata, k.PaymentObserved)
	case *ledgerv1.Event_PaymentRescheduled:
		return s.paymentRescheduled(k.PaymentRescheduled)
	case *ledgerv1.Event_PeriodsSkipped:
		return s.periodsSkipped(k.PeriodsSkipped)
	case *ledgerv1.Event_RefundRequested:
		return s.refundRequested(e.Metadata, k.RefundRequested)
	case *ledgerv1.Event_RefundPending:
		return s.refundPending(e.Metadata, k.RefundPending)
	case *ledgerv1.Event_RefundSucceeded:
		return s.refundSucceeded(e.Metadata, k.RefundSucceeded)
	case *ledgerv1.Event_RefundObserved:
		return s.refundObserved(e.Metadata, k.RefundObserved)
	case *ledgerv1.Event_RefundFailed:
		return s.refundFailed(k.RefundFailed)
	case *ledgerv1.Event_RefundUnknown:
		return s.refundUnknown(e.Metadata, k.RefundUnknown)
	case *ledgerv1.Event_RefundReversed:
		return s.refundReversed(k.RefundReversed)
	case *ledgerv1.Event_DisputeOpened:
		return s.disputeOpened(k.DisputeOpened)
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		return s.disputeFundsWithdrawn(e.Metadata, k.DisputeFundsWithdrawn)
	case *ledgerv1.Event_DisputeFundsReinstated:
		return s.disputeFundsReinstated(k.DisputeFundsReinstated)
	case *ledgerv1.Event_DisputeClosed:
		return s.disputeClosed(e.Metadata, k.DisputeClosed)
	case *ledgerv1.Event_AgreementLost:
		s.Stopped = true
		return s
	case *ledgerv1.Event_CancellationScheduled:
		return s.cancellationScheduled(k.CancellationScheduled)
	case *ledgerv1.Event_CancellationWithdrawn:
		s.CancelAt, s.CancelReason = time.Time{}, ledgerv1.CancelReason_CANCEL_REASON_UNSPECIFIED
		return s
	case *ledgerv1.Event_SubscriptionPaused:
		return s.paused(e.Metadata)
	case *ledgerv1.Event_SubscriptionResumed:
		return s.resumed(k.SubscriptionResumed)
	case *ledgerv1.Event_SubscriptionCancelled:
		return s.cancelled(e.Metadata, k.SubscriptionCancelled)
	case *ledgerv1.Event_SubscriptionCompleted:
		s.Status, s.Resumes = Completed, unspecified
		return s
	}
	return s
}

// replaced is list with a changed copy of its i-th element.
func replaced[T any](list []*T, i int, change func(*T)) []*T {
	if i < 0 {
		return list
	}
	list = slices.Clone(list)
	c := *list[i]
	change(&c)
	list[i] = &c
	return list
}

// withAttempt is the state with a changed attempt. An attempt that was closed never opens again.
func (s State) withAttempt(i int, change func(*Attempt)) State {
	s.Attempts = replaced(s.Attempts, i, change)
	for s.Closed < len(s.Attempts) && !s.Attempts[s.Closed].Open() {
		s.Closed++
	}
	return s
}

// added is list with one element more; the list itself stays as it is, whoever else holds it.
func added[T any](list []*T, v T) []*T { return append(slices.Clip(list), &v) }

// ordered takes note of an order that an event made.
func (s State) ordered(id int64) State {
	if id == 0 {
		return s
	}
	s.Ordinal = id - s.Started.GetNumber()*ordersPerSubscription
	if s.FirstOrder == 0 {
		s.FirstOrder = id
	}
	return s
}
