package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/calendar"
)

// Pause stops charging and dunning. What was sent already is still settled.
type Pause struct {
	Now    time.Time
	Reason string
}

// Decide implements aggregate.Command.
func (c Pause) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	switch {
	case s.ByGateway():
		return nil, byGateway()
	case s.Status != Trialing && s.Status != Active && s.Status != PastDue:
		return nil, stateInvalid(s)
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{Reason: c.Reason}}})
	return d.done()
}

func (s State) paused(m *ledgerv1.Metadata) State {
	s.Resumes, s.Status = s.Status, Paused
	s.NextAttempt = time.Time{}
	now := instant(m.RecordedAt)
	for i := s.Closed; i < len(s.Attempts); i++ {
		if s.Attempts[i].Status == AttemptRequested {
			s = s.withAttempt(i, func(a *Attempt) { a.withdraw(now) })
		}
	}
	return s
}

// Resume ends a pause. A past-due number is charged at once. A due instant that passed meanwhile is skipped: it was
// not the buyer's fault that nothing was charged.
type Resume struct {
	Now time.Time
	Circumstances
}

// Decide implements aggregate.Command.
func (c Resume) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if s.Status != Paused {
		return nil, stateInvalid(s)
	}
	d := s.decide(c.Now, time.Time{})
	p := s.planResumed(d.now)
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionResumed{SubscriptionResumed: &ledgerv1.SubscriptionResumed{
		NextDue: stamp(p.next), NextAttemptAt: stamp(s.attemptResumed(d.now, p.next)),
	}}})
	if p.skipped > 0 {
		d.skip(p)
	}
	if d.Status == PastDue && !d.Stopped && !d.resting(d.now) && d.chargeable(c.Circumstances) {
		d.request(d.asked(), c.Circumstances)
	}
	return d.done()
}

// planResumed says when the open number is due after a pause.
func (s State) planResumed(now time.Time) plan {
	t := s.Terms()
	_, trying := s.trying()
	switch {
	case s.Resumes == PastDue || trying || s.NextDue.After(now):
		return plan{next: s.NextDue}
	case t.GetKind() == OneTime:
		return plan{next: now}
	}
	from, first := calendar.FirstAfter(s.Anchor, t.Period, s.NextDue.Add(-time.Nanosecond))
	k, next := calendar.FirstAfter(s.Anchor, t.Period, now)
	return plan{next: next, skipped: k - from, first: first, last: calendar.Due(s.Anchor, t.Period, k-1)}
}

// attemptResumed is when the open number is charged after a pause.
func (s State) attemptResumed(now, due time.Time) time.Time {
	if s.Resumes != PastDue {
		return due
	}
	if s.Stopped {
		return time.Time{} // this method must not be tried again, pause or not
	}
	return s.putOff(now, nil)
}

func (s State) resumed(e *ledgerv1.SubscriptionResumed) State {
	s.Status, s.Resumes = s.Resumes, unspecified
	due := s.NextDue
	s.NextDue, s.NextAttempt = instant(e.NextDue), instant(e.NextAttemptAt)
	if s.NextDue.Equal(due) {
		return s // the pause changed nothing, nor when the cycle begins
	}
	return s.cycleBegins(s.NextDue)
}

// Reschedule moves the next due instant, and the ones after it unless KeepAnchor is set. In a trial it moves the
// trial's end.
type Reschedule struct {
	Now, Due   time.Time
	KeepAnchor bool
}

// maxAhead is how far ahead a payment can be put.
const maxAhead = 10 * 366 * day

// Decide implements aggregate.Command.
func (c Reschedule) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	due := c.Due.UTC().Truncate(time.Microsecond)
	_, trying := s.trying()
	switch {
	case s.ByGateway():
		return nil, byGateway()
	case s.life() != Trialing && s.life() != Active:
		return nil, stateInvalid(s)
	case s.endsBy(c.Now):
		return nil, endsNow(s)
	case trying:
		return nil, aggregate.Refuse("PAYMENT_IN_PROGRESS", "an attempt is under way")
	case c.Due.IsZero() || !due.After(c.Now) || due.After(c.Now.Add(maxAhead)):
		return nil, aggregate.InvalidField("next_due_at", "DUE_RANGE", "an instant in the future, at most ten years ahead")
	case due.Equal(s.NextDue) && (c.KeepAnchor || due.Equal(s.Anchor)):
		return nil, aggregate.Refuse("UNCHANGED", "it is due then already")
	}
	e := &ledgerv1.PaymentRescheduled{NextDue: stamp(due), PreviousDue: stamp(s.NextDue)}
	if !c.KeepAnchor {
		e.Anchor = stamp(due)
	}
	if !s.CancelAt.IsZero() {
		e.CancelAt = stamp(due)
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: e}})
	return d.done()
}

func (s State) paymentRescheduled(e *ledgerv1.PaymentRescheduled) State {
	due, before := instant(e.NextDue), instant(e.PreviousDue)
	s.NextDue, s.NextAttempt, s.PaidThrough = due, s.nextAttempt(due), due
	if e.CancelAt != nil {
		s.CancelAt = instant(e.CancelAt)
	}
	if e.Anchor == nil {
		if s.Slot.IsZero() {
			s.Slot = before
		}
		return s
	}
	s.Anchor, s.Slot = instant(e.Anchor), time.Time{}
	return s.cycleBegins(due)
}
