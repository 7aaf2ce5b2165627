package process_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestWakeDoesWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.advance(10*24*time.Hour - time.Second)
	w.wantEvents("s", 3)
	w.advance(time.Second)
	w.wantEvents("s", 3, "payment_requested", "payment_succeeded")
	w.wantNoFailure()
	if got, want := w.timer("s"), begins.AddDate(0, 1, 10); !got.Equal(want) {
		t.Errorf("woken next at %v, want %v", got, want)
	}
}

// A wake that finds nothing to do must not be repeated for the same instant.
func TestWakeThatDoesNothingMovesTheTimer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_reset_charged")
	w.run()
	w.down = true // the look-up learns nothing
	if got, want := w.timer("s"), begins.Add(30*time.Second); !got.Equal(want) {
		t.Fatalf("woken first at %v, want %v", got, want)
	}
	w.clock.Set(begins.Add(30 * time.Second))
	w.ok(w.wake.Idle(t.Context()))
	if got, want := w.timer("s"), begins.Add(2*time.Minute); !got.Equal(want) {
		t.Errorf("woken next at %v, want %v", got, want)
	}
	w.wantEvents("s", 3)
}

func TestWakeThatWantsNothingMoreRemovesTheTimer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	w.do("s", subscription.Cancel{Now: w.clock.Now(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER})
	w.run()
	if got := w.timer("s"); !got.IsZero() {
		t.Errorf("woken at %v, want never", got)
	}
}

func TestWakeThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	log := &ailing{Log: memory.New()}
	w := newWorld(t, options{log: log})
	w.start("s", "tok_ok")
	w.run()
	due := begins.Add(10 * 24 * time.Hour)
	w.clock.Set(due)
	log.ill.Store(true)
	w.ok(w.wake.Idle(t.Context()))
	log.ill.Store(false)
	w.wantEvents("s", 3)
	if got, want := w.timer("s"), due.Add(time.Minute); !got.Equal(want) {
		t.Fatalf("woken next at %v, want %v", got, want)
	}
	w.advance(time.Minute)
	w.wantEvents("s", 3, "payment_requested", "payment_succeeded")
}

// ailing is a log that fails to append while it is ill.
type ailing struct {
	*memory.Log
	ill atomic.Bool
}

func (l *ailing) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	if l.ill.Load() {
		return event.Position{}, event.ErrUnavailable
	}
	return l.Log.Append(ctx, stream, at, e...)
}

var _ event.Log = (*ailing)(nil)

// A timer that cannot be moved stays due. Waking its subscription over and over would ask the gateway over and over.
func TestTimerThatCannotBeMovedIsNotWokenAtOnceAgain(t *testing.T) {
	t.Parallel()
	var moves atomic.Int32
	w := newWorld(t, options{timers: func(real process.Timers) process.Timers { return stuck{real, &moves} }})
	w.start("s", "tok_reset_uncharged")
	w.run()
	w.clock.Set(begins.Add(30 * time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.wake.Idle(ctx); !errors.Is(err, errStuck) {
		t.Errorf("Idle: %v, want %v", err, errStuck)
	}
	if got := moves.Load(); got != 1 {
		t.Errorf("woken %d times, want once", got)
	}
}

var errStuck = errors.New("disk full")

// stuck are timers that can be read and not moved.
type stuck struct {
	process.Timers
	moves *atomic.Int32
}

func (s stuck) MoveTimer(context.Context, string, time.Time, time.Time) error {
	s.moves.Add(1)
	return errStuck
}

// Run does by itself what the other tests do step by step.
func TestWakeRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- w.wake.Run(ctx) }()
	go func() { ended <- w.inbound.Run(ctx) }()
	w.start("s", "tok_ok")
	w.run()
	w.wake.Nudge()
	w.clock.Set(begins.Add(10 * 24 * time.Hour))
	if err := w.await(ctx, "payment_requested", 2); err != nil {
		t.Errorf("waiting for the rebill: %v", err)
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
	}
}

// await follows the log until it has shown n events of a kind.
func (w *world) await(ctx context.Context, kind string, n int) error {
	done := errors.New("seen")
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := w.log.Follow(ctx, []string{subscription.Category}, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind == event.KindEvent && m.Event.Type == kind {
			if n--; n == 0 {
				return done
			}
		}
		return nil
	})
	if errors.Is(err, done) {
		return nil
	}
	return err
}
