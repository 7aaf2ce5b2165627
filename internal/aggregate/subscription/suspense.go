package subscription

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Money that moved and pays nothing: a charge of another amount, and a second capture for a number that is paid.

func (s State) amountMismatchObserved(e *ledgerv1.AmountMismatchObserved) State {
	s.Mismatch = true
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
		a.Status, a.Reference, a.Captured = AttemptMismatched, e.Reference, e.Charged
	})
	return s
}

func (s State) duplicateChargeObserved(e *ledgerv1.DuplicateChargeObserved) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
		a.Status, a.Reference, a.RefundKey, a.Captured = AttemptDuplicate, e.Reference, e.RefundKey, e.Amount
	})
	return s
}

// ReturnDuplicate reports that a second capture went back to the buyer.
type ReturnDuplicate struct {
	Now             time.Time
	Number, Attempt uint32
	Reference       string
}

// Decide implements aggregate.Command.
func (c ReturnDuplicate) Decide(s State) ([]*ledgerv1.Event, error) {
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok || a.Status != AttemptDuplicate {
		return nil, attemptUnknown()
	}
	if a.Returned {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeReturned{DuplicateChargeReturned: &ledgerv1.DuplicateChargeReturned{
		PayNumber: a.Number, Attempt: a.Attempt, RefundReference: c.Reference, Amount: a.Captured, ConnectionId: a.Connection,
	}}})
	return d.done()
}

func (s State) duplicateChargeReturned(e *ledgerv1.DuplicateChargeReturned) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) { a.Returned = true })
	return s
}

// ResolveMismatch reports that a charge of another amount went back to the buyer. The number can be charged again; a
// first payment has failed.
type ResolveMismatch struct {
	Now             time.Time
	Number, Attempt uint32
	Reference       string // the gateway's id of the return
}

// Decide implements aggregate.Command.
func (c ResolveMismatch) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if c.Reference == "" {
		return nil, referenceRequired()
	}
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok || a.Status != AttemptMismatched || a.Returned {
		return nil, aggregate.Refuse("MISMATCH_NOT_OPEN", "no charge of another amount is open for attempt %d of pay number %d", c.Attempt, c.Number)
	}
	d := s.decide(c.Now, time.Time{})
	e := &ledgerv1.MismatchResolved{
		PayNumber: a.Number, Attempt: a.Attempt, Reference: c.Reference, Amount: a.Captured, ConnectionId: a.Connection,
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: e}})
	e.NextAttemptAt = stamp(d.NextAttempt)
	return d.done()
}

func referenceRequired() error {
	return aggregate.InvalidField("reference", "REFERENCE_REQUIRED", "give the gateway's id of it")
}

func (s State) mismatchResolved(m *ledgerv1.Metadata, e *ledgerv1.MismatchResolved) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) { a.Returned = true })
	s.Mismatch = slices.ContainsFunc(s.Attempts, func(a *Attempt) bool { return a.Status == AttemptMismatched && !a.Returned })
	return s.notPaid(toldOr(e.NextAttemptAt, m.RecordedAt), e.PayNumber)
}
