package subscription

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// pendingFor is how long a first payment may stay pending at a gateway that names no end of its own.
const pendingFor = 72 * time.Hour

// key is the name under which a gateway knows one attempt or refund. It derives from what is done, not from chance,
// so that the same thing done again after a restore of an older backup is recognised.
func key(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprintln(parts...)))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// Rebill charges the open pay number: when it is due, or while it is past due.
type Rebill struct {
	Now     time.Time
	Number  uint32            // the number the caller means; 0 for whichever is open
	Amounts *ledgerv1.Amounts // less than the terms say; nil for the terms' own
}

// Decide implements aggregate.Command.
func (c Rebill) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := c.check(s); err != nil {
		return nil, err
	}
	asked := amounts(s.Terms(), s.Paid+1)
	if c.Amounts != nil {
		given, err := money.NormalizeAmounts("amounts", c.Amounts)
		if err != nil {
			return nil, err
		}
		if given.Full.CurrencyCode != asked.Full.CurrencyCode {
			return nil, aggregate.InvalidField("amounts", "CURRENCY_MISMATCH", "the subscription is in %s", asked.Full.CurrencyCode)
		}
		if given.Full.MinorUnits > asked.Full.MinorUnits {
			return nil, aggregate.Refuse("AMOUNT_NOT_CONSENTED", "the buyer agreed to %s", money.Format(asked.Full))
		}
		asked = given
	}
	d := s.decide(c.Now, time.Time{})
	d.request(asked)
	return d.done()
}

func (c Rebill) check(s State) error {
	if err := s.exists(); err != nil {
		return err
	}
	open, isOpen := s.trying()
	switch {
	case c.Number > s.Paid+1:
		return aggregate.Refuse("PAY_NUMBER_GAP", "pay number %d is next", s.Paid+1).With("next", fmt.Sprint(s.Paid+1))
	case c.Number != 0 && c.Number <= s.Paid:
		return aggregate.Refuse("PAY_NUMBER_PAID", "pay number %d is paid", c.Number)
	case s.Ended():
		return stateInvalid(s)
	case s.Mismatch:
		return aggregate.Refuse("AMOUNT_MISMATCH", "the gateway charged another amount; that is resolved first")
	case isOpen && open.InDoubt():
		return aggregate.Refuse("PAYMENT_OUTCOME_UNKNOWN", "nobody knows yet what became of the last attempt").
			With("since", open.DoubtfulFrom.Format(time.RFC3339))
	case s.Status == Pending:
		return stateInvalid(s)
	case isOpen:
		return aggregate.Refuse("PAYMENT_IN_PROGRESS", "an attempt is under way")
	case c.Now.Before(s.NextDue):
		return aggregate.Refuse("NOT_DUE", "the next payment is due at %s", s.NextDue.Format(time.RFC3339)).
			With("due", s.NextDue.Format(time.RFC3339))
	case !s.CancelAt.IsZero() && !c.Now.Before(s.CancelAt):
		return aggregate.Refuse("STATE_INVALID", "the subscription ends now")
	case s.MethodStopped:
		return aggregate.Refuse("METHOD_STOPPED", "this payment method must not be tried again")
	case s.ordersExhausted():
		return orderLimit()
	}
	return nil
}

func stateInvalid(s State) error {
	name := StateName(s.Status)
	return aggregate.Refuse("STATE_INVALID", "the subscription is %s", name).With("state", name)
}

func orderLimit() error {
	return &aggregate.Error{Kind: aggregate.Exhausted, Reason: "ORDER_LIMIT",
		Message: "a subscription has at most 9,999 orders"}
}

// StateName is a state's name as people write it: "past_due".
func StateName(st ledgerv1.SubscriptionState) string {
	return strings.ToLower(strings.TrimPrefix(st.String(), "SUBSCRIPTION_STATE_"))
}

// request emits the intent to charge the open pay number. A payment of 0 with a stored method needs no gateway and
// succeeds at once.
func (d *decision) request(a *ledgerv1.Amounts) {
	number := d.Paid + 1
	attempt := d.attemptsOf(number) + 1
	due := d.NextDue
	if due.IsZero() {
		due = d.now
	}
	st := d.Started
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber:    number,
		Attempt:      attempt,
		Reattempt:    d.step(),
		Amounts:      a,
		Due:          stamp(due),
		Key:          key("charge", st.MerchantId, st.SubscriptionId, number, attempt),
		ConnectionId: st.ConnectionId,
		Method:       d.Method,
	}}})
	if a.Full.MinorUnits == 0 && d.Method != nil {
		open, _ := d.OpenAttempt()
		d.succeed(open, SettlePayment{Amount: a.Full, Method: d.Method})
	}
}

func (s State) attemptsOf(number uint32) uint32 {
	var n uint32
	for i := len(s.Attempts) - 1; i >= 0 && s.Attempts[i].Number == number; i-- {
		n = max(n, s.Attempts[i].Attempt)
	}
	return n
}

func (s State) paymentRequested(m *ledgerv1.Metadata, e *ledgerv1.PaymentRequested) State {
	at := instant(m.RecordedAt)
	s.Attempts = added(s.Attempts, Attempt{
		Number: e.PayNumber, Attempt: e.Attempt, Reattempt: e.Reattempt,
		Amounts: e.Amounts, Due: instant(e.Due), Key: e.Key, Method: e.Method, RequestedAt: at,
	})
	if s.FirstAttemptAt.IsZero() {
		s.FirstAttemptAt = at
	}
	s.NextAttempt = time.Time{}
	return s
}

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
	if expires.IsZero() && s.Status == Pending {
		expires = c.Now.Add(pendingFor)
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentPending{PaymentPending: &ledgerv1.PaymentPending{
		PayNumber: c.Number, Attempt: c.Attempt, Reference: c.Reference, NextAction: c.NextAction, ExpiresAt: stamp(expires),
	}}})
	return d.done()
}

func (s State) paymentPending(m *ledgerv1.Metadata, e *ledgerv1.PaymentPending) State {
	s.Attempts = replaced(s.Attempts, s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
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
	s.Attempts = replaced(s.Attempts, s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
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
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: &ledgerv1.PaymentNotCharged{
		PayNumber: a.Number, Attempt: a.Attempt, Proof: proof,
	}}})
}

func (s State) paymentNotCharged(m *ledgerv1.Metadata, e *ledgerv1.PaymentNotCharged) State {
	s.Attempts = replaced(s.Attempts, s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) { a.Status = AttemptNotCharged })
	switch {
	case s.Status == Pending:
		s.Status = Failed // absence allows no second first payment
	case !s.Ended() && e.PayNumber > s.Paid:
		s.NextAttempt = instant(m.RecordedAt)
	}
	return s
}

// SettlePayment reports that the money of an attempt moved.
type SettlePayment struct {
	Now, At         time.Time // At: the gateway's time of it; zero if it names none
	Number, Attempt uint32
	Reference       string
	Amount          *ledgerv1.Money
	Fee, Settled    *ledgerv1.Money
	Method          *ledgerv1.PaymentMethod
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
		}}})
	case a.Number <= s.Paid:
		st := s.Started
		d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{
			PayNumber: a.Number, Attempt: a.Attempt, Reference: c.Reference, Amount: c.Amount, ConnectionId: st.ConnectionId,
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
		NextDue: stamp(p.next), PaidThrough: stamp(p.next),
	}}})
	d.proceed(p)
}

// succeedLate records a charge that turned up after its attempt was declined or the subscription had ended. A
// living subscription goes on from it; one that has ended is not revived.
func (d *decision) succeedLate(a *Attempt, c SettlePayment) {
	p := d.planAfter(a.Number, a.Due, d.at, d.now)
	through := p.next
	if d.Ended() {
		p = plan{}
	}
	id := d.nextOrder()
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
		OrderId: id, PayNumber: a.Number, Attempt: a.Attempt, Reattempt: a.Reattempt, Amounts: a.Amounts,
		Reference: c.Reference, Fee: c.Fee, Settled: c.Settled, Method: d.methodUsed(a, c.Method),
		OriginalOrderId: d.original(id), PaymentsLeft: paymentsLeft(d.Terms(), a.Number),
		NextDue: stamp(p.next), PaidThrough: stamp(through),
	}}})
	d.proceed(p)
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
		d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PeriodsSkipped{PeriodsSkipped: &ledgerv1.PeriodsSkipped{
			Count: uint32(p.skipped), First: stamp(p.first), Last: stamp(p.last), NextDue: stamp(p.next),
		}}})
	}
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
		Amounts: e.Amounts, Reference: e.Reference}, e.Method)
	return s.movedOn(instant(m.RecordedAt), e.PayNumber, instant(e.NextDue), instant(e.PaidThrough))
}

func (s State) lateChargeObserved(m *ledgerv1.Metadata, e *ledgerv1.LateChargeObserved) State {
	s = s.ordered(e.OrderId)
	s = s.captured(instant(m.OccurredAt), Charge{OrderID: e.OrderId, Number: e.PayNumber, Attempt: e.Attempt,
		Amounts: e.Amounts, Reference: e.Reference, Late: true}, e.Method)
	if s.Ended() {
		s.Paid = max(s.Paid, e.PayNumber)
		s.PaidThrough = instant(e.PaidThrough)
		return s
	}
	return s.movedOn(instant(m.RecordedAt), e.PayNumber, instant(e.NextDue), instant(e.PaidThrough))
}

// captured notes the money of an attempt.
func (s State) captured(at time.Time, c Charge, method *ledgerv1.PaymentMethod) State {
	i := s.attempt(c.Number, c.Attempt)
	if i >= 0 {
		c.Key = s.Attempts[i].Key
	}
	s.Attempts = replaced(s.Attempts, i, func(a *Attempt) {
		a.Status, a.OrderID, a.Reference, a.NextAction = AttemptSucceeded, c.OrderID, c.Reference, nil
	})
	c.At = at
	c.Refunded, c.ChargedBack = money.Zero(c.Amounts), money.Zero(c.Amounts)
	s.Charges = added(s.Charges, c)
	if s.StartedAt.IsZero() {
		s.StartedAt = at
		s.Anchor = firstAnchor(s.Terms(), at)
		s.CycleStart = s.Anchor
	}
	if method != nil {
		s.Method = method
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
	s.Status = Active
	if regular(t, number) == 0 {
		s.Status = Trialing
	}
	s.Paid = number
	s.NextDue, s.NextAttempt, s.PaidThrough = next, next, through
	s.FirstAttemptAt, s.MethodStopped = time.Time{}, false
	for i, a := range s.Attempts {
		if a.Open() && a.Number == number {
			s.Attempts = replaced(s.Attempts, i, func(a *Attempt) { a.withdraw(now) })
		}
	}
	return s
}

// withdraw forbids an open attempt to be sent; a look-up finds out whether it was.
func (a *Attempt) withdraw(now time.Time) {
	a.Withdrawn, a.WithdrawnAt = true, now
	a.doubt(now, a.RequestedAt)
}

func (s State) periodsSkipped(e *ledgerv1.PeriodsSkipped) State {
	s.NextDue = instant(e.NextDue)
	s.NextAttempt = s.NextDue
	return s
}

func (s State) amountMismatchObserved(e *ledgerv1.AmountMismatchObserved) State {
	s.Mismatch = true
	s.Attempts = replaced(s.Attempts, s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
		a.Status, a.Reference, a.Captured = AttemptMismatched, e.Reference, e.Charged
	})
	return s
}

func (s State) duplicateChargeObserved(e *ledgerv1.DuplicateChargeObserved) State {
	s.Attempts = replaced(s.Attempts, s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) {
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
	s.Attempts = replaced(s.Attempts, s.attempt(e.PayNumber, e.Attempt), func(a *Attempt) { a.Returned = true })
	return s
}
