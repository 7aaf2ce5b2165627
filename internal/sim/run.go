package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
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
	w.watched()
	if len(w.violations) > 0 {
		return // a world that is not at rest would break more than it shows
	}
	ctx := context.Background()
	w.still = true
	before, err := invariant.Take(ctx, w.remains())
	w.ok(err)
	for range 2 {
		w.current().end()
		w.rest(w.clock.Now())
		if len(w.violations) > 0 {
			return
		}
	}
	after, err := invariant.Take(ctx, w.remains())
	w.ok(err)
	for _, d := range []invariant.Dump{before.Views, before.Work, after.Views, after.Work} {
		delete(d, "cursors") // how far they have come over what is not theirs is written when they stop
	}
	w.violations = append(w.violations, before.Changed(after)...)
	if busy := w.current().quiet(); busy != "" {
		w.violation("I-22: not all is handled or something is parked: %s", busy)
	}
	w.ok(w.build())
	report, err := invariant.Check(ctx, w.remains())
	w.ok(err)
	if report != nil {
		w.violations = append(w.violations, report.Violations...)
	}
	w.look()
}

// ok takes an error for a violation where there must be none.
func (w *world) ok(err error) {
	if err != nil {
		w.violation("the world cannot be checked: %v", err)
	}
}

// remains is what is left, for all invariants to look at.
func (w *world) remains() invariant.World {
	r := invariant.World{
		Log: w.log, Views: w.views, Work: w.work, Evidence: w.evidence, AtRest: true, Now: w.clock.Now(), Skew: 2 * wrongest,
		Canaries: w.canaries,
	}
	r.Captures, r.Returns, r.Receipts = []invariant.Capture{}, []invariant.Return{}, w.receivers.Receipts()
	for _, name := range w.names {
		r.Captures = append(r.Captures, w.gateways[name].Captures()...)
		r.Returns = append(r.Returns, w.gateways[name].Returns()...)
	}
	return r
}

// watched takes over what the gateways saw the ledger do wrong.
func (w *world) watched() {
	for _, name := range w.names {
		for _, v := range w.gateways[name].Violations() {
			w.violation("at %s: %s", name, v)
		}
	}
}

// build makes the views from the log: where none were kept up to date they are the ones to be looked at, and where some
// were they have to be the same.
func (w *world) build() error {
	ctx, end := context.WithCancel(context.Background())
	defer synctest.Wait()
	defer end()
	if w.mix.LiveViews {
		spare, err := db.OpenMemory()
		if err != nil {
			return err
		}
		defer spare.Close()
		differing, err := invariant.CompareViews(ctx, w.log, w.views, spare)
		w.violations = append(w.violations, differing...)
		return err
	}
	head, err := w.log.Head(ctx)
	for _, v := range projection.Views() {
		f := projection.NewFollower(w.log, w.views, lean(v))
		go func() { _ = f.Run(ctx) }() // WaitFor tells how it ended
		err = errors.Join(err, f.WaitFor(ctx, head))
	}
	return err
}

// abandon ends everybody who is still there.
func (w *world) abandon() {
	w.healing.Store(true)
	w.abandoned.Store(true)
	w.kill(w.current())
	for range 1000 {
		for _, c := range slices.Clone(w.scheduler.settle()) {
			w.scheduler.release(c, errCrashed)
		}
		w.callersWait.Broadcast()
		w.setTime(w.clock.Now().Add(24*time.Hour), 0)
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
