package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// ReplacePaymentMethod has another method charged from here on, and at once if a payment is past due.
type ReplacePaymentMethod struct {
	Now        time.Time
	Token      string     // the gateway's one-time token
	Connection Connection // through which it is charged
	Mode       ledgerv1.Mode
	Circumstances
}

// Decide implements aggregate.Command.
func (c ReplacePaymentMethod) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	switch {
	case s.ByGateway():
		return nil, byGateway()
	case s.Ended() || s.Status == Pending:
		return nil, stateInvalid(s)
	case c.Token == "":
		return nil, aggregate.InvalidField("payment_method_token", "TOKEN_REQUIRED", "give the gateway's one-time token of the new method")
	case c.Mode != s.Started.Mode:
		return nil, aggregate.InvalidField("connection_id", "MODE_MISMATCH", "test and live are never mixed")
	}
	st := s.Started
	n := s.Replaced + 1
	charge := s.Status == PastDue && s.chargeable(c.Circumstances)
	d := s.decide(c.Now, time.Time{})
	e := &ledgerv1.PaymentMethodReplaced{
		Replacement: n, PaymentMethodToken: c.Token, ConnectionId: c.Connection.ID, Gateway: c.Connection.Gateway,
		Processor: c.Connection.Processor, Key: replacementKey(st, n), Charged: charge,
	}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodReplaced{PaymentMethodReplaced: e}})
	e.NextAttemptAt = stamp(d.NextAttempt)
	if charge {
		d.request(d.asked(), c.Circumstances)
	}
	return d.done()
}

func replacementKey(st *ledgerv1.SubscriptionStarted, n uint32) string {
	return key("method", st.MerchantId, st.SubscriptionId, n)
}

// FindReplacement finds the number of the replacement that the gateway knows by key.
func (s State) FindReplacement(key string) (n uint32, ok bool) {
	for n := s.Replaced; n > 0; n-- {
		if replacementKey(s.Started, n) == key {
			return n, true
		}
	}
	return 0, false
}

// chargeable reports whether nothing but time or the method can keep the open number from being charged.
func (s State) chargeable(c Circumstances) bool {
	_, trying := s.trying()
	return !trying && !s.blocked() && !c.Blocked
}

func (s State) paymentMethodReplaced(m *ledgerv1.Metadata, e *ledgerv1.PaymentMethodReplaced) State {
	before := s.Way
	if before.Method == nil && s.Before != nil {
		before = *s.Before // the one that was replaced just before was never stored
	}
	s.Before, s.Replaced = &before, e.Replacement
	s.Replacing, s.ReplacedAt = e, instant(m.RecordedAt)
	s.Way = Way{Token: e.PaymentMethodToken, Replacement: e.Replacement}
	if s.life() == PastDue {
		s.NextAttempt = s.nextAttempt(toldOr(e.NextAttemptAt, m.RecordedAt))
	}
	return s.through(Connection{ID: e.ConnectionId, Gateway: e.Gateway, Processor: e.Processor})
}

// withBefore notes something of the way that counts again if the present one is refused, if an attempt went that way.
func (s State) withBefore(a *Attempt, change func(*Way)) State {
	if s.Before == nil || s.Before.Replacement != a.Replacement {
		return s
	}
	before := *s.Before
	change(&before)
	s.Before = &before
	return s
}

// StoreMethod reports under which reference the gateway stored a method that replaced another.
type StoreMethod struct {
	Now         time.Time
	Replacement uint32
	Method      *ledgerv1.PaymentMethod
}

// Decide implements aggregate.Command.
func (c StoreMethod) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.waitsForMethod(c.Replacement) || c.Method == nil {
		return nil, nil
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodStored{PaymentMethodStored: &ledgerv1.PaymentMethodStored{
		Replacement: c.Replacement, Method: c.Method,
	}}})
	return d.done()
}

// waitsForMethod reports whether a replacement counts and the gateway has not stored it yet.
func (s State) waitsForMethod(replacement uint32) bool {
	return s.Exists() && replacement > 0 && replacement == s.Replacement && s.Method == nil
}

func (s State) paymentMethodStored(e *ledgerv1.PaymentMethodStored) State {
	s.Method, s.Token, s.Before = e.Method, "", nil
	return s
}

// RefuseMethod reports that the gateway did not take a method that should have replaced another.
type RefuseMethod struct {
	Now           time.Time
	Replacement   uint32
	Code, Message string
}

// Decide implements aggregate.Command.
func (c RefuseMethod) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.waitsForMethod(c.Replacement) || s.Before == nil {
		return nil, nil // it was charged, so it was taken
	}
	d := s.decide(c.Now, time.Time{})
	e := &ledgerv1.PaymentMethodRefused{Replacement: c.Replacement, Code: c.Code, Message: c.Message}
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentMethodRefused{PaymentMethodRefused: e}})
	e.NextAttemptAt, e.ConnectionId = stamp(d.NextAttempt), d.Connection.ID
	if d.Lost {
		d.loseAgreement(agreementGone, "") // the method before it went meanwhile, and now nothing is left to charge
	}
	return d.done()
}

func (s State) paymentMethodRefused(e *ledgerv1.PaymentMethodRefused) State {
	if s.Before == nil || e.Replacement != s.Replacement {
		return s
	}
	s.Way, s.Before, s.Refused = *s.Before, nil, e
	switch {
	case s.life() != PastDue:
	case s.Stopped:
		s.NextAttempt = time.Time{} // it was stopped before, and nothing has come in its place
	default:
		s.NextAttempt = s.nextAttempt(s.untried())
	}
	return s
}
