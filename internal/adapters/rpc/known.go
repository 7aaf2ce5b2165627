package rpc

import (
	"context"
	"sync"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/connection"
)

// maxKnown bounds what is kept of connections; beyond it, keeping begins anew.
const maxKnown = 10_000

// account is what of a connection was settled when it was made.
type account struct {
	Gateway, Processor string
	Mode               ledgerv1.Mode
}

// knownAccounts keeps the accounts of connections that were seen once. What an account says never changes and none is
// ever removed, so one that was there, is; only for one that was not must the log be asked again. What does change in a
// connection, whether it is blocked, is not kept here: who asks for that loads it.
type knownAccounts struct {
	mu   sync.RWMutex
	seen map[string]account
}

// find is a connection's account; ok is false if the log has no such connection.
func (k *knownAccounts) find(ctx context.Context, c *Config, merchantID, id string) (a account, ok bool, err error) {
	stream := connection.Stream(merchantID, id)
	k.mu.RLock()
	a, ok = k.seen[stream]
	k.mu.RUnlock()
	if ok {
		return a, true, nil
	}
	s, err := c.Connections.Load(ctx, merchantID, id)
	if err != nil || !s.Exists() {
		return account{}, false, err
	}
	a = account{Gateway: s.Gateway, Processor: s.Processor, Mode: s.Mode}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil || len(k.seen) >= maxKnown {
		k.seen = map[string]account{}
	}
	k.seen[stream] = a
	return a, true, nil
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
