package neighbour

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// Refund implements gateway.Gateway.
func (g *Gateway) Refund(ctx context.Context, conn gateway.Connection, f gateway.Refund) gateway.Result {
	if err := ctx.Err(); err != nil {
		return gateway.Result{Class: gateway.NotSent, Why: err.Error()}
	}
	k := call{key: f.Key, amount: f.Amount, window: g.manners.refunds}
	return alone(g, func(now time.Time) gateway.Result {
		return g.carryOut(conn, k, now, func(a account) *record { return g.refund(a, f, now) })
	})
}

// refund enters a refund into the book.
func (g *Gateway) refund(a account, f gateway.Refund, now time.Time) *record {
	of := g.captureNamed(a, f.ChargeReference, now)
	r := &record{
		account: a, key: f.Key, reference: g.next("re"), asked: proto.CloneOf(f.Amount), visible: g.visibleFrom(now), of: of,
	}
	if of != nil {
		r.about.Merchant, r.about.Subscription = of.about.Merchant, of.about.Subscription
		g.judgeRefund(r, now)
	}
	r.course = g.refundCourse(r, now)
	return r
}

func (g *Gateway) captureNamed(a account, reference string, now time.Time) *record {
	for _, r := range g.records {
		if _, moved := r.moved(now); moved && r.account == a && r.of == nil && r.reference == reference {
			return r
		}
	}
	return nil
}

// judgeRefund: what the ledger asks to return, over all its refunds of a charge, is no more than was captured.
func (g *Gateway) judgeRefund(r *record, now time.Time) {
	s, _ := r.of.moved(now)
	asked := r.asked.MinorUnits
	for _, other := range g.records {
		if other.of == r.of && other.key != "" && other.key != r.key && other.goesBack(now) {
			asked += other.asked.MinorUnits
		}
	}
	if asked > s.Amount.MinorUnits {
		g.violation("refund %s makes it %d that is asked back of charge %s, which captured %d", r.key, asked, r.of.reference, s.Amount.MinorUnits)
	}
}

// goesBack reports whether a refund's money is away, or may be.
func (r *record) goesBack(now time.Time) bool {
	s, _ := r.standing(now)
	return r.of != nil && s.Class != gateway.Rejected
}

// left is what is left of a capture: less what went back, and what the bank took.
func (g *Gateway) left(of *record, now time.Time) int64 {
	s, _ := of.moved(now)
	left := s.Amount.GetMinorUnits()
	for _, r := range g.records {
		if r.of == of && r.goesBack(now) {
			left -= r.asked.MinorUnits
		}
	}
	for _, d := range g.disputes {
		if d.of == of && !d.withdrawn.IsZero() && d.reinstated.IsZero() {
			left -= d.amount.MinorUnits
		}
	}
	return left
}

// refundCourse plans what becomes of a refund. That of a second capture of one pay number goes well: the ledger asks for
// it under one key for ever, and a refusal would have it ask in vain.
func (g *Gateway) refundCourse(r *record, now time.Time) []step {
	if r.of == nil || r.asked.MinorUnits > g.left(r.of, now) {
		g.hit(RefundTooMuch)
		return []step{{now, refused(r, "amount_too_large")}}
	}
	if s, _ := r.of.moved(now); s.Amount.CurrencyCode != r.asked.CurrencyCode {
		g.hit(RefundTooMuch)
		return []step{{now, refused(r, "currency_mismatch")}}
	}
	done := gateway.Result{Class: gateway.Accepted, Reference: r.reference, At: now, Amount: r.asked}
	certain := g.capturedTwice(r.of, now)
	switch {
	case !certain && g.chance(g.Mischief.RefundDeclined):
		g.hit(RefundRefused)
		return []step{{now, refused(r, "charge_disputed")}}
	case g.chance(g.Mischief.RefundPending):
		return g.pendingRefund(r, now, certain)
	case !certain && !g.manners.silent && g.chance(g.Mischief.RefundReversed):
		g.hit(RefundReversed)
		at := now.Add(g.manners.Horizon + g.within(5*24*time.Hour))
		back := refused(r, "account_closed")
		back.Reversed, back.At = true, at
		return []step{{now, done}, {at, back}}
	}
	return []step{{now, done}}
}

func refused(r *record, code string) gateway.Result {
	return gateway.Result{Class: gateway.Rejected, Reference: r.reference, Category: hard, Code: code, Message: "The refund failed."}
}

// pendingRefund is the course of a refund that is decided within two days.
func (g *Gateway) pendingRefund(r *record, now time.Time, certain bool) []step {
	at := now.Add(g.within(48 * time.Hour))
	waits := gateway.Result{Class: gateway.Pending, Reference: r.reference}
	if !certain && g.chance(0.3) {
		g.hit(RefundPendingFailed)
		return []step{{now, waits}, {at, refused(r, "account_closed")}}
	}
	g.hit(RefundPendingSucceeded)
	return []step{{now, waits}, {at, gateway.Result{Class: gateway.Accepted, Reference: r.reference, At: at, Amount: r.asked}}}
}

// capturedTwice reports whether another charge has captured for the same pay number.
func (g *Gateway) capturedTwice(of *record, now time.Time) bool {
	for _, r := range g.records {
		if _, moved := r.moved(now); moved && r != of && r.of == nil && of.about.PayNumber != 0 && samePayment(r.about, of.about) {
			return true
		}
	}
	return false
}

func samePayment(a, b gateway.Charge) bool {
	return a.Merchant == b.Merchant && a.Subscription == b.Subscription && a.PayNumber == b.PayNumber
}

// ReturnAtDesk returns what is left of a capture, as somebody does who then tells the ledger of it himself: a charge of
// a wrong amount is resolved so. There is no webhook. ok is false if there is nothing to return.
func (g *Gateway) ReturnAtDesk(merchant, connection, chargeReference string) (reference string, ok bool) {
	reference = alone(g, func(now time.Time) string {
		of := g.captureNamed(account{merchant, connection}, chargeReference, now)
		if of == nil || g.left(of, now) <= 0 {
			return ""
		}
		return g.deskRefund(of, g.left(of, now), now).reference
	})
	return reference, reference != ""
}

// deskRefund returns money past the ledger.
func (g *Gateway) deskRefund(of *record, minor int64, now time.Time) *record {
	s, _ := of.moved(now)
	r := &record{
		account: of.account, reference: g.next("re"), visible: now, of: of, about: of.about,
		asked: &ledgerv1.Money{CurrencyCode: s.Amount.CurrencyCode, MinorUnits: minor},
	}
	r.course = []step{{now, gateway.Result{Class: gateway.Accepted, Reference: r.reference, At: now, Amount: r.asked}}}
	g.records = append(g.records, r)
	return r
}
