package esdbtest

import (
	"context"
	"sync"

	"google.golang.org/grpc/status"
)

// liveSize is how much may happen before a subscription that does not keep up forgets the oldest of it.
const liveSize = 32

// live is what has happened since a subscription began. Its numbers tell a subscription that something was forgotten.
type live struct {
	stream   string // "$all" for all
	allowed  filter
	interval int // events until a checkpoint; 0: never

	mu         sync.Mutex
	happened   []happening
	number     uint64
	considered int // since the last checkpoint
	recheck    bool
	more       chan struct{} // has room for one signal
}

// A happening is an event, or a checkpoint in the place of one.
type happening struct {
	number     uint64 // counted from 1
	event      Record
	checkpoint bool
}

// listen begins to collect what happens to a stream, or to all. It says what readers see last before that: the number
// of the stream's last event, or the position of the log's.
func (s *Store) listen(l *live) (last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.more = make(chan struct{}, 1)
	s.live[l] = struct{}{}
	if l.stream == "$all" {
		return s.lastIndexed()
	}
	return s.lastShown(l.stream)
}

func (s *Store) unlisten(l *live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, l)
}

// appeared is called with each event that readers see from now on.
//
// EventStoreDB: SubscriptionsService.ProcessEventCommited.
func (l *live) appeared(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recheck = l.recheck || r.Stream == metaOf(l.stream)
	if l.stream == "$all" || l.stream == r.Stream {
		if l.allowed(r) {
			l.push(happening{event: r})
		}
		l.considered++
		if l.interval > 0 && l.considered >= l.interval {
			l.considered = 0
			l.push(happening{event: r, checkpoint: true})
		}
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *live) push(h happening) {
	l.number++
	h.number = l.number
	if len(l.happened) == liveSize {
		l.happened = l.happened[1:]
	}
	l.happened = append(l.happened, h)
}

// next waits for what happens next. Recheck says that the right to know may have changed before it.
func (l *live) next(ctx context.Context, done <-chan struct{}) (h happening, recheck bool, err error) {
	for {
		l.mu.Lock()
		recheck, l.recheck = l.recheck, false
		if len(l.happened) > 0 {
			h = l.happened[0]
			l.happened = l.happened[1:]
		}
		l.mu.Unlock()
		if recheck || h.number > 0 {
			return h, recheck, nil
		}
		select {
		case <-l.more:
		case <-ctx.Done():
			return h, false, status.FromContextError(ctx.Err()).Err()
		case <-done:
			return h, false, stopped()
		}
	}
}
