package subscription

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// Chargeback reports one step of a dispute. A step that is known already changes nothing.
type Chargeback struct {
	Now, At     time.Time // At: when the gateway says it happened; zero for now
	OrderID     int64     // the disputed payment; may be 0 once the dispute is known
	DisputeID   string
	Stage       ledgerv1.DisputeStage
	Amount, Fee *ledgerv1.Money // Amount nil: all that was captured
	Reason      string
	Outcome     ledgerv1.DisputeOutcome // only when it is closed
	Circumstances
}

// Decide implements aggregate.Command.
func (c Chargeback) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if c.DisputeID == "" {
		return nil, aggregate.InvalidField("dispute_id", "DISPUTE_REQUIRED", "name the dispute as the gateway does")
	}
	known := &Dispute{}
	if i := s.dispute(c.DisputeID); i >= 0 {
		known = s.Disputes[i]
	}
	ch, err := c.find(s, known)
	if err != nil {
		return nil, err
	}
	d := s.decide(c.Now, c.At)
	switch c.Stage {
	case ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY, ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED:
		err = d.open(c, known, ch)
	case ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN:
		err = d.withdraw(c, known, ch)
	case ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED:
		err = d.reinstate(known, ch)
	case ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED:
		err = d.close(c, known, ch)
	default:
		err = aggregate.InvalidField("stage", "DISPUTE_STAGE_INVALID", "say what happened")
	}
	if err != nil {
		return nil, err
	}
	return d.done()
}

// find is the disputed payment.
func (c Chargeback) find(s State, known *Dispute) (*Charge, error) {
	order := c.OrderID
	if order == 0 {
		order = known.Parent
	}
	if order == 0 {
		return nil, &aggregate.Error{Kind: aggregate.NotFound, Reason: "DISPUTE_NOT_FOUND", Field: "dispute_id",
			Message: "there is no dispute " + c.DisputeID + " yet; name the order it is about"}
	}
	if known.Parent != 0 && order != known.Parent {
		return nil, aggregate.InvalidField("order_id", "DISPUTE_ORDER_MISMATCH", "the dispute is about order %d", known.Parent)
	}
	ch, ok := s.FindCharge(order)
	if !ok {
		return nil, &aggregate.Error{Kind: aggregate.NotFound, Reason: "PAYMENT_NOT_FOUND", Field: "order_id",
			Message: "this subscription has no such payment"}
	}
	if ch.Amounts.Full.MinorUnits == 0 {
		return nil, aggregate.Refuse("NOT_CAPTURED", "nothing was charged for order %d", order)
	}
	return ch, nil
}

// amount is what the dispute is about.
func (c Chargeback) amount(ch *Charge) (*ledgerv1.Money, error) {
	if c.Amount == nil {
		return ch.Amounts.Full, nil
	}
	if err := money.Check("amount", c.Amount); err != nil {
		return nil, err
	}
	if c.Amount.CurrencyCode != ch.Amounts.Full.CurrencyCode {
		return nil, aggregate.InvalidField("amount", "CURRENCY_MISMATCH", "the payment was in %s", ch.Amounts.Full.CurrencyCode)
	}
	if c.Amount.MinorUnits == 0 {
		return nil, aggregate.InvalidField("amount", "AMOUNT_RANGE", "a dispute is about something")
	}
	return c.Amount, nil
}

func (d *decision) open(c Chargeback, known *Dispute, ch *Charge) error {
	inquiry := c.Stage == ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY
	if known.ID != "" && (known.Closed || inquiry || !known.Inquiry) {
		return nil
	}
	amount, err := c.amount(ch)
	if err != nil {
		return err
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeOpened{DisputeOpened: &ledgerv1.DisputeOpened{
		DisputeId: c.DisputeID, ParentOrderId: ch.OrderID, Amount: amount, Reason: c.Reason, Inquiry: inquiry,
	}}})
	return nil
}

// withdraw records that the bank took the money, once per dispute, and does to the subscription what the merchant's
// policy says.
func (d *decision) withdraw(c Chargeback, known *Dispute, ch *Charge) error {
	if known.Withdrawn != nil {
		return nil
	}
	amount, err := c.amount(ch)
	if err != nil {
		return err
	}
	if c.Fee != nil {
		if err := money.Check("fee", c.Fee); err != nil {
			return err
		}
	}
	left := ch.left()
	parts, err := money.SplitWithdrawal(ch.Amounts, left, amount)
	if err != nil {
		return err
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
		OrderId: d.nextOrder(), DisputeId: c.DisputeID, ParentOrderId: ch.OrderID, OriginalOrderId: d.FirstOrder,
		PayNumber: ch.Number, Amounts: parts, Fee: c.Fee, Reason: c.Reason, OverReturned: amount.MinorUnits > left.Full.MinorUnits,
		ConnectionId: ch.Connection, Policy: c.policy(), Excess: excess(amount, left.Full),
	}}})
	lost := known.Closed && known.Outcome == ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST // told in another order
	if (c.policy() == cancels || c.policy() == holds && lost) && !d.Ended() {
		d.cancel(ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK)
	}
	return nil
}

// Short names for the policies.
const (
	cancels = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL
	holds   = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD
)

func (c Chargeback) policy() ledgerv1.ChargebackPolicy {
	if p := c.Policies.GetChargeback(); p != ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_UNSPECIFIED {
		return p
	}
	return cancels
}

// Held reports whether nothing is charged because disputed funds were withdrawn and the dispute is open.
func (s State) Held() bool {
	return slices.ContainsFunc(s.Disputes, func(d *Dispute) bool { return d.Policy == holds && d.Withdrawn != nil && !d.Closed })
}

func (d *decision) reinstate(known *Dispute, ch *Charge) error {
	if known.Withdrawn == nil {
		return aggregate.Refuse("DISPUTE_NOT_WITHDRAWN", "no funds were withdrawn that could come back")
	}
	if known.Reinstated {
		return nil
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsReinstated{DisputeFundsReinstated: &ledgerv1.DisputeFundsReinstated{
		OrderId: d.nextOrder(), DisputeId: known.ID, ParentOrderId: known.Parent, OriginalOrderId: d.FirstOrder,
		PayNumber: known.Number, Amounts: known.Withdrawn, ConnectionId: ch.Connection, Excess: known.Excess,
	}}})
	return nil
}

// close ends a dispute, also one that was not heard of before: messages may come in any order.
func (d *decision) close(c Chargeback, known *Dispute, ch *Charge) error {
	if known.Closed {
		return nil
	}
	if c.Outcome == ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_UNSPECIFIED {
		return aggregate.InvalidField("outcome", "DISPUTE_OUTCOME_REQUIRED", "say how the dispute ended")
	}
	e := &ledgerv1.DisputeClosed{DisputeId: c.DisputeID, ParentOrderId: ch.OrderID, Outcome: c.Outcome}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeClosed{DisputeClosed: e}})
	e.NextAttemptAt = stamp(d.NextAttempt)
	if lost := c.Outcome == ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST; lost && known.Policy == holds && !d.Ended() {
		d.cancel(ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK)
	}
	return nil
}

func (s State) disputeOpened(e *ledgerv1.DisputeOpened) State {
	if i := s.dispute(e.DisputeId); i >= 0 {
		s.Disputes = replaced(s.Disputes, i, func(d *Dispute) { d.Inquiry, d.Amount = e.Inquiry, e.Amount })
		return s
	}
	return s.disputed(Dispute{ID: e.DisputeId, Parent: e.ParentOrderId, Amount: e.Amount, Inquiry: e.Inquiry})
}

// disputed notes a dispute that was not known.
func (s State) disputed(d Dispute) State {
	if ch, ok := s.FindCharge(d.Parent); ok {
		d.Number = ch.Number
	}
	s.Disputes = added(s.Disputes, d)
	return s
}

func (s State) disputeFundsWithdrawn(m *ledgerv1.Metadata, e *ledgerv1.DisputeFundsWithdrawn) State {
	s = s.ordered(e.OrderId)
	if s.dispute(e.DisputeId) < 0 {
		s = s.disputed(Dispute{ID: e.DisputeId, Parent: e.ParentOrderId, Amount: e.Amounts.Full})
	}
	s.Disputes = replaced(s.Disputes, s.dispute(e.DisputeId), func(d *Dispute) {
		d.Withdrawn, d.Inquiry, d.Policy, d.Excess = e.Amounts, false, e.Policy, e.Excess
	})
	s.Charges = replaced(s.Charges, s.charge(e.ParentOrderId), func(c *Charge) {
		c.ChargedBack = money.AddAmounts(c.ChargedBack, e.Amounts)
	})
	return s.refundsWithdrawn(instant(m.RecordedAt), e.ParentOrderId) // what the bank took back is not sent back too
}

func (s State) disputeFundsReinstated(e *ledgerv1.DisputeFundsReinstated) State {
	s = s.ordered(e.OrderId)
	s.Disputes = replaced(s.Disputes, s.dispute(e.DisputeId), func(d *Dispute) { d.Reinstated = true })
	s.Charges = replaced(s.Charges, s.charge(e.ParentOrderId), func(c *Charge) {
		c.ChargedBack = money.SubAmounts(c.ChargedBack, e.Amounts)
	})
	return s
}

func (s State) disputeClosed(m *ledgerv1.Metadata, e *ledgerv1.DisputeClosed) State {
	held := s.Held()
	if s.dispute(e.DisputeId) < 0 {
		s = s.disputed(Dispute{ID: e.DisputeId, Parent: e.ParentOrderId})
	}
	s.Disputes = replaced(s.Disputes, s.dispute(e.DisputeId), func(d *Dispute) { d.Closed, d.Outcome = true, e.Outcome })
	if held && !s.Held() && s.life() == PastDue && !s.Stopped && s.NextAttempt.IsZero() {
		s.NextAttempt = s.nextAttempt(toldOr(e.NextAttemptAt, m.RecordedAt)) // its days passed while it was held
	}
	return s
}
