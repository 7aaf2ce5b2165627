package invariant

import (
	"cmp"
	"slices"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// Capture and Return are compared one by one with what the ledger has, by their references: then every sum of them is
// right, too, per merchant, connection and currency.

// reference is how the gateway of a connection names a charge or a refund. Without a connection it is how one of the
// merchant's gateways does: not every book says more.
type reference struct{ merchant, connection, reference string }

// anywhere is a reference at whichever gateway.
func (r reference) anywhere() reference { return reference{r.merchant, "", r.reference} }

// find looks a reference up, first where it is said to be.
func find[T any](all map[reference]*T, r reference) *T {
	if t := all[r]; t != nil {
		return t
	}
	return all[r.anywhere()]
}

// taken is a charge as the ledger has it.
type taken struct {
	stream     string
	number     uint32
	connection string
	amount     *ledgerv1.Money
	seen       bool
}

// payment is a pay number of a subscription.
type payment struct {
	stream string
	number uint32
}

func (h *history) checkMoney() {
	if h.world.Captures != nil {
		h.checkCaptures(h.taken())
		h.checkOnce()
	}
	if h.world.Returns != nil {
		h.checkReturns()
	}
}

// taken are all charges that the ledger knows: what it sold, and what is or was in suspense.
func (h *history) taken() map[reference]*taken {
	all := map[reference]*taken{}
	add := func(stream, connection, ref string, number uint32, amount *ledgerv1.Money) {
		if ref == "" || amount.GetMinorUnits() == 0 {
			return // nothing was charged
		}
		merchant, _ := owner(stream)
		at := reference{merchant, connection, ref}
		if other := all[at]; other != nil {
			h.broken("I-02", "%s: charge %s counts for pay number %d, and for %d of %s", stream, ref, number, other.number, other.stream)
		}
		t := &taken{stream: stream, number: number, connection: connection, amount: amount}
		all[at], all[at.anywhere()] = t, t
	}
	for name, l := range h.subscriptions {
		for _, c := range l.state.Charges {
			add(name, c.Connection, c.Reference, c.Number, c.Amounts.GetFull())
		}
		for _, a := range l.state.Attempts {
			if a.Captured != nil {
				add(name, a.Connection, a.Reference, a.Number, a.Captured)
			}
		}
	}
	return all
}

// checkCaptures compares what the ledger knows with what the gateways' own books captured: each charge has its
// capture, each capture its charge or an attempt that is still open.
func (h *history) checkCaptures(known map[reference]*taken) {
	for _, c := range h.world.Captures {
		h.report.Captures++
		stream := subscription.Stream(c.Merchant, c.Subscription)
		t := find(known, reference{c.Merchant, c.Connection, c.Reference})
		switch {
		case t == nil && !h.expected(stream, c):
			h.broken("I-02", "%s: the gateway captured charge %s for pay number %d and the ledger does not know it", stream, c.Reference, c.PayNumber)
		case t == nil:
		case t.amount.MinorUnits != c.Minor || t.amount.CurrencyCode != c.Currency:
			h.broken("I-02", "%s: the ledger has charge %s as %d %s, and the gateway as %d %s", stream, c.Reference,
				t.amount.MinorUnits, t.amount.CurrencyCode, c.Minor, c.Currency)
		case t.stream != stream:
			h.broken("I-02", "charge %s of %s is known as one of %s", c.Reference, stream, t.stream)
		case c.Connection != "" && c.Connection != t.connection:
			h.broken("I-02", "%s: charge %s went through %s, and the ledger says through %s", stream, c.Reference, c.Connection, t.connection)
		}
		if t != nil {
			t.seen = true
		}
	}
	for at, t := range known {
		if !t.seen && at.connection != "" {
			h.broken("I-02", "%s: the ledger has charge %s for pay number %d, and the gateway does not have it", t.stream, at.reference, t.number)
		}
	}
}

// expected reports whether the ledger may yet have to learn of a charge.
func (h *history) expected(stream string, c Capture) bool {
	l := h.subscriptions[stream]
	if h.world.AtRest || l == nil {
		return false
	}
	if c.Key == "" || c.Denied {
		return true
	}
	a, ok := l.state.FindAttemptByKey(c.Key)
	return ok && a.Open()
}

// checkOnce checks that no pay number was captured twice with keys of ours. Not counted is what the gateway had denied,
// and what it made of another amount than it was asked for: neither pays, and the number may be charged again.
func (h *history) checkOnce() {
	captured, keys := map[payment]int{}, map[string]int{}
	for _, c := range h.world.Captures {
		if c.Key == "" {
			continue
		}
		stream := subscription.Stream(c.Merchant, c.Subscription)
		if keys[c.Key]++; keys[c.Key] == 2 {
			h.broken("I-03", "%s: pay number %d was captured twice with one key", stream, c.PayNumber)
		}
		if l := h.subscriptions[stream]; c.Denied || l != nil && l.mismatched(c) {
			continue
		}
		p := payment{stream, c.PayNumber}
		if captured[p]++; captured[p] == 2 {
			h.broken("I-03", "%s: pay number %d was captured twice", stream, c.PayNumber)
		}
	}
}

// mismatched reports whether a capture is of another amount than was asked for, and known as that.
func (l *life) mismatched(c Capture) bool {
	a, ok := l.state.FindAttemptByKey(c.Key)
	return ok && a.Status == subscription.AttemptMismatched && a.Reference == c.Reference &&
		(a.Amounts.GetFull().GetMinorUnits() != c.Minor || a.Amounts.GetFull().GetCurrencyCode() != c.Currency)
}

// returning is money that the ledger asked a gateway to return, or heard of.
type returning struct {
	stream, reference string
	amount            *ledgerv1.Money
	done              bool
	seen              bool
}

// returnings are those by our keys, and those that the ledger holds to be done by their references.
func (h *history) returnings() (byKey map[string]*returning, done map[reference]*returning) {
	byKey, done = map[string]*returning{}, map[reference]*returning{}
	for name, l := range h.subscriptions {
		merchant, _ := owner(name)
		for _, f := range l.state.Refunds {
			r := &returning{stream: name, reference: f.Reference, amount: f.Amounts.GetFull(),
				done: f.Status == subscription.RefundSucceeded || f.Status == subscription.RefundReversed}
			if f.Key != "" {
				byKey[f.Key] = r
			}
			if r.done {
				at := reference{merchant, cmp.Or(f.Connection, l.state.Started.GetConnectionId()), f.Reference}
				done[at], done[at.anywhere()] = r, r
			}
		}
		for _, a := range l.state.Attempts {
			if a.RefundKey != "" { // a duplicate: of its return only the key is known
				byKey[a.RefundKey] = &returning{stream: name, amount: a.Captured, done: a.Returned}
			}
		}
	}
	return byKey, done
}

// checkReturns compares what went back at the gateways with what the ledger has.
func (h *history) checkReturns() {
	byKey, done := h.returnings()
	times := map[string]int{}
	for _, r := range h.world.Returns {
		known := find(done, r.at())
		if known != nil {
			known.seen = true
		}
		switch {
		case r.Kind == ChargedBack:
			h.checkChargedBack(r)
		case r.Kind != Refunded:
		case r.Key == "":
			h.checkOwnReturn(r, known)
		default:
			h.checkOurReturn(r, byKey[r.Key])
			if times[r.Key]++; times[r.Key] == 2 {
				h.broken("I-06", "%s: a refund was carried out twice with one key, the second time as %s", r.stream(), r.Reference)
			}
		}
	}
	for at, r := range done {
		if r.seen || at.connection == "" {
			continue
		}
		h.broken("I-02", "%s: the ledger says that %s was returned, and the gateway does not know it", r.stream, at.reference)
	}
	h.checkNotOver()
}

func (r Return) stream() string { return subscription.Stream(r.Merchant, r.Subscription) }

func (r Return) at() reference { return reference{r.Merchant, r.Connection, r.Reference} }

// checkOurReturn checks a refund that carries a key of ours.
func (h *history) checkOurReturn(r Return, ours *returning) {
	switch {
	case ours == nil:
		h.broken("I-02", "%s: the gateway returned %s by a key of ours that the log does not have", r.stream(), r.Reference)
	case ours.amount.GetMinorUnits() != r.Minor || ours.amount.GetCurrencyCode() != r.Currency:
		h.broken("I-02", "%s: the gateway returned %d %s as %s, and the ledger asked for %d %s", r.stream(), r.Minor, r.Currency,
			r.Reference, ours.amount.GetMinorUnits(), ours.amount.GetCurrencyCode())
	case h.world.AtRest && !ours.done && !h.cameBack(r):
		h.broken("I-02", "%s: the gateway returned %s, and the ledger does not know it", r.stream(), r.Reference)
	}
}

// cameBack reports whether a refund was reversed: one that came back before anybody heard that it went has failed.
func (h *history) cameBack(r Return) bool {
	return slices.ContainsFunc(h.world.Returns, func(o Return) bool { return o.Kind == RefundReversed && o.Key == r.Key })
}

// checkOwnReturn checks a refund that the gateway made by itself. Of one of money in suspense the ledger is told by
// whoever resolves that.
func (h *history) checkOwnReturn(r Return, known *returning) {
	l := h.subscriptions[r.stream()]
	if !h.world.AtRest || l == nil || known != nil {
		return
	}
	if slices.ContainsFunc(l.state.Charges, func(c *subscription.Charge) bool { return c.Reference == r.ChargeReference }) {
		h.broken("I-02", "%s: the gateway returned %s by itself, and the ledger does not know it", r.stream(), r.Reference)
	}
}

// checkChargedBack checks that the ledger knows what a bank took back.
func (h *history) checkChargedBack(r Return) {
	l := h.subscriptions[r.stream()]
	if !h.world.AtRest || l == nil {
		return
	}
	for _, d := range l.state.Disputes {
		if d.ID == r.Reference && d.Withdrawn.GetFull().GetMinorUnits() == r.Minor {
			return
		}
	}
	h.broken("I-02", "%s: %d %s were withdrawn for dispute %s, and the ledger does not know it", r.stream(), r.Minor, r.Currency, r.Reference)
}

// checkNotOver checks that by our doing no charge gave back more than it took. A gateway may have taken more away by
// itself: of that the ledger's own events have to tell, which is checked where they are.
func (h *history) checkNotOver() {
	back := map[reference]int64{}
	for _, r := range h.world.Returns {
		of := reference{r.Merchant, r.Connection, r.ChargeReference}
		switch {
		case r.Key == "" || r.Denied:
		case r.Kind == Refunded:
			back[of] += r.Minor
		case r.Kind == RefundReversed:
			back[of] -= r.Minor
		}
	}
	for _, c := range h.world.Captures {
		if n := back[reference{c.Merchant, c.Connection, c.Reference}]; n > c.Minor {
			h.broken("I-06", "%s: of %d %s of charge %s, %d were returned by our doing",
				subscription.Stream(c.Merchant, c.Subscription), c.Minor, c.Currency, c.Reference, n)
		}
	}
}
