package subscription

import (
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// SettlePayment reports that the money of an attempt moved.
type SettlePayment struct {
	Now, At         time.Time // At: the gateway's time of it; zero if it names none
	Number, Attempt uint32
	Reference       string
	Amount          *ledgerv1.Money
	Fee, Settled    *ledgerv1.Money
	Method          *ledgerv1.PaymentMethod
	Circumstances
}

// Decide implements aggregate.Command.
func (c SettlePayment) Decide(s State) ([]*ledgerv1.Event, error) {
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok {
		return nil, attemptUnknown()
	}
	if !a.Open() && a.Status != AttemptDeclined && a.Status != AttemptNotCharged {
		return nil, nil
	}
	d := s.decide(c.Now, c.At)
	switch {
	case !proto.Equal(c.Amount, a.Amounts.Full):
		d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
			PayNumber: a.Number, Attempt: a.Attempt, Reference: c.Reference, Expected: a.Amounts.Full, Charged: c.Amount,
			ConnectionId: a.Connection, Fee: c.Fee,
		}}})
	case a.Number <= s.Paid:
		st := s.Started
		d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{
			PayNumber: a.Number, Attempt: a.Attempt, Reference: c.Reference, Amount: c.Amount, Fee: c.Fee, ConnectionId: a.Connection,
			RefundKey: key("return", st.MerchantId, st.SubscriptionId, a.Number, a.Attempt),
		}}})
	case s.Ended() || a.Status == AttemptDeclined:
		d.succeedLate(a, c)
	default:
		d.succeed(a, c)
	}
	return d.done()
}

func attemptUnknown() error {
	return &aggregate.Error{Kind: aggregate.NotFound, Reason: "ATTEMPT_UNKNOWN", Message: "there is no such attempt"}
}

// succeed pays the open number.
func (d *decision) succeed(a *Attempt, c SettlePayment) {
	p := d.planAfter(a.Number, a.Due, d.at, d.now)
	id := d.nextOrder()
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
		OrderId: id, PayNumber: a.Number, Attempt: a.Attempt, Reattempt: a.Reattempt, Amounts: a.Amounts,
		Reference: c.Reference, Fee: c.Fee, Settled: c.Settled, Method: d.methodUsed(a, c.Method),
		OriginalOrderId: d.original(id), PaymentsLeft: paymentsLeft(d.Terms(), a.Number),
		NextDue: stamp(p.next), PaidThrough: stamp(p.next), ConnectionId: a.Connection,
		ReinstatesMethod: a.Replacement > d.Replacement,
	}}})
	d.proceed(p)
}

// succeedLate records a charge that turned up after its attempt was declined or the subscription had ended. A
// living subscription goes on from it; one that has ended is not revived.
func (d *decision) succeedLate(a *Attempt, c SettlePayment) {
	p := d.planAfter(a.Number, a.Due, d.at, d.now)
	through := p.next
	ended := d.Ended()
	if ended {
		p = plan{}
	}
	id := d.nextOrder()
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
		OrderId: id, PayNumber: a.Number, Attempt: a.Attempt, Reattempt: a.Reattempt, Amounts: a.Amounts,
		Reference: c.Reference, Fee: c.Fee, Settled: c.Settled, Method: d.methodUsed(a, c.Method),
		OriginalOrderId: d.original(id), PaymentsLeft: paymentsLeft(d.Terms(), a.Number),
		NextDue: stamp(p.next), PaidThrough: stamp(through), ConnectionId: a.Connection, Ended: ended,
		ReinstatesMethod: a.Replacement > d.Replacement,
	}}})
	if ended && c.Policies.GetLateCharge() == ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_REFUND {
		d.returnLate(id, a)
		return
	}
	d.proceed(p)
}

// returnLate asks for the whole of a late charge to go back: the merchant keeps nothing of what has ended.
func (d *decision) returnLate(order int64, a *Attempt) {
	ch, _ := d.FindCharge(order)
	if ch.Reference == "" || ch.Amounts.Full.MinorUnits == 0 || d.ordersExhausted() {
		return
	}
	st := d.Started
	d.refund(ch, "rf_"+key("late", st.MerchantId, st.SubscriptionId, a.Number, a.Attempt)[:20], ch.Amounts, "late charge")
}

// proceed says what follows from a payment besides the payment itself.
func (d *decision) proceed(p plan) {
	if d.Ended() {
		return
	}
	if p.next.IsZero() {
		d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCompleted{SubscriptionCompleted: &ledgerv1.SubscriptionCompleted{Payments: d.Paid}}})
		return
	}
	if p.skipped > 0 {
		d.skip(p)
	}
}

// skip says that due instants passed unused.
func (d *decision) skip(p plan) {
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PeriodsSkipped{PeriodsSkipped: &ledgerv1.PeriodsSkipped{
		Count: uint32(p.skipped), First: stamp(p.first), Last: stamp(p.last), NextDue: stamp(p.next),
	}}})
}

// original is the subscription's first order, which may be the one that is being made.
func (d *decision) original(id int64) int64 {
	if d.FirstOrder != 0 {
		return d.FirstOrder
	}
	return id
}

// methodUsed is what the gateway says it charged, else what the attempt named.
func (d *decision) methodUsed(a *Attempt, said *ledgerv1.PaymentMethod) *ledgerv1.PaymentMethod {
	if said != nil {
		return said
	}
	return a.Method
}

func (s State) paymentSucceeded(m *ledgerv1.Metadata, e *ledgerv1.PaymentSucceeded) State {
	s = s.ordered(e.OrderId)
	s = s.captured(instant(m.OccurredAt), Charge{OrderID: e.OrderId, Number: e.PayNumber, Attempt: e.Attempt,
		Amounts: e.Amounts, Reference: e.Reference, Connection: e.ConnectionId}, e.Method)
	return s.movedOn(instant(m.RecordedAt), e.PayNumber, instant(e.NextDue), instant(e.PaidThrough))
}

func (s State) lateChargeObserved(m *ledgerv1.Metadata, e *ledgerv1.LateChargeObserved) State {
	s = s.ordered(e.OrderId)
	s = s.captured(instant(m.OccurredAt), Charge{OrderID: e.OrderId, Number: e.PayNumber, Attempt: e.Attempt,
		Amounts: e.Amounts, Reference: e.Reference, Connection: e.ConnectionId, Late: true}, e.Method)
	if s.Ended() {
		return s.paidAfterTheEnd(e.PayNumber, instant(e.PaidThrough))
	}
	return s.movedOn(instant(m.RecordedAt), e.PayNumber, instant(e.NextDue), instant(e.PaidThrough))
}

// paidAfterTheEnd notes a payment that revives nothing.
func (s State) paidAfterTheEnd(number uint32, through time.Time) State {
	s.Paid = max(s.Paid, number)
	s.PaidThrough = through
	return s
}

// captured notes the money of an attempt, or of a payment that nobody asked for.
func (s State) captured(at time.Time, c Charge, method *ledgerv1.PaymentMethod) State {
	i := s.attempt(c.Number, c.Attempt)
	if i >= 0 {
		c.Key = s.Attempts[i].Key
	}
	if c.Connection == "" {
		c.Connection = s.Started.GetConnectionId()
	}
	s = s.withAttempt(i, func(a *Attempt) {
		a.Status, a.OrderID, a.Reference, a.NextAction = AttemptSucceeded, c.OrderID, c.Reference, nil
	})
	c.At = at
	c.Refunded, c.ChargedBack = money.Zero(c.Amounts), money.Zero(c.Amounts)
	s.Charges = added(s.Charges, c)
	if s.StartedAt.IsZero() && s.Import == nil {
		s.StartedAt = at
		s.Anchor = firstAnchor(s.Terms(), at)
		s.CycleStart = s.Anchor
	}
	switch {
	case i >= 0 && s.Attempts[i].Replacement < s.Replacement:
		return s // the buyer has given another method since
	case i >= 0 && s.Attempts[i].Replacement > s.Replacement:
		// The gateway did not store it, and charged it all the same: it is what the buyer wants, and it works.
		s.Way = Way{Connection: s.known(s.Attempts[i].Connection), Replacement: s.Attempts[i].Replacement}
	}
	s.Before = nil
	if method != nil {
		s.Method, s.Token = method, ""
	}
	return s
}

// movedOn makes the number after a paid one the open one.
func (s State) movedOn(now time.Time, number uint32, next, through time.Time) State {
	t := s.Terms()
	if cycleEnds(t, number) {
		s.CycleStart = next
		if weekly(t.Period) {
			s.Anchor = next
		}
	}
	if regular(t, number) == 0 {
		s = s.inLife(Trialing)
	} else {
		s = s.inLife(Active)
	}
	s.Paid = number
	s.NextDue, s.NextAttempt, s.PaidThrough = next, s.nextAttempt(next), through
	s.FirstAttemptAt, s.DunningDays, s.Slot, s.Stopped = time.Time{}, nil, time.Time{}, false
	if s.Before != nil {
		before := *s.Before
		before.Stopped = false
		s.Before = &before
	}
	for i := s.Closed; i < len(s.Attempts); i++ {
		a := s.Attempts[i]
		if a.Open() && a.Number == number {
			s = s.withAttempt(i, func(a *Attempt) { a.withdraw(now) })
		}
	}
	return s
}

// nextAttempt is when the ledger charges what is to be charged at an instant; zero if the gateway does it, and in a
// pause.
func (s State) nextAttempt(due time.Time) time.Time {
	if s.ByGateway() || s.Status == Paused {
		return time.Time{}
	}
	return due
}

// withdraw forbids an open attempt to be sent; a look-up finds out whether it was.
func (a *Attempt) withdraw(now time.Time) {
	a.Withdrawn, a.WithdrawnAt = true, now
	a.doubt(now, a.RequestedAt)
}

func (s State) periodsSkipped(e *ledgerv1.PeriodsSkipped) State {
	s.NextDue = instant(e.NextDue)
	s.NextAttempt = s.nextAttempt(s.NextDue)
	return s
}
