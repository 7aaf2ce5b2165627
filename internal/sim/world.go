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
	"sync/atomic"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

const (
	// mostSteps is how many steps a world may take. One that takes more goes round in circles.
	mostSteps = 60_000
	// faulty is how long things go wrong at most, in the world's time.
	faulty = 60 * 24 * time.Hour
	// peace is how long a healed world has to come to rest: the longest schedule is over then, that of a payment which waits
	// for its buyer. It is ended with the first daily look-up after three days.
	peace = 5 * 24 * time.Hour
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
	log         event.Log
	cluster     *cluster // the log, if several servers keep it
	work, views *db.Memory
	gateways    map[string]bank
	names       []string // of the gateways
	accounts    []string // the connections' ids; each merchant has them all
	receivers   *neighbour.Receivers
	mail        []*letter

	run       atomic.Pointer[ledger] // that was started last
	healing   atomic.Bool
	troubled  context.Context // ends when the world heals: nobody waits for anything of his own then
	calm      context.CancelFunc
	tidied    bool        // what callers have left behind is cleared up
	still     bool        // time does not pass: nothing new becomes due
	abandoned atomic.Bool // the world is over: nobody waits any more
	steps     int
	restart   int              // the step at which the next run begins
	away      time.Time        // until when nobody starts it
	cut       map[string]int   // until which step a neighbour cannot be reached
	held      map[*waiting]int // until which step a call is held up
	quarrel   int              // until which step the log's servers are at odds
	others    int              // events of another ledger
	diverged  bool             // views and work may have been made from what the log has lost
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
		log: memory.New(), gateways: map[string]bank{}, cut: map[string]int{}, held: map[*waiting]int{},
		sold: map[string][]string{}, duplicates: map[string]bool{}, hits: map[string]int{},
	}
	w.mix = drawMix(rand.New(rand.NewPCG(seed, 0)))
	if p.change != nil {
		p.change(&w.mix)
	}
	if w.mix.Cluster {
		w.cluster = newCluster(w.hit)
		w.log = w.cluster
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
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// current is the run of the ledger that was started last.
func (w *world) current() *ledger { return w.run.Load() }

// up waits for a ledger that serves.
func (w *world) up() *ledger {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := w.current(); ; l = w.current() {
		if l.serving.Load() && l.ctx.Err() == nil || w.abandoned.Load() {
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
	w.reconcile()
	w.scheduler.settle()
	w.follow() // what has failed already is not held against a healed world
	w.trace.say("--- heals at %s", w.clock.Now().Format(time.DateTime))
	w.healing.Store(true)
	w.calm()
	w.scheduler.settle()
	clear(w.cut)
	clear(w.held)
	w.setTime(w.clock.Now(), 0)
	for _, name := range w.names {
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
	if len(calls) == 0 && w.cluster != nil && w.cluster.state == leaking {
		w.reconcile() // before any time passes
		return nil
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
		if w.steps >= w.restart && (w.healing.Load() || !w.clock.Now().Before(w.away)) {
			w.launch()
		}
	case failed != nil:
		w.trace.say("the ledger ends by itself: %v", failed)
		w.hit("the process ended by itself")
		anew := w.diverged && isDivergence(failed)
		if errors.Is(failed, errPanic) || isDivergence(failed) && !anew || w.healing.Load() && !drawn(failed) && !anew {
			w.violation("the ledger ended by itself: %v", failed)
		}
		w.kill(l)
		if anew && (w.healing.Load() || w.faults.IntN(2) == 0) { // else it is only started again, which must not help
			w.ok(w.buildAnew())
		}
	case l.ctx.Err() != nil && running == 0:
		w.trace.say("the ledger has stopped")
		w.hit("the process was stopped as an operator stops it")
		w.kill(l)
	}
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
// as anybody rests after a failure, which is 5 s. Somebody who comes back meanwhile does not wait until his patience,
// which is 10 s, is over.
func (w *world) idle() []*waiting {
	if !w.healing.Load() {
		time.Sleep(1100 * time.Millisecond)
		return w.scheduler.settle()
	}
	for range 2 {
		time.Sleep(4 * time.Second)
		if calls := w.scheduler.settle(); len(calls) > 0 {
			return calls
		}
	}
	return nil
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
	for _, gw := range w.gateways {
		if at, some := gw.next(); some && (!ok || at.Before(to)) {
			to, ok = at, true
		}
	}
	if w.current().dead.Load() && !w.healing.Load() {
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
	for _, name := range w.names {
		w.gateways[name].pass()
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
	if c.run != nil && !w.healing.Load() {
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

// connection draws one of the merchants' connections.
func (w *world) connection(r *rand.Rand) string { return w.accounts[r.IntN(len(w.accounts))] }
