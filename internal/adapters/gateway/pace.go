package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// patience is how long a request waits for its turn; one that would have to wait longer is kept back.
const patience = 2 * time.Second

// errPaced marks what was kept back. It consumes nothing: the same key goes out later.
var errPaced = errors.New("the account's requests are slowed down")

// pace keeps an account's requests to what its gateway takes.
type pace struct {
	mu     sync.Mutex
	bucket *rate.Limiter
	until  time.Time // the gateway asked for nothing before; zero if it never asked
}

// newPace takes perSecond requests in any second: what a full bucket holds and what runs into it in a second are as many
// together. Only a limit of 1 lets two through at first.
func newPace(perSecond int) *pace {
	if perSecond <= 0 {
		return &pace{bucket: rate.NewLimiter(rate.Inf, 0)}
	}
	burst := max(1, perSecond/5)
	return &pace{bucket: rate.NewLimiter(rate.Limit(max(1, perSecond-burst)), burst)}
}

// wait returns when it is the caller's turn. Its error is a *SendError.
func (p *pace) wait(ctx context.Context) error {
	turn, d := p.reserve(time.Now())
	if d > patience {
		return keptBack(d)
	}
	if err := sleep(ctx, d); err != nil {
		turn.CancelAt(time.Now())
		return &SendError{Err: fmt.Errorf("%w: %w", errPaced, err)}
	}
	if d := p.asked(time.Now()); d > 0 { // meanwhile
		return keptBack(d)
	}
	return nil
}

// reserve takes the next turn and says how far off it is; if it is too far off, it stays free. Between the taking and the
// giving back nobody else may take one: the bucket would not believe then that it is free.
func (p *pace) reserve(now time.Time) (*rate.Reservation, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turn := p.bucket.ReserveN(now, 1)
	d := max(turn.DelayFrom(now), p.until.Sub(now))
	if d > patience {
		turn.CancelAt(now)
	}
	return turn, d
}

func keptBack(d time.Duration) error { return &SendError{RetryAfter: d, Err: errPaced} }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asked is how much longer the gateway wants to see nothing.
func (p *pace) asked(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.until.Sub(now), 0)
}

// heed notes what an answer asks for: a 429 slows the whole account, not only what was answered with it.
func (p *pace) heed(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests {
		return
	}
	now := time.Now()
	until := now.Add(retryAfter(resp.Header, now))
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}
