package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

// result is what became of a seed.
type result struct {
	seed                    uint64
	mix                     Mix
	steps, crashes, events  int
	calls                   int
	faults                  int // that were drawn, among them the crashes
	commands, subscriptions int
	charges, notifications  int
	hits                    map[string]int
	violations              []string
	hash                    string
	trace                   []string
}

// run lives a seed to its end and checks what is left.
func run(t *testing.T, seed uint64, p plan) (r result) {
	synctest.Test(t, func(*testing.T) {
		w, err := newWorld(seed, p)
		if err != nil {
			r.violations = []string{err.Error()}
			return
		}
		defer func() {
			if err := w.close(); err != nil {
				r.violations = append(r.violations, err.Error())
			}
		}()
		w.live()
		w.review()
		w.check()
		w.abandon()
		r = w.result()
	})
	return r
}

func (w *world) result() result {
	r := result{
		seed: w.seed, mix: w.mix, steps: w.steps, crashes: w.crashes, calls: w.calls, faults: w.faulted, commands: len(w.evidence.Acks),
		hits: w.hits, violations: w.violations, hash: w.trace.sum(), trace: w.trace.lines,
		notifications: len(w.receivers.Receipts()),
	}
	for _, sold := range w.sold {
		r.subscriptions += len(sold)
	}
	for _, g := range w.gateways {
		r.charges += len(g.Captures())
	}
	if head, err := w.log.Head(context.Background()); err == nil {
		r.events = int(head.Commit)
	}
	return r
}

// check looks at what is left: at rest, after two restarts, and built anew.
func (w *world) check() {
	if len(w.violations) > 0 {
		return // a world that is not at rest would break more than it shows
	}
	w.watched("while it lived")
	before := w.dump()
	for range 2 {
		w.current().end()
		w.rest(w.clock.Now())
		if len(w.violations) > 0 {
			return
		}
	}
	if after := w.dump(); after != before {
		w.violation("I-21: restarting changes what is there:\n%s\n%s", before, after)
	}
	if busy := w.current().quiet(); busy != "" {
		w.violation("I-22: not all is handled or something is parked: %s", busy)
	}
	w.build()
	w.invariants()
}

// watched takes over what the gateways saw the ledger do wrong.
func (w *world) watched(when string) {
	for _, name := range w.gatewayNames() {
		for _, v := range w.gateways[name].Violations() {
			w.violation("%s, %s: %s", name, when, v)
		}
	}
}

// build makes the views that were not kept up to date.
func (w *world) build() {
	if w.mix.LiveViews {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	defer synctest.Wait()
	defer end()
	head, err := w.log.Head(ctx)
	for _, v := range projection.Views() {
		f := projection.NewFollower(w.log, w.views, v)
		go func() { _ = f.Run(ctx) }() // WaitFor tells how it ended
		err = errors.Join(err, f.WaitFor(ctx, head))
	}
	if err != nil {
		w.violation("I-12: the views cannot be built: %v", err)
	}
}

// invariants checks everything that the ledger promises.
func (w *world) invariants() {
	for _, name := range w.gatewayNames() {
		w.evidence.Captures = append(w.evidence.Captures, w.gateways[name].Captures()...)
		w.evidence.Returns = append(w.evidence.Returns, w.gateways[name].Returns()...)
	}
	w.evidence.Receipts = w.receivers.Receipts()
	report, err := invariant.Check(context.Background(), invariant.World{
		Log: w.log, Views: w.views, Work: w.work, Captures: w.evidence.Captures,
	})
	if err != nil {
		w.violation("the world cannot be checked: %v", err)
		return
	}
	w.violations = append(w.violations, report.Violations...)
}

// dump is what stands in the log and the work store, in short.
func (w *world) dump() string {
	head, err := w.log.Head(context.Background())
	return fmt.Sprint(head, err)
}

// abandon ends everybody who is still there.
func (w *world) abandon() {
	w.healing, w.abandoned = true, true
	w.kill(w.current())
	for range 1000 {
		calls := w.scheduler.settle()
		for _, c := range calls {
			w.scheduler.release(c, errCrashed)
		}
		w.callersWait.Broadcast()
		w.clocks.set(w.clock.Now().Add(24*time.Hour), 0)
		if w.left() == 0 {
			break
		}
	}
	synctest.Wait()
}

// left is how many callers and letters are on their way.
func (w *world) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.giving
	for _, l := range w.mail {
		if l.flying {
			n++
		}
	}
	return n
}

// recovered makes an error of a panic in a part of the ledger.
func recovered(part func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanic, cause, debug.Stack())
		}
	}()
	return part()
}

var errPanic = errors.New("panic")
