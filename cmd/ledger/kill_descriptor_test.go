package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// takeDescriptors has strangers take all file descriptors that the ledger has, by connections on which they say
// nothing, while callers use it: nothing is lost or done twice, and it goes on by itself when they are gone.
func (h *harness) takeDescriptors(t *testing.T) {
	s := h.newSiege(t, 1<<21, 2*time.Minute, t.TempDir())
	s.begin(4)
	s.until("the first answers", s.more(20))
	used, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.ledger.cmd.Process.Pid))
	if err != nil {
		t.Skipf("this system does not tell how many file descriptors a process has: %v", err)
	}
	s.killAtRandom()

	// A few more than one needs that has nothing to fear.
	few := len(used) + 8
	s.serve(nil, "sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, few), s.release)
	s.ready(s.firstLine(s.ledger))
	s.until("answers of a ledger with few descriptors", s.more(5))
	leave := s.strangers(2 * few)
	s.untilLogged("too many open files")
	leave()
	if healed := s.until("answers again", s.more(20)); !healed {
		s.violated("a ledger without descriptors ended: %v", s.ledger.err)
	}
	s.kill(atRandom, 0)
	s.launch()
	s.until("answers of a ledger with enough descriptors", s.more(20))
	s.kill(atRandom, s.between(0, 300))
	s.manual = true
	s.end()
	s.add(descriptors, 1)
}

// strangers connect to the ledger and say nothing until they leave.
func (s *siege) strangers(n int) (leave func()) {
	s.t.Helper()
	to, _ := s.current()
	address := strings.TrimPrefix(to.rest.(*restConn).base, "http://")
	var all []net.Conn
	leave = func() {
		for _, c := range all {
			c.Close()
		}
	}
	for range n {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			leave()
			s.t.Fatal(err)
		}
		all = append(all, c)
	}
	return leave
}

// untilLogged waits until the ledger has said something in its log.
func (s *siege) untilLogged(text string) {
	s.t.Helper()
	select {
	case <-s.logged.says(text):
	case <-s.ledger.ended:
		s.t.Fatalf("the ledger ended: %v", s.ledger.err)
	case <-s.ctx.Done():
		s.t.Fatalf("the ledger did not log %q", text)
	}
}
