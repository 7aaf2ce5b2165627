package sim

import (
	"context"
	"slices"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
)

// clocks tell the world's time and the ledger's, which may be wrong by a while. Time passes when the scheduler says so.
type clocks struct {
	mu      sync.Mutex
	now     time.Time     // the world's; it never goes back
	wrong   time.Duration // what the ledger's clock shows beyond that
	waiters []*waiter
}

// waiter waits for an instant of one of the two clocks.
type waiter struct {
	at      time.Time
	ledgers bool
	reached chan struct{}
}

// face is one of the two clocks.
type face struct {
	*clocks
	ledgers bool
}

var _ clock.Clock = face{}

// Now implements clock.Clock.
func (f face) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.show(f.ledgers)
}

// Elapsed implements clock.Clock.
func (f face) Elapsed() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.Sub(beginning)
}

func (c *clocks) show(ledgers bool) time.Time {
	if ledgers {
		return c.now.Add(c.wrong)
	}
	return c.now
}

// WaitUntil implements clock.Clock.
func (f face) WaitUntil(ctx context.Context, t time.Time) error {
	f.mu.Lock()
	if !f.show(f.ledgers).Before(t) {
		f.mu.Unlock()
		return ctx.Err()
	}
	w := &waiter{at: t, ledgers: f.ledgers, reached: make(chan struct{})}
	f.waiters = append(f.waiters, w)
	f.mu.Unlock()
	select {
	case <-w.reached:
		return ctx.Err()
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.waiters, w); i >= 0 {
		f.waiters = slices.Delete(f.waiters, i, i+1)
	}
	return ctx.Err()
}

// set moves the world's time forward, or not at all, and says by how much the ledger's is wrong from now on.
func (c *clocks) set(now time.Time, wrong time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.now) {
		c.now = now
	}
	c.wrong = wrong
}

// wake wakes one of those whose instant has come, the one who began to wait first; false if there is none.
func (c *clocks) wake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.waiters, func(w *waiter) bool { return !c.show(w.ledgers).Before(w.at) })
	if i < 0 {
		return false
	}
	close(c.waiters[i].reached)
	c.waiters = slices.Delete(c.waiters, i, i+1)
	return true
}

// next is the world's time at which the next waiter's instant comes; false if nobody waits.
func (c *clocks) next() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiters {
		t := w.at
		if w.ledgers {
			t = t.Add(-c.wrong)
		}
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	return at, ok
}
