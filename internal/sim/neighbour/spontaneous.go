package neighbour

import (
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// Short names for the stages and outcomes of disputes.
const (
	inquiry       = ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY
	opened        = ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED
	withdrawn     = ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN
	reinstated    = ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED
	closed        = ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED
	won           = ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON
	lostDispute   = ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST
	inquiryClosed = ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED
)

// dispute is a dispute of a capture; each capture has one at most.
type dispute struct {
	id                    string
	of                    *record
	amount, fee           *ledgerv1.Money
	stage                 ledgerv1.DisputeStage
	outcome               ledgerv1.DisputeOutcome
	withdrawn, reinstated time.Time
}

// schedule is a subscription that the gateway charges by itself.
type schedule struct {
	account
	subscription string
	amount       *ledgerv1.Money
}

// Schedule has the gateway charge a subscription by itself, whenever Act comes to it.
func (g *Gateway) Schedule(conn gateway.Connection, subscription string, amount *ledgerv1.Money) {
	alone(g, func(time.Time) struct{} {
		g.schedules = append(g.schedules, schedule{g.meet(conn), subscription, proto.CloneOf(amount)})
		return struct{}{}
	})
}

// EndSchedule has it stop.
func (g *Gateway) EndSchedule(merchant, connection, subscription string) {
	alone(g, func(time.Time) struct{} {
		g.schedules = filtered(g.schedules, func(s schedule) bool {
			return s.account != account{merchant, connection} || s.subscription != subscription
		})
		return struct{}{}
	})
}

// Act does one thing that nobody asked for, drawn by r, and says what; ok is false if there was nothing to be done. A
// silent gateway only ends agreements, which the next charge tells: nothing would ever tell of the rest.
//
// It keeps to captures that the ledger sells something by. A charge of a wrong amount, and a second capture of one
// number, belong to whoever sends them back.
func (g *Gateway) Act(r *rand.Rand) (what string, ok bool) {
	what = alone(g, func(now time.Time) string {
		acts := []func(*rand.Rand, time.Time) string{g.endAgreement}
		if !g.manners.silent {
			acts = append(acts, g.takePayment, g.returnSome, g.openDispute, g.goOn, g.goOn)
		}
		first := r.IntN(len(acts))
		for i := range acts {
			if what := acts[(first+i)%len(acts)](r, now); what != "" {
				g.hit(what)
				return what
			}
		}
		return ""
	})
	return what, what != ""
}

// sales are the captures that Act may touch.
func (g *Gateway) sales(now time.Time) []*record {
	return filtered(g.records, func(r *record) bool {
		s, moved := r.moved(now)
		late := moved && r.course[0].Class == gateway.Rejected && !r.told // its number may be paid again before it is heard of
		return moved && r.of == nil && s.Amount.GetMinorUnits() > 0 && proto.Equal(s.Amount, r.asked) && !late && !g.capturedTwice(r, now)
	})
}

func filtered[T any](all []T, keep func(T) bool) []T {
	var some []T
	for _, v := range all {
		if keep(v) {
			some = append(some, v)
		}
	}
	return some
}

// one is any of a list; ok is false if that is empty.
func one[T any](r *rand.Rand, list []T) (v T, ok bool) {
	if len(list) == 0 {
		return v, false
	}
	return list[r.IntN(len(list))], true
}

// endAgreement is the buyer cancelling at the gateway.
func (g *Gateway) endAgreement(r *rand.Rand, now time.Time) string {
	m, ok := one(r, filtered(g.methods, func(m *method) bool { return !m.revoked && !m.since.After(now) }))
	if !ok {
		return ""
	}
	m.revoked = true
	g.send(m.account, message{
		Kind: gateway.NoticeAgreement, Subscription: m.subscription, Method: m.Reference, Code: "agreement_cancelled",
	}, now, now, true)
	return SelfAgreement
}

// takePayment charges by the gateway's own schedule.
func (g *Gateway) takePayment(r *rand.Rand, now time.Time) string {
	s, ok := one(r, g.schedules)
	if !ok {
		return ""
	}
	c := &record{
		account: s.account, reference: g.next("ch"), asked: s.amount, visible: now, told: true,
		about: gateway.Charge{Merchant: s.merchant, Subscription: s.subscription},
	}
	c.course = []step{{now, gateway.Result{Class: gateway.Accepted, Reference: c.reference, At: now, Amount: s.amount}}}
	g.records = append(g.records, c)
	g.send(s.account, message{
		Kind: gateway.NoticePayment, Subscription: s.subscription,
		Payment: &gateway.ObservedPayment{Reference: c.reference, Amount: s.amount, At: now},
	}, now, now, false)
	return SelfPayment
}

// returnSome is a refund at the gateway's desk.
func (g *Gateway) returnSome(r *rand.Rand, now time.Time) string {
	of, ok := one(r, filtered(g.sales(now), func(c *record) bool { return g.left(c, now) > 0 }))
	if !ok {
		return ""
	}
	minor := g.left(of, now)
	if r.IntN(2) == 0 {
		minor = 1 + r.Int64N(minor)
	}
	f := g.deskRefund(of, minor, now)
	g.send(of.account, message{
		Kind: gateway.NoticeRefundMade, Subscription: of.about.Subscription,
		Refund: &gateway.ObservedRefund{
			Reference: f.reference, ChargeKey: of.key, ChargeReference: of.reference, Amount: f.asked, Reason: "requested_by_customer", At: now,
		},
	}, now, now, false)
	return SelfRefund
}

// openDispute begins a dispute about all of a capture or a part: the bank does not ask what went back already.
func (g *Gateway) openDispute(r *rand.Rand, now time.Time) string {
	of, ok := one(r, filtered(g.sales(now), func(c *record) bool { return !g.disputed(c) }))
	if !ok {
		return ""
	}
	s, _ := of.moved(now)
	d := &dispute{id: g.next("dp"), of: of, amount: proto.CloneOf(s.Amount), stage: opened}
	if r.IntN(4) == 0 {
		d.amount.MinorUnits = 1 + r.Int64N(d.amount.MinorUnits)
	}
	if r.IntN(2) == 0 {
		d.fee = &ledgerv1.Money{CurrencyCode: d.amount.CurrencyCode, MinorUnits: 1500}
	}
	what := SelfOpened
	if r.IntN(3) == 0 {
		d.stage, what = inquiry, SelfInquiry
	}
	g.disputes = append(g.disputes, d)
	g.tellDispute(d, now)
	return what
}

func (g *Gateway) disputed(c *record) bool {
	for _, d := range g.disputes {
		if d.of == c {
			return true
		}
	}
	return false
}

// goOn takes a dispute one stage on.
func (g *Gateway) goOn(r *rand.Rand, now time.Time) string {
	d, ok := one(r, filtered(g.disputes, (*dispute).open))
	if !ok {
		return ""
	}
	what := d.goOn(r.IntN(2) == 0, now)
	g.tellDispute(d, now)
	return what
}

// open reports whether something can still happen to a dispute.
func (d *dispute) open() bool {
	return d.stage != reinstated && (d.stage != closed || d.outcome == won)
}

// goOn does what comes next: an inquiry ends or becomes a dispute, the bank takes the money, somebody wins, and if that
// is the merchant, the money comes back.
func (d *dispute) goOn(well bool, now time.Time) string {
	switch {
	case d.stage == inquiry && well:
		d.stage, d.outcome = closed, inquiryClosed
		return SelfInquiryClosed
	case d.stage == inquiry:
		d.stage = opened
		return SelfOpened
	case d.stage == opened:
		d.stage, d.withdrawn = withdrawn, now
		return SelfWithdrawn
	case d.stage == closed:
		d.stage, d.reinstated = reinstated, now
		return SelfReinstated
	case well:
		d.stage, d.outcome = closed, won
		return SelfWon
	}
	d.stage, d.outcome = closed, lostDispute
	return SelfLost
}

func (g *Gateway) tellDispute(d *dispute, now time.Time) {
	told := &gateway.Dispute{
		ID: d.id, ChargeKey: d.of.key, ChargeReference: d.of.reference, Stage: d.stage, Amount: proto.CloneOf(d.amount),
		Reason: "fraudulent", Outcome: d.outcome, At: now,
	}
	if d.stage == withdrawn {
		told.Fee = d.fee
	}
	g.send(d.of.account, message{Kind: gateway.NoticeDispute, Subscription: d.of.about.Subscription, Key: d.of.key, Dispute: told}, now, now, false)
}
