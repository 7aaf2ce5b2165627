package subscription

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// What the card networks forbid, and fine: to try a declined method too often. That some declines allow no other try at
// all is Way.Stopped's to say.

// tryLimit is how many declined tries of one method there may be in a while.
type tryLimit struct {
	tries  int
	within time.Duration
}

// everyNetwork holds for every method. Visa allows 15 re-attempts in 30 days, counted per amount; here 15 tries of any
// amount are all, so that a try which was made elsewhere does not cost a fine.
// https://usa.visa.com/dam/VCOM/download/about-visa/visa-rules-public.pdf (7.3.6)
var everyNetwork = tryLimit{15, 30 * day}

// networkLimits are what holds besides, by the brand of the method.
var networkLimits = map[string]tryLimit{
	// Mastercard allows 35 in 30 days, but only 10 in one.
	// https://developers.tabapay.com/docs/excessive-retry-rules
	"mastercard": {10, day},
}

func limitsOf(m *ledgerv1.PaymentMethod) []tryLimit {
	if own, ok := networkLimits[m.GetBrand()]; ok {
		return []tryLimit{everyNetwork, own}
	}
	return []tryLimit{everyNetwork}
}

// restsUntil is the first instant at which the networks let the method in use be tried again; it may have passed. An
// attempt that is being declined counts as declined; nil if there is none.
func (s State) restsUntil(declining *Attempt) time.Time {
	var until time.Time
	for _, l := range limitsOf(s.Method) {
		if at, ok := s.declinedAgo(l, declining); ok && at.Add(l.within).After(until) {
			until = at.Add(l.within)
		}
	}
	return until
}

// declinedAgo is when the method in use was tried the limit's number of declined tries ago. What is older than the limit
// looks back from the last attempt had been forgiven before that was made.
func (s State) declinedAgo(l tryLimit, declining *Attempt) (time.Time, bool) {
	n := 0
	for i := len(s.Attempts) - 1; i >= 0; i-- {
		a := s.Attempts[i]
		if s.Attempts[len(s.Attempts)-1].RequestedAt.Sub(a.RequestedAt) >= l.within {
			break
		}
		if a.Replacement != s.Replacement || a.Status != AttemptDeclined && a != declining {
			continue
		}
		if n++; n == l.tries {
			return a.RequestedAt, true
		}
	}
	return time.Time{}, false
}

// resting reports whether the method in use was declined so often lately that it must not be tried now.
func (s State) resting(now time.Time) bool { return now.Before(s.restsUntil(nil)) }

// putOff is t, or the end of the method's rest if that is later; zero if the open number's window is over by then.
func (s State) putOff(t time.Time, declining *Attempt) time.Time {
	rest := s.restsUntil(declining)
	switch {
	case t.IsZero() || !rest.After(t):
		return t
	case (declining != nil || s.life() == PastDue) && rest.After(s.windowEnd()):
		return time.Time{}
	}
	return rest
}

// nextTry is when the ledger tries the open number by itself; zero if it does not.
func (s State) nextTry() time.Time { return s.putOff(s.NextAttempt, nil) }
