package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// shownLines is how much of the end of a trace is kept unless all of it is wanted.
const shownLines = 80

// trace is what happened, a line each. Its hash tells whether two runs were the same.
type trace struct {
	hash    hash.Hash
	verbose bool
	lines   []string
}

func newTrace(verbose bool) *trace { return &trace{hash: sha256.New(), verbose: verbose} }

// say notes something that is not a call.
func (t *trace) say(format string, args ...any) { t.add(fmt.Sprintf(format, args...)) }

// call notes that a call goes on.
func (t *trace) call(w *world, c *waiting, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", w.steps, c.String())
	if err != nil {
		b.WriteString(" -> ")
		b.WriteString(err.Error())
	}
	t.add(b.String())
}

func (t *trace) add(line string) {
	_, _ = t.hash.Write([]byte(line)) // a hash takes everything
	_, _ = t.hash.Write([]byte{'\n'})
	if !t.verbose && len(t.lines) == 2*shownLines {
		t.lines = append(t.lines[:0], t.lines[shownLines:]...)
	}
	t.lines = append(t.lines, line)
}

// sum is the hash of all lines.
func (t *trace) sum() string { return hex.EncodeToString(t.hash.Sum(nil))[:16] }
