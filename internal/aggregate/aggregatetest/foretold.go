package aggregatetest

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// foretell fills in what events say of what follows from them, where the aggregate is better asked than copied: when the
// open payment is charged next, and through which account.
func foretell(events []event.Recorded) {
	var s subscription.State
	for _, e := range events {
		s = subscription.Evolve(s, e.Event)
		next := timestamppb.New(s.NextAttempt)
		if s.NextAttempt.IsZero() {
			next = nil
		}
		switch k := e.GetKind().(type) {
		case *ledgerv1.Event_PaymentNotCharged:
			k.PaymentNotCharged.NextAttemptAt = next
		case *ledgerv1.Event_MismatchResolved:
			k.MismatchResolved.NextAttemptAt = next
		case *ledgerv1.Event_DisputeClosed:
			k.DisputeClosed.NextAttemptAt = next
		case *ledgerv1.Event_PaymentMethodReplaced:
			k.PaymentMethodReplaced.NextAttemptAt = next
		case *ledgerv1.Event_PaymentMethodRefused:
			k.PaymentMethodRefused.NextAttemptAt, k.PaymentMethodRefused.ConnectionId = next, s.Connection.ID
		}
	}
}
