package neighbour

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// Short names for the categories.
const (
	soft        = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	hard        = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	buyerAction = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
)

// Outcome is what a one-time token has its charge come to.
type Outcome string

// The outcomes of a token.
const (
	Accepted      Outcome = "accepted"
	Soft          Outcome = "soft"
	Hard          Outcome = "hard"
	BuyerAction   Outcome = "buyer_action"
	StopOrder     Outcome = "stop_order"
	AgreementLost Outcome = "agreement_lost"
	Pending       Outcome = "pending"
	Mismatch      Outcome = "mismatch"
)

// Token is a one-time token with an outcome. Any other token leaves the outcome to Mischief.
func Token(o Outcome, id string) string { return string(o) + "." + id }

// method is a stored payment method.
type method struct {
	account
	*ledgerv1.PaymentMethod
	subscription string
	since        time.Time
	revoked      bool
}

// Charge implements gateway.Gateway.
func (g *Gateway) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	if err := ctx.Err(); err != nil {
		return gateway.Result{Class: gateway.NotSent, Why: err.Error()}
	}
	k := call{key: c.Key, amount: c.Amount, window: g.manners.charges}
	if c.Amount.GetMinorUnits() == 0 {
		k.window = g.manners.methods
	}
	if c.PayNumber > 0 {
		k.pays = fmt.Sprintf("pay number %d of %s/%s", c.PayNumber, c.Merchant, c.Subscription)
	}
	return alone(g, func(now time.Time) gateway.Result {
		if conn.Blocked != "" {
			g.violation("key %s charges through an account that the ledger has blocked: %s", c.Key, conn.Blocked)
		}
		return g.carryOut(conn, k, now, func(a account) *record { return g.charge(a, c, now) })
	})
}

// carryOut is what charges and refunds have in common: they may not arrive, be known already, have an effect that
// nobody is told of, and so on.
func (g *Gateway) carryOut(conn gateway.Connection, c call, now time.Time, do func(account) *record) gateway.Result {
	a := g.meet(conn)
	if res, away := g.turnedAway(a, now); away {
		return res
	}
	u := g.arrive(a, c, now)
	if g.chance(g.Mischief.LostOnTheWay) {
		g.hit(CallLostOnTheWay)
		return unknown("connection reset by peer")
	}
	if res, ok := g.recognised(u, c, now); ok {
		return copied(res)
	}
	broken := g.chance(g.Mischief.Broken)
	if broken && g.chance(0.5) {
		g.hit(CallBrokenUndone)
		if g.manners.repeated == firstAnswer {
			u.since, u.answer, u.failed = now, unknown("500"), false
		}
		return unknown("500")
	}
	r := do(a)
	g.records = append(g.records, r)
	u.records = append(u.records, r)
	for i := range r.course {
		g.tellOf(r, i, now)
	}
	u.since, u.failed = now, false
	if broken {
		g.hit(CallBrokenDone)
		u.answer = unknown("500")
		return u.answer
	}
	if res, ok := g.spoil(); ok {
		s, _ := r.standing(now)
		u.answer = s.Result // a repeat is answered as this call should have been
		return res
	}
	u.answer = g.say(u, r, now)
	return copied(u.answer)
}

// copied is a result of the caller's own.
func copied(r gateway.Result) gateway.Result {
	r.Amount, r.Fee, r.Settled = proto.CloneOf(r.Amount), proto.CloneOf(r.Fee), proto.CloneOf(r.Settled)
	r.Method, r.NextAction = proto.CloneOf(r.Method), proto.CloneOf(r.NextAction)
	return r
}

// charge enters a charge into the book.
func (g *Gateway) charge(a account, c gateway.Charge, now time.Time) *record {
	r := &record{
		account: a, key: c.Key, reference: g.next("ch"), asked: proto.CloneOf(c.Amount), visible: g.visibleFrom(now), about: c,
		instrument: c.Token,
	}
	if c.Method != nil {
		r.instrument = c.Method.Reference
	}
	g.judgeInstrument(r, now)
	r.course = g.courseOf(r, now)
	return r
}

// visibleFrom is when look-ups begin to find what is done now.
func (g *Gateway) visibleFrom(now time.Time) time.Time {
	if g.chance(g.Mischief.Lagging) {
		return now.Add(g.within(g.manners.lag()))
	}
	return now
}

// judgeInstrument: what was refused for good is not tried again. That counts between payments, for until the answer to one
// is heard no other one is asked for; while a method is being stored, payments go on, and neither hears of the other.
func (g *Gateway) judgeInstrument(r *record, now time.Time) {
	before := g.refused[name{r.account, r.instrument}]
	if before == nil || r.instrument == "" || before.asked.GetMinorUnits() == 0 || r.asked.GetMinorUnits() == 0 {
		return
	}
	if s, _ := before.standing(now); s.Class == gateway.Rejected { // it may have been captured after all
		g.violation("key %s charges %s, which was refused for good under key %s: %s", r.key, r.instrument, before.key, s.Code)
	}
}

// courseOf plans what becomes of a charge.
func (g *Gateway) courseOf(r *record, now time.Time) []step {
	m, known := g.findMethod(r)
	switch {
	case r.about.Method != nil && !known:
		g.hit(ChargeUnknownMethod)
		return []step{{now, declined(r, hard, "unknown_method")}}
	case known && m.revoked:
		return []step{{now, lost(r)}}
	}
	o := g.outcome(r)
	nothing := r.asked.GetMinorUnits() == 0
	switch {
	case o == Pending || r.about.Token == "" && r.about.Method == nil:
		return g.pendingCourse(r, now)
	case o == Mismatch && !nothing:
		return []step{{now, g.mismatch(r, now)}}
	case o == AgreementLost && known:
		m.revoked = true
		g.hit(ChargeAgreementLost)
		return []step{{now, lost(r)}}
	}
	d, isDecline := g.decline(r, o)
	if !isDecline {
		return []step{{now, g.accepted(r, r.asked, now)}}
	}
	course := []step{{now, d}}
	if !nothing && !d.StopOrder && !g.manners.silent && g.chance(g.Mischief.LateCapture) {
		g.hit(ChargeLateCapture)
		at := now.Add(g.manners.Horizon + g.within(5*24*time.Hour))
		course = append(course, step{at, g.accepted(r, r.asked, at)})
	}
	return course
}

func (g *Gateway) findMethod(r *record) (*method, bool) {
	for _, m := range g.methods {
		if m.account == r.account && r.about.Method != nil && m.Reference == r.instrument {
			return m, true
		}
	}
	return nil, false
}

// outcome is what the token says, else what is drawn.
func (g *Gateway) outcome(r *record) Outcome {
	if o, _, ok := strings.Cut(r.about.Token, "."); ok {
		switch o := Outcome(o); o {
		case Accepted, Soft, Hard, BuyerAction, StopOrder, AgreementLost, Pending, Mismatch:
			return o
		}
	}
	m := g.Mischief
	for _, k := range []struct {
		p float64
		o Outcome
	}{
		{m.Soft, Soft}, {m.Hard, Hard}, {m.BuyerAction, BuyerAction}, {m.StopOrder, StopOrder},
		{m.AgreementLost, AgreementLost}, {m.Pending, Pending}, {m.Mismatch, Mismatch},
	} {
		if g.chance(k.p) {
			return k.o
		}
	}
	return Accepted
}

// decline is the refusal that an outcome means, if it does.
func (g *Gateway) decline(r *record, o Outcome) (gateway.Result, bool) {
	switch o {
	case Soft:
		g.hit(ChargeSoft)
		return declined(r, soft, "insufficient_funds"), true
	case Hard:
		g.hit(ChargeHard)
		return declined(r, hard, "lost_card"), true
	case BuyerAction:
		g.hit(ChargeBuyerAction)
		return declined(r, buyerAction, "authentication_required"), true
	case StopOrder:
		g.hit(ChargeStopOrder)
		res := declined(r, hard, "stop_payment_order")
		res.StopOrder = true
		return res, true
	case AgreementLost: // there is no agreement yet
		return declined(r, hard, "no_agreement"), true
	}
	return gateway.Result{}, false
}

func declined(r *record, category ledgerv1.DeclineCategory, code string) gateway.Result {
	return gateway.Result{Class: gateway.Rejected, Reference: r.reference, Category: category, Code: code, Message: "Declined."}
}

func lost(r *record) gateway.Result {
	res := declined(r, hard, "agreement_cancelled")
	res.AgreementLost = true
	return res
}

// accepted is a capture, with the method that it used or stored.
func (g *Gateway) accepted(r *record, amount *ledgerv1.Money, at time.Time) gateway.Result {
	res := gateway.Result{Class: gateway.Accepted, Reference: r.reference, At: at, Amount: amount, Method: r.about.Method}
	if res.Method == nil {
		res.Method = &ledgerv1.PaymentMethod{Reference: g.next("pm"), Brand: "visa", Last4: "4242"}
		g.methods = append(g.methods, &method{account: r.account, PaymentMethod: res.Method, subscription: r.about.Subscription, since: at})
	}
	if g.manners.tellsFee && amount.GetMinorUnits() > 0 {
		res.Fee = &ledgerv1.Money{CurrencyCode: amount.CurrencyCode, MinorUnits: amount.MinorUnits / 40}
	}
	return res
}

// mismatch is a capture of something else than was asked for.
func (g *Gateway) mismatch(r *record, at time.Time) gateway.Result {
	wrong := proto.CloneOf(r.asked)
	if g.chance(0.5) {
		g.hit(ChargeWrongAmount)
		wrong.MinorUnits++
	} else {
		g.hit(ChargeWrongCurrency)
		wrong.CurrencyCode = "EUR"
		if r.asked.CurrencyCode == "EUR" {
			wrong.CurrencyCode = "USD"
		}
	}
	return g.accepted(r, wrong, at)
}

// pendingCourse is that of a charge which is decided within a day: by whom, the gateway does not say. It never is
// captured after the end that it named.
func (g *Gateway) pendingCourse(r *record, now time.Time) []step {
	at := now.Add(g.within(20 * time.Hour))
	waits := gateway.Result{Class: gateway.Pending, Reference: r.reference}
	if g.chance(0.5) {
		waits.ExpiresAt = at.Add(g.within(4 * time.Hour))
	}
	if r.about.Token == "" && r.about.Method == nil {
		waits.NextAction = &ledgerv1.NextAction{RedirectUrl: "https://" + string(g.Behaviour) + ".example/pay/" + r.reference}
	}
	var decided gateway.Result
	switch n := g.Random.IntN(5); {
	case n < 3:
		g.hit(ChargePendingAccepted)
		decided = g.accepted(r, r.asked, at)
	case n == 3:
		g.hit(ChargePendingDeclined)
		decided = declined(r, soft, "insufficient_funds")
	default:
		g.hit(ChargePendingExpired)
		waits.ExpiresAt = at
		decided = declined(r, soft, "expired")
		decided.Expired = true
	}
	return []step{{now, waits}, {at, decided}}
}

// Store gives an account a stored method that it had before the ledger came: an imported subscription's.
func (g *Gateway) Store(conn gateway.Connection, subscription string, m *ledgerv1.PaymentMethod) {
	alone(g, func(time.Time) struct{} {
		g.methods = append(g.methods, &method{account: g.meet(conn), PaymentMethod: proto.CloneOf(m), subscription: subscription})
		return struct{}{}
	})
}
