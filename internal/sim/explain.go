package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// explain says what a failing seed did wrong, how to see it again, and the shortest way there that was found. All of that
// goes into the file that LEDGER_SIM_TRACE names.
func explain(t *testing.T, r result) string {
	t.Helper()
	least, kept := shrink(t, r)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s\n", r.seed, strings.Join(r.violations, "\n"))
	fmt.Fprintf(&b, "again: make sim SEEDS=1 FROM=%d\nmix: %s\n", r.seed, r.mix)
	fmt.Fprintf(&b, "of its %d faults, %d are enough; then it ends so (%d of %d lines):\n", r.faults, kept,
		min(len(least.trace), shownLines), len(least.trace))
	b.WriteString(strings.Join(least.trace[max(0, len(least.trace)-shownLines):], "\n"))
	fmt.Fprintf(&b, "\nand breaks: %s", strings.Join(least.violations, "\n"))
	if file := os.Getenv("LEDGER_SIM_TRACE"); file != "" {
		if err := os.WriteFile(file, []byte(strings.Join(least.trace, "\n")+"\n"), 0o600); err != nil {
			fmt.Fprintf(&b, "\nall of it cannot be written: %v", err)
		}
	}
	return b.String()
}

// mostTrials bounds how often a failing seed is run again to find out what it needs.
const mostTrials = 60

// shrink leaves out as many faults of a failing seed as can be, half of them at a time, then a quarter, and so on, and
// then as many commands. What is left fails still, though perhaps in another way.
func shrink(t *testing.T, r result) (least result, kept int) {
	t.Helper()
	least = r
	trials := 0
	try := func(p plan) bool {
		if trials++; trials > mostTrials {
			return false
		}
		p.verbose = true
		now := run(t, r.seed, p)
		if len(now.violations) == 0 {
			return false
		}
		least = now
		return true
	}
	skip := map[int]bool{}
	with := func(from, to int) map[int]bool {
		more := map[int]bool{}
		for n := range skip {
			more[n] = true
		}
		for n := from; n < to; n++ {
			more[n] = true
		}
		return more
	}
	commands := r.mix.Commands
	few := func(n int) func(*Mix) { return func(m *Mix) { m.Commands = n } }
	for n := 1; n < commands; n++ {
		if try(plan{change: few(n)}) {
			commands = n
			break
		}
	}
	all := least.faults + 1
	for size := (all + 1) / 2; size > 0 && trials < mostTrials; size /= 2 {
		for from := 1; from <= all; from += size {
			if more := with(from, from+size); len(more) > len(skip) && try(plan{skip: more, change: few(commands)}) {
				skip = more
			}
		}
	}
	for n := 1; n <= all; n++ {
		if !skip[n] {
			kept++
		}
	}
	return least, kept
}
