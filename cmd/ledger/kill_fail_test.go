package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ledger.internal/ledger/internal/sim/door"
)

// failSpot is one kind of fail point: a point, and on which side of the call.
type failSpot struct {
	name   string // point:side
	most   int    // at which of the calls it may be; less when a ledger did not come that far
	missed int    // how often one did not
}

// askedAfter are the points at which a guard is asked on both sides: calls that take effect.
var askedAfter = []string{"log.append", "work.update", "views.update", "gateway.charge", "gateway.refund", "receiver.post"}

// callsAt is about how many calls there are at each point in half a second of a ledger's life.
var callsAt = map[string]int{
	"log.append": 300, "log.read": 500, "log.follow": 2000, "log.head": 2,
	"work.update": 400, "work.query": 300, "views.update": 200, "views.query": 6,
	"gateway.charge": 40, "gateway.refund": 8, "gateway.lookup": 1, "receiver.post": 50,
}

// failSpots are all kinds of fail points, in an order that is drawn. A ledger whose log is so many times slower comes to
// fewer calls.
func failSpots(random *rand.Rand, slower int) (spots []failSpot) {
	for _, point := range door.Points() {
		most := max(1, callsAt[point]/slower)
		spots = append(spots, failSpot{name: point + ":before", most: most})
		if slices.Contains(askedAfter, point) {
			spots = append(spots, failSpot{name: point + ":after", most: most})
		}
	}
	random.Shuffle(len(spots), func(i, j int) { spots[i], spots[j] = spots[j], spots[i] })
	return spots
}

// nextSpot is the kind of fail point that was reached least; one that was not come to is not insisted on. Nothing is
// looked up before time passes.
func (s *siege) nextSpot() *failSpot {
	var next *failSpot
	turn := func(f *failSpot) int { return 2*s.reached[f.name] + f.missed }
	for i := range s.spots {
		spot := &s.spots[i]
		if (s.manual || !strings.HasPrefix(spot.name, "gateway.lookup")) && (next == nil || turn(spot) < turn(next)) {
			next = spot
		}
	}
	return next
}

// killAtFailPoint has a ledger come to a fail point, and kills it if that does not.
func (s *siege) killAtFailPoint() {
	s.t.Helper()
	spot, action := s.nextSpot(), "kill"
	if s.reached[spot.name] > 0 {
		action = []string{"kill", "kill", "kill", "pause", "error"}[s.random.IntN(5)]
	}
	s.serve([]string{fmt.Sprintf("LEDGER_FAILPOINT=%s:%d:%s", spot.name, 1+s.random.IntN(spot.most), action)}, s.withFailPoints)
	if !s.comesToFailPoint() {
		spot.missed++
		spot.most = max(1, spot.most/4)
		s.kill(atRandom, 0)
		return
	}
	s.reached[spot.name]++
	switch action {
	case "kill":
		s.dead(atFailPoint)
	case "pause":
		s.sleep()
		s.kill(atFailPoint, s.between(0, 400))
	case "error":
		s.killFailed()
	}
}

// comesToFailPoint reports whether the ledger does so, before it is ready or soon after.
func (s *siege) comesToFailPoint() bool {
	s.t.Helper()
	select {
	case line := <-s.ledger.first:
		s.ready(line)
		s.passDays()
	case <-s.ledger.reached:
	case <-s.ledger.ended:
	case <-s.ctx.Done():
		s.t.Fatal("a ledger is neither ready nor at its fail point")
	}
	select {
	case <-s.ledger.reached:
		return true
	case <-s.ledger.ended: // what it said before has been read
	case <-time.After(2 * time.Second):
	}
	select {
	case <-s.ledger.reached:
		return true
	default:
		return false
	}
}

// killFailed lets a ledger live on for a moment after one of its calls has failed, and kills it then. Where that was a
// call without which it cannot begin, it has said so and is gone.
func (s *siege) killFailed() {
	s.t.Helper()
	s.live(s.between(0, 600))
	s.ledger.signal(syscall.SIGKILL)
	if s.ledger.killed() {
		s.kills++
		s.add(atFailPoint, 1)
	}
}

// checkReached fails if a fail point was not come to in a long run: then nobody knows whether the ledger survives it.
func (h *harness) checkReached(t *testing.T) {
	t.Helper()
	for _, spot := range h.spots {
		if n := h.reached[spot.name]; n < 2 {
			h.add(violations, 1)
			t.Errorf("%s was reached %d times, want at least 2", spot.name, n)
		}
	}
}
