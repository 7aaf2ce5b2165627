package stripe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

// kind is Stripe with settings that are made of name=value.
func kind(t *testing.T, settings map[string]string) *stripe.Kind {
	t.Helper()
	k, set := new(stripe.Kind), 0
	for _, s := range k.Settings() {
		if value, ok := settings[s.Name]; ok {
			*s.Value = value
			set++
		}
	}
	if set != len(settings) {
		t.Fatalf("%d of the settings %v are none of Stripe's", len(settings)-set, settings)
	}
	return k
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings map[string]string
		wrong    string // the setting that the error names; empty if all are right
	}{
		"none":                       {},
		"live":                       {map[string]string{"stripe-live-key": "sk_live_1", "stripe-live-client-id": "ca_1", "stripe-webhook-secrets": "whsec_1"}, ""},
		"restricted":                 {map[string]string{"stripe-live-key": "rk_live_1", "stripe-test-key": "rk_test_1"}, ""},
		"elsewhere":                  {map[string]string{"stripe-url": "http://127.0.0.1:1", "stripe-connect-url": "https://connect.example"}, ""},
		"two secrets":                {map[string]string{"stripe-webhook-secrets": " whsec_1 , whsec_2,"}, ""},
		"a test key for money":       {map[string]string{"stripe-live-key": "sk_test_canary"}, "stripe-live-key"},
		"a live key for tests":       {map[string]string{"stripe-test-key": "rk_live_canary"}, "stripe-test-key"},
		"a publishable key":          {map[string]string{"stripe-test-key": "pk_test_canary"}, "stripe-test-key"},
		"a password":                 {map[string]string{"stripe-live-key": "canary"}, "stripe-live-key"},
		"a key for a client id":      {map[string]string{"stripe-test-client-id": "sk_test_canary"}, "stripe-test-client-id"},
		"a live key for a client id": {map[string]string{"stripe-live-client-id": "sk_live_canary"}, "stripe-live-client-id"},
		"a key for a webhook secret": {map[string]string{"stripe-webhook-secrets": "whsec_1,sk_live_canary"}, "stripe-webhook-secrets"},
		"an address without a host":  {map[string]string{"stripe-url": "canary"}, "stripe-url"},
		"a file":                     {map[string]string{"stripe-connect-url": "file:///canary"}, "stripe-connect-url"},
	} {
		err := kind(t, test.settings).Check()
		switch {
		case test.wrong == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), test.wrong+": ") || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: got %v, want what is wrong with %s, and not its value", name, err, test.wrong)
		}
	}
}

// What can be read by others and what cannot.
func TestSecretSettings(t *testing.T) {
	t.Parallel()
	var secret []string
	for _, s := range new(stripe.Kind).Settings() {
		if s.Secret {
			secret = append(secret, s.Name)
		}
	}
	equal(t, "secret", strings.Join(secret, " "), "stripe-live-key stripe-test-key stripe-webhook-secrets")
}

func TestOpenUsesTheSettings(t *testing.T) {
	t.Parallel()
	server := stripetest.New(stripetest.Config{Key: secretKey, ClientID: clientID, WebhookSecret: webhookSecret, Now: func() time.Time { return start }})
	server.AddAccount(stripetest.Account{ID: "acct_1"})
	srv := httptest.NewServer(server)
	t.Cleanup(srv.Close)
	t.Cleanup(server.Close)
	asked := &counting{next: http.DefaultTransport}
	g := kind(t, map[string]string{
		"stripe-test-key": secretKey, "stripe-test-client-id": clientID, "stripe-webhook-secrets": "whsec_old, " + webhookSecret,
		"stripe-url": srv.URL, "stripe-connect-url": srv.URL,
	}).Open(gateway.Environment{Client: &http.Client{Transport: asked}, Timeout: time.Minute})

	conn := gateway.Connection{Merchant: "m1", ID: "c1"}
	address, err := g.(gateway.Consenter).ConsentURL(conn, "m1.c1.x", "https://ledger.example/connect/stripe")
	must(t, err)
	if !strings.HasPrefix(address, srv.URL+"/") {
		t.Errorf("he is sent to %s, want the server that is set", address)
	}
	back, err := server.Approve(address, "acct_1")
	must(t, err)
	u, err := url.Parse(back)
	must(t, err)
	account, err := g.(gateway.Consenter).Consented(context.Background(), conn, u.Query())
	must(t, err)
	equal(t, "account", account.ID, "acct_1")
	if asked.n == 0 {
		t.Error("the client that all share was not used")
	}
	body := []byte(`{"id":"evt_1","object":"event","type":"x","account":"acct_1"}`)
	for _, secret := range []string{"whsec_old", webhookSecret} {
		_, _, err = g.(gateway.Router).Route(stripetest.Sign(start, body, secret), body, start)
		must(t, err)
	}
	conn.Live = true
	if _, err := g.(gateway.Consenter).ConsentURL(conn, "s", "https://ledger.example/connect/stripe"); err == nil || !strings.Contains(err.Error(), "client id") {
		t.Errorf("got %v of a mode that is not set, want what is missing", err)
	}
}

// counting counts the requests that go through it.
type counting struct {
	next http.RoundTripper
	n    int
}

// RoundTrip implements http.RoundTripper.
func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n++
	return c.next.RoundTrip(r)
}
