package stripe

import (
	"net/http"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

const (
	// keyLifetime is less than the 24 hours after which Stripe may forget a key, by more than clocks differ.
	// https://docs.stripe.com/api/idempotent_requests
	keyLifetime = 23 * time.Hour
	// horizon is how long a request that we gave up on may still be under way. Nobody says for how long that can be;
	// lists show at once what was executed (https://docs.stripe.com/search#data-freshness), so this is for the way only.
	horizon = 10 * time.Minute
	// timeout is for one request. A first payment takes two, and both have to fit into the 30 s of a call.
	timeout = 20 * time.Second
	// customerTimeout is for the request that makes a customer, which asks no bank.
	customerTimeout = 10 * time.Second
)

// Config says how the adapter calls. At least one key has to be set, unless every connection has its own.
type Config struct {
	// LiveKey and TestKey are the platform's secret keys, for connections without a Secret: the account is then named by
	// the header Stripe-Account. https://docs.stripe.com/connect/authentication
	LiveKey, TestKey string
	// URL is called for connections that name none; https://api.stripe.com if empty.
	URL string
	// HTTPClient is gateway.NewHTTPClient's if nil.
	HTTPClient *http.Client
	// Timeout is for one request, the answer included; 20 s if zero.
	Timeout time.Duration
}

// Gateway calls Stripe.
type Gateway struct{ c Config }

var (
	_ gateway.Gateway   = (*Gateway)(nil)
	_ gateway.Notifier  = (*Gateway)(nil)
	_ gateway.Completer = (*Gateway)(nil)
)

// New returns the adapter.
func New(c Config) *Gateway {
	if c.HTTPClient == nil {
		c.HTTPClient = gateway.NewHTTPClient()
	}
	if c.Timeout == 0 {
		c.Timeout = timeout
	}
	return &Gateway{c}
}

// Traits implements gateway.Gateway.
func (g *Gateway) Traits() gateway.Traits {
	return gateway.Traits{KeyLifetime: keyLifetime, Horizon: horizon}
}
