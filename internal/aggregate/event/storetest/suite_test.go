package storetest_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

// fault is something that a log can do wrong.
type fault struct {
	by     string // the test that finds it
	in     func(event.Log) event.Log
	reopen func(*testing.T, event.Log) event.Log // if it shows in a log that is opened again
	shared bool                                  // if it shows in a log that is shared
}

// faults are known by what the log does.
type faults map[string]fault

func allFaults() faults {
	all := faults{}
	for _, some := range []faults{appendFaults, repeatFaults, readFaults, followFaults, cursorFaults, lifecycleFaults} {
		maps.Copy(all, some)
	}
	return all
}

// planted names the fault with which TestPlanted runs.
const planted = "STORETEST_FAULT"

// TestSuiteFinds plants each fault in a log that is sound otherwise, and wants the suite to fail. As a failing test fails
// those around it, that is done in a process of its own.
func TestSuiteFinds(t *testing.T) {
	t.Parallel()
	for name, f := range allFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, name, f.by)
			var failed *exec.ExitError
			if !errors.As(err, &failed) || strings.Contains(out, "panic: ") {
				t.Fatalf("ended with %v, want that the test fails:\n%s", err, out)
			}
			if want := "--- FAIL: TestPlanted/" + strings.ReplaceAll(f.by, " ", "_") + " "; !strings.Contains(out, want) {
				t.Errorf("want %q in what it says:\n%s", want, out)
			}
		})
	}
}

// TestSuitePasses: what the faults are planted in passes, and each of its tests is one that some fault fails.
func TestSuitePasses(t *testing.T) {
	t.Parallel()
	out, err := run(t, "none", "")
	if err != nil {
		t.Fatalf("a sound log: %v\n%s", err, out)
	}
	unproved := map[string]bool{}
	for _, match := range regexp.MustCompile(`--- (?:PASS|SKIP): TestPlanted/(\w+/[^/ ]+) `).FindAllStringSubmatch(out, -1) {
		unproved[match[1]] = true
	}
	if len(unproved) < 60 {
		t.Errorf("got %d tests, want all:\n%s", len(unproved), out)
	}
	for _, f := range allFaults() {
		delete(unproved, strings.ReplaceAll(f.by, " ", "_"))
	}
	for test := range unproved {
		t.Errorf("no fault is found by %s, so that nothing shows that it can fail", test)
	}
}

// run runs the suite, or one test of it, on a log with a fault.
func run(t *testing.T, fault, test string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pattern := "^TestPlanted$"
	if group, name, ok := strings.Cut(test, "/"); ok {
		pattern += "/^" + group + "$/^" + regexp.QuoteMeta(name) + "$"
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+pattern, "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), planted+"="+fault)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPlanted(t *testing.T) {
	name, ok := os.LookupEnv(planted)
	if !ok {
		t.Skip("it is run by TestSuiteFinds, with a fault")
	}
	f, ok := allFaults()[name]
	open := func(l event.Log) event.Log {
		if f.in == nil {
			return l
		}
		return faulty{f.in(l), l}
	}
	opts := storetest.Options{
		Short: true, Shared: f.shared,
		Reopen: func(t *testing.T, l event.Log) event.Log {
			if f, ok := l.(faulty); ok {
				l = f.sound
			}
			if f.reopen == nil {
				return open(l)
			}
			return f.reopen(t, l)
		},
	}
	if ok {
		opts.Patience = time.Second
	}
	storetest.Run(t, func(*testing.T) event.Log { return open(memory.New()) }, opts)
}

// faulty is a log, and what it was before the fault was planted.
type faulty struct {
	event.Log
	sound event.Log
}
