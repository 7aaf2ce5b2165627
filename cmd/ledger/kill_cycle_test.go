package main

import (
	"syscall"
	"time"
)

// cycle is one life of a ledger, which a SIGKILL ends.
func (s *siege) cycle() {
	switch n := s.random.IntN(20); {
	case n < 2:
		s.killBeforeReady()
	case n < 6:
		s.launch()
		s.passDays()
		s.killAtRandom()
	case n < 18:
		s.killAtFailPoint()
	default:
		s.launch()
		s.passDays()
		s.killStopped()
	}
}

// killBeforeReady kills a ledger that opens its stores.
func (s *siege) killBeforeReady() {
	s.t.Helper()
	s.serve(nil, s.release)
	how := beforeReady
	if s.live(s.between(0, 100)) {
		how = atRandom
	}
	s.kill(how, 0)
}

// killAtRandom kills a ledger that works.
func (s *siege) killAtRandom() {
	s.t.Helper()
	s.kill(atRandom, s.between(50, 900))
}

// killStopped stops a ledger, as a machine does that is suspended or that swaps, and kills it then: while it sleeps, or
// when it has gone on with what everybody else has long given up.
func (s *siege) killStopped() {
	s.t.Helper()
	s.live(s.between(50, 500))
	s.ledger.signal(syscall.SIGSTOP)
	s.sleep()
	s.kill(atRandom, s.between(0, 400))
}

// sleep leaves a stopped ledger so for a while, and wakes it, or not. Of a long run's worlds each has one ledger that
// sleeps for up to a minute: longer than anybody waits for it.
func (s *siege) sleep() {
	d := s.between(0, 3000)
	if s.long {
		d, s.long = s.between(10_000, 60_000), false
	}
	s.add(stops, 1)
	s.live(d)
	if s.random.IntN(2) == 0 {
		s.ledger.signal(syscall.SIGCONT)
	}
}

// live lets the ledger do what it does for a while, and reports whether it has become ready meanwhile.
func (s *siege) live(d time.Duration) (ready bool) {
	s.t.Helper()
	for over := time.After(d); ; {
		select {
		case line := <-s.ledger.first:
			s.ready(line)
			ready = true
		case <-s.ledger.ended:
			return ready
		case <-over:
			return ready
		}
	}
}

// kill ends the ledger after a while.
func (s *siege) kill(how string, after time.Duration) {
	s.t.Helper()
	s.live(after)
	s.ledger.signal(syscall.SIGKILL)
	s.dead(how)
}

// dead checks that the ledger was killed, and counts it.
func (s *siege) dead(how string) {
	s.t.Helper()
	if !s.ledger.killed() {
		s.add(violations, 1)
		s.t.Fatalf("the ledger ended by itself: %v", s.ledger.err)
	}
	s.kills++
	s.add(how, 1)
}
