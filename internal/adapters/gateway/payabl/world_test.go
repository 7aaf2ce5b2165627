package payabl

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/gatewaytest"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.World { return newWorld(t).conformance() })
}

// What payabl. has no code for: a stop order.
var behaviours = map[gatewaytest.Script]payabltest.Behaviour{
	gatewaytest.OK:               {},
	gatewaytest.SoftDecline:      {Status: -5002},
	gatewaytest.HardDecline:      {Status: -2405},
	gatewaytest.BuyerAction:      {Status: -5010},
	gatewaytest.AgreementLost:    {Status: 145001},
	gatewaytest.WrongAmount:      {Extra: 1},
	gatewaytest.Pending:          {Status: 2000},
	gatewaytest.TimeoutCharged:   {Fault: payabltest.Silence},
	gatewaytest.TimeoutUncharged: {Fault: payabltest.Silence, Lost: true},
	gatewaytest.ResetCharged:     {Fault: payabltest.Cut},
	gatewaytest.ResetUncharged:   {Fault: payabltest.Cut, Lost: true},
	gatewaytest.ErrorCharged:     {Fault: payabltest.Broken},
	gatewaytest.ErrorUncharged:   {Fault: payabltest.Broken, Lost: true},
	gatewaytest.PageCharged:      {Fault: payabltest.WebPage},
	gatewaytest.HalfCharged:      {Fault: payabltest.HalfSpoke},
	gatewaytest.Duplicate:        {Says: -2407},
	gatewaytest.RateLimited:      {Status: -2400, Lost: true, Once: true},
	gatewaytest.Unauthorized:     {Status: -999, Lost: true, Once: true},

	gatewaytest.WrongCurrency:       {Euros: true},
	gatewaytest.PendingThenDeclined: {Status: 2000},
	gatewaytest.DuplicateUnnamed:    {Says: -2407},
	gatewaytest.DuplicateOfNothing:  {Status: -2407, Lost: true},
	gatewaytest.InFlight:            {Status: -2407, Lost: true, Once: true},
}

func behaviour(s gatewaytest.Script) (payabltest.Behaviour, bool) {
	if of, ok := strings.CutPrefix(string(s), string(gatewaytest.RefundOf(""))); ok {
		b, known := behaviours[gatewaytest.Script(of)]
		if gatewaytest.Script(of) == gatewaytest.RefundRefused {
			b, known = payabltest.Behaviour{Status: -5007}, true
		}
		return payabltest.Behaviour{Refund: &b}, known
	}
	b, known := behaviours[s]
	return b, known
}

// world is a back office with one account, whose notifications come to got.
type world struct {
	clock   *clock.Stepped
	server  *payabltest.Server
	gateway *Gateway
	conn    gateway.Connection
	got     chan []byte
}

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const secret = "b185"

// unpaced is a limit that no test reaches.
const unpaced = 1_000_000

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clock.NewStepped(start), got: make(chan []byte, 100)}
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		w.got <- body
	}))
	t.Cleanup(receiver.Close)
	w.server = payabltest.NewServer("gateway_test", secret, w.clock.Now)
	t.Cleanup(w.server.Close)
	w.gateway = New(Config{Clock: w.clock, PerSecond: unpaced})
	w.conn = gateway.Connection{
		Merchant: "m1", ID: "c1", Gateway: "payabl", Processor: "payabl", URL: w.server.URL(),
		Account: "gateway_test", Secret: secret, NotifyURL: receiver.URL,
	}
	return w
}

func (w *world) conformance() gatewaytest.World {
	return gatewaytest.World{
		Gateway:    w.gateway,
		Impatient:  New(Config{Clock: w.clock, PerSecond: unpaced, Timeout: 250 * time.Millisecond}),
		Connection: w.conn,
		Now:        w.clock.Now,
		Token: func(s gatewaytest.Script) string {
			b, ok := behaviour(s)
			if !ok {
				return ""
			}
			return w.server.Method(b, false)
		},
		Charged: func(_ testing.TB, key string) []*ledgerv1.Money { return w.charged(key) },
		Refunded: func(_ testing.TB, key string) (moved []*ledgerv1.Money) {
			for _, r := range w.server.Refunds(orderID(roleRefund, key)) {
				moved = append(moved, &ledgerv1.Money{CurrencyCode: r.Currency, MinorUnits: r.Amount})
			}
			return moved
		},
		Decide:  w.decide,
		Webhook: func(t testing.TB) (http.Header, []byte) { return http.Header{}, w.notification(t) },
		Stored: func(_ testing.TB, s gatewaytest.Script) *ledgerv1.PaymentMethod {
			b, _ := behaviour(s)
			return &ledgerv1.PaymentMethod{Reference: w.server.Method(b, false), Brand: "visa"}
		},
		Counts:         func(r *http.Request) bool { return !strings.HasSuffix(r.URL.Path, "/tx_diagnose") },
		StoresByAsking: true,
		Finishes:       true,
		Settle:         w.settle,
		Advance:        func(_ testing.TB, d time.Duration) { w.wait(d) },
		Incomplete: func(t testing.TB, key string) gateway.Notice {
			c := gateway.Charge{Key: key, Amount: usd(4700), ReturnURL: "https://shop.example/back", Merchant: "m1", Subscription: "sub-" + key}
			w.decide(t, w.gateway.Charge(t.Context(), w.conn, c).NextAction.GetRedirectUrl(), true)
			n, err := w.gateway.Verify(w.conn, nil, w.notification(t), w.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			return n
		},
		Unsigned: func(h http.Header, body []byte) (http.Header, []byte) {
			v, _ := parsePairs(body)
			v.Del("security")
			return h, []byte(v.Encode())
		},
	}
}

// notification is the next that comes.
func (w *world) notification(t testing.TB) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case body := <-w.got:
		return body
	case <-ctx.Done():
		t.Fatal("no notification came")
		return nil
	}
}

// settle decides what is pending.
func (w *world) settle(_ testing.TB, charge, refund string, ok bool) {
	kind, code := "order", 0
	if refund != "" {
		kind = "refund"
	}
	if !ok {
		code = -5002
	}
	w.server.Decide(charge, kind, code)
}

// charged is what truly moved under a key, by either of its order ids.
func (w *world) charged(key string) (moved []*ledgerv1.Money) {
	for _, r := range []role{roleSale, roleRedirect} {
		amounts, currency := w.server.Charged(orderID(r, key))
		for _, n := range amounts {
			moved = append(moved, &ledgerv1.Money{CurrencyCode: currency, MinorUnits: n})
		}
	}
	return moved
}

// decide is what the buyer does where he was sent.
func (w *world) decide(t testing.TB, redirectURL string, approve bool) {
	t.Helper()
	result := "cancel"
	if approve {
		result = "approve"
	}
	resp, err := gateway.NewHTTPClient().Get(redirectURL + "&result=" + result)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the buyer's page: %s, %v", resp.Status, err)
	}
}
