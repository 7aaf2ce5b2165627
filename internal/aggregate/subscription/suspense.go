package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
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
		PayNumber: a.Number, Attempt: a.Attempt, RefundReference: c.Reference, Amount: a.Captured,
	}}})
	return d.done()
}

func (s State) duplicateChargeReturned(e *ledgerv1.DuplicateChargeReturned) State {
	s = s.withAttempt(s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) { a.Returned = true })
	return s
}
