package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
)

// mostAgain is how many events a subscription that begins again delivers again at most.
const mostAgain = 5

// quarrels lets something go wrong between the servers that keep the log, or not.
func (w *world) quarrels() bool {
	f := w.faults
	switch {
	case w.cluster == nil:
		return false
	case w.cluster.state != together:
		if w.steps < w.quarrel {
			return false
		}
		w.reconcile()
	case f.IntN(30) == 0 && w.cluster.arrive():
		w.trace.say("a delayed append reaches the log")
	case f.Float64() < w.mix.Mute && w.plan.allows(w):
		w.fallOut(mute, 40)
	case f.Float64() < w.mix.Apart && w.plan.allows(w):
		if f.Float64() < w.mix.Leaking {
			w.fallOut(leaking, 60)
		} else {
			w.fallOut(apart, 60)
		}
	case f.Float64() < w.mix.Failover && w.plan.allows(w):
		w.failOver()
	case f.Float64() < w.mix.Others && w.plan.allows(w):
		w.trace.say("another ledger changes a merchant")
		w.appendElsewhere()
	default:
		return false
	}
	return true
}

// fallOut has the log's servers be at odds for a while.
func (w *world) fallOut(s state, steps int) {
	w.quarrel = w.steps + 1 + w.faults.IntN(steps)
	w.cluster.suffer(s)
	w.trace.say("the log's servers are %s", s)
}

// reconcile ends what the log's servers suffer from. What subscriptions were shown too early is always lost: that it
// were not would be nothing to survive.
func (w *world) reconcile() {
	c := w.cluster
	if c == nil {
		return
	}
	switch {
	case c.state == leaking, c.state == apart && w.faults.Float64() < w.mix.Deposed:
		w.failOver()
	case c.state != together:
		w.trace.say("the log's servers agree")
		w.ok(c.agree())
	}
}

// failOver has another server lead. All subscriptions begin again, also those that were about to deliver.
func (w *world) failOver() {
	leaking := w.cluster.state == leaking
	lost, drop := w.cluster.depose(w.faults.IntN(1 + mostAgain))
	w.diverged = w.diverged || leaking && lost > 0
	w.trace.say("another server leads; %d events are lost", lost)
	w.hit("another server led")
	if leaking && w.faults.IntN(2) == 0 {
		for range lost { // the log is as long again, and nobody could tell by that
			w.appendElsewhere()
		}
	}
	drop()
	for _, c := range slices.Clone(w.scheduler.settle()) {
		if c.call.Point() == "log.follow" {
			w.scheduler.release(c, errDropped)
		}
	}
}

// appendElsewhere has another ledger append an event to the log.
func (w *world) appendElsewhere() {
	w.others++
	m := fmt.Sprintf("m%d", 1+w.faults.IntN(w.mix.Merchants))
	_, err := aggregate.NewRunner(w.log, merchant.Type()).Do(context.Background(), merchant.Stream(m), aggregate.Request{
		ID: fmt.Sprintf("elsewhere/%d", w.others), Actor: "api", At: w.clock.Now(),
	}, merchant.Update{Settings: merchant.Settings{Name: fmt.Sprintf("%s, %d", m, w.others), Policies: policies(w.faults)}, ZoneKnown: true})
	w.ok(err)
	w.hit("another ledger appended")
}

// delayed has an append come late, or not. If so, its writer is told that nobody knows.
func (w *world) delayed(c *waiting) bool {
	if w.cluster == nil || c.call.Point() != "log.append" || c.stage != before ||
		w.faults.Float64() >= w.mix.Late || !w.plan.allows(w) {
		return false
	}
	w.cluster.delay = true
	w.trace.say("the next append is delayed")
	return true
}

// isDivergence reports whether a follower has seen another log than the one that is there.
func isDivergence(err error) bool {
	return errors.Is(err, event.ErrDiverged) || errors.Is(err, event.ErrPositionAhead)
}

// buildAnew is what an operator does about that: the next run makes views and work from the log.
func (w *world) buildAnew() error {
	w.trace.say("an operator has views and work built anew")
	w.hit("an operator had all built anew")
	w.diverged = false
	views, err := db.OpenMemory()
	if err != nil {
		return err
	}
	err = w.views.Close()
	w.views = views
	rows, opened := work.New(context.Background(), w.work)
	if err = errors.Join(err, opened); err != nil {
		return err
	}
	return rows.StartOver(context.Background())
}
