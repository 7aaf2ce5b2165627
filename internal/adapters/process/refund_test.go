package process_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestRefund(t *testing.T) {
	t.Parallel()
	for token, c := range map[string]struct {
		at    []string // what follows RefundRequested at once
		later []string // what the look-ups or a webhook bring
		hook  string   // the webhook that is taken after two days; none if empty
	}{
		"tok_refund_ok":           {at: []string{"refund_succeeded"}},
		"tok_refund_fails":        {at: []string{"refund_failed"}},
		"tok_refund_pending_ok":   {at: []string{"refund_pending"}, later: []string{"refund_succeeded"}},
		"tok_refund_pending_fail": {at: []string{"refund_pending"}, later: []string{"refund_failed"}},
		"tok_refund_fails_later":  {at: []string{"refund_succeeded"}, later: []string{"refund_reversed"}, hook: "refund.updated"},
		"tok_refund_duplicate":    {at: []string{"refund_succeeded"}},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", token)
			w.run()
			w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder(), Amount: usd(60)})
			w.run()
			w.wantEvents("s", 3, append([]string{"refund_requested"}, c.at...)...)
			w.advance(24 * time.Hour)
			if c.hook != "" {
				w.take(w.webhook(c.hook))
			}
			w.wantNoFailure()
			w.wantEvents("s", 5, c.later...)
			if got := w.traffic.count("refunds"); got != 1 {
				t.Errorf("refunds were asked for %d times, want once", got)
			}
		})
	}
}

// What the bank has taken back is not sent back too.
func TestWithdrawnRefundIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	order := w.state("s").LastOrder()
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: order})
	w.do("s", subscription.Chargeback{Now: w.clock.Now(), OrderID: order, DisputeID: "dp1", Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN})
	w.run()
	w.advance(time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "refund_requested", "dispute_funds_withdrawn", "subscription_cancelled", "refund_failed")
	if got := w.traffic.count("refunds"); got != 0 {
		t.Errorf("refunds were asked for %d times, want never", got)
	}
}

func TestRefundThatWasNotSentIsSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{noKeys: true})
	w.start("s", "tok_ok")
	w.run()
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder()})
	w.down = true
	w.run()
	w.down = false
	if len(w.failures) != 1 {
		t.Fatalf("failures %v, want one: the gateway is away", w.failures)
	}
	w.retry()
	w.wantNoFailure()
	w.wantEvents("s", 3, "refund_requested", "refund_succeeded")
}
