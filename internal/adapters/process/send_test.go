package process_test

import (
	"context"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// The tests here are of a gateway that carries out a repeated key again, at once or when it has forgotten it.

func TestIntentOfAnEarlierRunIsLookedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.crashCharging("s", "tok_ok")
	w.restart() // the clock stands still meanwhile
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
	if got := w.traffic.count("charges"); got != 1 {
		t.Errorf("charges were asked for %d times, want once, by the earlier run", got)
	}
}

func TestIntentOfAnEarlierRunIsNeverSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.start("s", "tok_ok")
	w.restart() // nobody can know that the earlier run had not got so far
	w.run()
	w.wantEvents("s", 2, "payment_unknown")
	w.advance(time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_not_charged")
	if got := w.traffic.count("charges"); got != 0 {
		t.Errorf("charges were asked for %d times, want never", got)
	}
}

func TestIntentOfThisRunIsSentOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.crashCharging("s", "tok_ok") // the call died, the run did not
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
	if got := w.traffic.count("charges"); got != 1 {
		t.Errorf("charges were asked for %d times, want once", got)
	}
}

// That a call was not sent says nothing of the one before it. When the gateway has forgotten the key, it is looked up.
func TestNotSentDoesNotUndoWhatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.crashCharging("s", "tok_ok") // the call died, the run did not
	for range 2 {
		w.down = true
		w.retry()
		if len(w.failed) != 1 {
			t.Fatalf("%d events failed, want the charge that was not sent", len(w.failed))
		}
		w.down = false
	}
	w.clock.Set(begins.Add(30 * time.Hour))
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 0, "subscription_started", "payment_requested", "payment_succeeded")
	if got := w.traffic.count("charges"); got != 1 {
		t.Errorf("charges were asked for %d times, want once", got)
	}
}

func TestLookupThatFailsIsNoLicence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.crashCharging("s", "tok_ok")
	w.restart()
	w.down = true
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 2, "payment_unknown")
	w.down = false
	w.advance(30 * time.Second)
	w.wantEvents("s", 3, "payment_succeeded")
}

// An earlier run may have tried for hours, and sent it just before it died: only from then on does time prove anything.
func TestAbsenceCountsFromTheLatestSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.start("s", "tok_ok")
	w.clock.Set(begins.Add(3 * time.Hour))
	w.restart()
	w.run()
	w.wantEvents("s", 2, "payment_unknown")
	w.advance(5 * time.Minute)
	w.wantEvents("s", 2, "payment_unknown")
	w.advance(25 * time.Minute)
	w.wantEvents("s", 3, "payment_not_charged")
}

func TestRefundOfAnEarlierRunIsLookedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.start("s", "tok_ok")
	w.run()
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder()})
	r := w.state("s").Refunds[0]
	if res := w.gateway.Refund(t.Context(), w.connection(), gateway.Refund{
		Key: r.Key, ChargeReference: r.ChargeReference, Amount: r.Amounts.Full,
	}); res.Class != gateway.Accepted {
		t.Fatalf("refund %+v, want accepted", res)
	}
	w.restart()
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 3, "refund_requested", "refund_succeeded")
	if got := w.traffic.count("refunds"); got != 1 {
		t.Errorf("refunds were asked for %d times, want once, by the earlier run", got)
	}
}

// duplicate makes a second capture of pay number 2: the first attempt was declined and charged an hour later, which
// nobody told us; the second attempt succeeded.
func (w *world) duplicate(id, token string) {
	w.t.Helper()
	w.start(id, token)
	w.advance(10*24*time.Hour + 2*time.Hour)
	told := w.webhook("charge.updated")
	w.advance(3 * 24 * time.Hour)
	if got := w.state(id).Paid; got != 2 {
		w.t.Fatalf("pay number %d is paid, want 2", got)
	}
	w.clock.Set(w.clock.Now().Add(time.Minute))
	n, err := w.gateway.Verify(w.connection(), told.header, told.body, begins.Add(10*24*time.Hour+time.Hour))
	w.ok(err)
	a, ok := w.state(id).FindAttemptByKey(n.Key)
	if !ok || a.Status != subscription.AttemptDeclined {
		w.t.Fatalf("the webhook is about %+v, want the declined attempt", a)
	}
	w.do(id, subscription.SettlePayment{
		Now: w.clock.Now(), Number: a.Number, Attempt: a.Attempt, Amount: a.Amounts.Full, Reference: w.lateCharge(a.Key),
	})
}

func (w *world) lateCharge(key string) string {
	w.t.Helper()
	for _, c := range w.book().Charges {
		if c.Key == key && c.Status == "succeeded" {
			return c.ID
		}
	}
	w.t.Fatalf("the book has no charge under the key %s", key)
	return ""
}

func TestSecondCaptureIsReturnedOnce(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			w.duplicate("s", "tok_ok-late-ok")
			before := len(w.events("s"))
			w.run()
			asked := len(w.traffic.lookedUpAt())
			w.ok(w.handle(t.Context(), w.last("s", "duplicate_charge_observed")))
			if got := len(w.traffic.lookedUpAt()); got != asked {
				t.Errorf("looked up %d times, want %d: what is recorded is known", got, asked)
			}
			w.wantNoFailure()
			w.wantEvents("s", before, "duplicate_charge_returned")
			if got := w.traffic.count("refunds"); got != 1 {
				t.Errorf("refunds were asked for %d times, want once", got)
			}
		})
	}
}

// The return of a second capture has no doubt of its own in the stream: whether it may be sent again is decided from
// what a look-up says, and when it can have been sent.
func TestReturnThatMayBeUnderWayIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.duplicate("s", "tok_ok-late-ok")
	before := len(w.events("s"))
	w.traffic.loseNext()
	w.run()
	for range 3 {
		w.retry()
	}
	if got := w.traffic.count("refunds"); got != 1 || len(w.failures) != 1 {
		t.Fatalf("refunds were asked for %d times with the failures %v, want once and one", got, w.failures)
	}
	w.restart() // the next run knows even less
	w.clock.Set(w.clock.Now().Add(9 * time.Minute))
	w.retry()
	if got := w.traffic.count("refunds"); got != 1 {
		t.Fatalf("refunds were asked for %d times, want once", got)
	}
	w.clock.Set(w.clock.Now().Add(2 * time.Minute))
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", before, "duplicate_charge_returned")
	if got := w.traffic.count("refunds"); got != 2 {
		t.Errorf("refunds were asked for %d times, want twice", got)
	}
}

func TestReturnWaitsForTheGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.duplicate("s", "tok_ok-late-ok")
	before := len(w.events("s"))
	w.down = true
	w.run()
	w.down = false
	if len(w.failures) != 1 {
		t.Fatalf("failures %v, want one: the gateway is away", w.failures)
	}
	w.tell("POST", "/faults", `{"operation": "refund", "step": "pending_ok"}`)
	w.retry()
	if len(w.failures) != 1 {
		t.Fatalf("failures %v, want one: the gateway has not decided", w.failures)
	}
	w.advance(5 * time.Minute)
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", before, "duplicate_charge_returned")
	if got := w.traffic.count("refunds"); got != 1 {
		t.Errorf("refunds were asked for %d times, want once", got)
	}
}

// A cancellation forbids what was not sent. What a handler was just sending then may still arrive.
func TestWithdrawnWhileItIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.down = true
	w.start("s", "tok_ok")
	w.run()
	w.clock.Set(begins.Add(20 * time.Minute)) // it could not be sent so far
	w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
	w.down = false
	w.advance(5 * time.Minute)
	w.wantEvents("s", 2, "subscription_cancelled")
	s := w.state("s")
	res := w.gateway.Charge(context.Background(), w.connection(), gateway.Charge{
		Key: s.Attempts[0].Key, Amount: s.Attempts[0].Amounts.Full, Token: "tok_ok", Merchant: merchant, Subscription: "s", PayNumber: 1, Attempt: 1,
	})
	if res.Class != gateway.Accepted {
		t.Fatalf("charge %+v, want accepted", res)
	}
	w.advance(25 * time.Minute)
	w.wantEvents("s", 3, "late_charge_observed")
}
