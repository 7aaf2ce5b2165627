package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// world is a log, a work store and a clock, on which buses with one handler are run. The handler notes what it has
// handled, unless the test's own function fails.
type world struct {
	t     *testing.T
	ctx   context.Context
	log   *memory.Log
	work  *work.Work
	clock *clock.Stepped

	mu      sync.Mutex
	ends    map[string]event.Revision
	handled []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store, err := work.Open(filepath.Join(t.TempDir(), "work.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		cancel()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{
		t: t, ctx: ctx, log: memory.New(), work: store, clock: clock.NewStepped(time.Unix(1e9, 0)),
		ends: map[string]event.Revision{},
	}
}

// append adds an event to each of the streams.
func (w *world) append(streams ...string) {
	for _, stream := range streams {
		w.mu.Lock()
		end, ok := w.ends[stream]
		if !ok {
			end = event.NoStream
		}
		raw, err := event.Encode(nil, stream, end+1, uuid.New(), &ledgerv1.Event{
			Metadata: &ledgerv1.Metadata{RecordedAt: timestamppb.New(w.clock.Now())},
			Kind:     &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{First: 1, Count: 1}},
		})
		if err == nil {
			_, err = w.log.Append(w.ctx, stream, end, raw)
		}
		w.ends[stream] = end + 1
		w.mu.Unlock()
		if err != nil {
			w.t.Errorf("append to %s: %v", stream, err)
		}
	}
}

type handle = func(context.Context, event.Recorded) error

func name(e event.Recorded) string { return fmt.Sprintf("%s@%d", e.Stream, e.Revision) }

// run starts a bus whose handler calls f first; change may adapt the configuration.
func (w *world) run(f handle, change ...func(*bus.Config)) (b *bus.Bus, stop func() error) {
	c := bus.Config{Log: w.log, Work: w.work, Clock: w.clock, Tries: 3, Pause: time.Millisecond, Grace: 10 * time.Second}
	for _, change := range change {
		change(&c)
	}
	b = bus.New(c)
	b.Add(bus.Handler{Name: "handler", Category: "note", Handle: func(ctx context.Context, e event.Recorded) error {
		if f != nil {
			if err := f(ctx, e); err != nil {
				return err
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.handled = append(w.handled, name(e))
		return nil
	}})
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	w.t.Cleanup(func() {
		if err := stop(); err != nil {
			w.t.Errorf("bus ended with %v", err)
		}
	})
	return b, stop
}

func (w *world) idle(b *bus.Bus) {
	w.t.Helper()
	if err := b.Idle(w.ctx); err != nil {
		w.t.Fatalf("idle: %v", err)
	}
}

// wantHandled compares what was handled of a stream ("": of all), in order.
func (w *world) wantHandled(stream string, want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for _, e := range w.handled {
		if stream == "" || strings.HasPrefix(e, stream+"@") {
			got = append(got, e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("handled of %q (-want +got):\n%s", stream, diff)
	}
}

// parks are the parks as they are written down, as "stream@from tries".
func (w *world) parks() []string {
	w.t.Helper()
	parks, err := w.work.ListParks(w.ctx, nil, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, p := range parks {
		out = append(out, fmt.Sprintf("%s@%d %d", p.Stream, p.From, p.Tries))
	}
	return out
}

func (w *world) wantParks(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.parks()); diff != "" {
		w.t.Errorf("parks (-want +got):\n%s", diff)
	}
}

// failing fails on some events until it is mended, and counts its calls.
type failing struct {
	mu    sync.Mutex
	on    map[string]error
	calls map[string]int
}

func newFailing(err error, events ...string) *failing {
	f := &failing{on: map[string]error{}, calls: map[string]int{}}
	for _, e := range events {
		f.on[e] = err
	}
	return f
}

func (f *failing) handle(_ context.Context, e event.Recorded) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[name(e)]++
	return f.on[name(e)]
}

func (f *failing) mend(events ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		delete(f.on, e)
	}
}

func (f *failing) wantCalls(t *testing.T, event string, want int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.calls[event]; got != want {
		t.Errorf("%s was given %d times, want %d", event, got, want)
	}
}

var errNo = errors.New("no")

func TestParkAndReplayInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := newFailing(errNo, "note-a@1", "note-a@3")
	b, _ := w.run(bad.handle)
	w.append("note-a", "note-a", "note-b", "note-a", "note-b", "note-a", "other-x")
	w.idle(b)
	bad.wantCalls(t, "note-a@1", 3)
	bad.wantCalls(t, "note-a@2", 0)
	w.wantHandled("note-a", "note-a@0")
	w.wantHandled("note-b", "note-b@0", "note-b@1")
	w.wantParks("note-a@1 1")

	w.append("note-a", "note-b")
	w.idle(b)
	w.wantHandled("note-b", "note-b@0", "note-b@1", "note-b@2")
	w.wantHandled("note-a", "note-a@0")

	w.clock.Set(w.clock.Now().Add(29 * time.Second))
	w.idle(b)
	bad.wantCalls(t, "note-a@1", 3) // not yet
	w.clock.Set(w.clock.Now().Add(time.Second))
	w.idle(b)
	bad.wantCalls(t, "note-a@1", 4)
	w.wantParks("note-a@1 2")

	bad.mend("note-a@1")
	w.clock.Set(w.clock.Now().Add(time.Minute))
	w.idle(b)
	w.wantHandled("note-a", "note-a@0", "note-a@1", "note-a@2")
	w.wantParks("note-a@3 1") // another event, another count

	bad.mend("note-a@3")
	w.clock.Set(w.clock.Now().Add(30 * time.Second))
	w.idle(b)
	w.wantHandled("note-a", "note-a@0", "note-a@1", "note-a@2", "note-a@3", "note-a@4")
	w.wantParks()
	w.append("note-a")
	w.idle(b)
	w.wantHandled("note-a", "note-a@0", "note-a@1", "note-a@2", "note-a@3", "note-a@4", "note-a@5")
	if got := b.Status()[0]; got.Parked != 0 || got.Held != 0 {
		t.Errorf("status %+v, want nothing parked or held", got)
	}
}

func TestWhatIsParkedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle handle
		raw    *event.Raw
		tries  int
		reason string
		retry  time.Duration
	}{
		"panic": {handle: func(context.Context, event.Recorded) error { panic("out of range") }, tries: 3, reason: "out of range", retry: 30 * time.Second},
		"error": {handle: func(context.Context, event.Recorded) error { return errNo }, tries: 3, reason: "no", retry: 30 * time.Second},
		"wish": {handle: func(context.Context, event.Recorded) error {
			return fmt.Errorf("x: %w", bus.RetryAfter(errNo, 7*time.Minute))
		}, tries: 1, reason: "x: no", retry: 7 * time.Minute},
		"its own cancel": {handle: func(context.Context, event.Recorded) error { return fmt.Errorf("inner: %w", context.Canceled) }, tries: 3, reason: "inner: context canceled", retry: 30 * time.Second},
		"out of time":    {handle: func(ctx context.Context, _ event.Recorded) error { <-ctx.Done(); return ctx.Err() }, tries: 3, reason: "deadline exceeded", retry: 30 * time.Second},
		"unknown kind":   {raw: &event.Raw{ID: uuid.New(), Type: "from_the_future", Data: []byte("{}"), Metadata: []byte("{}")}, reason: "from_the_future", retry: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var mu sync.Mutex
			calls := 0
			b, _ := w.run(func(ctx context.Context, e event.Recorded) error {
				if e.Stream != "note-bad" {
					return nil
				}
				mu.Lock()
				calls++
				mu.Unlock()
				return c.handle(ctx, e)
			}, func(b *bus.Config) { b.Timeout = 20 * time.Millisecond })
			if c.raw != nil {
				if _, err := w.log.Append(w.ctx, "note-bad", event.NoStream, *c.raw); err != nil {
					t.Fatal(err)
				}
			} else {
				w.append("note-bad")
			}
			w.append("note-good")
			w.idle(b)
			w.wantHandled("", "note-good@0")
			w.wantParks("note-bad@0 1")
			if calls != c.tries {
				t.Errorf("called %d times, want %d", calls, c.tries)
			}
			parks, err := w.work.DueParks(w.ctx, w.clock.Now().Add(c.retry), 10)
			if err != nil || len(parks) != 1 || !strings.Contains(parks[0].Reason, c.reason) {
				t.Errorf("due after %v: %+v, %v; want one with %q", c.retry, parks, err, c.reason)
			}
			if early, err := w.work.DueParks(w.ctx, w.clock.Now().Add(c.retry-time.Second), 10); err != nil || len(early) != 0 {
				t.Errorf("due before %v: %+v, %v; want none", c.retry, early, err)
			}
		})
	}
}

func TestReplayOnDemand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := newFailing(errNo, "note-a@0")
	b, _ := w.run(bad.handle)
	w.append("note-a", "note-a")
	w.idle(b)
	if err := b.Replay(w.ctx, "handler", "note-b"); !errors.Is(err, bus.ErrNotParked) {
		t.Errorf("replay of what is not parked: %v, want %v", err, bus.ErrNotParked)
	}
	if err := b.Replay(w.ctx, "nobody", "note-a"); !errors.Is(err, bus.ErrNotParked) {
		t.Errorf("replay for nobody: %v, want %v", err, bus.ErrNotParked)
	}
	if err := b.Replay(w.ctx, "handler", "note-a"); err == nil || !strings.Contains(err.Error(), "revision 0: no") {
		t.Errorf("replay that fails: %v, want why", err)
	}
	w.wantParks("note-a@0 2")
	bad.mend("note-a@0")
	if err := b.Replay(w.ctx, "handler", "note-a"); err != nil {
		t.Errorf("replay: %v", err)
	}
	w.wantParks()
	w.wantHandled("", "note-a@0", "note-a@1")
}

func TestHurry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := newFailing(errNo, "note-a@0", "note-b@0", "note-c@0")
	b, _ := w.run(bad.handle)
	w.append("note-a", "note-b", "note-c")
	w.idle(b)
	bad.mend("note-a@0", "note-c@0")
	b.Hurry("nobody", func(work.Park) bool { return true })
	b.Hurry("handler", func(p work.Park) bool { return p.Stream != "note-c" })
	w.idle(b) // although the clock stands still
	w.wantParks("note-b@0 2", "note-c@0 1")
	w.wantHandled("", "note-a@0")
}

func TestParkOutlivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := newFailing(errNo, "note-a@0")
	b, stop := w.run(bad.handle)
	w.append("note-a", "note-b", "note-a")
	w.idle(b)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.append("note-a", "note-b")
	b, _ = w.run(bad.handle)
	w.idle(b)
	w.wantHandled("", "note-b@0", "note-b@1")
	bad.mend("note-a@0")
	w.clock.Set(w.clock.Now().Add(time.Minute))
	w.idle(b)
	w.wantHandled("note-a", "note-a@0", "note-a@1", "note-a@2")
	w.wantParks()
}

func TestRestartGoesOnFromTheCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, stop := w.run(nil)
	w.append("note-a", "note-b", "note-a")
	w.idle(b)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Idle(w.ctx); err == nil {
		t.Error("a stopped bus says that it is idle")
	}
	w.append("note-a")
	w.handled = nil
	b, _ = w.run(nil)
	w.idle(b)
	w.wantHandled("", "note-a@2")
}

func TestStopWaitsForWhatIsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, release := make(chan struct{}), make(chan struct{})
	_, stop := w.run(func(ctx context.Context, e event.Recorded) error {
		if e.Revision == 0 {
			close(begun)
			<-release
		}
		return ctx.Err()
	})
	w.append("note-a", "note-a")
	<-begun
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("stopped (%v) while an event was being handled", err)
	case <-time.After(30 * time.Millisecond): // a wrong bus stops well within
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	w.wantHandled("", "note-a@0") // to its end, and no other was begun
	b, _ := w.run(nil)
	w.idle(b)
	w.wantHandled("", "note-a@0", "note-a@1")
	w.wantParks()
}

func TestStopAfterTheGraceParksNothing(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]handle{
		"its error":     func(ctx context.Context, _ event.Recorded) error { <-ctx.Done(); return ctx.Err() },
		"another error": func(ctx context.Context, _ event.Recorded) error { <-ctx.Done(); return errNo },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			begun := make(chan struct{}, 10)
			_, stop := w.run(func(ctx context.Context, e event.Recorded) error {
				begun <- struct{}{}
				return what(ctx, e)
			}, func(c *bus.Config) { c.Grace = -1 })
			w.append("note-a", "note-b", "note-a")
			<-begun
			<-begun
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			w.wantHandled("")
			w.wantParks()
			b, _ := w.run(nil)
			w.idle(b)
			w.wantHandled("note-a", "note-a@0", "note-a@1")
			w.wantHandled("note-b", "note-b@0")
		})
	}
}

func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append("note-a")
	for range 10 {
		_, stop := w.run(nil)
		if err := stop(); err != nil {
			t.Fatalf("ended with %v", err)
		}
	}
	b, _ := w.run(nil)
	w.idle(b)
	if diff := cmp.Diff("note-a@0", w.handled[len(w.handled)-1]); diff != "" {
		t.Errorf("handled last (-want +got):\n%s", diff)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	b, stop := w.run(nil, func(c *bus.Config) { c.Registerer = registry })
	w.append("note-a", "note-b")
	w.idle(b)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "ledger_bus_handler_execution_time_seconds" {
			if n := f.Metric[0].GetHistogram().GetSampleCount(); n != 2 {
				t.Errorf("%d calls counted, want 2", n)
			}
			return
		}
	}
	t.Errorf("no metric of the handlers in %v", families)
}

func TestStopDuringAReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := newFailing(errNo, "note-a@0")
	b, stop := w.run(bad.handle)
	w.append("note-a", "note-a", "note-a")
	w.idle(b)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	_, stop = w.run(func(ctx context.Context, e event.Recorded) error {
		if e.Revision == 1 {
			close(begun)
			<-ctx.Done()
			return errNo
		}
		return nil
	}, func(c *bus.Config) { c.Grace = -1 })
	w.clock.Set(w.clock.Now().Add(time.Minute))
	<-begun
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.wantParks("note-a@0 1") // as it was
	w.handled = nil
	b, _ = w.run(nil)
	w.idle(b)
	w.wantHandled("", "note-a@0", "note-a@1", "note-a@2")
}

func TestOneEventPerStreamManyStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const streams = 8
	all := make(chan struct{})
	var mu sync.Mutex
	out, most := map[string]int{}, 0
	b, _ := w.run(func(ctx context.Context, e event.Recorded) error {
		mu.Lock()
		out[e.Stream]++
		if out[e.Stream] > 1 {
			t.Errorf("two events of %s at once", e.Stream)
		}
		if most = max(most, len(out)); len(out) == streams {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		mu.Unlock()
		<-all
		mu.Lock()
		defer mu.Unlock()
		delete(out, e.Stream)
		return nil
	})
	for range 20 {
		for i := range streams {
			w.append(fmt.Sprintf("note-%d", i))
		}
	}
	w.idle(b)
	if most != streams {
		t.Errorf("%d streams at once, want %d", most, streams)
	}
	for i := range streams {
		var want []string
		for r := range 20 {
			want = append(want, fmt.Sprintf("note-%d@%d", i, r))
		}
		w.wantHandled(fmt.Sprintf("note-%d", i), want...)
	}
}

func TestIdleWaitsForWhatHandlersAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := w.run(func(_ context.Context, e event.Recorded) error {
		if e.Revision < 20 {
			w.append(e.Stream)
		}
		w.append("other-x")
		return nil
	})
	for round := range 5 {
		w.append(fmt.Sprintf("note-%d", round))
		w.idle(b)
		w.mu.Lock()
		got, want := len(w.handled), (round+1)*21
		w.mu.Unlock()
		if got != want {
			t.Fatalf("idle after %d events, want %d", got, want)
		}
		head, err := w.log.Head(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s := b.Status()[0]; s.Position != head || s.Held != 0 || s.Out != 0 {
			t.Fatalf("idle with %+v, want position %v and nothing held", s, head)
		}
	}
}

func TestIdleWaitsForWhatIsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, release := make(chan struct{}), make(chan struct{})
	b, _ := w.run(func(context.Context, event.Recorded) error {
		close(begun)
		<-release
		return nil
	})
	w.append("note-a")
	<-begun
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Millisecond)
	defer cancel()
	if err := b.Idle(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("idle answers %v while an event is out", err)
	}
	close(release)
	w.idle(b)
	w.wantHandled("", "note-a@0")
}

func TestIdleWaitsForAReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, release := make(chan struct{}), make(chan struct{})
	calls := 0
	b, _ := w.run(func(context.Context, event.Recorded) error {
		if calls++; calls == 1 {
			return errNo
		}
		close(begun)
		<-release
		return nil
	}, func(c *bus.Config) { c.Tries = 1 })
	w.append("note-a")
	w.idle(b)
	w.clock.Set(w.clock.Now().Add(time.Minute))
	<-begun
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Millisecond)
	defer cancel()
	if err := b.Idle(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("idle answers %v while a replay runs", err)
	}
	close(release)
	w.idle(b)
	w.wantHandled("", "note-a@0")
	w.wantParks()
}

func TestTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := func() chan error {
		b := bus.New(bus.Config{Log: w.log, Work: w.work, Clock: w.clock})
		b.Add(bus.Handler{Name: "handler", Category: "note", Handle: func(context.Context, event.Recorded) error { return nil }})
		ended := make(chan error, 1)
		go func() { ended <- b.Run(w.ctx) }()
		w.append("note-a")
		w.idle(b)
		return ended
	}
	first := run()
	second, _ := w.run(nil)
	w.idle(second)
	w.append("note-a")
	if err := <-first; !errors.Is(err, projection.ErrFenced) {
		t.Errorf("the bus that was taken over ends with %v, want %v", err, projection.ErrFenced)
	}
	w.idle(second)
	// How much of what the first has done it could still note is a matter of chance; the rest comes again.
	if n := len(w.handled); n == 0 || w.handled[n-1] != "note-a@1" {
		t.Errorf("the bus that took over handled %v, want note-a@1 at the end", w.handled)
	}
}

func TestAnotherLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, stop := w.run(nil)
	w.append("note-a")
	w.idle(b)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b = bus.New(bus.Config{Log: memory.New(), Work: w.work, Clock: w.clock})
	b.Add(bus.Handler{Name: "handler", Category: "note"})
	if err := b.Run(w.ctx); !errors.Is(err, event.ErrPositionAhead) {
		t.Errorf("ends with %v, want %v", err, event.ErrPositionAhead)
	}
	if err := b.Idle(w.ctx); err == nil {
		t.Error("a bus that could not go on says that it is idle")
	}
}

// TestNothingIsLostOrReordered lets a handler fail at random while events are appended, parks are replayed and the
// bus is stopped and started again.
func TestNothingIsLostOrReordered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const streams, rounds, each = 6, 4, 25
	var mu sync.Mutex
	next := map[string]event.Revision{}
	check := func(_ context.Context, e event.Recorded) error {
		mu.Lock()
		defer mu.Unlock()
		if e.Revision > next[e.Stream] {
			t.Errorf("%s is given before revision %d", name(e), next[e.Stream])
		}
		if rand.IntN(8) == 0 {
			return errNo
		}
		next[e.Stream] = max(next[e.Stream], e.Revision+1)
		return nil
	}
	for range rounds {
		b, stop := w.run(check, func(c *bus.Config) { c.Tries = 1 })
		var appends sync.WaitGroup
		for i := range streams {
			appends.Go(func() {
				for range each {
					w.append(fmt.Sprintf("note-%d", i), "other-x")
				}
			})
		}
		for range 20 {
			w.clock.Set(w.clock.Now().Add(time.Hour))
			if parks := w.parks(); len(parks) > 0 {
				stream, _, _ := strings.Cut(parks[0], "@")
				_ = b.Replay(w.ctx, "handler", stream) // it may fail again, or be over already
			}
		}
		appends.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := w.run(check)
	for w.idle(b); len(w.parks()) > 0; w.idle(b) {
		w.clock.Set(w.clock.Now().Add(time.Hour))
	}
	for i := range streams {
		stream := fmt.Sprintf("note-%d", i)
		if got := next[stream]; got != rounds*each {
			t.Errorf("%s is handled up to revision %d, want %d", stream, got-1, rounds*each-1)
		}
	}
}
