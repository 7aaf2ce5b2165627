package buyer

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	// askAgain is how long a gateway is left alone about one payment: a page that is reloaded in a loop is not a
	// gateway's to bear.
	askAgain = 2 * time.Second
	// findTimeout is for finding out, our own log included. A ledger that stops waits as long.
	findTimeout = 10 * time.Second
)

// asks remembers which payments were asked about just now.
type asks struct {
	flights singleflight.Group
	mu      sync.Mutex
	at      map[string]time.Duration
}

// may reports whether it is time to ask under a name, and notes that it is done. What it keeps is as much as callers with
// tokens of ours can cause in askAgain.
func (a *asks) may(name string, now time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.at, func(_ string, at time.Duration) bool { return now-at >= askAgain })
	if _, lately := a.at[name]; lately {
		return false
	}
	if a.at == nil {
		a.at = map[string]time.Duration{}
	}
	a.at[name] = now
	return true
}

// find is the subscription of a payment, after the gateway was asked about it. Whoever comes while another is asking
// shares his answer, and so it is found to the end even if that other goes away.
func (h *Handler) find(ctx context.Context, p payment, turnedBack bool) (subscription.State, error) {
	ask, name := h.Settle, p.stream()+" "+p.key
	if turnedBack {
		ask, name = h.Abandon, "end "+name
	}
	s, err, _ := h.asks.flights.Do(name, func() (any, error) {
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), findTimeout)
		defer done()
		if h.asks.may(name, h.Elapsed()) {
			return ask(ctx, p.stream(), p.key)
		}
		s, _, err := h.Subscriptions.Load(ctx, p.stream())
		return s, err
	})
	return s.(subscription.State), err
}
