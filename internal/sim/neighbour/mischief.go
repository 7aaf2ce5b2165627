package neighbour

import (
	"math/rand/v2"
	"reflect"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Mischief says how often a gateway does what; each is a probability. Some kinds exclude each other: of those of one
// paragraph the first that is drawn counts.
type Mischief struct {
	// What becomes of a charge whose token does not say; see Token.
	Soft, Hard, BuyerAction, StopOrder, AgreementLost, Pending, Mismatch float64

	// A charge that was told as declined is captured after all, within days. A silent gateway does not do that: nobody
	// looks up again what is decided.
	LateCapture float64

	// What becomes of a refund. Reversed: it succeeds and comes back, within days; not at a silent gateway either.
	RefundDeclined, RefundPending, RefundReversed float64

	// What becomes of a call. LostOnTheWay: it is in doubt and has done nothing. Broken: a 500, with or without effect.
	// Untold: it has its effect, and the answer is a time-out, a reset, or garbage.
	TooMany, Unauthorized, LostOnTheWay, Broken, Untold float64

	// What becomes of a look-up. Lagging: for a while, a record is not found.
	Lagging, LookupFails float64

	// What becomes of a webhook. Lost is only what a look-up finds that the ledger has promised; see Webhook.
	Lost, Early, Late, Twice, TenTimes, Edited, Forged float64
}

// DrawMischief draws a character: some kinds never happen, others happen often.
func DrawMischief(r *rand.Rand) Mischief {
	var m Mischief
	drawInto(r, reflect.ValueOf(&m).Elem())
	return m
}

// drawInto sets each probability of a struct: half of them to 0, the others to at most 0.4 and mostly to much less,
// so that not every charge comes to grief.
func drawInto(r *rand.Rand, kinds reflect.Value) {
	for i := range kinds.NumField() {
		p := 0.4 * r.Float64() * r.Float64()
		if r.IntN(2) == 0 {
			kinds.Field(i).SetFloat(p)
		}
	}
}

// The faults of a gateway. What is decided later is exercised when it is planned.
const (
	ChargeSoft            = "charge.soft"
	ChargeHard            = "charge.hard"
	ChargeBuyerAction     = "charge.buyer_action"
	ChargeStopOrder       = "charge.stop_order"
	ChargeAgreementLost   = "charge.agreement_lost"
	ChargeUnknownMethod   = "charge.unknown_method"
	ChargePendingAccepted = "charge.pending_accepted"
	ChargePendingDeclined = "charge.pending_declined"
	ChargePendingExpired  = "charge.pending_expired"
	ChargeWrongAmount     = "charge.wrong_amount"
	ChargeWrongCurrency   = "charge.wrong_currency"
	ChargeLateCapture     = "charge.late_capture"

	RefundRefused          = "refund.refused"
	RefundTooMuch          = "refund.too_much"
	RefundPendingSucceeded = "refund.pending_succeeded"
	RefundPendingFailed    = "refund.pending_failed"
	RefundReversed         = "refund.reversed"

	CallTooMany       = "call.too_many"
	CallUnauthorized  = "call.unauthorized"
	CallLostOnTheWay  = "call.lost_on_the_way"
	CallBrokenUndone  = "call.broken_without_effect"
	CallBrokenDone    = "call.broken_with_effect"
	CallTimeoutDone   = "call.timeout_with_effect"
	CallResetDone     = "call.reset_with_effect"
	CallGarbledDone   = "call.garbled_with_effect"
	KeyFirstAnswer    = "key.first_answer"
	KeyFailureAgain   = "key.failure_again"
	KeyPresentState   = "key.present_state"
	KeyDuplicate      = "key.duplicate"
	LookupNotYet      = "lookup.not_yet"
	LookupFailed      = "lookup.failed"
	WebhookLost       = "webhook.lost"
	WebhookEarly      = "webhook.early"
	WebhookLate       = "webhook.late"
	WebhookTwice      = "webhook.twice"
	WebhookTenTimes   = "webhook.ten_times"
	WebhookEdited     = "webhook.edited"
	WebhookForged     = "webhook.forged"
	SelfInquiry       = "self.dispute_inquiry"
	SelfOpened        = "self.dispute_opened"
	SelfWithdrawn     = "self.dispute_funds_withdrawn"
	SelfReinstated    = "self.dispute_funds_reinstated"
	SelfWon           = "self.dispute_won"
	SelfLost          = "self.dispute_lost"
	SelfInquiryClosed = "self.dispute_inquiry_closed"
	SelfRefund        = "self.refund_made"
	SelfAgreement     = "self.agreement_ended"
	SelfPayment       = "self.payment_made"

	// KeyCarriedOutAgain is a fault of the ledger's, and none that it can be expected to cause.
	KeyCarriedOutAgain = "key.carried_out_again"
)

// Faults lists the names that a gateway or the receivers tell to Hit, but KeyCarriedOutAgain.
func Faults() []string {
	return append([]string{
		ChargeSoft, ChargeHard, ChargeBuyerAction, ChargeStopOrder, ChargeAgreementLost, ChargeUnknownMethod,
		ChargePendingAccepted, ChargePendingDeclined, ChargePendingExpired, ChargeWrongAmount, ChargeWrongCurrency, ChargeLateCapture,
		RefundRefused, RefundTooMuch, RefundPendingSucceeded, RefundPendingFailed, RefundReversed,
		CallTooMany, CallUnauthorized, CallLostOnTheWay, CallBrokenUndone, CallBrokenDone, CallTimeoutDone, CallResetDone, CallGarbledDone,
		KeyFirstAnswer, KeyFailureAgain, KeyPresentState, KeyDuplicate, LookupNotYet, LookupFailed,
		WebhookLost, WebhookEarly, WebhookLate, WebhookTwice, WebhookTenTimes, WebhookEdited, WebhookForged,
		SelfInquiry, SelfOpened, SelfWithdrawn, SelfReinstated, SelfWon, SelfLost, SelfInquiryClosed, SelfRefund, SelfAgreement, SelfPayment,
	}, receiverFaults()...)
}

// absence is that an account turns everybody away for a while.
type absence struct {
	until  time.Time
	config bool // it does not accept the credentials
}

// turnedAway is the answer to a call that is not even looked at.
func (g *Gateway) turnedAway(a account, now time.Time) (gateway.Result, bool) {
	if !now.Before(g.away[a].until) {
		switch {
		case g.chance(g.Mischief.TooMany):
			g.away[a] = absence{until: now.Add(g.within(5 * time.Minute))}
		case g.chance(g.Mischief.Unauthorized):
			g.away[a] = absence{until: now.Add(g.within(30 * time.Minute)), config: true}
		default:
			return gateway.Result{}, false
		}
	}
	is := g.away[a]
	if is.config {
		g.hit(CallUnauthorized)
		return gateway.Result{Class: gateway.NotSent, Config: true, Why: "401"}, true
	}
	g.hit(CallTooMany)
	res := gateway.Result{Class: gateway.NotSent, Why: "429"}
	if g.chance(0.5) {
		res.RetryAfter = is.until.Sub(now)
	}
	return res, true
}

// spoil is the answer that comes in place of a good one; ok is false if the good one comes.
func (g *Gateway) spoil() (res gateway.Result, ok bool) {
	if !g.chance(g.Mischief.Untold) {
		return res, false
	}
	f := [...]struct{ fault, why string }{
		{CallTimeoutDone, "no answer in time"},
		{CallResetDone, "connection reset by peer"},
		{CallGarbledDone, "the answer cannot be read"},
	}[g.Random.IntN(3)]
	g.hit(f.fault)
	return unknown(f.why), true
}
