package projection

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// IPNType says what an event is told as, and with which order; told is false for an event that nobody is told of.
func IPNType(e *ledgerv1.Event) (t ledgerv1.IpnType, orderID int64, told bool) {
	t, orderID, _ = ipnOf(e)
	return t, orderID, t != ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED
}

// ipnOf is IPNType for the projection, which must tell an event that is silent from one that it does not know.
func ipnOf(e *ledgerv1.Event) (t ledgerv1.IpnType, orderID int64, known bool) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentSucceeded:
		return paidType(k.PaymentSucceeded.GetPayNumber()), k.PaymentSucceeded.GetOrderId(), true
	case *ledgerv1.Event_LateChargeObserved:
		return paidType(k.LateChargeObserved.GetPayNumber()), k.LateChargeObserved.GetOrderId(), true
	case *ledgerv1.Event_PaymentObserved:
		return paidType(k.PaymentObserved.GetPayNumber()), k.PaymentObserved.GetOrderId(), true
	case *ledgerv1.Event_PaymentDeclined:
		return ledgerv1.IpnType_IPN_TYPE_FAILED, k.PaymentDeclined.GetOrderId(), true
	case *ledgerv1.Event_RefundSucceeded:
		return refundType(k.RefundSucceeded.GetFull()), k.RefundSucceeded.GetOrderId(), true
	case *ledgerv1.Event_RefundObserved:
		return refundType(k.RefundObserved.GetFull()), k.RefundObserved.GetOrderId(), true
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		return ledgerv1.IpnType_IPN_TYPE_CHARGEBACK, k.DisputeFundsWithdrawn.GetOrderId(), true
	case *ledgerv1.Event_SubscriptionCancelled:
		if k.SubscriptionCancelled.GetOrderId() == 0 {
			return 0, 0, true // nothing was ever sold
		}
		return ledgerv1.IpnType_IPN_TYPE_CANCELLATION, k.SubscriptionCancelled.GetOrderId(), true
	}
	return 0, 0, silent(e)
}

func paidType(payNumber uint32) ledgerv1.IpnType {
	if payNumber == 1 {
		return ledgerv1.IpnType_IPN_TYPE_SALE
	}
	return ledgerv1.IpnType_IPN_TYPE_REBILL
}

func refundType(full bool) ledgerv1.IpnType {
	if full {
		return ledgerv1.IpnType_IPN_TYPE_REFUND
	}
	return ledgerv1.IpnType_IPN_TYPE_PARTIAL_REFUND
}

// silent lists the events that Kartra has no word for: intents, doubts, money that went back where it came from, and
// what is not of a subscription.
func silent(e *ledgerv1.Event) bool {
	switch e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted,
		*ledgerv1.Event_SubscriptionImported,
		*ledgerv1.Event_BuyerUpdated,
		*ledgerv1.Event_TermsChanged,
		*ledgerv1.Event_PaymentMethodReplaced,
		*ledgerv1.Event_PaymentMethodStored,
		*ledgerv1.Event_PaymentMethodRefused,
		*ledgerv1.Event_PaymentRequested,
		*ledgerv1.Event_PaymentPending,
		*ledgerv1.Event_PaymentUnknown,
		*ledgerv1.Event_PaymentNotCharged,
		*ledgerv1.Event_DuplicateChargeObserved,
		*ledgerv1.Event_DuplicateChargeReturned,
		*ledgerv1.Event_AmountMismatchObserved,
		*ledgerv1.Event_MismatchResolved,
		*ledgerv1.Event_PaymentRescheduled,
		*ledgerv1.Event_PeriodsSkipped,
		*ledgerv1.Event_RefundRequested,
		*ledgerv1.Event_RefundPending,
		*ledgerv1.Event_RefundFailed,
		*ledgerv1.Event_RefundUnknown,
		*ledgerv1.Event_RefundReversed,
		*ledgerv1.Event_DisputeOpened,
		*ledgerv1.Event_DisputeFundsReinstated,
		*ledgerv1.Event_DisputeClosed,
		*ledgerv1.Event_AgreementLost,
		*ledgerv1.Event_CancellationScheduled,
		*ledgerv1.Event_CancellationWithdrawn,
		*ledgerv1.Event_SubscriptionPaused,
		*ledgerv1.Event_SubscriptionResumed,
		*ledgerv1.Event_SubscriptionCompleted:
		return true
	case *ledgerv1.Event_MerchantCreated,
		*ledgerv1.Event_MerchantChanged,
		*ledgerv1.Event_ConnectionCreated,
		*ledgerv1.Event_ConnectionBlocked,
		*ledgerv1.Event_ConnectionUnblocked,
		*ledgerv1.Event_ConsentRequested,
		*ledgerv1.Event_ConnectionActivated,
		*ledgerv1.Event_ConnectionRefused,
		*ledgerv1.Event_ConnectionUpdateNeeded,
		*ledgerv1.Event_ConnectionExpired,
		*ledgerv1.Event_ConnectionDisconnected,
		*ledgerv1.Event_ConnectionResealed,
		*ledgerv1.Event_EndpointCreated,
		*ledgerv1.Event_EndpointChanged,
		*ledgerv1.Event_EndpointDisabled,
		*ledgerv1.Event_DeliveryConcluded,
		*ledgerv1.Event_FirstPaymentReserved,
		*ledgerv1.Event_NumbersReserved:
		return true
	}
	return false
}
