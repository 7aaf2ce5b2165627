package neighbour

import (
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// Behaviour is whose way of dealing with repeated keys, look-ups and webhooks a gateway has.
type Behaviour string

// The behaviours.
const (
	LikeStripe       Behaviour = "stripe"
	LikePayPal       Behaviour = "paypal"
	LikePayabl       Behaviour = "payabl"
	LikeBraintree    Behaviour = "braintree"
	LikeAuthorizeNet Behaviour = "authorizenet"
)

// Behaviours lists them.
func Behaviours() []Behaviour {
	return []Behaviour{LikeStripe, LikePayPal, LikePayabl, LikeBraintree, LikeAuthorizeNet}
}

// manners are how a gateway deals with the world.
type manners struct {
	gateway.Traits
	repeated repeated
	// How long a repeated key is recognised. It may be longer than the traits promise, never shorter.
	charges, refunds, methods time.Duration
	silent                    bool // sends no webhooks
	tellsFee                  bool
}

// repeated is what a gateway does with a key that it recognises.
type repeated int

const (
	neverRecognised repeated = iota
	firstAnswer              // the answer of the first call, whatever has become of it since, and be it a 500
	presentState             // what has become of the first call
	aDuplicate               // a refusal that does not say what it duplicates
)

// behaviours are the five, with their figures from the gateways' own documentation; where that names several, the trait
// is the shortest.
var behaviours = map[Behaviour]manners{
	// https://docs.stripe.com/api/idempotent_requests
	LikeStripe: {
		Traits: gateway.Traits{KeyLifetime: 24 * time.Hour, Horizon: 10 * time.Minute}, repeated: firstAnswer,
		charges: 24 * time.Hour, refunds: 24 * time.Hour, methods: 24 * time.Hour, tellsFee: true,
	},
	// https://developer.paypal.com/api/rest/reference/idempotency/
	LikePayPal: {
		Traits: gateway.Traits{KeyLifetime: 3 * time.Hour, Horizon: 10 * time.Minute}, repeated: presentState,
		charges: 6 * time.Hour, refunds: 45 * 24 * time.Hour, methods: 3 * time.Hour, tellsFee: true,
	},
	// An orderid is for the merchant's convenience only. https://docs.payabl.com/docs/parameters
	LikePayabl: {Traits: gateway.Traits{Horizon: 15 * time.Minute}, silent: true},
	// https://developer.paypal.com/braintree/articles/control-panel/transactions/duplicate-checking
	LikeBraintree: {
		Traits: gateway.Traits{Horizon: 10 * time.Minute}, repeated: aDuplicate,
		charges: 30 * time.Second, refunds: 30 * time.Second, methods: 30 * time.Second,
	},
	// The longest duplicateWindow that can be asked for; and lists of what is not settled lag behind.
	// https://developer.authorize.net/api/reference/features/payment-transactions.html
	LikeAuthorizeNet: {
		Traits: gateway.Traits{KeyLifetime: 8 * time.Hour, Horizon: 30 * time.Minute}, repeated: presentState,
		charges: 8 * time.Hour, refunds: 8 * time.Hour, methods: 8 * time.Hour,
	},
}

// lag is how long a record may be hidden, and a look-up that finds nothing proves something after it. It is half of
// what is promised: a call may be held up on its way, and counts from when it was sent.
func (m manners) lag() time.Duration { return m.Horizon / 2 }

// call is a charge or a refund that was asked for.
type call struct {
	key    string
	amount *ledgerv1.Money
	window time.Duration // how long its key is recognised
	pays   string        // the pay number that it is for; empty if none
}

// use is what came of a key.
type use struct {
	name
	asked       *ledgerv1.Money
	first, last time.Time // when it arrived
	proof       time.Time // when a look-up proved that nothing had come of it
	settled     bool      // the ledger was told that it charged nothing, or something else than it asked for
	since       time.Time // when the gateway began to recognise it; zero if it does not
	answer      gateway.Result
	failed      bool // the first answer was a failure that is not repeated any more
	records     []*record
}

// arrive notes that a key has come, and judges whether it may.
func (g *Gateway) arrive(a account, c call, now time.Time) *use {
	n := name{a, c.key}
	u := g.uses[n]
	if u == nil {
		u = &use{name: n, asked: proto.CloneOf(c.amount), first: now}
		g.uses[n] = u
		if c.pays != "" {
			g.judgeSecond(u, c.pays)
			g.numbers[c.pays] = append(g.numbers[c.pays], u)
		}
	} else {
		g.judgeRepeat(u, c, now)
	}
	u.last = now
	return u
}

// judgeRepeat: a key may come again only while it is promised that it is recognised, or after proof of absence.
func (g *Gateway) judgeRepeat(u *use, c call, now time.Time) {
	switch proved := !u.proof.Before(u.last) && !u.proof.IsZero(); {
	case !proto.Equal(u.asked, c.amount):
		g.violation("key %s came again with another amount", c.key)
	case proved:
		u.first = now
	case g.manners.KeyLifetime == 0:
		g.violation("key %s came again without proof that it had not come before", c.key)
	case now.Sub(u.first) > g.manners.KeyLifetime:
		g.violation("key %s came again after %s", c.key, now.Sub(u.first))
	}
}

// judgeSecond: a pay number may be charged under another key only when the ones before have surely not paid it.
func (g *Gateway) judgeSecond(u *use, pays string) {
	for _, before := range g.numbers[pays] {
		if !before.settled && before.proof.Before(before.last) {
			g.violation("%s is charged under key %s, and nothing is proved of key %s", pays, u.name.name, before.name.name)
		}
	}
}

// recognised is the answer to a key that the gateway knows; ok is false if it does not, and carries it out.
func (g *Gateway) recognised(u *use, c call, now time.Time) (res gateway.Result, ok bool) {
	if u.since.IsZero() || now.Sub(u.since) >= c.window {
		if len(u.records) > 0 {
			g.hit(KeyCarriedOutAgain)
		}
		return res, false
	}
	if g.manners.repeated == aDuplicate {
		g.hit(KeyDuplicate)
		return unknown("gateway_rejected: duplicate"), true
	}
	if g.manners.repeated == firstAnswer && !proto.Equal(u.asked, c.amount) {
		return unknown("idempotency_error: the key was used with other parameters"), true
	}
	if g.manners.repeated == firstAnswer && !u.failed {
		g.hit(KeyFirstAnswer)
		if u.answer.Class == gateway.Unknown {
			g.hit(KeyFailureAgain)
		}
		if len(u.records) > 0 {
			g.heard(u, u.records[0], u.answer)
		}
		return u.answer, true
	}
	if len(u.records) == 0 {
		return res, false
	}
	g.hit(KeyPresentState)
	return g.say(u, u.records[0], now), true
}

// say is what a record amounts to now, as the ledger is told.
func (g *Gateway) say(u *use, r *record, now time.Time) gateway.Result {
	s, _ := r.standing(now)
	g.heard(u, r, s.Result)
	return s.Result
}

// heard notes what the ledger was told, for that is what it may act upon.
func (g *Gateway) heard(u *use, r *record, res gateway.Result) {
	switch res.Class {
	case gateway.Accepted:
		r.told = true
		u.settled = u.settled || !proto.Equal(res.Amount, r.asked)
	case gateway.Rejected:
		u.settled = true
		if r.of == nil && (res.Category == hard || res.StopOrder || res.AgreementLost) {
			g.refused[name{r.account, r.instrument}] = r
		}
	}
}

func unknown(why string) gateway.Result { return gateway.Result{Class: gateway.Unknown, Why: why} }
