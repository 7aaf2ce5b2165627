package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
)

// cluster is a log that several servers keep, as its clients see it while the servers lose sight of each other. One of
// them leads: it decides about appends and tells the others of them. An append is answered once most servers have it, and
// is read by nobody before; if another server leads by then, it is gone, and other events take its positions.
//
// It is not event.Exclusive. There is one ledger in the world, but what that sent before it died may still arrive.
type cluster struct {
	hit  func(string)
	most *memory.Log // what most servers have: all that can be read

	mu     sync.Mutex
	leader *memory.Log // what the leader has: that, and the tail
	feed   *memory.Log // what subscriptions are shown; another one after each change of leader
	state  state
	tail   []write // what the leader has and most servers do not, in order
	late   []write // what has not reached the leader yet
	delay  bool    // the next append is one of those
	again  int     // how many events a subscription that begins again delivers again
	// dropped are the appends that the leader dropped, by the id of their first event.
	dropped map[uuid.UUID]bool
	closed  bool
}

// state is how the leader and the other servers stand to each other.
type state int

// The states.
const (
	together state = iota
	mute           // the leader drops what it is sent
	apart          // the others do not hear of what the leader writes
	leaking        // as apart, but subscriptions are shown it: no server should do that
)

func (s state) String() string { return [...]string{"together", "mute", "apart", "leaking"}[s] }

// write is an append that was not answered.
type write struct {
	stream string
	at     event.Revision
	events []event.Raw
}

var _ event.Log = (*cluster)(nil)

// errDropped is what a subscription ends with that begins again.
var errDropped = errors.New("the subscription was dropped")

func newCluster(hit func(string)) *cluster {
	return &cluster{hit: hit, most: memory.New(), leader: memory.New(), feed: memory.New(), dropped: map[uuid.UUID]bool{}}
}

// Append implements event.Log.
func (c *cluster) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	if err := event.CheckAppend(stream, at, events); err != nil {
		return event.Position{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := write{stream, at, slices.Clone(events)}
	switch {
	case c.closed:
		return event.Position{}, event.ErrClosed
	case c.delay:
		c.delay = false
		c.late = append(c.late, w)
		return event.Position{}, unanswered(w)
	case c.state == mute:
		c.drop(w)
		return event.Position{}, unanswered(w)
	}
	p, err := c.lead(ctx, w)
	if err == nil && c.dropped[events[0].ID] {
		delete(c.dropped, events[0].ID)
		c.hit("an append that was dropped went through")
	}
	return p, err
}

func unanswered(w write) error {
	return fmt.Errorf("append to %s: %w", w.stream, event.ErrUnknownOutcome)
}

func (c *cluster) drop(w write) {
	id := w.events[0].ID
	if c.dropped[id] {
		c.hit("an append was dropped again")
	}
	c.dropped[id] = true
	c.hit("an append was dropped")
}

// lead is what the leader does with an append. The answer to one that most servers do not have is dropped, however
// often it is asked for.
func (c *cluster) lead(ctx context.Context, w write) (event.Position, error) {
	known := head(c.leader)
	p, err := c.leader.Append(ctx, w.stream, w.at, w.events...)
	switch {
	case err != nil || p.Compare(head(c.most)) <= 0:
		return p, err
	case p.Compare(known) <= 0:
		c.hit("a repetition of what most servers do not have was dropped")
		return event.Position{}, unanswered(w)
	case c.state == together:
		return p, tell(w, c.most, c.feed)
	}
	c.tail = append(c.tail, w)
	if c.state == leaking {
		err = tell(w, c.feed)
	}
	return event.Position{}, errors.Join(unanswered(w), err)
}

// tell has servers write what the leader has written.
func tell(w write, servers ...*memory.Log) error {
	for _, s := range servers {
		if _, err := s.Append(context.Background(), w.stream, w.at, w.events...); err != nil {
			return err
		}
	}
	return nil
}

// suffer puts the servers into a state.
func (c *cluster) suffer(s state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// agree ends what the servers suffer from under the same leader: they hear of what it has written.
func (c *cluster) agree() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for _, w := range c.tail {
		c.hit("an append took effect late")
		err = errors.Join(err, tell(w, c.most, c.feed))
	}
	c.state, c.tail = together, nil
	return err
}

// depose has another server lead, one that has what most have: the tail is gone. It returns how many events that are.
// drop has subscriptions begin again, some events further back; until then they wait at the old leader.
func (c *cluster) depose(again int) (lost int, drop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.tail {
		lost += len(w.events)
	}
	if lost > 0 {
		c.hit("the tail of a deposed leader was lost")
	}
	if lost > 0 && c.state == leaking {
		c.hit("a tail was lost that subscriptions had shown")
	}
	gone := c.feed
	c.leader, c.feed = copyOf(c.most), copyOf(c.most)
	c.state, c.tail, c.late, c.again = together, nil, nil, again
	return lost, func() { _ = gone.Close() }
}

// arrive lets the append that has waited longest reach the leader; nobody waits for an answer any more. false: there is none.
func (c *cluster) arrive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.late) == 0 {
		return false
	}
	w := c.late[0]
	c.late = c.late[1:]
	known := head(c.leader)
	p, err := c.lead(context.Background(), w)
	var wrong *event.WrongRevisionError
	switch {
	case errors.As(err, &wrong):
		c.hit("a delayed append came too late")
	case err == nil && p.Compare(known) <= 0:
		c.hit("a delayed append was repeated before it came")
	default:
		c.hit("a delayed append came in time")
	}
	return true
}

// Read implements event.Log.
func (c *cluster) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return c.most.Read(ctx, stream, from)
}

// Head implements event.Log.
func (c *cluster) Head(ctx context.Context) (event.Position, error) { return c.most.Head(ctx) }

// Follow implements event.Log, but for this: after a change of leader it delivers some events again, which its callers
// have to put up with. A subscription that was dropped begins again where it was, if the log is still the one that it
// has shown.
func (c *cluster) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	at := after
	for again := false; ; again = true {
		feed, back := c.subscribe()
		var own error // the handler's
		err := feed.Follow(ctx, categories, at, func(context.Context, event.Message) error { return errSame })
		if errors.Is(err, errSame) {
			from := at
			if again && back > 0 {
				from = event.Cursor{Position: earlier(at.Position, back)}
			}
			err = feed.Follow(ctx, categories, from, func(ctx context.Context, m event.Message) error {
				if own = h(ctx, m); own != nil {
					return own
				}
				if m.Position.Compare(at.Position) > 0 {
					at = moved(at, m)
				} else if m.Kind == event.KindEvent {
					c.hit("an event was delivered again")
				}
				return nil
			})
		}
		if ctx.Err() != nil || !c.drops(err, own != nil) {
			return err
		}
	}
}

// errSame ends a look at whether a cursor is of a log's past.
var errSame = errors.New("it is")

func (c *cluster) subscribe() (feed *memory.Log, again int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.feed, c.again
}

// drops reports whether a subscription that ended so begins again. A log that is elsewhere is waited for; that it is
// closed counts only if it says so itself.
func (c *cluster) drops(err error, handlers bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Is(err, errDropped) || errors.Is(err, errUnreachable) || !handlers && errors.Is(err, event.ErrClosed) && !c.closed
}

// Close implements event.Log.
func (c *cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return errors.Join(c.leader.Close(), c.most.Close(), c.feed.Close())
}

func moved(at event.Cursor, m event.Message) event.Cursor {
	at.Position = m.Position
	if m.Kind == event.KindEvent {
		at.LastPosition, at.LastID = m.Position, m.Event.ID
	}
	return at
}

// earlier is the position n events before p.
func earlier(p event.Position, n int) event.Position {
	at := p.Commit - min(p.Commit, uint64(n))
	return event.Position{Commit: at, Prepare: at}
}

func head(log *memory.Log) event.Position {
	p, err := log.Head(context.Background())
	if err != nil {
		panic(err) // it is in memory
	}
	return p
}

// copyOf is a server that has what another one has.
func copyOf(log *memory.Log) *memory.Log {
	made := memory.New()
	err := log.Follow(context.Background(), nil, event.Cursor{}, func(ctx context.Context, m event.Message) error {
		if m.Kind != event.KindEvent {
			return errSame
		}
		_, err := made.Append(ctx, m.Event.Stream, m.Event.Revision-1, m.Event.Raw)
		return err
	})
	if !errors.Is(err, errSame) {
		panic(err) // it is in memory
	}
	return made
}
