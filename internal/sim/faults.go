package sim

import (
	"errors"
	"fmt"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/sim/door"
)

// mostActs is how often gateways do something by themselves: each makes work, during which no time passes.
const mostActs = 40

// What a call fails with that was drawn to fail.
var (
	errFailed      = errors.New("it failed")
	errLost        = errors.New("the answer was lost")
	errUnreachable = errors.New("it cannot be reached")
)

// faultyStep lets something go wrong, or not. true: that was the step.
func (w *world) faultyStep(calls []*waiting) bool {
	f := w.faults
	l := w.current()
	up := !l.dead.Load() && l.ctx.Err() == nil
	switch {
	case up && f.Float64() < w.mix.Crash && w.plan.allows(w):
		w.crash(calls)
	case up && l.serving.Load() && f.Float64() < w.mix.Stop && w.plan.allows(w):
		w.trace.say("an operator stops the ledger")
		l.end()
	case f.Float64() < w.mix.Hold && len(calls) > 1:
		c := calls[f.IntN(len(calls))]
		w.held[c] = w.steps + 20 + f.IntN(300)
		w.hit("held up: " + c.call.Point())
	case f.Float64() < w.mix.Cut && w.plan.allows(w):
		n := neighbours[f.IntN(len(neighbours))]
		w.cut[n] = w.steps + 20 + f.IntN(200)
		w.trace.say("%s cannot be reached", n)
	case f.Float64() < w.mix.Jump && w.plan.allows(w):
		w.jump()
	case f.Float64() < w.mix.Act && w.acts < mostActs:
		w.acts++
		w.act()
	case f.Float64() < w.mix.HangUp && w.plan.allows(w):
		w.hangUp()
	case w.quarrels():
	case f.IntN(20) == 0:
		w.deliver()
	default:
		return false
	}
	return true
}

// crash ends the ledger as a power cut does.
func (w *world) crash(calls []*waiting) {
	w.crashes++
	l := w.current()
	w.trace.say("--- crash %d", w.crashes)
	w.hit("crash")
	for _, c := range calls {
		if c.run == l {
			w.hit(fmt.Sprintf("crash %s %s", c.stage, c.call.Point()))
		}
	}
	if !l.serving.Load() {
		w.hit("crash while starting")
	}
	if w.faults.Float64() < w.mix.Outage && w.plan.allows(w) {
		w.hit("the ledger was away for days")
		w.away = w.clock.Now().Add(time.Duration(1+w.faults.IntN(12*24)) * time.Hour)
		w.trace.say("nobody starts it before %s", w.away.Format(time.DateTime))
	}
	w.kill(l)
}

// jump sets the ledger's clock wrong, or right.
func (w *world) jump() {
	wrong := time.Duration(0)
	if w.clocks.wrong == 0 {
		wrong = time.Duration(w.faults.Int64N(int64(2*wrongest))) - wrongest
	}
	switch {
	case wrong < w.clocks.wrong:
		w.hit("the clock jumped back")
	default:
		w.hit("the clock jumped forward")
	}
	w.trace.say("the ledger's clock is wrong by %v", wrong)
	w.setTime(w.clock.Now(), wrong)
}

// wrongest is by how much the ledger's clock may be wrong: longer than any gateway takes to show what it has, and less
// than a quarter of the shortest time for which one remembers a key, which is what the ledger allows for.
const wrongest = 40 * time.Minute

// act lets a gateway do something by itself.
func (w *world) act() {
	name := w.names[w.faults.IntN(len(w.names))]
	if what, ok := w.gateways[name].Act(w.faults); ok {
		w.trace.say("%s: %s", name, what)
	}
}

// hangUp lets a caller lose his patience.
func (w *world) hangUp() {
	for _, c := range w.customers {
		if hangUp := c.hangUp.Load(); hangUp != nil {
			w.hit("a caller hung up")
			w.trace.say("%s hangs up", c.name)
			(*hangUp)()
			return
		}
	}
}

// judge draws whether a call goes well.
func (w *world) judge(c *waiting) error {
	if w.healing.Load() {
		return nil
	}
	n := c.call.Neighbour
	if w.cut[n] > w.steps && w.plan.allows(w) {
		w.hit("cut off: " + c.call.Point())
		if c.stage == before {
			return w.failure(c, errUnreachable)
		}
		return errLost
	}
	if w.delayed(c) {
		return nil
	}
	chance := w.mix.Fail[n]
	if c.stage == after {
		chance = w.mix.Lose[n]
	}
	if c.call.Name == "follow" || w.faults.Float64() >= chance || !w.plan.allows(w) {
		return nil // a log that can be followed no more ends the process, which is a crash like others
	}
	if c.stage == after {
		w.hit("lost the answer of " + c.call.Point())
		return errLost
	}
	w.hit("failed before " + c.call.Point())
	return w.failure(c, errFailed)
}

// failure is how a neighbour fails before it has done anything: as one may tell, or as nobody can tell.
func (w *world) failure(c *waiting, why error) error {
	switch {
	case c.call.Neighbour == door.Gateway && w.faults.IntN(2) == 0:
		return fmt.Errorf("%w: %w", door.ErrNotSent, why)
	case c.call.Point() == "log.append" && w.faults.IntN(2) == 0:
		return fmt.Errorf("%w: %w", event.ErrUnknownOutcome, why)
	}
	return why
}

// drawn reports whether something failed because a call of it was drawn to fail, which was before the world healed.
func drawn(err error) bool {
	return errors.Is(err, errFailed) || errors.Is(err, errLost) || errors.Is(err, errUnreachable)
}
