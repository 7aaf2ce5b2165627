package subscription

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// What a gateway did without being asked: a payment of a schedule that it runs, a refund that was made at its desk.

// ObservePayment reports a payment that the gateway took by itself. One that is known changes nothing.
type ObservePayment struct {
	Now, At      time.Time // At: the gateway's time of it; zero if it names none
	Reference    string    // the gateway's id of the charge
	Amounts      *ledgerv1.Amounts
	Amount       *ledgerv1.Money // instead of Amounts, where the parts are not told
	Fee, Settled *ledgerv1.Money
	Method       *ledgerv1.PaymentMethod
	Connection   string // the account it went through; empty for the one in use
}

// Decide implements aggregate.Command.
func (c ObservePayment) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if c.Reference == "" {
		return nil, referenceRequired()
	}
	if !s.ByGateway() {
		return nil, aggregate.Refuse("LEDGER_SCHEDULE", "the ledger charges this subscription; a payment that it did not ask for pays nothing")
	}
	if slices.ContainsFunc(s.Charges, func(ch *Charge) bool { return ch.Reference == c.Reference }) {
		return nil, nil
	}
	parts, err := c.parts(s)
	if err != nil {
		return nil, err
	}
	for _, m := range []struct {
		name  string
		money *ledgerv1.Money
	}{{"fee", c.Fee}, {"settled", c.Settled}} {
		if m.money == nil {
			continue
		}
		if err := money.Check(m.name, m.money); err != nil {
			return nil, err
		}
	}
	d := s.decide(c.Now, c.At)
	d.observe(c, parts)
	return d.done()
}

// parts are what the payment consists of: what is told, else what was agreed, else all base.
func (c ObservePayment) parts(s State) (*ledgerv1.Amounts, error) {
	agreed := s.amounts(s.Paid + 1)
	parts := c.Amounts
	if parts == nil {
		parts = &ledgerv1.Amounts{Base: c.Amount}
		if c.Amount.GetMinorUnits() == agreed.Full.MinorUnits && c.Amount.GetCurrencyCode() == agreed.Full.CurrencyCode {
			parts = agreed
		}
	}
	parts, err := money.NormalizeAmounts("amounts", parts)
	switch {
	case err != nil:
		return nil, err
	case parts.Full.CurrencyCode != agreed.Full.CurrencyCode:
		return nil, aggregate.InvalidField("amounts", "CURRENCY_MISMATCH", "the subscription is in %s", agreed.Full.CurrencyCode)
	case parts.Full.MinorUnits == 0:
		return nil, aggregate.InvalidField("amounts", "AMOUNT_RANGE", "a payment moves something")
	}
	return parts, nil
}

func (d *decision) observe(c ObservePayment, parts *ledgerv1.Amounts) {
	number := d.Paid + 1
	// The gateway's schedule goes on from the payment, however late it is heard of.
	p := d.planAfter(number, d.NextDue, d.at, d.at)
	ended := d.Ended()
	through := p.next
	if ended {
		p = plan{}
	}
	connection := c.Connection
	if connection == "" {
		connection = d.Connection.ID
	}
	method := c.Method
	if method == nil {
		method = d.Method
	}
	id := d.nextOrder()
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
		OrderId: id, PayNumber: number, Amounts: parts, Reference: c.Reference, Fee: c.Fee, Settled: c.Settled, Method: method,
		OriginalOrderId: d.original(id), PaymentsLeft: paymentsLeft(d.Terms(), number),
		NextDue: stamp(p.next), PaidThrough: stamp(through), ConnectionId: connection, Ended: ended,
	}}})
	p.skipped = 0 // what the gateway left out is the gateway's
	d.proceed(p)
}

func (s State) paymentObserved(m *ledgerv1.Metadata, e *ledgerv1.PaymentObserved) State {
	s = s.ordered(e.OrderId)
	s = s.captured(instant(m.OccurredAt), Charge{OrderID: e.OrderId, Number: e.PayNumber, Amounts: e.Amounts,
		Reference: e.Reference, Connection: e.ConnectionId}, e.Method)
	if s.Ended() {
		return s.paidAfterTheEnd(e.PayNumber, instant(e.PaidThrough))
	}
	return s.movedOn(instant(m.RecordedAt), e.PayNumber, instant(e.NextDue), instant(e.PaidThrough))
}

// ObserveRefund reports a refund that was made at the gateway without the ledger. One that is known changes nothing.
type ObserveRefund struct {
	Now, At   time.Time
	OrderID   int64
	Reference string          // the gateway's id of the refund
	Amount    *ledgerv1.Money // nil for all that is left
	Reason    string
}

// Decide implements aggregate.Command.
func (c ObserveRefund) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if c.Reference == "" {
		return nil, referenceRequired()
	}
	if slices.ContainsFunc(s.Refunds, func(r *RefundRecord) bool { return r.Reference == c.Reference }) {
		return nil, nil
	}
	ch, err := Refund{OrderID: c.OrderID}.find(s)
	if err != nil {
		return nil, err
	}
	left := ch.left()
	amount := c.Amount
	if amount == nil {
		amount = left.Full
	}
	if amount.MinorUnits <= 0 {
		return nil, aggregate.InvalidField("amount", "AMOUNT_RANGE", "a refund returns something")
	}
	// Nobody was asked, so that it is more than was left does not make it untrue.
	parts, err := money.SplitWithdrawal(ch.Amounts, left, amount)
	if err != nil {
		return nil, err
	}
	st := s.Started
	d := s.decide(c.Now, c.At)
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
		OrderId: d.nextOrder(), RefundId: "ro_" + key("refund", st.MerchantId, st.SubscriptionId, ch.Connection, c.Reference)[:20],
		ParentOrderId: ch.OrderID, OriginalOrderId: s.FirstOrder, PayNumber: ch.Number, Amounts: parts, Reference: c.Reference,
		Full: amount.MinorUnits >= left.Full.MinorUnits, OverReturned: amount.MinorUnits > left.Full.MinorUnits,
		Reason: c.Reason, ConnectionId: ch.Connection, Excess: excess(amount, left.Full),
	}}})
	return d.done()
}

func (s State) refundObserved(m *ledgerv1.Metadata, e *ledgerv1.RefundObserved) State {
	s = s.ordered(e.OrderId)
	s.Refunds = added(s.Refunds, RefundRecord{
		ID: e.RefundId, Parent: e.ParentOrderId, Number: e.PayNumber, Amounts: e.Amounts, Connection: e.ConnectionId,
		Status: RefundSucceeded, RequestedAt: instant(m.RecordedAt), Reference: e.Reference, OrderID: e.OrderId, Excess: e.Excess,
	})
	return s.returned(instant(m.RecordedAt), e.ParentOrderId, e.Amounts)
}
