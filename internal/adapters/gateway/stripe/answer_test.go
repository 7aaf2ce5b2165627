package stripe_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
)

// answering is a connection to a server that does as it is told.
func answering(t *testing.T, h http.HandlerFunc) gateway.Connection {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return gateway.Connection{Merchant: "m1", URL: srv.URL}
}

// An answer that reads well and is about something else claims nothing.
func TestAnswersAboutSomethingElse(t *testing.T) {
	t.Parallel()
	g := stripe.New(stripe.Config{TestKey: secretKey, PerSecond: unpaced})
	stored := first("k", "")
	stored.Method = &ledgerv1.PaymentMethod{Reference: "cus_1/pm_1"}
	charge := func(c gateway.Charge) func(gateway.Connection) gateway.Result {
		return func(conn gateway.Connection) gateway.Result { return g.Charge(t.Context(), conn, c) }
	}
	refund := func(conn gateway.Connection) gateway.Result {
		return g.Refund(t.Context(), conn, gateway.Refund{Key: "k", ChargeReference: "pi_1", Amount: usd(1)})
	}
	for name, test := range map[string]struct {
		call   func(gateway.Connection) gateway.Result
		status int
		body   string
	}{
		"a decline of another payment": {charge(stored), 402, `{"error":{"type":"card_error","code":"card_declined","payment_intent":{"id":"pi_1","object":"payment_intent","status":"requires_payment_method","metadata":{"ledger_key":"x"}}}}`},
		"another payment":              {charge(stored), 200, `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount_received":4700,"currency":"usd","metadata":{"ledger_key":"x"}}`},
		"a payment of nothing":         {charge(stored), 200, `{"id":"pi_1","object":"payment_intent","status":"succeeded","metadata":{"ledger_key":"k"}}`},
		"a status that nobody knows":   {charge(stored), 200, `{"id":"pi_1","object":"payment_intent","status":"dreaming","metadata":{"ledger_key":"k"}}`},
		"money that was only reserved": {charge(stored), 200, `{"id":"pi_1","object":"payment_intent","status":"requires_capture","metadata":{"ledger_key":"k"}}`},
		"another page":                 {charge(first("k", "")), 200, `{"id":"cs_1","object":"checkout.session","status":"open","url":"https://x.example","metadata":{"ledger_key":"x"}}`},
		"a refund of another payment":  {refund, 200, `{"id":"re_1","object":"refund","status":"succeeded","amount":1,"currency":"usd","payment_intent":"pi_2","metadata":{"ledger_key":"k"}}`},
		"a refund with no status":      {refund, 200, `{"id":"re_1","object":"refund","payment_intent":"pi_1","metadata":{"ledger_key":"k"}}`},
	} {
		conn := answering(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(test.status)
			_, _ = io.WriteString(rw, test.body) // the caller notices
		})
		if r := test.call(conn); r.Class != gateway.Unknown || r.Why == "" {
			t.Errorf("%s: got %+v, want Unknown", name, r)
		}
	}
}

// What could not be cancelled is not told as declined: it has just been paid, perhaps.
func TestACancellationThatComesTooLate(t *testing.T) {
	t.Parallel()
	intent := func(status string) string {
		return `{"id":"pi_1","object":"payment_intent","status":"` + status + `","currency":"usd","last_payment_error":` +
			`{"type":"invalid_request_error","code":"payment_intent_authentication_failure"},"metadata":{"ledger_key":"k"}}`
	}
	conn := answering(t, func(rw http.ResponseWriter, r *http.Request) {
		body := intent("requires_payment_method")
		switch {
		case strings.HasSuffix(r.URL.Path, "/cancel"):
			body = intent("succeeded")
		case r.URL.Path == "/v1/payment_intents":
			body = `{"object":"list","has_more":false,"data":[` + body + `]}`
		}
		_, _ = io.WriteString(rw, body) // the caller notices
	})
	r, found, err := stripe.New(stripe.Config{TestKey: secretKey, PerSecond: unpaced}).Lookup(t.Context(), conn, "k", start)
	if err == nil {
		t.Errorf("found %v, %+v, want an error", found, r)
	}
}

// A list without an end is no absence.
func TestAListWithoutAnEnd(t *testing.T) {
	t.Parallel()
	var pages atomic.Int32
	conn := answering(t, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, `{"object":"list","has_more":true,"data":[{"id":"pi_%d"}]}`, pages.Add(1)) // the caller notices
	})
	r, found, err := stripe.New(stripe.Config{TestKey: secretKey, PerSecond: unpaced}).Lookup(t.Context(), conn, "k", start)
	if err == nil || pages.Load() > 1000 {
		t.Errorf("found %v, %+v after %d pages, want an error", found, r, pages.Load())
	}
}
