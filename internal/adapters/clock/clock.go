// Package clock is where the time comes from: Wall in production, Stepped where a test, the demo or an operator
// with a sandbox moves time by hand.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time, in UTC and whole microseconds, and waits for it.
type Clock interface {
	Now() time.Time
	// WaitUntil returns nil once Now is not before t, or ctx's error.
	WaitUntil(ctx context.Context, t time.Time) error
	// Elapsed is the time that has really passed since some instant of this run: whoever sets the clock, wrong or right,
	// does not move it. What must not be believed too early counts by it.
	Elapsed() time.Duration
}

// Wall is the machine's clock.
type Wall struct{}

// Now implements Clock.
func (Wall) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// began is any instant of this run; Go measures from it by a clock that nobody can set.
var began = time.Now()

// Elapsed implements Clock.
func (Wall) Elapsed() time.Duration { return time.Since(began) }

// WaitUntil implements Clock. It looks again at least every minute, so that a corrected clock is noticed.
func (w Wall) WaitUntil(ctx context.Context, t time.Time) error {
	for {
		d := t.Sub(w.Now())
		if d <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(min(d, time.Minute))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Stepped stands still until it is set.
type Stepped struct {
	mu      sync.Mutex
	began   time.Time
	now     time.Time
	changed chan struct{} // closed and replaced on every Set
}

// NewStepped returns a clock that shows t.
func NewStepped(t time.Time) *Stepped {
	t = t.UTC().Truncate(time.Microsecond)
	return &Stepped{began: t, now: t, changed: make(chan struct{})}
}

// Now implements Clock.
func (s *Stepped) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Elapsed implements Clock.
func (s *Stepped) Elapsed() time.Duration { return s.Now().Sub(s.began) }

// Set moves the clock to t and wakes everybody whose time has come. It never moves back.
func (s *Stepped) Set(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t = t.UTC().Truncate(time.Microsecond); !t.After(s.now) {
		return
	}
	s.now = t
	close(s.changed)
	s.changed = make(chan struct{})
}

// WaitUntil implements Clock.
func (s *Stepped) WaitUntil(ctx context.Context, t time.Time) error {
	for {
		s.mu.Lock()
		reached, changed := !s.now.Before(t), s.changed
		s.mu.Unlock()
		if reached {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
