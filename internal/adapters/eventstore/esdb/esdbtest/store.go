// Package esdbtest is a double of an EventStoreDB server: real sockets, the server's protocol, and the server's own
// answers, the awkward ones included. A test that passes on it should pass on the vendor's server.
package esdbtest

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ErrNotReplicated says that what was to be appended stands in the log, but that no quorum has it: nobody can read
// it, and the server does not answer. It may become visible later, or be lost.
var ErrNotReplicated = errors.New("esdbtest: not replicated")

// ErrStreamDeleted says that the stream has a tombstone, or is deleted where the append wanted it to exist.
var ErrStreamDeleted = errors.New("esdbtest: stream is deleted")

// Record is an event as it stands in the log. Its bytes are shared: they are not to be changed.
type Record struct {
	Position       uint64
	Stream         string
	Number         uint64 // the place in its stream, counted from 0; deletedNumber for a tombstone
	ID             uuid.UUID
	Type           string
	ContentType    string
	Data, Metadata []byte
	Created        time.Time
}

// Proposed is an event that someone wants to append.
type Proposed struct {
	ID             uuid.UUID
	Type           string
	ContentType    string // contentJSON, or anything else for bytes
	Data, Metadata []byte
}

// The content types that the server knows. Whatever is not JSON is kept as bytes; JSON is not looked at.
const (
	contentJSON  = "application/json"
	contentBytes = "application/octet-stream"
)

// deletedNumber is the number of a tombstone, and the bound below which a softly deleted stream is truncated.
const deletedNumber = math.MaxInt64

// Outcome is what the server says of an append that it wrote, now or before.
type Outcome struct {
	Revision int64 // of the last event; -1 if the stream is still without any
	Position int64 // of the last event; -1 if the server cannot say, as for a repetition of what was truncated since

	last uuid.UUID // the event at Position, if this call wrote it
}

// Store is one node's log. It outlives the servers over it, as a disk does, and is safe for concurrent use. The
// exported fields are to be set before its first use.
type Store struct {
	MaxAppend      int              // bytes of one append
	MaxAppendEvent int              // bytes of one event
	CommitTimeout  time.Duration    // until an append that no quorum has is answered
	NoCaughtUp     bool             // do not tell subscriptions that they are live, as servers before 23.10 do not
	Now            func() time.Time // when an event is created, and how old it is

	// Replicate is called with what no quorum has yet, in log order, the newest last, and says whether a quorum has
	// it now. One call at a time; readers and Truncate do not wait for it. Without it the node is its own quorum.
	Replicate func(tail []Record) bool

	writing sync.Mutex // held by whoever appends, while it replicates too

	mu      sync.Mutex
	log     []Record
	shown   int              // log[:shown] has a quorum, and is what readers see; the rest is the tail
	end     uint64           // where the next record goes
	streams map[string][]int // indexes in log, in the order of their numbers
	ids     idCache
	cuts    int           // counts what shortened the log
	changed chan struct{} // closed, and replaced, when readers see something else than before
	live    map[*live]struct{}
}

// NewStore returns the log of a node that has just been elected for the first time: one epoch and nothing else.
func NewStore() *Store {
	s := &Store{
		MaxAppend: 1 << 20, MaxAppendEvent: math.MaxInt32, CommitTimeout: 2 * time.Second, Now: time.Now,
		streams: map[string][]int{}, changed: make(chan struct{}), live: map[*live]struct{}{},
	}
	_ = s.Lead()
	return s
}

// Append adds events to a stream by the rules of CheckCommit in idempotency.go. Its errors are *WrongVersionError,
// ErrStreamDeleted and ErrNotReplicated.
func (s *Store) Append(stream string, expected Expected, events []Proposed) (Outcome, error) {
	return s.commit(func() (Outcome, error) {
		v := s.check(stream, expected, ids(events))
		switch v.decision {
		case deleted:
			return Outcome{}, ErrStreamDeleted
		case wrong:
			return Outcome{}, &WrongVersionError{Expected: expected, Current: v.current}
		case unanswered:
			return Outcome{}, ErrNotReplicated
		case repeated:
			return s.original(stream, v.last), nil
		}
		return s.write(stream, v, events), nil
	})
}

func ids(events []Proposed) []uuid.UUID {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

// write puts what check found right. An append without events still takes a place in the log.
func (s *Store) write(stream string, v verdict, events []Proposed) Outcome {
	out := Outcome{Revision: v.current + int64(len(events)), Position: int64(s.end)}
	wake := s.metaOfDeleted(stream)
	for _, e := range events {
		out.Position, out.last = int64(s.end), e.ID
		s.put(stream, e)
	}
	if len(events) == 0 {
		s.end += emptyRecord
	}
	if v.undelete {
		s.undelete(stream, v.current+1)
	}
	if wake {
		original := originalOf(stream)
		s.undelete(original, s.last(original)+1)
	}
	return out
}

// commit lets decide look at the log and add to it, and shows readers what it added once a quorum has it. Decide
// adds nothing if it returns an error.
func (s *Store) commit(decide func() (Outcome, error)) (Outcome, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.log)
	out, err := decide()
	if err != nil || len(s.log) == before {
		return out, err
	}
	through, cuts := len(s.log), s.cuts
	if s.Replicate != nil && !s.replicate(slices.Clone(s.log[s.shown:])) || cuts != s.cuts {
		return out, ErrNotReplicated
	}
	s.show(through)
	return out, nil
}

// replicate lets go of the log while it asks, so that readers do not wait for a quorum.
func (s *Store) replicate(tail []Record) bool {
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.Replicate(tail)
}

// Sizes of what stands in the log beside the data of events. Nobody may take positions for a count of events.
const (
	recordHeader = 64
	emptyRecord  = 64
	systemRecord = 128
)

// put adds an event to the tail, at the end of its stream.
func (s *Store) put(stream string, e Proposed) { s.putAt(stream, s.last(stream)+1, e) }

func (s *Store) putAt(stream string, number int64, e Proposed) {
	content := contentBytes
	if e.ContentType == contentJSON {
		content = contentJSON
	}
	s.add(Record{
		Position: s.end, Stream: stream, Number: uint64(number), ID: e.ID, Type: e.Type, ContentType: content,
		Data: slices.Clone(e.Data), Metadata: slices.Clone(e.Metadata), Created: s.Now().UTC().Truncate(100 * time.Nanosecond),
	})
	s.ids.put(e.ID, stream, number)
}

func (s *Store) add(r Record) {
	s.streams[r.Stream] = append(s.streams[r.Stream], len(s.log))
	s.log = append(s.log, r)
	s.end = r.post()
}

// post is the position after the record: where the next one begins, unless one that is no event stands between.
func (r Record) post() uint64 {
	return r.Position + recordHeader + uint64(len(r.Stream)+len(r.Type)+len(r.Data)+len(r.Metadata))
}

// show lets readers see the log up to the index through.
func (s *Store) show(through int) {
	through = max(through, s.shown) // what is shown stays so
	fresh := s.log[s.shown:through]
	s.shown = through
	for l := range s.live {
		for _, r := range fresh {
			l.appeared(r)
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// last is the number of the stream's last event, -1 for none; the tail counts, as it does for whoever writes. With a
// stream its metadata are gone too.
func (s *Store) last(stream string) int64 {
	if isMeta(stream) && s.last(originalOf(stream)) == deletedNumber {
		return deletedNumber
	}
	return s.lastOf(s.streams[stream])
}

// lastShown is last as readers see it.
func (s *Store) lastShown(stream string) int64 {
	if isMeta(stream) && s.lastShown(originalOf(stream)) == deletedNumber {
		return deletedNumber
	}
	return s.lastOf(s.shownOf(stream))
}

func (s *Store) lastOf(places []int) int64 {
	if len(places) == 0 {
		return -1
	}
	return int64(s.log[places[len(places)-1]].Number)
}

// shownOf are the stream's places that readers see.
func (s *Store) shownOf(stream string) []int {
	places := s.streams[stream]
	n, _ := slices.BinarySearch(places, s.shown)
	return places[:n]
}

// lastIndexed is the position of the last event that readers see, -1 for none.
func (s *Store) lastIndexed() int64 {
	if s.shown == 0 {
		return -1
	}
	return int64(s.log[s.shown-1].Position)
}

// Records returns what readers see, in log order, what is hidden from $all included.
func (s *Store) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log[:s.shown])
}

// ForgetIDs empties the cache of the ids of committed events, as a restart and a change of leaders do.
func (s *Store) ForgetIDs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = idCache{}
}
