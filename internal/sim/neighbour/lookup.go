package neighbour

import (
	"context"
	"errors"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

var errLookup = errors.New("the gateway did not answer: 503")

// Lookup implements gateway.Gateway. What exists may not be found for a while, never longer than the horizon allows.
func (g *Gateway) Lookup(ctx context.Context, conn gateway.Connection, key string, _ time.Time) (gateway.Result, bool, error) {
	if err := ctx.Err(); err != nil {
		return gateway.Result{}, false, err
	}
	type answer struct {
		gateway.Result
		found bool
		err   error
	}
	a := alone(g, func(now time.Time) answer {
		at := g.meet(conn)
		if g.chance(g.Mischief.LookupFails) {
			g.hit(LookupFailed)
			return answer{err: errLookup}
		}
		u := g.uses[name{at, key}]
		if u == nil {
			return answer{}
		}
		r := u.best(now)
		if r == nil {
			g.notFound(u, now)
			return answer{}
		}
		return answer{Result: copied(g.say(u, r, now)), found: true}
	})
	return a.Result, a.found, a.err
}

// best is the record to tell of: one that moved money, if any, else the last. None may be visible yet.
func (u *use) best(now time.Time) *record {
	var best *record
	for _, r := range u.records {
		if now.Before(r.visible) {
			continue
		}
		if best != nil {
			if s, _ := best.standing(now); s.Class == gateway.Accepted {
				break
			}
		}
		best = r
	}
	return best
}

// notFound notes what the ledger may conclude from finding nothing.
func (g *Gateway) notFound(u *use, now time.Time) {
	if len(u.records) > 0 {
		g.hit(LookupNotYet)
	}
	if now.Sub(u.last) >= g.manners.lag() {
		u.proof = now
	}
}
