package process_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// press is the buyer at the gateway's page. It answers where he is sent then.
func (w *world) press(id, button string) (sentTo string) {
	w.t.Helper()
	a, ok := w.state(id).FindAttempt(1, 1)
	if !ok || a.NextAction.GetRedirectUrl() == "" {
		w.t.Fatalf("the buyer of %s was sent nowhere", id)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Post(a.NextAction.GetRedirectUrl()+"?result="+button, "", nil)
	w.ok(err)
	w.ok(resp.Body.Close())
	client.CloseIdleConnections()
	if resp.StatusCode >= http.StatusBadRequest {
		w.t.Fatalf("%s: %s", button, resp.Status)
	}
	return resp.Header.Get("Location")
}

// keyOf is the key of a subscription's first payment.
func (w *world) keyOf(id string) string {
	w.t.Helper()
	a, ok := w.state(id).FindAttempt(1, 1)
	if !ok {
		w.t.Fatalf("%s was never charged", id)
	}
	return a.Key
}

func (w *world) comesBack(id string) subscription.State {
	w.t.Helper()
	s, err := w.process.Settle(w.t.Context(), stream(id), w.keyOf(id))
	w.ok(err)
	return s
}

func (w *world) turnsBack(id string) subscription.State {
	w.t.Helper()
	s, err := w.process.Abandon(w.t.Context(), stream(id), w.keyOf(id))
	w.ok(err)
	return s
}

// sentAway begins a subscription whose buyer is at the gateway's page.
func (w *world) sentAway(id string) {
	w.t.Helper()
	w.start(id, "")
	w.run()
	w.wantEvents(id, 2, "payment_pending")
}

// The gateway says what became of a payment. That its buyer comes back says nothing.
func TestBuyerComesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		button string
		want   []string
	}{
		"having approved":     {"approve", []string{"payment_succeeded"}},
		"having declined":     {"decline", []string{"payment_declined"}},
		"having done nothing": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.sentAway("s")
			if c.button != "" {
				w.press("s", c.button)
			}
			for range 2 { // he loads the page again
				w.comesBack("s")
				w.wantEvents("s", 3, c.want...)
			}
		})
	}
}

func TestBuyerTurnsBack(t *testing.T) {
	t.Parallel()
	t.Run("and ends the payment", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		w.sentAway("s")
		w.press("s", "cancel")
		w.wantEvents("s", 3)
		for range 2 {
			if s := w.turnsBack("s"); s.Status != subscription.Failed {
				t.Errorf("the subscription is %s, want it failed", subscription.StateName(s.Status))
			}
			w.wantEvents("s", 3, "payment_not_charged")
		}
		if b := w.book(); b.captured() != 0 || b.Charges[0].Status != "expired" {
			t.Errorf("the gateway has %+v, want the payment ended", b.Charges)
		}
	})
	t.Run("after he has paid", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		w.sentAway("s")
		w.press("s", "approve")
		for range 2 {
			w.turnsBack("s")
			w.wantEvents("s", 3, "payment_succeeded")
		}
	})
	t.Run("from a later payment, which goes on", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		w.start("s", "tok_ok-pending_ok")
		w.run()
		w.clock.Set(w.clock.Now().Add(10 * 24 * time.Hour))
		w.wakeNow("s")
		a, ok := w.state("s").OpenAttempt()
		if !ok || a.Status != subscription.AttemptPending {
			t.Fatal("the second payment is not pending")
		}
		_, err := w.process.Abandon(t.Context(), stream("s"), a.Key)
		w.ok(err)
		if b := w.book(); b.Charges[len(b.Charges)-1].Status != "pending" {
			t.Errorf("the gateway has %+v, want the second payment pending", b.Charges)
		}
	})
	t.Run("after the subscription was cancelled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, options{})
		w.sentAway("s")
		w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
		w.turnsBack("s")
		if b := w.book(); b.Charges[0].Status != "expired" {
			t.Errorf("the gateway has %+v, want that nobody can pay any more", b.Charges)
		}
	})
}

// A gateway that does not answer leaves everything as it is; the schedule of look-ups goes on.
func TestGatewayIsAwayWhileTheBuyerIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.sentAway("s")
	w.press("s", "approve")
	w.down = true
	for _, back := range []func(string) subscription.State{w.comesBack, w.turnsBack} {
		if a, _ := back("s").FindAttempt(1, 1); a.Status != subscription.AttemptPending {
			t.Errorf("the payment is %d, want it pending still", a.Status)
		}
	}
	w.wantEvents("s", 3)
	w.down = false
	w.advance(time.Minute)
	w.wantEvents("s", 3, "payment_succeeded")
}

// A buyer who never comes back is waited for as long as before.
func TestBuyerNeverComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.sentAway("s")
	w.advance(72*time.Hour - time.Second)
	w.wantEvents("s", 3)
	w.advance(time.Minute)
	w.wantEvents("s", 3, "payment_not_charged")
	w.comesBack("s")
	w.turnsBack("s")
	w.wantEvents("s", 3, "payment_not_charged")
}

// Two tabs at once, one of which turns back: whatever the gateway did is recorded once.
func TestBuyerInTwoTabs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.sentAway("s")
	w.press("s", "approve")
	key := w.keyOf("s")
	var tabs sync.WaitGroup
	for i := range 8 {
		back := w.process.Settle
		if i%2 == 0 {
			back = w.process.Abandon
		}
		tabs.Go(func() {
			if _, err := back(t.Context(), stream("s"), key); err != nil {
				t.Error(err)
			}
		})
	}
	tabs.Wait()
	w.wantEvents("s", 3, "payment_succeeded")
}

// Nobody is asked about what is not open, or is of somebody else.
func TestBuyerOfNothingThatIsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.sentAway("open")
	before := len(w.traffic.lookedUpAt())
	for _, key := range []string{"another", ""} {
		_, err := w.process.Settle(t.Context(), stream("open"), key)
		w.ok(err)
	}
	for _, key := range []string{w.keyOf("s"), w.keyOf("open"), "another", ""} {
		for _, back := range []func(context.Context, string, string) (subscription.State, error){w.process.Settle, w.process.Abandon} {
			_, err := back(t.Context(), stream("s"), key)
			w.ok(err)
			_, err = back(t.Context(), stream("none"), key)
			w.ok(err)
		}
	}
	if n := len(w.traffic.lookedUpAt()); n != before {
		t.Errorf("the gateway was asked %d times, want never", n-before)
	}
}

// A method that replaced another may need the buyer, too.
func TestBuyerComesBackFromStoringAMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.replace("s", "tok_pending_ok", connection)
	w.run() // the gateway has not decided
	key := w.state("s").Replacing.GetKey()
	settle := func() {
		t.Helper()
		s, err := w.process.Settle(t.Context(), stream("s"), key)
		w.ok(err)
		if n, ok := s.FindReplacement(key); !ok || n != 1 {
			t.Errorf("key %s is replacement %d, %v; want the first", key, n, ok)
		}
	}
	settle()
	w.wantEvents("s", 3, "payment_method_replaced")
	w.clock.Set(w.clock.Now().Add(5 * time.Minute))
	w.settle()
	settle()
	settle()
	w.wantEvents("s", 3, "payment_method_replaced", "payment_method_stored")
}

// What a gateway is told stays the same however often it is told: a buyer's addresses are part of it.
func TestAddressesOfABuyer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.sentAway("s")
	if to := w.press("s", "cancel"); !strings.HasPrefix(to, "https://ledger.test/sandbox/"+w.keyOf("s")+"/cancel?") {
		t.Errorf("the buyer was sent to %s", to)
	}
	w.restart()
	w.ok(w.handle(t.Context(), w.last("s", "payment_requested")))
	if to := w.press("s", "approve"); !strings.HasPrefix(to, "https://ledger.test/sandbox/"+w.keyOf("s")+"?") {
		t.Errorf("the buyer was sent to %s", to)
	}
}
