package process

import (
	"context"
	"errors"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
)

// pace drives a worker that has something to do now and then: when its next instant comes, or when it is nudged.
type pace struct {
	nudged chan struct{}
	round  sync.Mutex // held while working
}

func newPace() pace { return pace{nudged: make(chan struct{}, 1)} }

// Nudge says that there may be something new to do.
func (p *pace) Nudge() {
	select {
	case p.nudged <- struct{}{}:
	default:
	}
}

// once works off what is due now, after whoever is doing so already.
func (p *pace) once(ctx context.Context, work func(context.Context) error) error {
	p.round.Lock()
	defer p.round.Unlock()
	return work(ctx)
}

// run calls work, then waits for the instant that next names or for a nudge, until ctx ends.
func (p *pace) run(ctx context.Context, c clock.Clock, work func(context.Context) error, next func(context.Context) (time.Time, bool, error)) error {
	const pause = time.Second // after a failure of the store
	for {
		if err := p.once(ctx, work); err != nil && ctx.Err() == nil {
			if !sleep(ctx, pause) {
				return nil
			}
			continue
		}
		at, ok, err := next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			sleep(ctx, pause)
			continue
		}
		p.await(ctx, c, at, ok)
	}
}

// await returns at the instant `at`, if there is one, at a nudge, or when ctx ends.
func (p *pace) await(ctx context.Context, c clock.Clock, at time.Time, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reached := make(chan error, 1)
	if ok {
		go func() { reached <- c.WaitUntil(ctx, at) }()
	}
	select {
	case <-p.nudged:
	case err := <-reached:
		if err != nil && !errors.Is(err, context.Canceled) {
			return
		}
	case <-ctx.Done():
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
