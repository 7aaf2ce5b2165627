package stripe_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

func usd(n int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: n} }

// first is a first payment with a token.
func first(key, token string) gateway.Charge {
	return gateway.Charge{
		Key: key, Amount: usd(4700), Token: token, ReturnURL: "https://shop.example/back",
		Merchant: "m1", Subscription: "s1", PayNumber: 1, Attempt: 1,
	}
}

func (w *world) charge(t *testing.T, c gateway.Charge) gateway.Result {
	t.Helper()
	return w.gateway.Charge(t.Context(), w.conn, c)
}

// lookup fails the test unless the key is found.
func (w *world) lookup(t *testing.T, key string) gateway.Result {
	t.Helper()
	r, found, err := w.gateway.Lookup(t.Context(), w.conn, key, start)
	if err != nil || !found {
		t.Fatalf("look up %s: found %v, %v", key, found, err)
	}
	return r
}

// paid makes a first payment.
func (w *world) paid(t *testing.T, key string) gateway.Result {
	t.Helper()
	r := w.charge(t, first(key, "pm_card_visa"))
	if r.Class != gateway.Accepted {
		t.Fatalf("got %+v, want a payment", r)
	}
	return r
}

// patience ends when what should happen at once has not happened.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// What a rebill says: off session, under our key, in the account's name, and nothing of this machine.
func TestARebillOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	method := w.paid(t, "k1").Method
	r := w.charge(t, gateway.Charge{
		Key: "k2", Amount: usd(4700), Method: method, Merchant: "m1", Subscription: "s1", PayNumber: 2, Attempt: 3,
	})
	requests := w.server.Requests()
	q := requests[len(requests)-1]
	customer, pm, _ := strings.Cut(method.Reference, "/")
	got := map[string]string{}
	for name := range q.Form {
		if !strings.HasPrefix(name, "expand") {
			got[name] = q.Form.Get(name)
		}
	}
	equal(t, "parameters", got, map[string]string{
		"amount": "4700", "currency": "usd", "confirm": "true", "off_session": "true", "capture_method": "automatic",
		"customer": customer, "payment_method": pm,
		"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never",
		"metadata[ledger_key]": "k2", "metadata[ledger_merchant]": "m1", "metadata[ledger_subscription]": "s1",
		"metadata[ledger_pay_number]": "2", "metadata[ledger_attempt]": "3",
	})
	for name, want := range map[string]string{
		"Idempotency-Key": "k2", "Stripe-Account": account, "Authorization": "Bearer " + secretKey,
		"X-Stripe-Client-User-Agent": "", "X-Stripe-Client-Telemetry": "",
	} {
		equal(t, name, q.Header.Get(name), want)
	}
	want := gateway.Result{
		Class: gateway.Accepted, Reference: r.Reference, At: start, Amount: usd(4700), Fee: usd(166),
		Method: &ledgerv1.PaymentMethod{Reference: method.Reference, Brand: "visa", Last4: "4242"},
	}
	equal(t, "result", r, want)
}

// A first payment takes two requests; the first of them moves nothing, whatever becomes of it.
func TestNoCustomerNoPayment(t *testing.T) {
	t.Parallel()
	for step, want := range map[stripetest.Step]gateway.Class{
		stripetest.ErrorUncharged: gateway.Accepted, // the next key
		stripetest.ErrorCharged:   gateway.Accepted,
		stripetest.Page:           gateway.NotSent,
		stripetest.Half:           gateway.NotSent,
		stripetest.Huge:           gateway.NotSent,
		stripetest.ResetCharged:   gateway.NotSent,
		stripetest.RateLimited:    gateway.NotSent,
		stripetest.Unauthorized:   gateway.NotSent,
		stripetest.InUse:          gateway.NotSent,
	} {
		w := newWorld(t)
		w.server.Spoil("/v1/customers", step)
		c := first("k", "pm_card_visa")
		r := w.charge(t, c)
		paid := len(w.server.Paid("k"))
		if r.Class != want || (paid == 1) != (want == gateway.Accepted) || (r.Why == "") != (want == gateway.Accepted) {
			t.Errorf("%s: got %+v and %d payments, want class %d", step, r, paid, want)
		}
		if again := w.charge(t, c); again.Class != gateway.Accepted || len(w.server.Paid("k")) != 1 {
			t.Errorf("%s: again: got %+v and %v", step, again, w.server.Paid("k"))
		}
	}
}

// Whatever a server answers to the making of a customer, no payment is asked for.
func TestNonsenseInsteadOfACustomer(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a web page": "<html>", "an empty object": "{}", "no id": `{"object":"customer"}`, "another thing": `{"object":"charge","id":"ch_1"}`,
	} {
		var payments atomic.Int32
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/customers" {
				payments.Add(1)
			}
			_, _ = io.WriteString(rw, body) // the caller notices
		}))
		t.Cleanup(srv.Close)
		r := stripe.New(stripe.Config{TestKey: secretKey}).Charge(t.Context(), gateway.Connection{URL: srv.URL}, first("k", "pm_card_visa"))
		if r.Class != gateway.NotSent || payments.Load() != 0 {
			t.Errorf("%s: got %+v and %d payments", name, r, payments.Load())
		}
	}
}

// A key of the other mode, or none, sends nothing.
func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct {
		config stripe.Config
		live   bool
		secret string
	}{
		"none":                              {config: stripe.Config{LiveKey: "sk_live_1"}},
		"none of the live mode":             {config: stripe.Config{TestKey: secretKey}, live: true},
		"a live one for a test connection":  {config: stripe.Config{TestKey: "sk_live_1"}},
		"a test one for a live connection":  {config: stripe.Config{LiveKey: "rk_test_1"}, live: true},
		"the connection's, of another mode": {config: stripe.Config{TestKey: secretKey}, secret: "sk_live_1"},
	} {
		conn := w.conn
		conn.Live, conn.Secret = test.live, test.secret
		g := stripe.New(test.config)
		results := []gateway.Result{
			g.Charge(t.Context(), conn, first("k", "pm_card_visa")),
			g.Refund(t.Context(), conn, gateway.Refund{Key: "r", ChargeReference: "pi_1", Amount: usd(1)}),
		}
		for _, r := range results {
			if r.Class != gateway.NotSent || !r.Config {
				t.Errorf("%s: got %+v, want a connection to change", name, r)
			}
		}
	}
	if n := len(w.server.Requests()); n != 0 {
		t.Errorf("%d requests went out", n)
	}
	conn := w.conn
	conn.Account = "acct_other"
	if r := w.gateway.Charge(t.Context(), conn, first("k", "pm_card_visa")); r.Class != gateway.NotSent || !r.Config {
		t.Errorf("an account that is not ours: got %+v", r)
	}
}

// An account with a key of its own is not named.
func TestAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	server := stripetest.New(stripetest.Config{Key: "sk_live_own", Live: true})
	srv := httptest.NewServer(server)
	t.Cleanup(srv.Close)
	conn := gateway.Connection{Merchant: "m1", Account: stripetest.Own, Secret: "sk_live_own", Live: true}
	if r := stripe.New(stripe.Config{URL: srv.URL}).Charge(t.Context(), conn, first("k", "pm_card_visa")); r.Class != gateway.Accepted {
		t.Errorf("got %+v", r)
	}
}

// A connection's URL does not lead a key away from Stripe: it may be the platform's.
func TestAnAddressOfSomebodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for url, live := range map[string]bool{"https://shop.example": false, "http://api.stripe.com": false, w.url: true} {
		conn := w.conn
		conn.URL, conn.Live = url, live
		g := stripe.New(stripe.Config{TestKey: secretKey, LiveKey: "sk_live_platform", HTTPClient: &http.Client{Transport: nobody{t}}})
		r := g.Charge(t.Context(), conn, first("k", "pm_card_visa"))
		if r.Class != gateway.NotSent || !r.Config || !strings.Contains(r.Why, "stripe.com") {
			t.Errorf("%s, live %v: got %+v, want a connection to change", url, live, r)
		}
	}
}

// nobody is to be asked.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(req *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s went out", req.Method, req.URL)
	return nil, http.ErrHandlerTimeout
}

// An account that has taken its consent back is no decline: what is due waits until somebody connects it again.
func TestAnAccountThatIsNotConnectedAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paid := w.paid(t, "k1")
	must(t, w.server.Disconnect(account))
	for name, r := range map[string]gateway.Result{
		"a first payment": w.charge(t, first("k2", "pm_card_visa")),
		"a rebill":        w.charge(t, gateway.Charge{Key: "k3", Amount: usd(4700), Method: paid.Method, Merchant: "m1", Subscription: "s1"}),
		"a refund":        w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: paid.Reference, Amount: usd(1)}),
	} {
		if r.Class != gateway.NotSent || !r.Config || !strings.Contains(r.Why, "account_invalid") {
			t.Errorf("%s: got %+v, want it held for a change of the connection", name, r)
		}
	}
}

// What the suite does not know of Stripe's ways to answer badly.
func TestFaults(t *testing.T) {
	t.Parallel()
	for step, want := range map[stripetest.Step]struct {
		class gateway.Class
		paid  int
	}{
		stripetest.Huge:        {gateway.Unknown, 1},
		stripetest.InUse:       {gateway.Unknown, 0},
		stripetest.WrongID:     {gateway.Unknown, 0}, // paid, under another key
		stripetest.LockTimeout: {gateway.NotSent, 0},
	} {
		w := newWorld(t)
		r := w.charge(t, first("k", "pm_x_"+string(step)))
		if r.Class != want.class || len(w.server.Paid("k")) != want.paid || r.Why == "" {
			t.Errorf("%s: got %+v and %v", step, r, w.server.Paid("k"))
		}
	}
	w := newWorld(t)
	if r := w.charge(t, first("k", "pm_x_wrong_currency")); r.Class != gateway.Accepted || r.Amount.CurrencyCode != "EUR" {
		t.Errorf("another currency: got %+v, want what truly moved", r)
	}
	if r := w.charge(t, first("s", "pm_x_settled")); r.Settled.GetCurrencyCode() != "EUR" || r.Settled.GetMinorUnits() != 4230 || r.Fee.GetCurrencyCode() != "EUR" {
		t.Errorf("settled in another currency: got %+v", r)
	}
}

// A byte that drips does not keep a caller for longer than he is willing to wait.
func TestADrippingAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(patience(t))
	done := make(chan gateway.Result, 1)
	go func() { done <- w.gateway.Charge(ctx, w.conn, first("k", "pm_x_drip")) }()
	_, err := w.server.Next(ctx, 0)
	must(t, err) // it was charged
	cancel()
	if r := <-done; r.Class != gateway.Unknown {
		t.Errorf("got %+v, want Unknown", r)
	}
	if r := w.lookup(t, "k"); r.Class != gateway.Accepted {
		t.Errorf("looked up: got %+v", r)
	}
}

// A repeated 500 proves nothing; the key that is forgotten after a day is not sent again without a look-up.
func TestAnInternalErrorIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		if r := w.charge(t, first("k", "pm_x_500_charged")); r.Class != gateway.Unknown {
			t.Errorf("got %+v, want Unknown", r)
		}
	}
	if n := len(w.server.Paid("k")); n != 1 {
		t.Errorf("%d payments, want 1", n)
	}
	if traits := w.gateway.Traits(); traits.KeyLifetime <= 0 || traits.KeyLifetime >= 24*60*60*1e9 || traits.Horizon < 10*60*1e9 {
		t.Errorf("got %+v", traits)
	}
}
