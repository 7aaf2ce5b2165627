package bus

import (
	"container/list"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Window decides which event of a handler may go out, and what done and parked mean for the cursor. It is a plain
// struct without goroutines, locks or I/O.
//
// At most one event per stream is out, in the order of the stream; events of different streams go out side by side.
// The cursor is the lowest position below which every event is done or parked. It never goes back.
type Window struct {
	size   int
	cursor event.Cursor

	open  list.List // *slot: what is neither done nor parked, in log order
	ready list.List // *slot: what Next may give, in log order as far as it is known
	out   int

	lanes    map[string]*lane
	parked   map[string]diversion
	replayed map[string]event.Revision // what a replay has handled although the log has not offered it yet
}

// slot is an event that is neither done nor parked.
type slot struct {
	event event.RawRecorded
	// upTo is where the cursor may go once this event and all before it are finished: past the events behind it
	// that are finished already.
	upTo event.Cursor
	at   *list.Element // in open
	wait *list.Element // in ready; nil if it is not there
}

// diversion is a stream whose events are left to a replay.
type diversion struct {
	from event.Revision // where the replay begins
	last event.Revision // the last that was diverted; NoStream if none was
}

// lane is what is open of one stream, in order.
type lane struct {
	slots []*slot
	busy  bool // the first one is out
	held  bool // none may go out; see Replayed
}

// NewWindow returns a Window that holds at most size events and whose cursor stands at after.
func NewWindow(size int, after event.Cursor) *Window {
	return &Window{
		size: size, cursor: after,
		lanes: map[string]*lane{}, parked: map[string]diversion{}, replayed: map[string]event.Revision{},
	}
}

// Full reports whether no event may be offered now. Events that are done take no room, whatever they wait for.
func (w *Window) Full() bool { return w.open.Len() >= w.size }

// Idle reports whether every event that was offered is done or parked.
func (w *Window) Idle() bool { return w.open.Len() == 0 }

// Out is how many events have gone out and are not finished.
func (w *Window) Out() int { return w.out }

// Held is how many events are not finished.
func (w *Window) Held() int { return w.open.Len() }

// Cursor is the lowest position below which everything is done or parked, and the last event at or below it.
func (w *Window) Cursor() event.Cursor { return w.cursor }

// Offer takes the next event of the log. The events of a parked stream are left to its replay. One that was offered
// before, by a log that was cut off and begins again further back, is not taken twice.
func (w *Window) Offer(e event.RawRecorded) {
	if e.Position.Compare(w.end().Position) <= 0 {
		return
	}
	if d, ok := w.parked[e.Stream]; ok {
		d.last = e.Revision
		w.parked[e.Stream] = d
		w.pass(e)
		return
	}
	if last, ok := w.replayed[e.Stream]; ok {
		if e.Revision >= last {
			delete(w.replayed, e.Stream)
		}
		if e.Revision <= last {
			w.pass(e)
			return
		}
	}
	s := &slot{event: e, upTo: cursorAt(e)}
	s.at = w.open.PushBack(s)
	l := w.lane(e.Stream)
	l.slots = append(l.slots, s)
	w.prepare(e.Stream, l)
}

// pass moves over an event that needs nothing.
func (w *Window) pass(e event.RawRecorded) {
	*w.end() = cursorAt(e)
}

// end is how far the log was offered.
func (w *Window) end() *event.Cursor {
	if back := w.open.Back(); back != nil {
		return &back.Value.(*slot).upTo
	}
	return &w.cursor
}

// Advance says that no event stands between the last one offered and p.
func (w *Window) Advance(p event.Position) {
	if to := &w.end().Position; to.Compare(p) < 0 {
		*to = p
	}
}

// Next gives an event that may go out now, or false.
func (w *Window) Next() (event.RawRecorded, bool) {
	front := w.ready.Front()
	if front == nil {
		return event.RawRecorded{}, false
	}
	s := w.ready.Remove(front).(*slot)
	s.wait = nil
	w.lanes[s.event.Stream].busy = true
	w.out++
	return s.event, true
}

// Done says that an event that went out is done, and returns the cursor. An event that was parked meanwhile is
// already accounted for.
func (w *Window) Done(e event.RawRecorded) event.Cursor {
	l := w.lanes[e.Stream]
	if l != nil && l.busy && l.slots[0].event.Revision == e.Revision {
		l.busy = false
		w.out--
		w.finish(l.slots[0])
		l.slots = l.slots[1:]
		w.prepare(e.Stream, l)
	}
	return w.cursor
}

// Park sets a stream aside from a revision on: everything before it is done, the rest is diverted to the replay.
func (w *Window) Park(stream string, from event.Revision) {
	d := diversion{from: from, last: event.NoStream}
	if before, ok := w.parked[stream]; ok {
		d.last = before.last
	}
	delete(w.replayed, stream)
	if l := w.lanes[stream]; l != nil {
		if l.busy {
			w.out--
		}
		for _, s := range l.slots {
			d.last = s.event.Revision
			if s.wait != nil {
				w.ready.Remove(s.wait)
			}
			w.finish(s)
		}
		delete(w.lanes, stream)
	}
	w.parked[stream] = d
}

// Replayed says that a replay of a parked stream has handled everything up to a revision, and has read the stream to
// its end since the window was made: of what was diverted before, the window knows nothing. True means that this is
// all that was diverted and the stream is not parked any more; its events are kept back until Resume, so that the
// caller can write that down first. False means that there is more to replay.
func (w *Window) Replayed(stream string, upTo event.Revision) bool {
	d, ok := w.parked[stream]
	if !ok || upTo < d.from || upTo < d.last {
		return false
	}
	delete(w.parked, stream)
	if upTo > d.last {
		w.replayed[stream] = upTo
	}
	w.lane(stream).held = true
	return true
}

// Resume lets the events of a stream that was replayed go out again.
func (w *Window) Resume(stream string) {
	if l := w.lanes[stream]; l != nil {
		l.held = false
		w.prepare(stream, l)
	}
}

func (w *Window) lane(stream string) *lane {
	l := w.lanes[stream]
	if l == nil {
		l = &lane{}
		w.lanes[stream] = l
	}
	return l
}

// prepare makes the first event of a lane ready if it may go out, and forgets a lane that is empty.
func (w *Window) prepare(stream string, l *lane) {
	switch {
	case l.busy || l.held:
	case len(l.slots) == 0:
		delete(w.lanes, stream)
	case l.slots[0].wait == nil:
		l.slots[0].wait = w.ready.PushBack(l.slots[0])
	}
}

// finish takes a slot out and hands what its end allows to the one before it, or to the cursor.
func (w *Window) finish(s *slot) {
	if before := s.at.Prev(); before != nil {
		before.Value.(*slot).upTo = s.upTo
	} else {
		w.cursor = s.upTo
	}
	w.open.Remove(s.at)
}

func cursorAt(e event.RawRecorded) event.Cursor {
	return event.Cursor{Position: e.Position, LastPosition: e.Position, LastID: e.ID}
}
