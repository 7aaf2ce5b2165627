package gateway

import (
	"cmp"
	"context"
)

// caller is in whose name a request goes out, as the gateway counts.
type caller struct {
	gateway, account string
	live             bool
	perSecond        int // how many requests the gateway takes from it in a second; 0 if nobody counts
}

type (
	callerKey struct{}
	looksKey  struct{}
)

// InNameOf returns a context for the requests of a connection. A Transport counts them by its account, of which the
// gateway takes perSecond in a second; 0 if nobody counts. Two connections of one account are counted together, for the
// gateway does so too. What nobody's name is on is counted by the host alone.
func InNameOf(ctx context.Context, conn Connection, perSecond int) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{
		gateway: conn.Gateway, account: cmp.Or(conn.Account, conn.Merchant+"."+conn.ID), live: conn.Live, perSecond: perSecond,
	})
}

// Looking returns a context for a request that moves nothing although it is no GET.
func Looking(ctx context.Context) context.Context { return context.WithValue(ctx, looksKey{}, true) }

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

func looks(ctx context.Context) bool { return ctx.Value(looksKey{}) != nil }

// party is whom a line leads to: an account at one host of a gateway.
type party struct {
	caller
	host string
}

// line is what is known of the way to a party. There are as many as accounts, and each is small: none is ever dropped.
type line struct {
	// Requests that move something and look-ups have a circuit each: look-ups tell what became of a request that was not
	// answered, so they must never wait for others to succeed; nor does their success prove that money can be moved.
	moves, looks *circuit
	pace         *pace // is one: the gateway counts both
}

func (t *Transport) line(c caller, host string) *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := party{c, host}
	l, ok := t.lines[p]
	if !ok {
		l = &line{moves: newMoves(t.now), looks: newLooks(t.now), pace: newPace(t.now, c.perSecond)}
		t.lines[p] = l
	}
	return l
}
