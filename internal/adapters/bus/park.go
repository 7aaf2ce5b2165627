package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	// firstRetry is when a parked stream is first tried again; the pause doubles up to lastRetry.
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
	// replaysAtOnce is how many streams of one handler are replayed side by side.
	replaysAtOnce = 8
	// replayPage is how many events a replay reads before it handles them, so that no read stays open meanwhile.
	replayPage = 64
)

var (
	// ErrNotParked means that a stream is not parked for the handler.
	ErrNotParked = errors.New("stream is not parked")
	errBehind    = errors.New("the log does not show all events of the stream yet")
)

// RetryAfter says with an error of a Handle when it is worth trying again. The stream is parked until then at once.
func RetryAfter(err error, d time.Duration) error { return &retryAfterError{err, d} }

type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error { return e.error }

// retryPause is how long a park rests after its tries-th failure; what the handler asked for goes first.
func retryPause(tries int, asked string) time.Duration {
	if d, err := time.ParseDuration(asked); err == nil {
		return d
	}
	pause := firstRetry
	for ; tries > 1 && pause < lastRetry; tries-- {
		pause *= 2
	}
	return min(pause, lastRetry)
}

// parked is a park as the follower knows it.
type parked struct {
	work.Park
	asked   bool // to be replayed now, whatever RetryAt says
	running bool
	rounds  int // replays that ended
}

// poison is the publisher behind the PoisonQueue: what is published to it is parked.
type poison struct{ bus *Bus }

func (p poison) Publish(_ string, messages ...*message.Message) error {
	for _, m := range messages {
		f, ok := p.bus.follower(m.Metadata[middleware.PoisonedHandlerKey])
		if !ok {
			return fmt.Errorf("park %s: no handler %q", m.UUID, m.Metadata[middleware.PoisonedHandlerKey])
		}
		if err := f.park(m); err != nil {
			return err
		}
	}
	return nil
}

func (poison) Close() error { return nil }

// park sets the stream of a message aside: first durably, then in the window, so that the cursor passes nothing that
// could be forgotten.
func (f *follower) park(m *message.Message) error {
	e, err := rawEvent(m)
	if err != nil {
		return err
	}
	now := f.clock.Now()
	p := work.Park{
		Follower: f.name, Stream: e.Stream, From: e.Revision, Tries: 1, Reason: m.Metadata[middleware.ReasonForPoisonedKey],
		ParkedAt: now, RetryAt: now.Add(retryPause(1, m.Metadata[retryAfterKey])),
	}
	if err := f.writePark(p); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.win.Park(p.Stream, p.From)
	f.parks[p.Stream] = &parked{Park: p}
	f.rearm()
	f.changed.Broadcast()
	return nil
}

func (f *follower) writePark(p work.Park) error {
	err := f.work.Park(f.messages, f.seat, p)
	if errors.Is(err, projection.ErrFenced) {
		f.fail(err)
	}
	if err == nil {
		f.logger.Warn("stream parked", "handler", p.Follower, "stream", p.Stream, "revision", int64(p.From),
			"tries", p.Tries, "retry_at", p.RetryAt, "reason", p.Reason)
	}
	return err
}

// due is a park that is to be replayed and is not, or nil. The caller holds the lock.
func (f *follower) due() *parked {
	p := f.earliest()
	if p == nil || !p.asked && p.RetryAt.After(f.clock.Now()) {
		return nil
	}
	return p
}

// earliest is the park that waits for its replay and has the least time to wait. The caller holds the lock.
func (f *follower) earliest() *parked {
	var first *parked
	for _, p := range f.parks {
		switch {
		case p.running:
		case p.asked:
			return p
		case first == nil || p.RetryAt.Before(first.RetryAt):
			first = p
		}
	}
	return first
}

// replayLoop replays parks when their time comes.
func (f *follower) replayLoop(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		for f.replay < replaysAtOnce {
			p := f.due()
			if p == nil {
				break
			}
			p.running, p.asked = true, false
			f.replay++
			f.replays.Go(func() { f.replayPark(p) })
		}
		next := f.earliest()
		if f.replay == replaysAtOnce {
			next = nil
		}
		changed, rearm := context.WithCancel(ctx)
		f.rearm = rearm
		f.mu.Unlock()
		if next == nil {
			<-changed.Done()
		} else {
			_ = f.clock.WaitUntil(changed, next.RetryAt) // either way the loop looks again
		}
		rearm()
	}
}

// replayPark works through a parked stream and writes down what came of it.
func (f *follower) replayPark(p *parked) {
	next, asked, err := f.replayStream(p.Stream, p.From)
	if err == nil {
		if err = f.work.ClearPark(f.messages, f.seat, p.Key()); err != nil {
			// The stream was handed back to the window; take it again. The last event is handled once more.
			next--
			f.mu.Lock()
			f.win.Park(p.Stream, next)
			f.mu.Unlock()
		}
	}
	if errors.Is(err, projection.ErrFenced) {
		f.fail(err)
	}
	again := p.Park
	if err != nil && f.messages.Err() == nil && !errors.Is(err, errStopped) {
		again = f.parkAgain(p.Park, next, asked, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.Park, p.running = again, false
	p.rounds++
	if err == nil {
		f.logger.Info("parked stream replayed", "handler", p.Follower, "stream", p.Stream, "revision", int64(next-1))
		delete(f.parks, p.Stream)
		f.win.Resume(p.Stream)
		f.dispatch()
	}
	f.replay--
	f.rearm()
	f.changed.Broadcast()
}

// parkAgain writes down that a replay has come to grief at a revision. A park that cannot be written stands as it
// was: a restart begins further back.
func (f *follower) parkAgain(p work.Park, at event.Revision, asked string, why error) work.Park {
	p.Reason = why.Error()
	p.Tries++
	if at > p.From {
		p.From, p.Tries = at, 1
	}
	p.RetryAt = f.clock.Now().Add(retryPause(p.Tries, asked))
	if err := f.writePark(p); err != nil {
		f.logger.Warn("park not updated", "handler", p.Follower, "stream", p.Stream, "error", err)
	}
	return p
}

// replayStream handles a stream's events from a revision on, in order, until the window takes the stream back. It
// returns the revision that it would handle next, and what the handler asked for with its error.
func (f *follower) replayStream(stream string, from event.Revision) (next event.Revision, asked string, err error) {
	for {
		events, err := f.readPage(stream, from)
		if err != nil {
			return from, "", err
		}
		for _, e := range events {
			select {
			case <-f.stopping:
				return from, "", errStopped
			default:
			}
			m := newMessage(f.messages, e)
			if _, err := f.attempt(m); err != nil {
				return from, m.Metadata[retryAfterKey], err
			}
			from = e.Revision + 1
		}
		if len(events) == replayPage {
			continue
		}
		f.mu.Lock()
		back := f.win.Replayed(stream, from-1)
		f.mu.Unlock()
		if back {
			return from, "", nil
		}
		if len(events) == 0 {
			return from, "", errBehind
		}
	}
}

func (f *follower) readPage(stream string, from event.Revision) ([]event.RawRecorded, error) {
	var page []event.RawRecorded
	for e, err := range f.log.Read(f.messages, stream, from) {
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		if page = append(page, e); len(page) == replayPage {
			break
		}
	}
	return page, nil
}

// Hurry has the parked streams of a handler that match replayed now rather than at their time. It does not wait for them.
func (b *Bus) Hurry(handler string, match func(work.Park) bool) {
	f, ok := b.follower(handler)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parks {
		if !p.running && match(p.Park) {
			p.asked = true
		}
	}
	f.rearm()
	f.changed.Broadcast()
}

// replayNow replays a stream without waiting for its time, and waits for the result.
func (f *follower) replayNow(ctx context.Context, stream string) error {
	defer context.AfterFunc(ctx, f.wake)()
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parks[stream]
	if p == nil {
		return fmt.Errorf("%w: %s for %s", ErrNotParked, stream, f.name)
	}
	if !p.running {
		p.asked = true
		f.rearm()
	}
	for before := p.rounds; p.rounds == before; f.changed.Wait() {
		switch {
		case f.stopped:
			return errStopped
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
	if f.parks[stream] != p {
		return nil
	}
	return fmt.Errorf("stream %s is still parked for %s at revision %s: %s", stream, f.name,
		strconv.FormatInt(int64(p.From), 10), p.Reason)
}
