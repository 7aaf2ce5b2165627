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
	// So many requests Stripe takes of an account in a second. https://docs.stripe.com/rate-limits
	livePerSecond = 100
	testPerSecond = 25
)

// Config says how the adapter calls, and as which platform. At least one key has to be set, unless every connection has
// its own.
type Config struct {
	// LiveKey and TestKey are the platform's secret keys, for connections without a Secret: the account is then named by
	// the header Stripe-Account. https://docs.stripe.com/connect/authentication
	LiveKey, TestKey string
	// LiveClientID and TestClientID name the platform to a merchant who is asked for his consent; Stripe gives out one for
	// each mode. https://docs.stripe.com/connect/oauth-standard-accounts#create-the-oauth-link
	LiveClientID, TestClientID string
	// WebhookSecrets are those of the platform's endpoints, for connections without one of their own. There are several
	// because a live endpoint has another than a test endpoint, and for a while both the old and the new one while a
	// secret is exchanged. https://docs.stripe.com/webhooks#roll-endpoint-secrets
	WebhookSecrets []string
	// URL is called for connections that name none; https://api.stripe.com if empty.
	URL string
	// ConnectURL is where consent is asked for and given back; https://connect.stripe.com if empty.
	// https://docs.stripe.com/connect/oauth-reference
	ConnectURL string
	// HTTPClient is gateway.NewHTTPClient's if nil.
	HTTPClient *http.Client
	// Timeout is for one request, the answer included; 20 s if zero.
	Timeout time.Duration
	// PerSecond is how many requests of an account go out in a second; what Stripe publishes if zero.
	PerSecond int
}

// Gateway calls Stripe.
type Gateway struct{ c Config }

var (
	_ gateway.Gateway   = (*Gateway)(nil)
	_ gateway.Notifier  = (*Gateway)(nil)
	_ gateway.Completer = (*Gateway)(nil)
	_ gateway.Consenter = (*Gateway)(nil)
	_ gateway.Prover    = (*Gateway)(nil)
	_ gateway.Router    = (*Gateway)(nil)
	_ gateway.Abandoner = (*Gateway)(nil)
	_ gateway.Lister    = (*Gateway)(nil)
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
	return gateway.Traits{Processor: "Stripe", KeyLifetime: keyLifetime, Horizon: horizon}
}
