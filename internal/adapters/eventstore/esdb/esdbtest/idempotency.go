package esdbtest

import (
	"fmt"

	"github.com/google/uuid"
)

// Expected is what an append expects of its stream: the number of its last event, or one of the three below.
type Expected int64

// What may be expected beside a number.
const (
	NoStream     Expected = -1
	Any          Expected = -2
	StreamExists Expected = -4
)

// WrongVersionError says that the stream does not stand where the append expected it.
type WrongVersionError struct {
	Expected Expected
	Current  int64 // -1: the stream has no events
}

func (e *WrongVersionError) Error() string {
	return fmt.Sprintf("esdbtest: expected version %d, current version %d", e.Expected, e.Current)
}

// A decision is what becomes of an append.
type decision int

const (
	accepted   decision = iota // it is written
	repeated                   // it was written before, and is answered so
	unanswered                 // it was written before, but no quorum has it
	wrong
	deleted
)

type verdict struct {
	decision decision
	current  int64 // number of the stream's last event, -1 for none
	last     int64 // of what was written before
	undelete bool  // the stream is softly deleted and comes back
}

// check decides on an append by what is written, the tail included.
//
// EventStoreDB: IndexWriter.CheckCommit.
func (s *Store) check(stream string, expected Expected, ids []uuid.UUID) verdict {
	cur := s.last(stream)
	v := verdict{current: cur, decision: wrong}
	switch {
	case cur == deletedNumber:
		v.decision = deleted
	case expected == StreamExists && s.softDeleted(stream):
		v.decision = deleted
	case expected == StreamExists && cur < 0 && s.last(metaOf(stream)) < 0:
	case expected == Any || expected == StreamExists:
		return s.checkAny(stream, ids, v)
	case int64(expected) > cur:
	case int64(expected) == cur:
		v.decision, v.undelete = accepted, s.softDeleted(stream)
	default:
		return s.checkExact(stream, expected, ids, v)
	}
	return v
}

// checkAny is for an append that names no number. All it goes by is the cache of ids, which is bounded, does not
// outlive the leader, and says only where an id was written last.
func (s *Store) checkAny(stream string, ids []uuid.UUID, v verdict) verdict {
	for i, id := range ids {
		place, known := s.ids.at[id]
		if known && place.stream == stream {
			v.last = place.number
			continue
		}
		if i == 0 {
			v.decision, v.undelete = accepted, s.softDeleted(stream)
		}
		return v // CorruptedIdempotency if a part is there
	}
	if len(ids) == 0 {
		v.decision, v.undelete = accepted, s.softDeleted(stream)
		return v
	}
	return s.before(stream, v)
}

// checkExact compares an append at a number that the stream has passed with what was written there. It goes by the
// log, and so holds for ever.
func (s *Store) checkExact(stream string, expected Expected, ids []uuid.UUID, v verdict) verdict {
	places := s.streams[stream]
	v.last = int64(expected)
	for i, id := range ids {
		v.last++
		if v.last < int64(len(places)) && s.log[places[v.last]].ID == id {
			continue
		}
		if i == 0 && expected == NoStream && s.softDeleted(stream) {
			v.decision, v.undelete = accepted, true
		}
		return v
	}
	if len(ids) == 0 {
		return v
	}
	return s.before(stream, v)
}

// before answers what was written before, if a quorum has it.
func (s *Store) before(stream string, v verdict) verdict {
	v.decision = unanswered
	if s.lastShown(stream) >= v.last {
		v.decision = repeated
	}
	return v
}

// original answers a repetition: with the position of the first time, unless the event can no longer be read.
func (s *Store) original(stream string, last int64) Outcome {
	out := Outcome{Revision: last, Position: -1}
	if r, ok := s.read(stream, last); ok {
		out.Position = int64(r.Position)
	}
	return out
}

// idCache remembers where ids were written last. It is bounded by what its entries are taken to weigh, and gives up
// the oldest.
type idCache struct {
	at     map[uuid.UUID]idPlace
	order  []uuid.UUID
	weight int
}

type idPlace struct {
	stream string
	number int64
}

// idCacheBound is 8 MiB.
//
// EventStoreDB: ESConsts.CommitedEventsMemCacheLimit.
const idCacheBound = 8 << 20

func (p idPlace) weight() int { return 28 + 2*len(p.stream) }

func (c *idCache) put(id uuid.UUID, stream string, number int64) {
	if c.at == nil {
		c.at = map[uuid.UUID]idPlace{}
	}
	old, known := c.at[id]
	if known {
		c.weight -= old.weight()
	} else {
		c.order = append(c.order, id)
	}
	c.at[id] = idPlace{stream, number}
	c.weight += c.at[id].weight()
	for c.weight > idCacheBound {
		c.weight -= c.at[c.order[0]].weight()
		delete(c.at, c.order[0])
		c.order = c.order[1:]
	}
}
