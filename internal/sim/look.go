package sim

import (
	"context"
	"slices"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/invariant"
)

// look checks, at rest, what the log and the rows alone do not tell: that the ledger says of the gateways what they say
// themselves, and that it did what it was asked to do and not more.
func (w *world) look() {
	for _, stream := range w.streams() {
		s := w.peek(stream)
		for _, a := range s.Attempts {
			w.lookAtAttempt(stream, a)
		}
	}
	w.lookAtReversals()
	w.lookAtFirstPayments()
	w.lookAtGone()
}

// streams are the subscriptions that were asked for.
func (w *world) streams() (all []string) {
	for merchant, sold := range w.sold {
		for _, id := range sold {
			all = append(all, subscription.Stream(merchant, id))
		}
	}
	slices.Sort(all)
	return all
}

func (w *world) lookAtAttempt(stream string, a *subscription.Attempt) {
	switch {
	case a.Status == subscription.AttemptDeclined && !w.knows(a.Key) && w.expressible(a):
		w.violation("I-05: %s: attempt %d of %d was declined, and no gateway ever got it", stream, a.Attempt, a.Number)
	case a.Status == subscription.AttemptDuplicate && !a.Returned:
		w.violation("I-09: %s: the second capture of pay number %d was not returned", stream, a.Number)
	}
}

// lookAtLateCharge checks that a real adapter never says too early that nothing was charged. Gateways of package
// neighbour do capture what they have declined; Stripe and payabl. do not. A consent to be charged later, which moves
// nothing, may come after its time.
func (w *world) lookAtLateCharge(stream string, before subscription.State, late *ledgerv1.LateChargeObserved) {
	a, ok := before.FindAttempt(late.GetPayNumber(), late.GetAttempt())
	if late == nil || !ok || a.Open() || late.GetAmounts().GetFull().GetMinorUnits() == 0 || !w.gateways[accountOf("", a.Connection).Gateway].final() {
		return
	}
	w.violation("I-05: %s: attempt %d of %d was given up, and charge %s turned up", stream, a.Attempt, a.Number, late.GetReference())
}

// expressible reports whether an attempt can have been asked for at all.
func (w *world) expressible(a *subscription.Attempt) bool {
	return w.gateways[accountOf("", a.Connection).Gateway].expressible(a.Amounts.GetFull())
}

func (w *world) knows(key string) bool {
	for _, g := range w.gateways {
		if g.Knows(key) {
			return true
		}
	}
	return false
}

// lookAtReversals checks that the ledger knows of every refund of its own that came back.
func (w *world) lookAtReversals() {
	for _, r := range w.remains().Returns {
		if r.Kind != invariant.RefundReversed || r.Key == "" {
			continue
		}
		stream := subscription.Stream(r.Merchant, r.Subscription)
		if !slices.ContainsFunc(w.peek(stream).Refunds, func(f *subscription.RefundRecord) bool {
			// One that came back before anybody heard that it went has failed.
			return f.Key == r.Key && (f.Status == subscription.RefundReversed || f.Status == subscription.RefundFailed)
		}) {
			w.violation("I-02: %s: refund %s came back, and the ledger does not know it", stream, r.Reference)
		}
	}
}

// first is the first payment of a subscription: from when until when it was not decided.
type first struct {
	stream, of  string
	from, until uint64 // positions; until is 0 if it never was decided
}

// lookAtFirstPayments checks that no buyer was asked for a second first payment while the first was not decided, unless
// the caller allowed that.
func (w *world) lookAtFirstPayments() {
	if w.mix.Jump > 0 {
		return // a reservation holds for a minute of the ledger's clock
	}
	var all []first
	for _, stream := range w.streams() {
		if f := w.firstPayment(stream); f.of != "" && !w.duplicates[stream] {
			all = append(all, f)
		}
	}
	for _, a := range all {
		for _, b := range all {
			if a.stream != b.stream && a.of == b.of && a.from < b.from && (a.until == 0 || b.from < a.until) {
				w.violation("I-15: %s asked for a first payment while that of %s was not decided", b.stream, a.stream)
			}
		}
	}
}

func (w *world) firstPayment(stream string) (f first) {
	s := subscription.Type().New()
	for e := range w.read(stream) {
		s = subscription.Evolve(s, e.Event)
		switch st := e.GetSubscriptionStarted(); {
		case st != nil:
			t := st.GetTerms()
			f = first{stream: stream, from: e.Position.Commit, of: st.MerchantId + "/" + st.BuyerId + "/" + t.GetProductId()}
		case f.until == 0 && s.Status != subscription.Pending:
			f.until = e.Position.Commit
		}
	}
	return f
}

// lookAtGone checks that nothing was sent to a receiver again once it had said that it is gone.
func (w *world) lookAtGone() {
	rows, err := w.work.Query(context.Background(), `SELECT DISTINCT a.delivery_id FROM delivery_tries a
		JOIN delivery_tries b ON b.delivery_id = a.delivery_id AND b.number > a.number WHERE a.http_status = 410 ORDER BY 1`)
	if err != nil {
		w.violation("the tries cannot be read: %v", err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.violation("the tries cannot be read: %v", err)
			return
		}
		w.violation("I-10: notification %s was sent again to a receiver that is gone", id)
	}
}
