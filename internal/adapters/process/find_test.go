package process_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// finding is a sandbox to whose adapter a key does not say enough: it is a gateway.Finder and a gateway.Completer, and
// remembers what it was asked.
type finding struct {
	*sandbox.Gateway
	mu        sync.Mutex
	keys      []string         // looked up by key alone
	charges   []gateway.Charge // found as still wanted
	refunds   []gateway.Refund
	confirmed int
	abandoned []string
	wary      bool // every rebill has to be authenticated, and nobody is there
	awaited   bool // the gateway waits for the buyer, and names no end
	inHand    bool // the buyer has done his part, and his bank takes its time
}

func (f *finding) Lookup(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, key)
	return f.Gateway.Lookup(ctx, conn, key, sent)
}

func (f *finding) FindCharge(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.charges = append(f.charges, c)
	switch {
	case f.wary && len(f.abandoned) > 0:
		return gateway.Result{Class: gateway.Rejected, Expired: true}, true, nil
	case f.wary:
		return authenticate(), true, nil
	case f.inHand:
		return gateway.Result{Class: gateway.Pending, Reference: "taken up"}, true, nil
	case f.awaited:
		return authenticate(), true, nil
	}
	return f.Gateway.Lookup(ctx, conn, c.Key, sent)
}

func authenticate() gateway.Result {
	return gateway.Result{Class: gateway.Pending, NextAction: &ledgerv1.NextAction{ClientSecret: "secret"}}
}

func (f *finding) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	if f.wary {
		return authenticate()
	}
	return f.Gateway.Charge(ctx, conn, c)
}

// Abandon also remembers what is ended.
func (f *finding) Abandon(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = append(f.abandoned, c.Key)
	if f.wary {
		return gateway.Result{Class: gateway.Rejected, Expired: true}, true, nil
	}
	return f.Gateway.Abandon(ctx, conn, c, sent)
}

func (f *finding) FindRefund(ctx context.Context, conn gateway.Connection, r gateway.Refund, sent time.Time) (gateway.Result, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refunds = append(f.refunds, r)
	return f.Gateway.Lookup(ctx, conn, r.Key, sent)
}

// Read says nothing of whose a message is; Complete does.
func (f *finding) Read(conn gateway.Connection, body []byte) (gateway.Notice, error) {
	n, err := f.Gateway.Read(conn, body)
	return gateway.Notice{ID: n.ID, Kind: n.Kind, Reference: string(body)}, err
}

func (f *finding) Complete(_ context.Context, conn gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	f.confirmed++
	return f.Gateway.Read(conn, []byte(n.Reference))
}

func (f *finding) Verify(conn gateway.Connection, h http.Header, body []byte, now time.Time) (gateway.Notice, error) {
	return f.Gateway.Verify(conn, h, body, now)
}

func newFindingWorld(t *testing.T) (*world, *finding) {
	t.Helper()
	w := newWorld(t, options{noKeys: true})
	w.finder = &finding{Gateway: w.gateway}
	return w, w.finder
}

// The end that a gateway names is the buyer's. Once he has paid, and his bank has not decided, the payment is not over when
// that comes: it may be captured yet.
func TestWhatTheGatewayHasInHandDoesNotExpire(t *testing.T) {
	t.Parallel()
	w, f := newFindingWorld(t)
	w.start("s", "")
	w.run()
	w.wantEvents("s", 2, "payment_pending")
	f.inHand = true
	w.advance(10 * 24 * time.Hour)
	w.wantEvents("s", 3)
	f.inHand = false
	w.advance(24 * time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 3, "payment_not_charged")
}

// What is still wanted is found with all that was asked for; what is not, by its key alone, for the money is not to be
// taken any more.
func TestOnlyWhatIsWantedIsGoneOnWith(t *testing.T) {
	t.Parallel()
	t.Run("wanted", func(t *testing.T) {
		t.Parallel()
		w, f := newFindingWorld(t)
		w.start("s", "tok_pending_ok")
		w.run()
		w.advance(time.Hour)
		w.wantEvents("s", 3, "payment_succeeded")
		if len(f.charges) == 0 || len(f.keys) != 0 {
			t.Fatalf("found %+v, looked up %q", f.charges, f.keys)
		}
		if c := f.charges[0]; c.Amount.GetMinorUnits() != 100 || c.Buyer.GetEmail() != "ada@example.com" || c.Subscription != "s" || c.Once {
			t.Errorf("found %+v, want the whole of what was asked for", c)
		}
	})
	t.Run("through a blocked connection", func(t *testing.T) {
		t.Parallel()
		w, f := newFindingWorld(t)
		w.start("s", "tok_pending_ok")
		w.run()
		w.blocked = "suspended"
		w.advance(time.Hour)
		if len(f.charges) != 0 || len(f.keys) == 0 {
			t.Errorf("found %+v, looked up %q", f.charges, f.keys)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		w, f := newFindingWorld(t)
		w.start("s", "tok_pending_ok")
		w.run()
		w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
		w.advance(time.Hour)
		if len(f.charges) != 0 || len(f.keys) == 0 {
			t.Errorf("found %+v, looked up %q", f.charges, f.keys)
		}
	})
}

// Where refunds have no names, each is told how many others there are like it.
func TestRefundsAreCounted(t *testing.T) {
	t.Parallel()
	w, f := newFindingWorld(t)
	w.start("s", "tok_refund_ok")
	w.run()
	order := w.state("s").LastOrder()
	for _, r := range []struct {
		id     string
		amount int64
	}{{"rf1", 20}, {"rf2", 30}, {"rf3", 20}} {
		w.do("s", subscription.Refund{Now: w.clock.Now(), ID: r.id, OrderID: order, Amount: usd(r.amount)})
		w.run()
	}
	w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf4", OrderID: order, Amount: usd(20)})
	w.restart() // what was asked for before a run began may have been sent by an earlier one
	w.run()
	i := slices.IndexFunc(f.refunds, func(r gateway.Refund) bool { return r.Others == 2 })
	if i < 0 || f.refunds[i].Amount.GetMinorUnits() != 20 || f.refunds[i].ChargeReference == "" {
		t.Errorf("found %+v, want the last one, besides two others of 0.20", f.refunds)
	}
	if len(f.keys) != 0 {
		t.Errorf("looked up %q", f.keys)
	}
}

func TestWhatAMessageSaysIsConfirmed(t *testing.T) {
	t.Parallel()
	w, f := newFindingWorld(t)
	w.start("s", "tok_pending_ok")
	w.run()
	w.clock.Set(w.clock.Now().Add(5 * time.Minute))
	w.ok(w.sandbox.Idle(t.Context()))
	w.take(w.webhook("charge.updated"))
	w.wantEvents("s", 3, "payment_succeeded")
	if f.confirmed == 0 {
		t.Error("nothing was confirmed")
	}
}

// Where a gateway waits for the buyer for ever, the payment is ended there before it is given up here: nobody can charge
// him for it later.
func TestAPaymentNobodyWaitsForIsEnded(t *testing.T) {
	t.Parallel()
	w, f := newFindingWorld(t)
	f.awaited = true
	w.start("s", "")
	w.run()
	w.wantEvents("s", 2, "payment_pending")
	w.advance(71 * time.Hour)
	if len(f.abandoned) != 0 {
		t.Errorf("abandoned %q before its time", f.abandoned)
	}
	w.advance(2 * time.Hour)
	w.wantEvents("s", 3, "payment_not_charged")
	if len(f.abandoned) == 0 {
		t.Error("it was given up, and the buyer could still pay")
	}
}

// A rebill, too: it ends as a soft decline, and the dunning goes on.
func TestARebillNobodyAuthenticatesIsEnded(t *testing.T) {
	t.Parallel()
	w, f := newFindingWorld(t)
	w.start("s", "tok_ok-ok-ok")
	w.run()
	f.wary = true
	w.advance(w.state("s").NextDue.Sub(w.clock.Now()))
	w.wantEvents("s", 3, "payment_requested", "payment_pending")
	w.advance(71 * time.Hour)
	if len(f.abandoned) != 0 {
		t.Errorf("abandoned %q before its time", f.abandoned)
	}
	w.advance(25 * time.Hour)
	w.wantEvents("s", 5, "payment_declined")
}
