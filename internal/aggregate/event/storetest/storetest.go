// Package storetest is the suite that every event.Log passes. What a log promises is written at event.Log; here it is
// tried, the odd corners first.
//
// It runs on a log that is new and empty and nobody else's, where it knows every position, and on one that is shared
// (Options.Shared), such as a server that was there before: each test then makes streams and categories of its own,
// starts from the head that it finds, and asks of what it reads only what is its own. A test that finds nothing to run
// on says why, and Run says so again at its end.
//
// The numbers beside the tests are those of the list by which the suite was written. Not here are those that need a
// server which fails on demand or a process that dies; a log that can fail so tests that beside this suite:
//
//   - 18 the connection goes after the commit and before the answer: one copy, and a yes
//   - 19 refused for a while (busy, not the leader, timed out): one copy, and few attempts
//   - 20 down for longer than anybody looks for it: an error by the deadline, and a recovery without a restart
//   - 21 refused while the events are still being sent: an error, never a yes or a hang
//   - 29, 30 a read that stalls or breaks: the deadline is kept, nothing is cut off in silence
//   - 39, 40, 41 restarts, a store that is not ready, a connection that is dead and does not say so: a follower goes
//     on by itself without a gap or an event twice
//   - 44 a right that is taken away ends a follower
//   - 45, 62 a process that is killed, for which handlers that fail stand in here
//   - 63, 64 a store that is not there at the start, and one of a version that cannot be
//
// Nor is the memory that a reader of a long stream (27) and a follower with a slow handler (37) take, which only a
// process of its own can measure. 5 and 46 to 59 are of what event.Log leaves out: appends at any revision, groups.
package storetest

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Options say what a log can do beside the contract, and what it cannot.
type Options struct {
	// Shared is for a log that holds other events, and to which others append while the suite runs. As long as no
	// more than ten tests run in parallel they have at most 90 followers at once, so that all have room on one
	// connection to a server, which takes a hundred calls and lets the next one wait.
	Shared bool
	// Reopen closes a log and opens the same store again; nil if a log does not outlive its process.
	Reopen func(t *testing.T, l event.Log) event.Log
	// Short makes the long tests shorter, for a log that is slow in tests.
	Short bool
	// Patience ends a test that waits for what does not come; a minute if it is zero. A sixth of it is at once.
	Patience time.Duration
}

// Run runs the suite. open returns a new, empty log, or, if the log is shared, a new way to it. The suite closes it, and
// wants that no goroutine is left then which began in the test, be it in open.
func Run(t *testing.T, open func(t *testing.T) event.Log, opts Options) {
	if opts.Patience == 0 {
		opts.Patience = time.Minute
	}
	s := &suite{open: open, Options: opts}
	s.group(t, "append", appendTests)
	s.group(t, "repeat", repeatTests)
	s.group(t, "read", readTests)
	s.group(t, "follow", followTests)
	s.group(t, "cursor", cursorTests)
	s.group(t, "lifecycle", lifecycleTests)
	s.report()
}

type suite struct {
	open func(t *testing.T) event.Log
	Options

	heavy   sync.Mutex // held by the one test that may have many followers of a shared log
	mu      sync.Mutex
	skipped []string
}

// tests are known by what they prove.
type tests map[string]func(*testing.T, *world)

// group runs tests in parallel, each in a world of its own.
func (s *suite) group(t *testing.T, name string, all tests) {
	t.Run(name, func(t *testing.T) {
		for name, test := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, s.world(t))
			})
		}
	})
}

// skip ends a test that cannot run on this log.
func (s *suite) skip(t *testing.T, because string) {
	t.Helper()
	s.mu.Lock()
	s.skipped = append(s.skipped, fmt.Sprintf("%s: skipped on this log, because %s", t.Name(), because))
	s.mu.Unlock()
	t.Skip(because)
}

// report says last what was left out. It does not use t.Log, which a test that passes keeps to itself: who runs the
// binary against his own server shall see what that proved.
func (s *suite) report() {
	slices.Sort(s.skipped)
	for _, line := range s.skipped {
		fmt.Fprintln(os.Stdout, line)
	}
}

// size is n, or a tenth of it where tests shall be short.
func (s *suite) size(n int) int {
	if s.Short || testing.Short() {
		return max(n/10, 10)
	}
	return n
}
