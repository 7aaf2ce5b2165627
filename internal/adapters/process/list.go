package process

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/work"
)

const (
	// listEvery is how often a gateway is asked what has happened, unless its Traits say otherwise.
	listEvery = 15 * time.Minute
	// listOverlap is how much of what was read before is asked for again: gateways may list a thing some time after it
	// happened.
	listOverlap = 24 * time.Hour
	// listTogether is how many connections are asked about at once; of one merchant, one.
	listTogether = 16
	// listPatience is how long one connection's list may take. What was read until then counts.
	listPatience = 10 * time.Minute
	// listAgain is when a gateway that did not answer is asked again; the pause doubles up to the usual one.
	listAgain = time.Minute
	// unmatchedFor is how long messages are kept that speak of nothing of ours.
	unmatchedFor = 30 * 24 * time.Hour
	// dropEvery is how often the old ones among them are dropped.
	dropEvery = 24 * time.Hour
)

// Ref names a connection.
type Ref struct {
	Merchant, Connection string
	Since                time.Time // when it was made; zero if nobody knows
}

// Lists is what a Reconciler needs of the world.
type Lists struct {
	// Connections are all there are.
	Connections func(ctx context.Context) ([]Ref, error)
	// Save keeps a message that was fetched, durably and once, as if it had come by itself.
	Save func(ctx context.Context, conn gateway.Connection, m gateway.Message) error
	// Cursors remember how far each list was read.
	Cursors ListCursors
}

// ListCursors remember how far each list was read, and which messages are there.
type ListCursors interface {
	ListCursors(ctx context.Context) ([]work.ListCursor, error)
	SaveListCursor(ctx context.Context, c work.ListCursor) error
	// WebhookKnown reports whether a message was kept before, however it came.
	WebhookKnown(ctx context.Context, merchant, connection, message string) (bool, error)
	// DropUnmatched forgets what the messages said that were known to be none of ours before an instant.
	DropUnmatched(ctx context.Context, before time.Time) (dropped int64, err error)
}

// Reconciler asks every gateway that has a list of what happened, now and then, so that a webhook that was lost is only
// late. What it fetches is kept beside the webhooks, where one that came before is known by its id, and read like them. A
// connection is asked about whether or not anything is charged through it: what was charged can still be disputed.
type Reconciler struct {
	*Process
	lists  Lists
	nudged chan struct{}

	mu      sync.Mutex
	busy    map[string]Ref // those that are asked about now, by merchant
	ended   chan struct{}  // closed and replaced when one of them is done
	dropped time.Time
}

// NewReconciler returns a Reconciler. Nudge it when there are more connections.
func NewReconciler(p *Process, l Lists) *Reconciler {
	return &Reconciler{Process: p, lists: l, nudged: make(chan struct{}, 1), busy: map[string]Ref{}, ended: make(chan struct{})}
}

// Nudge says that there may be something new to ask about.
func (r *Reconciler) Nudge() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// Run asks whenever it is time to, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	for ctx.Err() == nil {
		ended := r.nextEnd()
		_, next, err := r.begin(ctx, &asking)
		if err != nil && ctx.Err() == nil {
			r.Logger.Error("gateways are not asked what has happened", "error", err)
			sleep(ctx, time.Second)
			continue
		}
		r.await(ctx, next, ended)
	}
	return nil
}

// await returns at the instant `at`, at a nudge, when somebody has been asked, or when ctx ends.
func (r *Reconciler) await(ctx context.Context, at time.Time, ended <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	reached := make(chan struct{})
	go func() {
		defer close(reached)
		_ = r.Clock.WaitUntil(ctx, at) // the loop looks at the clock itself
	}()
	defer func() { cancel(); <-reached }()
	select {
	case <-r.nudged:
	case <-ended:
	case <-reached:
	case <-ctx.Done():
	}
}

// Idle returns once everybody was asked whose time has come.
func (r *Reconciler) Idle(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		ended := r.nextEnd()
		left, _, err := r.begin(ctx, &asking)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// nextEnd is closed when the next of those who are being asked is done.
func (r *Reconciler) nextEnd() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// begin starts asking about the connections whose time has come, as far as there is room. It tells how many of them are
// not done yet, and when the next one's time comes.
func (r *Reconciler) begin(ctx context.Context, asking *sync.WaitGroup) (left int, next time.Time, err error) {
	now := r.Clock.Now()
	if err := r.drop(ctx, now); err != nil {
		return 0, next, err
	}
	refs, err := r.lists.Connections(ctx)
	if err != nil {
		return 0, next, err
	}
	cursors, err := r.cursors(ctx)
	if err != nil {
		return 0, next, err
	}
	next = now.Add(listEvery)
	for _, ref := range refs {
		c, ok := cursors[ref.key()]
		if !ok {
			c = work.ListCursor{Merchant: ref.Merchant, Connection: ref.Connection}
		}
		if c.NextAt.After(now) {
			if c.NextAt.Before(next) {
				next = c.NextAt
			}
			continue
		}
		left++
		if r.take(ref) {
			asking.Go(func() {
				defer r.giveBack(ref)
				r.ask(ctx, ref, c)
			})
		}
	}
	return left, next, nil
}

func (ref Ref) key() string { return ref.Merchant + "." + ref.Connection }

func (r *Reconciler) cursors(ctx context.Context) (map[string]work.ListCursor, error) {
	all, err := r.lists.Cursors.ListCursors(ctx)
	by := make(map[string]work.ListCursor, len(all))
	for _, c := range all {
		by[Ref{Merchant: c.Merchant, Connection: c.Connection}.key()] = c
	}
	return by, err
}

// take reports whether there is room to ask about a connection, and takes it. A merchant has one place: however slow his
// gateways are, they keep nobody else waiting.
func (r *Reconciler) take(ref Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.busy[ref.Merchant]; taken || len(r.busy) >= listTogether {
		return false
	}
	r.busy[ref.Merchant] = ref
	return true
}

func (r *Reconciler) giveBack(ref Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, ref.Merchant)
	close(r.ended)
	r.ended = make(chan struct{})
}

// drop forgets, once a day, what old messages said that are none of ours.
func (r *Reconciler) drop(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dropped.IsZero() && now.Sub(r.dropped) < dropEvery {
		return nil
	}
	_, err := r.lists.Cursors.DropUnmatched(ctx, now.Add(-unmatchedFor))
	if err == nil {
		r.dropped = now
	}
	return err
}

// ask fetches what has happened at a connection's gateway since the cursor, and moves the cursor behind what was kept.
func (r *Reconciler) ask(ctx context.Context, ref Ref, c work.ListCursor) {
	now := r.Clock.Now()
	read, every, err := r.fetch(ctx, ref, c, now)
	if ctx.Err() != nil {
		return // stopped: it is asked again
	}
	if read.After(c.ReadUntil) {
		c.ReadUntil = read
	}
	if err == nil {
		c.Tries, c.Reason, c.NextAt = 0, "", turn(ref, every, now)
	} else {
		c.Tries++
		c.Reason, c.NextAt = err.Error(), now.Add(min(listAgain<<min(c.Tries-1, 10), every))
		if c.Tries&(c.Tries-1) == 0 { // less and less often
			r.Logger.Warn("the gateway does not say what has happened", "connection", ref.key(), "tries", c.Tries, "since", c.ReadUntil, "error", err)
		}
	}
	if err := r.lists.Cursors.SaveListCursor(ctx, c); err != nil && ctx.Err() == nil {
		r.Logger.Error("list cursor not moved", "connection", ref.key(), "error", err)
		sleep(ctx, time.Second)
	}
}

// turn is when a connection is asked about next: each has an instant of its own within the usual time between two, so that
// not all are asked about at once.
func turn(ref Ref, every time.Duration, now time.Time) time.Time {
	h := fnv.New64a()
	h.Write([]byte(ref.key()))
	at := now.Truncate(every).Add(time.Duration(h.Sum64() % uint64(every)).Truncate(time.Microsecond))
	if !at.After(now) {
		at = at.Add(every)
	}
	return at
}

// fetch keeps what has happened until now. read is how far all was kept, even if there is an error.
func (r *Reconciler) fetch(ctx context.Context, ref Ref, c work.ListCursor, now time.Time) (read time.Time, every time.Duration, err error) {
	every = listEvery
	conn, gw, err := r.Connect(ctx, ref.Merchant, ref.Connection)
	if err != nil {
		return read, every, err
	}
	if t := gw.Traits().ListEvery; t > 0 {
		every = t
	}
	lister, ok := gw.(gateway.Lister)
	if !ok {
		return now, every, nil
	}
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	for m, err := range lister.List(ctx, conn, listFrom(ref, c, now), now) {
		if err == nil {
			err = r.keep(ctx, conn, m)
		}
		if err != nil {
			return read, every, fmt.Errorf("list of %s: %w", conn.Gateway, err)
		}
		if m.At.After(read) && m.At.Before(now) {
			read = m.At
		}
	}
	return now, every, ctx.Err()
}

// listFrom is where asking begins.
func listFrom(ref Ref, c work.ListCursor, now time.Time) time.Time {
	from := c.ReadUntil.Add(-listOverlap)
	switch {
	case c.ReadUntil.IsZero() && ref.Since.IsZero():
		return now.Add(-listOverlap)
	case from.Before(ref.Since):
		return ref.Since
	}
	return from
}

// keep saves a message unless it is there already, which most are.
func (r *Reconciler) keep(ctx context.Context, conn gateway.Connection, m gateway.Message) error {
	known, err := r.lists.Cursors.WebhookKnown(ctx, conn.Merchant, conn.ID, m.ID)
	if known || err != nil {
		return err
	}
	return r.lists.Save(ctx, conn, m)
}
