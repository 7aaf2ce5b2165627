package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
)

// subscriber is a Watermill Subscriber over the log. A topic is a category of streams, a message one stored event.
// How far a topic has come stands in a cursor row of the work store, so subscribers with the same row are a group:
// the last one to subscribe has it.
//
// At most one message per stream is unacknowledged; messages of different streams are out side by side. A message
// that is not acknowledged is sent again from here, at last by the next subscriber.
type subscriber struct {
	// open gives the follower of a topic, which is not started yet.
	open func(ctx context.Context, topic string) (*follower, error)

	mu        sync.Mutex
	closed    bool
	followers []*follower
}

// followerConfig is what the followers of a subscriber have in common.
type followerConfig struct {
	log    event.Log
	work   *work.Work
	clock  clock.Clock
	logger *slog.Logger
	// window is how many events are held at most.
	window int
	// grace is how long messages that are out when the subscriber stops may go on before they are cancelled.
	grace time.Duration
	// nackPause is how long a message rests before it is sent again.
	nackPause time.Duration
	// attempt handles a message of a parked stream; nil: nothing is replayed.
	attempt message.HandlerFunc
	// failed, if not nil, is told why a follower gave up.
	failed func(error)
}

var _ message.Subscriber = (*subscriber)(nil)

var errClosed = errors.New("subscriber is closed")

// Subscribe implements message.Subscriber. The contexts of its messages keep ctx's values but not its end: what is
// out when ctx ends has the grace to come to an end of its own.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	f, err := s.open(ctx, topic)
	if err != nil {
		return nil, err
	}
	s.followers = append(s.followers, f)
	f.start(ctx)
	return f.out, nil
}

// Close implements message.Subscriber. It returns when nothing is out any more, at the latest after the grace.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	followers := s.followers
	s.mu.Unlock()
	for _, f := range followers {
		f.stop()
	}
	for _, f := range followers {
		<-f.ended
	}
	return nil
}
