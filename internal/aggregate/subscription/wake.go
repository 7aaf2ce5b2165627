package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Wake tells the subscription what time it is. It does what has become due, if anything. What is due through a blocked
// connection is held: no attempt, no failure, and the window does not end.
type Wake struct {
	Now time.Time
	// Unasked says that a gateway was not asked, or has not answered, what became of something that it has, or has answered
	// that it goes on. Then nothing pending expires: it may have been charged.
	Unasked bool
	Circumstances
}

// Decide implements aggregate.Command.
func (c Wake) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() || s.Ended() {
		return nil, nil
	}
	due := func(t time.Time) bool { return !t.IsZero() && !c.Now.Before(t) }
	d := s.decide(c.Now, time.Time{})
	next := s.nextTry()
	open, isOpen := s.trying()
	switch {
	case s.endsBy(c.Now):
		d.cancel(s.CancelReason) // before anything is charged
	case isOpen:
		if s.Status == Pending && open.Status == AttemptPending && due(open.ExpiresAt) && !c.Unasked {
			d.clear(open, "expired")
		}
	case s.blocked() || c.Blocked:
	case due(next):
		d.request(s.asked(), c.Circumstances)
	case s.Status == PastDue && next.IsZero() && due(s.windowEnd()):
		d.cancel(ledgerv1.CancelReason_CANCEL_REASON_DUNNING)
	}
	return d.done()
}

// asked are the amounts of the open pay number: those of its last attempt, for a caller who asked for less does not
// expect a re-attempt to ask for more, else what the terms say.
func (s State) asked() *ledgerv1.Amounts {
	if a, ok := s.lastTry(); ok {
		return a.Amounts
	}
	return s.amounts(s.Paid + 1)
}

// NextAmounts are what the next payment asks for; nil if none is left.
func (s State) NextAmounts() *ledgerv1.Amounts {
	if !s.Exists() || s.Ended() {
		return nil
	}
	return s.asked()
}

// blocked reports whether nothing new may be charged, whatever the time.
func (s State) blocked() bool {
	return s.Mismatch || s.Status == Paused || s.Held() || s.ordersExhausted()
}

// Due is the first instant after `after` at which the subscription wants a Wake or a look-up; zero for never.
func (s State) Due(after time.Time) time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if t.IsZero() || !t.After(after) {
			return
		}
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	if !s.Ended() {
		consider(s.CancelAt)
		open, isOpen := s.trying()
		next := s.nextTry()
		switch {
		case isOpen:
			if s.Status == Pending {
				consider(open.ExpiresAt)
			}
		case s.blocked():
		case !next.IsZero():
			consider(orHourly(next, after))
		case s.Status == PastDue:
			consider(orHourly(s.windowEnd(), after))
		}
	}
	for _, l := range s.Lookups() {
		consider(l.due(after))
	}
	return first
}

// orHourly is t or, if that has passed and nothing came of it because the payment is held, the next whole hour from it.
func orHourly(t, after time.Time) time.Time {
	if after.IsZero() || t.After(after) {
		return t
	}
	return t.Add((after.Sub(t)/time.Hour + 1) * time.Hour)
}

// Lookup is an attempt or a refund that only the gateway can tell about.
type Lookup struct {
	Key string
	// Connection is the account that it went through.
	Connection string
	Sent       time.Time     // when it may have gone out
	From       time.Time     // when looking up began
	Attempt    *Attempt      // one of the two
	Refund     *RefundRecord //
}

// Lookups are the attempts and refunds that the gateway is asked about until it has an answer.
func (s State) Lookups() []Lookup {
	var ls []Lookup
	for _, a := range s.Attempts[s.Closed:] {
		if a.Open() && !a.DoubtfulFrom.IsZero() {
			ls = append(ls, Lookup{Key: a.Key, Connection: a.Connection, Sent: a.SentAt, From: a.DoubtfulFrom, Attempt: a})
		}
	}
	for _, r := range s.Refunds {
		if r.Open() && !r.DoubtfulFrom.IsZero() {
			ls = append(ls, Lookup{Key: r.Key, Connection: r.Connection, Sent: r.SentAt, From: r.DoubtfulFrom, Refund: r})
		}
	}
	return ls
}

// due is the first scheduled look-up after `after`: 30 s, 2 m, 5 m, 30 m, 2 h and 12 h after looking up began, then
// daily.
func (l Lookup) due(after time.Time) time.Time {
	for _, d := range [...]time.Duration{30 * time.Second, 2 * time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour} {
		if t := l.From.Add(d); t.After(after) {
			return t
		}
	}
	days := after.Sub(l.From)/day + 1
	return l.From.Add(days * day)
}
