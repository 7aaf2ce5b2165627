package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/sim/door"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

const (
	// mostSteps is how many steps a world may take. One that takes more goes round in circles.
	mostSteps = 60_000
	// mostActs is how often gateways do something by themselves: each makes work, during which no time passes.
	mostActs = 40
	// faulty is how long things go wrong at most, in the world's time.
	faulty = 60 * 24 * time.Hour
	// peace is how long a healed world has to come to rest: the longest schedule, that of notifications, is over then.
	peace = 4 * 24 * time.Hour
)

// beginning is when every world begins: near a month's end and a leap day.
var beginning = time.Date(2028, 1, 29, 9, 0, 0, 0, time.UTC)

// world is everything: one ledger after the other, what lies behind their doors, and those who use them.
type world struct {
	seed    uint64
	mix     Mix
	choices *rand.Rand // what goes on next
	faults  *rand.Rand // what goes wrong
	plan    plan
	trace   *trace
	logger  *slog.Logger

	scheduler   *scheduler
	clocks      *clocks
	clock       face // the world's
	ledgerClock face // what the ledger's shows

	// Behind the doors.
	log         *memory.Log
	work, views *db.Memory
	gateways    map[string]*neighbour.Gateway
	accounts    []string // the connections' ids; each merchant has them all
	receivers   *neighbour.Receivers
	mail        []*letter

	runs      []*ledger // the last one is the one that runs
	healing   bool
	troubled  context.Context // ends when the world heals: nobody waits for anything of his own then
	calm      context.CancelFunc
	tidied    bool // what callers have left behind is cleared up
	still     bool // time does not pass: nothing new becomes due
	abandoned bool // the world is over: nobody waits any more
	steps     int
	restart   int              // the step at which the next run begins
	away      time.Time        // until when nobody starts it
	cut       map[string]int   // until which step a neighbour cannot be reached
	held      map[*waiting]int // until which step a call is held up
	blocks    int
	crashes   int
	acts      int
	calls     int // that went through the ledger's doors before the world healed
	faulted   int // faults that were drawn
	letters   int

	mu          sync.Mutex
	callersWait *sync.Cond // for a ledger that serves
	customers   []*customer
	giving      int                 // customers that are not done
	sold        map[string][]string // subscriptions by merchant
	duplicates  map[string]bool     // streams of starts that may be a second one
	evidence    invariant.Evidence
	canaries    []string // planted where the ledger must not keep them
	hits        map[string]int
	violations  []string
}

// newWorld makes a world of a seed. Nothing goes on in it yet.
func newWorld(seed uint64, p plan) (*world, error) {
	w := &world{
		seed: seed, plan: p, trace: newTrace(p.verbose), logger: silent(), scheduler: &scheduler{}, clocks: &clocks{now: beginning},
		choices: rand.New(rand.NewPCG(seed, 1)), faults: rand.New(rand.NewPCG(seed, 2)),
		log: memory.New(), gateways: map[string]*neighbour.Gateway{}, cut: map[string]int{}, held: map[*waiting]int{},
		sold: map[string][]string{}, duplicates: map[string]bool{}, hits: map[string]int{},
	}
	w.mix = drawMix(rand.New(rand.NewPCG(seed, 0)))
	if p.change != nil {
		p.change(&w.mix)
	}
	w.callersWait = sync.NewCond(&w.mu)
	w.troubled, w.calm = context.WithCancel(context.Background())
	w.clock, w.ledgerClock = face{w.clocks, false}, face{w.clocks, true}
	var err error
	if w.work, err = db.OpenMemory(); err != nil {
		return nil, err
	}
	if w.views, err = db.OpenMemory(); err != nil {
		return nil, err
	}
	return w, w.populate()
}

func (w *world) close() error {
	return errors.Join(w.work.Close(), w.views.Close(), w.log.Close())
}

// hit notes that something was exercised.
func (w *world) hit(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hits[what]++
}

func (w *world) violation(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// current is the run of the ledger that was started last.
func (w *world) current() *ledger { return w.runs[len(w.runs)-1] }

// up waits for a ledger that serves.
func (w *world) up() *ledger {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := w.current(); ; l = w.current() {
		if l.serving.Load() && l.ctx.Err() == nil || w.abandoned {
			return l
		}
		w.callersWait.Wait()
	}
}

// read reads a stream behind the door.
func (w *world) read(stream string) iter.Seq[event.Recorded] {
	return func(yield func(event.Recorded) bool) {
		for raw, err := range w.log.Read(context.Background(), stream, 0) {
			if err != nil {
				return // nothing was written to it yet
			}
			e, err := event.Decode(raw)
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// live lets the world go on until everything has come to rest.
func (w *world) live() {
	w.launch()
	for _, c := range w.customers {
		w.start(func() {
			if w.plan.script != nil {
				c.play(w.plan.script)
				return
			}
			c.live(w.mix.Commands)
		})
	}
	for w.steps < mostSteps && !w.over() {
		w.step(w.faultyStep)
	}
	w.heal()
	w.rest(w.clock.Now().Add(peace))
}

// start has somebody give commands until he is done.
func (w *world) start(give func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.giving++
	go func() {
		give()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.giving--
	}()
}

// over reports whether what may go wrong has gone wrong.
func (w *world) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.giving == 0 || w.clock.Now().Sub(beginning) > faulty
}

// heal ends everything that goes wrong.
func (w *world) heal() {
	w.scheduler.settle()
	w.follow() // what has failed already is not held against a healed world
	w.trace.say("--- heals at %s", w.clock.Now().Format(time.DateTime))
	w.healing = true
	w.calm()
	w.scheduler.settle()
	clear(w.cut)
	clear(w.held)
	w.setTime(w.clock.Now(), 0)
	for _, name := range w.gatewayNames() {
		w.gateways[name].Heal()
	}
	w.receivers.Heal()
	w.hasten()
}

// rest lets a healed world go on until an instant, and then until nobody does anything any more.
func (w *world) rest(until time.Time) {
	for w.steps < mostSteps {
		if calls := w.step(nil); len(calls) > 0 {
			continue
		}
		if w.giving == 0 && !w.tidied {
			w.tidied = true // now that nobody undoes it
			for _, c := range w.customers {
				w.start(c.tidy)
			}
			continue
		}
		if w.giving == 0 && !w.pass(until) {
			return
		}
		if w.giving > 0 {
			w.pass(w.clock.Now().Add(time.Hour))
		}
	}
	w.violation("the world does not come to rest: %v", w.scheduler.all)
}

// step lets one thing happen. In a faulty step that may be a fault.
func (w *world) step(faulty func(calls []*waiting) bool) []*waiting {
	w.scheduler.settle()
	w.steps++
	w.follow()
	calls := w.scheduler.settle()
	if faulty != nil && faulty(calls) {
		return calls
	}
	if len(calls) == 0 {
		if calls = w.idle(); len(calls) == 0 {
			if faulty != nil {
				w.pass(w.clock.Now().Add(24 * time.Hour))
			}
			return nil
		}
	}
	if !w.still {
		w.setTime(w.clock.Now().Add(time.Duration(1+w.choices.IntN(20))*time.Millisecond), w.clocks.wrong)
		calls = w.scheduler.settle()
	}
	w.release(w.pick(calls))
	return calls
}

// follow looks after the ledger's process: one that ended by itself, or was stopped, is started again.
func (w *world) follow() {
	l := w.current()
	running, failed := l.state()
	switch {
	case l.dead.Load():
		if w.steps >= w.restart && (w.healing || !w.clock.Now().Before(w.away)) {
			w.launch()
		}
	case failed != nil:
		w.trace.say("the ledger ends by itself: %v", failed)
		w.hit("the process ended by itself")
		if errors.Is(failed, errPanic) || w.healing && !drawn(failed) {
			w.violation("the ledger ended by itself: %v", failed)
		}
		w.kill(l)
	case l.ctx.Err() != nil && running == 0:
		w.trace.say("the ledger has stopped")
		w.hit("the process was stopped as an operator stops it")
		w.kill(l)
	}
}

// drawn reports whether something failed because a call of it was drawn to fail, which was before the world healed.
func drawn(err error) bool {
	return errors.Is(err, errFailed) || errors.Is(err, errLost) || errors.Is(err, errUnreachable)
}

// kill ends a run at once: what it has in hand is lost.
func (w *world) kill(l *ledger) {
	l.dead.Store(true)
	l.end()
	w.scheduler.drop(l, errCrashed)
	for range 1000 {
		calls := w.scheduler.settle()
		running, _ := l.state()
		if running == 0 && !slices.ContainsFunc(calls, func(c *waiting) bool { return c.run == l }) {
			break
		}
		time.Sleep(time.Second) // what waits for the machine's time comes to its end
	}
	if running, _ := l.state(); running > 0 {
		w.violation("%d parts of the ledger do not end", running)
	}
	w.restart = w.steps + w.choices.IntN(30)
	w.callersWait.Broadcast()
}

// idle lets the machine's time pass, for pauses that are no business of the clock: a moment, or in a healed world as long
// as anybody may still rest after a failure.
func (w *world) idle() []*waiting {
	if w.healing {
		time.Sleep(15 * time.Minute)
	} else {
		time.Sleep(1100 * time.Millisecond)
	}
	return w.scheduler.settle()
}

// pass moves the time to the next instant for which somebody waits, but not beyond a limit. false: it was there already,
// and nobody does anything then.
func (w *world) pass(limit time.Time) bool {
	now := w.clock.Now()
	to, ok := w.clocks.next()
	if mail, some := w.nextLetter(); some && (!ok || mail.Before(to)) {
		to, ok = mail, true
	}
	if !ok || to.After(limit) {
		to = limit
	}
	if w.current().dead.Load() && !w.healing {
		w.restart = w.steps // nothing else goes on: the next run may begin
		if w.away.After(now) && (!ok || to.After(w.away)) {
			to = w.away
		}
	}
	if to.Sub(now) >= time.Minute {
		w.trace.say("... %s", to.Format(time.DateTime))
	}
	w.setTime(to, w.clocks.wrong)
	return w.deliver() || to.After(now) || w.current().dead.Load()
}

// setTime sets both clocks, and lets those whose time has come go on one after the other.
func (w *world) setTime(now time.Time, wrong time.Duration) {
	w.clocks.set(now, wrong)
	for w.clocks.wake() {
		w.scheduler.settle()
	}
}

// pick draws which call goes on, leaving out those that are held up.
func (w *world) pick(calls []*waiting) *waiting {
	free := calls
	if len(w.held) > 0 {
		free = slices.DeleteFunc(slices.Clone(calls), func(c *waiting) bool { return w.held[c] > w.steps })
		if len(free) == 0 {
			free = calls
		}
	}
	return free[w.choices.IntN(len(free))]
}

// release lets a call go on, well or badly.
func (w *world) release(c *waiting) {
	if c.run != nil && !w.healing {
		if w.calls++; slices.Contains(w.plan.crashAt, w.calls) {
			w.trace.say("crash at call %d: %s", w.calls, c)
			w.crash(w.scheduler.all)
			return
		}
	}
	delete(w.held, c)
	err := w.judge(c)
	w.trace.call(w, c, err)
	w.scheduler.release(c, err)
}

var (
	errFailed      = errors.New("it failed")
	errLost        = errors.New("the answer was lost")
	errUnreachable = errors.New("it cannot be reached")
)

// judge draws whether a call goes well.
func (w *world) judge(c *waiting) error {
	if w.healing {
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
	names := w.gatewayNames()
	name := names[w.faults.IntN(len(names))]
	if what, ok := w.gateways[name].Act(w.faults); ok {
		w.trace.say("%s: %s", name, what)
	}
}

// hangUp lets a caller lose his patience.
func (w *world) hangUp() {
	for _, c := range w.customers {
		if c.hangUp != nil {
			w.hit("a caller hung up")
			w.trace.say("%s hangs up", c.name)
			c.hangUp()
			return
		}
	}
}

func (w *world) gatewayNames() []string {
	names := make([]string, 0, len(w.gateways))
	for name := range w.gateways {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// connection draws one of the merchants' connections.
func (w *world) connection(r *rand.Rand) string { return w.accounts[r.IntN(len(w.accounts))] }

// policies draws what a merchant wants done when a payment fails or is disputed; nil for the defaults.
func policies(r *rand.Rand) *ledgerv1.Policies {
	p := &ledgerv1.Policies{
		Chargeback: ledgerv1.ChargebackPolicy(r.IntN(4)), LateCharge: ledgerv1.LateChargePolicy(r.IntN(3)),
	}
	if r.IntN(2) == 0 {
		p.DunningDays = []uint32{1, 2, 5}[:1+r.IntN(3)]
	}
	return p
}
