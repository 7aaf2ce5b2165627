package projection

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Short names for the states of a subscription's life.
const (
	statePending   = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING
	stateTrialing  = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_TRIALING
	stateActive    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE
	statePastDue   = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE
	statePaused    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED
	stateCancelled = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED
	stateCompleted = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_COMPLETED
	stateFailed    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_FAILED

	stateNone = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_UNSPECIFIED
)

// change makes of a row what an event says; false if it does not know the event. What the flags are counted from is
// kept by matters.
//
// The same is decided by the subscription aggregate, which a projection does not know: the tests hold the row against
// the folded events, in every state of every history, and so does "ledger verify".
func (r *subscriptionRow) change(e *ledgerv1.Event) bool {
	m := e.GetMetadata()
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted:
		r.begin(m, k.SubscriptionStarted)
		r.started(k.SubscriptionStarted)
	case *ledgerv1.Event_SubscriptionImported:
		r.begin(m, k.SubscriptionImported)
		r.imported(k.SubscriptionImported)
	case *ledgerv1.Event_BuyerUpdated:
		r.Email = strings.ToLower(k.BuyerUpdated.GetBuyer().GetEmail())
	case *ledgerv1.Event_TermsChanged:
		r.termsChanged(k.TermsChanged)
	case *ledgerv1.Event_PaymentMethodReplaced:
		r.ConnectionId, r.NextAttemptAt = k.PaymentMethodReplaced.GetConnectionId(), k.PaymentMethodReplaced.GetNextAttemptAt()
	case *ledgerv1.Event_PaymentMethodRefused:
		r.ConnectionId, r.NextAttemptAt = k.PaymentMethodRefused.GetConnectionId(), k.PaymentMethodRefused.GetNextAttemptAt()
	case *ledgerv1.Event_PaymentRequested:
		r.NextAttemptAt, r.NextAmount = nil, k.PaymentRequested.GetAmounts().GetFull()
	case *ledgerv1.Event_PaymentSucceeded:
		r.paid(m, k.PaymentSucceeded)
		r.reinstated(k.PaymentSucceeded)
	case *ledgerv1.Event_LateChargeObserved:
		r.paid(m, k.LateChargeObserved)
		r.reinstated(k.LateChargeObserved)
	case *ledgerv1.Event_PaymentObserved:
		r.paid(m, k.PaymentObserved)
	case *ledgerv1.Event_PaymentDeclined:
		r.declined(k.PaymentDeclined)
	case *ledgerv1.Event_PaymentNotCharged:
		r.freed(k.PaymentNotCharged.GetNextAttemptAt())
	case *ledgerv1.Event_MismatchResolved:
		r.freed(k.MismatchResolved.GetNextAttemptAt())
	case *ledgerv1.Event_PeriodsSkipped:
		r.due(k.PeriodsSkipped.GetNextDue())
	case *ledgerv1.Event_PaymentRescheduled:
		r.rescheduled(k.PaymentRescheduled)
	case *ledgerv1.Event_SubscriptionPaused:
		r.pausedFrom, r.State, r.NextAttemptAt = r.State, statePaused, nil
	case *ledgerv1.Event_SubscriptionResumed:
		r.resumed(k.SubscriptionResumed)
	case *ledgerv1.Event_DisputeClosed:
		r.NextAttemptAt = k.DisputeClosed.GetNextAttemptAt()
	case *ledgerv1.Event_CancellationScheduled:
		r.CancelAt, r.CancelReason = k.CancellationScheduled.GetCancelAt(), k.CancellationScheduled.GetReason()
	case *ledgerv1.Event_CancellationWithdrawn:
		r.CancelAt, r.CancelReason = nil, ledgerv1.CancelReason_CANCEL_REASON_UNSPECIFIED
	case *ledgerv1.Event_SubscriptionCancelled:
		r.cancelled(k.SubscriptionCancelled)
	case *ledgerv1.Event_SubscriptionCompleted:
		r.end(stateCompleted)
	case *ledgerv1.Event_PaymentPending,
		*ledgerv1.Event_PaymentUnknown,
		*ledgerv1.Event_DuplicateChargeObserved,
		*ledgerv1.Event_DuplicateChargeReturned,
		*ledgerv1.Event_AmountMismatchObserved,
		*ledgerv1.Event_RefundRequested,
		*ledgerv1.Event_RefundPending,
		*ledgerv1.Event_RefundSucceeded,
		*ledgerv1.Event_RefundObserved,
		*ledgerv1.Event_RefundFailed,
		*ledgerv1.Event_RefundUnknown,
		*ledgerv1.Event_RefundReversed,
		*ledgerv1.Event_DisputeOpened,
		*ledgerv1.Event_DisputeFundsWithdrawn,
		*ledgerv1.Event_DisputeFundsReinstated,
		*ledgerv1.Event_AgreementLost,
		*ledgerv1.Event_PaymentMethodStored:
		// These change flags at most.
	default:
		return false
	}
	return true
}

// agreement is what a start and an import say alike.
type agreement interface {
	GetNumber() int64
	GetBuyerId() string
	GetBuyer() *ledgerv1.Buyer
	GetTerms() *ledgerv1.Terms
	GetConnectionId() string
	GetMode() ledgerv1.Mode
	GetExternalRef() string
}

func (r *subscriptionRow) begin(m *ledgerv1.Metadata, a agreement) {
	t := a.GetTerms()
	r.Number = a.GetNumber()
	r.CreatedAt = m.GetRecordedAt()
	r.BuyerId, r.Email = a.GetBuyerId(), strings.ToLower(a.GetBuyer().GetEmail())
	r.ExternalRef, r.ConnectionId, r.Mode = a.GetExternalRef(), a.GetConnectionId(), a.GetMode()
	r.ProductId, r.ProductName, r.PricePoint, r.Kind = t.GetProductId(), t.GetProductName(), t.GetPricePoint(), t.GetKind()
	r.currency = currencyOf(t)
	r.trial = t.GetInitial() != nil
	r.regular = minor(t.GetRegular().GetFull())
	r.introductory, r.introductoryUntil = minor(t.GetIntroductory().GetAmounts().GetFull()), t.GetIntroductory().GetPayments()
	if r.trial && r.introductoryUntil > 0 {
		r.introductoryUntil++ // the initial payment is no regular one
	}
}

func (r *subscriptionRow) started(s *ledgerv1.SubscriptionStarted) {
	r.State, r.ChargedBy = statePending, ledgerv1.ChargedBy_CHARGED_BY_LEDGER
	r.PaymentsLeft = paymentsLeft(s.GetTerms(), 0)
	r.NextAmount = r.asks(1)
	if r.trial {
		r.NextAmount = s.GetTerms().GetInitial().GetAmounts().GetFull()
	}
}

func (r *subscriptionRow) imported(i *ledgerv1.SubscriptionImported) {
	r.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_LEDGER
	if i.GetChargedBy() == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY {
		r.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	}
	r.PaidNumber, r.PaymentsLeft = i.GetPaidNumber(), paymentsLeft(i.GetTerms(), i.GetPaidNumber())
	r.StartedAt, r.PaidThrough = i.GetStartedAt(), i.GetNextDue()
	r.NextAmount = r.asks(r.PaidNumber + 1)
	r.State = r.living()
	switch i.GetState() {
	case ledgerv1.ImportState_IMPORT_STATE_PAST_DUE:
		r.State = statePastDue
	case ledgerv1.ImportState_IMPORT_STATE_PAUSED:
		r.pausedFrom, r.State = r.State, statePaused
	}
	r.due(i.GetNextDue())
}

// paymentsLeft counts the payments after a pay number: of the plan, or of the running cycle. Payments that succeed say
// it themselves.
func paymentsLeft(t *ledgerv1.Terms, paid uint32) uint32 {
	const endless = 9999
	n, done := t.GetInstallments(), paid
	if t.GetInitial() != nil && paid > 0 {
		done-- // the initial payment is no regular one
	}
	switch t.GetKind() {
	case ledgerv1.PriceKind_PRICE_KIND_ONE_TIME:
		return 1 - min(done, 1)
	case ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS:
		return n - min(done, n)
	case ledgerv1.PriceKind_PRICE_KIND_RECURRING_INSTALLMENTS:
		if done == 0 {
			return n
		}
		return n - 1 - (done-1)%n
	}
	return endless
}

// asks is what is asked for a pay number that is no initial payment.
func (r *subscriptionRow) asks(number uint32) *ledgerv1.Money {
	amount := r.regular
	if number <= r.introductoryUntil {
		amount = r.introductory
	}
	return &ledgerv1.Money{CurrencyCode: r.currency, MinorUnits: amount}
}

// termsChanged ends a coupon. Where the open pay number was asked for already, that stays as it is.
func (r *subscriptionRow) termsChanged(c *ledgerv1.TermsChanged) {
	r.regular, r.introductoryUntil = minor(c.GetAmounts().GetFull()), 0
	if open := r.PaidNumber + 1; c.GetFromPayNumber() <= open && !r.ended() {
		r.NextAmount = r.asks(open)
	}
}

// progress is what the events that pay a number have in common.
type progress interface {
	GetPayNumber() uint32
	GetPaymentsLeft() uint32
	GetNextDue() *timestamppb.Timestamp
	GetPaidThrough() *timestamppb.Timestamp
}

// paid makes the number after a paid one the open one. What has ended stays ended, whatever is paid late.
func (r *subscriptionRow) paid(m *ledgerv1.Metadata, p progress) {
	if r.PaidNumber == 0 {
		r.StartedAt = m.GetOccurredAt()
	}
	r.PaidNumber = max(r.PaidNumber, p.GetPayNumber())
	r.PaidThrough, r.DeclineCode = p.GetPaidThrough(), ""
	if r.ended() {
		return
	}
	r.PaymentsLeft, r.NextAmount = p.GetPaymentsLeft(), r.asks(r.PaidNumber+1)
	r.due(p.GetNextDue())
	r.becomes(r.living())
}

// reinstated follows a payment to the method that it brings back.
func (r *subscriptionRow) reinstated(p interface {
	GetReinstatesMethod() bool
	GetConnectionId() string
}) {
	if p.GetReinstatesMethod() {
		r.ConnectionId = p.GetConnectionId()
	}
}

// due says when the open pay number is due, and charged.
func (r *subscriptionRow) due(at *timestamppb.Timestamp) {
	r.NextDueAt = at
	r.attempt(at)
}

// attempt says when the open pay number is charged: in a pause never, nor where the gateway runs the schedule.
func (r *subscriptionRow) attempt(at *timestamppb.Timestamp) {
	r.NextAttemptAt = at
	if r.State == statePaused || r.ChargedBy == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY {
		r.NextAttemptAt = nil
	}
}

func (r *subscriptionRow) declined(d *ledgerv1.PaymentDeclined) {
	r.DeclineCode = d.GetCode()
	if r.State == statePending {
		r.end(stateFailed)
		return
	}
	r.NextAttemptAt = d.GetNextAttemptAt()
	r.becomes(statePastDue)
}

// freed notes that an attempt charged nothing, or that what it charged went back. A first payment is not tried a second
// time.
func (r *subscriptionRow) freed(next *timestamppb.Timestamp) {
	r.NextAttemptAt = next
	if r.State == statePending {
		r.end(stateFailed)
	}
}

func (r *subscriptionRow) rescheduled(p *ledgerv1.PaymentRescheduled) {
	r.due(p.GetNextDue())
	r.PaidThrough = p.GetNextDue()
	if p.GetCancelAt() != nil {
		r.CancelAt = p.GetCancelAt()
	}
}

func (r *subscriptionRow) resumed(s *ledgerv1.SubscriptionResumed) {
	r.State, r.pausedFrom = r.pausedFrom, stateNone
	r.NextDueAt, r.NextAttemptAt = s.GetNextDue(), s.GetNextAttemptAt()
}

func (r *subscriptionRow) cancelled(c *ledgerv1.SubscriptionCancelled) {
	if r.State == statePending {
		r.end(stateFailed)
	} else {
		r.end(stateCancelled)
	}
	r.CancelReason = c.GetReason()
	r.CancelAt, r.NextAttemptAt, r.NextDueAt = nil, nil, nil
}

// end leaves no payment to come.
func (r *subscriptionRow) end(state ledgerv1.SubscriptionState) {
	r.State, r.pausedFrom = state, stateNone
	r.PaymentsLeft, r.NextAmount = 0, nil
}

func (r *subscriptionRow) ended() bool {
	return r.State == stateCancelled || r.State == stateCompleted || r.State == stateFailed
}

// living is the state of one who has paid all that was due.
func (r *subscriptionRow) living() ledgerv1.SubscriptionState {
	if r.trial && r.PaidNumber == 1 {
		return stateTrialing
	}
	return stateActive
}

// becomes changes the state; a pause goes on around it.
func (r *subscriptionRow) becomes(state ledgerv1.SubscriptionState) {
	if r.State == statePaused {
		r.pausedFrom = state
	} else {
		r.State = state
	}
}
