package process_test

import (
	"context"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestIntentTwiceIsOneCall(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			w.start("s", "tok_ok")
			w.run()
			w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder(), Amount: usd(40)})
			w.run()
			for _, kind := range []string{"payment_requested", "refund_requested"} {
				w.ok(w.handle(t.Context(), w.last("s", kind)))
			}
			w.wantNoFailure()
			w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded", "refund_requested", "refund_succeeded")
			for _, operation := range []string{"charges", "refunds"} {
				if got := w.traffic.count(operation); got != 1 {
					t.Errorf("%s were asked for %d times, want 1", operation, got)
				}
			}
		})
	}
}

func TestNotSentIsSentAgainUnderItsKey(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			w.down = true
			w.start("s", "tok_ok")
			w.run()
			if len(w.failures) != 1 {
				t.Fatalf("failures %v, want one: the gateway is away", w.failures)
			}
			w.clock.Set(begins.Add(20 * time.Minute))
			w.retry()
			w.down = false
			w.retry()
			w.wantNoFailure()
			w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
			a := w.state("s").Attempts[0]
			if b := w.book(); len(b.Charges) != 1 || b.Charges[0].Key != a.Key || a.Attempt != 1 {
				t.Errorf("the book has %+v, want one charge under the key %s of attempt 1", b.Charges, a.Key)
			}
		})
	}
}

func TestTurnedAwayIsSentAgainUnderItsKey(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"tok_rate_limited", "tok_unauthorized"} {
		for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
			t.Run(token+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, o)
				w.start("s", token)
				w.run()
				if len(w.failures) != 1 {
					t.Fatalf("failures %v, want one", w.failures)
				}
				w.retry()
				w.wantNoFailure()
				w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
			})
		}
	}
}

func TestWithdrawnIntentIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.down = true
	w.start("s", "tok_ok")
	w.run()
	w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
	w.down = false
	w.retry()
	w.advance(time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 2, "subscription_cancelled", "payment_not_charged")
	if got := w.traffic.count("charges"); got != 0 {
		t.Errorf("%d charges were sent, want none", got)
	}
}

// A run that dies between the call and the outcome leaves the next one with an intent and a charge.
func TestKeyIsRepeatedAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.crashCharging("s", "tok_ok")
	w.restart()
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
	if got := w.book().captured(); got != 1 {
		t.Errorf("captured %d times, want once", got)
	}
}

// A key that the gateway has forgotten would charge again.
func TestForgottenKeyIsLookedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.crashCharging("s", "tok_ok")
	w.clock.Set(begins.Add(25 * time.Hour))
	w.restart()
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
	if got := w.book().captured(); got != 1 {
		t.Errorf("captured %d times, want once", got)
	}
}

// crashCharging starts a subscription and lets the run die while it waits for the gateway's answer.
func (w *world) crashCharging(id, token string) {
	w.t.Helper()
	w.start(id, token)
	ctx, die := context.WithCancel(w.t.Context())
	w.traffic.keepBack(die)
	for _, e := range w.unhandled() {
		if err := w.handle(ctx, e); err != nil {
			w.failed = append(w.failed, e)
		}
	}
	w.traffic.keepBack(nil)
	if len(w.failed) != 1 {
		w.t.Fatalf("%d events failed, want the one whose handler died", len(w.failed))
	}
}

func TestDeclineIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok-soft")
	w.advance(10 * 24 * time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 2, "payment_succeeded", "payment_requested", "payment_declined")
	a := w.state("s").Attempts[1]
	if a.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT || a.Code != "insufficient_funds" {
		t.Errorf("attempt %+v, want a soft decline insufficient_funds", a)
	}
}

func TestAgreementLostIsNoDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok-lost")
	w.advance(10 * 24 * time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_requested", "payment_not_charged", "agreement_lost", "subscription_cancelled")
}

func TestOtherAmountIsNoSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_mismatch")
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 2, "amount_mismatch_observed")
}

func TestStoredMethodIsCharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.advance(10 * 24 * time.Hour)
	w.wantNoFailure()
	method := w.state("s").Method.GetReference()
	b := w.book()
	if len(b.Charges) != 2 {
		t.Fatalf("%d charges, want 2", len(b.Charges))
	}
	for i, c := range b.Charges {
		if int(c.Metadata.PayNumber) != i+1 || c.Metadata.Attempt != 1 || c.Method == nil || c.Method.Reference != method {
			t.Errorf("charge %d is %+v, want pay number %d, attempt 1, method %s", i, c, i+1, method)
		}
	}
}
