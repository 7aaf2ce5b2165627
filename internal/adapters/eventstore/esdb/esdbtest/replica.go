package esdbtest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// epochs is the stream of elections. Its events stand in the log and are hidden from readers of $all.
const epochs = "$epoch-information"

// Lead makes the node leader of a new epoch: it knows no ids any more, and an event that nobody is shown tells of the
// epoch. The error is ErrNotReplicated; where there is none, what the node had in its tail is everybody's now.
func (s *Store) Lead() error {
	s.ForgetIDs()
	_, err := s.commit(func() (Outcome, error) {
		s.end += systemRecord // the epoch itself, which is no event
		n := s.last(epochs) + 1
		s.put(epochs, Proposed{ID: uuid.New(), Type: "$epoch-information", ContentType: contentJSON, Data: fmt.Appendf(nil, `{"epochNumber":%d}`, n)})
		return Outcome{}, nil
	})
	return err
}

// Tail returns what stands in the log and has no quorum.
func (s *Store) Tail() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log[s.shown:])
}

// Truncate drops the tail, as a node does that finds another one leading without it. Its positions are given again to
// what comes next.
func (s *Store) Truncate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut(s.shown)
}

// Reveal shows readers the tail. After a call of Replicate that said no it is a lie, which lets tests see what a
// reader of something uncommitted would do.
func (s *Store) Reveal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show(len(s.log))
}

// ApplyReplica adds what the leader has, at the leader's positions, and shows it. Records that stand here already are
// left out; where the logs differ, this node's gives way from there on, as a node's does that joins a leader.
func (s *Store) ApplyReplica(records []Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		i, found := slices.BinarySearchFunc(s.log, r.Position, byPosition)
		if found && s.log[i].ID == r.ID {
			continue
		}
		s.cut(i)
		s.add(r)
	}
	s.show(len(s.log))
}

// obey adds what the leader has after what readers see. The tail gives way in the same step: an append to this node
// that began while it led may still add to it, and must not be shown with the rest.
func (s *Store) obey(records []Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut(s.shown)
	for _, r := range records {
		if i, found := slices.BinarySearchFunc(s.log, r.Position, byPosition); !found {
			s.cut(i)
			s.add(r)
		}
	}
	s.show(len(s.log))
}

// Replace makes the log that of the records and nothing else: a follower's that begins anew from the leader, or a
// node's that was restored from a backup.
func (s *Store) Replace(records []Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut(0)
	for _, r := range records {
		s.add(r)
	}
	s.show(len(s.log))
}

func byPosition(r Record, position uint64) int { return cmp.Compare(r.Position, position) }

// cut drops the log from an index on.
func (s *Store) cut(from int) {
	if from == len(s.log) {
		return
	}
	for _, r := range s.log[from:] {
		places := s.streams[r.Stream]
		n, _ := slices.BinarySearch(places, from)
		s.streams[r.Stream] = places[:n]
	}
	s.log = slices.Clone(s.log[:from]) // readers keep slices of the old one
	s.shown = min(s.shown, from)
	s.end = 0
	if from > 0 {
		s.end = s.log[from-1].post()
	}
	s.ids = idCache{}
	s.cuts++
}
