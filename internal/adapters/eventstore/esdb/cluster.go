package esdb

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"

	"ledger.internal/ledger/internal/aggregate/event"
)

// pace is how long things take and how often they are tried.
type pace struct {
	first, longest time.Duration // pauses between looks for a node, doubled each time, each a random part of that
	retry          time.Duration // the longest pause before the same node is asked again
	grace          time.Duration // for calls that are out on a retired connection
	patience       time.Duration // how long a read is tried before it gives up
	lag            time.Duration // how long a node may lack what a cursor has seen before the log counts as shorter
	refused        time.Duration // how long a follower may be denied its rights before it gives up
}

var usual = pace{
	first: 100 * time.Millisecond, longest: time.Second, retry: time.Second, grace: 5 * time.Second,
	patience: 8 * time.Second, lag: 3 * time.Second, refused: 30 * time.Second,
}

// cluster finds the node to talk to, one search at a time for all who wait.
type cluster struct {
	dialer
	logger  *slog.Logger
	metrics *metrics
	pace    pace

	ctx  context.Context // ends when the log is closed
	work sync.WaitGroup

	mu       sync.Mutex
	current  *generation
	search   *search
	open     map[*generation]struct{}
	reached  bool     // a call succeeded, ever
	failures int      // since a call succeeded
	leader   string   // as a node said that is not it
	members  []string // as they were heard of last
	reason   error    // why there is no connection
}

// generation is a connection to the node that the log uses for a while.
type generation struct {
	*connection
	streams streams.StreamsClient

	calls   int // that are out on it
	retired bool
	closing sync.Once
}

// search is one look for a node. done is closed when it has ended.
type search struct {
	done chan struct{}
	err  error
}

func newCluster(ctx context.Context, d dialer, c Config) *cluster {
	return &cluster{dialer: d, logger: c.Logger, metrics: newMetrics(c.Registerer), pace: usual, ctx: ctx, open: map[*generation]struct{}{}}
}

// acquire gives the generation to make a call on; release takes it back. It fails when a look for a node does; the next
// acquire looks again, after a pause.
func (c *cluster) acquire(ctx context.Context) (*generation, error) {
	for {
		g, s := c.currentOrSearch()
		if g != nil {
			return g, nil
		}
		if s == nil {
			return nil, event.ErrClosed
		}
		select {
		case <-s.done:
			if s.err != nil {
				return nil, s.err
			}
		case <-ctx.Done():
			return nil, c.because(ctx.Err())
		}
	}
}

func (c *cluster) currentOrSearch() (*generation, *search) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, nil
	}
	if g := c.current; g != nil {
		g.calls++
		return g, nil
	}
	if c.search == nil {
		s := &search{done: make(chan struct{})}
		c.search = s
		pause := backOff(c.failures-1, c.pace.first, c.pace.longest)
		c.work.Go(func() { c.find(s, pause) })
	}
	return nil, c.search
}

// backOff is a random part of a pause that doubles with each failure after the first.
func backOff(failures int, first, longest time.Duration) time.Duration {
	if failures < 0 {
		return 0
	}
	most := longest
	if failures < 16 {
		most = min(first<<failures, longest)
	}
	return time.Duration(rand.Int64N(int64(most)) + 1)
}

// because adds why there is no connection to an error of a caller who did not want to wait longer.
func (c *cluster) because(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, c.reason)
}

// find looks for a node once.
func (c *cluster) find(s *search, pause time.Duration) {
	defer close(s.done)
	var conn *connection
	if s.err = sleep(c.ctx, pause); s.err == nil {
		conn, s.err = c.discover(c.ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.search = nil
	if s.err != nil {
		c.failures++
		c.complain(s.err)
		return
	}
	g := &generation{connection: conn, streams: streams.NewStreamsClient(conn)}
	if c.ctx.Err() != nil { // closed meanwhile, and nobody will look into open again
		s.err = event.ErrClosed
		conn.Close()
		return
	}
	c.current = g
	c.open[g] = struct{}{}
	c.metrics.connections.Inc()
}

// complain tells once why there is no connection any more, and again when it is for another reason. Whoever waits for the
// first one is told by Check.
func (c *cluster) complain(err error) {
	if c.reached && c.ctx.Err() == nil && (c.reason == nil || c.reason.Error() != err.Error()) {
		c.logger.Warn("the log cannot be reached", "log", c.settings.String(), "reason", err)
	}
	c.reason = err
}

// discover connects to the leader, or to the only node there is.
func (c *cluster) discover(ctx context.Context) (*connection, error) {
	var errs []error
	for _, address := range c.candidates() {
		conn, err := c.try(ctx, address)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	return nil, joined(errs)
}

// try connects to a candidate, or to the leader that it knows.
func (c *cluster) try(ctx context.Context, address string) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, c.settings.handshake)
	defer cancel()
	if !c.settings.discover {
		return c.greet(ctx, address)
	}
	leader, members, err := c.dialer.leader(ctx, address)
	c.mu.Lock()
	if len(members) > 0 {
		c.members = members
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	conn, err := c.greet(ctx, leader)
	if err != nil && leader != address {
		err = fmt.Errorf("it names %s as the leader: %w", leader, err)
	}
	return conn, err
}

// candidates are whom to ask: the nodes of the connection string, then those that were heard of. A node that is alone in
// the connection string may have named another as its leader, which is then the first.
func (c *cluster) candidates() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.settings.shuffled()
	if c.leader != "" {
		all = append([]string{c.leader}, all...)
		c.leader = ""
	}
	for _, m := range c.members {
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return all
}

// joined is errors.Join on one line.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return &several{errs}
}

type several struct{ errs []error }

func (s *several) Unwrap() []error { return s.errs }

func (s *several) Error() string {
	texts := make([]string, len(s.errs))
	for i, err := range s.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// release gives back what acquire gave.
func (c *cluster) release(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.calls--; g.calls == 0 && g.retired {
		c.close(g)
	}
}

// worked notes that a node did what it was asked.
func (c *cluster) worked(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g != c.current {
		return
	}
	if c.reached && c.reason != nil {
		c.logger.Info("the log is reached", "log", c.settings.String(), "node", g.address)
	}
	c.reached, c.failures, c.reason = true, 0, nil
}

// retire has the next call look for a node anew. Calls that are out on the old connection have a moment to come back.
func (c *cluster) retire(g *generation, f *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g != c.current {
		return
	}
	c.current, g.retired = nil, true
	c.failures++
	c.leader = f.leader
	if f.leader == "" {
		c.complain(fmt.Errorf("%s: %w", g.address, explain(f.error, nil)))
	}
	if g.calls == 0 {
		c.close(g)
		return
	}
	c.work.Go(func() {
		if sleep(c.ctx, c.pace.grace) == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.close(g)
		}
	})
}

// close ends a generation. Calls that are out on it fail.
func (c *cluster) close(g *generation) {
	g.closing.Do(func() {
		delete(c.open, g)
		if err := g.Close(); err != nil {
			c.logger.Debug("closing a connection", "node", g.address, "error", err)
		}
	})
}

// shut closes everything, once ctx has ended.
func (c *cluster) shut() {
	c.work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for g := range c.open {
		c.close(g)
	}
}

// credentials are sent with each call that is about the log's content.
func (c *cluster) credentials() []grpc.CallOption {
	if c.settings.user == "" {
		return nil
	}
	return []grpc.CallOption{grpc.PerRPCCredentials(newBasic(c.settings.user, c.settings.password))}
}

// sleep waits, or ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
