package storetest

import (
	"fmt"
	"testing"

	"ledger.internal/ledger/internal/aggregate/event"
)

// An append whose answer was lost is made again, with the same ids at the same revision, until it is answered. So the
// whole of the ledger's certainty that nothing is written twice rests on these.
var repeatTests = tests{
	"the same append gives the first answer":    testRepeated,            // 6
	"many events later":                         testRepeatedLate,        // 6
	"after other streams have moved":            testRepeatedAmongOthers, // 6
	"after a restart":                           testRepeatedReopened,    // 6
	"with another event somewhere it conflicts": testRepeatedDifferently, // 7
	"the ids count and not the bodies":          testRepeatedBodies,      // 6, 7
	"at another revision it conflicts":          testRepeatedElsewhere,   // 7
	"of the beginning it is taken":              testRepeatedPrefix,      // 8
	"across the bounds of appends it is taken":  testRepeatedAcross,      // 8
	"one id may stand in two streams":           testSameIDElsewhere,     // 9
}

// repeated appends again, and wants the answer that was given before.
func (w *world) repeated(t *testing.T, stream string, at event.Revision, first event.Position, events ...event.Raw) {
	t.Helper()
	if pos := w.mustAppend(t, stream, at, events...); pos != first {
		t.Errorf("append to %s at %d answered %s, repeated %s", stream, at, first, pos)
	}
}

func testRepeated(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(5)
	first := w.mustAppend(t, stream, event.NoStream, events[:2]...)
	w.repeated(t, stream, event.NoStream, first, events[:2]...)
	second := w.mustAppend(t, stream, 1, events[2:]...)
	for range 5 {
		w.repeated(t, stream, event.NoStream, first, events[:2]...)
		w.repeated(t, stream, 1, second, events[2:]...)
	}
	w.wantStream(t, stream, events...)
	wantBodies(t, "followed", w.followed(t, w.start), events)
	w.wantHead(t, second)
}

func testRepeatedLate(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(5)
	first := w.mustAppend(t, stream, event.NoStream, events[:2]...)
	second := w.mustAppend(t, stream, 1, events[2:]...)
	all := append(events[:5:5], w.fill(t, stream, 4, w.size(1000))...)
	w.repeated(t, stream, event.NoStream, first, events[:2]...)
	w.repeated(t, stream, 1, second, events[2:]...)
	w.wantStream(t, stream, all...)
}

func testRepeatedAmongOthers(t *testing.T, w *world) {
	const streams = 5
	var events [streams][]event.Raw
	var first [streams]event.Position
	name := func(i int) string { return w.stream(fmt.Sprintf("subscription-m.%d", i)) }
	for i := range events {
		events[i] = raw(3)
		first[i] = w.mustAppend(t, name(i), event.NoStream, events[i]...)
	}
	w.fill(t, w.stream("endpoint-m.1"), event.NoStream, 300)
	for i := range events {
		w.repeated(t, name(i), event.NoStream, first[i], events[i]...)
		w.wantStream(t, name(i), events[i]...)
	}
}

func testRepeatedReopened(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(8)
	first := w.mustAppend(t, stream, event.NoStream, events[:2]...)
	second := w.mustAppend(t, stream, 1, events[2:5]...)
	w.reopen(t)
	w.repeated(t, stream, 1, second, events[2:5]...)
	w.repeated(t, stream, event.NoStream, first, events[:2]...)
	w.refused(t, stream, event.NoStream, 4, raw(2)...)
	w.mustAppend(t, stream, 4, events[5:]...)
	w.repeated(t, stream, 1, second, events[2:5]...)
	w.wantStream(t, stream, events...)
}

// testRepeatedDifferently puts another event into a long append, first, in the middle and last.
func testRepeatedDifferently(t *testing.T, w *world) {
	const n = 100
	stream, events := w.stream("subscription-m.1"), raw(n)
	w.mustAppend(t, stream, event.NoStream, events...)
	swap := func(i int) []event.Raw {
		other := append([]event.Raw{}, events...)
		other[i] = raw(1)[0]
		return other
	}
	for _, i := range []int{0, 1, n / 2, n - 2, n - 1} {
		w.refused(t, stream, event.NoStream, n-1, swap(i)...)
	}
	w.refused(t, stream, event.NoStream, n-1, append(events[:1:1], raw(n-1)...)...)
	w.refused(t, stream, event.NoStream, n-1, append(raw(n-1), events[n-1])...)
	w.refused(t, stream, event.NoStream, n-1, events[1], events[0]) // the same ids in another order
	w.refused(t, stream, event.NoStream, n-1, events[0], events[2]) // and with a gap
	w.wantStream(t, stream, events...)
}

// testRepeatedBodies: an id is the writer's word that this is the same event; what was stored first stays.
func testRepeatedBodies(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(3)
	first := w.mustAppend(t, stream, event.NoStream, events...)
	again := raw(3)
	for i := range again {
		again[i].ID, again[i].Data = events[i].ID, []byte("another body")
	}
	w.repeated(t, stream, event.NoStream, first, again...)
	w.wantStream(t, stream, events...)
}

func testRepeatedElsewhere(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(6)
	w.mustAppend(t, stream, event.NoStream, events...)
	for _, at := range []event.Revision{0, 1, 3} {
		w.refused(t, stream, at, 5, events[0], events[1])
	}
	w.refused(t, stream, 4, 5, events[4]) // it stands at 4 and would now be 5
	w.refused(t, stream, 6, 5, events[0])
	w.wantStream(t, stream, events...)
}

func testRepeatedPrefix(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(4)
	w.mustAppend(t, stream, event.NoStream, events...)
	got := w.wantStream(t, stream, events...)
	for n := 1; n <= 4; n++ {
		w.repeated(t, stream, event.NoStream, got[n-1].Position, events[:n]...)
	}
	w.refused(t, stream, event.NoStream, 3, append(events[:4:4], raw(1)...)...) // more than was written
	w.refused(t, stream, 1, 3, append(events[2:4:4], raw(3)...)...)
	w.wantStream(t, stream, events...)
}

func testRepeatedAcross(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(6)
	w.mustAppend(t, stream, event.NoStream, events[:2]...)
	w.mustAppend(t, stream, 1, events[2:3]...)
	last := w.mustAppend(t, stream, 2, events[3:]...)
	got := w.wantStream(t, stream, events...)
	w.repeated(t, stream, event.NoStream, last, events...)
	w.repeated(t, stream, 0, got[3].Position, events[1:4]...)
	w.wantStream(t, stream, events...)
}

func testSameIDElsewhere(t *testing.T, w *world) {
	one, two, events := w.stream("subscription-m.1"), w.stream("subscription-m.2"), raw(2)
	first := w.mustAppend(t, one, event.NoStream, events...)
	second := w.mustAppend(t, two, event.NoStream, events...)
	if second.Compare(first) <= 0 {
		t.Errorf("the second stream's append answered %s after %s, want a later position", second, first)
	}
	w.repeated(t, one, event.NoStream, first, events...)
	w.repeated(t, two, event.NoStream, second, events...)
	w.wantStream(t, one, events...)
	w.wantStream(t, two, events...)
}
