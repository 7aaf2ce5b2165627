package journal

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// Silent reports whether an event is of a kind that moves no money: what is asked for, pending, unknown or declined,
// what a dispute says besides its funds, what happens in a subscription's life, and what is not of a subscription.
func Silent(e *ledgerv1.Event) bool {
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
		*ledgerv1.Event_PaymentDeclined,
		*ledgerv1.Event_PaymentUnknown,
		*ledgerv1.Event_PaymentNotCharged,
		*ledgerv1.Event_PaymentRescheduled,
		*ledgerv1.Event_PeriodsSkipped,
		*ledgerv1.Event_RefundRequested,
		*ledgerv1.Event_RefundPending,
		*ledgerv1.Event_RefundFailed,
		*ledgerv1.Event_RefundUnknown,
		*ledgerv1.Event_DisputeOpened,
		*ledgerv1.Event_DisputeClosed,
		*ledgerv1.Event_AgreementLost,
		*ledgerv1.Event_CancellationScheduled,
		*ledgerv1.Event_CancellationWithdrawn,
		*ledgerv1.Event_SubscriptionPaused,
		*ledgerv1.Event_SubscriptionResumed,
		*ledgerv1.Event_SubscriptionCancelled,
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
