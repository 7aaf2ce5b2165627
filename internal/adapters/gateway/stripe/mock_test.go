package stripe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// stripeMock checks requests against Stripe's OpenAPI description: addresses, parameters and their types. It has no
// memory and declines nothing. https://github.com/stripe/stripe-mock
const stripeMock = "github.com/stripe/stripe-mock@v0.203.0"

// TestEveryRequestIsLegal sends whatever the adapter can send to Stripe's own judge of requests.
func TestEveryRequestIsLegal(t *testing.T) {
	t.Parallel()
	if os.Getenv("LEDGER_TEST_STRIPE_MOCK") == "" {
		t.Skip("LEDGER_TEST_STRIPE_MOCK=1 builds stripe-mock and checks every request with it")
	}
	seen := &recorder{}
	g := New(Config{TestKey: "sk_test_123", HTTPClient: &http.Client{Transport: seen}})
	conn := gateway.Connection{Merchant: "m1", ID: "c1", URL: startMock(t), Account: "acct_123"}
	ctx, money := t.Context(), &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}
	stored := &ledgerv1.PaymentMethod{Reference: "cus_123/pm_123"}
	zero := &ledgerv1.Money{CurrencyCode: "USD"}
	for _, c := range []gateway.Charge{
		{Amount: money, Token: "pm_card_visa", ReturnURL: "https://shop.example/back"},
		{Amount: money, Token: "pm_card_visa"},
		{Amount: money, Token: "ctoken_123", ReturnURL: "https://shop.example/back"},
		{Amount: money, Method: stored},
		{Amount: money, Method: stored, ReturnURL: "https://shop.example/back"},
		{Amount: money, ReturnURL: "https://shop.example/back"},
		{Amount: zero, Token: "pm_card_visa"},
		{Amount: zero, Token: "ctoken_123", ReturnURL: "https://shop.example/back"},
		{Amount: zero, Method: stored},
		{Amount: zero, ReturnURL: "https://shop.example/back"},
	} {
		c.Key, c.Merchant, c.Subscription, c.PayNumber, c.Attempt = "k", "m1", "s1", 1, 1
		g.Charge(ctx, conn, c)
	}
	g.Refund(ctx, conn, gateway.Refund{Key: "r", ChargeReference: "pi_123", Amount: money})
	g.Refund(ctx, conn, gateway.Refund{Key: "r", ChargeReference: "ch_123", Amount: money})
	if _, found, err := g.Lookup(ctx, conn, "k", time.Now()); found || err != nil {
		t.Errorf("look-up: found %v, %v", found, err)
	}
	for path, object := range map[string]string{"/v1/payment_intents": paymentIntent, "/v1/setup_intents": setupIntent} {
		_, _ = g.intent(ctx, conn, path, "pi_123") // what is asked counts here, not what comes of it
		_, _ = g.cancel(ctx, conn, path, &intent{ID: "pi_123", Object: object})
	}
	_, _ = g.triedAtCheckout(ctx, conn, &intent{ID: "pi_123", Object: paymentIntent})
	if err := g.expire(ctx, conn, "cs_123"); err != nil {
		t.Errorf("expire: %v", err)
	}
	_, _ = g.window(ctx, conn, "/v1/refunds", spansOf(time.Now())[0], "re_123")
	for _, err := range g.List(ctx, conn, time.Now().Add(-time.Hour), time.Now()) {
		_ = err // as above
	}
	for _, path := range []string{"/v1/checkout/sessions/cs_123", "/v1/refunds/re_123", "/v1/charges/ch_123", "/v1/customers/cus_123"} {
		_, _ = g.get(ctx, conn, path, nil)
	}
	_, _, _ = g.account(ctx, gateway.Connection{URL: conn.URL, Secret: "sk_test_123"}, "/v1/account")
	_, _, _ = g.connected(ctx, conn, "acct_123")
	if len(seen.answers) < 28 {
		t.Errorf("only %d requests were judged", len(seen.answers))
	}
	for _, a := range seen.answers {
		if a.status != http.StatusOK {
			t.Errorf("%s %s: status %d\n%s", a.method, a.url, a.status, a.body)
		}
	}
}

// startMock builds stripe-mock and runs it on loopback.
func startMock(t *testing.T) (url string) {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "install", stripeMock)
	build.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build stripe-mock: %v\n%s", err, out)
	}
	ctx, stop := context.WithCancel(context.Background())
	mock := exec.CommandContext(ctx, filepath.Join(bin, "stripe-mock"), "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0")
	out, err := mock.StdoutPipe()
	if err == nil {
		mock.Stderr = mock.Stdout
		err = mock.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = mock.Wait() // it was killed
	})
	address := regexp.MustCompile(`HTTP at address: (127\.0\.0\.1:\d+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return "http://" + m[1]
		}
	}
	t.Fatalf("stripe-mock says nothing of its address: %v", lines.Err())
	return ""
}

type judged struct {
	method, url string
	status      int
	body        []byte
}

// recorder keeps what was answered.
type recorder struct {
	mu      sync.Mutex
	answers []judged
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, judged{req.Method, req.URL.String(), resp.StatusCode, body})
	return resp, nil
}
