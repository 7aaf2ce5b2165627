// Package bus calls handlers with the events of the log: each at least once, at most one event per stream at a time,
// many streams at once. It is the only package that knows Watermill, which gives it the router, retries, time limits
// and the way to the park; the subscriber that feeds the router, and the Window that decides what goes out, are ours.
//
// A handler that keeps failing on an event does not stop the others: the event's stream is parked, which means that
// its events are left to a later replay, in order and without a gap. A handler folds the stream before it acts, so
// that an event that comes again does nothing.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
)

// errStopped means that the bus does not run any more.
var errStopped = errors.New("bus is stopped")

// Handler is called with the events of a category.
type Handler struct {
	Name     string // of the cursor row too, so it does not change
	Category string
	Window   int // how many events are held at most; 256 if zero
	// Handle may be called again with an event that it has handled. Its context ends after the bus's Timeout, and
	// when the bus stops and the grace is over.
	Handle func(context.Context, event.Recorded) error
}

// Config is what a Bus needs: the log and the work store. The rest has defaults.
type Config struct {
	Log  event.Log
	Work *work.Work
	// Clock is what parks wait by. Defaults to the machine's.
	Clock clock.Clock
	// Logger defaults to none.
	Logger *slog.Logger
	// Registerer, if set, gets Watermill's metrics of the handlers.
	Registerer prometheus.Registerer
	// Timeout is how long one call of a handler may take. Defaults to 30 s.
	Timeout time.Duration
	// Grace is how long calls go on when the bus stops, before they are cancelled. Defaults to 35 s; none if negative.
	Grace time.Duration
	// Tries is how often an event is given to a handler before its stream is parked. Defaults to 4.
	Tries int
	// Pause is the pause between the first two tries; it grows. Defaults to 50 ms.
	Pause time.Duration
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = clock.Wall{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = 35 * time.Second
	}
	if c.Tries == 0 {
		c.Tries = 4
	}
	if c.Pause == 0 {
		c.Pause = 50 * time.Millisecond
	}
	return c
}

// Bus runs handlers. It is made, given its handlers, and run once.
type Bus struct {
	config      Config
	handlers    []Handler
	subscribers []*subscriber // one for each handler, once Run has begun
	started     chan struct{} // closed when every handler has its follower
	ended       chan struct{} // closed when Run returns

	mu        sync.Mutex
	followers map[string]*follower
}

// New returns a Bus without handlers.
func New(c Config) *Bus {
	return &Bus{
		config: c.withDefaults(), followers: map[string]*follower{},
		started: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Add adds a handler; its name is new. All are added before Run.
func (b *Bus) Add(h Handler) {
	for _, other := range b.handlers {
		if other.Name == h.Name {
			panic("bus: two handlers named " + h.Name)
		}
	}
	if h.Window == 0 {
		h.Window = 256
	}
	b.handlers = append(b.handlers, h)
}

// Run calls the handlers until ctx ends. Then it gives no more events, waits for calls that are under way, cancels
// them after the grace, and returns nil. It returns an error if it cannot go on: a handler was taken over by another
// replica (projection.ErrFenced), or the log is not the one that was followed (event.ErrPositionAhead,
// event.ErrDiverged).
func (b *Bus) Run(ctx context.Context) error {
	defer close(b.ended)
	if len(b.handlers) == 0 {
		close(b.started)
		<-ctx.Done()
		return nil
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if err := b.takeOver(running, fail); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("bus: %w", err)
	}
	router, err := b.router()
	if err != nil {
		return fmt.Errorf("bus: %w", errors.Join(err, b.wait()))
	}
	err = router.Run(running)
	fail(err) // does nothing if it ended for another reason; ends what was started if it could not begin
	if err := b.wait(); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("bus: %w", context.Cause(running))
}

// takeOver gives every handler its follower, before any of them starts.
func (b *Bus) takeOver(ctx context.Context, failed func(error)) error {
	for _, h := range b.handlers {
		f, err := newFollower(ctx, followerConfig{
			log: b.config.Log, work: b.config.Work, clock: b.config.Clock, logger: b.config.Logger,
			window: h.Window, grace: b.config.Grace, nackPause: nackPause, attempt: b.attempt(h), failed: failed,
		}, h.Name, h.Category)
		if err != nil {
			return fmt.Errorf("handler %s: %w", h.Name, err)
		}
		b.mu.Lock()
		b.followers[h.Name] = f
		b.mu.Unlock()
	}
	close(b.started)
	return nil
}

// wait returns when no follower runs any more.
func (b *Bus) wait() (err error) {
	for _, s := range b.subscribers {
		err = errors.Join(err, s.Close())
	}
	for _, h := range b.handlers {
		f, _ := b.follower(h.Name)
		f.abandon()
	}
	return err
}

func (b *Bus) follower(handler string) (*follower, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.followers[handler]
	return f, ok
}

// ready waits until every handler follows the log.
func (b *Bus) ready(ctx context.Context) error {
	select {
	case <-b.started:
		return nil
	case <-b.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Idle returns when there is nothing left to do: every handler has handled or parked all that the log holds, what was
// appended meanwhile included, no call is under way, and no park is due by the clock. It waits for the bus to start,
// and answers an error if the bus stops or ctx ends.
func (b *Bus) Idle(ctx context.Context) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	for {
		head, err := b.config.Log.Head(ctx)
		if err != nil {
			return err
		}
		for _, h := range b.handlers {
			f, _ := b.follower(h.Name)
			if err := f.idle(ctx, head); err != nil {
				return err
			}
		}
		// A handler that was busy while an earlier one was found idle can have given that one work, by an append or by
		// Hurry.
		again, err := b.config.Log.Head(ctx)
		if err != nil {
			return err
		}
		if again == head && b.allIdle(head) {
			return nil
		}
	}
}

func (b *Bus) allIdle(head event.Position) bool {
	for _, h := range b.handlers {
		f, _ := b.follower(h.Name)
		f.mu.Lock()
		idle := f.isIdle(head)
		f.mu.Unlock()
		if !idle {
			return false
		}
	}
	return true
}

// Replay replays a parked stream of a handler now and waits for the result: nil if everything was handled and the
// park has ended, ErrNotParked, or why it is still parked. If ctx ends, the replay goes on.
func (b *Bus) Replay(ctx context.Context, handler, stream string) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	f, ok := b.follower(handler)
	if !ok {
		return fmt.Errorf("%w: there is no handler %q", ErrNotParked, handler)
	}
	return f.replayNow(ctx, stream)
}

// Status is where a handler stands.
type Status struct {
	Handler  string
	Category string
	Position event.Position // everything up to it is handled or parked
	Held     int            // events that were read and are not handled
	Out      int            // of these, events that are being handled
	Parked   int            // streams
	Err      error          // why it gave up; nil
}

// Status tells of every handler that was started, in the order in which they were added.
func (b *Bus) Status() []Status {
	var all []Status
	for _, h := range b.handlers {
		if f, ok := b.follower(h.Name); ok {
			all = append(all, f.status())
		}
	}
	return all
}

func (f *follower) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Status{
		Handler: f.name, Category: f.category, Position: f.win.Cursor().Position,
		Held: f.win.Held(), Out: f.win.Out(), Parked: len(f.parks), Err: f.err,
	}
}
