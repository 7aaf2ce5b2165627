package process_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// shows is a gateway that answers look-ups as it is told, and cannot be asked for anything else.
type shows struct {
	gateway.Gateway
	t      *testing.T
	result gateway.Result
	found  bool
	err    error
}

func (shows) Traits() gateway.Traits { return gateway.Traits{Horizon: 20 * time.Minute} }

func (s shows) Lookup(context.Context, gateway.Connection, string, time.Time) (gateway.Result, bool, error) {
	return s.result, s.found, s.err
}

func (s shows) FindCharge(context.Context, gateway.Connection, gateway.Charge, time.Time) (gateway.Result, bool, error) {
	s.t.Error("the payment was gone on with")
	return gateway.Result{}, false, nil
}

func (s shows) FindRefund(context.Context, gateway.Connection, gateway.Refund, time.Time) (gateway.Result, bool, error) {
	return s.result, s.found, s.err
}

// showing is a world in which a first payment is in doubt, and a gateway that shows this of it. Then time passes.
func showing(t *testing.T, s shows, since time.Duration) *world {
	t.Helper()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_uncharged")
	w.run()
	w.clock.Set(begins.Add(since))
	s.t = t
	w.process.Config.Connect = func(context.Context, string, string) (gateway.Connection, gateway.Gateway, error) {
		return w.connection(), s, nil
	}
	return w
}

func accepted(minor int64) gateway.Result {
	return gateway.Result{Class: gateway.Accepted, Reference: "ch_1", Amount: usd(minor)}
}

func reasonOf(err error) string {
	var refused *aggregate.Error
	if errors.As(err, &refused) {
		return refused.Reason
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestResolve(t *testing.T) {
	t.Parallel()
	charged, declined, pending := shows{result: accepted(100), found: true}, shows{found: true}, shows{found: true}
	declined.result = gateway.Result{Class: gateway.Rejected, Reference: "ch_1", Code: "stolen_card", Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD}
	pending.result = gateway.Result{Class: gateway.Pending, Reference: "ch_1"}
	away := shows{err: errors.New("connection refused")}
	const early, late = 20*time.Minute - time.Second, 20 * time.Minute
	for name, c := range map[string]struct {
		gateway shows
		since   time.Duration
		charged bool
		change  func(*process.Resolution)
		reason  string // of the refusal
		then    []string
		outcome string
	}{
		"charged, and shown":          {charged, early, true, nil, "", []string{"payment_succeeded"}, "charged"},
		"charged, by its reference":   {charged, early, true, func(r *process.Resolution) { r.Reference = "ch_1" }, "", []string{"payment_succeeded"}, "charged"},
		"charged, another reference":  {charged, early, true, func(r *process.Resolution) { r.Reference = "ch_2" }, "EVIDENCE_DIFFERS", nil, "charged"},
		"charged, another amount":     {shows{result: accepted(101), found: true}, late, true, nil, "EVIDENCE_DIFFERS", nil, "charged"},
		"charged, no amount":          {shows{result: gateway.Result{Class: gateway.Accepted}, found: true}, late, true, nil, "EVIDENCE_DIFFERS", nil, "charged"},
		"charged, and declined":       {declined, late, true, nil, "NO_EVIDENCE", nil, "declined"},
		"charged, and pending":        {pending, late, true, nil, "NO_EVIDENCE", nil, "pending"},
		"charged, and nobody knows":   {shows{found: true}, late, true, nil, "NO_EVIDENCE", nil, "unclear"},
		"charged, and not there":      {shows{}, late, true, nil, "NO_EVIDENCE", nil, "unknown to the gateway"},
		"charged, and no answer":      {away, late, true, func(r *process.Resolution) { r.Override = "I saw it" }, "NO_EVIDENCE", nil, "no answer"},
		"not charged, and not there":  {shows{}, late, false, nil, "", []string{"payment_not_charged"}, "unknown to the gateway"},
		"not charged, and declined":   {declined, early, false, nil, "", []string{"payment_declined"}, "declined"},
		"not charged, and shown":      {charged, late, false, func(r *process.Resolution) { r.Override = "I did not see it" }, "GATEWAY_SHOWS_IT", nil, "charged"},
		"not charged, and pending":    {pending, late, false, nil, "GATEWAY_SHOWS_IT", nil, "pending"},
		"not charged, nobody knows":   {shows{found: true}, late, false, nil, "GATEWAY_SHOWS_IT", nil, "unclear"},
		"not charged, too early":      {shows{}, early, false, func(r *process.Resolution) { r.Override = "I did not see it" }, "HORIZON_NOT_PASSED", nil, "unknown to the gateway"},
		"not charged, no answer":      {away, late, false, nil, "GATEWAY_UNANSWERED", nil, "no answer"},
		"not charged, no answer yet":  {away, early, false, func(r *process.Resolution) { r.Override = "I did not see it" }, "HORIZON_NOT_PASSED", nil, "no answer"},
		"not charged, on his word":    {away, late, false, func(r *process.Resolution) { r.Override = "I did not see it" }, "", []string{"payment_not_charged"}, "no answer"},
		"not charged, on blank words": {away, late, false, func(r *process.Resolution) { r.Override = " " }, "GATEWAY_UNANSWERED", nil, "no answer"},
		"no reason":                   {charged, late, true, func(r *process.Resolution) { r.Reason = " " }, "REASON_REQUIRED", nil, ""},
		"another attempt":             {charged, late, true, func(r *process.Resolution) { r.Attempt = 2 }, "NOT_IN_DOUBT", nil, ""},
		"a refund":                    {charged, late, true, func(r *process.Resolution) { r.Refund = "r1" }, "NOT_IN_DOUBT", nil, ""},
		"another subscription":        {charged, late, true, func(r *process.Resolution) { r.Subscription = "x" }, "NOT_FOUND", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := showing(t, c.gateway, c.since)
			r := process.Resolution{Merchant: merchant, Subscription: "s", Number: 1, Attempt: 1, Charged: c.charged, Reason: "asked by telephone"}
			if c.change != nil {
				c.change(&r)
			}
			e, err := w.process.Resolve(t.Context(), r)
			if got := reasonOf(err); got != c.reason {
				t.Errorf("refused with %q, want %q", got, c.reason)
			}
			if c.outcome != "" && e.Answer().Outcome != c.outcome {
				t.Errorf("the gateway shows %q, want %q", e.Answer().Outcome, c.outcome)
			}
			if got := w.events("s")[3:]; !slices.Equal(got, c.then) {
				t.Errorf("then %v, want %v", got, c.then)
			}
			if c.then == nil {
				return
			}
			e2 := w.last("s", c.then[0])
			if got := e2.GetMetadata().GetActor(); !strings.HasPrefix(got, "operator: asked by telephone") || !strings.HasSuffix(got, r.Override) {
				t.Errorf("recorded by %q, want the operator and why", got)
			}
			if n := e2.GetPaymentNotCharged(); n != nil && n.Proof != map[bool]string{true: "operator", false: "absent"}[r.Override != ""] {
				t.Errorf("the proof is %q", n.Proof)
			}
			if _, err := w.process.Resolve(t.Context(), r); reasonOf(err) != "NOT_IN_DOUBT" {
				t.Errorf("again: %v, want NOT_IN_DOUBT", err)
			}
		})
	}
}

func TestResolveRefund(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gateway shows
		charged bool
		reason  string
		then    []string
	}{
		"returned":                  {shows{result: accepted(100), found: true}, true, "", []string{"refund_succeeded"}},
		"returned, another amount":  {shows{result: accepted(99), found: true}, true, "EVIDENCE_DIFFERS", nil},
		"returned, and not there":   {shows{}, true, "NO_EVIDENCE", nil},
		"not returned":              {shows{}, false, "", []string{"refund_failed"}},
		"not returned, and is":      {shows{result: accepted(100), found: true}, false, "GATEWAY_SHOWS_IT", nil},
		"not returned, and refused": {shows{result: gateway.Result{Class: gateway.Rejected, Code: "refused"}, found: true}, false, "", []string{"refund_failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", "tok_refund_reset_uncharged")
			w.run()
			w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "r1", OrderID: w.state("s").Charges[0].OrderID})
			w.run()
			w.wantEvents("s", 3, "refund_requested", "refund_unknown")
			w.clock.Set(begins.Add(time.Hour))
			c.gateway.t = t
			w.process.Config.Connect = func(context.Context, string, string) (gateway.Connection, gateway.Gateway, error) {
				return w.connection(), c.gateway, nil
			}
			r := process.Resolution{Merchant: merchant, Subscription: "s", Refund: "r1", Charged: c.charged, Reason: "asked"}
			if _, err := w.process.Resolve(t.Context(), r); reasonOf(err) != c.reason {
				t.Errorf("got %v, want %q", err, c.reason)
			}
			w.wantEvents("s", 5, c.then...)
		})
	}
}
