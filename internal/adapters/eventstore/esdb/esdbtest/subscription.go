package esdbtest

import (
	"errors"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

// A subscription goes on from a place without end: it catches up from the log, then tells what happens, and catches
// up again when more happened than it kept. A place is a position or, in a stream, a number.
//
// EventStoreDB: Enumerator.StreamSubscription, Enumerator.AllSubscription and Enumerator.AllSubscriptionFiltered.
type subscription struct {
	reader
	stream  string // "$all" for all
	place   func(Record) place
	catchUp func(*subscription) error

	live *live
	at   place  // what was told last, or where to begin: only what stands after it is told
	seen uint64 // the last happening
	told place  // the last checkpoint
}

func (r reader) subscribeAll(o *streams.ReadReq_Options) error {
	a, err := readAllOptions(o)
	if err != nil {
		return err
	}
	interval := 0
	if f := o.GetFilter(); f != nil {
		if f.GetCheckpointIntervalMultiplier() == 0 {
			return errThrown()
		}
		interval = int(f.GetCheckpointIntervalMultiplier()) * a.window
	}
	s := &subscription{
		reader: r, stream: "$all", at: a.from, told: head,
		place:   func(r Record) place { return at(r.Position) },
		catchUp: func(s *subscription) error { return s.catchUpAll(a.allowed, a.window) },
		live:    &live{stream: "$all", allowed: a.allowed, interval: interval},
	}
	last := r.store.listen(s.live)
	defer r.store.unlisten(s.live)
	switch {
	case a.start:
		s.at = head // before everything: what head is to reads, here is at(last)
	case a.from == head:
		s.at = place{last, last}
	}
	return s.run(place{last, last})
}

func (r reader) subscribeStream(stream string, o *streams.ReadReq_Options) error {
	from, start, err := revision(o.GetStream())
	if err != nil {
		return err
	}
	s := &subscription{
		reader: r, stream: stream, at: place{from, from}, told: head,
		place:   func(r Record) place { return at(r.Number) },
		catchUp: (*subscription).catchUpStream,
		live:    &live{stream: stream, allowed: func(Record) bool { return true }},
	}
	last := r.store.listen(s.live)
	defer r.store.unlisten(s.live)
	switch {
	case last == deletedNumber:
		return errDeleted(stream)
	case start:
		s.at = head
	case from == -1:
		s.at = place{last, last}
	}
	return s.run(place{last, last})
}

// run begins live for whoever is at the end already, or past it: nobody asks whether there is such a place.
func (s *subscription) run(last place) error {
	if err := s.send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}}); err != nil {
		return err
	}
	if s.at.compare(last) >= 0 {
		if err := s.goLive(); err != nil {
			return err
		}
	}
	for {
		if err := s.catchUp(s); err != nil {
			return err
		}
		if err := s.goLive(); err != nil {
			return err
		}
	}
}

// goLive tells what happens until something was forgotten.
func (s *subscription) goLive() error {
	if !s.store.NoCaughtUp {
		if err := s.send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}); err != nil {
			return err
		}
	}
	for {
		h, recheck, err := s.live.next(s.ctx, s.node.done())
		if err != nil {
			return err
		}
		if recheck {
			if err := s.node.canRead(s.ctx, s.stream); err != nil {
				return err
			}
		}
		if h.number == 0 {
			continue
		}
		behind, err := s.happen(h)
		if err != nil || behind {
			return err
		}
	}
}

func (s *subscription) happen(h happening) (behind bool, err error) {
	follows := h.number == s.seen+1
	s.seen = h.number
	// What was told before, while catching up, does not count: not even as a gap.
	if c := s.place(h.event).compare(s.at); c < 0 || c == 0 && !h.checkpoint {
		return false, nil
	}
	switch {
	case !follows && s.live.interval > 0:
		return true, s.checkpoint()
	case !follows:
		return true, nil
	case h.checkpoint:
		s.at = s.place(h.event)
		return false, s.checkpoint()
	}
	return false, s.tell(h.event)
}

func (s *subscription) tell(r Record) error {
	s.at = s.place(r)
	if err := s.send(s.event(r)); err != nil {
		return err
	}
	if s.stream != "$all" && r.Type == typeTombstone {
		return errDeleted(s.stream)
	}
	return nil
}

// checkpoint tells where the subscription is, once.
func (s *subscription) checkpoint() error {
	if s.at.compare(s.told) <= 0 {
		return nil
	}
	s.told = s.at
	commit, prepare := s.at.wire()
	return s.send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: commit, PreparePosition: prepare},
	}})
}

// catchUpAll reads pages to the end of the log. Its checkpoints are where a page began if nothing was found in it,
// and so may lie between events.
func (s *subscription) catchUpAll(allowed filter, window int) error {
	from, considered := s.at, 0
	if from == head {
		from = place{}
	}
	for {
		if err := s.requireLeader(s.ctx); err != nil {
			return err
		}
		page, err := s.store.allForwards(from, pageSize, window, allowed)
		if errors.Is(err, errInvalidPosition) {
			return errInvalidPositionAnswer()
		}
		for _, e := range page.events {
			if s.place(e).compare(s.at) <= 0 {
				continue // where the first page begins
			}
			if err := s.tell(e); err != nil {
				return err
			}
		}
		if considered += page.considered; s.live.interval > 0 && (page.end || considered >= s.live.interval) {
			considered %= s.live.interval
			if s.at.compare(from) < 0 {
				s.at = from
			}
			if err := s.checkpoint(); err != nil {
				return err
			}
		}
		if page.end {
			return nil
		}
		from = page.next
	}
}

// catchUpStream reads pages to the end of the stream; one that does not exist ends at once.
func (s *subscription) catchUpStream() error {
	if s.at.commit == math.MaxInt64 {
		return nil
	}
	for from := s.at.commit + 1; ; {
		if err := s.requireLeader(s.ctx); err != nil {
			return err
		}
		page := s.store.streamForwards(s.stream, from, pageSize)
		switch page.state {
		case streamTombstoned:
			return errDeleted(s.stream)
		case streamNotFound:
			return nil
		}
		for _, e := range page.events {
			if err := s.tell(e); err != nil {
				return err
			}
		}
		if page.end {
			return nil
		}
		from = page.next
	}
}
