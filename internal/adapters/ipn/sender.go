package ipn

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/projection"
)

// Config is what a Sender needs. Store, the Source, Deliveries and Clock are required; all else works at its zero
// value.
type Config struct {
	// Store holds the rows of projection.Deliveries.
	Store projection.Store
	Source
	Deliveries *aggregate.Runner[delivery.State]
	Clock      clock.Clock
	// Logger gets what an operator has to know. Defaults to slog.Default().
	Logger *slog.Logger
	// Owner names this process among those that share the store. What it was sending when it ended is taken up
	// again as soon as a process of the same name starts, by others only when its lease is over. Defaults to
	// "ledger", which is right where one process has the store for itself.
	Owner string
	// Concurrency is how many notifications are sent at once. Defaults to 64.
	Concurrency int
	// PerEndpoint is how many of them may go to one endpoint. Defaults to 4.
	PerEndpoint int
	// ConnectTimeout bounds connecting, and the TLS handshake. Defaults to 5 s.
	ConnectTimeout time.Duration
	// Timeout bounds a whole sending, the answer included. Defaults to 15 s.
	Timeout time.Duration
	// AllowPrivate lists addresses that may be called although they are not public, such as 127.0.0.0/8 for a
	// receiver on the same machine. Defaults to none.
	AllowPrivate []netip.Prefix
	// Transport carries the notifications. Defaults to one that dials no address that is not public, which another one
	// has to see to itself.
	Transport http.RoundTripper
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Owner = cmp.Or(c.Owner, "ledger")
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.PerEndpoint = cmp.Or(c.PerEndpoint, 4)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 15*time.Second)
	if c.Transport == nil {
		c.Transport = publicTransport(c.ConnectTimeout, c.Concurrency, c.AllowPrivate)
	}
	return c
}

// storePause is how long a Sender waits before it looks at a store or log that has just failed.
const storePause = time.Second

// Sender delivers notifications: of each endpoint and subscription one at a time and in the order of the log, of
// each endpoint a few at once, so that a dead receiver delays nobody else.
//
// It promises one webhook-id per event and endpoint, and at least one acknowledged delivery or a visible end. A
// conclusion is first an event and then a row, and the log is asked before anything is sent: a row that a crash, an
// older backup or a rebuild left open does not make a notification go out once it is concluded. A crash between the
// sending and the conclusion repeats the sending, under the same id and with the same bytes.
//
// It is a pool of its own and not a handler on the bus: what it works off is rows with due instants, not the log.
type Sender struct {
	Config
	client *http.Client
	writer *writer
	wake   chan struct{} // holds a token while there may be something to do
	ready  chan struct{} // closed once what an earlier run left is due again
	start  sync.Once

	mu       sync.Mutex
	inFlight map[string]string // delivery id to endpoint
	busy     map[string]int    // endpoint to how many of them
	begun    uint64            // counts what was ever put in flight
	changed  chan struct{}     // closed and replaced when something left inFlight
}

// NewSender returns a Sender. It does nothing until Run.
func NewSender(c Config) *Sender {
	c = c.withDefaults()
	return &Sender{
		Config:   c,
		client:   newClient(c.Transport),
		wake:     make(chan struct{}, 1),
		ready:    make(chan struct{}),
		inFlight: map[string]string{},
		busy:     map[string]int{},
		changed:  make(chan struct{}),
	}
}

// Notify tells the Sender that there may be new rows. It never blocks.
func (s *Sender) Notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, and returns nil when what was in flight then has come to its end, which takes no longer
// than a sending may. It is not to be called twice at a time.
func (s *Sender) Run(ctx context.Context) error {
	s.writer = newWriter(s.Store, s.Concurrency)
	var sending, writing sync.WaitGroup
	// What is in flight is not cut off: a receiver that has the notification already would get it again.
	writing.Go(func() { s.writer.run(context.WithoutCancel(ctx)) })
	defer writing.Wait()
	defer close(s.writer.queue)
	defer sending.Wait()
	defer s.client.CloseIdleConnections()

	if err := s.reclaim(ctx); err != nil {
		return stopped(ctx, err)
	}
	s.start.Do(func() { close(s.ready) })
	for ctx.Err() == nil {
		next, err := s.dispatch(ctx, &sending)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("deliveries: cannot read what is due", "error", err)
			pause(ctx, storePause)
			continue
		}
		s.sleep(ctx, next)
	}
	return nil
}

// stopped is nil if err is only that ctx ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// reclaim puts back what this process was sending when it ended, and what others have abandoned.
func (s *Sender) reclaim(ctx context.Context) error {
	return s.Store.Update(ctx, func(tx projection.Tx) error {
		return projection.ReclaimDeliveries(tx, s.Owner, s.Clock.Now())
	})
}

// sleep waits for a notification, for the clock to reach next, or for ctx to end.
func (s *Sender) sleep(ctx context.Context, next time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	if !next.IsZero() {
		waiting.Go(func() {
			if s.Clock.WaitUntil(ctx, next) == nil {
				s.Notify()
			}
		})
	}
	select {
	case <-s.wake:
	case <-ctx.Done():
	}
	cancel()
	waiting.Wait()
}

// dispatch puts in flight what is due and may go, and says when to look again if nothing else happens before.
func (s *Sender) dispatch(ctx context.Context, sending *sync.WaitGroup) (next time.Time, err error) {
	now := s.Clock.Now()
	if next, err = s.abandoned(ctx, now); err != nil {
		return next, err
	}
	waiting, err := projection.DeliveryEndpoints(ctx, s.Store)
	if err != nil {
		return next, err
	}
	for _, endpoint := range byTime(waiting) {
		if at := waiting[endpoint]; at.After(now) {
			next = earlier(next, at)
			continue
		}
		room, known := s.room(endpoint)
		if room <= 0 {
			continue // somebody leaves the flight first, and that wakes us
		}
		// What is in flight may not have been claimed yet, and is read again.
		due, err := projection.DueDeliveries(ctx, s.Store, endpoint, now, room+known)
		if err != nil {
			return next, err
		}
		for _, d := range due {
			if s.begin(d) {
				sending.Go(func() { defer s.end(d); s.deliver(ctx, d) })
			}
		}
	}
	return next, nil
}

// abandoned puts back what was being sent under leases that are over, and says when the next one will be.
func (s *Sender) abandoned(ctx context.Context, now time.Time) (time.Time, error) {
	at, err := projection.AbandonedDeliveries(ctx, s.Store)
	if err != nil || at.IsZero() || at.After(now) {
		return at, err
	}
	return time.Time{}, s.Store.Update(ctx, func(tx projection.Tx) error {
		return projection.ReclaimDeliveries(tx, "", now)
	})
}

// byTime orders endpoints by who has waited longest.
func byTime(first map[string]time.Time) []string {
	all := make([]string, 0, len(first))
	for endpoint := range first {
		all = append(all, endpoint)
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(first[a].Compare(first[b]), cmp.Compare(a, b))
	})
	return all
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// room says how many more may go to an endpoint, and how many are in flight to it.
func (s *Sender) room(endpoint string) (room, known int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = s.busy[endpoint]
	return min(s.PerEndpoint-known, s.Concurrency-len(s.inFlight)), known
}

// begin puts a delivery in flight, unless it is already or there is no room.
func (s *Sender) begin(d projection.DueDelivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.inFlight[d.ID]; ok || s.busy[d.Endpoint] >= s.PerEndpoint || len(s.inFlight) >= s.Concurrency {
		return false
	}
	s.inFlight[d.ID] = d.Endpoint
	s.busy[d.Endpoint]++
	s.begun++
	return true
}

// end takes a delivery out of the flight, which may let another one go.
func (s *Sender) end(d projection.DueDelivery) {
	s.mu.Lock()
	delete(s.inFlight, d.ID)
	if s.busy[d.Endpoint]--; s.busy[d.Endpoint] == 0 {
		delete(s.busy, d.Endpoint)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	s.Notify()
}

// Idle returns nil once nothing is in flight and nothing that waits is due by the clock. The Sender must be running.
func (s *Sender) Idle(ctx context.Context) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		s.mu.Lock()
		flying, begun, changed := len(s.inFlight), s.begun, s.changed
		s.mu.Unlock()
		if flying == 0 {
			next, err := s.NextAt(ctx)
			if err != nil {
				return err
			}
			if next.IsZero() || next.After(s.Clock.Now()) {
				s.mu.Lock()
				quiet := s.begun == begun
				s.mu.Unlock()
				if quiet {
					return nil
				}
				continue
			}
			s.Notify()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// NextAt says when the next notification that waits is due; zero if none waits. One that is in flight does not count.
func (s *Sender) NextAt(ctx context.Context) (time.Time, error) {
	waiting, err := projection.DeliveryEndpoints(ctx, s.Store)
	var next time.Time
	for _, at := range waiting {
		next = earlier(next, at)
	}
	return next, err
}

// pause waits in the machine's time: for a disk or a database, which do not know the clock that business runs by.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
