package process_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestPendingIsDecidedByItsWebhook(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{"tok_pending_ok": "payment_succeeded", "tok_pending_fail": "payment_declined"} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", token)
			w.run()
			w.wantEvents("s", 2, "payment_pending")
			w.clock.Set(begins.Add(5 * time.Minute))
			w.ok(w.sandbox.Idle(t.Context()))
			h := w.webhook("charge.updated")
			w.take(h)
			w.wantEvents("s", 3, want)
			w.take(h)
			w.wantEvents("s", 3, want)
			w.wantLookups(minutes(5))
		})
	}
}

// A webhook of a charge says nothing by itself: what counts is what a look-up answers.
func TestWebhookIsAHint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_webhook_twice")
	w.run()
	w.ok(w.sandbox.Idle(t.Context()))
	h := w.webhook("charge.updated")
	w.down = true
	w.take(h) // nobody can be asked now
	w.down = false
	w.wantEvents("s", 2, "payment_succeeded")
	w.advance(30 * time.Second)
	if _, waits, err := w.work.NextWebhookAt(t.Context()); err != nil || waits {
		t.Errorf("the webhook still waits (%v), want it done with the second try", err)
	}
}

// As long as the gateway does not answer, nobody can say that a message has no place.
func TestAMessageOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_webhook_twice")
	w.run()
	w.ok(w.sandbox.Idle(t.Context()))
	h := w.webhook("charge.updated")
	w.down = true
	w.take(h)
	w.advance(10 * 24 * time.Hour)
	if got := w.setAside(); len(got) != 0 {
		t.Errorf("set aside while nobody could be asked: %q", got)
	}
	w.down = false
	w.advance(12 * time.Hour)
	if _, waits, err := w.work.NextWebhookAt(t.Context()); err != nil || waits {
		t.Errorf("the webhook still waits (%v), want it done once the gateway answers", err)
	}
}

func TestLateCharge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok-late")
	w.advance(10*24*time.Hour + time.Hour)
	w.wantEvents("s", 3, "payment_requested", "payment_declined")
	w.take(w.webhook("charge.updated"))
	w.wantNoFailure()
	w.wantEvents("s", 5, "late_charge_observed")
	if s := w.state("s"); s.Paid != 2 || s.Status != subscription.Active {
		t.Errorf("paid %d and %v, want 2 and active", s.Paid, s.Status)
	}
}

func TestAgreementEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	w.tell("POST", "/methods/"+w.state("s").Method.Reference+"/revoke", "{}")
	h := w.webhook("agreement.ended")
	w.take(h)
	w.wantEvents("s", 3, "agreement_lost", "subscription_cancelled")
	w.take(h)
	w.wantEvents("s", 3, "agreement_lost", "subscription_cancelled")
	if got := w.state("s").CancelReason; got != ledgerv1.CancelReason_CANCEL_REASON_AGREEMENT {
		t.Errorf("cancelled for %v, want agreement", got)
	}
}

// disputed has the first charge of a subscription disputed in all stages, and returns their webhooks.
func (w *world) disputed(id string, stages ...string) (hooks []hook) {
	w.t.Helper()
	charge := w.book().Charges[0].ID
	for _, stage := range stages {
		w.tell("POST", "/charges/"+charge+"/disputes", fmt.Sprintf(`{"id": "dp1", "stage": %q, "outcome": "won"}`, stage))
		hooks = append(hooks, w.webhook(`"stage":"`+stage+`"`))
	}
	return hooks
}

// The gateway's messages come in any order, and more than once; what stands in the books is the same.
func TestDisputeInAnyOrder(t *testing.T) {
	t.Parallel()
	stages := []string{"opened", "funds_withdrawn", "funds_reinstated", "closed"}
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 1, 0, 3, 2, 2}, {3, 1, 2, 0, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", "tok_ok")
			w.run()
			hooks := w.disputed("s", stages...)
			for _, i := range order {
				w.take(hooks[i])
			}
			w.advance(time.Hour) // what could not be placed comes again
			events := w.events("s")
			count := func(kind string) (n int) {
				for _, e := range events {
					if e == kind {
						n++
					}
				}
				return n
			}
			for _, kind := range []string{"dispute_funds_withdrawn", "dispute_funds_reinstated", "dispute_closed", "subscription_cancelled"} {
				if got := count(kind); got != 1 {
					t.Errorf("%d events %s in %v, want 1", got, kind, events)
				}
			}
			s := w.state("s")
			if d := s.Disputes[0]; !d.Closed || !d.Reinstated || s.Charges[0].ChargedBack.Full.MinorUnits != 0 {
				t.Errorf("dispute %+v of %+v, want it closed and the money back", d, s.Charges[0])
			}
			if _, waits, err := w.work.NextWebhookAt(t.Context()); err != nil || waits {
				t.Errorf("webhooks still wait (%v), want all done", err)
			}
		})
	}
}

func TestDisputeBeforeItsChargeIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_charged")
	w.run()
	w.wantEvents("s", 2, "payment_unknown")
	hooks := w.disputed("s", "funds_withdrawn")
	w.take(hooks[0])
	w.wantEvents("s", 3, "payment_succeeded", "dispute_funds_withdrawn", "subscription_cancelled")
}

// A charge that was declined first and happened later may be disputed before anybody has told us that it happened.
func TestDisputeOfAChargeThatCameLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_late")
	w.advance(time.Hour)
	w.wantEvents("s", 2, "payment_declined")
	hooks := w.disputed("s", "funds_withdrawn")
	w.take(hooks[0])
	w.wantEvents("s", 3, "late_charge_observed", "dispute_funds_withdrawn")
}

func TestWebhookOfNothingOfOurs(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(w *world){
		"subscription": func(w *world) {
			w.tell("POST", "/charges", `{"key": "k1", "amount": {"currency_code": "USD", "minor_units": 100}, "token": "tok_webhook_twice",
				"notify_url": "`+w.traffic.url+`/hooks", "metadata": {"merchant": "acme", "subscription": "other"}}`)
		},
		"key": func(w *world) {
			w.start("s", "tok_ok")
			w.run()
			w.tell("POST", "/charges", `{"key": "k1", "amount": {"currency_code": "USD", "minor_units": 100}, "token": "tok_webhook_twice",
				"notify_url": "`+w.traffic.url+`/hooks", "metadata": {"merchant": "acme", "subscription": "s"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			tell(w)
			before := w.logged()
			w.take(w.webhook("charge.updated"))
			if _, waits, err := w.work.NextWebhookAt(t.Context()); err != nil || waits {
				t.Errorf("the webhook still waits (%v), want it set aside", err)
			}
			if got := w.logged(); got != before {
				t.Errorf("%d events, want %d as before", got, before)
			}
		})
	}
}

// A webhook that was authentic and that nobody can read is there for a person to look at.
func TestWebhookThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	_, _, err := w.work.SaveWebhook(t.Context(), work.Webhook{
		Merchant: merchant, Connection: connection, Gateway: "sandbox", MessageID: "m1", ReceivedAt: begins, Body: []byte("<?xml"),
	})
	w.ok(err)
	w.ok(w.inbound.Idle(t.Context()))
	if got := w.setAside(); len(got) != 1 || !strings.Contains(got[0], "cannot be read") {
		t.Errorf("set aside for %q, want one that cannot be read", got)
	}
}

// A webhook about an account that nobody has connected is none of ours: it waits for nothing.
func TestWebhookOfNoConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	_, _, err := w.work.SaveWebhook(t.Context(), work.Webhook{Gateway: "sandbox", MessageID: "unrouted/1", ReceivedAt: begins, Body: []byte("{}")})
	w.ok(err)
	w.ok(w.inbound.Idle(t.Context()))
	list, err := w.work.ListWebhooks(t.Context(), work.WebhookFilter{State: work.WebhookUnmatched}, nil, 10)
	w.ok(err)
	if _, waits, err := w.work.NextWebhookAt(t.Context()); len(list) != 1 || waits || err != nil {
		t.Errorf("%d are listed as unmatched and one waits: %v (%v); want one that does not", len(list), waits, err)
	}
}

// A connection's gateway speaks of that connection's subscriptions only.
func TestWebhookOfAnotherConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	w.tell("POST", "/methods/"+w.state("s").Method.Reference+"/revoke", "{}")
	h := w.webhook("agreement.ended")
	_, _, err := w.work.SaveWebhook(t.Context(), work.Webhook{
		Merchant: merchant, Connection: "other", Gateway: "sandbox", MessageID: "m1", ReceivedAt: begins,
		Body: bytes.Replace(h.body, []byte(`"acme.main"`), []byte(`"acme.other"`), 1),
	})
	w.ok(err)
	w.ok(w.inbound.Idle(t.Context()))
	w.wantEvents("s", 3)
	if _, waits, err := w.work.NextWebhookAt(t.Context()); err != nil || waits {
		t.Errorf("the webhook still waits (%v), want it set aside", err)
	}
}

// logged is the number of events of the log.
func (w *world) logged() int {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context())
	w.ok(err)
	return int(head.Commit)
}

// A webhook that never can be placed is not tried for ever.
func TestWebhookIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	hooks := w.disputed("s", "opened", "funds_withdrawn", "funds_reinstated")
	w.take(hooks[2]) // the withdrawal that goes before it is never told
	var tries []time.Duration
	for {
		at, waits, err := w.work.NextWebhookAt(t.Context())
		w.ok(err)
		if !waits {
			break
		}
		tries = append(tries, at.Sub(begins))
		w.clock.Set(at)
		w.ok(w.inbound.Idle(t.Context()))
	}
	want := minutes(0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 127.5, 255.5, 511.5, 1023.5)
	if !slices.Equal(tries, want) {
		t.Errorf("tried again at %v, want %v", tries, want)
	}
	w.wantEvents("s", 3)
}
