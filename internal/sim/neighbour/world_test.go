package neighbour_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/neighbour"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is one gateway, its mail and a clock that only the test moves.
type world struct {
	*neighbour.Gateway
	t    testing.TB
	conn gateway.Connection
	now  time.Time
	mail []neighbour.Webhook
	hits []string
	keys int
}

func newWorld(t testing.TB, b neighbour.Behaviour, m neighbour.Mischief) *world {
	return newSeededWorld(t, b, m, 1)
}

func newSeededWorld(t testing.TB, b neighbour.Behaviour, m neighbour.Mischief, seed uint64) *world {
	w := &world{t: t, now: start, conn: gateway.Connection{Merchant: "acme", ID: "main", Gateway: string(b), WebhookSecret: "secret"}}
	w.Gateway = neighbour.NewGateway(neighbour.GatewayConfig{
		Behaviour: b, Now: func() time.Time { return w.now }, Random: rand.New(rand.NewPCG(seed, 0)), Mischief: m,
		Send: func(m neighbour.Webhook) { w.mail = append(w.mail, m) },
		Hit:  func(fault string) { w.hits = append(w.hits, fault) },
	})
	return w
}

func usd(minor int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor}
}

// first is the first charge of a subscription of its own, by a token with an outcome.
func (w *world) first(o neighbour.Outcome) gateway.Charge {
	w.keys++
	return gateway.Charge{
		Key: fmt.Sprintf("key-%d", w.keys), Amount: usd(4700), Token: neighbour.Token(o, fmt.Sprint(w.keys)),
		Merchant: "acme", Subscription: fmt.Sprintf("s%d", w.keys), PayNumber: 1, Attempt: 1,
	}
}

// next is the charge after c, by the method that c stored.
func (w *world) next(c gateway.Charge, m *ledgerv1.PaymentMethod) gateway.Charge {
	w.keys++
	c.Key, c.Token, c.Method, c.Amount = fmt.Sprintf("key-%d", w.keys), "", m, usd(4700)
	c.PayNumber++
	return c
}

func (w *world) charge(c gateway.Charge) gateway.Result { return w.Charge(w.t.Context(), w.conn, c) }

func (w *world) refund(key, reference string, amount *ledgerv1.Money) gateway.Result {
	return w.Refund(w.t.Context(), w.conn, gateway.Refund{Key: key, ChargeReference: reference, Amount: amount})
}

func (w *world) lookup(key string) (gateway.Result, bool) {
	w.t.Helper()
	r, found, err := w.Lookup(w.t.Context(), w.conn, key, start)
	if err != nil {
		w.t.Fatalf("look up %s: %v", key, err)
	}
	return r, found
}

// paid is an accepted charge.
func (w *world) paid() (gateway.Charge, gateway.Result) {
	w.t.Helper()
	c := w.first(neighbour.Accepted)
	r := w.charge(c)
	w.wantClass(r, gateway.Accepted)
	return c, r
}

func (w *world) wantClass(r gateway.Result, want gateway.Class) {
	w.t.Helper()
	if r.Class != want {
		w.t.Fatalf("got class %d, want %d: %+v", r.Class, want, r)
	}
}

func (w *world) wantCaptures(n int) {
	w.t.Helper()
	if got := w.Captures(); len(got) != n {
		w.t.Fatalf("got %d captures, want %d: %+v", len(got), n, got)
	}
}

func (w *world) wantViolations(n int) {
	w.t.Helper()
	if got := w.Violations(); len(got) != n {
		w.t.Errorf("got %d violations, want %d: %q", len(got), n, got)
	}
}

func (w *world) wantHit(fault string) {
	w.t.Helper()
	if !slices.Contains(w.hits, fault) {
		w.t.Errorf("got the faults %q, want %s among them", w.hits, fault)
	}
}

// read is what a webhook says.
func (w *world) read(m neighbour.Webhook) gateway.Notice {
	w.t.Helper()
	n, err := w.Verify(w.conn, m.Header, m.Body, w.now)
	if err != nil {
		w.t.Fatalf("webhook %s: %v", m.Body, err)
	}
	return n
}

// each runs a test with every behaviour.
func each(t *testing.T, run func(*testing.T, neighbour.Behaviour)) {
	for _, b := range neighbour.Behaviours() {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			run(t, b)
		})
	}
}
