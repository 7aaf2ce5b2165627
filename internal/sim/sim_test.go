package sim

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSeeds lives worlds, each of another seed, and checks what is left of them. LEDGER_SIM_SEEDS says how many and
// LEDGER_SIM_FROM which is the first; "make sim" sets them. With LEDGER_SIM_FIRST it ends with the first failing seed,
// and does not explain it.
func TestSeeds(t *testing.T) {
	from, seeds := number(t, "LEDGER_SIM_FROM", 1), number(t, "LEDGER_SIM_SEEDS", 40)
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	began := time.Now()
	sum := &summary{hits: map[string]int{}}
	next := make(chan uint64)
	go func() {
		defer close(next)
		for seed := from; seed < from+seeds && !sum.enough(); seed++ {
			next <- seed
		}
	}()
	t.Run("worlds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for seed := range next {
					sum.add(run(t, seed, plan{}))
				}
			})
		}
	})
	for _, r := range sum.broken {
		if os.Getenv("LEDGER_SIM_FIRST") != "" {
			t.Errorf("found: seed %d of %d: %s", r.seed, sum.seeds, r.violations[0])
			continue
		}
		t.Error(explain(t, r))
	}
	fmt.Println(sum.line(from, time.Since(began)))
	if missing := sum.unexercised(); len(missing) > 0 && seeds >= exercised {
		t.Errorf("never exercised in %d seeds:\n%s", seeds, strings.Join(missing, "\n"))
	}
}

// number reads a number that a run may be given.
func number(t *testing.T, name string, without uint64) uint64 {
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

// mostBroken is how many failing seeds are told of; more of them say nothing new.
const mostBroken = 5

// summary adds up what became of many seeds.
type summary struct {
	mu     sync.Mutex
	seeds  int
	total  result
	hits   map[string]int
	broken []result
}

func (s *summary) add(r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds++
	s.total.steps += r.steps
	s.total.crashes += r.crashes
	s.total.faults += r.faults
	s.total.events += r.events
	s.total.commands += r.commands
	s.total.subscriptions += r.subscriptions
	s.total.charges += r.charges
	s.total.notifications += r.notifications
	for what, n := range r.hits {
		s.hits[what] += n
	}
	if len(r.violations) > 0 {
		s.broken = append(s.broken, r)
		slices.SortFunc(s.broken, func(a, b result) int { return cmp.Compare(a.seed, b.seed) })
	}
}

func (s *summary) enough() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.broken) >= mostBroken || len(s.broken) > 0 && os.Getenv("LEDGER_SIM_FIRST") != ""
}

// line is all of it on one line.
func (s *summary) line(from uint64, took time.Duration) string {
	t := s.total
	return fmt.Sprintf("simulation: %d seeds from %d, %d steps, %d faults, %d crashes, %d subscriptions, %d commands, %d events, "+
		"%d charges, %d notifications, %d failing seeds, %v", s.seeds, from, t.steps, t.faults, t.crashes, t.subscriptions, t.commands,
		t.events, t.charges, t.notifications, len(s.broken), took.Round(time.Second))
}

// A seed is always the same run.
func TestSameSeedSameTrace(t *testing.T) {
	from, seeds := number(t, "LEDGER_SIM_FROM", 1), number(t, "LEDGER_SIM_TWICE", 6)
	for i := range runtime.GOMAXPROCS(0) {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			for seed := from + uint64(i); seed < from+seeds; seed += uint64(runtime.GOMAXPROCS(0)) {
				one, two := run(t, seed, plan{verbose: true}), run(t, seed, plan{verbose: true})
				if one.hash == two.hash {
					continue
				}
				for j := range min(len(one.trace), len(two.trace)) {
					if one.trace[j] != two.trace[j] {
						t.Fatalf("seed %d is another run the second time; line %d is\n%s\nand\n%s", seed, j, one.trace[j], two.trace[j])
					}
				}
				t.Fatalf("seed %d is another run the second time: %d and %d lines", seed, len(one.trace), len(two.trace))
			}
		})
	}
}

// unexercised lists what should have been met and was not.
func (s *summary) unexercised() (missing []string) {
	for _, what := range wanted() {
		if s.hits[what] == 0 {
			missing = append(missing, what)
		}
	}
	return missing
}
