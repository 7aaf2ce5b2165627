package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/calendar"
	"ledger.internal/ledger/internal/aggregate/text"
)

// Import takes over a living subscription that began elsewhere. It charges, posts and tells nothing; what is due is
// charged when its time comes.
type Import struct {
	Now     time.Time
	Number  int64
	Request *ledgerv1.ImportRequest

	Merchant, ID       string
	Gateway, Processor string
	Mode               ledgerv1.Mode
}

// Short names for the states in which a subscription can be taken over.
const (
	importTrialing = ledgerv1.ImportState_IMPORT_STATE_TRIALING
	importActive   = ledgerv1.ImportState_IMPORT_STATE_ACTIVE
	importPastDue  = ledgerv1.ImportState_IMPORT_STATE_PAST_DUE
	importPaused   = ledgerv1.ImportState_IMPORT_STATE_PAUSED
)

// maxPaid is how many payments may have been made elsewhere: weekly ones of almost two hundred years.
const maxPaid = 9999

// Decide implements aggregate.Command.
func (c Import) Decide(s State) ([]*ledgerv1.Event, error) {
	if s.Exists() {
		return nil, &aggregate.Error{Kind: aggregate.Exists, Reason: "SUBSCRIPTION_EXISTS",
			Message: "there is a subscription " + c.ID + " already"}
	}
	if !text.ValidID(c.ID) {
		return nil, aggregate.InvalidField("import.subscription_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	}
	r := c.Request
	terms, err := checkTerms("import.terms", r.GetTerms(), r.GetTerms().GetInitial() != nil)
	if err != nil {
		return nil, err
	}
	if err := c.checkParties(); err != nil {
		return nil, err
	}
	if err := c.checkProgress(terms); err != nil {
		return nil, err
	}
	chargedBy := r.ChargedBy
	if chargedBy == ledgerv1.ChargedBy_CHARGED_BY_UNSPECIFIED {
		chargedBy = ledgerv1.ChargedBy_CHARGED_BY_LEDGER
	}
	anchor := r.AnchorAt
	if anchor == nil {
		anchor = r.NextDueAt
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionImported{SubscriptionImported: &ledgerv1.SubscriptionImported{
		MerchantId: c.Merchant, SubscriptionId: c.ID, Number: c.Number,
		BuyerId: r.Buyer.Id, Buyer: personal(r.Buyer), Terms: terms,
		ConnectionId: r.ConnectionId, Gateway: c.Gateway, Processor: c.Processor, Mode: c.Mode, Method: r.PaymentMethod,
		Quantity: max(r.Quantity, 1), ExternalRef: r.ExternalRef, Tracking: r.Tracking, Metadata: pairs(r.Metadata),
		State: r.State, PaidNumber: r.PaidNumber, NextDue: micros(r.NextDueAt), Anchor: micros(anchor),
		ForeignFirstOrderId: r.ForeignFirstOrderId, ChargedBy: chargedBy, StartedAt: micros(r.StartedAt),
	}}})
	return d.done()
}

// checkParties checks who pays, and how.
func (c Import) checkParties() error {
	r := c.Request
	byGateway := r.ChargedBy == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	switch {
	case r.GetBuyer().GetId() == "":
		return aggregate.InvalidField("import.buyer.id", "BUYER_REQUIRED", "name the buyer by the id you know him by")
	case r.Quantity > maxQuantity:
		return aggregate.InvalidField("import.quantity", "QUANTITY_INVALID", "at most %d", maxQuantity)
	case !byGateway && r.GetPaymentMethod().GetReference() == "" && r.GetPaymentMethod().GetAgreementId() == "":
		return aggregate.InvalidField("import.payment_method", "METHOD_REQUIRED", "without a stored method or an agreement nothing can be charged")
	}
	if err := checkMetadata("import.metadata", r.Metadata); err != nil {
		return err
	}
	return checkBuyer("import.buyer", r.Buyer)
}

// checkProgress checks how far the subscription has come.
func (c Import) checkProgress(t *ledgerv1.Terms) error {
	r := c.Request
	byGateway := r.ChargedBy == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	trial := t.Initial != nil && r.PaidNumber == 1
	now := c.Now
	switch {
	case r.State < importTrialing || r.State > importPaused:
		return aggregate.InvalidField("import.state", "IMPORT_STATE_INVALID", "TRIALING, ACTIVE, PAST_DUE or PAUSED")
	case r.State == importTrialing && !trial, r.State == importActive && trial:
		return aggregate.InvalidField("import.state", "IMPORT_STATE_INVALID", "it is TRIALING exactly while only an initial payment is paid")
	case byGateway && (r.State == importPastDue || r.State == importPaused):
		return aggregate.InvalidField("import.state", "IMPORT_STATE_INVALID", "what the gateway charges is TRIALING or ACTIVE here")
	case r.PaidNumber == 0:
		return aggregate.InvalidField("import.paid_number", "PAID_NUMBER_RANGE", "at least the first payment is made; start what is not")
	case r.PaidNumber > maxPaid:
		return aggregate.InvalidField("import.paid_number", "PAID_NUMBER_RANGE", "at most %d", maxPaid)
	case total(t) > 0 && regular(t, r.PaidNumber) >= total(t):
		return aggregate.InvalidField("import.paid_number", "PAID_NUMBER_RANGE", "no payment would be left")
	case r.NextDueAt == nil:
		return aggregate.InvalidField("import.next_due_at", "NEXT_DUE_REQUIRED", "say when the next payment is due")
	case instant(r.NextDueAt).After(now.Add(maxAhead)):
		return aggregate.InvalidField("import.next_due_at", "DUE_RANGE", "at most ten years ahead")
	case r.AnchorAt != nil && instant(r.AnchorAt).After(now.Add(maxAhead)):
		return aggregate.InvalidField("import.anchor_at", "DUE_RANGE", "at most ten years ahead")
	case r.State == importPastDue && instant(r.NextDueAt).After(now):
		return aggregate.InvalidField("import.next_due_at", "DUE_RANGE", "what is past due was due before now")
	case !onGrid(t, instant(micros(r.AnchorAt)), instant(micros(r.NextDueAt))):
		return aggregate.InvalidField("import.anchor_at", "ANCHOR_MISMATCH", "the next payment is not due a whole number of periods after it")
	case r.StartedAt != nil && instant(r.StartedAt).After(now):
		return aggregate.InvalidField("import.started_at", "TIME_RANGE", "it has started")
	}
	return nil
}

// onGrid reports whether an instant is anchor + k periods. If it were not, the one after it might follow at once.
func onGrid(t *ledgerv1.Terms, anchor, due time.Time) bool {
	if anchor.IsZero() || t.Kind == OneTime {
		return true
	}
	_, next := calendar.FirstAfter(anchor, t.Period, due.Add(-time.Nanosecond))
	return next.Equal(due)
}

func (s State) imported(e *ledgerv1.SubscriptionImported) State {
	s.Import = e
	// What is asked of a start is answered by the import: the two say the same of the parties and the terms.
	s = s.started(&ledgerv1.SubscriptionStarted{
		MerchantId: e.MerchantId, SubscriptionId: e.SubscriptionId, Number: e.Number, BuyerId: e.BuyerId, Buyer: e.Buyer,
		Terms: e.Terms, ConnectionId: e.ConnectionId, Gateway: e.Gateway, Processor: e.Processor, Mode: e.Mode,
		Quantity: e.Quantity, ExternalRef: e.ExternalRef, Tracking: e.Tracking, Metadata: e.Metadata,
	})
	s.Method = e.Method
	s.Paid, s.StartedAt, s.Anchor = e.PaidNumber, instant(e.StartedAt), instant(e.Anchor)
	s.NextDue, s.PaidThrough = instant(e.NextDue), instant(e.NextDue)
	if t := e.Terms; t.GetKind() == RecurringInstallments {
		done := regular(t, e.PaidNumber) % t.Installments // of the running cycle
		s.CycleStart = calendar.Due(s.NextDue, t.Period, -int(done))
	}
	living := Active
	if t := e.Terms; regular(t, e.PaidNumber) == 0 {
		living = Trialing
	}
	switch e.State {
	case importPastDue:
		s.Status = PastDue
	case importPaused:
		s.Status, s.Resumes = Paused, living
	default:
		s.Status = living
	}
	s.NextAttempt = s.nextAttempt(s.NextDue)
	return s
}
