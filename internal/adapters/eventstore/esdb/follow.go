package esdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// skipped is how many events that do not match may pass before a follower is told how far it has come.
	skipped = 100
	// ahead is how many messages are taken from the server before the handler has done those before them.
	ahead = 64
	// watched is how many streams a follower knows the last revision of.
	watched = 8192
	// believed is how many subscriptions in a row have to leave out an event before it counts as lost.
	believed = 3
)

// Follow implements event.Log. It outlives whatever happens to nodes and connections, and ends only as the contract says
// and if the user's rights are taken away.
//
// The server sends all events of all streams that are not its own. Those of other categories are left out here: a
// subscription to some categories says too seldom how far it has come where nothing matches, and whoever waits for a
// position would wait for the next event that does.
func (l *Log) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	if err := event.CheckCursor(after); err != nil {
		return err
	}
	for _, p := range []event.Position{after.Position, after.LastPosition} {
		if p.Prepare > p.Commit || p.Commit > math.MaxInt64 { // the server calls that an exception, and does not say which
			return fmt.Errorf("%w: %s is no position of this kind of log", event.ErrInvalidArgument, p)
		}
	}
	revisions, err := lru.New[string, event.Revision](watched)
	if err != nil {
		return err
	}
	f := &follower{
		log: l, ctx: ctx, categories: categories, handle: h, revisions: revisions,
		at: after.Position, last: place{after.LastPosition, after.LastID},
	}
	return f.run()
}

// follower is one Follow: everything up to at was delivered or does not match.
type follower struct {
	log        *Log
	ctx        context.Context // the caller's, which is the handler's: closing the log does not end it
	categories []string
	handle     func(context.Context, event.Message) error

	at      event.Position
	last    place // of the last event that came, whether it matches or not
	skipped int   // events that do not match, since the handler was last told something
	// revisions are the last ones that came, by stream: what is missing between two is found out at once.
	revisions *lru.Cache[string, event.Revision]
	// missing is the event before which one is missing, and missed how often that was so.
	missing event.Position
	missed  int

	behind, denied time.Time // since when: a node lacks what was seen; the user has no rights
	progress       bool      // this subscription has come further than the last one
}

// place is an event and where it stands.
type place struct {
	position event.Position
	id       uuid.UUID
}

// end is the fault of a subscription that ends Follow, too.
func end(err error) error { return &fault{error: ended{err}} }

// ended is an error that Follow answers.
type ended struct{ error }

// run subscribes again and again.
func (f *follower) run() error {
	bound, cancel := f.log.bind(f.ctx)
	defer cancel()
	for failures := 0; ; failures++ {
		if err := f.log.usable(f.ctx); err != nil {
			return err
		}
		err := f.subscription(bound)
		var over ended
		if errors.As(err, &over) {
			return over.error
		}
		if err := f.log.usable(f.ctx); err != nil {
			return err
		}
		if err := f.tolerate(err); err != nil {
			return err
		}
		if f.progress {
			failures = 0
		}
		if failures == 0 {
			f.log.logger.Info("following the log begins anew", "at", f.at.String(), "categories", strings.Join(f.categories, ","), "reason", err)
		}
		if sleep(bound, backOff(failures, f.log.cluster.pace.first, f.log.cluster.pace.longest)) != nil {
			return f.log.usable(f.ctx)
		}
	}
}

// tolerate decides whether what ended a subscription may still pass by itself.
func (f *follower) tolerate(err error) error {
	pace, now := f.log.cluster.pace, time.Now()
	since := func(is bool, t *time.Time) time.Duration {
		if !is {
			*t = time.Time{}
		} else if t.IsZero() {
			*t = now
		}
		return now.Sub(*t)
	}
	var why *fault
	denied := errors.As(err, &why) && why.refused && !why.searched
	lacking := errors.Is(err, errBehind)
	if d := since(lacking, &f.behind); lacking && d >= pace.lag {
		return fmt.Errorf("%w: it has seen %s at %s", event.ErrPositionAhead, f.last.id, f.last.position)
	}
	if d := since(denied, &f.denied); denied && d >= pace.refused {
		return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
	}
	return nil
}

// subscription is one subscription, from the check that the log is still the one that was followed to the fault that
// ends it.
func (f *follower) subscription(ctx context.Context) error {
	f.progress = false
	g, err := f.log.cluster.acquire(ctx)
	if err != nil {
		return err
	}
	defer f.log.cluster.release(g)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, step := range []func(*call) error{f.verify, f.subscribe} {
		if why := f.log.try(ctx, g, step); why != nil {
			return why
		}
	}
	return nil
}

// verify looks whether the last event that came still stands where it stood. That the log is long enough is no proof: an
// older copy may have been restored and then written to, or a leader has gone with what only it had. An event that is
// gone is no better than another one in its place, for the ledger's are never scavenged.
func (f *follower) verify(c *call) error {
	if f.last.id == uuid.Nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, f.log.cluster.settings.deadline)
	defer cancel()
	c.ctx = ctx
	e, found, err := c.event(readAt(f.last.position))
	diverged := fmt.Errorf("%w: event %s does not stand at %s", event.ErrDiverged, f.last.id, f.last.position)
	switch {
	case err != nil && c.misplaced(f.last.position):
		return end(diverged)
	case err != nil:
		return err
	case !found:
		return &fault{error: errBehind} // which the node may still get: there is nothing wrong with the connection
	case e.Position != f.last.position || e.ID != f.last.id:
		return end(diverged)
	}
	return nil
}

// misplaced reports whether nothing begins or ends at a position. A read does not say that clearly, a subscription does.
func (c *call) misplaced(p event.Position) bool {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	in, err := c.streams.Read(ctx, subscribe(p, streamFilter()), c.options...)
	for i := 0; err == nil && i < 2; i++ { // the confirmation comes first
		_, err = in.Recv()
	}
	return status.Code(err) == codes.InvalidArgument
}

// received is a message, or what ended the subscription.
type received struct {
	*streams.ReadResp
	err     error
	trailer metadata.MD // beside err
}

// subscribe delivers until something ends it, which is never nil.
func (f *follower) subscribe(c *call) error {
	f.log.cluster.metrics.subscriptions.Inc()
	messages, err := f.open(c)
	if err != nil {
		return err
	}
	head, _, err := c.event(readHead()) // what was there when it began
	if err != nil {
		return err
	}
	f.log.cluster.worked(c.generation)
	for heard, told := false, false; ; {
		// Once the server has said something, and so likes the position, and has sent what was there, there is no more
		// than what waits here.
		if heard && !told && len(messages) == 0 && f.at.Compare(head.Position) >= 0 {
			if err := f.tell(event.Message{Kind: event.KindCaughtUp, Position: f.at}); err != nil {
				return err
			}
			told = true
		}
		var m received
		select {
		case m = <-messages:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		switch {
		case status.Code(m.err) == codes.InvalidArgument:
			return end(fmt.Errorf("%w: %s is no position of this log", event.ErrInvalidArgument, f.at))
		case m.err != nil:
			c.trailer = m.trailer
			return m.err
		}
		before := f.at
		if err := f.take(m.ReadResp); err != nil {
			return err
		}
		heard, told = true, told && f.at == before
	}
}

// open subscribes and takes messages from the server from then on. Who does not confirm in time is not waited for.
func (f *follower) open(c *call) (<-chan received, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	late := time.AfterFunc(f.log.cluster.settings.deadline, cancel)
	in, err := c.streams.Read(ctx, subscribe(f.at, streamFilter()), c.options...)
	if err == nil {
		var first *streams.ReadResp
		if first, err = in.Recv(); err != nil {
			c.trailer = in.Trailer()
		} else if first.GetConfirmation() == nil {
			err = errNonsense
		}
	}
	if !late.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, err
	}
	messages := make(chan received, ahead)
	go func() {
		defer cancel()
		for {
			m, err := in.Recv()
			var trailer metadata.MD
			if err != nil {
				trailer = in.Trailer()
			}
			select {
			case messages <- received{m, err, trailer}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return messages, nil
}

// take delivers what a message says.
func (f *follower) take(m *streams.ReadResp) error {
	switch {
	case m.GetEvent() != nil:
		e, err := recorded(m.GetEvent())
		if err != nil {
			return err
		}
		return f.event(e)
	case m.GetCheckpoint() != nil:
		p := position(m.GetCheckpoint())
		if p.Compare(f.at) <= 0 {
			return nil
		}
		f.skipped = 0
		f.come(p)
		return f.tell(event.Message{Kind: event.KindCheckpoint, Position: p})
	}
	return nil // that the server has caught up is known from the events
}

// come notes how far it has come, which means that whatever was wrong before has passed.
func (f *follower) come(p event.Position) {
	f.at, f.progress = p, true
	f.behind, f.denied = time.Time{}, time.Time{}
}

// event delivers an event, once, and not if it does not match.
func (f *follower) event(e event.RawRecorded) error {
	if e.Position.Compare(f.at) <= 0 {
		f.log.cluster.metrics.dropped.Inc()
		return nil
	}
	if strings.HasPrefix(e.Type, "$") {
		f.log.logger.Error("the log holds an event of the server's in a stream of ours", "stream", e.Stream, "type", e.Type, "position", e.Position.String())
		return nil
	}
	if err := f.gapless(e); err != nil {
		return err
	}
	f.come(e.Position)
	f.last = place{e.Position, e.ID}
	f.revisions.Add(e.Stream, e.Revision)
	if len(f.categories) > 0 && !slices.Contains(f.categories, event.Category(e.Stream)) {
		if f.skipped++; f.skipped < skipped {
			return nil
		}
		f.skipped = 0
		return f.tell(event.Message{Kind: event.KindCheckpoint, Position: e.Position})
	}
	f.skipped = 0
	return f.tell(event.Message{Kind: event.KindEvent, Position: e.Position, Event: e})
}

// gapless refuses an event whose stream's last one did not come. No server leaves out an event; if one does all the
// same, a new subscription brings it, unless events of other streams that stand behind it were delivered meanwhile. Then
// the handler cannot have it in its turn any more, and it is better to stop than to go on without it.
func (f *follower) gapless(e event.RawRecorded) error {
	before, known := f.revisions.Get(e.Stream)
	if !known || e.Revision == before+1 {
		return nil
	}
	if f.missing != e.Position {
		f.missing, f.missed = e.Position, 0
		f.log.logger.Error("the log left out an event", "stream", e.Stream, "after_revision", before, "came", e.Revision)
	}
	if f.missed++; f.missed >= believed {
		return end(lost(e.Stream, "revision %d follows %d", e.Revision, before))
	}
	return fmt.Errorf("%s: revision %d after %d: %w", e.Stream, e.Revision, before, errNonsense)
}

// tell calls the handler, unless it is time to stop. Its error ends Follow.
func (f *follower) tell(m event.Message) error {
	if err := f.log.usable(f.ctx); err != nil {
		return end(err)
	}
	if err := f.handle(f.ctx, m); err != nil {
		return end(err)
	}
	return nil
}
