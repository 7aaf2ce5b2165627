package esdbtest

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestCheckCommit has a row for each rule by which the server decides on an append. Events are letters; the stream is
// "s". "2 at d" is a success that answers revision 2 and the position of event d.
func TestCheckCommit(t *testing.T) {
	t.Parallel()
	written := func(w *world) { w.must("s", named("abcd")...) }
	forgotten := func(w *world) { written(w); w.store.ForgetIDs() }
	softly := func(w *world) { written(w); do(w, (*Store).Delete, "s") }
	tombstone := func(w *world) { written(w); do(w, (*Store).Tombstone, "s") }
	moved := func(w *world) { written(w); w.must("other", named("b")...) }
	meta := func(w *world) {
		if err := w.store.SetMetadata("s", `{"$maxCount":9}`); err != nil {
			w.Fatal(err)
		}
	}
	truncated := func(json string) func(*world) {
		return func(w *world) {
			written(w)
			if err := w.store.SetMetadata("s", json); err != nil {
				w.Fatal(err)
			}
		}
	}
	nothing := func(*world) {}
	for _, row := range []struct {
		name     string
		before   func(*world)
		expected Expected
		events   string
		want     string
	}{
		{"0: a tombstone refuses a number", tombstone, 3, "x", "deleted"},
		{"0: a tombstone refuses a repetition", tombstone, NoStream, "ab", "deleted"},
		{"0: a tombstone refuses any", tombstone, Any, "x", "deleted"},
		{"0: a tombstone refuses exists", tombstone, StreamExists, "x", "deleted"},

		{"1: new, any", nothing, Any, "x", "0 at x"},
		{"1: new, no stream", nothing, NoStream, "xy", "1 at y"},
		{"1: new, a number", nothing, 0, "x", "wrong, is -1"},
		{"1: new, exists", nothing, StreamExists, "x", "wrong, is -1"},

		{"2: exists", written, StreamExists, "x", "4 at x"},
		{"2: exists by its metadata", meta, StreamExists, "x", "0 at x"},
		{"2: exists, softly deleted", softly, StreamExists, "x", "deleted"},

		{"3: any, unknown", written, Any, "xy", "5 at y"},
		{"3: any, repeated", written, Any, "abcd", "3 at d"},
		{"3: any, a repeated part", written, Any, "bc", "2 at c"},
		{"3: any, repeated in another order", written, Any, "cb", "1 at b"},
		{"3: any, known and then unknown", written, Any, "ax", "wrong, is 3"},
		{"3: any, unknown and then known", written, Any, "xa", "5 at a"},
		{"3: any, written last to another stream", moved, Any, "b", "4 at b"},
		{"3: any, the cache forgot", forgotten, Any, "ab", "5 at b"},
		{"3: any, softly deleted, unknown", softly, Any, "x", "4 at x"},
		{"3: any, softly deleted, repeated", softly, Any, "d", "3 at no position"},
		{"3: exists, repeated", written, StreamExists, "cd", "3 at d"},
		{"3: exists, known and then unknown", written, StreamExists, "dx", "wrong, is 3"},
		{"3: exists, the cache forgot", forgotten, StreamExists, "a", "4 at a"},

		{"4: beyond", written, 4, "x", "wrong, is 3"},
		{"4: far beyond", written, math.MaxInt64, "x", "wrong, is 3"},
		{"4: exactly", written, 3, "xy", "5 at y"},
		{"4: no stream, repeated", written, NoStream, "abcd", "3 at d"},
		{"4: no stream, its first part repeated", written, NoStream, "a", "0 at a"},
		{"4: a number, repeated", written, 1, "cd", "3 at d"},
		{"4: repeated, the cache forgot", forgotten, NoStream, "ab", "1 at b"},
		{"4: repeated, the cache knows another place", moved, 0, "bc", "2 at c"},
		{"4: passed, others", written, 1, "xy", "wrong, is 3"},
		{"4: passed, the same at another number", written, 0, "c", "wrong, is 3"},
		{"4: passed, the first one equal", written, NoStream, "ax", "wrong, is 3"},
		{"4: passed, the last one beyond", written, 1, "cde", "wrong, is 3"},
		{"4: no stream, softly deleted, others", softly, NoStream, "x", "4 at x"},
		{"4: no stream, softly deleted, repeated", softly, NoStream, "ab", "1 at no position"},
		{"4: no stream, softly deleted, the first one equal", softly, NoStream, "ax", "wrong, is 3"},
		{"4: the last number, softly deleted", softly, 3, "x", "4 at x"},
		{"4: a passed number, softly deleted", softly, 2, "x", "wrong, is 3"},
		{"4: repeated, truncated by number", truncated(`{"$tb":3}`), NoStream, "ab", "1 at no position"},
		{"4: repeated, truncated by count", truncated(`{"$maxCount":1}`), 1, "c", "2 at no position"},
		{"4: repeated, not truncated so far", truncated(`{"$tb":1}`), NoStream, "ab", "1 at b"},

		{"6: none, new", nothing, NoStream, "", "none"},
		{"6: none, new, any", nothing, Any, "", "none"},
		{"6: none, exactly", written, 3, "", "3 at another position"},
		{"6: none, any", written, Any, "", "3 at another position"},
		{"6: none, passed", written, 1, "", "wrong, is 3"},
		{"6: none, no stream, passed", written, NoStream, "", "wrong, is 3"},
		{"6: none, beyond", written, 4, "", "wrong, is 3"},

		{"7: the same id twice", nothing, NoStream, "xx", "1 at x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			row.before(w)
			events := w.store.Records()
			got := w.answer("s", row.expected, row.events)
			if got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if wrote := len(w.store.Records()) > len(events); wrote && (got == "deleted" || got[:1] == "w") {
				t.Errorf("refused, but written: %v", w.store.Records())
			}
		})
	}
}

// TestAppendBringsBack: whatever an append expected that was written to a softly deleted stream, the stream reads from
// there.
func TestAppendBringsBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		expected Expected
		letters  string
		want     []string
	}{
		{NoStream, "x", []string{"2@s"}},
		{Any, "x", []string{"2@s"}},
		{1, "x", []string{"2@s"}},
		{Any, "", nil},
		{1, "", nil},
	} {
		t.Run(fmt.Sprintf("%d %q", row.expected, row.letters), func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			w.must("s", named("ab")...)
			do(w, (*Store).Delete, "s")
			w.answer("s", row.expected, row.letters)
			told, err := w.story(ofStream("s", 0))
			if diff := cmp.Diff(row.want, told); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// TestRepeatedOnce sees that what was answered as repeated was not written again, and what came after it stayed.
func TestRepeatedOnce(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	first := w.answer("s", NoStream, "ab")
	for n := range 1000 {
		w.must("s", fresh(1)...)
		if n == 500 {
			w.store.ForgetIDs()
		}
	}
	before := len(w.store.Records())
	if again := w.answer("s", NoStream, "ab"); again != first || len(w.store.Records()) != before {
		t.Errorf("%s, then %s; %d records, then %d", first, again, before, len(w.store.Records()))
	}
}

// TestSameIDTwice shows what it costs to append an id twice at once: a repetition by any is found only at the place
// that was written last.
func TestSameIDTwice(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	if got := w.answer("s", NoStream, "xx"); got != "1 at x" {
		t.Fatal(got)
	}
	if got := w.answer("s", Any, "x"); got != "1 at x" {
		t.Errorf("got %s: the first time was at 0, but the cache knows the second", got)
	}
}

// TestIDCacheIsBounded fills the cache until it forgets what came first.
func TestIDCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c idCache
	c.put(id('a'), "s", 0)
	n := 0
	for ; len(c.at) == n+1; n++ {
		c.put([16]byte{1, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, "s", int64(n))
	}
	if want := idCacheBound / 30; n < want || n > want+1 {
		t.Errorf("forgot after %d entries, want about %d", n, want)
	}
	if _, known := c.at[id('a')]; known {
		t.Error("forgot another one than the oldest")
	}
}

func do(w *world, remove func(*Store, string, Expected) (Outcome, error), stream string) {
	if _, err := remove(w.store, stream, Any); err != nil {
		w.Fatal(err)
	}
}

// answer appends letters and tells what came of it.
func (w *world) answer(stream string, expected Expected, letters string) string {
	w.Helper()
	a, trailer, err := w.append(stream, expected, named(letters)...)
	if status.Code(err) == codes.FailedPrecondition && trailer.Get("exception")[0] == "stream-deleted" {
		return "deleted"
	}
	if err != nil {
		return err.Error()
	}
	if v := a.GetWrongExpectedVersion(); v != nil {
		if v.GetCurrentNoStream() != nil {
			return "wrong, is -1"
		}
		return fmt.Sprintf("wrong, is %d", v.GetCurrentRevision())
	}
	s := a.GetSuccess()
	if s.GetNoStream() != nil {
		return "none"
	}
	where := "another position"
	if s.GetNoPosition() != nil {
		where = "no position"
	}
	for _, r := range w.store.Records() {
		if p := s.GetPosition(); p != nil && p.GetCommitPosition() == r.Position && p.GetPreparePosition() == r.Position && r.Type == "happened" {
			where = string(r.Data)
		}
	}
	return fmt.Sprintf("%d at %s", s.GetCurrentRevision(), where)
}
