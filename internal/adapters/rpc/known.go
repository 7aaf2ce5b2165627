package rpc

import (
	"context"
	"sync"

	"ledger.internal/ledger/internal/aggregate/connection"
)

// maxKnown bounds what is kept of connections; beyond it, keeping begins anew.
const maxKnown = 10_000

// knownConnections keeps connections that were seen once. Nothing in a connection ever changes and none is ever
// removed, so one that was there, is; only for one that was not must the log be asked again.
type knownConnections struct {
	mu   sync.RWMutex
	seen map[string]connection.State
}

// find is a connection's state; it does not exist if the log has none.
func (k *knownConnections) find(ctx context.Context, c *Config, merchantID, id string) (connection.State, error) {
	stream := connection.Stream(merchantID, id)
	k.mu.RLock()
	s, ok := k.seen[stream]
	k.mu.RUnlock()
	if ok {
		return s, nil
	}
	s, _, err := c.Connections.Load(ctx, stream)
	if err != nil || !s.Exists() {
		return s, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil || len(k.seen) >= maxKnown {
		k.seen = map[string]connection.State{}
	}
	k.seen[stream] = s
	return s, nil
}

// spareNumbers are subscription numbers that were taken and then not needed: of starts that were refused, or had been
// done before. They are given out first, so that nobody can use the numbers up by asking.
type spareNumbers struct {
	mu    sync.Mutex
	spare []int64 // at most one for each call in flight
}

func (n *spareNumbers) take(ctx context.Context, next func(context.Context) (int64, error)) (int64, error) {
	n.mu.Lock()
	if last := len(n.spare) - 1; last >= 0 {
		number := n.spare[last]
		n.spare = n.spare[:last]
		n.mu.Unlock()
		return number, nil
	}
	n.mu.Unlock()
	return next(ctx)
}

// giveBack takes a number back that surely stands in no event; 0 is none.
func (n *spareNumbers) giveBack(number int64) {
	if number == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spare = append(n.spare, number)
}
