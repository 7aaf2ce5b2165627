package process_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// replace gives a subscription another method.
func (w *world) replace(id, token, through string) {
	w.t.Helper()
	w.do(id, subscription.ReplacePaymentMethod{
		Now: w.clock.Now(), Token: token, Mode: ledgerv1.Mode_MODE_TEST,
		Connection: subscription.Connection{ID: through, Gateway: "sandbox", Processor: "Stripe"},
	})
}

// bought begins a subscription whose first payment is made.
func (w *world) bought(id string) (method string) {
	w.t.Helper()
	w.start(id, "tok_ok")
	w.run()
	return w.state(id).Method.GetReference()
}

// stored counts how often the gateway was made to store a method, and keeps it.
func (b book) stored() (n int) {
	for _, c := range b.Charges {
		if c.Metadata.PayNumber == 0 && c.Status == "succeeded" {
			n++
		}
	}
	return n
}

func TestReplacedMethodIsStoredAndCharged(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			old := w.bought("s")
			w.replace("s", "tok_ok-ok", connection)
			w.run()
			w.ok(w.handle(t.Context(), w.last("s", "payment_method_replaced")))
			w.wantNoFailure()
			w.wantEvents("s", 3, "payment_method_replaced", "payment_method_stored")
			method := w.state("s").Method.GetReference()
			if got := w.book(); method == "" || method == old || got.stored() != 1 || got.captured() != 2 {
				t.Errorf("method %q after %q, book %+v; want a new one, stored once", method, old, got)
			}
			w.advance(10 * 24 * time.Hour)
			charges := w.book().Charges
			if c := charges[len(charges)-1]; c.Metadata.PayNumber != 2 || c.Method == nil || c.Method.Reference != method {
				t.Errorf("the last charge is %+v, want pay number 2 by %s", c, method)
			}
		})
	}
}

func TestRefusedMethodLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	old := w.bought("s")
	w.replace("s", "tok_hard", connection)
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_method_replaced", "payment_method_refused")
	if r := w.last("s", "payment_method_refused").GetPaymentMethodRefused(); r.Replacement != 1 || r.Code != "stolen_card" {
		t.Errorf("refused %v, want the first replacement as stolen_card", r)
	}
	if got := w.state("s").Method.GetReference(); got != old {
		t.Errorf("method %s, want %s again", got, old)
	}
}

// Storing moves no money, so nothing about it is in doubt: it is asked for until the gateway has decided.
func TestStoringIsTriedUntilItIsDecided(t *testing.T) {
	t.Parallel()
	for token, c := range map[string]struct {
		wait time.Duration
		want string
	}{
		"tok_reset_charged": {0, "payment_method_stored"},
		"tok_html":          {0, "payment_method_stored"},
		"tok_rate_limited":  {0, "payment_method_stored"},
		"tok_unauthorized":  {0, "payment_method_stored"},
		"tok_pending_ok":    {5 * time.Minute, "payment_method_stored"},
		"tok_pending_fail":  {5 * time.Minute, "payment_method_refused"},
	} {
		for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
			t.Run(token+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, o)
				w.bought("s")
				w.replace("s", token, connection)
				w.run()
				if len(w.failures) != 1 {
					t.Fatalf("failures %v, want one: nothing is decided", w.failures)
				}
				w.wantEvents("s", 3, "payment_method_replaced")
				w.clock.Set(begins.Add(c.wait))
				w.ok(w.sandbox.Idle(t.Context()))
				w.retry()
				w.wantNoFailure()
				w.wantEvents("s", 4, c.want)
				if got := w.book().stored(); got > 1 {
					t.Errorf("stored %d times, want once", got)
				}
			})
		}
	}
}

// A one-time token may not be sent twice to a gateway that would take the second time for another request.
func TestLostStoringIsRepeatedAfterTheHorizon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.bought("s")
	w.replace("s", "tok_ok-ok", connection)
	w.traffic.loseNext()
	w.run()
	w.clock.Set(begins.Add(9 * time.Minute))
	w.retry()
	if got := w.traffic.count("charges"); got != 2 || len(w.failures) != 1 {
		t.Fatalf("after 9 minutes charges were asked for %d times, failures %v; want twice and one", got, w.failures)
	}
	w.clock.Set(begins.Add(11 * time.Minute))
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_method_replaced", "payment_method_stored")
}

func TestOnlyTheLastReplacementIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.replace("s", "tok_ok-soft", connection)
	w.replace("s", "tok_ok-ok", connection)
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_method_replaced", "payment_method_replaced", "payment_method_stored")
	if n := w.last("s", "payment_method_stored").GetPaymentMethodStored().Replacement; n != 2 || w.book().stored() != 1 {
		t.Errorf("replacement %d is stored, of %d; want 2, of one", n, w.book().stored())
	}
}

func TestNothingIsStoredForWhatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.replace("s", "tok_ok-ok", connection)
	w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
	w.run()
	w.wantNoFailure()
	if got := w.book().stored(); got != 0 {
		t.Errorf("stored %d times, want never", got)
	}
}

// A charge with the new method's token stores the method too; the token is not spent a second time.
func TestChargeStoresTheMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok-hard")
	w.advance(10 * 24 * time.Hour)
	w.wantEvents("s", 4, "payment_declined")
	w.replace("s", "tok_ok-ok", connection)
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 5, "payment_method_replaced", "payment_requested", "payment_succeeded")
	if got := w.book(); got.stored() != 0 || got.captured() != 2 {
		t.Errorf("stored %d, captured %d times, want 0 and 2", got.stored(), got.captured())
	}
	if s := w.state("s"); s.Method == nil || s.Before != nil {
		t.Errorf("method %v, before %v; want the new one stored", s.Method, s.Before)
	}
}

// The same if the charge was asked for before anybody got to storing.
func TestDueChargeStoresTheMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.clock.Set(begins.Add(10 * 24 * time.Hour))
	w.replace("s", "tok_ok-ok", connection)
	w.do("s", subscription.Wake{Now: w.clock.Now()})
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_method_replaced", "payment_requested", "payment_succeeded")
	if got := w.book(); got.stored() != 0 || got.captured() != 2 || w.state("s").Method == nil {
		t.Errorf("stored %d, captured %d times, method %v; want 0, 2 and one", got.stored(), got.captured(), w.state("s").Method)
	}
}

func TestStoringIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.blocked = "suspended"
	w.replace("s", "tok_ok-ok", connection)
	w.run()
	if got := w.book().stored(); len(w.failures) != 1 || got != 0 {
		t.Fatalf("failures %v, stored %d times, want it held", w.failures, got)
	}
	w.blocked = ""
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 4, "payment_method_stored")
}
