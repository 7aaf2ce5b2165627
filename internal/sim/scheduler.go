package sim

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing/synctest"

	"ledger.internal/ledger/internal/sim/door"
)

// stage is on which side of its effect a call stands.
type stage string

// The stages.
const (
	before stage = "before"
	after  stage = "after"
)

// waiting is a call that stands at a door until the scheduler lets it go on.
type waiting struct {
	run   *ledger // whose call it is; nil if it is not the ledger's
	actor string
	call  door.Call
	stage stage
	free  chan error // gets what the caller gets: nil to go on
}

func (w *waiting) String() string {
	s := w.actor + ": " + w.call.String()
	if w.stage == after {
		s += " (done)"
	}
	return s
}

// scheduler lets one call go on at a time.
//
// Everybody runs in goroutines of his own, as in production, inside of a testing/synctest bubble: Wait returns when
// each of them stands at a door or waits for another one. What goes on then is the seed's choice and nobody else's, so
// that a seed is always the same run. That holds because goroutines meet only at doors, at channels and at locks that
// are held by one that runs.
type scheduler struct {
	mu      sync.Mutex
	arrived []*waiting // since the last look, in an order that means nothing
	all     []*waiting // in an order that depends on the seed alone
}

// stand keeps a caller waiting at a door.
func (s *scheduler) stand(w *waiting) error {
	w.free = make(chan error, 1)
	s.mu.Lock()
	s.arrived = append(s.arrived, w)
	s.mu.Unlock()
	return <-w.free
}

// settle waits until nobody runs, and lists who stands at a door.
func (s *scheduler) settle() []*waiting {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.arrived, func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(a.actor, b.actor), cmp.Compare(a.call.Point(), b.call.Point()),
			cmp.Compare(a.call.Of, b.call.Of), cmp.Compare(a.stage, b.stage))
	})
	s.all = append(s.all, s.arrived...)
	s.arrived = s.arrived[:0]
	return s.all
}

// release lets a call go on, with an error to the caller or nil.
func (s *scheduler) release(w *waiting, err error) {
	i := slices.Index(s.all, w)
	s.all = slices.Delete(s.all, i, i+1)
	w.free <- err
}

// drop lets all calls of a run go on with an error.
func (s *scheduler) drop(run *ledger, err error) {
	s.all = slices.DeleteFunc(s.all, func(w *waiting) bool {
		if w.run == run {
			w.free <- err
		}
		return w.run == run
	})
}

// errCrashed is what is left of a run of the ledger after its crash: whatever it still tries, fails.
var errCrashed = errors.New("the process is gone")

// guard stands at the doors of one run of the ledger.
type guard struct{ run *ledger }

// Before implements door.Guard.
func (g guard) Before(ctx context.Context, c door.Call) error { return g.stand(ctx, c, before) }

// After implements door.Guard.
func (g guard) After(ctx context.Context, c door.Call) error { return g.stand(ctx, c, after) }

func (g guard) stand(ctx context.Context, c door.Call, at stage) error {
	if g.run.dead.Load() {
		return errCrashed
	}
	return g.run.world.scheduler.stand(&waiting{run: g.run, actor: actorOf(ctx), call: c, stage: at})
}

// actorKey is where a context names the part of the ledger, or of the world, that calls.
type actorKey struct{}

func withActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

func actorOf(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}
