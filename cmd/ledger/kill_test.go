package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestKill is the crash harness. It ends the ledger with SIGKILL again and again while callers use it over gRPC and
// REST, and lets each next one go on from what lies in the data directory. The gateway and the merchant's receiver are
// processes of their own that are not killed: the gateway's book is the truth about the money, the receiver is the truth
// about what was told, and what the callers were answered is what was promised. When everything has come to rest, what
// was promised is compared with what is there.
//
// The ledger is ended at a random moment, before it is ready, or at a fail point: before or after a call of one of its
// neighbours, in a build that has them (failpoint_on.go). It is stopped with SIGSTOP for a while, finds its disk full,
// and has no file descriptors left.
//
// Where the log is not in the data directory but on a server, that goes on while ledgers die, and things happen to it,
// too: it crashes and comes back, loses its connections, hangs, and writes what it never says it has written.
//
//	LEDGER_TEST_KILL_LOG where the log is: "sqlite", or "esdb", a double of EventStoreDB; one after the other if not set
//	LEDGER_TEST_KILLS    how many kills there are; a few if it is not set, and 100 or more have to reach every fail point
//	LEDGER_TEST_SEED     what is drawn; when exactly a signal meets the process is not, so that a seed repeats a run
//	                     only roughly
//	LEDGER_TEST_FIGURES  a file to which the line of figures is added that a run ends with
//
// The other stores are SQLite files. PostgreSQL, and two ledgers beside each other, will be further ways to launch
// (siege.launch); everything else here does not know which it is.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for half a minute")
	}
	t.Parallel()
	dir := t.TempDir()
	release, withFailPoints := buildLedger(t, dir, "ledger"), buildLedger(t, dir, "ledger-failpoint", "failpoint")
	chosen := os.Getenv("LEDGER_TEST_KILL_LOG")
	ran := false
	for _, c := range []struct {
		log    string
		kills  uint64 // unless somebody says how many
		slower int
	}{{logSQLite, 20, 1}, {logESDB, 6, 4}} {
		if chosen != "" && chosen != c.log {
			continue
		}
		ran = true
		t.Run(c.log, func(t *testing.T) {
			kills := int(environment(t, "LEDGER_TEST_KILLS", c.kills))
			h := &harness{
				log: c.log, slower: c.slower, seed: environment(t, "LEDGER_TEST_SEED", uint64(time.Now().UnixNano())), thorough: kills >= 100,
				release: release, withFailPoints: withFailPoints,
				began: time.Now(), reached: map[string]int{}, figures: map[string]int{},
			}
			h.run(t, kills)
		})
	}
	if !ran {
		t.Fatalf("LEDGER_TEST_KILL_LOG: there is no log %q", chosen)
	}
}

// harness is one run: one world after another, each with a ledger that is besieged, and what came of it.
type harness struct {
	log                     string // where it is
	slower                  int    // about so many times than the embedded one
	seed                    uint64
	thorough                bool   // long enough to reach everything
	release, withFailPoints string // the two builds of the program
	spots                   []failSpot
	began                   time.Time

	reached map[string]int // how often each fail point was

	mu      sync.Mutex
	figures map[string]int
}

// run kills so many times.
func (h *harness) run(t *testing.T, kills int) {
	t.Logf("LEDGER_TEST_KILL_LOG=%s LEDGER_TEST_KILLS=%d LEDGER_TEST_SEED=%d", h.log, kills, h.seed)
	h.spots = failSpots(rand.New(rand.NewPCG(h.seed, 1)), h.slower)
	h.killAll(t, kills)
	if h.log == logSQLite { // commands need none of the ledger's own disk and descriptors where the log is elsewhere
		t.Run("disk full", h.fillDisk)
		t.Run("no descriptors", h.takeDescriptors)
	}
	if h.thorough {
		h.checkReached(t)
	}
	h.tell(t)
}

// What a run counts.
const (
	atRandom, beforeReady, atFailPoint = "kills at random", "kills before ready", "kills at fail points"
	stops, disks, descriptors, mishaps = "stops", "full disks", "times without descriptors", "mishaps of the log"
	acks, repetitions                  = "commands acknowledged", "repetitions"
	charges, notifications, violations = "charges", "notifications", "violations"
)

// perRound is how many kills one world lives through: callers keep on buying, and a world that gets ever larger gets
// ever slower.
const perRound = 200

// killAll kills in as many worlds as it takes. The first two fifths of a round run on the machine's clock. The rest
// runs on a manual one that is moved by days, so that rebills, dunning and look-ups happen and are killed too.
func (h *harness) killAll(t *testing.T, kills int) {
	long := kills > perRound
	for round := 0; kills > 0 && t.Context().Err() == nil; round++ {
		n := min(kills, perRound)
		kills -= n
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			s := h.newSiege(t, uint64(round), 3*time.Minute+time.Duration(n)*3*time.Second, t.TempDir())
			s.most, s.long = 10+n*boughtPerKill, long
			s.begin(killDrivers)
			s.server.suffer()
			s.killAtRandom()
			for s.kills < n {
				s.manual = s.kills >= n*2/5
				s.cycle()
			}
			s.manual = true
			s.end()
			t.Logf("so far: %s", h.line())
		})
	}
}

// begin launches the first ledger of a world and has callers use it.
func (s *siege) begin(drivers int) {
	s.t.Helper()
	s.launch()
	s.settleIn()
	for range drivers {
		s.drive()
	}
}

// end launches the last one, lets everything come to rest, and checks what was promised.
func (s *siege) end() {
	s.t.Helper()
	s.launch()
	s.until("enough to do", func(c callers) bool { return c.done >= leastDone })
	s.stopDriving()
	s.comeToRest()
	s.shutDown()
	s.verify()
	s.check()
}

// add adds to one of the run's figures.
func (h *harness) add(figure string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.figures[figure] += n
}

// line is the run's figures.
func (h *harness) line() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.figures
	return fmt.Sprintf("%s: kills %d (random %d, fail points %d of %d kinds, before ready %d), stops %d, disk full %d, descriptors %d, mishaps of the log %d; "+
		"commands acked %d, repeated %d; charges %d; notifications %d; %d violations; %.0f s; seed %d",
		h.log, f[atRandom]+f[atFailPoint]+f[beforeReady], f[atRandom], f[atFailPoint], len(h.reached), f[beforeReady], f[stops], f[disks], f[descriptors], f[mishaps],
		f[acks], f[repetitions], f[charges], f[notifications], f[violations], time.Since(h.began).Seconds(), h.seed)
}

// tell says what the run came to.
func (h *harness) tell(t *testing.T) {
	t.Helper()
	for _, spot := range slices.Sorted(maps.Keys(h.reached)) {
		t.Logf("%3d times at %s", h.reached[spot], spot)
	}
	line := h.line()
	if t.Failed() && h.figures[violations] == 0 {
		line += "; it did not come to its end"
	}
	t.Log(line)
	if file := os.Getenv("LEDGER_TEST_FIGURES"); file != "" {
		if err := addLine(file, line); err != nil {
			t.Error(err)
		}
	}
}

func addLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// environment reads a number that a run may be given.
func environment(t *testing.T, name string, without uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// violated says that a promise was broken.
func (s *siege) violated(format string, args ...any) {
	s.t.Helper()
	s.add(violations, 1)
	s.t.Errorf(format, args...)
}

func (s *siege) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
