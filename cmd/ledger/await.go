package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// firstAwait is the pause before a log that was not there is asked again; it doubles up to longestAwait.
	firstAwait   = 100 * time.Millisecond
	longestAwait = 5 * time.Second
)

// awaitLog returns once the log can be used. It may be started after its ledgers, so that one that serves waits for it;
// a command that somebody waits for says that it is not there.
func (s *service) awaitLog(ctx context.Context) error {
	if s.remote == nil || !s.patient {
		return s.checkLog(ctx)
	}
	stop := turnAway(s.grpc, s.http)
	s.onClose(func() error { stop(); return nil })
	s.admit = stop
	return s.persist(ctx, s.checkLog)
}

// checkLog looks once whether the log can be used.
func (s *service) checkLog(ctx context.Context) error {
	if s.remote == nil {
		return nil
	}
	return checkLogAt(ctx, s.remote, s.place, "--log")
}

// turnAway closes the connections that come to listeners until stop is called. Callers are to learn at once that nobody
// serves yet, and the ports stay taken.
func turnAway(listeners ...net.Listener) (stop func()) {
	var all sync.WaitGroup
	for _, l := range listeners {
		all.Go(func() {
			for {
				c, err := l.Accept()
				switch {
				case err == nil:
					c.Close()
				case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed):
					return
				default:
					time.Sleep(firstAwait) // no descriptors, for one; somebody may give some back
				}
			}
		})
	}
	deadline := func(at time.Time) {
		for _, l := range listeners {
			l.(*net.TCPListener).SetDeadline(at) // fails only if it is closed
		}
	}
	return sync.OnceFunc(func() {
		deadline(time.Unix(1, 0))
		all.Wait()
		deadline(time.Time{})
	})
}

// persist calls f until the log answers, whatever it answers.
func (s *service) persist(ctx context.Context, f func(context.Context) error) error {
	var told murmur
	for pause := firstAwait; ; pause = min(2*pause, longestAwait) {
		err := f(ctx)
		if !s.patient || !isAway(err) || ctx.Err() != nil {
			if err == nil && pause > firstAwait {
				s.logger.Info("the log answers")
			}
			return err
		}
		s.starting.Store(&awaited{err})
		if told.due() {
			s.logger.Warn("waiting for the log", "reason", err.Error())
		}
		if !rest(ctx, pause) {
			return ctx.Err()
		}
	}
}

// awaited is what keeps a ledger from serving.
type awaited struct{ why error }

// unreachable is a log that is elsewhere and does not answer.
type unreachable struct {
	at   place
	flag string // what named it
	err  error
}

func (e unreachable) Error() string {
	return fmt.Sprintf("the log at %s cannot be reached: %v; is %s right? (LOG_UNREACHABLE)", e.at, e.err, e.flag)
}

func (e unreachable) Unwrap() error { return e.err }

// isAway reports whether an error says no more than that the log did not answer.
func isAway(err error) bool {
	var away unreachable
	return errors.As(err, &away) || errors.Is(err, event.ErrUnavailable) || errors.Is(err, event.ErrUnknownOutcome)
}

const (
	// headTime is how long a look at the log's head may take for those who ask how the ledger is.
	headTime = 1500 * time.Millisecond
	// headAge is how old an answer may be, so that nobody asks a log in trouble too often.
	headAge = time.Second
)

// health is how the log was when it was asked last.
type health struct {
	mu   sync.Mutex
	at   time.Time
	head event.Position
	err  error
}

// look asks the log for its head, at most once a second.
func (h *health) look(log event.Log) (event.Position, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < headAge {
		return h.head, h.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), headTime) // the answer is for others, too
	defer cancel()
	h.head, h.err = log.Head(ctx)
	if errors.Is(h.err, context.DeadlineExceeded) {
		h.err = fmt.Errorf("%w: it has not answered for %v: %w", event.ErrUnavailable, headTime, h.err)
	}
	h.at = time.Now()
	return h.head, h.err
}
