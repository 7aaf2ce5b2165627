package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	// handlerTries is how often an event is given to a handler before its stream is parked.
	handlerTries = 2
	// firstReplay is when a parked stream is tried again first; the pause doubles up to lastReplay.
	firstReplay = 30 * time.Second
	lastReplay  = time.Hour
	// handlerTimeout bounds a call of a handler in machine time, of which there is none while anybody can go on.
	handlerTimeout = 35 * time.Second
)

// handler gives the log's events to one of the ledger's handlers by the rules of bus.Window: what the bus does with
// Watermill in production.
type handler struct {
	bus.Handler
	run  *ledger
	seat projection.Seat

	mu      sync.Mutex
	changed *sync.Cond // anything below
	win     *bus.Window
	parks   map[string]work.Park
	saved   event.Cursor
	stopped bool
}

func (l *ledger) newHandler(ctx context.Context, h bus.Handler) (*handler, error) {
	d := &handler{Handler: h, run: l, parks: map[string]work.Park{}}
	d.changed = sync.NewCond(&d.mu)
	err := l.work.Update(ctx, func(tx projection.Tx) error {
		seat, saved, _, err := projection.TakeSeat(tx, h.Name, 1)
		d.seat, d.saved = seat, saved.Cursor
		return err
	})
	if err != nil {
		return nil, err
	}
	d.win = bus.NewWindow(l.world.mix.Window, d.saved)
	parks, err := l.work.ParksOf(ctx, h.Name)
	for _, p := range parks {
		d.win.Park(p.Stream, p.From)
		d.parks[p.Stream] = p
	}
	return d, err
}

// follow offers what the log holds until ctx ends.
func (d *handler) follow(ctx context.Context) error {
	defer d.stop()
	defer context.AfterFunc(ctx, d.stop)() // who waits for room in the window
	d.run.start(ctx, d.Name+" cursor", d.save)
	for _, p := range d.parks {
		d.run.start(ctx, d.Name+" replay "+p.Stream, func(ctx context.Context) error { return d.replay(ctx, p) })
	}
	return d.run.log.Follow(ctx, []string{d.Category}, d.saved, func(ctx context.Context, m event.Message) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		defer d.changed.Broadcast()
		if m.Kind != event.KindEvent {
			d.win.Advance(m.Position)
			return nil
		}
		for d.win.Full() && !d.stopped {
			d.changed.Wait()
		}
		d.win.Offer(m.Event)
		d.dispatch(ctx)
		return ctx.Err()
	})
}

func (d *handler) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	d.changed.Broadcast()
}

// dispatch calls the handler with what may go out. The caller holds the lock.
func (d *handler) dispatch(ctx context.Context) {
	for e, ok := d.win.Next(); ok && !d.stopped; e, ok = d.win.Next() {
		d.run.start(ctx, fmt.Sprintf("%s %s/%d", d.Name, e.Stream, e.Revision), func(ctx context.Context) error {
			return d.handle(ctx, e)
		})
	}
}

// handle calls the handler with an event until it is done or the stream is parked.
func (d *handler) handle(ctx context.Context, e event.RawRecorded) error {
	err := d.try(ctx, e)
	for tries := 1; err != nil && tries < handlerTries && ctx.Err() == nil; tries++ {
		err = d.try(ctx, e)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return d.park(ctx, e, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.win.Done(e)
	d.dispatch(ctx)
	d.changed.Broadcast()
	return nil
}

func (d *handler) try(ctx context.Context, raw event.RawRecorded) error {
	e, err := event.Decode(raw)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	return d.Handle(ctx, e)
}

// park sets a stream aside: first durably, then in the window.
func (d *handler) park(ctx context.Context, e event.RawRecorded, why error) error {
	now := d.run.world.ledgerClock.Now()
	p := work.Park{Follower: d.Name, Stream: e.Stream, From: e.Revision, Tries: 1, Reason: why.Error(),
		ParkedAt: now, RetryAt: now.Add(firstReplay)}
	for d.run.work.Park(ctx, d.seat, p) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	d.run.world.hit("a stream was parked")
	d.mu.Lock()
	d.win.Park(p.Stream, p.From)
	d.parks[p.Stream] = p
	d.changed.Broadcast()
	d.mu.Unlock()
	d.run.start(ctx, d.Name+" replay "+p.Stream, func(ctx context.Context) error { return d.replay(ctx, p) })
	return nil
}

// replay works through a parked stream when its time has come, again and again until all of it is handled.
func (d *handler) replay(ctx context.Context, p work.Park) error {
	for {
		if err := d.run.world.ledgerClock.WaitUntil(ctx, p.RetryAt); err != nil {
			return err
		}
		next, err := d.replayOnce(ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			d.run.world.hit("a parked stream was replayed")
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.parks, p.Stream)
			d.win.Resume(p.Stream)
			d.dispatch(ctx)
			d.changed.Broadcast()
			return nil
		}
		p.Tries, p.Reason = p.Tries+1, err.Error()
		if next > p.From {
			p.From, p.Tries = next, 1
		}
		p.RetryAt = d.run.world.ledgerClock.Now().Add(min(firstReplay<<min(p.Tries-1, 10), lastReplay))
		_ = d.run.work.Park(ctx, d.seat, p) // one that cannot be written stands as it was: a restart begins further back
	}
}

// replayOnce handles a stream from where it was parked until the window takes it back, and gives the park up.
func (d *handler) replayOnce(ctx context.Context, p work.Park) (next event.Revision, err error) {
	for next = p.From; ; {
		var events []event.RawRecorded
		for e, err := range d.run.log.Read(ctx, p.Stream, next) {
			if err != nil {
				return next, err
			}
			events = append(events, e)
		}
		for _, e := range events {
			if err := d.try(ctx, e); err != nil {
				return next, err
			}
			next = e.Revision + 1
		}
		d.mu.Lock()
		back := d.win.Replayed(p.Stream, next-1)
		d.mu.Unlock()
		if !back {
			if len(events) == 0 {
				return next, fmt.Errorf("the log does not show all events of %s yet", p.Stream)
			}
			continue
		}
		if err := d.run.work.ClearPark(ctx, d.seat, p.Key()); err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.win.Park(p.Stream, next-1)
			return next - 1, err
		}
		return next, nil
	}
}

// save writes the cursor while it moves.
func (d *handler) save(ctx context.Context) error {
	for {
		d.mu.Lock()
		for d.win.Cursor() == d.saved && !d.stopped {
			d.changed.Wait()
		}
		d.mu.Unlock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var at event.Cursor
		err := d.run.work.Update(ctx, func(tx projection.Tx) error {
			at = d.cursor() // here nobody else runs
			return d.seat.Save(tx, projection.Saved{Cursor: at})
		})
		if err == nil {
			d.mu.Lock()
			d.saved = at
			d.mu.Unlock()
		}
	}
}

func (d *handler) cursor() event.Cursor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.win.Cursor()
}

// quiet reports whether all that was offered is handled, and nothing is parked.
func (d *handler) quiet() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.win.Idle() && len(d.parks) == 0
}
