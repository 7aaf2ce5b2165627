package memory_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

// TestSharedLog runs the suite as it runs on a server that others use: all tests have one log, which has a past, and to
// which somebody else appends all the while.
func TestSharedLog(t *testing.T) {
	t.Parallel()
	log := memory.New()
	for range 200 {
		if err := disturb(log); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- disturbAll(ctx, log) }()
	storetest.Run(t, func(*testing.T) event.Log { return connect(log) }, storetest.Options{
		Shared: true,
		Reopen: func(t *testing.T, l event.Log) event.Log {
			t.Helper()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			return connect(log)
		},
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// neighbours are streams that look like those of the tests, of the ledger and of a server.
var neighbours = []string{
	"subscription-m.1", "subscription", "subscriptions-m.1", "endpoint-m.1", "numbers", "SUBSCRIPTION-m.1", "ce-subscription-m.1",
	"persistentsubscription-all::group-checkpoint", "users", "-subscription-m.1", "_subscription-m.1",
}

const disturber = "somebody_else"

// disturb appends a few events to each of the neighbours.
func disturb(l event.Log) error {
	for i, stream := range neighbours {
		events := make([]event.Raw, i%3+1)
		for j := range events {
			events[j] = event.Raw{ID: uuid.New(), Type: disturber}
		}
		at := event.NoStream
		for {
			_, err := l.Append(context.Background(), stream, at, events...)
			var wrong *event.WrongRevisionError
			if !errors.As(err, &wrong) {
				if err != nil {
					return err
				}
				break
			}
			at = wrong.Actual
		}
	}
	return nil
}

// disturbAll answers every tenth event of the tests with events of its own, so that it is never far from them and
// never drowns them.
func disturbAll(ctx context.Context, l event.Log) error {
	n := 0
	return l.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind != event.KindEvent || m.Event.Type == disturber {
			return nil
		}
		if n++; n%10 != 0 {
			return nil
		}
		return disturb(l)
	})
}

// connection is one way of several to a log: it can be closed, and the log stays.
type connection struct {
	log    event.Log
	closed context.Context // done when it is
	close  context.CancelFunc
}

func connect(l event.Log) *connection {
	closed, cancel := context.WithCancel(context.Background())
	return &connection{log: l, closed: closed, close: cancel}
}

func (c *connection) usable() error {
	if c.closed.Err() != nil {
		return event.ErrClosed
	}
	return nil
}

func (c *connection) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	if err := c.usable(); err != nil {
		return event.Position{}, err
	}
	return c.log.Append(ctx, stream, at, e...)
}

func (c *connection) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		if err := c.usable(); err != nil {
			yield(event.RawRecorded{}, err)
			return
		}
		c.log.Read(ctx, stream, from)(yield)
	}
}

func (c *connection) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closed, cancel)()
	stopped := false // by its handler
	err := c.log.Follow(following, categories, after, func(ctx context.Context, m event.Message) error {
		err := h(ctx, m)
		stopped = err != nil && c.usable() == nil
		return err
	})
	if !stopped && c.usable() != nil && ctx.Err() == nil {
		return event.ErrClosed
	}
	return err
}

func (c *connection) Head(ctx context.Context) (event.Position, error) {
	if err := c.usable(); err != nil {
		return event.Position{}, err
	}
	return c.log.Head(ctx)
}

func (c *connection) Close() error {
	c.close()
	return nil
}
