package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Config is what a Log needs: the Settings. The rest has defaults.
type Config struct {
	Settings Settings
	// Logger defaults to none.
	Logger *slog.Logger
	// Registerer, if set, gets the counts of what went wrong and was mended.
	Registerer prometheus.Registerer
}

// Log implements event.Log. Positions are those of the server's transaction log, commit and prepare.
type Log struct {
	cluster   *cluster
	logger    *slog.Logger
	auth      []grpc.CallOption
	retention retention

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	closing sync.Once
}

var _ event.Log = (*Log)(nil)

// Open returns a Log. It does not connect: the first call does, and any call tries for as long as it may. Its errors are
// ErrRefused: files of certificates that cannot be read.
func Open(c Config) (*Log, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := newDialer(c.Settings)
	if err != nil {
		return nil, err
	}
	if c.Settings.tls && !c.Settings.verify {
		c.Logger.Warn("certificates of the log's nodes are not verified (tlsVerifyCert=false)", "log", c.Settings.String())
	}
	l := &Log{logger: c.Logger}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.cluster = newCluster(l.ctx, d, c)
	l.auth = l.cluster.credentials()
	return l, nil
}

// Close implements event.Log. What is under way ends with ErrClosed; an append, with ErrUnknownOutcome too.
func (l *Log) Close() error {
	l.closing.Do(func() {
		l.stop()
		l.cluster.shut()
	})
	return nil
}

// usable is why nothing can be done now: the log is closed, or the caller has gone.
func (l *Log) usable(ctx context.Context) error {
	if l.ctx.Err() != nil {
		return event.ErrClosed
	}
	return ctx.Err()
}

// bind gives a context that ends with the caller's or with the log.
func (l *Log) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// call is one try of a call, on one generation.
type call struct {
	*generation
	ctx     context.Context
	options []grpc.CallOption
	// trailer is of the stream that the call failed at. It is taken from that stream: the option grpc.Trailer is written
	// to as each stream of a call is torn down, which may be later than the call.
	trailer metadata.MD
}

// once makes one try of a call and says how it failed. It lasts no longer than a node may take to answer.
func (l *Log) once(ctx context.Context, f func(c *call) error) *fault {
	return l.unlimited(ctx, func(c *call) error {
		limited, cancel := context.WithTimeout(c.ctx, l.cluster.settings.deadline)
		defer cancel()
		c.ctx = limited
		return f(c)
	})
}

// unlimited is once for a call that lasts as long as it likes.
func (l *Log) unlimited(ctx context.Context, f func(c *call) error) *fault {
	g, err := l.cluster.acquire(ctx)
	if err != nil {
		return &fault{error: err, unsent: true, refused: errors.Is(err, ErrRefused), searched: true}
	}
	defer l.cluster.release(g)
	return l.try(ctx, g, f)
}

// try calls f with a call on g, which goes to the leader or nowhere. If it fails for g's sake, and not because ctx has
// ended, the next one is made on another connection.
func (l *Log) try(ctx context.Context, g *generation, f func(c *call) error) *fault {
	c := &call{generation: g, ctx: toLeader(ctx), options: l.auth}
	err := f(c)
	var answer *fault
	switch {
	case err == nil:
		l.cluster.worked(g)
		return nil
	case errors.As(err, &answer): // the node did answer, and what it said has been read already
		l.cluster.worked(g)
		return answer
	}
	why := classify(err, c.trailer)
	if why.moved && ctx.Err() == nil {
		l.cluster.retire(g, why)
	}
	return why
}

// toLeader has a call refused by a node that does not lead: it may be behind, and would pass appends on.
func toLeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

// collect reads messages up to the end, or until keep is false.
func (c *call) collect(r *streams.ReadReq, keep func(*streams.ReadResp) (bool, error)) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	in, err := c.streams.Read(ctx, r, c.options...)
	if err != nil {
		return err
	}
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			c.trailer = in.Trailer()
			return err
		}
		if more, err := keep(m); err != nil || !more {
			return err
		}
	}
}

// event reads at most one event; found is false if there is none.
func (c *call) event(r *streams.ReadReq) (e event.RawRecorded, found bool, err error) {
	err = c.collect(r, func(m *streams.ReadResp) (bool, error) {
		if m.GetEvent() == nil {
			return true, nil
		}
		found = true
		var err error
		e, err = recorded(m.GetEvent())
		return false, err
	})
	return e, found, err
}

// Head implements event.Log.
func (l *Log) Head(ctx context.Context) (p event.Position, err error) {
	err = l.patiently(ctx, "head", func(c *call) error {
		e, _, err := c.event(readHead())
		p = e.Position
		return err
	})
	return p, err
}

// patiently tries a call that changes nothing, until it succeeds, the caller has gone, or it has taken too long.
func (l *Log) patiently(ctx context.Context, name string, f func(*call) error) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	bound, cancel := l.bind(ctx)
	defer cancel()
	bound, done := context.WithTimeout(bound, l.cluster.pace.patience)
	defer done()
	for tries := 0; ; tries++ {
		f := l.once(bound, f)
		if f == nil {
			return nil
		}
		if err := l.usable(ctx); err != nil {
			return l.cluster.because(err)
		}
		if f.certain() || errors.Is(f.error, event.ErrStreamNotFound) {
			return f.error
		}
		if f.final || f.refused || l.pause(bound, f, tries) != nil {
			return fmt.Errorf("%w: %w", event.ErrUnavailable, f.error)
		}
		l.cluster.metrics.retries.WithLabelValues(name).Inc()
	}
}

// pause waits before the same node is asked again. Before another one is, the look for it waits.
func (l *Log) pause(ctx context.Context, f *fault, tries int) error {
	if f.moved || f.searched {
		return ctx.Err()
	}
	return sleep(ctx, backOff(tries, l.cluster.pace.first/4, l.cluster.pace.retry))
}
