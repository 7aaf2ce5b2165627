package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Cancel ends a subscription now, or at the next unpaid due instant. Cancelling what has ended changes nothing.
type Cancel struct {
	Now         time.Time
	Reason      ledgerv1.CancelReason
	AtPeriodEnd bool
}

// Decide implements aggregate.Command.
func (c Cancel) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if err := checkReason("reason", c.Reason); err != nil {
		return nil, err
	}
	if s.Status == Cancelled || s.Status == Failed {
		return nil, nil
	}
	if s.Status == Completed {
		return nil, stateInvalid(s)
	}
	d := s.decide(c.Now, time.Time{})
	if !c.AtPeriodEnd || !c.Now.Before(s.NextDue) || s.endsBy(c.Now) {
		d.cancel(c.Reason)
		return d.done()
	}
	if s.CancelAt.Equal(s.NextDue) {
		return nil, aggregate.Refuse("CANCELLATION_SCHEDULED", "it ends at %s already", s.CancelAt.Format(time.RFC3339))
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_CancellationScheduled{CancellationScheduled: &ledgerv1.CancellationScheduled{
		CancelAt: stamp(s.NextDue), Reason: c.Reason,
	}}})
	return d.done()
}

// checkReason accepts the reasons that a caller may have.
func checkReason(field string, r ledgerv1.CancelReason) error {
	switch r {
	case ledgerv1.CancelReason_CANCEL_REASON_BUYER, ledgerv1.CancelReason_CANCEL_REASON_MERCHANT, ledgerv1.CancelReason_CANCEL_REASON_FRAUD:
		return nil
	}
	return aggregate.InvalidField(field, "CANCEL_REASON_INVALID", "BUYER, MERCHANT or FRAUD")
}

// endsBy reports whether an end that was asked for has come, though no Wake has made it true yet.
func (s State) endsBy(now time.Time) bool { return !s.CancelAt.IsZero() && !now.Before(s.CancelAt) }

func endsNow(s State) error {
	return aggregate.Refuse("STATE_INVALID", "the subscription ends now").With("state", StateName(s.Status))
}

// WithdrawCancellation undoes a cancellation that was scheduled and has not taken effect.
type WithdrawCancellation struct{ Now time.Time }

// Decide implements aggregate.Command.
func (c WithdrawCancellation) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	switch {
	case s.Ended():
		return nil, stateInvalid(s)
	case s.CancelAt.IsZero():
		return nil, aggregate.Refuse("CANCELLATION_NOT_SCHEDULED", "no cancellation is scheduled")
	case s.endsBy(c.Now):
		return nil, endsNow(s)
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_CancellationWithdrawn{CancellationWithdrawn: &ledgerv1.CancellationWithdrawn{}}})
	return d.done()
}

// cancel ends the subscription. It makes an order, and is told, if anything was ever sold.
func (d *decision) cancel(reason ledgerv1.CancelReason) {
	var order int64
	if len(d.Charges) > 0 || d.Import != nil {
		order = d.nextOrder()
	}
	way := d.Way
	if way.Method == nil && d.Before != nil {
		way = *d.Before // what replaced it was never stored
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCancelled{SubscriptionCancelled: &ledgerv1.SubscriptionCancelled{
		OrderId: order, OriginalOrderId: d.original(order), Reason: reason, Method: way.Method, ConnectionId: way.Connection.ID,
	}}})
}

func (s State) cancellationScheduled(e *ledgerv1.CancellationScheduled) State {
	s.CancelAt, s.CancelReason = instant(e.CancelAt), e.Reason
	return s
}

func (s State) cancelled(m *ledgerv1.Metadata, e *ledgerv1.SubscriptionCancelled) State {
	s = s.ordered(e.OrderId)
	now := instant(m.RecordedAt)
	if s.Status == Pending {
		s.Status = Failed
	} else {
		s.Status = Cancelled
	}
	s.Resumes, s.CancelReason = unspecified, e.Reason
	s.CancelAt, s.NextAttempt, s.NextDue = time.Time{}, time.Time{}, time.Time{}
	for i := s.Closed; i < len(s.Attempts); i++ {
		a := s.Attempts[i]
		if a.Open() {
			s = s.withAttempt(i, func(a *Attempt) { a.withdraw(now) })
		}
	}
	return s
}

// LoseAgreement reports that the right to charge is gone: the buyer or the gateway ended it. Number and Attempt name
// the attempt that was told so, if one was.
type LoseAgreement struct {
	Now             time.Time
	Number, Attempt uint32
	Code, Message   string
}

// Decide implements aggregate.Command.
func (c LoseAgreement) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	d := s.decide(c.Now, time.Time{})
	a, told := s.FindAttempt(c.Number, c.Attempt)
	if told && a.Open() {
		d.clear(a, agreementGone)
	}
	if s.Ended() || told && a.Replacement != s.Replacement {
		return d.done() // nothing is charged by that agreement any more
	}
	d.loseAgreement(c.Code, c.Message)
	return d.done()
}

// agreementGone is the proof that an attempt charged nothing: the right to charge was gone.
const agreementGone = "agreement_lost"

func (d *decision) loseAgreement(code, message string) {
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: code, Message: message}}})
	if !d.Ended() {
		d.cancel(ledgerv1.CancelReason_CANCEL_REASON_AGREEMENT)
	}
}
