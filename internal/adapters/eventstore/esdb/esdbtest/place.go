package esdbtest

import (
	"cmp"
	"math"
	"slices"
)

// A place is a position as the protocol writes it: commit and prepare, which are equal for an event of this log and
// differ in the places between events. Places are ordered by commit, then by prepare. -1 stands for the greatest
// number of the protocol.
type place struct{ commit, prepare int64 }

// head is the end of the log as it is when the place is used.
var head = place{-1, -1}

func at(position uint64) place { return place{int64(position), int64(position)} }

func (p place) compare(q place) int {
	if c := cmp.Compare(p.commit, q.commit); c != 0 {
		return c
	}
	return cmp.Compare(p.prepare, q.prepare)
}

func (p place) wire() (commit, prepare uint64) { return wireNumber(p.commit), wireNumber(p.prepare) }

func wireNumber(n int64) uint64 { return uint64(n) } // -1 is math.MaxUint64

// number reads a number of the protocol. Between the greatest signed and the greatest unsigned one there are none.
func number(wire uint64) (int64, bool) {
	return int64(wire), wire <= math.MaxInt64 || wire == math.MaxUint64
}

// boundary says whether a record begins or ends at a position, which is all that the server can tell from garbage.
func (s *Store) boundary(position int64) bool {
	i, begins := slices.BinarySearchFunc(s.log, uint64(position), byPosition)
	return begins || position == 0 || uint64(position) == s.end || i > 0 && s.log[i-1].post() == uint64(position)
}
