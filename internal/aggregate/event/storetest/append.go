package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

var appendTests = tests{
	"a new stream begins at revision 0":           testNewStream,        // 1
	"a stream that exists is not begun again":     testNotBegunAgain,    // 2
	"only the exact revision is taken":            testExactRevision,    // 3, 4
	"a conflict tells where the others have come": testConflictTells,    // 3
	"readers see all of an append or nothing":     testAtomic,           // 10
	"one of many writers wins each revision":      testOneWinner,        // 11
	"what cannot be stored is refused":            testRefused,          // 12
	"an append may hold one mebibyte":             testLargest,          // 13
	"bodies come back byte by byte":               testBytes,            // 14, 16
	"ids of every version come back":              testIDs,              // 15
	"names may be long":                           testLongNames,        // 16
	"a cancelled append writes nothing":           testCancelledBefore,  // 17
	"an append cancelled on its way converges":    testCancelledDuring,  // 17
	"positions grow in commit order":              testPositions,        // 22
	"the caller keeps his bytes":                  testCallerKeepsBytes, // 14
}

func testNewStream(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(3)
	pos := w.mustAppend(t, stream, event.NoStream, events...)
	got := w.wantStream(t, stream, events...)
	if last := got[2].Position; pos.IsZero() || pos != last {
		t.Errorf("append answered position %s, the last event stands at %s", pos, last)
	}
	w.wantHead(t, pos)
}

func testNotBegunAgain(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(2)
	w.mustAppend(t, stream, event.NoStream, events...)
	w.refused(t, stream, event.NoStream, 1, raw(1)...)
	w.refused(t, stream, event.NoStream, 1, raw(5)...)
	w.wantStream(t, stream, events...)
}

func testExactRevision(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(3)
	for _, at := range []event.Revision{0, 7} {
		w.refused(t, stream, at, event.NoStream, raw(1)...)
	}
	w.wantStream(t, stream)
	w.mustAppend(t, stream, event.NoStream, events[:2]...)
	w.mustAppend(t, stream, 1, events[2])
	for _, at := range []event.Revision{0, 1, 3, 100} {
		w.refused(t, stream, at, 2, raw(1)...)
	}
	w.wantStream(t, stream, events...)
}

// testConflictTells: whoever lost goes on at the revision that the conflict names, so it must be the one of now.
func testConflictTells(t *testing.T, w *world) {
	stream := w.stream("subscription-m.1")
	var want []event.Raw
	for i := range 10 {
		others := raw(i%3 + 1)
		w.mustAppend(t, stream, event.Revision(len(want))-1, others...)
		want = append(want, others...)
		last := event.Revision(len(want)) - 1
		w.refused(t, stream, event.NoStream, last, raw(1)...)
		w.refused(t, stream, last-1, last, raw(2)...)
		w.refused(t, stream, last+1, last, raw(1)...)
	}
	w.wantStream(t, stream, want...)
}

func testAtomic(t *testing.T, w *world) {
	const size, rounds = 100, 50
	stream := w.stream("subscription-m.1")
	for i := range rounds {
		written := make(chan error, 1)
		go func() {
			_, err := w.Append(t.Context(), stream, event.Revision(i*size-1), raw(size)...)
			written <- err
		}()
		for done := false; !done; {
			select {
			case err := <-written:
				if done = true; err != nil {
					t.Fatalf("append %d: %v", i, err)
				}
			default:
			}
			more, err := readAll(t.Context(), w, stream, event.Revision(i*size))
			if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
				t.Fatal(err)
			}
			if n := len(more); n != size && (done || n != 0) {
				t.Fatalf("a reader saw %d of %d events; the append was answered: %t", n, size, done)
			}
		}
	}
}

func testOneWinner(t *testing.T, w *world) {
	w.alone(t)
	const writers, revisions = 50, 10
	stream := w.stream("subscription-m.1")
	for r := range event.Revision(revisions) {
		var writing sync.WaitGroup
		won := make(chan event.Raw, writers)
		for range writers {
			writing.Go(func() {
				e := raw(1)[0]
				_, err := w.Append(t.Context(), stream, r-1, e)
				if err == nil {
					won <- e
					return
				}
				wantConflict(t, err, stream, r-1, r)
			})
		}
		writing.Wait()
		if len(won) != 1 {
			t.Fatalf("revision %d: %d writers won, want 1", r, len(won))
		}
		winner := <-won
		got, err := readAll(t.Context(), w, stream, r)
		if err != nil || len(got) != 1 || got[0].ID != winner.ID {
			t.Fatalf("revision %d: read %v, %v; want event %s", r, ids(got), err, winner.ID)
		}
	}
}

func testRefused(t *testing.T, w *world) {
	stream, good := w.stream("subscription-m.1"), raw(2)
	change := func(f func(*event.Raw)) []event.Raw {
		e := raw(2)
		f(&e[1])
		return e
	}
	for name, tt := range map[string]struct {
		stream string
		at     event.Revision
		events []event.Raw
	}{
		"no events":              {stream, -1, nil},
		"no id":                  {stream, -1, change(func(e *event.Raw) { e.ID = uuid.Nil })},
		"an id twice":            {stream, -1, []event.Raw{good[0], good[1], good[0]}},
		"no type":                {stream, -1, change(func(e *event.Raw) { e.Type = "" })},
		"a type that is long":    {stream, -1, change(func(e *event.Raw) { e.Type = strings.Repeat("t", 201) })},
		"a system type":          {stream, -1, change(func(e *event.Raw) { e.Type = "$metadata" })},
		"a type that is no text": {stream, -1, change(func(e *event.Raw) { e.Type = "\xff" })},
		"no name":                {"", -1, good},
		"a system stream":        {"$" + stream, -1, good},
		"a name with a space":    {stream + " 1", -1, good},
		"a name with a slash":    {stream + "/1", -1, good},
		"a name with an umlaut":  {stream + "ü", -1, good},
		"a name that is long":    {stream + strings.Repeat("n", 201-len(stream)), -1, good},
		"a revision before none": {stream, -2, good},
	} {
		_, err := w.Append(t.Context(), tt.stream, tt.at, tt.events...)
		wantError(t, name, err, event.ErrInvalidArgument)
	}
	w.wantStream(t, stream)
	w.wantHead(t, w.start.Position)
	w.mustAppend(t, stream, event.NoStream, good...)
	wantBodies(t, "all there is in the log", w.followed(t, w.start), good)
}

func testLargest(t *testing.T, w *world) {
	sized := func(n int) event.Raw {
		e := raw(1)[0]
		e.Data = bytes.Repeat([]byte("x"), n-len(e.Metadata)-2*len(e.Type))
		return e
	}
	one, half := sized(1<<20), []event.Raw{sized(1 << 19), sized(1 << 19)}
	first, second, third := w.stream("subscription-m.1"), w.stream("subscription-m.2"), w.stream("subscription-m.3")
	w.mustAppend(t, first, event.NoStream, one)
	w.mustAppend(t, second, event.NoStream, half...)
	w.wantStream(t, first, one)
	w.wantStream(t, second, half...)
	wantBodies(t, "followed", w.followed(t, w.start, w.category("subscription")), append([]event.Raw{one}, half...))
	for name, events := range map[string][]event.Raw{
		"one event, a byte too much":  {sized(1<<20 + 1)},
		"two events, a byte too much": {sized(1 << 19), sized(1<<19 + 1)},
	} {
		_, err := w.Append(t.Context(), third, event.NoStream, events...)
		wantError(t, name, err, event.ErrTooLarge)
	}
	w.wantStream(t, third)
}

func testBytes(t *testing.T, w *world) {
	stream, bodiless := w.stream("subscription-m.1"), w.stream("subscription-m.2")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	events := raw(7)
	events[0].Data, events[0].Metadata = every, every
	events[1].Data, events[1].Metadata = []byte{}, []byte{}
	events[2].Data, events[2].Metadata = []byte(`{"broken`), []byte("null")
	events[3].Data, events[3].Metadata = []byte(`{"name":"Zoë 猫 🐈"}`), []byte(`{"actor":"ąśćż"}`)
	events[4].Data = []byte{0}
	events[5].Type = "ваучер"
	events[6].Type = strings.Repeat("t", 200)
	w.mustAppend(t, stream, event.NoStream, events...)
	w.wantStream(t, stream, events...)

	none := raw(1) // a body that is not there comes back without bytes
	none[0].Data, none[0].Metadata = nil, nil
	w.mustAppend(t, bodiless, event.NoStream, none...)
	w.wantStream(t, bodiless, none...)
	wantBodies(t, "followed", w.followed(t, w.start, w.category("subscription")), append(events, none...))
}

func testIDs(t *testing.T, w *world) {
	seven, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	events := raw(5)
	events[0].ID = uuid.New()
	events[1].ID = uuid.NewSHA1(uuid.NameSpaceURL, []byte("name"))
	events[2].ID = seven
	events[3].ID = uuid.Max
	events[4].ID = uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff") // no byte twice: none may change its place
	stream := w.stream("subscription-m.1")
	w.mustAppend(t, stream, event.NoStream, events...)
	w.wantStream(t, stream, events...)
	wantBodies(t, "followed", w.followed(t, w.start, w.category("subscription")), events)
}

func testLongNames(t *testing.T, w *world) {
	names := []string{
		w.stream("n"), w.stream("no.category"), w.stream("a-b-c"), w.stream("a-"), w.stream("a--b"), w.stream("Z.y_x:9"),
		(w.stream("category-") + strings.Repeat("A.b_c:9-", 25))[:200], (w.stream("") + strings.Repeat("c", 200))[:200],
	}
	if !w.Shared {
		names = append(names, "n", "0", strings.Repeat("N", 200))
	}
	for _, stream := range names {
		events := raw(1)
		w.mustAppend(t, stream, event.NoStream, events...)
		w.wantStream(t, stream, events...)
		if got := w.followed(t, w.start, event.Category(stream)); !slices.Contains(ids(got), events[0].ID) {
			t.Errorf("followed category %q: got %v, want the event of %s", event.Category(stream), got, stream)
		}
	}
}

func testCancelledBefore(t *testing.T, w *world) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stream := w.stream("subscription-m.1")
	_, err := w.Append(ctx, stream, event.NoStream, raw(1)...)
	wantError(t, "append", err, context.Canceled)
	if errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want an error that says that nothing was written", err)
	}
	w.wantStream(t, stream)
}

func testCancelledDuring(t *testing.T, w *world) {
	for i := range w.size(200) {
		stream := w.stream(fmt.Sprintf("subscription-m.%d", i))
		ctx, cancel := context.WithCancel(t.Context())
		begun := make(chan struct{})
		go func() { <-begun; cancel() }()
		events := raw(2)
		close(begun)
		_, err := w.Append(ctx, stream, event.NoStream, events...)
		cancel()
		switch {
		case err == nil:
		case !errors.Is(err, context.Canceled):
			t.Fatalf("got %v, want context.Canceled", err)
		case !errors.Is(err, event.ErrUnknownOutcome):
			w.wantStream(t, stream) // it says that nothing was written
		}
		w.mustAppend(t, stream, event.NoStream, events...)
		w.wantStream(t, stream, events...)
	}
}

func testPositions(t *testing.T, w *world) {
	last := w.start.Position
	var want []event.Raw
	var answered []event.Position
	at := [3]event.Revision{event.NoStream, event.NoStream, event.NoStream}
	for i := range 30 {
		events := raw(i%4 + 1)
		pos := w.mustAppend(t, w.stream(fmt.Sprintf("subscription-m.%d", i%3)), at[i%3], events...)
		if pos.Compare(last) <= 0 {
			t.Errorf("append %d answered %s after %s, want a later position", i, pos, last)
		}
		w.wantHead(t, pos)
		at[i%3] += event.Revision(len(events))
		last, want, answered = pos, append(want, events...), append(answered, pos)
	}
	all := w.followed(t, w.start)
	if diff := cmp.Diff(rawIDs(want), ids(all)); diff != "" {
		t.Fatalf("the log's order is not the order of commits (-want +got):\n%s", diff)
	}
	next := 0
	for i, pos := range answered {
		if next += i%4 + 1; all[next-1].Position != pos {
			t.Errorf("append %d answered %s, its last event was followed at %s", i, pos, all[next-1].Position)
		}
	}
}

func testCallerKeepsBytes(t *testing.T, w *world) {
	stream, events := w.stream("subscription-m.1"), raw(1)
	want := event.Raw{ID: events[0].ID, Type: events[0].Type, Data: bytes.Clone(events[0].Data), Metadata: bytes.Clone(events[0].Metadata)}
	w.mustAppend(t, stream, event.NoStream, events...)
	clear(events[0].Data)
	clear(events[0].Metadata)
	w.wantStream(t, stream, want)
	wantBodies(t, "what the caller gave and then wiped", w.followed(t, w.start), []event.Raw{want})
}
