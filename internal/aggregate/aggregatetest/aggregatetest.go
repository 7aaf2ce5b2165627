// Package aggregatetest holds named histories of subscriptions ("bought, part refunded, disputed") for the tests of
// every layer: what a projection makes of them, how they are told, which entries they post.
//
// They are written down by hand, event by event, and not made by the commands: a test that reads them keeps its
// meaning when a decision changes, and stored streams of earlier versions look just like this. Every kind of event
// that a subscription can have is in at least one of them.
package aggregatetest

import (
	"fmt"
	"iter"
	"slices"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Merchant owns the subscriptions of all histories.
const Merchant = "acme"

// Connection is the one through which all of them are charged. The earlier histories are of the time before events
// told it.
const Connection = "main"

// History is the stream of one subscription from its first event to its last, as a log would return it. Positions
// are those of a log that holds nothing else; the hash chain is left to whoever stores the events.
type History struct {
	Name   string
	Stream string
	Events []event.Recorded
}

// Histories returns all histories. They are made anew by each call, so a caller may change what he got. Streams,
// event ids and order ids of two histories differ.
func Histories() []History {
	out := make([]History, 0, len(stories()))
	for h := range Endless() {
		if out = append(out, h); len(out) == cap(out) {
			break
		}
	}
	return out
}

// Endless yields histories without end, for stores of any size: those of Histories in turn, each time as subscriptions
// that were not there before.
func Endless() iter.Seq[History] {
	return func(yield func(History) bool) {
		all := stories()
		for i := 0; ; i++ {
			write := all[i%len(all)]
			l := newLife(i, write.name)
			write.live(l)
			foretell(l.history.Events)
			if !yield(l.history) {
				return
			}
		}
	}
}

// Named returns the history of a name. It panics if there is none: the name is a test's own constant.
func Named(name string) History {
	for _, h := range Histories() {
		if h.Name == name {
			return h
		}
	}
	panic("aggregatetest: there is no history named " + name)
}

// Raws are the events as a log stores them, hash chain included.
func (h History) Raws() ([]event.Raw, error) {
	raws := make([]event.Raw, len(h.Events))
	var prev []byte
	for i, e := range h.Events {
		raw, err := event.Encode(prev, e.Stream, e.Revision, e.ID, e.Event)
		if err != nil {
			return nil, fmt.Errorf("%s, event %d: %w", h.Name, i, err)
		}
		raws[i], prev = raw, e.Metadata.Hash
	}
	return raws, nil
}

// story is a history that is yet to be written down.
type story struct {
	name string
	live func(*life)
}

func stories() []story {
	return slices.Concat(bought(), rebilled(), interrupted(), fullLives(), doubts(), surprises(), returned(), ended(),
		imported(), replanned(), repaid(), disputed())
}
