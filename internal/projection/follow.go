package projection

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// batchSize is how many events share a transaction at most.
	batchSize = 200
	// lazySaves is how many times the position may move over events of other categories before it is saved.
	lazySaves = 100
	// applyTries is how often an event is applied before the projection stops.
	applyTries = 5
	// firstPause is the pause before the second try; it doubles.
	firstPause = 20 * time.Millisecond
	// longestPause is the longest one, while the disk is full.
	longestPause = time.Second
)

// Follower keeps one projection up to date: it follows the log from its cursor and writes the projection's rows and
// the cursor in one transaction, many events at once while it is behind, each at once when it is not.
//
// A projection is single-file. An event that cannot be applied is never skipped: the follower stops.
type Follower struct {
	log   event.Log
	store Store
	p     Projection

	// These belong to Run.
	seat     Seat
	at       Saved
	unsaved  int  // moves of the position since it was saved
	doubt    bool // the last transaction failed, as far as is known
	prepared bool

	onCommit func()

	mu       sync.Mutex
	moved    *sync.Cond
	position event.Position // everything up to it is committed
	stopped  error          // why Run gave up
}

// NewFollower returns a Follower that Run starts.
func NewFollower(log event.Log, store Store, p Projection) *Follower {
	f := &Follower{log: log, store: store, p: p}
	f.moved = sync.NewCond(&f.mu)
	return f
}

// OnCommit has f called whenever the position has moved: rows may be new. Call it before Run.
func (f *Follower) OnCommit(call func()) { f.onCommit = call }

// Name is the projection's.
func (f *Follower) Name() string { return f.p.Name }

// Prepare makes the projection's tables and takes the follower over from whoever ran it. Run does it if nobody has;
// do it before, and queries on the tables work from the start. Prepare and Run are not called at the same time.
func (f *Follower) Prepare(ctx context.Context) error {
	err := f.store.Update(ctx, func(tx Tx) error {
		before, err := storedVersion(tx, f.p.Name)
		if err != nil {
			return err
		}
		seat, saved, fresh, err := TakeSeat(tx, f.p.Name, f.p.Version)
		if err != nil {
			return err
		}
		if fresh {
			// Another version may have other columns, so the tables are made anew.
			if err := f.p.drop(tx, "", before); err != nil {
				return err
			}
		}
		f.seat, f.at = seat, saved
		return f.p.create(tx)
	})
	if err != nil {
		return fmt.Errorf("prepare projection %s: %w", f.p.Name, err)
	}
	f.prepared = true
	f.publish()
	return nil
}

// Run follows the log until ctx ends, which gives nil, or the projection cannot go on: an event that cannot be
// applied, a log that is not the one that was followed (event.ErrPositionAhead, event.ErrDiverged), ErrFenced.
func (f *Follower) Run(ctx context.Context) error {
	f.stop(nil)
	err := f.run(ctx)
	f.prepared = false
	if ctx.Err() != nil {
		return nil
	}
	f.stop(err)
	return err
}

func (f *Follower) stop(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = why
	f.moved.Broadcast()
}

func (f *Follower) run(ctx context.Context) error {
	if !f.prepared {
		if err := f.Prepare(ctx); err != nil {
			return err
		}
	}
	messages := make(chan message, batchSize)
	from := f.at.Cursor
	last := from.Position
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := f.log.Follow(ctx, f.p.Categories, from, func(ctx context.Context, m event.Message) error {
			// A log does not deliver an event twice. If one did, after it was cut off, rows would be written twice.
			if order := m.Position.Compare(last); order < 0 || order == 0 && m.Kind == event.KindEvent {
				return nil
			}
			last = m.Position
			select {
			case messages <- decode(m):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return fmt.Errorf("projection %s: %w", f.p.Name, err)
	})
	g.Go(func() error { return f.consume(ctx, messages) })
	return g.Wait()
}

// message is a message of the log, decoded beside the transaction that applies it.
type message struct {
	event.Message
	recorded event.Recorded
	err      error // why it could not be decoded
}

func decode(m event.Message) message {
	if m.Kind != event.KindEvent {
		return message{Message: m}
	}
	e, err := event.Decode(m.Event)
	return message{Message: m, recorded: e, err: err}
}

// consume applies what comes, as much at once as is there. Until the log says that it has no more, it waits for full
// batches.
func (f *Follower) consume(ctx context.Context, messages <-chan message) error {
	live := false
	batch := make([]message, 0, batchSize)
	for {
		select {
		case m := <-messages:
			batch = append(batch[:0], m)
		case <-ctx.Done():
			return f.leave(ctx)
		}
		for len(batch) < batchSize {
			live = live || batch[len(batch)-1].Kind == event.KindCaughtUp
			m, ok := next(ctx, messages, live)
			if !ok {
				break
			}
			batch = append(batch, m)
		}
		if ctx.Err() != nil {
			return f.leave(ctx)
		}
		if err := f.commit(ctx, batch); err != nil {
			return err
		}
	}
}

// next gives another message: if live only one that is there, else it waits.
func next(ctx context.Context, messages <-chan message, live bool) (message, bool) {
	select {
	case m := <-messages:
		return m, true
	default:
	}
	if live {
		return message{}, false
	}
	select {
	case m := <-messages:
		return m, true
	case <-ctx.Done():
		return message{}, false
	}
}

// leave saves what was put off. Nothing depends on it: at worst the next run passes by the same events again.
func (f *Follower) leave(ctx context.Context) error {
	if f.unsaved > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = f.store.Update(ctx, func(tx Tx) error { return f.seat.Save(tx, f.at) })
	}
	return ctx.Err()
}

// commit applies a batch in one transaction, again if need be. Events before one that cannot be applied are kept, so
// that a stopped projection stands exactly before the event that its error names. A full disk says nothing about an
// event: it is waited for, however long it takes until there is room.
func (f *Follower) commit(ctx context.Context, batch []message) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier, pauses.RandomizationFactor = firstPause, longestPause, 2, 0
	for tries := 1; ; tries++ {
		err := f.apply(ctx, batch)
		if err == nil {
			return nil
		}
		var bad *badEventError
		if errors.As(err, &bad) && bad.index > 0 {
			if err := f.commit(ctx, batch[:bad.index]); err != nil {
				return err
			}
			batch, tries = batch[bad.index:], 0
			continue
		}
		if errors.Is(err, event.ErrStoreFull) {
			tries = 0
		}
		if tries == applyTries || errors.Is(err, ErrFenced) || errors.Is(err, event.ErrUnknownKind) {
			return fmt.Errorf("projection %s: %w", f.p.Name, err)
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply applies a batch in one transaction. A batch without events only moves the position, and saves it rarely.
func (f *Follower) apply(ctx context.Context, batch []message) error {
	to := f.at
	update := func(tx Tx) error {
		if f.doubt {
			if done, saved, err := f.applied(tx, batch); done || err != nil {
				to = saved
				return err
			}
		}
		to = f.at
		for i, m := range batch {
			if err := f.p.step(tx, &to, m); err != nil {
				return &badEventError{index: i, event: m.Event, err: err}
			}
		}
		return f.seat.Save(tx, to)
	}
	if hasEvent(batch) || f.unsaved+1 >= lazySaves {
		if err := f.store.Update(ctx, update); err != nil {
			f.doubt = true
			return err
		}
		f.unsaved, f.doubt = 0, false
	} else {
		to.Cursor.Position = batch[len(batch)-1].Position
		f.unsaved++
	}
	f.at = to
	f.publish()
	return nil
}

// applied reports whether a batch is in the store though its commit was answered with an error: where a network lies
// in between, the answer can be lost. Not every row can be written twice.
func (f *Follower) applied(tx Tx, batch []message) (done bool, saved Saved, err error) {
	if err := f.seat.Check(tx); err != nil {
		return false, saved, err
	}
	if _, _, saved, err = readCursor(tx, f.p.Name); err != nil {
		return false, saved, fmt.Errorf("cursor of %s: %w", f.p.Name, err)
	}
	return saved.Cursor.Position == batch[len(batch)-1].Position, saved, nil
}

func hasEvent(batch []message) bool {
	for _, m := range batch {
		if m.Kind == event.KindEvent {
			return true
		}
	}
	return false
}

// step moves a projection over a message: an event changes rows, anything else only the position. It turns a panic
// into an error: a mistake in one projection stops that projection and not the program.
func (p Projection) step(tx Tx, to *Saved, m message) (err error) {
	to.Cursor.Position = m.Position
	if m.Kind != event.KindEvent {
		return nil
	}
	if m.err != nil {
		return m.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	if at := m.recorded.Event.GetMetadata().GetRecordedAt(); at != nil && at.AsTime().After(to.Known) {
		to.Known = at.AsTime()
	}
	if err := p.Apply(tx, to.Known, m.recorded); err != nil {
		return err
	}
	to.Cursor.LastPosition, to.Cursor.LastID = m.Position, m.Event.ID
	return nil
}

// badEventError names the event of a batch that could not be applied.
type badEventError struct {
	index int
	event event.RawRecorded
	err   error
}

func (e *badEventError) Error() string {
	return fmt.Sprintf("stream %s, revision %d (%s): %v", e.event.Stream, e.event.Revision, e.event.Type, e.err)
}

func (e *badEventError) Unwrap() error { return e.err }

func (f *Follower) publish() {
	f.mu.Lock()
	f.position = f.at.Cursor.Position
	f.moved.Broadcast()
	f.mu.Unlock()
	if f.onCommit != nil {
		f.onCommit()
	}
}

// Position is how far the projection has come: everything up to it is committed.
func (f *Follower) Position() event.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position
}

// CaughtUp reports whether everything up to head is committed.
func (f *Follower) CaughtUp(head event.Position) bool { return f.Position().Compare(head) >= 0 }

// WaitFor waits until everything up to p is committed. It answers ctx's error, or why the projection stopped.
func (f *Follower) WaitFor(ctx context.Context, p event.Position) error {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.moved.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.position.Compare(p) < 0 {
		if f.stopped != nil {
			return f.stopped
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f.moved.Wait()
	}
	return nil
}
