package dialect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// Kind is whose adapter it is.
type Kind string

// The kinds.
const (
	Stripe Kind = "stripe"
	Payabl Kind = "payabl"
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Stripe, Payabl} }

// Config is what a House needs. All but Mischief is required.
type Config struct {
	Kind     Kind
	Now      func() time.Time // the world's, and the vendor's
	Random   *rand.Rand
	Mischief neighbour.Mischief
	// Send posts a webhook. Whether and when it is delivered is the caller's to say.
	Send func(neighbour.Webhook)
	// Hit is told the name of each fault that was really exercised; see Faults.
	Hit func(fault string)
}

// House is a vendor with all accounts that merchants have there. Send and Hit are called after each call, never during
// one.
type House struct {
	Config
	open func(*House, gateway.Connection) vendor // makes an account's server

	mu       sync.Mutex
	accounts []*account
	plans    []plan          // in the order in which they happen
	planned  map[string]bool // what has its plan, if it needs one
	arrived  map[string]bool // keys of the ledger's that a server has got
	mismatch map[string]bool // keys under which something else was charged than was asked for
	changed  bool            // something may have come to wait or to be told
	out      []neighbour.Webhook
	hits     []string
}

// vendor is an account's server, and what there is to know of it.
type vendor interface {
	http.Handler
	// adapter is the one that speaks with it, over a transport and by the ledger's clock.
	adapter(http.RoundTripper, clock.Clock) gateway.Gateway
	// looks reports whether a request changes nothing.
	looks(*http.Request) bool
	// about tells requests apart that may be on their way at once.
	about(*http.Request) string
	// keyOf is the ledger's key in a request that asks for something; empty if it has none.
	keyOf(*request) string
	// decide draws what comes of a request that is about to be carried out.
	decide(*House, *request)
	// breakInside has the request that comes next answered by the server's own internal error, with or without effect.
	// false: the vendor has nothing of that kind.
	breakInside(r *request, done bool) bool
	// waits plans what becomes of all that waits for somebody.
	waits(h *House, a *account)
	// news are the messages since the last time.
	news() []message
	// acts are what the vendor may do by itself; each names what it did, or nothing.
	acts(h *House, a *account) []func(*rand.Rand) string
	captures() []invariant.Capture
	returns() []invariant.Return
	// store gives the account a method that it had before the ledger came, and that may have ended since.
	store(ended bool) *ledgerv1.PaymentMethod
	// token draws what a buyer pays with.
	token(*rand.Rand) string
	// expressible reports whether an amount can be asked for at all.
	expressible(*ledgerv1.Money) bool
}

// account is a merchant's.
type account struct {
	vendor
	gateway.Connection
	host   string // of its address: by it the vendor knows the account
	until  time.Time
	config bool // it does not accept the credentials until then; else it asks to slow down
}

// New returns a vendor without accounts.
func New(c Config) *House {
	open, ok := map[Kind]func(*House, gateway.Connection) vendor{Stripe: openStripe, Payabl: openPayabl}[c.Kind]
	if !ok {
		panic(fmt.Sprintf("there is no adapter for %q", c.Kind))
	}
	return &House{Config: c, open: open, planned: map[string]bool{}, arrived: map[string]bool{}, mismatch: map[string]bool{}}
}

// Connect opens an account. Its URL is what tells it from others.
func (h *House) Connect(_ context.Context, conn gateway.Connection) error {
	u, err := url.Parse(conn.URL)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accounts = append(h.accounts, &account{vendor: h.open(h, conn), Connection: conn, host: u.Host})
	return nil
}

// at is the account of a connection.
func (h *House) at(conn gateway.Connection) *account {
	i := slices.IndexFunc(h.accounts, func(a *account) bool { return a.Merchant == conn.Merchant && a.ID == conn.ID })
	return h.accounts[i]
}

// Adapter is the real adapter, in front of the vendor behind a transport that leads to House.RoundTrip.
func (h *House) Adapter(t http.RoundTripper, c clock.Clock) gateway.Gateway {
	return h.accounts[0].adapter(t, c)
}

// alone has the house to itself. What is to be told is told afterwards: whoever is told may call again.
func alone[T any](h *House, do func(now time.Time) T) T {
	h.mu.Lock()
	res := do(h.Now())
	if h.changed {
		for _, a := range h.accounts {
			a.waits(h, a)
			h.spread(a)
		}
		h.changed = false
	}
	out, hits := h.out, h.hits
	h.out, h.hits = nil, nil
	h.mu.Unlock()
	for _, what := range hits {
		h.Hit(what)
	}
	for _, w := range out {
		h.Send(w)
	}
	return res
}

// hit notes that a fault was exercised.
func (h *House) hit(fault string) { h.hits = append(h.hits, h.fault(fault)) }

// fault is the name of a fault with this adapter.
func (h *House) fault(name string) string { return string(h.Kind) + " " + name }

// chance is true with a probability.
func (h *House) chance(p float64) bool { return p > 0 && h.Random.Float64() < p }

// within is a whole number of seconds up to d, at least one.
func (h *House) within(d time.Duration) time.Duration {
	return time.Duration(1+h.Random.Int64N(int64(d/time.Second))) * time.Second
}

// first reports whether something of an account's is asked about for the first time.
func (h *House) first(a *account, what string) bool {
	key := a.host + " " + what
	if h.planned[key] {
		return false
	}
	h.planned[key] = true
	return true
}

// plan is something that will happen.
type plan struct {
	at time.Time
	do func()
}

// schedule plans something, behind whatever happens at the same time.
func (h *House) schedule(at time.Time, do func()) {
	i, _ := slices.BinarySearchFunc(h.plans, at, func(p plan, at time.Time) int {
		if p.at.After(at) {
			return 1
		}
		return -1
	})
	h.plans = slices.Insert(h.plans, i, plan{at, do})
}

// Next is when something happens by itself; false if nothing does.
func (h *House) Next() (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.plans) == 0 {
		return time.Time{}, false
	}
	return h.plans[0].at, true
}

// Pass has happen what was to happen until now.
func (h *House) Pass() {
	if at, ok := h.Next(); !ok || at.After(h.Now()) {
		return
	}
	alone(h, func(now time.Time) struct{} {
		h.pass(now)
		return struct{}{}
	})
}

func (h *House) pass(now time.Time) {
	for len(h.plans) > 0 && !h.plans[0].at.After(now) {
		p := h.plans[0]
		h.plans = h.plans[1:]
		h.changed = true
		p.do()
	}
}

// soon is by when all that is planned happens once the house is healed.
const soon = 30 * time.Minute

// Heal makes the vendor well behaved from now on. All that is pending is decided within the hour, in the order in which it
// would have been. Webhooks that were lost stay lost.
func (h *House) Heal() {
	alone(h, func(now time.Time) struct{} {
		h.Mischief = neighbour.Mischief{}
		for _, a := range h.accounts {
			a.until = time.Time{}
		}
		for i := range h.plans {
			if latest := now.Add(soon); h.plans[i].at.After(latest) {
				h.plans[i].at = latest
			}
		}
		return struct{}{}
	})
}

// Act does something that nobody asked the vendor for, if there is anything it could do.
func (h *House) Act(r *rand.Rand) (what string, ok bool) {
	what = alone(h, func(time.Time) string {
		if len(h.accounts) == 0 {
			return ""
		}
		a := h.accounts[r.IntN(len(h.accounts))]
		acts := a.acts(h, a)
		h.changed = true
		first := r.IntN(len(acts))
		for i := range acts {
			if what := acts[(first+i)%len(acts)](r); what != "" {
				h.hit(what)
				return h.fault(what)
			}
		}
		return ""
	})
	return what, what != ""
}

// one is any of a list; ok is false if that is empty.
func one[T any](r *rand.Rand, list []T) (v T, ok bool) {
	if len(list) == 0 {
		return v, false
	}
	return list[r.IntN(len(list))], true
}

// Captures are the charges that moved money, in the order in which they did.
func (h *House) Captures() (all []invariant.Capture) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.accounts {
		for _, c := range a.captures() {
			c.Merchant, c.Connection = a.Merchant, a.ID
			all = append(all, c)
		}
	}
	return all
}

// Returns are the refunds, those that came back, and what the banks took and gave back.
func (h *House) Returns() (all []invariant.Return) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.accounts {
		for _, r := range a.returns() {
			r.Merchant, r.Connection = a.Merchant, a.ID
			all = append(all, r)
		}
	}
	return all
}

// Knows reports whether a charge or a refund was ever asked for under a key.
func (h *House) Knows(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.arrived[key]
}

// Violations are what the vendor itself saw the ledger do wrong: nothing, for its book tells all.
func (h *House) Violations() []string { return nil }

// Expressible reports whether an amount can be asked for at all. What cannot is declined, and nobody ever hears of it.
func (h *House) Expressible(m *ledgerv1.Money) bool {
	return len(h.accounts) > 0 && h.accounts[0].expressible(m)
}

// Token is what a buyer pays with for the first time; empty if he is sent to a page of the vendor's.
func (h *House) Token(conn gateway.Connection, r *rand.Rand) string { return h.at(conn).token(r) }

// Store gives an account a method that it had before the ledger came, and that may have ended since.
func (h *House) Store(conn gateway.Connection, ended bool) *ledgerv1.PaymentMethod {
	return alone(h, func(time.Time) *ledgerv1.PaymentMethod {
		h.changed = true
		return h.at(conn).store(ended)
	})
}

// Credentials completes a connection by what proves that the ledger may use it.
func (h *House) Credentials(conn gateway.Connection) gateway.Connection {
	if h.Kind == Payabl {
		return payablCredentials(conn)
	}
	return conn
}
