package stripe_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

func TestProve(t *testing.T) {
	t.Parallel()
	own := stripetest.New(stripetest.Config{Key: "sk_test_own"})
	own.AddAccount(stripetest.Account{ID: stripetest.Own, Name: "Ada's Courses"})
	srv := httptest.NewServer(own)
	t.Cleanup(srv.Close)
	g := stripe.New(stripe.Config{URL: srv.URL, TestKey: secretKey})
	for name, test := range map[string]struct {
		secret, account, url string
		live                 bool
		reason               string
		asked                int
	}{
		"its own":                 {secret: "sk_test_own", asked: 1},
		"the account's":           {secret: "sk_test_own", account: stripetest.Own, asked: 1},
		"another account's":       {secret: "sk_test_own", account: "acct_1", reason: gateway.AccountMismatch, asked: 1},
		"unknown":                 {secret: "rk_test_gone", reason: gateway.CredentialsRefused, asked: 1},
		"a test key, for money":   {secret: "sk_test_own", live: true, reason: gateway.ModeMismatch},
		"a live key, for tests":   {secret: "rk_live_own", reason: gateway.ModeMismatch},
		"a publishable key":       {secret: "pk_test_own", reason: gateway.CredentialsRefused},
		"half a key":              {secret: "sk_test_", reason: gateway.CredentialsRefused},
		"a password":              {secret: "hunter2", reason: gateway.CredentialsRefused},
		"none":                    {reason: gateway.CredentialsRefused},
		"sent to somebody else":   {secret: "sk_test_own", url: "https://shop.example", reason: gateway.CredentialsRefused},
		"a live one, in the open": {secret: "sk_live_own", url: "http://api.stripe.com", live: true, reason: gateway.CredentialsRefused},
	} {
		before := len(own.Requests())
		conn := gateway.Connection{Merchant: "m1", Account: test.account, Secret: test.secret, Live: test.live, URL: test.url}
		got, err := g.Prove(t.Context(), conn)
		if test.reason == "" {
			must(t, err)
			equal(t, name, got, gateway.Account{ID: stripetest.Own, Name: "Ada's Courses"})
		} else {
			wantRefusal(t, name, err, test.reason)
			equal(t, name, got, gateway.Account{})
			if test.secret != "" {
				wantNoSecret(t, name, err, test.secret)
			}
		}
		equal(t, name+": requests", len(own.Requests())-before, test.asked)
	}
	conn := gateway.Connection{Merchant: "m1", Secret: "sk_test_own"}
	for _, step := range []stripetest.Step{stripetest.ErrorUncharged, stripetest.Page, stripetest.Half, stripetest.RateLimited} {
		own.Spoil("/v1/account", step)
		_, err := g.Prove(t.Context(), conn)
		if refused := (*gateway.Refusal)(nil); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: got %v, want no answer", step, err)
		}
	}
	forbidden := oauthAnswering(t, 403, `{"error": {"type": "invalid_request_error", "message": "The provided key does not have the required permissions for this endpoint."}}`)
	_, err := forbidden.Prove(t.Context(), conn)
	wantRefusal(t, "a key that may not look", err, gateway.CredentialsRefused)
}
