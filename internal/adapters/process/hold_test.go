package process_test

import (
	"context"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	conns "ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestBlockedConnectionHoldsCharges(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"with keys": {}, "without keys": {noKeys: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			w.blocked = "suspended by the gateway"
			w.start("s", "tok_ok")
			w.run()
			for range 3 {
				w.clock.Set(w.clock.Now().Add(time.Hour))
				w.retry()
				if len(w.failures) != 1 || !strings.Contains(w.failures[0].Error(), w.blocked) {
					t.Fatalf("failures %v, want one that says why", w.failures)
				}
			}
			w.wantEvents("s", 2)
			if got := w.traffic.count("charges"); got != 0 {
				t.Errorf("%d charges were sent, want none", got)
			}
			w.blocked = ""
			w.retry()
			w.wantNoFailure()
			w.wantEvents("s", 2, "payment_succeeded")
			if a := w.state("s").Attempts[0]; a.Attempt != 1 {
				t.Errorf("attempt %d succeeded, want the first: a hold is none", a.Attempt)
			}
		})
	}
}

// What may have been sent before the block is found out about; what was not sent waits, and is not called a doubt.
func TestBlockedConnectionIsStillAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.crashCharging("sent", "tok_ok")
	w.start("unsent", "tok_ok")
	w.restart()
	w.blocked = "suspended"
	w.retry()
	w.wantEvents("sent", 2, "payment_succeeded")
	w.wantEvents("unsent", 2)
	if len(w.failures) != 1 {
		t.Errorf("failures %v, want the one that is held", w.failures)
	}
	w.blocked = ""
	w.retry()
	w.wantNoFailure()
	w.wantEvents("unsent", 2, "payment_succeeded")
	if got := w.book().captured(); got != 2 {
		t.Errorf("captured %d times, want twice", got)
	}
}

func TestDoubtEndsWhileBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_charged")
	w.run()
	w.wantEvents("s", 2, "payment_unknown")
	w.blocked = "suspended"
	w.advance(30 * time.Second)
	w.wantEvents("s", 3, "payment_succeeded")
}

func TestRefundsGoOnWhileBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.bought("s")
	w.blocked = "suspended"
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder()})
	w.run()
	w.wantNoFailure()
	w.wantEvents("s", 3, "refund_requested", "refund_succeeded")
}

func TestHeldPaymentCanBeWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.blocked = "suspended"
	w.start("s", "tok_ok")
	w.run()
	w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
	w.blocked = ""
	w.retry()
	w.wantNoFailure()
	if got := w.traffic.count("charges"); got != 0 {
		t.Errorf("%d charges were sent, want none", got)
	}
}

// On a running bus, what is held rests for an hour, and is tried at once when the block ends.
func TestUnblockedIsChargedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	connections := aggregate.NewRunner(w.log, conns.Type())
	do := func(id string, c aggregate.Command[conns.State]) {
		t.Helper()
		_, err := connections.Do(t.Context(), conns.Stream(merchant, connection), aggregate.Request{ID: id, At: w.clock.Now()}, c)
		w.ok(err)
	}
	do("create", conns.Create{Merchant: merchant, ID: connection, Gateway: "sandbox"})
	do("block", conns.Block{ID: connection, Reason: "suspended"})
	b := w.runBus(connections)
	w.start("s", "tok_ok")
	w.ok(b.Idle(t.Context()))
	parks, err := w.work.ListParks(t.Context(), nil, 10)
	w.ok(err)
	if len(parks) != 1 || parks[0].Follower != "charge" || !parks[0].RetryAt.Equal(begins.Add(time.Hour)) {
		t.Fatalf("parked %+v, want the charge for an hour", parks)
	}
	do("unblock", conns.Unblock{ID: connection})
	w.ok(b.Idle(t.Context())) // the clock stands still
	w.wantEvents("s", 2, "payment_succeeded")
}

// runBus has the handlers run until the test ends; what connections say, counts.
func (w *world) runBus(connections *aggregate.Runner[conns.State]) *bus.Bus {
	w.t.Helper()
	b := bus.New(bus.Config{Log: w.log, Work: w.work, Clock: w.clock, Grace: -1})
	c, free := w.process.Config, w.connection()
	c.Connect = func(ctx context.Context, merchant, id string) (gateway.Connection, gateway.Gateway, error) {
		s, _, err := connections.Load(ctx, conns.Stream(merchant, id))
		conn := free
		conn.Blocked = s.BlockedReason
		return conn, w.gateway, err
	}
	c.Hurry = func(merchant string) {
		b.Hurry("charge", func(p work.Park) bool { return strings.HasPrefix(p.Stream, subscription.Stream(merchant, "")) })
	}
	w.process = process.New(c)
	for _, h := range w.process.All() {
		b.Add(h)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		w.ok(<-ended)
	})
	return b
}
