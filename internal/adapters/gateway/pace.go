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
	pause  *pause // that the gateway asked for
}

// newPace takes perSecond requests in any second: what a full bucket holds and what runs into it in a second are as many
// together. Only a limit of 1 lets two through at first.
func newPace(now func() time.Time, perSecond int) *pace {
	p := &pace{bucket: rate.NewLimiter(rate.Inf, 0), pause: &pause{now: now, longest: maxRetryAfter}}
	if perSecond > 0 {
		burst := max(1, perSecond/5)
		p.bucket = rate.NewLimiter(rate.Limit(max(1, perSecond-burst)), burst)
	}
	return p
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
	if d := p.pause.left(); d > 0 { // it was asked for meanwhile
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
	d := max(turn.DelayFrom(now), p.pause.left())
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

// heed notes what an answer asks for: a 429 slows the whole account, not only what was answered with it.
func (p *pace) heed(resp *http.Response) {
	if resp.StatusCode == http.StatusTooManyRequests {
		p.pause.begin(retryAfter(resp.Header, p.pause.now()))
	}
}

// pause is a while in which nothing goes out. It is over when it has lasted for longest, and when the clock was set back
// so far that it would.
type pause struct {
	now     func() time.Time
	longest time.Duration
	mu      sync.Mutex
	until   time.Time
}

func (p *pause) begin(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(d); until.After(p.until) || p.until.Sub(p.now()) > p.longest {
		p.until = until
	}
}

// left is how much longer it lasts; 0 if it is over.
func (p *pause) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.until.Sub(p.now()); d <= p.longest {
		return max(d, 0)
	}
	return 0
}
