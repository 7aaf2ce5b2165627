// Package neighbour has the ledger's neighbours as the simulation meets them: gateways that move money, and receivers
// of notifications. They live in memory, in virtual time, and by a seed: the same seed and the same calls give the same
// answers, messages and books, to the letter. Nothing in here starts a goroutine, waits, or reads a clock of its own.
//
// A neighbour keeps what it promises, for the ledger's safety rests on it, and is as mean as it can be beyond that. What
// happens between the ledger and a neighbour is not its business: crashes, cut connections, lost answers and the order
// of messages are the simulation's.
package neighbour

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// GatewayConfig is what a Gateway needs. All but Mischief is required.
type GatewayConfig struct {
	Behaviour Behaviour
	Now       func() time.Time
	Random    *rand.Rand
	// Mischief says how often what goes wrong; the zero value is a gateway that is well behaved.
	Mischief Mischief
	// Send posts a webhook. Whether and when it is delivered is the caller's to say.
	Send func(Webhook)
	// Hit is told the name of each fault that was really exercised; see Faults.
	Hit func(fault string)
}

// Gateway is one simulated payment gateway with any number of accounts. It implements gateway.Gateway,
// gateway.Notifier and gateway.Connector. Send and Hit are called after each call, never during one.
type Gateway struct {
	GatewayConfig
	manners manners

	mu         sync.Mutex
	last       int // the number of the last reference or message
	records    []*record
	uses       map[name]*use
	numbers    map[string][]*use // by what they pay
	methods    []*method
	refused    map[name]*record    // by instrument: what was last told of it that forbids another try
	away       map[account]absence // accounts that turn everybody away
	accounts   map[account]gateway.Connection
	schedules  []schedule
	disputes   []*dispute
	violations []string
	out        []Webhook
	hits       []string
}

var (
	_ gateway.Gateway   = (*Gateway)(nil)
	_ gateway.Notifier  = (*Gateway)(nil)
	_ gateway.Connector = (*Gateway)(nil)
)

// NewGateway returns a gateway with empty books. A behaviour that does not exist is a bug.
func NewGateway(c GatewayConfig) *Gateway {
	m, ok := behaviours[c.Behaviour]
	if !ok {
		panic(fmt.Sprintf("no gateway behaves like %q", c.Behaviour))
	}
	return &Gateway{
		GatewayConfig: c, manners: m,
		uses: map[name]*use{}, numbers: map[string][]*use{}, refused: map[name]*record{}, away: map[account]absence{},
		accounts: map[account]gateway.Connection{},
	}
}

// account is a merchant's account, and name something in it.
type (
	account struct{ merchant, connection string }
	name    struct {
		account
		name string
	}
)

// record is a charge or a refund in the gateway's book, with what became and will become of it.
type record struct {
	account
	key        string // the ledger's; empty for what it did not ask for
	reference  string
	asked      *ledgerv1.Money
	course     []step
	visible    time.Time // look-ups do not find it before
	instrument string    // the token or the stored method of a charge
	about      gateway.Charge
	told       bool    // the ledger was told that the money moved
	of         *record // the charge that a refund returns
}

// step is what a record amounts to from an instant on.
type step struct {
	at time.Time
	gateway.Result
}

// standing is the last step that has come, and its number.
func (r *record) standing(now time.Time) (step, int) {
	i := len(r.course) - 1
	for i > 0 && r.course[i].at.After(now) {
		i--
	}
	return r.course[i], i
}

// moved is when and how the money moved, if it has.
func (r *record) moved(now time.Time) (step, bool) {
	for _, s := range r.course {
		if s.Class == gateway.Accepted && !s.at.After(now) {
			return s, true
		}
	}
	return step{}, false
}

// meet notes the connection as it was last used; webhooks go there.
func (g *Gateway) meet(conn gateway.Connection) account {
	a := account{conn.Merchant, conn.ID}
	g.accounts[a] = conn
	return a
}

// Connect implements gateway.Connector.
func (g *Gateway) Connect(ctx context.Context, conn gateway.Connection) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	alone(g, func(time.Time) account { return g.meet(conn) })
	return nil
}

// Traits implements gateway.Gateway.
func (g *Gateway) Traits() gateway.Traits { return g.manners.Traits }

// alone has the gateway to itself. What is to be told is told afterwards: whoever is told may call again.
func alone[T any](g *Gateway, do func(now time.Time) T) T {
	now := g.Now().UTC().Truncate(time.Second) // gateways tell seconds
	g.mu.Lock()
	res := do(now)
	out, hits := g.out, g.hits
	g.out, g.hits = nil, nil
	g.mu.Unlock()
	for _, h := range hits {
		g.Hit(h)
	}
	for _, w := range out {
		g.Send(w)
	}
	return res
}

// next is a new name.
func (g *Gateway) next(prefix string) string {
	g.last++
	return fmt.Sprintf("%s_%s_%d", prefix, g.Behaviour, g.last)
}

// hit notes that a fault was exercised.
func (g *Gateway) hit(fault string) { g.hits = append(g.hits, fault) }

// chance is true with a probability.
func (g *Gateway) chance(p float64) bool { return p > 0 && g.Random.Float64() < p }

// within is a whole number of seconds up to d, at least one.
func (g *Gateway) within(d time.Duration) time.Duration {
	return time.Duration(1+g.Random.Int64N(int64(d/time.Second))) * time.Second
}

// violation notes what the ledger did wrong.
func (g *Gateway) violation(format string, args ...any) {
	g.violations = append(g.violations, string(g.Behaviour)+": "+fmt.Sprintf(format, args...))
}

// Heal makes the gateway well behaved from now on. All that is pending is decided, and all that is to turn up turns
// up, within an hour. Webhooks that were lost stay lost; what is decided earlier than was planned is told once more.
func (g *Gateway) Heal() {
	alone(g, func(now time.Time) struct{} {
		g.Mischief = Mischief{}
		clear(g.away)
		for _, r := range g.records {
			g.hasten(r, now)
		}
		for _, u := range g.uses { // each for itself: the order does not matter
			if u.answer.Class == gateway.Unknown {
				u.failed = true
			}
		}
		return struct{}{}
	})
}

// hasten brings what is to come of a record into the next hour.
func (g *Gateway) hasten(r *record, now time.Time) {
	if r.visible.After(now) {
		r.visible = now
	}
	_, at := r.standing(now)
	for i := at + 1; i < len(r.course); i++ {
		s := &r.course[i]
		if latest := now.Add(time.Duration(i) * 10 * time.Minute); s.at.After(latest) {
			s.at = latest
			if !s.At.IsZero() {
				s.At = latest
			}
			g.tellOf(r, i, now)
		}
	}
}
