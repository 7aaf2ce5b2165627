package process_test

import (
	"slices"
	"testing"
	"time"

	"ledger.internal/ledger/internal/aggregate/subscription"
)

func minutes(all ...float64) []time.Duration {
	var ds []time.Duration
	for _, m := range all {
		ds = append(ds, time.Duration(m*float64(time.Minute)))
	}
	return ds
}

func (w *world) wantLookups(want []time.Duration) {
	w.t.Helper()
	if got := w.traffic.lookedUpAt(); !slices.Equal(got, want) {
		w.t.Errorf("looked up at %v, want %v", got, want)
	}
}

func TestDoubtEndsByFindingTheCharge(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"tok_reset_charged", "tok_500_charged", "tok_html", "tok_truncated"} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", token)
			w.run()
			w.wantEvents("s", 2, "payment_unknown")
			w.advance(time.Hour)
			w.wantNoFailure()
			w.wantEvents("s", 2, "payment_unknown", "payment_succeeded")
			w.wantLookups(minutes(0.5))
			if got := w.book().captured(); got != 1 {
				t.Errorf("captured %d times, want once", got)
			}
		})
	}
}

// A charge can turn up after look-ups that did not find it.
func TestEmptyLookupProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{timeout: 2 * time.Second})
	w.start("s", "tok_timeout_later")
	w.run()
	w.advance(time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 2, "payment_unknown", "payment_succeeded")
	w.wantLookups(minutes(0.5, 2, 5))
}

func TestDoubtEndsByProofOfAbsence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_uncharged")
	w.run()
	w.wantEvents("s", 2, "payment_unknown")
	w.advance(10*time.Minute - time.Second)
	w.wakeNow("s")
	w.wantEvents("s", 3)
	w.advance(time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_not_charged")
	// The one before the last is the test's own.
	w.wantLookups(append(minutes(0.5, 2, 5), 10*time.Minute-time.Second, 30*time.Minute))
}

func TestAbsenceIsProvenAtTheHorizon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_uncharged")
	w.run()
	w.clock.Set(begins.Add(10 * time.Minute))
	w.wakeNow("s")
	w.wantEvents("s", 3, "payment_not_charged")
}

// A clock that is set forward makes nothing older.
func TestAbsenceIsNotProvenByTheCalendar(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_uncharged")
	w.run()
	w.wrong = 3 * time.Hour
	w.wakeNow("s")
	w.wantEvents("s", 3)
	w.clock.Set(begins.Add(10 * time.Minute))
	w.wakeNow("s")
	w.wantEvents("s", 3, "payment_not_charged")
}

func TestAbsenceAllowsANewAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok-reset_uncharged-ok")
	w.advance(10*24*time.Hour + time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_requested", "payment_unknown", "payment_not_charged", "payment_requested", "payment_succeeded")
	a := w.state("s").Attempts
	if first, second := a[1], a[2]; first.Key == second.Key || second.Attempt != 2 || second.Number != 2 {
		t.Errorf("attempts %+v and %+v, want a second attempt with a key of its own", first, second)
	}
	if got := w.book().captured(); got != 2 {
		t.Errorf("captured %d times, want once for each pay number", got)
	}
}

func TestLookupGoesOnWhileTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_charged")
	w.run()
	w.down = true
	w.advance(24 * time.Hour) // no answer is no proof
	w.wantEvents("s", 3)
	w.down = false
	w.advance(24 * time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_succeeded")
	w.wantLookups(minutes(2 * 24 * 60))
}

// What the gateway has may have been charged since it was asked last: it does not expire unasked.
func TestNothingPendingExpiresWhileTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_pending_ok")
	w.run()
	w.wantEvents("s", 2, "payment_pending")
	w.down = true
	w.advance(10 * 24 * time.Hour)
	w.wantEvents("s", 3)
	w.down = false
	w.advance(24 * time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_succeeded", "payment_requested", "payment_pending")
}

func TestRefundInDoubt(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		"tok_refund_reset_charged":   "refund_succeeded",
		"tok_refund_500_uncharged":   "refund_failed",
		"tok_refund_reset_uncharged": "refund_failed",
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", token)
			w.run()
			w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder()})
			w.run()
			w.wantEvents("s", 3, "refund_requested", "refund_unknown")
			w.advance(time.Hour)
			w.wantNoFailure()
			w.wantEvents("s", 5, want)
			if got := w.traffic.count("refunds"); got != 1 {
				t.Errorf("refunds were asked for %d times, want once", got)
			}
		})
	}
}
