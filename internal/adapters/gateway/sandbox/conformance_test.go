package sandbox_test

import (
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
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.World { return conformanceWorld(t, false) })
}

// Without keys the same must hold, but for what only keys can promise.
func TestConformanceWithoutKeys(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.World { return conformanceWorld(t, true) })
}

func conformanceWorld(t *testing.T, noKeys bool) gatewaytest.World {
	w := newWorld(t, noKeys)
	return gatewaytest.World{
		Gateway:    w.gateway,
		Impatient:  sandbox.New(sandbox.Config{Timeout: 250 * time.Millisecond, NoKeys: noKeys}),
		Connection: w.conn,
		Now:        w.clock.Now,
		Token:      func(s gatewaytest.Script) string { return tokens()[s] },
		Charged: func(t testing.TB, key string) (moved []*ledgerv1.Money) {
			for _, c := range w.book(t).Charges {
				if c.Key == key && c.Status == "succeeded" {
					moved = append(moved, c.Amount.proto())
				}
			}
			return moved
		},
		Refunded: func(t testing.TB, key string) (moved []*ledgerv1.Money) {
			for _, r := range w.book(t).Refunds {
				if r.Key == key && r.Status == "succeeded" {
					moved = append(moved, r.Amount.proto())
				}
			}
			return moved
		},
		Decide: func(t testing.TB, redirectURL string, approve bool) {
			result := "decline"
			if approve {
				result = "approve"
			}
			w.post(t, redirectURL+"?result="+result, nil, http.StatusSeeOther)
		},
		Webhook: w.webhook,
		Stored: func(t testing.TB, s gatewaytest.Script) *ledgerv1.PaymentMethod {
			token := tokens()[gatewaytest.OK] + "-" + strings.TrimPrefix(tokens()[s], "tok_")
			r := w.gateway.Charge(t.Context(), w.conn, gateway.Charge{
				Key: "stored-" + token, Amount: &ledgerv1.Money{CurrencyCode: "USD"}, Token: token,
			})
			return r.Method
		},
		Settle:  func(t testing.TB, _, _ string, _ bool) { w.advance(t, 5*time.Minute) }, // as its script says
		Advance: w.advance,
		Resend: func(_ http.Header, body []byte) (http.Header, []byte) {
			return http.Header{"Sandbox-Signature": {sandbox.Sign(w.conn.WebhookSecret, w.clock.Now(), body)}}, body
		},
		ByItself: &gatewaytest.ByItself{
			Pay: func(t testing.TB, subscription string, amount *ledgerv1.Money) string {
				return w.made(t, "/payments", map[string]any{
					"amount": bookMoney{amount.CurrencyCode, amount.MinorUnits}, "metadata": map[string]any{"subscription": subscription},
				})
			},
			Refund: func(t testing.TB, charge string, amount *ledgerv1.Money) string {
				return w.made(t, "/charges/"+charge+"/refunds", map[string]any{"amount": bookMoney{amount.CurrencyCode, amount.MinorUnits}})
			},
			Dispute: func(t testing.TB, charge string) {
				w.made(t, "/charges/"+charge+"/disputes", map[string]any{"stage": "opened"})
			},
		},
	}
}

func tokens() map[gatewaytest.Script]string {
	t := map[gatewaytest.Script]string{
		gatewaytest.OK:               "tok_ok",
		gatewaytest.SoftDecline:      "tok_soft",
		gatewaytest.HardDecline:      "tok_hard",
		gatewaytest.BuyerAction:      "tok_buyer_action",
		gatewaytest.StopOrder:        "tok_stop",
		gatewaytest.AgreementLost:    "tok_lost",
		gatewaytest.WrongAmount:      "tok_mismatch",
		gatewaytest.Pending:          "tok_pending_ok",
		gatewaytest.TimeoutCharged:   "tok_timeout_charged",
		gatewaytest.TimeoutUncharged: "tok_timeout_uncharged",
		gatewaytest.ResetCharged:     "tok_reset_charged",
		gatewaytest.ResetUncharged:   "tok_reset_uncharged",
		gatewaytest.ErrorCharged:     "tok_500_charged",
		gatewaytest.ErrorUncharged:   "tok_500_uncharged",
		gatewaytest.PageCharged:      "tok_html",
		gatewaytest.HalfCharged:      "tok_truncated",
		gatewaytest.Duplicate:        "tok_duplicate",
		gatewaytest.RateLimited:      "tok_rate_limited",
		gatewaytest.Unauthorized:     "tok_unauthorized",

		gatewaytest.WrongCurrency:       "tok_mismatch_currency",
		gatewaytest.PendingThenDeclined: "tok_pending_fail",
		gatewaytest.DuplicateUnnamed:    "tok_duplicate_unnamed",
		gatewaytest.DuplicateOfNothing:  "tok_duplicate_of_nothing",
		gatewaytest.InFlight:            "tok_in_progress",
	}
	for s, token := range t {
		t[gatewaytest.RefundOf(s)] = "tok_refund_" + token[len("tok_"):]
	}
	t[gatewaytest.RefundOf(gatewaytest.RefundRefused)] = "tok_refund_fails"
	return t
}

// world is a sandbox on loopback, a merchant's account in it, and a place that its webhooks go to.
type world struct {
	dir     string
	noKeys  bool
	clock   *clock.Stepped
	server  *sandbox.Server
	http    *httptest.Server
	gateway *sandbox.Gateway
	conn    gateway.Connection
	hooks   *hooks
}

type hook struct {
	header http.Header
	body   []byte
}

// hooks takes webhooks, after refusing the first few.
type hooks struct {
	got    chan hook
	refuse chan struct{}
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-h.refuse:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	default:
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.got <- hook{r.Header.Clone(), body}
}

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, noKeys bool) *world {
	t.Helper()
	w := &world{
		dir: t.TempDir(), noKeys: noKeys, clock: clock.NewStepped(start),
		gateway: sandbox.New(sandbox.Config{NoKeys: noKeys}),
		hooks:   &hooks{got: make(chan hook, 100), refuse: make(chan struct{}, 100)},
	}
	receiver := httptest.NewServer(w.hooks)
	t.Cleanup(receiver.Close)
	w.conn = gateway.Connection{
		Merchant: "m1", ID: "c1", Gateway: "sandbox", Processor: "Stripe",
		WebhookSecret: "whsec", NotifyURL: receiver.URL,
	}
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	if err := w.gateway.Connect(t.Context(), w.conn); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(t *testing.T) {
	t.Helper()
	s, err := sandbox.NewServer(sandbox.ServerConfig{Dir: w.dir, Clock: w.clock, NoKeys: w.noKeys})
	if err != nil {
		t.Fatal(err)
	}
	w.server, w.http = s, httptest.NewServer(s)
	w.conn.URL = w.http.URL
}

func (w *world) close(t *testing.T) {
	t.Helper()
	if err := w.server.Close(); err != nil {
		t.Error(err)
	}
	w.http.Close()
}

// restart is what a new process does with the same directory.
func (w *world) restart(t *testing.T) {
	t.Helper()
	w.close(t)
	w.open(t)
}

// advance moves the clock, and waits until the sandbox has done what became due.
func (w *world) advance(t testing.TB, d time.Duration) {
	t.Helper()
	w.clock.Set(w.clock.Now().Add(d))
	if err := w.server.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
}
