package storetest_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

var repeatFaults = faults{
	"refuses a repetition": {by: "repeat/the same append gives the first answer", in: repetitions(
		func(l event.Log, a answer) (event.Position, error) {
			return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
		})},
	"answers a repetition with the head": {by: "repeat/the same append gives the first answer", in: repetitions(
		func(l event.Log, _ answer) (event.Position, error) { return l.Head(context.Background()) })},
	"writes a repetition again": {by: "repeat/the same append gives the first answer", in: repetitions(
		func(l event.Log, a answer) (event.Position, error) {
			_, err := l.Append(context.Background(), a.stream, event.Revision(len(stored(l, a.stream)))-1, a.events...)
			return a.position, err
		})},
	"knows the last hundred events only": {by: "repeat/many events later", in: repetitions(forgetful)},
	"forgets when other streams move":    {by: "repeat/after other streams have moved", in: repetitions(forgetful)},
	"forgets when it is opened again": {by: "repeat/after a restart", reopen: func(_ *testing.T, l event.Log) event.Log {
		return repetitions(func(l event.Log, a answer) (event.Position, error) {
			return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
		})(l)
	}},
	"compares the first id only": {by: "repeat/with another event somewhere it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) { return comparing(l, a, 0) })},
	"compares the last id only": {by: "repeat/with another event somewhere it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) {
			return comparing(l, a, len(a.events)-1)
		})},
	"compares the ids as a set": {by: "repeat/with another event somewhere it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) {
			for _, e := range a.events {
				if !slices.ContainsFunc(stored(l, a.stream), func(s event.RawRecorded) bool { return s.ID == e.ID }) {
					return a.position, a.err
				}
			}
			return l.Head(context.Background())
		})},
	"compares bodies": {by: "repeat/the ids count and not the bodies", in: repetitions(
		func(l event.Log, a answer) (event.Position, error) {
			all := stored(l, a.stream)
			if !bytes.Equal(all[a.at+1].Data, a.events[0].Data) {
				return event.Position{}, a.conflict(event.Revision(len(all)) - 1)
			}
			return a.position, nil
		})},
	"knows an event by its id, wherever": {by: "repeat/at another revision it conflicts", in: conflicts(
		func(l event.Log, a answer, _ event.Revision) (event.Position, error) {
			for _, e := range stored(l, a.stream) {
				if e.ID == a.events[0].ID {
					return e.Position, nil
				}
			}
			return a.position, a.err
		})},
	"refuses the repetition of a beginning": {by: "repeat/of the beginning it is taken", in: wholeAppends},
	"knows an append by its bounds":         {by: "repeat/across the bounds of appends it is taken", in: wholeAppends},
	"takes an id once": {by: "repeat/one id may stand in two streams", in: appends(
		func(l event.Log) appendFunc {
			seen := map[uuid.UUID]event.Position{}
			return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
				if pos, ok := seen[e[0].ID]; ok {
					return pos, nil
				}
				pos, err := l.Append(ctx, stream, at, e...)
				seen[e[0].ID] = pos
				return pos, err
			}
		})},
}

// forgetful answers a repetition only if little was appended since.
func forgetful(l event.Log, a answer) (event.Position, error) {
	head, err := l.Head(context.Background())
	if head.Commit-a.position.Commit > 90 {
		return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
	}
	return a.position, err
}

// comparing takes an append for a repetition if its i-th event stands where it would.
func comparing(l event.Log, a answer, i int) (event.Position, error) {
	all := stored(l, a.stream)
	if place := int(a.at) + 1 + i; place < len(all) && all[place].ID == a.events[i].ID {
		return all[place].Position, nil
	}
	return a.position, a.err
}

// wholeAppends knows a repetition only if it has the bounds of the append that it repeats.
func wholeAppends(l event.Log) event.Log {
	type bounds struct {
		stream string
		at     event.Revision
		n      int
	}
	var mu sync.Mutex
	made := map[bounds]bool{}
	return answers(func(l event.Log, a answer) (event.Position, error) {
		mu.Lock()
		defer mu.Unlock()
		b := bounds{a.stream, a.at, len(a.events)}
		if a.repeated && !made[b] {
			return event.Position{}, a.conflict(event.Revision(len(stored(l, a.stream))) - 1)
		}
		made[b] = made[b] || a.err == nil
		return a.position, a.err
	})(l)
}
