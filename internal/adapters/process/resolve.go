package process

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// Resolution is how somebody who runs the ledger wants a doubt to end.
type Resolution struct {
	Merchant, Subscription string
	Number, Attempt        uint32 // an attempt
	Refund                 string // or a refund
	Charged                bool   // the money moved
	Reference              string // what the gateway calls it, if that is known
	Reason                 string // why it is resolved by hand
	Override               string // how it is known that nothing moved, if the gateway does not answer
}

// Evidence is what a gateway answers about what is in doubt.
type Evidence struct {
	Result gateway.Result
	Found  bool
	Err    error // it did not answer
}

// Resolve ends a doubt by asking the gateway now. That money moved is recorded if the gateway says so, and as it says; that
// none did, if it knows of nothing once nothing can turn up any more, or, if it does not answer by then, on somebody's
// word. It is no way round either: what a gateway may still carry out is never given up for another attempt. The evidence
// comes with a refusal, too.
func (p *Process) Resolve(ctx context.Context, r Resolution) (Evidence, error) {
	if strings.TrimSpace(r.Reason) == "" {
		return Evidence{}, aggregate.InvalidField("reason", "REASON_REQUIRED", "say why it is resolved by hand")
	}
	stream := subscription.Stream(r.Merchant, r.Subscription)
	s, _, err := p.Subscriptions.Load(ctx, stream)
	if err != nil {
		return Evidence{}, err
	}
	if !s.Exists() {
		return Evidence{}, aggregate.ErrNotFound("subscription", r.Subscription)
	}
	l, ok := r.find(s)
	if !ok {
		return Evidence{}, notInDoubt()
	}
	conn, gw, err := p.Connect(ctx, r.Merchant, l.Connection)
	if err != nil {
		return Evidence{}, err
	}
	e := evidence(ctx, gw, conn, s, l)
	if ctx.Err() != nil {
		return e, ctx.Err()
	}
	if r.Charged {
		return e, p.resolveMoved(ctx, stream, r, l, e)
	}
	return e, p.resolveUnmoved(ctx, stream, r, gw, l, e)
}

func notInDoubt() error { return aggregate.Refuse("NOT_IN_DOUBT", "nobody is in doubt about that") }

// find is what a resolution names.
func (r Resolution) find(s subscription.State) (subscription.Lookup, bool) {
	for _, l := range s.Lookups() {
		switch {
		case l.Attempt != nil && l.Attempt.InDoubt() && r.Refund == "" && l.Attempt.Number == r.Number && l.Attempt.Attempt == r.Attempt,
			l.Refund != nil && l.Refund.InDoubt() && r.Refund != "" && l.Refund.ID == r.Refund:
			return l, true
		}
	}
	return subscription.Lookup{}, false
}

// evidence asks what became of a call, and takes no money: a FindCharge might go on with the payment.
func evidence(ctx context.Context, gw gateway.Gateway, conn gateway.Connection, s subscription.State, l subscription.Lookup) (e Evidence) {
	if l.Attempt != nil {
		e.Result, e.Found, e.Err = gw.Lookup(ctx, conn, l.Key, asked(l))
	} else {
		e.Result, e.Found, e.Err = gateway.FindRefund(ctx, gw, conn, refundOf(s, l.Refund), asked(l))
	}
	return e
}

// resolveMoved records that money moved, if that is what the gateway says.
func (p *Process) resolveMoved(ctx context.Context, stream string, r Resolution, l subscription.Lookup, e Evidence) error {
	want := wanted(l)
	switch {
	case e.Err != nil || !e.Found || e.Result.Class != gateway.Accepted:
		return e.refuse("NO_EVIDENCE", "the gateway does not show that the money moved")
	case !money.Equal(e.Result.Amount, want):
		return e.refuse("EVIDENCE_DIFFERS", "the gateway shows another amount than "+money.Format(want)+" "+want.GetCurrencyCode())
	case r.Reference != "" && r.Reference != e.Result.Reference:
		return e.refuse("EVIDENCE_DIFFERS", "the gateway shows another payment than "+r.Reference)
	}
	return p.record(ctx, stream, r, l, e.Result)
}

// resolveUnmoved records that no money moved, if none did and none can any more.
func (p *Process) resolveUnmoved(ctx context.Context, stream string, r Resolution, gw gateway.Gateway, l subscription.Lookup, e Evidence) error {
	if e.Err == nil && e.Found {
		if e.Result.Class != gateway.Rejected {
			return e.refuse("GATEWAY_SHOWS_IT", "the gateway shows that the money moved, or may still move")
		}
		return p.record(ctx, stream, r, l, e.Result)
	}
	if left := p.stillTurnsUp(gw, l); left > 0 {
		return e.refuse("HORIZON_NOT_PASSED", "it can still turn up at the gateway; wait "+left.Round(time.Second).String())
	}
	proof := "absent"
	if e.Err != nil {
		if strings.TrimSpace(r.Override) == "" {
			return e.refuse("GATEWAY_UNANSWERED", "the gateway does not answer; wait, or say in override_reason how it is known that no money moved")
		}
		proof = "operator"
	}
	return p.recordAbsence(ctx, stream, r, l, proof)
}

// stillTurnsUp is for how long a call may still turn up at the gateway, as in notFound.
func (p *Process) stillTurnsUp(gw gateway.Gateway, l subscription.Lookup) time.Duration {
	enough := horizon(gw.Traits())
	return enough - min(p.Clock.Now().Sub(l.From), p.sinceSent(l.Key))
}

// wanted is how much was to move.
func wanted(l subscription.Lookup) *ledgerv1.Money {
	if l.Attempt != nil {
		return l.Attempt.Amounts.GetFull()
	}
	return l.Refund.Amounts.GetFull()
}

// actor is who resolves, and why.
func (r Resolution) actor() string {
	who := "operator: " + r.Reason
	if r.Override != "" && !r.Charged {
		who += "; " + r.Override
	}
	return who
}

// record writes what the gateway answered, under the name under which a look-up would have.
func (p *Process) record(ctx context.Context, stream string, r Resolution, l subscription.Lookup, res gateway.Result) error {
	var name string
	var c aggregate.Command[subscription.State]
	if l.Attempt != nil {
		around, err := p.Circumstances(ctx, r.Merchant, l.Connection)
		if err != nil {
			return err
		}
		name, c = p.chargeCommand(l.Attempt, res, around)
		name = attemptName(l.Attempt, name)
	} else {
		name, c = p.refundCommand(l.Refund, res)
		name = refundName(l.Refund, name)
	}
	return p.end(ctx, stream, r, l, name, c)
}

// recordAbsence writes that no money moved.
func (p *Process) recordAbsence(ctx context.Context, stream string, r Resolution, l subscription.Lookup, proof string) error {
	now := p.Clock.Now()
	if a := l.Attempt; a != nil {
		return p.end(ctx, stream, r, l, attemptName(a, "absent"), subscription.ClearPayment{
			Now: now, Number: a.Number, Attempt: a.Attempt, Proof: proof,
		})
	}
	return p.end(ctx, stream, r, l, refundName(l.Refund, "absent"), subscription.FailRefund{
		Now: now, ID: l.Refund.ID, Code: proof, Message: r.actor(),
	})
}

func (p *Process) end(ctx context.Context, stream string, r Resolution, l subscription.Lookup, name string, c aggregate.Command[subscription.State]) error {
	res, err := p.do(ctx, stream, name, r.actor(), uuid.Nil, c)
	if err != nil {
		return err
	}
	if len(res.Events) == 0 {
		return notInDoubt() // somebody was faster
	}
	p.sent.forget(l.Key)
	return nil
}

// refuse refuses a resolution and shows why.
func (e Evidence) refuse(reason, message string) error {
	a := e.Answer()
	err := aggregate.Refuse(reason, "%s", message)
	err.Metadata = map[string]string{"outcome": a.Outcome, "reference": a.Reference, "amount": a.Amount, "why": a.Why}
	for name, value := range err.Metadata {
		if value == "" {
			delete(err.Metadata, name)
		}
	}
	return err
}

// Answer is the evidence in words.
func (e Evidence) Answer() *ledgerv1.GatewayAnswer {
	switch {
	case e.Err != nil:
		return &ledgerv1.GatewayAnswer{Outcome: "no answer", Why: e.Err.Error()}
	case !e.Found:
		return &ledgerv1.GatewayAnswer{Outcome: "unknown to the gateway"}
	}
	a := &ledgerv1.GatewayAnswer{Outcome: "unclear", Reference: e.Result.Reference, Why: e.Result.Why}
	switch e.Result.Class {
	case gateway.Accepted:
		a.Outcome, a.Amount = "charged", money.Format(e.Result.Amount)+" "+e.Result.Amount.GetCurrencyCode()
	case gateway.Pending:
		a.Outcome = "pending"
	case gateway.Rejected:
		a.Outcome, a.Why = "declined", e.Result.Code
	}
	return a
}
