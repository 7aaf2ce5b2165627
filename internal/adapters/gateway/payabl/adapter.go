package payabl

import (
	"net/http"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// Where the back office is, if a connection does not say.
const (
	testURL = "https://sandbox.payabl.com/pay/backoffice" // https://docs.payabl.com/docs/paypal
	liveURL = "https://payabl.com/pay/backoffice"         // https://github.com/payabl-com/PHP-SDK
)

// horizon is how long after sending a payment can still turn up. payabl. publishes no figure; a buyer's bank or PayPal
// has answered or given up long before.
const horizon = 30 * time.Minute

// perSecond is how many requests of an account go out in a second. payabl. publishes no limit: this many make some 30,000
// payments an hour, and wake no guard that a gateway is likely to have.
const perSecond = 10

// Config says how the adapter calls. The zero value is a good one.
type Config struct {
	// HTTPClient is gateway.NewHTTPClient's if nil.
	HTTPClient *http.Client
	// Timeout is for a whole call, the answer included; 40 s if zero.
	Timeout time.Duration
	// Clock decides when a redirect has run out; the machine's if nil.
	Clock clock.Clock
	// RedirectExpiry is how long a buyer who was sent away may take; 72 h if zero.
	RedirectExpiry time.Duration
	// PerSecond is how many requests of an account go out in a second; 10 if zero.
	PerSecond int
}

// Gateway calls payabl.
type Gateway struct {
	c Config
	// concluding are the order ids of first payments that are being made at this moment.
	concluding sync.Map
}

var (
	_ gateway.Gateway   = (*Gateway)(nil)
	_ gateway.Finder    = (*Gateway)(nil)
	_ gateway.Notifier  = (*Gateway)(nil)
	_ gateway.Completer = (*Gateway)(nil)
	_ gateway.Prover    = (*Gateway)(nil)
	_ gateway.Lister    = (*Gateway)(nil)
)

// New returns the adapter.
func New(c Config) *Gateway {
	if c.HTTPClient == nil {
		c.HTTPClient = gateway.NewHTTPClient()
	}
	if c.Timeout == 0 {
		c.Timeout = 40 * time.Second
	}
	if c.Clock == nil {
		c.Clock = clock.Wall{}
	}
	if c.RedirectExpiry == 0 {
		c.RedirectExpiry = 72 * time.Hour
	}
	if c.PerSecond == 0 {
		c.PerSecond = perSecond
	}
	return &Gateway{c: c}
}

// Traits implements gateway.Gateway. KeyLifetime is 0: payabl. promises no idempotency at all.
//
// Chargebacks are booked by the day, and nobody waits for one.
func (g *Gateway) Traits() gateway.Traits {
	return gateway.Traits{Processor: "payabl", Horizon: horizon, ListEvery: 24 * time.Hour}
}

func backOffice(conn gateway.Connection) string {
	switch {
	case conn.URL != "":
		return conn.URL
	case conn.Live:
		return liveURL
	}
	return testURL
}
