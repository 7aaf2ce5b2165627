// Package journal says what an event does to the merchant's books: which accounts it debits and which it credits.
//
// The books are kept on a cash basis: money counts once a gateway has moved it, so intents, doubts, declines and
// cancellations post nothing. Each book has one currency, the one in which the buyer was charged; what a gateway
// settles in another one (PaymentSucceeded.settled) stays out, and a fee stands in the book of its own currency.
//
// An event makes at most one entry, whose id is the event's, and the entry's debits equal its credits in each
// currency. Which events there are is the subscription's to say, and keeping entries the projection's; nothing here
// is ever stored, so the journal is as true as the log.
package journal

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

// Entry gives the postings of an event, none if it moves no money. The gateway is that of the connection which the
// event names; one that names none, as events once did, went through first, the subscription's first connection.
// known is false for a kind of event that nobody has thought of here.
func Entry(e *ledgerv1.Event, first string) (postings []*ledgerv1.Posting, known bool) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentSucceeded:
		return payment(k.PaymentSucceeded, first), true
	case *ledgerv1.Event_LateChargeObserved:
		return payment(k.LateChargeObserved, first), true
	case *ledgerv1.Event_PaymentObserved:
		return payment(k.PaymentObserved, first), true
	case *ledgerv1.Event_RefundSucceeded:
		return refund(k.RefundSucceeded, first, forth), true
	case *ledgerv1.Event_RefundObserved:
		return refund(k.RefundObserved, first, forth), true
	case *ledgerv1.Event_RefundReversed:
		return refund(k.RefundReversed, first, back), true
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		w := k.DisputeFundsWithdrawn
		return withdrawal(w, w.GetFee(), first, forth), true
	case *ledgerv1.Event_DisputeFundsReinstated:
		// The gateway keeps its fee for a dispute that was won, too.
		return withdrawal(k.DisputeFundsReinstated, nil, first, back), true
	case *ledgerv1.Event_AmountMismatchObserved:
		m := k.AmountMismatchObserved
		return suspense(m, m.GetCharged(), m.GetFee(), first, forth), true
	case *ledgerv1.Event_MismatchResolved:
		m := k.MismatchResolved
		return suspense(m, m.GetAmount(), nil, first, back), true
	case *ledgerv1.Event_DuplicateChargeObserved:
		d := k.DuplicateChargeObserved
		return suspense(d, d.GetAmount(), d.GetFee(), first, forth), true
	case *ledgerv1.Event_DuplicateChargeReturned:
		d := k.DuplicateChargeReturned
		return suspense(d, d.GetAmount(), nil, first, back), true
	}
	return nil, Silent(e)
}

// direction is which way an entry goes: forth, or back as the exact reverse of another one.
type direction int64

const (
	forth direction = +1
	back  direction = -1
)

// entry collects the lines of one entry.
type entry struct {
	connection string
	order      int64 // 0 if it belongs to none
	direction  direction
	lines      []*ledgerv1.Posting
}

// moved is what every event that moves money tells.
type moved interface{ GetConnectionId() string }

func newEntry(m moved, first string, d direction) *entry {
	connection := m.GetConnectionId()
	if connection == "" {
		connection = first
	}
	return &entry{connection: connection, direction: d}
}

// debit adds a line; an amount below zero is a credit. A line of nothing is left out.
func (n *entry) debit(account, currency string, minor int64) {
	p := &ledgerv1.Posting{Account: account, OrderId: n.order}
	switch minor *= int64(n.direction); {
	case minor > 0:
		p.Debit = money.New(currency, minor)
	case minor < 0:
		p.Credit = money.New(currency, -minor)
	default:
		return
	}
	n.lines = append(n.lines, p)
}

func (n *entry) credit(account, currency string, minor int64) { n.debit(account, currency, -minor) }

// fee adds what the gateway kept for itself.
func (n *entry) fee(m *ledgerv1.Money) {
	n.debit(GatewayFees, m.GetCurrencyCode(), m.GetMinorUnits())
	n.credit(Gateway(n.connection), m.GetCurrencyCode(), m.GetMinorUnits())
}

// paid is a payment: in time, late, or observed.
type paid interface {
	moved
	GetOrderId() int64
	GetAmounts() *ledgerv1.Amounts
	GetFee() *ledgerv1.Money
}

func payment(p paid, first string) []*ledgerv1.Posting {
	n := newEntry(p, first, forth)
	n.order = p.GetOrderId()
	// What was given away was not sold: of a payment of nothing, not even the discount is posted.
	if a := p.GetAmounts(); !money.IsZero(a.GetFull()) {
		code := a.GetFull().GetCurrencyCode()
		n.debit(Gateway(n.connection), code, a.GetFull().GetMinorUnits())
		n.debit(Discounts, code, a.GetDiscount().GetMinorUnits())
		n.credit(Sales, code, a.GetBase().GetMinorUnits())
		n.credit(Shipping, code, a.GetShipping().GetMinorUnits())
		n.credit(TaxPayable, code, a.GetTax().GetMinorUnits())
	}
	n.fee(p.GetFee())
	return n.lines
}

// returned is money that goes back to the buyer, or came back from there.
type returned interface {
	moved
	GetOrderId() int64
	GetAmounts() *ledgerv1.Amounts
	GetExcess() *ledgerv1.Money
}

// refund undoes the parts of a sale. What exceeds the payment undoes nothing that was sold, and is lost: it is taken
// out of the parts in proportion, by largest remainder over base less discount, shipping and tax in this order.
func refund(r returned, first string, d direction) []*ledgerv1.Posting {
	n := newEntry(r, first, d)
	n.order = r.GetOrderId()
	a := money.Splittable(r.GetAmounts())
	code, full := a.GetFull().GetCurrencyCode(), a.GetFull().GetMinorUnits()
	net := a.GetBase().GetMinorUnits() - a.GetDiscount().GetMinorUnits()
	shipping, tax := a.GetShipping().GetMinorUnits(), a.GetTax().GetMinorUnits()
	excess := money.Prorate(lost(r), net, shipping, tax)
	n.debit(Refunds, code, net-excess[0])
	n.debit(Shipping, code, shipping-excess[1])
	n.debit(TaxPayable, code, tax-excess[2])
	n.debit(Losses, code, lost(r))
	n.credit(Gateway(n.connection), code, full)
	return n.lines
}

// withdrawal is a bank's: it asks for no parts, and so the books keep none.
func withdrawal(r returned, fee *ledgerv1.Money, first string, d direction) []*ledgerv1.Posting {
	n := newEntry(r, first, d)
	n.order = r.GetOrderId()
	code, full := r.GetAmounts().GetFull().GetCurrencyCode(), r.GetAmounts().GetFull().GetMinorUnits()
	n.debit(Chargebacks, code, full-lost(r))
	n.debit(Losses, code, lost(r))
	n.credit(Gateway(n.connection), code, full)
	n.fee(fee)
	return n.lines
}

// lost is what exceeds the payment: never more than what went back.
func lost(r returned) int64 {
	return max(0, min(r.GetExcess().GetMinorUnits(), r.GetAmounts().GetFull().GetMinorUnits()))
}

// suspense keeps money that pays nothing, until it goes back. It belongs to no order.
func suspense(m moved, amount, fee *ledgerv1.Money, first string, d direction) []*ledgerv1.Posting {
	n := newEntry(m, first, d)
	n.debit(Gateway(n.connection), amount.GetCurrencyCode(), amount.GetMinorUnits())
	n.credit(Suspense(n.connection), amount.GetCurrencyCode(), amount.GetMinorUnits())
	n.fee(fee)
	return n.lines
}
