package payabl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
)

// trail is what payabl. has of one key: the payment, or what came before one.
type trail struct{ sales, redirects []transaction }

// trail asks for what was sent under a key at `sent` or later.
func (g *Gateway) trail(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (t trail, err error) {
	t.sales, err = g.byOrder(ctx, conn, orderID(roleSale, key), sent)
	if err != nil || len(t.sales) > 0 {
		return t, err
	}
	t.redirects, err = g.byOrder(ctx, conn, orderID(roleRedirect, key), sent)
	return t, err
}

// Lookup implements gateway.Gateway. It only looks: what a buyer has approved and is not charged yet is pending.
func (g *Gateway) Lookup(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
	t, err := g.trail(ctx, conn, key, sent)
	if err != nil {
		return gateway.Result{}, false, fmt.Errorf("look up %s: %w", key, err)
	}
	r, found := t.result(g.c.Clock.Now())
	return r, found, nil
}

// FindCharge implements gateway.Finder.
func (g *Gateway) FindCharge(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	m := storedMethod(c)
	switch {
	case m != nil && money.IsZero(c.Amount):
		return learned(c.Key, g.checkMethod(ctx, conn, c, m))
	case m != nil:
		return g.Lookup(ctx, conn, c.Key, sent)
	}
	// Two look-ups at once would both find a consent and no payment. PayPal's order ids are taken once only, but then one
	// of the two would see a refusal.
	order := orderID(roleSale, c.Key)
	if _, busy := g.concluding.LoadOrStore(order, true); busy {
		return g.Lookup(ctx, conn, c.Key, sent)
	}
	defer g.concluding.Delete(order)
	t, err := g.trail(ctx, conn, c.Key, sent)
	if err != nil {
		return gateway.Result{}, false, fmt.Errorf("look up %s: %w", c.Key, err)
	}
	return g.goOn(ctx, conn, c, t)
}

// goOn does what is next for a payment that began with a redirect.
func (g *Gateway) goOn(ctx context.Context, conn gateway.Connection, c gateway.Charge, t trail) (gateway.Result, bool, error) {
	now := g.c.Clock.Now()
	r, found := t.result(now)
	tx, next := t.next(now)
	switch next {
	case paysNext:
		return g.conclude(ctx, conn, c, tx)
	case capturesNext:
		return learned(c.Key, g.capture(ctx, conn, tx))
	case releasesNext:
		if v := g.Void(ctx, conn, tx.id); v.Class == gateway.Unknown || v.Class == gateway.NotSent {
			return gateway.Result{}, false, fmt.Errorf("release %s: %s", tx.id, v.Why)
		}
	}
	return r, found, nil
}

// conclude makes the first payment under the agreement that a buyer has approved. If it is refused, the refusal may be of
// a second one: the first, from before a crash, counts.
func (g *Gateway) conclude(ctx context.Context, conn gateway.Connection, c gateway.Charge, consent transaction) (gateway.Result, bool, error) {
	r := g.sell(ctx, conn, c, agreement(consent))
	if r.Class != gateway.Rejected {
		return learned(c.Key, r)
	}
	t, err := g.trail(ctx, conn, c.Key, g.c.Clock.Now().Add(-g.c.RedirectExpiry))
	if err != nil {
		return gateway.Result{}, false, fmt.Errorf("look up %s: %w", c.Key, err)
	}
	if earlier, found := strongest(t.sales, transaction.paid); found {
		return earlier, true, nil
	}
	return r, true, nil
}

// learned is the answer of a look-up that had to call: if the call has taught nothing, nothing is answered.
func learned(key string, r gateway.Result) (gateway.Result, bool, error) {
	if r.Class == gateway.Unknown || r.Class == gateway.NotSent {
		return gateway.Result{}, false, fmt.Errorf("look up %s: %s", key, r.Why)
	}
	return r, true, nil
}

// agreement is the stored method that a buyer's consent made.
func agreement(t transaction) *ledgerv1.PaymentMethod {
	return &ledgerv1.PaymentMethod{Reference: t.id, Brand: brandPayPal, AgreementId: t.id}
}

// result is what a trail amounts to; found is false if there is none.
func (t trail) result(now time.Time) (r gateway.Result, found bool) {
	if len(t.sales) > 0 {
		return strongest(t.sales, transaction.paid)
	}
	tx, note, ok := t.consent()
	switch {
	case len(t.redirects) == 0:
		return gateway.Result{}, false
	case !ok:
		return unknown("order %s: %v", t.redirects[0].order, errNoMemo), true
	}
	if code, isLost := t.lost(); isLost {
		return declined(tx.id, code), true
	}
	return tx.consented(note, now), true
}

// consent is the transaction that the buyer was sent away with: the one of its order id that carries our memo.
func (t trail) consent() (tx transaction, note memo, ok bool) {
	for _, tx := range t.redirects {
		if note, err := tx.memo(); err == nil {
			return tx, note, true
		}
	}
	return tx, note, false
}

// lost is the code with which an agreement ended. payabl. makes a new transaction of that, with the order id of the
// agreement's own.
func (t trail) lost() (int, bool) {
	for _, tx := range t.redirects {
		for _, s := range tx.steps {
			if codes[s.code].means == lost {
				return s.code, true
			}
		}
	}
	return 0, false
}

// move is what has to be done next for a payment that began with a redirect.
type move int

const (
	nothingNext move = iota
	paysNext
	capturesNext
	releasesNext
)

// next is what the buyer's approval calls for. Nothing is taken after the deadline; a reservation is given back then.
func (t trail) next(now time.Time) (transaction, move) {
	tx, note, ok := t.consent()
	_, isLost := t.lost()
	if !ok || isLost || len(t.sales) > 0 {
		return tx, nothingNext
	}
	given := tx.given()
	switch {
	case note.kind == first && given && now.Before(note.until):
		return tx, paysNext
	case note.kind == once && given && !tx.taken() && now.Before(note.until):
		return tx, capturesNext
	case note.kind == once && given && !tx.taken() && !now.Before(note.over()):
		return tx, releasesNext
	}
	return tx, nothingNext
}

// strongest picks what counts if one order id was carried out more than once: money that moved, else what may yet move.
func strongest(list []transaction, judge func(transaction) gateway.Result) (gateway.Result, bool) {
	var results []gateway.Result
	for _, t := range list {
		results = append(results, judge(t))
	}
	for _, class := range []gateway.Class{gateway.Accepted, gateway.Unknown, gateway.Pending, gateway.Rejected} {
		if i := slices.IndexFunc(results, func(r gateway.Result) bool { return r.Class == class }); i >= 0 {
			return results[i], true
		}
	}
	return gateway.Result{}, false
}

// The kinds of steps that say whether a payment was taken: https://docs.payabl.com/docs/diagnose-interface-1. What is
// asked for by payment_authorize is taken with its order; where a capture is told too, that has the last word.
func isOrder(s step) bool   { return s.kind == "order" }
func isCapture(s step) bool { return s.kind == "capture" || s.kind == "invoice" }
func isRefund(s step) bool  { return s.kind == "refund" }

func (t transaction) last(is func(step) bool) (step, bool) {
	for _, s := range slices.Backward(t.steps) {
		if is(s) {
			return s, true
		}
	}
	return step{}, false
}

// memo is what a transaction remembers of itself.
func (t transaction) memo() (memo, error) {
	for _, s := range t.steps {
		if m, err := parseMemo(s.custom); err == nil {
			return m, nil
		}
	}
	return memo{}, errNoMemo
}

// given reports whether the buyer has approved.
func (t transaction) given() bool {
	s, ok := t.last(isOrder)
	return ok && (codes[s.code].means == approved || codes[s.code].means == activated)
}

// taken reports whether a capture was asked for that has not failed.
func (t transaction) taken() bool {
	s, ok := t.last(isCapture)
	return ok && (codes[s.code].means == approved || codes[s.code].means == pending)
}

// paid is what a payment by payment_authorize amounts to.
func (t transaction) paid() gateway.Result {
	note, err := t.memo()
	if err != nil {
		return unknown("transaction %s: %v", t.id, err)
	}
	s, ok := t.last(isCapture)
	if !ok {
		s, ok = t.last(isOrder)
	}
	if !ok {
		return unknown("transaction %s has neither an order nor a capture", t.id)
	}
	return t.stepResult(s, note.method)
}

func (t transaction) stepResult(s step, m *ledgerv1.PaymentMethod) gateway.Result {
	switch codes[s.code].means {
	case approved:
		return acceptedResult(t.id, s.amount, m)
	case pending:
		return gateway.Result{Class: gateway.Pending, Reference: t.id}
	case activated:
		return unknown("transaction %s activated an agreement instead", t.id)
	}
	return declined(t.id, s.code)
}

// consented is what a payment amounts to as long as there is only what the buyer was sent away with.
func (t transaction) consented(note memo, now time.Time) gateway.Result {
	s, ok := t.last(isOrder)
	if !ok {
		return unknown("transaction %s has no order", t.id)
	}
	if c, captured := t.last(isCapture); captured && note.kind == once {
		return t.stepResult(c, nil)
	}
	waiting := codes[s.code].means == pending || t.given()
	switch {
	case !waiting:
		r := declined(t.id, s.code)
		r.Expired = s.code == codeAborted
		return r
	case t.given() && note.kind == store:
		if s.amount == nil {
			return unknown("transaction %s names no currency", t.id)
		}
		return acceptedResult(t.id, money.New(s.amount.CurrencyCode, 0), agreement(t))
	case now.Before(note.over()):
		return gateway.Result{Class: gateway.Pending, Reference: t.id, ExpiresAt: note.over()}
	}
	return gateway.Result{
		Class: gateway.Rejected, Reference: t.id, Expired: true,
		Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, Code: "expired",
	}
}

// capture takes a reservation.
func (g *Gateway) capture(ctx context.Context, conn gateway.Connection, t transaction) gateway.Result {
	a, r, ok := g.pay(ctx, conn, "payment_capture", params{"transactionid": t.id})
	if !ok {
		return r
	}
	if a.transaction != "" && a.transaction != t.id {
		return unknown("the answer is not about this payment")
	}
	switch codes[a.code].means {
	case approved:
		reserved, _ := t.last(isOrder)
		return acceptedResult(t.id, cmp.Or(a.amount, reserved.amount), nil)
	case pending:
		return gateway.Result{Class: gateway.Pending, Reference: t.id}
	}
	if r, ok := turnedAway(a.code); ok {
		return r
	}
	return g.afterRefusal(ctx, conn, t.id, a.code)
}

// afterRefusal is what a capture that was refused amounts to: an earlier one may have gone through.
func (g *Gateway) afterRefusal(ctx context.Context, conn gateway.Connection, id string, code int) gateway.Result {
	t, err := g.byID(ctx, conn, id)
	if err != nil || t == nil {
		return unknown("the capture of %s is refused with %d, and it was not found out about: %v", id, code, err)
	}
	if s, ok := t.last(isCapture); ok && t.taken() {
		return t.stepResult(s, nil)
	}
	return declined(id, code)
}

// errCaptured says that a payment was captured, and is returned by a refund only.
var errCaptured = errors.New("it is captured, and goes back by a refund")

// Void releases a reservation that is not captured: all that payment_reversal is for
// (https://docs.payabl.com/docs/reversalcancellation). Accepted means that nothing will be taken.
func (g *Gateway) Void(ctx context.Context, conn gateway.Connection, reference string) gateway.Result {
	t, err := g.byID(ctx, conn, reference)
	switch {
	case err != nil:
		return gateway.Result{Class: gateway.NotSent, Why: "whether it is captured was not found out: " + err.Error()}
	case t == nil:
		return refused("no_such_transaction", "payabl. has no such transaction")
	case t.taken():
		return refused("captured", errCaptured.Error())
	}
	a, r, ok := g.pay(ctx, conn, "payment_reversal", params{"transactionid": reference})
	if !ok {
		return r
	}
	if a.transaction != "" && a.transaction != reference {
		return unknown("the answer is not about this payment")
	}
	if codes[a.code].means == approved {
		return gateway.Result{Class: gateway.Accepted, Reference: reference, Amount: a.amount}
	}
	if r, ok := turnedAway(a.code); ok {
		return r
	}
	return declined(reference, a.code)
}
