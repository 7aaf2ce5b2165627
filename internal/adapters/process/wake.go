package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	// wakeTogether is how many subscriptions are woken at once.
	wakeTogether = 16
	// wakeBatch is how many due timers are read at once.
	wakeBatch = 256
	// wakeAgain is when a subscription whose wake failed is woken again.
	wakeAgain = time.Minute
)

// Timers are the instants at which subscriptions want attention.
type Timers interface {
	DueTimers(ctx context.Context, now time.Time, limit int) ([]work.Timer, error)
	NextTimerAt(ctx context.Context) (time.Time, bool, error)
	// MoveTimer sets a timer to another instant (zero: removes it) if it still stands at the one that was seen.
	MoveTimer(ctx context.Context, stream string, seen, to time.Time) error
}

// Waker wakes the aggregate of a stream, and tells when it wants that again; zero for never.
type Waker func(ctx context.Context, stream string) (next time.Time, err error)

// Wake wakes subscriptions, and what else has timers, when their time has come.
type Wake struct {
	*Process
	timers Timers
	pace
}

// NewWake returns a Wake over timers. Nudge it when timers were written.
func NewWake(p *Process, timers Timers) *Wake {
	return &Wake{Process: p, timers: timers, pace: newPace()}
}

// Run wakes what is due, then waits for the next instant or for news, until ctx ends.
func (w *Wake) Run(ctx context.Context) error {
	return w.pace.run(ctx, w.Clock, w.wakeDue, w.timers.NextTimerAt)
}

// Idle returns once nothing is due any more.
func (w *Wake) Idle(ctx context.Context) error { return w.once(ctx, w.wakeDue) }

// wakeDue wakes every subscription that is due now.
func (w *Wake) wakeDue(ctx context.Context) error {
	for {
		due, err := w.timers.DueTimers(ctx, w.Clock.Now(), wakeBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		var wg sync.WaitGroup
		failed := make([]error, len(due))
		slots := make(chan struct{}, wakeTogether)
		for i, t := range due {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				failed[i] = w.wake(ctx, t)
			})
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// wake wakes one subscription and moves its timer to what it wants next, so that it is not woken twice for one
// instant. The error is that the timer still stands, and is due.
func (w *Wake) wake(ctx context.Context, t work.Timer) error {
	wakeOne := w.wakeOne
	if other, ok := w.Wakers[event.Category(t.Stream)]; ok {
		wakeOne = other
	}
	next, err := wakeOne(ctx, t.Stream)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.Logger.Warn("wake failed; trying again", "stream", t.Stream, "error", err)
		next = w.Clock.Now().Add(wakeAgain)
	}
	err = w.timers.MoveTimer(ctx, t.Stream, t.Due, next)
	if err != nil && ctx.Err() == nil {
		w.Logger.Error("timer not moved", "stream", t.Stream, "error", err)
	}
	return err
}

// wakeOne asks the gateways first: what they know may make the wake needless.
func (w *Wake) wakeOne(ctx context.Context, stream string) (next time.Time, err error) {
	s, _, err := w.Subscriptions.Load(ctx, stream)
	if err != nil {
		return time.Time{}, err
	}
	inHand, unasked := w.reconcile(ctx, stream, s)
	if unasked != nil {
		// A gateway that does not answer must not keep what is due from happening.
		w.Logger.Warn("look-up failed", "stream", stream, "error", unasked)
	}
	s, revision, err := w.Subscriptions.Load(ctx, stream)
	if err != nil {
		return time.Time{}, err
	}
	around, err := w.around(ctx, s)
	if err != nil {
		return time.Time{}, err
	}
	now := w.Clock.Now()
	res, err := w.do(ctx, stream, fmt.Sprintf("wake/%d", revision), "schedule", uuid.Nil, subscription.Wake{
		Now: now, Unasked: unasked != nil || inHand, Circumstances: around,
	})
	if err != nil {
		return time.Time{}, err
	}
	return res.State.Due(now), nil
}
