package rpc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// tail follows the subscriptions' streams and wakes those who wait for one of them to move on. It keeps nothing: a
// waiter that was woken reads the stream itself.
type tail struct {
	log    event.Log
	logger *slog.Logger

	mu      sync.Mutex
	waiting map[string]map[*waiter]struct{} // by stream
}

// waiter is one wait for one stream.
type waiter struct {
	moved chan struct{} // holds one token when the stream moved on since the last look
}

func newTail(log event.Log, logger *slog.Logger) *tail {
	return &tail{log: log, logger: logger, waiting: map[string]map[*waiter]struct{}{}}
}

// wait begins to watch a stream. Whoever looks at the stream afterwards, and then waits for moved, misses nothing.
func (t *tail) wait(stream string) (w *waiter, stop func()) {
	w = &waiter{moved: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting[stream] == nil {
		t.waiting[stream] = map[*waiter]struct{}{}
	}
	t.waiting[stream][w] = struct{}{}
	return w, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.waiting[stream], w)
		if len(t.waiting[stream]) == 0 {
			delete(t.waiting, stream)
		}
	}
}

func (w *waiter) wake() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

func (t *tail) moved(stream string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.waiting[stream] {
		w.wake()
	}
}

func (t *tail) wakeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, waiters := range t.waiting {
		for w := range waiters {
			w.wake()
		}
	}
}

// tailPause is how long the tail leaves a log alone that it could not follow.
const tailPause = time.Second

// run follows until ctx ends. It begins at the log's head: what is older nobody waits for. After a failure it begins
// at the new head and wakes everybody, so that what it missed is looked at.
func (t *tail) run(ctx context.Context) error {
	for {
		err := t.follow(ctx)
		if ctx.Err() != nil || errors.Is(err, event.ErrClosed) {
			return nil
		}
		t.logger.WarnContext(ctx, "the log cannot be followed; trying again", "error", err)
		pause := time.NewTimer(tailPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

func (t *tail) follow(ctx context.Context) error {
	head, err := t.log.Head(ctx)
	if err != nil {
		return err
	}
	t.wakeAll()
	return t.log.Follow(ctx, []string{subscription.Category}, event.Cursor{Position: head},
		func(_ context.Context, m event.Message) error {
			if m.Kind == event.KindEvent {
				t.moved(m.Event.Stream)
			}
			return nil
		})
}
