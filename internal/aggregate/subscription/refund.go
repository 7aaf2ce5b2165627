package subscription

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// RefundID is the id of the refund that a request makes.
func RefundID(stream, requestID string) string { return "rf_" + key("refund", stream, requestID)[:20] }

// Refund returns a payment or a part of it.
type Refund struct {
	Now     time.Time
	ID      string
	OrderID int64
	Amount  *ledgerv1.Money   // nil for all that is left
	Parts   *ledgerv1.Amounts // instead of Amount: which parts go back; nil to have it prorated
	Reason  string
	// Cancel ends the subscription in the same step, if it has not ended.
	Cancel       bool
	CancelReason ledgerv1.CancelReason // the buyer's wish if it is unspecified
}

// Decide implements aggregate.Command.
func (c Refund) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	reason := c.CancelReason
	if reason == ledgerv1.CancelReason_CANCEL_REASON_UNSPECIFIED {
		reason = ledgerv1.CancelReason_CANCEL_REASON_BUYER
	}
	if err := checkReason("cancel_reason", reason); err != nil {
		return nil, err
	}
	ch, err := c.find(s)
	if err != nil {
		return nil, err
	}
	parts, err := c.parts(s, ch)
	if err != nil {
		return nil, err
	}
	if s.ordersExhausted() {
		return nil, orderLimit()
	}
	d := s.decide(c.Now, time.Time{})
	d.refund(ch, c.ID, parts, c.Reason)
	if c.Cancel && !s.Ended() {
		d.cancel(reason)
	}
	return d.done()
}

// refund emits the intent to return parts of a charge, the way it came.
func (d *decision) refund(ch *Charge, id string, parts *ledgerv1.Amounts, reason string) {
	st := d.Started
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: id, ParentOrderId: ch.OrderID, PayNumber: ch.Number, Amounts: parts,
		Key:          key("refund", st.MerchantId, st.SubscriptionId, id),
		ConnectionId: ch.Connection, ChargeReference: ch.Reference, Reason: reason,
	}}})
}

// find is the payment to refund.
func (c Refund) find(s State) (*Charge, error) {
	if ch, ok := s.FindCharge(c.OrderID); ok {
		if ch.Reference == "" || ch.Amounts.Full.MinorUnits == 0 {
			return nil, aggregate.Refuse("NOT_CAPTURED", "nothing was charged for order %d", c.OrderID)
		}
		return ch, nil
	}
	for _, a := range s.Attempts {
		if a.OrderID == c.OrderID && c.OrderID != 0 {
			return nil, aggregate.Refuse("NOT_CAPTURED", "order %d is a failed payment", c.OrderID)
		}
	}
	if slices.ContainsFunc(s.Attempts[s.Closed:], (*Attempt).InDoubt) {
		return nil, aggregate.Refuse("PAYMENT_OUTCOME_UNKNOWN", "nobody knows yet what became of the last attempt")
	}
	return nil, &aggregate.Error{Kind: aggregate.NotFound, Reason: "PAYMENT_NOT_FOUND", Field: "order_id",
		Message: "this subscription has no such payment"}
}

// parts are the refund's parts: of what is neither returned, charged back nor on its way back.
func (c Refund) parts(s State, ch *Charge) (*ledgerv1.Amounts, error) {
	left := s.refundable(ch)
	if c.Parts != nil {
		return c.given(left)
	}
	amount := c.Amount
	if amount == nil {
		amount = left.Full
	} else if err := money.Check("amount", amount); err != nil {
		return nil, err
	}
	if amount.CurrencyCode != left.Full.CurrencyCode {
		return nil, aggregate.InvalidField("amount", "CURRENCY_MISMATCH", "the payment was in %s", left.Full.CurrencyCode)
	}
	if c.Amount != nil && amount.MinorUnits == 0 {
		return nil, aggregate.InvalidField("amount", "AMOUNT_RANGE", "a refund returns something")
	}
	if amount.MinorUnits > left.Full.MinorUnits || left.Full.MinorUnits <= 0 {
		return nil, aggregate.Refuse("REFUND_EXCEEDS_CAPTURED", "%s is left to refund", money.Format(left.Full)).
			With("left", money.Format(left.Full))
	}
	return money.SplitRefund(left, amount)
}

// given are the parts that the caller chose: no part of them, and no part of what then stays, is more than there is.
func (c Refund) given(left *ledgerv1.Amounts) (*ledgerv1.Amounts, error) {
	if c.Amount != nil {
		return nil, aggregate.InvalidField("parts", "AMOUNT_OR_PARTS", "give the amount or its parts, not both")
	}
	parts, err := money.NormalizeAmounts("parts", c.Parts)
	if err != nil {
		return nil, err
	}
	if parts.Full.CurrencyCode != left.Full.CurrencyCode {
		return nil, aggregate.InvalidField("parts", "CURRENCY_MISMATCH", "the payment was in %s", left.Full.CurrencyCode)
	}
	if parts.Full.MinorUnits == 0 {
		return nil, aggregate.InvalidField("parts", "AMOUNT_RANGE", "a refund returns something")
	}
	rest := money.SubAmounts(left, parts)
	for _, p := range []struct {
		name string
		left *ledgerv1.Money
	}{{"base", rest.Base}, {"discount", rest.Discount}, {"shipping", rest.Shipping}, {"tax", rest.Tax}} {
		if p.left.MinorUnits < 0 {
			return nil, aggregate.Refuse("REFUND_EXCEEDS_CAPTURED", "less %s is left than that", p.name).
				With("left", money.Format(left.Full)).With("part", p.name)
		}
	}
	if rest.Discount.MinorUnits > rest.Base.MinorUnits {
		return nil, aggregate.Refuse("REFUND_EXCEEDS_CAPTURED", "the rest would have more discount than base").
			With("left", money.Format(left.Full)).With("part", "base")
	}
	return parts, nil
}

// left is what is left of a charge: captured, less returned, less charged back.
func (c *Charge) left() *ledgerv1.Amounts {
	return money.SubAmounts(money.SubAmounts(c.Amounts, c.Refunded), c.ChargedBack)
}

// excess is how much more goes back than is left; nil if it is none.
func excess(back, left *ledgerv1.Money) *ledgerv1.Money {
	over := min(back.MinorUnits-left.MinorUnits, back.MinorUnits)
	if over <= 0 {
		return nil
	}
	return money.New(back.CurrencyCode, over)
}

// refundable is what is left of a charge, less what is on its way back.
func (s State) refundable(ch *Charge) *ledgerv1.Amounts {
	left := ch.left()
	for _, r := range s.Refunds {
		if r.Parent == ch.OrderID && r.Open() {
			left = money.SubAmounts(left, r.Amounts)
		}
	}
	return money.Splittable(left)
}

func (s State) refundRequested(m *ledgerv1.Metadata, e *ledgerv1.RefundRequested) State {
	s.Refunds = added(s.Refunds, RefundRecord{
		ID: e.RefundId, Parent: e.ParentOrderId, Number: e.PayNumber, Amounts: e.Amounts, Key: e.Key,
		Connection: e.ConnectionId, ChargeReference: e.ChargeReference, RequestedAt: instant(m.RecordedAt),
	})
	return s
}

// PendRefund reports that the gateway will decide later about a refund.
type PendRefund struct {
	Now           time.Time
	ID, Reference string
}

// Decide implements aggregate.Command.
func (c PendRefund) Decide(s State) ([]*ledgerv1.Event, error) {
	r, ok := s.FindRefund(c.ID)
	if !ok {
		return nil, refundUnknown(c.ID)
	}
	if !r.Open() || r.Status == RefundPending {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundPending{RefundPending: &ledgerv1.RefundPending{RefundId: c.ID, Reference: c.Reference}}})
	return d.done()
}

func (s State) refundPending(m *ledgerv1.Metadata, e *ledgerv1.RefundPending) State {
	s.Refunds = replaced(s.Refunds, s.refund(e.RefundId), func(r *RefundRecord) {
		r.Status, r.Reference = RefundPending, e.Reference
		r.doubt(instant(m.RecordedAt), r.RequestedAt)
	})
	return s
}

func (r *RefundRecord) doubt(from, sent time.Time) {
	if r.DoubtfulFrom.IsZero() {
		r.DoubtfulFrom = from
	}
	if r.SentAt.IsZero() {
		r.SentAt = sent
	}
}

// DoubtRefund reports that nobody knows whether a refund went out.
type DoubtRefund struct {
	Now, SentAt time.Time
	ID, Why     string
}

// Decide implements aggregate.Command.
func (c DoubtRefund) Decide(s State) ([]*ledgerv1.Event, error) {
	r, ok := s.FindRefund(c.ID)
	if !ok {
		return nil, refundUnknown(c.ID)
	}
	if r.Status != RefundRequested {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundUnknown{RefundUnknown: &ledgerv1.RefundUnknown{
		RefundId: c.ID, Why: c.Why, SentAt: stamp(c.SentAt),
	}}})
	return d.done()
}

func (s State) refundUnknown(m *ledgerv1.Metadata, e *ledgerv1.RefundUnknown) State {
	s.Refunds = replaced(s.Refunds, s.refund(e.RefundId), func(r *RefundRecord) {
		r.Status, r.Why = RefundUnknown, e.Why
		r.doubt(instant(m.RecordedAt), instant(e.SentAt))
	})
	return s
}

// SettleRefund reports that the money went back. Proof of it counts even after the refund was given up.
type SettleRefund struct {
	Now, At       time.Time
	ID, Reference string
}

// Decide implements aggregate.Command.
func (c SettleRefund) Decide(s State) ([]*ledgerv1.Event, error) {
	r, ok := s.FindRefund(c.ID)
	if !ok {
		return nil, refundUnknown(c.ID)
	}
	if r.Status == RefundSucceeded || r.Status == RefundReversed {
		return nil, nil
	}
	ch, _ := s.FindCharge(r.Parent) // a refund is asked for of a charge that is there
	left, back := ch.left().Full, r.Amounts.Full
	d := s.decide(c.Now, c.At)
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
		OrderId: d.nextOrder(), RefundId: r.ID, ParentOrderId: r.Parent, OriginalOrderId: s.FirstOrder,
		PayNumber: r.Number, Amounts: r.Amounts, Reference: c.Reference,
		Full: back.MinorUnits >= left.MinorUnits, OverReturned: back.MinorUnits > left.MinorUnits,
		ConnectionId: r.Connection, Excess: excess(back, left),
	}}})
	return d.done()
}

func (s State) refundSucceeded(m *ledgerv1.Metadata, e *ledgerv1.RefundSucceeded) State {
	s = s.ordered(e.OrderId)
	s.Refunds = replaced(s.Refunds, s.refund(e.RefundId), func(r *RefundRecord) {
		r.Status, r.Reference, r.OrderID, r.Excess = RefundSucceeded, e.Reference, e.OrderId, e.Excess
	})
	return s.returned(instant(m.RecordedAt), e.ParentOrderId, e.Amounts)
}

// returned notes what went back of a payment.
func (s State) returned(now time.Time, parent int64, a *ledgerv1.Amounts) State {
	s.Charges = replaced(s.Charges, s.charge(parent), func(c *Charge) { c.Refunded = money.AddAmounts(c.Refunded, a) })
	if ch, ok := s.FindCharge(parent); ok && s.refundable(ch).Full.MinorUnits < 0 {
		// Its amount was promised to others meanwhile.
		return s.refundsWithdrawn(now, parent)
	}
	return s
}

// refundsWithdrawn forbids the open refunds of a payment to be sent; a look-up finds out whether they were.
func (s State) refundsWithdrawn(now time.Time, parent int64) State {
	for i, r := range s.Refunds {
		if r.Open() && r.Parent == parent {
			s.Refunds = replaced(s.Refunds, i, func(r *RefundRecord) {
				r.Withdrawn = true
				r.doubt(now, r.RequestedAt)
			})
		}
	}
	return s
}

// FailRefund reports that a refund moved no money and will not.
type FailRefund struct {
	Now               time.Time
	ID, Code, Message string
}

// Decide implements aggregate.Command.
func (c FailRefund) Decide(s State) ([]*ledgerv1.Event, error) {
	r, ok := s.FindRefund(c.ID)
	if !ok {
		return nil, refundUnknown(c.ID)
	}
	if !r.Open() {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{
		RefundId: c.ID, Code: c.Code, Message: c.Message,
	}}})
	return d.done()
}

func (s State) refundFailed(e *ledgerv1.RefundFailed) State {
	s.Refunds = replaced(s.Refunds, s.refund(e.RefundId), func(r *RefundRecord) {
		r.Status, r.Code = RefundFailed, e.Code
	})
	return s
}

// ReverseRefund reports that a refund which had succeeded came back.
type ReverseRefund struct {
	Now, At           time.Time
	ID, Code, Message string
}

// Decide implements aggregate.Command.
func (c ReverseRefund) Decide(s State) ([]*ledgerv1.Event, error) {
	r, ok := s.FindRefund(c.ID)
	if !ok {
		return nil, refundUnknown(c.ID)
	}
	if r.Status == RefundReversed {
		return nil, nil
	}
	if r.Status != RefundSucceeded {
		return nil, aggregate.Refuse("REFUND_NOT_DONE", "refund %s has not succeeded", c.ID)
	}
	d := s.decide(c.Now, c.At)
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundReversed{RefundReversed: &ledgerv1.RefundReversed{
		OrderId: d.nextOrder(), RefundId: r.ID, ParentOrderId: r.Parent, OriginalOrderId: s.FirstOrder,
		PayNumber: r.Number, Amounts: proto.CloneOf(r.Amounts), Code: c.Code, Message: c.Message,
		ConnectionId: r.Connection, Excess: r.Excess,
	}}})
	return d.done()
}

func (s State) refundReversed(e *ledgerv1.RefundReversed) State {
	s = s.ordered(e.OrderId)
	s.Refunds = replaced(s.Refunds, s.refund(e.RefundId), func(r *RefundRecord) {
		r.Status, r.Code = RefundReversed, e.Code
	})
	s.Charges = replaced(s.Charges, s.charge(e.ParentOrderId), func(c *Charge) {
		c.Refunded = money.SubAmounts(c.Refunded, e.Amounts)
	})
	return s
}

func refundUnknown(id string) error {
	return &aggregate.Error{Kind: aggregate.NotFound, Reason: "REFUND_NOT_FOUND", Message: "there is no refund " + id}
}
