package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

func (s suite) append(t *testing.T) {
	s.cases(t, map[string]func(*testing.T, event.Log){
		"a new stream begins at revision 0":              testNewStream,           // 1
		"a stream that exists is not begun again":        testNotBegunAgain,       // 2
		"only the exact revision is taken":               testExactRevision,       // 3, 4
		"a repeated append gives its first answer":       s.testRepeated,          // 6
		"a repetition with another later event conflict": testRepeatedDifferently, // 7
		"a repetition of the beginning is taken":         testRepeatedPrefix,      // 8
		"one id may stand in two streams":                testSameIDElsewhere,     // 9
		"readers see all of an append or nothing":        s.testAtomic,            // 10
		"one of many writers wins each revision":         testOneWinner,           // 11
		"what cannot be stored is refused":               testRefused,             // 12
		"an append may hold one mebibyte":                testLargest,             // 13
		"bodies come back byte by byte":                  testBytes,               // 14, 16
		"ids of every version come back":                 testIDs,                 // 15
		"names may be long":                              testLongNames,           // 16
		"a cancelled append writes nothing":              testCancelledBefore,     // 17
		"an append cancelled on its way converges":       testCancelledDuring,     // 17
		"positions grow in commit order":                 testPositions,           // 22
		"the caller keeps his bytes":                     testCallerKeepsBytes,
	})
}

func testNewStream(t *testing.T, l event.Log) {
	events := raw(3)
	pos := mustAppend(t, l, "subscription-m.1", event.NoStream, events...)
	got := wantStream(t, l, "subscription-m.1", events...)
	if last := got[2].Position; pos.IsZero() || pos != last {
		t.Errorf("append answered position %s, the last event stands at %s", pos, last)
	}
}

func testNotBegunAgain(t *testing.T, l event.Log) {
	events := raw(2)
	mustAppend(t, l, "subscription-m.1", event.NoStream, events...)
	_, err := l.Append(t.Context(), "subscription-m.1", event.NoStream, raw(1)...)
	wantConflict(t, err, "subscription-m.1", event.NoStream, 1)
	wantStream(t, l, "subscription-m.1", events...)
}

func testExactRevision(t *testing.T, l event.Log) {
	const stream = "subscription-m.1"
	for _, at := range []event.Revision{0, 7} {
		_, err := l.Append(t.Context(), stream, at, raw(1)...)
		wantConflict(t, err, stream, at, event.NoStream)
	}
	wantStream(t, l, stream)
	events := raw(3)
	mustAppend(t, l, stream, event.NoStream, events[:2]...)
	mustAppend(t, l, stream, 1, events[2])
	for _, at := range []event.Revision{0, 1, 3, 100} {
		_, err := l.Append(t.Context(), stream, at, raw(1)...)
		wantConflict(t, err, stream, at, 2)
	}
	wantStream(t, l, stream, events...)
}

func (s suite) testRepeated(t *testing.T, l event.Log) {
	const stream = "subscription-m.1"
	events := raw(5)
	first := mustAppend(t, l, stream, event.NoStream, events[:2]...)
	second := mustAppend(t, l, stream, 1, events[2:]...)
	repeat := func(when string) {
		if pos := mustAppend(t, l, stream, event.NoStream, events[:2]...); pos != first {
			t.Errorf("%s: the first append answered %s, now %s", when, first, pos)
		}
		if pos := mustAppend(t, l, stream, 1, events[2:]...); pos != second {
			t.Errorf("%s: the second append answered %s, now %s", when, second, pos)
		}
		wantStream(t, l, stream, events...)
	}
	repeat("at once")
	events = append(events, fill(t, l, stream, 4, s.size(1000))...)
	head := events
	events = head[:5]
	check := func(when string) {
		if pos := mustAppend(t, l, stream, event.NoStream, events[:2]...); pos != first {
			t.Errorf("%s: the first append answered %s, now %s", when, first, pos)
		}
		if pos := mustAppend(t, l, stream, 1, events[2:]...); pos != second {
			t.Errorf("%s: the second append answered %s, now %s", when, second, pos)
		}
		wantStream(t, l, stream, head...)
	}
	check("many events later")
	if s.Reopen == nil {
		return
	}
	l = s.Reopen(t, l)
	defer closeLog(t, l)
	check("after a restart")
}

func testRepeatedDifferently(t *testing.T, l event.Log) {
	const stream = "subscription-m.1"
	events := raw(3)
	mustAppend(t, l, stream, event.NoStream, events...)
	other := []event.Raw{events[0], raw(1)[0]}
	_, err := l.Append(t.Context(), stream, event.NoStream, other...)
	wantConflict(t, err, stream, event.NoStream, 2)
	_, err = l.Append(t.Context(), stream, event.NoStream, events[1], events[0]) // the same ids in another order
	wantConflict(t, err, stream, event.NoStream, 2)
	wantStream(t, l, stream, events...)
}

func testRepeatedPrefix(t *testing.T, l event.Log) {
	const stream = "subscription-m.1"
	events := raw(2)
	mustAppend(t, l, stream, event.NoStream, events...)
	pos := mustAppend(t, l, stream, event.NoStream, events[0])
	got := wantStream(t, l, stream, events...)
	if want := got[0].Position; pos != want {
		t.Errorf("the beginning's repetition answered %s, want %s", pos, want)
	}
	_, err := l.Append(t.Context(), stream, event.NoStream, append(events[:2:2], raw(1)...)...)
	wantConflict(t, err, stream, event.NoStream, 1)
	wantStream(t, l, stream, events...)
}

func testSameIDElsewhere(t *testing.T, l event.Log) {
	events := raw(1)
	mustAppend(t, l, "subscription-m.1", event.NoStream, events...)
	mustAppend(t, l, "subscription-m.2", event.NoStream, events...)
	wantStream(t, l, "subscription-m.1", events...)
	wantStream(t, l, "subscription-m.2", events...)
}

func (s suite) testAtomic(t *testing.T, l event.Log) {
	const stream, size = "subscription-m.1", 100
	rounds := s.size(50)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range rounds {
			if _, err := l.Append(t.Context(), stream, event.Revision(i*size-1), raw(size)...); err != nil {
				t.Errorf("append %d: %v", i, err)
				return
			}
		}
	}()
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		// A page boundary may stand between two looks, but never inside an append.
		all, err := readAll(t.Context(), l, stream, 0)
		if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
			t.Fatal(err)
		}
		if len(all)%size != 0 {
			t.Fatalf("a reader saw %d events, want a multiple of %d", len(all), size)
		}
	}
	if all, _ := readAll(t.Context(), l, stream, 0); len(all) != rounds*size {
		t.Errorf("got %d events, want %d", len(all), rounds*size)
	}
}

func testOneWinner(t *testing.T, l event.Log) {
	const stream, writers, revisions = "subscription-m.1", 50, 10
	for r := range event.Revision(revisions) {
		var wg sync.WaitGroup
		won := make(chan event.Raw, writers)
		for range writers {
			wg.Go(func() {
				e := raw(1)[0]
				_, err := l.Append(t.Context(), stream, r-1, e)
				if err == nil {
					won <- e
					return
				}
				wantConflict(t, err, stream, r-1, r)
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("revision %d: %d writers won, want 1", r, len(won))
		}
		winner := <-won
		all, err := readAll(t.Context(), l, stream, r)
		if err != nil || len(all) != 1 || all[0].ID != winner.ID {
			t.Fatalf("revision %d: read %v, %v; want event %s", r, ids(all), err, winner.ID)
		}
	}
}

func testRefused(t *testing.T, l event.Log) {
	good := raw(2)
	change := func(f func(*event.Raw)) []event.Raw {
		e := raw(1)
		f(&e[0])
		return e
	}
	tests := map[string]struct {
		stream string
		at     event.Revision
		events []event.Raw
	}{
		"no events":              {"subscription-m.1", -1, nil},
		"no id":                  {"subscription-m.1", -1, change(func(e *event.Raw) { e.ID = uuid.Nil })},
		"an id twice":            {"subscription-m.1", -1, []event.Raw{good[0], good[1], good[0]}},
		"no type":                {"subscription-m.1", -1, change(func(e *event.Raw) { e.Type = "" })},
		"a system type":          {"subscription-m.1", -1, change(func(e *event.Raw) { e.Type = "$metadata" })},
		"no name":                {"", -1, good},
		"a system stream":        {"$settings", -1, good},
		"a name with a space":    {"subscription-m 1", -1, good},
		"a name with a slash":    {"subscription-m/1", -1, good},
		"a name with an umlaut":  {"subscription-mü", -1, good},
		"a name that is long":    {strings.Repeat("n", 201), -1, good},
		"a revision before none": {"subscription-m.1", -2, good},
	}
	for name, tt := range tests {
		_, err := l.Append(t.Context(), tt.stream, tt.at, tt.events...)
		wantError(t, name, err, event.ErrInvalidArgument)
	}
	if head, err := l.Head(t.Context()); err != nil || !head.IsZero() {
		t.Errorf("head: got %s, %v; want nothing written", head, err)
	}
}

func testLargest(t *testing.T, l event.Log) {
	sized := func(n int) event.Raw {
		e := raw(1)[0]
		e.Data = bytes.Repeat([]byte("x"), n-len(e.Metadata)-2*len(e.Type))
		return e
	}
	one, half := sized(1<<20), []event.Raw{sized(1 << 19), sized(1 << 19)}
	mustAppend(t, l, "subscription-m.1", event.NoStream, one)
	mustAppend(t, l, "subscription-m.2", event.NoStream, half...)
	wantStream(t, l, "subscription-m.1", one)
	wantStream(t, l, "subscription-m.2", half...)
	for name, events := range map[string][]event.Raw{
		"one event, a byte too much":  {sized(1<<20 + 1)},
		"two events, a byte too much": {sized(1 << 19), sized(1<<19 + 1)},
	} {
		_, err := l.Append(t.Context(), "subscription-m.3", event.NoStream, events...)
		wantError(t, name, err, event.ErrTooLarge)
	}
	wantStream(t, l, "subscription-m.3")
}

func testBytes(t *testing.T, l event.Log) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	events := raw(6)
	events[0].Data, events[0].Metadata = every, every
	events[1].Data, events[1].Metadata = []byte{}, []byte{}
	events[2].Data, events[2].Metadata = []byte(`{"broken`), []byte("null")
	events[3].Data, events[3].Metadata = []byte(`{"name":"Zoë 猫 🐈"}`), []byte(`{"actor":"ąśćż"}`)
	events[4].Data = []byte{0}
	events[5].Type = "ваучер"
	mustAppend(t, l, "subscription-m.1", event.NoStream, events...)
	wantStream(t, l, "subscription-m.1", events...)

	none := raw(1) // a body that is not there comes back without bytes
	none[0].Data, none[0].Metadata = nil, nil
	mustAppend(t, l, "subscription-m.2", event.NoStream, none...)
	got, err := readAll(t.Context(), l, "subscription-m.2", 0)
	if err != nil || len(got) != 1 || len(got[0].Data)+len(got[0].Metadata) != 0 {
		t.Errorf("got %v, %v; want one event without bodies", got, err)
	}
}

func testIDs(t *testing.T, l event.Log) {
	seven, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	events := raw(4)
	events[0].ID = uuid.New()
	events[1].ID = uuid.NewSHA1(uuid.NameSpaceURL, []byte("name"))
	events[2].ID = seven
	events[3].ID = uuid.Max
	mustAppend(t, l, "subscription-m.1", event.NoStream, events...)
	wantStream(t, l, "subscription-m.1", events...)
}

func testLongNames(t *testing.T, l event.Log) {
	for _, stream := range []string{"n", "category-" + strings.Repeat("A.b_c:9", 27) + "xy", "no.category", "a-b-c"} {
		events := raw(1)
		mustAppend(t, l, stream, event.NoStream, events...)
		wantStream(t, l, stream, events...)
	}
}

func testCancelledBefore(t *testing.T, l event.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.Append(ctx, "subscription-m.1", event.NoStream, raw(1)...)
	wantError(t, "append", err, context.Canceled)
	if errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want an error that says that nothing was written", err)
	}
	wantStream(t, l, "subscription-m.1")
}

func testCancelledDuring(t *testing.T, l event.Log) {
	for i := range 200 {
		stream := fmt.Sprintf("subscription-m.%d", i)
		ctx, cancel := context.WithCancel(t.Context())
		begun := make(chan struct{})
		go func() { <-begun; cancel() }()
		events := raw(2)
		close(begun)
		_, err := l.Append(ctx, stream, event.NoStream, events...)
		cancel()
		switch {
		case err == nil:
		case !errors.Is(err, context.Canceled):
			t.Fatalf("got %v, want context.Canceled", err)
		case !errors.Is(err, event.ErrUnknownOutcome):
			wantStream(t, l, stream) // it says that nothing was written
		}
		mustAppend(t, l, stream, event.NoStream, events...)
		wantStream(t, l, stream, events...)
	}
}

func testPositions(t *testing.T, l event.Log) {
	last := event.Position{}
	var want []uuid.UUID
	for i := range 30 {
		stream := fmt.Sprintf("subscription-m.%d", i%3)
		events := raw(i%4 + 1)
		revision := event.NoStream
		if all, err := readAll(t.Context(), l, stream, 0); err == nil {
			revision = event.Revision(len(all)) - 1
		}
		pos := mustAppend(t, l, stream, revision, events...)
		if pos.Compare(last) <= 0 {
			t.Errorf("append %d answered %s after %s, want a later position", i, pos, last)
		}
		last = pos
		for _, e := range events {
			want = append(want, e.ID)
		}
		if head, err := l.Head(t.Context()); err != nil || head != pos {
			t.Errorf("head: got %s, %v; want %s", head, err, pos)
		}
	}
	all, _ := followAll(t, l, event.Cursor{})
	if diff := cmp.Diff(want, ids(all)); diff != "" {
		t.Errorf("the log's order is not the order of commits (-want +got):\n%s", diff)
	}
}

func testCallerKeepsBytes(t *testing.T, l event.Log) {
	events := raw(1)
	want := event.Raw{ID: events[0].ID, Type: events[0].Type, Data: bytes.Clone(events[0].Data), Metadata: bytes.Clone(events[0].Metadata)}
	mustAppend(t, l, "subscription-m.1", event.NoStream, events...)
	clear(events[0].Data)
	clear(events[0].Metadata)
	wantStream(t, l, "subscription-m.1", want)
	if all, _ := followAll(t, l, event.Cursor{}); len(all) != 1 || !cmp.Equal(want, all[0].Raw) {
		t.Errorf("followed %v, want %v", all, want)
	}
}
