package invariant

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// step looks at one step of a subscription's life. l is as it was left by the step.
func (h *history) step(l *life, e event.Recorded, before subscription.State) {
	s := step{h, l, e, before, l.state}
	s.checkTransition()
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted, *ledgerv1.Event_SubscriptionImported:
		if before.Exists() {
			s.broken("I-14", "it begins a second time")
		}
		return
	case *ledgerv1.Event_PaymentRequested:
		s.checkRequest(k.PaymentRequested)
		s.checkRetry(k.PaymentRequested)
	case *ledgerv1.Event_PaymentSucceeded:
		s.checkDue(s.after.Paid == 1 && s.after.Terms().GetInitial() != nil)
	case *ledgerv1.Event_LateChargeObserved:
		s.checkDue(s.after.Paid == 1 && s.after.Terms().GetInitial() != nil)
	case *ledgerv1.Event_SubscriptionResumed:
		_, open := before.OpenAttempt()
		s.checkDue(open || before.Resumes == subscription.PastDue)
	case *ledgerv1.Event_RefundRequested:
		s.checkRefund(k.RefundRequested)
	case *ledgerv1.Event_RefundSucceeded:
		if r, ok := before.FindRefund(k.RefundSucceeded.RefundId); ok && r.Status == subscription.RefundFailed {
			l.over[r.Parent] = true // the gateway had denied it, and others were asked for since
		}
		s.checkReturned(k.RefundSucceeded, k.RefundSucceeded.OverReturned)
	case *ledgerv1.Event_RefundObserved:
		l.over[k.RefundObserved.ParentOrderId] = true
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		l.over[k.DisputeFundsWithdrawn.ParentOrderId] = true
	}
	s.checkAttempt()
	s.checkRefundOutcome()
	if s.after.Paid < before.Paid || s.after.Paid > before.Paid+1 {
		s.broken("I-07", "pay number %d was paid after %d", s.after.Paid, before.Paid)
	}
}

// step is an event and what it made of a subscription.
type step struct {
	*history
	life          *life
	e             event.Recorded
	before, after subscription.State
}

func (s step) broken(promise, format string, args ...any) {
	s.history.broken(promise, "%s/%d: "+format, append([]any{s.e.Stream, s.e.Revision}, args...)...)
}

// recorded is when the ledger learned of the event. The clock may have shown something earlier when it decided.
func (s step) recorded() time.Time { return s.e.Metadata.GetRecordedAt().AsTime() }

// follows lists what can become of each state of a subscription's life by one event.
var follows = map[ledgerv1.SubscriptionState][]ledgerv1.SubscriptionState{
	subscription.Pending:  {subscription.Trialing, subscription.Active, subscription.Failed},
	subscription.Trialing: {subscription.Active, subscription.PastDue, subscription.Paused, subscription.Cancelled},
	subscription.Active:   {subscription.PastDue, subscription.Paused, subscription.Cancelled, subscription.Completed},
	subscription.PastDue:  {subscription.Active, subscription.Paused, subscription.Cancelled},
	subscription.Paused: {subscription.Trialing, subscription.Active, subscription.PastDue, subscription.Cancelled,
		subscription.Completed},
}

// checkTransition checks that a state can become what it became. What has ended stays so.
func (s step) checkTransition() {
	from, to := s.before.Status, s.after.Status
	if s.before.Exists() && from != to && !slices.Contains(follows[from], to) {
		s.broken("I-14", "a subscription that was %s became %s by %s",
			subscription.StateName(from), subscription.StateName(to), event.TypeName(s.e.Event))
	}
}

// checkRequest checks an intent to charge against all that may keep it from being right.
func (s step) checkRequest(r *ledgerv1.PaymentRequested) {
	before := s.before
	if r.PayNumber != before.Paid+1 {
		s.broken("I-07", "pay number %d was asked for when %d was next", r.PayNumber, before.Paid+1)
	}
	if a, open := before.OpenAttempt(); open && a.Number > before.Paid {
		s.broken("I-09", "a second attempt began while attempt %d of %d was open", a.Attempt, a.Number)
	}
	if _, made := before.FindAttempt(r.PayNumber, r.Attempt); made {
		s.broken("I-09", "attempt %d of %d was made a second time", r.Attempt, r.PayNumber)
	}
	if _, made := before.FindAttemptByKey(r.Key); made {
		s.broken("I-09", "the key of attempt %d of %d is that of another one", r.Attempt, r.PayNumber)
	}
	at := s.recorded()
	switch {
	case before.Ended():
		s.broken("I-15", "a charge was asked for after the end")
	case !before.NextDue.IsZero() && at.Before(before.NextDue.Add(-s.world.Skew)):
		s.broken("I-15", "a charge was asked for before it was due, at %s", before.NextDue)
	case !before.CancelAt.IsZero() && !at.Before(before.CancelAt.Add(s.world.Skew+time.Second)):
		s.broken("I-15", "a charge was asked for after the end that was wished for, at %s", before.CancelAt)
	case before.Status == subscription.Paused || before.Held() || before.Mismatch || before.ByGateway():
		s.broken("I-15", "a charge was asked for though paused: %t, held: %t, charged wrongly: %t, charged by the gateway: %t",
			before.Status == subscription.Paused, before.Held(), before.Mismatch, before.ByGateway())
	}
	if full, agreed := r.Amounts.GetFull(), agreed(before, r.PayNumber); full.GetMinorUnits() > agreed.GetMinorUnits() ||
		full.GetCurrencyCode() != agreed.GetCurrencyCode() {
		s.broken("I-15", "%d %s was asked for when the buyer had agreed to %d %s",
			full.GetMinorUnits(), full.GetCurrencyCode(), agreed.GetMinorUnits(), agreed.GetCurrencyCode())
	}
}

// checkDue checks that the next payment is not for a period that has passed, unless that is owed: the first regular
// payment, and what was asked for before a pause.
func (s step) checkDue(owed bool) {
	next := s.after.NextDue
	if next.IsZero() || s.after.Ended() || s.after.Terms().GetKind() == subscription.OneTime {
		return
	}
	if !owed && next.Before(s.recorded().Add(-s.world.Skew)) {
		s.broken("I-15", "a period that has passed is to be charged, of %s", next)
	}
}

// agreed is the most that may be asked for a pay number: what was sold, or what the buyer agreed to afterwards.
func agreed(s subscription.State, number uint32) *ledgerv1.Money {
	for _, c := range slices.Backward(s.Changes) {
		if number >= c.FromPayNumber {
			return c.GetAmounts().GetFull()
		}
	}
	t := s.Terms()
	regular := number
	if t.GetInitial() != nil {
		regular--
	}
	switch {
	case regular == 0:
		return t.GetInitial().GetAmounts().GetFull()
	case regular <= t.GetIntroductory().GetPayments():
		return t.GetIntroductory().GetAmounts().GetFull()
	}
	return t.GetRegular().GetFull()
}

const (
	// defaultDays is how many re-attempts there are where a merchant's policy does not say.
	defaultDays = 3
	// tries in a month are what the strictest card scheme allows for one card.
	tries = 15
	month = 30 * 24 * time.Hour
)

// checkRetry checks that a method is not tried when it must not be, nor too often.
func (s step) checkRetry(r *ledgerv1.PaymentRequested) {
	declined := 0
	for _, a := range s.before.Attempts {
		if a.Status != subscription.AttemptDeclined || a.Replacement != s.before.Replacement {
			continue
		}
		if a.Number == r.PayNumber && a.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT {
			s.broken("I-17", "a method was tried again after a decline that forbids it")
		}
		if s.recorded().Sub(a.RequestedAt) < month {
			declined++
		}
	}
	if s.before.Stopped {
		s.broken("I-17", "a method was tried that was stopped")
	}
	if declined > tries {
		s.broken("I-17", "a method was tried again that was declined %d times within 30 days", declined)
	}
	days := len(s.after.DunningDays)
	if days == 0 {
		days = defaultDays
	}
	if int(r.Reattempt) > days {
		s.broken("I-17", "re-attempt %d was made, and there are %d", r.Reattempt, days)
	}
}

// outcome is what every event tells that says what became of an attempt.
type outcome interface {
	GetPayNumber() uint32
	GetAttempt() uint32
}

// checkAttempt checks that an outcome is of an attempt that could have it.
func (s step) checkAttempt() {
	var o outcome
	var may func(*subscription.Attempt) bool
	open := (*subscription.Attempt).Open
	status := func(want subscription.AttemptStatus) func(*subscription.Attempt) bool {
		return func(a *subscription.Attempt) bool { return a.Status == want && !a.Returned }
	}
	switch k := s.e.GetKind().(type) {
	case *ledgerv1.Event_PaymentPending:
		o, may = k.PaymentPending, open
	case *ledgerv1.Event_PaymentUnknown:
		o, may = k.PaymentUnknown, open
	case *ledgerv1.Event_PaymentDeclined:
		o, may = k.PaymentDeclined, open
	case *ledgerv1.Event_PaymentNotCharged:
		o, may = k.PaymentNotCharged, open
	case *ledgerv1.Event_PaymentSucceeded:
		o, may = k.PaymentSucceeded, func(a *subscription.Attempt) bool {
			return (a.Open() || a.Status == subscription.AttemptNotCharged) && !s.before.Ended()
		}
	case *ledgerv1.Event_LateChargeObserved:
		o, may = k.LateChargeObserved, func(a *subscription.Attempt) bool { return chargeable(a) && (s.before.Ended() || !a.Open()) }
	case *ledgerv1.Event_AmountMismatchObserved:
		o, may = k.AmountMismatchObserved, chargeable
	case *ledgerv1.Event_DuplicateChargeObserved:
		o, may = k.DuplicateChargeObserved, func(a *subscription.Attempt) bool {
			// A gateway may charge twice for one attempt, too.
			return a.Number <= s.before.Paid && (chargeable(a) || a.Status == subscription.AttemptSucceeded)
		}
	case *ledgerv1.Event_DuplicateChargeReturned:
		o, may = k.DuplicateChargeReturned, status(subscription.AttemptDuplicate)
	case *ledgerv1.Event_MismatchResolved:
		o, may = k.MismatchResolved, status(subscription.AttemptMismatched)
	default:
		return
	}
	a, ok := s.before.FindAttempt(o.GetPayNumber(), o.GetAttempt())
	switch {
	case !ok:
		s.broken("I-05", "attempt %d of %d has an outcome, and nobody asked for it", o.GetAttempt(), o.GetPayNumber())
	case !may(a):
		s.broken("I-14", "attempt %d of %d cannot have this outcome: %s", a.Attempt, a.Number, event.TypeName(s.e.Event))
	}
}

// chargeable reports whether a charge for an attempt can still turn up.
func chargeable(a *subscription.Attempt) bool {
	return a.Open() || a.Status == subscription.AttemptDeclined || a.Status == subscription.AttemptNotCharged
}

// checkRefundOutcome checks that an outcome is of a refund that could have it.
func (s step) checkRefundOutcome() {
	var id string
	may := (*subscription.RefundRecord).Open
	switch k := s.e.GetKind().(type) {
	case *ledgerv1.Event_RefundPending:
		id = k.RefundPending.RefundId
	case *ledgerv1.Event_RefundUnknown:
		id = k.RefundUnknown.RefundId
	case *ledgerv1.Event_RefundFailed:
		id = k.RefundFailed.RefundId
	case *ledgerv1.Event_RefundSucceeded:
		id = k.RefundSucceeded.RefundId
		may = func(r *subscription.RefundRecord) bool { return r.Open() || r.Status == subscription.RefundFailed }
	case *ledgerv1.Event_RefundReversed:
		id = k.RefundReversed.RefundId
		may = func(r *subscription.RefundRecord) bool { return r.Status == subscription.RefundSucceeded }
	default:
		return
	}
	r, ok := s.before.FindRefund(id)
	switch {
	case !ok:
		s.broken("I-05", "refund %s has an outcome, and nobody asked for it", id)
	case !may(r):
		s.broken("I-14", "refund %s cannot have this outcome: %s", id, event.TypeName(s.e.Event))
	}
}

// checkRefund checks that no more is on its way back than was captured and not charged back.
func (s step) checkRefund(r *ledgerv1.RefundRequested) {
	c, ok := s.after.FindCharge(r.ParentOrderId)
	if !ok {
		s.broken("I-06", "it refunds order %d, which is no payment", r.ParentOrderId)
		return
	}
	returned := c.Refunded.Full.MinorUnits + c.ChargedBack.Full.MinorUnits
	for _, f := range s.after.Refunds {
		if f.Parent == c.OrderID && f.Open() {
			returned += f.Amounts.Full.MinorUnits
		}
	}
	if captured := c.Amounts.Full.MinorUnits; returned > captured {
		s.broken("I-06", "%d of %d minor units are on their way back", returned, captured)
	}
}

// checkReturned checks that what went back by our doing was there, unless the gateway had taken it away itself; and
// that the event says whether it was.
func (s step) checkReturned(r *ledgerv1.RefundSucceeded, flagged bool) {
	c, ok := s.after.FindCharge(r.ParentOrderId)
	if !ok {
		s.broken("I-06", "it refunds order %d, which is no payment", r.ParentOrderId)
		return
	}
	returned, captured := c.Refunded.Full.MinorUnits+c.ChargedBack.Full.MinorUnits, c.Amounts.Full.MinorUnits
	switch {
	case returned > captured != flagged:
		s.broken("I-06", "%d of %d minor units are back, and the event says over-returned: %t", returned, captured, flagged)
	case returned > captured && !s.life.over[c.OrderID]:
		s.broken("I-06", "%d of %d minor units are back, all by our doing", returned, captured)
	}
}

// finish looks at every stream and subscription as it ended up.
func (h *history) finish() {
	for name, s := range h.streams {
		if !s.same() {
			h.broken("I-14", "%s: folded twice, it came out in two ways", name)
		}
	}
	for name, l := range h.subscriptions {
		h.report.Subscriptions++
		if !l.same() {
			h.broken("I-14", "%s: folded twice, it came out in two ways", name)
		}
		h.checkNumbers(name, l)
		if h.world.AtRest {
			h.checkSettled(name, l.state)
		}
	}
	h.books.finish(h.report)
}

// checkNumbers checks that every pay number was sold once.
func (h *history) checkNumbers(name string, l *life) {
	paid := map[uint32]int{}
	for _, c := range l.state.Charges {
		paid[c.Number]++
	}
	for n := l.imported + 1; n <= l.state.Paid; n++ {
		if paid[n] != 1 {
			h.broken("I-07", "%s: pay number %d was sold %d times", name, n, paid[n])
		}
	}
	if len(paid) != int(l.state.Paid)-int(l.imported) {
		h.broken("I-07", "%s: %d pay numbers were sold, the last is %d", name, len(paid), l.state.Paid)
	}
}

// checkSettled checks that nothing waits for an outcome any more.
func (h *history) checkSettled(name string, s subscription.State) {
	for _, a := range s.Attempts {
		if a.Open() {
			h.broken("I-09", "%s: nobody knows what became of attempt %d of %d", name, a.Attempt, a.Number)
		}
	}
	for _, r := range s.Refunds {
		if r.Open() {
			h.broken("I-09", "%s: nobody knows what became of refund %s", name, r.ID)
		}
	}
}
