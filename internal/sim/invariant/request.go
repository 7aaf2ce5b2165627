package invariant

import "ledger.internal/ledger/internal/aggregate/event"

// effectOf names the effect of a request.
type effectOf struct{ stream, request string }

// effect is what an acknowledged request did.
type effect struct {
	events   int
	last     event.Revision
	position event.Position
}

func (x *effect) note(e event.Recorded) {
	x.events++
	x.last, x.position = e.Revision, e.Position
}

// checkAcks checks that every acknowledged command is in the log, where the answer said, and was answered in one way.
func (h *history) checkAcks() {
	for _, a := range h.world.Acks {
		s := h.streams[a.Stream]
		position, err := event.ParsePosition(a.Position)
		switch {
		case s == nil:
			h.broken("I-04", "%s: request %s was acknowledged, and there is no such stream", a.Stream, a.RequestID)
			continue
		case int64(s.revision) < a.Revision:
			h.broken("I-04", "%s: request %s was acknowledged at revision %d, and the stream ends at %d", a.Stream, a.RequestID, a.Revision, s.revision)
		case err != nil || position.Compare(h.head) > 0:
			h.broken("I-04", "%s: request %s was acknowledged at position %q, and the log ends at %s", a.Stream, a.RequestID, a.Position, h.head)
		}
		x := h.effects[effectOf{a.Stream, a.RequestID}]
		if x.events == 0 {
			if !a.Needless && !h.endedBy(a) {
				h.broken("I-04", "%s: request %s was acknowledged, and the log has no event of it", a.Stream, a.RequestID)
			}
			continue
		}
		if a.Needless && int64(x.last) > a.Revision {
			continue // it found something to do only when it came again
		}
		h.checkAnswer(a, x, position)
	}
}

// endedBy reports whether a subscription had ended when it was answered: to end it again changes nothing.
func (h *history) endedBy(a Ack) bool {
	l := h.subscriptions[a.Stream]
	return l != nil && l.ended != event.NoStream && int64(l.ended) <= a.Revision
}

// checkAnswer compares an answer with what the request did.
func (h *history) checkAnswer(a Ack, x *effect, position event.Position) {
	// An answer after a wait tells of what has come since, and a repeated one where the log ends now.
	revision, place := int64(x.last) == a.Revision || a.Waited && !a.Replayed, position == x.position || a.Waited || a.Replayed
	switch {
	case int64(x.last) > a.Revision || position.Compare(x.position) < 0:
		h.broken("I-04", "%s: request %s was acknowledged at revision %d, position %s, and its last event is revision %d at %s",
			a.Stream, a.RequestID, a.Revision, a.Position, x.last, x.position)
	case !revision || !place:
		h.broken("I-16", "%s: request %s was answered with revision %d, position %s, and it made revision %d at %s",
			a.Stream, a.RequestID, a.Revision, a.Position, x.last, x.position)
	}
}
