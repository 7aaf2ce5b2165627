package esdbtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestStreamsAreTheLog is a law: whatever is appended, repeated and refused, all reads as the streams laid together
// in the order in which it was written, and each stream as its own part of it.
func TestStreamsAreTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := NewStore()
		var model []Record // stream, number and id
		last := map[string]int64{}
		for _, stream := range []string{"a", "b", "c"} {
			last[stream] = -1
		}
		appends := func(t *rapid.T) {
			stream := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "stream")
			expected := Expected(rapid.Int64Range(-2, last[stream]+1).Draw(t, "expected"))
			events := fresh(rapid.IntRange(1, 40).Draw(t, "events"))
			_, err := s.Append(stream, expected, events)
			if fits := expected == Any || int64(expected) == last[stream]; fits != (err == nil) {
				t.Fatalf("at %d of %d: %v", expected, last[stream], err)
			}
			if err != nil {
				return
			}
			for _, e := range events {
				last[stream]++
				model = append(model, Record{Stream: stream, Number: uint64(last[stream]), ID: e.ID})
			}
		}
		repeats := func(t *rapid.T) {
			if len(model) == 0 {
				return
			}
			r := rapid.SampledFrom(model).Draw(t, "event")
			if rapid.Bool().Draw(t, "restarted") {
				s.ForgetIDs()
			}
			out, err := s.Append(r.Stream, Expected(r.Number)-1, []Proposed{{ID: r.ID, Type: "happened"}})
			if err != nil || out.Revision != int64(r.Number) {
				t.Fatalf("%+v, %v for %+v", out, err, r)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": appends,
			"repeat": repeats,
			"collide": func(t *rapid.T) {
				stream := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "stream")
				if last[stream] < 1 {
					return
				}
				var w *WrongVersionError
				_, err := s.Append(stream, Expected(last[stream]-1), []Proposed{{ID: uuid.New(), Type: "happened"}})
				if !errors.As(err, &w) || w.Current != last[stream] {
					t.Fatalf("got %v", err)
				}
			},
		})
		short := func(records []Record) []string {
			var told []string
			for _, r := range records {
				told = append(told, fmt.Sprint(r.Stream, r.Number, r.ID))
			}
			return told
		}
		var all []Record
		for from := (place{}); ; {
			page, err := s.allForwards(from, pageSize, pageSize, notHidden)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page.events...)
			if from = page.next; page.end {
				break
			}
		}
		if diff := cmp.Diff(short(model), short(all)); diff != "" {
			t.Fatalf("-written +read\n%s", diff)
		}
		for stream := range last {
			var own []Record
			for page := (streamPage{}); !page.end && page.state == streamThere; {
				page = s.streamForwards(stream, page.next, pageSize)
				own = append(own, page.events...)
			}
			part := slices.DeleteFunc(slices.Clone(all), func(r Record) bool { return r.Stream != stream })
			if diff := cmp.Diff(short(part), short(own)); diff != "" {
				t.Fatalf("%s, -all +stream\n%s", stream, diff)
			}
		}
	})
}
