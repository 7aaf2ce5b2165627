package process_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
)

// terse is a gateway whose webhooks name no subscription; whoever asks it is told.
type terse struct {
	*sandbox.Gateway
	asked, silent int // how often it was asked, and how often it does not answer
}

func (g *terse) Read(conn gateway.Connection, body []byte) (gateway.Notice, error) {
	n, err := g.Gateway.Read(conn, body)
	n.Subscription = ""
	return n, err
}

func (g *terse) Complete(_ context.Context, _ gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	if g.asked++; g.asked <= g.silent {
		return gateway.Notice{}, errors.New("no answer")
	}
	n.Subscription = "s"
	return n, nil
}

// What a webhook lacks is asked for, until the gateway answers.
func TestAWebhookIsCompleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	gw := &terse{Gateway: w.gateway, silent: 1}
	w.process.Connect = func(context.Context, string, string) (gateway.Connection, gateway.Gateway, error) {
		return w.connection(), gw, nil
	}
	w.start("s", "tok_pending_ok")
	w.run()
	w.clock.Set(begins.Add(5 * time.Minute))
	w.ok(w.sandbox.Idle(t.Context()))
	w.take(w.webhook("charge.updated"))
	w.wantEvents("s", 2, "payment_pending")
	w.advance(30 * time.Second)
	w.wantEvents("s", 3, "payment_succeeded")
}
