package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

const day = 24 * time.Hour

// defaultDunningDays are the days of the re-attempts where the merchant has no others, counted from the number's first
// attempt: Kartra's cycle of every three days, three times.
// Source: https://support.kartra.com/support/solutions/articles/153000170320-payment-failure-and-retry-cycle
func defaultDunningDays() []uint32 { return []uint32{3, 6, 9} }

// reattempts are the instants at which the open pay number is tried again, if it is not paid before. Its first attempt
// fixes them: what the merchant changes later holds for the numbers after it.
func (s State) reattempts() []time.Time {
	days := s.DunningDays
	if len(days) == 0 {
		days = defaultDunningDays()
	}
	at := make([]time.Time, len(days))
	for i, n := range days {
		at[i] = s.FirstAttemptAt.Add(time.Duration(n) * day)
	}
	return at
}

// newDunningDays are what a number's first attempt fixes; nil if it is none, or for the default.
func (d *decision) newDunningDays(c Circumstances) []uint32 {
	if !d.FirstAttemptAt.IsZero() || d.Status == Pending {
		return nil
	}
	return c.Policies.GetDunningDays()
}

// windowEnd is the day of the last re-attempt.
func (s State) windowEnd() time.Time {
	at := s.reattempts()
	return at[len(at)-1]
}

// step is the dunning step of an attempt that is made now: the step of the day that has come last. A manual try, a
// try with another method and a try after proof of absence keep the step they are in.
func (d *decision) step() uint32 {
	if d.life() != PastDue || d.FirstAttemptAt.IsZero() {
		return 0 // the number's first attempt, of an imported subscription too
	}
	before := d.Attempts[len(d.Attempts)-1]
	last := before.Reattempt
	manual := d.NextAttempt.IsZero() || d.now.Before(d.NextAttempt)
	again := before.Status == AttemptNotCharged || before.Status == AttemptMismatched
	if manual || again || before.Replacement != d.Replacement {
		return last
	}
	step := last
	for i, at := range d.reattempts() {
		if k := uint32(i + 1); k > last && !d.now.Before(at) {
			step = k
		}
	}
	return step
}

// nextStep is when the attempt after step `reattempt` is made; zero if no day is left.
func (d *decision) nextStep(reattempt uint32) time.Time {
	for i, at := range d.reattempts() {
		if uint32(i+1) > reattempt && at.After(d.now) {
			return at
		}
	}
	return time.Time{}
}

// untried is the first day of a re-attempt that was not made, whether it has passed or not. Where there is none, what is
// tried next was meant to be tried anyway: after a pause, after proof of absence.
func (s State) untried() time.Time {
	at := s.reattempts()
	if last, ok := s.lastTry(); ok && last.Status == AttemptDeclined && int(last.Reattempt) < len(at) {
		return at[last.Reattempt]
	}
	return s.NextAttempt
}

// DeclinePayment reports that an attempt surely did not and will not charge.
type DeclinePayment struct {
	Now, At               time.Time
	Number, Attempt       uint32
	Category              ledgerv1.DeclineCategory
	Code, Advice, Message string
	Reference             string
	Expired               bool // it was pending and ran out at the gateway
	StopOrder             bool // the buyer stopped all payments
}

// Decide implements aggregate.Command.
func (c DeclinePayment) Decide(s State) ([]*ledgerv1.Event, error) {
	a, ok := s.FindAttempt(c.Number, c.Attempt)
	if !ok {
		return nil, attemptUnknown()
	}
	if !a.Open() {
		return nil, nil
	}
	d := s.decide(c.Now, c.At)
	switch {
	case s.Ended() || a.Number <= s.Paid:
		d.clear(a, "declined") // nobody waits for this payment any more: no order, nothing to tell
	case s.Status == Pending && c.Expired:
		d.clear(a, "expired")
	case s.Status == Pending:
		d.decline(a, c, time.Time{}) // a first payment has no dunning
	default:
		d.dun(a, c)
	}
	return d.done()
}

// dun records a declined rebill and says when it is tried again, or ends the subscription.
func (d *decision) dun(a *Attempt, c DeclinePayment) {
	if c.Expired || c.Category == ledgerv1.DeclineCategory_DECLINE_CATEGORY_UNSPECIFIED {
		c.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	}
	next := time.Time{}
	switch {
	case c.StopOrder || d.Stopped:
	case d.Replacement > a.Replacement:
		next = d.nextAttempt(d.now) // the buyer has given another method since: that one is charged at once
	case c.Category == ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT || d.Replacement != a.Replacement:
		next = d.nextAttempt(d.putOff(d.nextStep(a.Reattempt), a))
	}
	over := next.IsZero() && !d.now.Before(d.windowEnd()) && d.Status != Paused && !d.Held()
	d.decline(a, c, next)
	if c.StopOrder || over {
		d.cancel(ledgerv1.CancelReason_CANCEL_REASON_DUNNING)
	}
}

func (d *decision) decline(a *Attempt, c DeclinePayment, next time.Time) {
	id := d.nextOrder()
	if c.Category == ledgerv1.DeclineCategory_DECLINE_CATEGORY_UNSPECIFIED {
		c.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
		OrderId: id, PayNumber: a.Number, Attempt: a.Attempt, Reattempt: a.Reattempt, Amounts: a.Amounts,
		Category: c.Category, Code: c.Code, Advice: c.Advice, Message: c.Message, Reference: c.Reference,
		OriginalOrderId: d.original(id), NextAttemptAt: stamp(next), Method: a.Method, ConnectionId: a.Connection,
	}}})
}

func (s State) paymentDeclined(e *ledgerv1.PaymentDeclined) State {
	s = s.ordered(e.OrderId)
	i := s.attempt(e.PayNumber, e.Attempt)
	s = s.withAttempt(i, func(a *Attempt) {
		a.Status, a.OrderID, a.Category, a.Code, a.NextAction = AttemptDeclined, e.OrderId, e.Category, e.Code, nil
	})
	if s.Status == Pending {
		s.Status = Failed
		return s
	}
	s.NextAttempt = instant(e.NextAttemptAt)
	stopped := e.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	if i < 0 || s.Attempts[i].Replacement == s.Replacement {
		s.Stopped = stopped
	} else {
		s = s.withBefore(s.Attempts[i], func(w *Way) { w.Stopped = stopped })
	}
	return s.inLife(PastDue)
}
