package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// What a gateway leaves open: an attempt that it will decide later, one that nobody knows about, and the proof that
// ends it without a charge.

// pendingFor is how long a first payment, or one that waits for its buyer, may stay pending at a gateway that names no end
// of its own.
const pendingFor = 72 * time.Hour

// PendPayment reports that the gateway will decide later.
type PendPayment struct {
	Now             time.Time
	Number, Attempt uint32
	Reference       string
	NextAction      *ledgerv1.NextAction
	ExpiresAt       time.Time // zero if the gateway names no end
}

// Decide implements aggregate.Command.
func (c PendPayment) Decide(s State) ([]*ledgerv1.Event, error) {
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok {
		return nil, attemptUnknown()
	}
	if !a.Open() || a.Status == AttemptPending {
		return nil, nil
	}
	expires := c.ExpiresAt
	if expires.IsZero() && (s.Status == Pending || c.NextAction != nil) {
		expires = c.Now.Add(pendingFor)
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentPending{PaymentPending: &ledgerv1.PaymentPending{
		PayNumber: c.Number, Attempt: c.Attempt, Reference: c.Reference, NextAction: c.NextAction, ExpiresAt: stamp(expires),
	}}})
	return d.done()
}

func (s State) paymentPending(m *ledgerv1.Metadata, e *ledgerv1.PaymentPending) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
		a.Status = AttemptPending
		a.Reference, a.NextAction, a.ExpiresAt = e.Reference, e.NextAction, instant(e.ExpiresAt)
		a.doubt(instant(m.RecordedAt), a.RequestedAt)
	})
	return s
}

// doubt notes when looking up began, and when the attempt may have gone out, if neither is known yet.
func (a *Attempt) doubt(from, sent time.Time) {
	if a.DoubtfulFrom.IsZero() {
		a.DoubtfulFrom = from
	}
	if a.SentAt.IsZero() {
		a.SentAt = sent
	}
}

// DoubtPayment reports that nobody knows whether an attempt charged.
type DoubtPayment struct {
	Now, SentAt     time.Time
	Number, Attempt uint32
	Why             string
}

// Decide implements aggregate.Command.
func (c DoubtPayment) Decide(s State) ([]*ledgerv1.Event, error) {
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok {
		return nil, attemptUnknown()
	}
	if a.Status != AttemptRequested {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentUnknown{PaymentUnknown: &ledgerv1.PaymentUnknown{
		PayNumber: c.Number, Attempt: c.Attempt, Why: c.Why, SentAt: stamp(c.SentAt),
	}}})
	return d.done()
}

func (s State) paymentUnknown(m *ledgerv1.Metadata, e *ledgerv1.PaymentUnknown) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
		a.Status = AttemptUnknown
		a.Why = e.Why
		a.doubt(instant(m.RecordedAt), instant(e.SentAt))
	})
	return s
}

// ClearPayment reports proof that an attempt did not charge, or that it ran out.
type ClearPayment struct {
	Now             time.Time
	Number, Attempt uint32
	Proof           string // see PaymentNotCharged
}

// Decide implements aggregate.Command.
func (c ClearPayment) Decide(s State) ([]*ledgerv1.Event, error) {
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok {
		return nil, attemptUnknown()
	}
	if !a.Open() {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.clear(a, c.Proof)
	return d.done()
}

func (d *decision) clear(a *Attempt, proof string) {
	e := &ledgerv1.PaymentNotCharged{PayNumber: a.Number, Attempt: a.Attempt, Proof: proof}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: e}})
	e.NextAttemptAt = stamp(d.NextAttempt)
}

func (s State) paymentNotCharged(m *ledgerv1.Metadata, e *ledgerv1.PaymentNotCharged) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) { a.Status = AttemptNotCharged })
	if a, ok := s.FindAttempt(e.PayNumber, e.Attempt); ok && e.Proof == agreementGone {
		s = s.withBefore(a, func(w *Way) { w.Lost = true })
	}
	return s.notPaid(toldOr(e.NextAttemptAt, m.RecordedAt), e.PayNumber)
}

// notPaid goes on after an attempt surely paid nothing: its number is tried again at once. A first payment fails.
func (s State) notPaid(now time.Time, number uint32) State {
	switch {
	case s.Status == Pending:
		s.Status = Failed // absence allows no second first payment
	case !s.Ended() && number > s.Paid && !s.Stopped:
		s.NextAttempt = s.nextAttempt(now)
		if s.NextDue.After(now) {
			s.NextAttempt = s.nextAttempt(s.NextDue) // it was rescheduled meanwhile
		}
	}
	return s
}
