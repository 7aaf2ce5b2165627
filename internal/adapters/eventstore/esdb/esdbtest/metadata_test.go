package esdbtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMetadata: what the metadata of a stream of ten hide from its readers, and from nobody else. An event is a
// minute older than the next.
func TestMetadata(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, json string
		low        int // the first one that is read; 10: none
	}{
		{"none", `{}`, 0},
		{"truncated", `{"$tb":4}`, 4},
		{"all truncated", `{"$tb":10}`, 10},
		{"truncated beyond", `{"$tb":99}`, 10},
		{"the last three", `{"$maxCount":3}`, 7},
		{"more than there are", `{"$maxCount":30}`, 0},
		{"both, count higher", `{"$maxCount":3,"$tb":4}`, 7},
		{"both, truncated higher", `{"$maxCount":8,"$tb":4}`, 4},
		{"no count is no bound", `{"$maxCount":0}`, 0},
		{"young", `{"$maxAge":180}`, 7},
		{"all too old", `{"$maxAge":1}`, 10},
		{"no age is no bound", `{"$maxAge":0}`, 0},
		{"an age beyond measure", `{"$maxAge":9223372036854775807}`, 0},
		{"what is not read says nothing", `{"$tb":"4"}`, 0},
		{"no JSON", `$tb`, 0},
		{"others", `{"$cacheControl":9,"$acl":{"$r":["ops"]},"mine":1}`, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1_700_000_000, 0)
			w := open(t, alone{}, func(s *Store) { s.Now = func() time.Time { return now } })
			for range 10 {
				w.must("s", fresh(1)...)
				now = now.Add(time.Minute)
			}
			if err := w.store.SetMetadata("s", row.json); err != nil {
				t.Fatal(err)
			}
			var want, back []string
			if row.low < 10 {
				want, back = numbers("s", row.low, 9), numbers("s", 9, row.low)
			}
			for name, of := range map[string]struct {
				options []option
				want    []string
			}{
				"onwards": {[]option{ofStream("s", 0)}, want},
				"back":    {[]option{ofStream("s", 0), fromEnd, backwards}, back},
				"all":     {[]option{fromStart}, append(numbers("s", 0, 9), "0@$$s")},
			} {
				told, err := w.story(of.options...)
				if diff := cmp.Diff(of.want, told); diff != "" || err != nil {
					t.Errorf("%s: %v\n%s", name, err, diff)
				}
			}
			c := w.read(ofStream("s", 0), fromStart, subscribed)
			w.hears(c, append(append([]string{"confirmation"}, want...), "caught up")...)
		})
	}
}

// TestMetadataOfMetadata: of a metadata stream only the last event is shown.
func TestMetadataOfMetadata(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	for range 3 {
		if err := w.store.SetMetadata("s", `{"$tb":0}`); err != nil {
			t.Fatal(err)
		}
	}
	told, err := w.story(ofStream("$$s", 0))
	if diff := cmp.Diff([]string{"2@$$s"}, told); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestUndelete: the other metadata of a stream that comes back stay, and new metadata bring it back too, empty.
func TestUndelete(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, json string
		deleted    bool // before, and not by the metadata themselves
		append     string
		want       string
		told       []string
	}{
		{"by an event", `{"$tb":9223372036854775807,"mine":1}`, false, "x", `{"$tb":3,"mine":1}`, []string{"3@s"}},
		{"by metadata", `{"mine":2}`, true, "", `{"$tb":3,"mine":2}`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			w.must("s", named("abc")...)
			if row.deleted {
				do(w, (*Store).Delete, "s")
			}
			if err := w.store.SetMetadata("s", row.json); err != nil {
				t.Fatal(err)
			}
			if row.append != "" {
				w.must("s", named(row.append)...)
			}
			m, err := w.read(ofStream("$$s", 0)).Recv()
			if got := string(m.GetEvent().GetEvent().GetData()); got != row.want || err != nil {
				t.Errorf("metadata %s, %v, want %s", got, err, row.want)
			}
			told, err := w.story(ofStream("s", 0))
			if diff := cmp.Diff(row.told, told); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}
