package esdbtest

import (
	"errors"
	"slices"
	"time"
)

// pageSize is how many events the server reads at a time.
const pageSize = 32

// What is wrong with where a read of all begins.
var (
	errInvalidPosition = errors.New("esdbtest: no record begins or ends there")
	errPastEnd         = errors.New("esdbtest: nothing to read back from there")
)

// allPage is a part of the log.
type allPage struct {
	events     []Record
	next       place // where the next page begins
	considered int   // events, those that the filter left out included
	end        bool
}

// allForwards reads on from a place, inclusive, until count events are found or window are considered. A place past the
// end is the end, whatever it is.
//
// EventStoreDB: AllReader.ReadAllEventsForwardInternal.
func (s *Store) allForwards(from place, count, window int, allowed filter) (allPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := allPage{next: from}
	switch {
	case from == head:
		page.end = true
		return page, nil
	case from.commit > s.lastIndexed():
		page.end = true
		return page, nil
	case !s.boundary(from.commit):
		return page, errInvalidPosition
	}
	i, _ := slices.BinarySearchFunc(s.log[:s.shown], uint64(from.commit), byPosition)
	for ; len(page.events) < count && page.considered < window; i++ {
		if i == s.shown {
			page.end = true
			break
		}
		r := s.log[i]
		if at(r.Position).compare(from) < 0 {
			continue
		}
		page.considered++
		page.next = place{int64(r.post()), 0}
		if allowed(r) {
			page.events = append(page.events, r)
		}
	}
	return page, nil
}

// allBackwards reads back from a place, exclusive: of events that end there or before.
//
// EventStoreDB: AllReader.ReadAllEventsBackwardInternal.
func (s *Store) allBackwards(from place, count, window int, allowed filter) (allPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := allPage{next: from}
	if from == head {
		from = at(s.end)
	}
	switch {
	case from.commit > int64(s.end):
		return page, errPastEnd
	case !s.boundary(from.commit):
		return page, errInvalidPosition
	}
	i, _ := slices.BinarySearchFunc(s.log[:s.shown], uint64(from.commit), byPosition)
	for i--; len(page.events) < count && page.considered < window; i-- {
		if i < 0 {
			page.end = true
			break
		}
		r := s.log[i]
		if at(r.post()).compare(from) > 0 {
			continue
		}
		page.considered++
		page.next = at(r.Position)
		if allowed(r) {
			page.events = append(page.events, r)
		}
	}
	return page, nil
}

// A streamState is what a reader finds where a stream should be.
type streamState int

const (
	streamThere streamState = iota
	streamNotFound
	streamTombstoned
)

// streamPage is a part of a stream.
type streamPage struct {
	state  streamState
	events []Record
	next   int64 // number at which the next page begins
	last   int64 // number of the stream's last event
	end    bool
}

// streamForwards reads on from a number, inclusive. What the stream's metadata hide is skipped.
//
// EventStoreDB: IndexReader.ReadStreamEventsForward.
func (s *Store) streamForwards(stream string, from int64, count int) streamPage {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, m := s.openStream(stream)
	if page.state != streamThere {
		return page
	}
	for page.next = max(from, s.lowest(stream, m, page.last)); page.next <= page.last && len(page.events) < count; page.next++ {
		page.events = append(page.events, s.numbered(stream, page.next))
	}
	page.end = page.next > page.last
	page.next = min(page.next, page.last+1)
	return page
}

// streamBackwards reads back from a number, inclusive; -1 is the last one.
//
// EventStoreDB: IndexReader.ReadStreamEventsBackward.
func (s *Store) streamBackwards(stream string, from int64, count int) streamPage {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, m := s.openStream(stream)
	if page.state != streamThere {
		return page
	}
	low := s.lowest(stream, m, page.last)
	if from < 0 || from > page.last {
		from = page.last
	}
	for page.next = from; page.next >= low && len(page.events) < count; page.next-- {
		page.events = append(page.events, s.numbered(stream, page.next))
	}
	page.end = page.next < low
	return page
}

// openStream finds out whether there is anything to read, and what the metadata leave of it.
func (s *Store) openStream(stream string) (streamPage, streamMetadata) {
	page, m := streamPage{last: s.lastShown(stream)}, s.metadataAt(stream, s.shownOf)
	switch {
	case page.last == deletedNumber:
		page.state = streamTombstoned
	case page.last < 0 || m.before == deletedNumber:
		page.state = streamNotFound
	}
	return page, m
}

// lowest is the number of the first event that the metadata leave to readers. Events are in the order of their age.
func (s *Store) lowest(stream string, m streamMetadata, last int64) int64 {
	low := m.before
	if m.maxCount > 0 {
		low = max(low, last-m.maxCount+1)
	}
	if m.maxAge == 0 {
		return low
	}
	oldest := s.Now().Add(-m.maxAge)
	places := s.shownOf(stream)
	young, _ := slices.BinarySearchFunc(places, oldest, func(i int, oldest time.Time) int { return s.log[i].Created.Compare(oldest) })
	return max(low, int64(young))
}

// numbered returns an event of a stream that has no tombstone.
func (s *Store) numbered(stream string, number int64) Record { return s.log[s.streams[stream][number]] }

// read returns an event as a reader of its stream would find it.
func (s *Store) read(stream string, number int64) (Record, bool) {
	page, m := s.openStream(stream)
	if page.state != streamThere || number > page.last || number < s.lowest(stream, m, page.last) {
		return Record{}, false
	}
	return s.numbered(stream, number), true
}

// target returns what a link points at, if it can be read.
func (s *Store) target(stream string, number int64) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(stream, number)
}
