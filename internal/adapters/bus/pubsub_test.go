package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/eventstore/esdb"
	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
)

// TestPubSub runs Watermill's own suite for subscribers. Everything that it asks of a persistent pub/sub with groups
// holds, but two things that are not promised: delivery exactly once, and that a new subscriber of a group gets what
// the group has handled. Order is promised within a stream; a topic has one where order is asked for, and one per
// message where it is not, so that messages are out side by side.
func TestPubSub(t *testing.T) {
	t.Parallel()
	inOrder := tests.Features{
		ConsumerGroups: true, Persistent: true, GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true,
		ForceShort: testing.Short(),
	}
	sideBySide := tests.Features{ConsumerGroups: true, Persistent: true, ForceShort: testing.Short()}
	durable := inOrder
	durable.ForceShort = true // each of its messages is an append of its own with its own fsync
	for _, c := range []struct {
		name      string
		features  tests.Features
		log       func(*testing.T) event.Log
		perStream int
	}{
		{"memory, one stream per topic", inOrder, func(*testing.T) event.Log { return memory.New() }, 0},
		{"memory, one stream per message", sideBySide, func(*testing.T) event.Log { return memory.New() }, 1},
		{"sqlite, one stream per topic", durable, openSQLite, 0},
		{"esdb, one stream per topic", durable, func(t *testing.T) event.Log { return openESDB(t, esdbtest.Start(t)) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := c.log(t)
			t.Cleanup(func() { closing(t, log.Close) })
			w := openWork(t)
			p := &publisher{log: log, alone: c.perStream == 1, ends: map[string]event.Revision{}}
			group := func(_ *testing.T, name string) (message.Publisher, message.Subscriber) {
				return p, &suiteSubscriber{subscriber: &subscriber{
					open: func(ctx context.Context, topic string) (*follower, error) {
						return newFollower(ctx, followerConfig{
							log: log, work: w, clock: clock.Wall{}, logger: slog.New(slog.DiscardHandler), window: 256,
						}, name+"/"+topic, topic)
					},
				}}
			}
			tests.TestPubSub(t, c.features, func(t *testing.T) (message.Publisher, message.Subscriber) {
				return group(t, "group")
			}, group)
		})
	}
}

func openSQLite(t *testing.T) event.Log {
	log, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func openESDB(t *testing.T, server *esdbtest.Server) event.Log {
	settings, err := esdb.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	log, err := esdb.Open(esdb.Config{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestServerRestarts: while messages are published and handled, the log's server crashes and comes back, again and
// again. Watermill's suite has such a test; it compares with what was published without waiting for its publishers.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	const publishers, each, restarts = 20, 50, 5
	server := esdbtest.Start(t)
	log := openESDB(t, server)
	t.Cleanup(func() { closing(t, log.Close) })
	w := openWork(t)
	sub := &subscriber{open: func(ctx context.Context, topic string) (*follower, error) {
		return newFollower(ctx, followerConfig{
			log: log, work: w, clock: clock.Wall{}, logger: slog.New(slog.DiscardHandler), window: 256,
		}, "group/"+topic, topic)
	}}
	messages, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	var published sync.WaitGroup
	for n := range publishers {
		published.Go(func() {
			stream := fmt.Sprintf("topic-%d", n)
			for i := range event.Revision(each) {
				raw := event.Raw{ID: uuid.New(), Type: "message", Data: fmt.Appendf(nil, "%d", i)}
				if _, err := log.Append(t.Context(), stream, i-1, raw); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := map[string]event.Revision{}
	for n := 1; n <= publishers*each; n++ {
		m := <-messages
		e, err := rawEvent(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := last[e.Stream]; ok && e.Revision != got+1 || !ok && e.Revision != 0 {
			t.Errorf("%s: revision %d came after %d", e.Stream, e.Revision, got)
		}
		last[e.Stream] = e.Revision
		m.Ack()
		if n%(publishers*each/(restarts+1)) == 0 {
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	}
	published.Wait()
	closing(t, sub.Close)
}

func openWork(t *testing.T) *work.Work {
	w, err := work.Open(filepath.Join(t.TempDir(), "work.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, w.Close) })
	return w
}

func closing(t *testing.T, f func() error) {
	if err := f(); err != nil {
		t.Error(err)
	}
}

// publisher appends messages to the log. There is none outside of tests: events are appended by aggregates.
type publisher struct {
	log   event.Log
	alone bool // each message in a stream of its own

	mu   sync.Mutex
	ends map[string]event.Revision // by stream
}

func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		metadata, err := json.Marshal(m.Metadata)
		if err != nil {
			return err
		}
		id, err := uuid.Parse(m.UUID)
		if err != nil {
			return err
		}
		raw := event.Raw{ID: id, Type: "message", Data: m.Payload, Metadata: metadata}
		if err := p.append(category(topic), raw); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) append(category string, e event.Raw) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if p.alone {
		_, err := p.log.Append(ctx, category+"-"+e.ID.String(), event.NoStream, e)
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stream := category + "-all"
	end, ok := p.ends[stream]
	if !ok {
		end = event.NoStream
	}
	_, err := p.log.Append(ctx, stream, end, e)
	if err == nil {
		p.ends[stream] = end + 1
	}
	return err
}

func (p *publisher) Close() error { return nil }

// category makes a category of the suite's topics, which contain dashes.
func category(topic string) string { return strings.ReplaceAll(topic, "-", "_") }

// suiteSubscriber gives the suite its own metadata back, which the publisher put into the event's.
type suiteSubscriber struct {
	*subscriber
	relays sync.WaitGroup
}

func (s *suiteSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.subscriber.Subscribe(ctx, category(topic))
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.relays.Go(func() {
		defer close(out)
		for m := range in {
			if err := json.Unmarshal([]byte(m.Metadata[storedKey]), &m.Metadata); err != nil {
				panic(err)
			}
			select {
			case out <- m:
			case <-m.Context().Done(): // nobody reads any more
			}
		}
	})
	return out, nil
}

func (s *suiteSubscriber) Close() error {
	err := s.subscriber.Close()
	s.relays.Wait()
	return err
}
