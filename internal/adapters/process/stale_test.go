package process_test

import (
	"testing"
	"time"

	"ledger.internal/ledger/internal/aggregate/subscription"
)

const day = 24 * time.Hour

// The gateway declined, and its answer was lost. The look-up finds the decline, which then is one like any other: told
// once, and tried again on its day under a key of its own.
func TestDoubtEndsByFindingADecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok-soft-ok")
	w.run()
	w.traffic.keepBack(func() {})
	w.advance(10 * day)
	w.wantEvents("s", 3, "payment_requested", "payment_unknown")
	w.traffic.keepBack(nil)
	w.advance(time.Hour)
	w.wantEvents("s", 5, "payment_declined")
	w.advance(3*day - 2*time.Hour)
	w.wantEvents("s", 6)
	w.advance(time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 6, "payment_requested", "payment_succeeded")
	a := w.state("s").Attempts
	if first, second := a[1], a[2]; second.Number != 2 || second.Attempt != 2 || second.Reattempt != 1 || first.Key == second.Key {
		t.Errorf("attempts %+v and %+v, want a first re-attempt of number 2 with a key of its own", first, second)
	}
	if got := w.book().captured(); got != 2 {
		t.Errorf("captured %d times, want once for each pay number", got)
	}
}

// What a webhook says may be long over when it comes: after the payment went back it settles nothing again.
func TestStaleWebhookOfAPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_pending_ok")
	w.advance(5 * time.Minute)
	settled := w.webhook("charge.updated")
	w.wantEvents("s", 2, "payment_pending", "payment_succeeded")
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder()})
	w.run()
	w.wantEvents("s", 4, "refund_requested", "refund_succeeded")
	w.take(settled)
	w.save(string(settled.body)) // the same under another id
	w.wantNoFailure()
	w.wantEvents("s", 6)
	if c := w.state("s").Charges; len(c) != 1 || c[0].Refunded.Full.MinorUnits != 100 {
		t.Errorf("charges %+v, want one, of which all went back", c)
	}
}

// Two refunds are decided later. Their webhooks come in the wrong order, and again as other messages.
func TestStaleWebhooksOfRefunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_refund_pending_ok")
	w.run()
	order := w.state("s").LastOrder()
	var hooks []hook
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: order, Amount: usd(10)})
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf2", OrderID: order})
	w.run()
	w.wantEvents("s", 3, "refund_requested", "refund_requested", "refund_pending", "refund_pending")
	w.clock.Set(begins.Add(5 * time.Minute))
	w.ok(w.sandbox.Idle(t.Context()))
	for _, id := range []string{"rf2", "rf1"} {
		r, _ := w.state("s").FindRefund(id)
		hooks = append(hooks, w.webhook(r.Key))
	}
	for _, h := range hooks {
		w.take(h)
		w.save(string(h.body)) // the same under another id
	}
	w.wantNoFailure()
	w.wantEvents("s", 7, "refund_succeeded", "refund_succeeded")
	if s := w.state("s"); s.Charges[0].Refunded.Full.MinorUnits != 100 || s.LastOrder() != order+2 {
		t.Errorf("%d of 100 went back and the last order is %d, want all and %d", s.Charges[0].Refunded.Full.MinorUnits, s.LastOrder(), order+2)
	}
	if last := w.last("s", "refund_succeeded").GetRefundSucceeded(); !last.Full || last.RefundId != "rf1" {
		t.Errorf("the last one is %+v, want rf1, with which all is back", last)
	}
}
