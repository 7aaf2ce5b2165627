package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	// saveEvery is how often a cursor is written at most. Each write is a durable commit; what a crash makes a
	// handler see again is little, and a handler expects it.
	saveEvery = 20 * time.Millisecond
	// saveRest is the pause after a write that failed.
	saveRest = time.Second
	// lazySaves is how often the position may move over events of other categories before it is written.
	lazySaves = 1000
	// lastSave bounds the write at the end.
	lastSave = 5 * time.Second
	// slack is how long a cancelled replay may take to notice.
	slack = 5 * time.Second
	// cursorVersion is the same for ever: a handler is not started over.
	cursorVersion = 1
)

// follower is one handler's place in the log: it drives a Window from the log, sends what the window gives as
// messages, and writes the window's cursor to the work store.
type follower struct {
	followerConfig
	name     string // the cursor row's
	category string
	seat     projection.Seat

	out      chan *message.Message
	halt     context.CancelFunc // ends start's context
	ended    chan struct{}      // closed when nothing runs any more
	stopping chan struct{}      // closed when no message may be sent any more
	messages context.Context    // every message's context descends from it
	cancel   context.CancelFunc // ends messages
	sending  sync.WaitGroup     // messages that are out or about to be
	replays  sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond // anything below
	win      *Window
	parks    map[string]*parked // by stream
	replay   int                // replays that run
	rearm    func()             // makes replayLoop look again
	saved    event.Cursor
	advances int // moves of the position since it was saved
	stopped  bool
	err      error // why it gave up
}

// newFollower takes the cursor row over and reads what is parked.
func newFollower(ctx context.Context, c followerConfig, name, category string) (*follower, error) {
	f := &follower{
		followerConfig: c, name: name, category: category,
		out: make(chan *message.Message), ended: make(chan struct{}), stopping: make(chan struct{}),
		parks: map[string]*parked{}, rearm: func() {},
	}
	f.changed = sync.NewCond(&f.mu)
	f.messages, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	err := c.work.Update(ctx, func(tx projection.Tx) error {
		seat, saved, _, err := projection.TakeSeat(tx, name, cursorVersion)
		f.seat, f.saved = seat, saved.Cursor
		return err
	})
	if err != nil {
		return nil, err
	}
	f.win = NewWindow(c.window, f.saved)
	parks, err := c.work.ParksOf(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("parks of %s: %w", name, err)
	}
	for _, p := range parks {
		f.win.Park(p.Stream, p.From)
		f.parks[p.Stream] = &parked{Park: p}
	}
	return f, nil
}

// start follows the log until ctx ends, stop is called, or it cannot go on.
func (f *follower) start(ctx context.Context) {
	ctx, f.halt = context.WithCancel(ctx)
	go f.run(ctx)
}

// stop begins the end; ended tells when it is there.
func (f *follower) stop() { f.halt() }

func (f *follower) run(ctx context.Context) {
	defer close(f.ended)
	defer f.cancel()
	defer close(f.out)
	defer context.AfterFunc(ctx, f.wake)()

	var loops sync.WaitGroup
	loops.Go(func() { f.saveLoop(ctx) })
	if f.attempt != nil {
		loops.Go(func() { f.replayLoop(ctx) })
	}
	err := f.log.Follow(ctx, []string{f.category}, f.saved, f.take)
	if ctx.Err() == nil {
		f.fail(fmt.Errorf("follow %s: %w", f.category, err))
	}
	f.mu.Lock()
	f.stopped = true
	close(f.stopping)
	f.changed.Broadcast()
	f.mu.Unlock()
	loops.Wait()
	f.drain()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
	defer cancel()
	if err := f.save(ctx); err != nil && !errors.Is(err, projection.ErrFenced) {
		f.logger.Warn("cursor not saved, events will be handled again", "handler", f.name, "error", err)
	}
}

// abandon tells who waits for the follower that it does not run, even if it was never started.
func (f *follower) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.changed.Broadcast()
}

// drain gives what is out the grace, then cancels it.
func (f *follower) drain() {
	finished := make(chan struct{})
	go func() {
		f.sending.Wait()
		f.replays.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return
	case <-time.After(f.grace):
	}
	f.cancel()
	f.sending.Wait() // sees the end of messages at once, whatever the handlers do
	select {
	case <-finished:
	case <-time.After(slack):
		f.logger.Warn("replay does not stop", "handler", f.name)
	}
}

// fail ends the follower for good.
func (f *follower) fail(err error) {
	err = fmt.Errorf("handler %s: %w", f.name, err)
	f.mu.Lock()
	first := f.err == nil
	if first {
		f.err = err
	}
	f.changed.Broadcast()
	f.mu.Unlock()
	if first && f.failed != nil {
		f.failed(err)
	}
	f.stop()
}

func (f *follower) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

// take is what the log calls. While the window is full it keeps the log waiting.
func (f *follower) take(ctx context.Context, m event.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.changed.Broadcast()
	if m.Kind != event.KindEvent {
		f.win.Advance(m.Position)
		f.advances++
		return nil
	}
	for f.win.Full() && ctx.Err() == nil {
		f.changed.Wait()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.win.Offer(m.Event)
	f.dispatch()
	return nil
}

// dispatch sends what the window gives. The caller holds the lock.
func (f *follower) dispatch() {
	if f.stopped {
		return
	}
	for e, ok := f.win.Next(); ok; e, ok = f.win.Next() {
		f.sending.Go(func() {
			for !f.send(e) && f.rest() {
			}
		})
	}
}

// send sends an event as a message and waits until that is acknowledged, refused, or cancelled.
func (f *follower) send(e event.RawRecorded) (acknowledged bool) {
	ctx, cancel := context.WithCancel(f.messages)
	defer cancel()
	m := newMessage(ctx, e)
	select {
	case f.out <- m:
	case <-f.stopping:
		return false
	}
	select {
	case <-m.Acked():
	case <-m.Nacked():
	case <-f.messages.Done():
	}
	select {
	case <-m.Acked(): // counts, even if it came with the end
		f.done(e)
		return true
	default:
		return false
	}
}

// rest is the pause before a message goes out again; false if it does not.
func (f *follower) rest() bool {
	if f.nackPause > 0 {
		select {
		case <-time.After(f.nackPause):
		case <-f.stopping:
		}
	}
	select {
	case <-f.stopping:
		return false
	default:
		return true
	}
}

func (f *follower) done(e event.RawRecorded) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.win.Done(e)
	f.dispatch()
	f.changed.Broadcast()
}

// saveLoop writes the cursor while it moves.
func (f *follower) saveLoop(ctx context.Context) {
	for {
		f.mu.Lock()
		for !f.worthSaving() && ctx.Err() == nil {
			f.changed.Wait()
		}
		f.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		pause := saveEvery
		if err := f.save(ctx); errors.Is(err, projection.ErrFenced) {
			f.fail(err)
			return
		} else if err != nil && ctx.Err() == nil {
			f.logger.Warn("cursor not saved", "handler", f.name, "error", err)
			pause = saveRest
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (f *follower) worthSaving() bool {
	at := f.win.Cursor()
	return at.LastID != f.saved.LastID || f.advances >= lazySaves && at.Position != f.saved.Position
}

// save writes the cursor if it has moved. It is not called twice at the same time.
func (f *follower) save(ctx context.Context) error {
	f.mu.Lock()
	at, saved := f.win.Cursor(), f.saved
	f.mu.Unlock()
	if at == saved {
		return nil
	}
	err := f.work.Update(ctx, func(tx projection.Tx) error { return f.seat.Save(tx, projection.Saved{Cursor: at}) })
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saved, f.advances = at, 0
	return nil
}

// idle waits until everything up to head is handled or parked, nothing is out, and no park is due.
func (f *follower) idle(ctx context.Context, head event.Position) error {
	defer context.AfterFunc(ctx, f.wake)()
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.err != nil:
			return f.err
		case f.stopped:
			return errStopped
		case f.isIdle(head):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		f.changed.Wait()
	}
}

// isIdle looks at the cursor alone: it passes nothing that is open.
func (f *follower) isIdle(head event.Position) bool {
	return f.win.Cursor().Position.Compare(head) >= 0 && f.replay == 0 && f.due() == nil
}
