package esdbtest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
)

// TestReadStream has the bounds of reads of a stream of seventy events, which are three pages.
func TestReadStream(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(70)...)
	w.must("t", fresh(1)...)
	span := func(lo, hi int) []string { return numbers("s", lo, hi) }
	for _, row := range []struct {
		name    string
		options []option
		want    []string
		err     string
	}{
		{"all of it", []option{ofStream("s", 0)}, span(0, 69), ""},
		{"from the start", []option{ofStream("s", 9), fromStart}, span(0, 69), ""},
		{"from the middle", []option{ofStream("s", 35)}, span(35, 69), ""},
		{"from the last", []option{ofStream("s", 69)}, span(69, 69), ""},
		{"from past the end", []option{ofStream("s", 70)}, nil, ""},
		{"from far past the end", []option{ofStream("s", math.MaxInt64)}, nil, ""},
		{"from the end, onwards", []option{ofStream("s", 0), fromEnd}, nil, "Unknown: Unexpected ReadStreamResult: Error"},
		{"from no number", []option{ofStream("s", 1<<63)}, nil, "Unknown: Exception was thrown by handler."},
		{"back from the end", []option{ofStream("s", 0), fromEnd, backwards}, span(69, 0), ""},
		{"back from the last", []option{ofStream("s", 69), backwards}, span(69, 0), ""},
		{"back from the middle", []option{ofStream("s", 35), backwards}, span(35, 0), ""},
		{"back from the first", []option{ofStream("s", 0), backwards}, span(0, 0), ""},
		{"back from the start", []option{ofStream("s", 9), fromStart, backwards}, span(0, 0), ""},
		{"back from past the end", []option{ofStream("s", 99), backwards}, span(69, 0), ""},
		{"missing", []option{ofStream("missing", 0)}, []string{"not found"}, ""},
		{"missing, back", []option{ofStream("missing", 0), fromEnd, backwards}, []string{"not found"}, ""},
		{"at most none", []option{ofStream("s", 0), limit(0)}, nil, "Unknown: Unexpected ReadStreamResult: Error"},
		{"at most 1", []option{ofStream("s", 0), limit(1)}, span(0, 0), ""},
		{"at most 31", []option{ofStream("s", 0), limit(31)}, span(0, 30), ""},
		{"at most 32", []option{ofStream("s", 0), limit(32)}, span(0, 31), ""},
		{"at most 33", []option{ofStream("s", 0), limit(33)}, span(0, 32), ""},
		{"at most 64", []option{ofStream("s", 0), limit(64)}, span(0, 63), ""},
		{"at most 65", []option{ofStream("s", 0), limit(65)}, span(0, 64), ""},
		{"at most 65 back", []option{ofStream("s", 69), backwards, limit(65)}, span(69, 5), ""},
		{"no bound", []option{ofStream("s", 0), limit(math.MaxUint64)}, span(0, 69), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			told, err := w.story(row.options...)
			if diff := cmp.Diff(row.want, told); diff != "" {
				t.Error(diff)
			}
			w.on(t).same(row.err, err, nil)
		})
	}
}

func (w world) on(t *testing.T) *world { w.T = t; return &w }

// TestReadAll has the bounds of reads of all: of the letters a to z, each in a stream of its own.
func TestReadAll(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	letters := "abcdefghijklmnopqrstuvwxyz"
	for i := range letters {
		w.must(letters[i:i+1], named(letters[i:i+1])...)
		if i%5 == 0 {
			w.must(letters[i : i+1]) // an empty append, a gap
		}
	}
	of := map[byte]uint64{}
	var end uint64
	for _, r := range w.store.Records() {
		of[r.Stream[0]], end = r.Position, r.post()
	}
	size := uint64(recordHeader + len("a") + len("happened") + 1)
	told := func(letters string) []string {
		var told []string
		for i := range letters {
			told = append(told, "0@"+letters[i:i+1])
		}
		return told
	}
	back := []byte(letters)
	slices.Reverse(back)
	for _, row := range []struct {
		name    string
		options []option
		want    string
		err     string
	}{
		{"from the start", []option{fromStart}, letters, ""},
		{"from nothing", []option{ofAll(0, 0)}, letters, ""},
		{"from an event, with it", []option{ofAll(of['y'], of['y'])}, "yz", ""},
		{"from an event's commit", []option{ofAll(of['y'], 0)}, "yz", ""},
		{"from where an event ends", []option{ofAll(of['x']+size, of['x']+size)}, "yz", ""},
		{"from where an event ends and something else begins", []option{ofAll(of['u']+size, 0)}, "vwxyz", ""},
		{"from the last", []option{ofAll(of['z'], of['z'])}, "z", ""},
		{"from the end", []option{fromEnd}, "", ""},
		{"from where the last ends", []option{ofAll(end, end)}, "", ""},
		{"from past the end", []option{ofAll(end+1, end+1)}, "", ""},
		{"from within an event", []option{ofAll(of['y']+1, of['y']+1)}, "", "Unknown: Unexpected ReadAllResult: InvalidPosition"},
		{"from within the gap", []option{ofAll(of['u']+size+1, 0)}, "", "Unknown: Unexpected ReadAllResult: InvalidPosition"},
		{"from half an end", []option{ofAll(math.MaxUint64, 0)}, "", "Unknown: Unexpected ReadAllResult: InvalidPosition"},
		{"from a commit before its prepare", []option{ofAll(of['y'], of['z'])}, "", "Unknown: Exception was thrown by handler."},
		{"from no number", []option{ofAll(1<<63, 0)}, "", "Unknown: Exception was thrown by handler."},
		{"back from the end", []option{fromEnd, backwards}, string(back), ""},
		{"back from where the last ends", []option{ofAll(end, end), backwards}, string(back), ""},
		{"back from an event, without it", []option{ofAll(of['c'], of['c']), backwards}, "ba", ""},
		{"back from where an event ends", []option{ofAll(of['b']+size, of['b']+size), backwards}, "ba", ""},
		{"back from where an event ends, prepare before", []option{ofAll(of['b']+size, 0), backwards}, "a", ""},
		{"back from the first", []option{ofAll(of['a'], of['a']), backwards}, "", ""},
		{"back from the start", []option{fromStart, backwards}, "", ""},
		{"back from past the end", []option{ofAll(end+emptyRecord+1, 0), backwards}, "", "Unknown: Unexpected ReadAllResult: Error"},
		{"back from within an event", []option{ofAll(of['c']+1, 0), backwards}, "", "Unknown: Unexpected ReadAllResult: InvalidPosition"},
		{"at most none", []option{fromStart, limit(0)}, "", "Unknown: Unexpected ReadAllResult: Error"},
		{"at most 1", []option{fromStart, limit(1)}, "a", ""},
		{"at most 25", []option{fromStart, limit(25)}, letters[:25], ""},
		{"at most 3 back", []option{fromEnd, backwards, limit(3)}, "zyx", ""},
		{"no bound", []option{fromStart, limit(math.MaxUint64)}, letters, ""},
		{"filtered", []option{fromStart, prefixes(32, 0, "b", "yy", "z")}, "bz", ""},
		{"filtered, a page at most", []option{fromStart, prefixes(3, 0, "k", "z")}, "kz", ""},
		{"filtered, back", []option{fromEnd, backwards, prefixes(3, 0, "a", "k")}, "ka", ""},
		{"filtered, at most 1", []option{fromStart, prefixes(32, 0, "b", "c"), limit(1)}, "b", ""},
		{"filtered, from within an event", []option{ofAll(of['y']+1, 0), prefixes(32, 1, "z")}, "", "Unknown: Unexpected FilteredReadAllResult: InvalidPosition"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := w.story(row.options...)
			if diff := cmp.Diff(told(row.want), got); diff != "" {
				t.Error(diff)
			}
			w.on(t).same(row.err, err, nil)
		})
	}
}

// TestReadPages reads all in both directions over several pages, with every limit around them.
func TestReadPages(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(70)...)
	for _, n := range []int{1, 31, 32, 33, 63, 64, 65, 70, 71} {
		told, err := w.story(fromStart, limit(uint64(n)))
		if diff := cmp.Diff(numbers("s", 0, min(n, 70)-1), told); diff != "" || err != nil {
			t.Errorf("%d onwards: %v\n%s", n, err, diff)
		}
		told, err = w.story(fromEnd, backwards, limit(uint64(n)))
		if diff := cmp.Diff(numbers("s", 69, 70-min(n, 70)), told); diff != "" || err != nil {
			t.Errorf("%d back: %v\n%s", n, err, diff)
		}
	}
}

// TestReadRefused has requests that are refused as such.
func TestReadRefused(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(1)...)
	some := &streams.ReadReq_Options_FilterOptions_Expression{Prefix: []string{"s"}}
	count := &streams.ReadReq_Options_FilterOptions_Count{Count: empty}
	byStream := &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: some}
	for _, row := range []struct {
		name    string
		options []option
		want    string // how it begins
	}{
		{"no way to write ids", []option{fromStart, func(o *streams.ReadReq_Options) { o.UuidOption = nil }}, "InvalidArgument"},
		{"nothing to read", nil, "InvalidArgument"},
		{"no filter and not none", []option{fromStart, func(o *streams.ReadReq_Options) { o.FilterOption = nil }}, "InvalidArgument: The combination of"},
		{"no count", []option{fromStart, func(o *streams.ReadReq_Options) { o.CountOption = nil }}, "InvalidArgument: The combination of"},
		{"a stream, filtered", []option{ofStream("s", 0), prefixes(32, 1, "s")}, "InvalidArgument: The combination of"},
		{"subscribed backwards", []option{fromStart, subscribed, backwards}, "InvalidArgument: The combination of"},
		{"a filter of nothing", []option{fromStart, filtered(&streams.ReadReq_Options_FilterOptions{Window: count})}, "InvalidArgument"},
		{"a filter without window", []option{fromStart, filtered(&streams.ReadReq_Options_FilterOptions{Filter: byStream})}, "InvalidArgument"},
		{"a window of nothing", []option{fromStart, prefixes(0, 1, "s")}, "Unknown: Exception was thrown by handler."},
		{"subscribed, checkpoints never", []option{fromStart, subscribed, prefixes(32, 0, "s")}, "Unknown: Exception was thrown by handler."},
		{"from no place in all", []option{func(o *streams.ReadReq_Options) {
			o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}
		}}, "Unknown: Exception was thrown by handler."},
		{"from no place in a stream", []option{func(o *streams.ReadReq_Options) {
			o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: streamName("s")}}
		}}, "Unknown: Exception was thrown by handler."},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			told, err := w.story(row.options...)
			if got := said(err, nil); !strings.HasPrefix(got, row.want) || len(told) > 0 {
				t.Errorf("got %v and %s, want %s", told, got, row.want)
			}
		})
	}
}

// TestCompatibility: the ends of a stream are told to those only who say that they know of them.
func TestCompatibility(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(3)...)
	if err := w.store.SetMetadata("s", `{"$tb":2}`); err != nil {
		t.Fatal(err)
	}
	compatible := func(o *streams.ReadReq_Options) {
		o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	}
	for _, row := range []struct {
		options []option
		want    []string
	}{
		{[]option{ofStream("s", 0)}, []string{"2@s"}},
		{[]option{ofStream("s", 9)}, nil},
		{[]option{ofStream("s", 0), compatible}, []string{"2@s", "last 2"}},
		{[]option{ofStream("s", 9), compatible}, []string{"first 3", "last 2"}},
		{[]option{ofStream("s", 0), fromEnd, backwards, compatible}, []string{"2@s", "last 2"}},
		{[]option{fromStart, compatible}, []string{"0@s", "1@s", "2@s", "0@$$s"}},
	} {
		told, err := w.story(row.options...)
		if diff := cmp.Diff(row.want, told); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

func TestIDsAsText(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", named("a")...)
	m, err := w.read(fromStart, func(o *streams.ReadReq_Options) {
		o.UuidOption = &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: empty}}
	}).Recv()
	if got := m.GetEvent().GetEvent().GetId().GetString_(); got != "80000000-0000-0000-0000-000000000061" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestLinks: the event of a link is its target where it can be read, and nothing else where not.
func TestLinks(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", named("ab")...)
	link := func(data string) { w.must("links", Proposed{ID: id(data[0]), Type: typeLink, Data: []byte(data)}) }
	link("1@s")
	link("7@s")
	link("no link")
	resolve := func(o *streams.ReadReq_Options) { o.ResolveLinks = true }
	for _, row := range []struct {
		options []option
		want    []string
	}{
		{[]option{ofStream("links", 0)}, numbers("links", 0, 2)},
		{[]option{ofStream("links", 0), resolve}, []string{"link 0@links to 1@s", "link 1@links to 0@", "2@links"}},
		{[]option{fromStart, prefixes(32, 1, "links"), resolve}, []string{"link 0@links to 1@s", "link 1@links to 0@", "2@links"}},
	} {
		told, err := w.story(row.options...)
		if diff := cmp.Diff(row.want, told); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

// TestReadWhileWriting: a reader sees a beginning of what is written, and appends whole.
func TestReadWhileWriting(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(1)...)
	written := make(chan error)
	go func() {
		for range 100 {
			if _, err := w.store.Append("s", Any, fresh(100)); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for done := false; !done; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		told, err := w.story(ofStream("s", 0))
		if err != nil {
			t.Fatal(err)
		}
		if last := fmt.Sprintf("%d@s", len(told)-1); told[len(told)-1] != last {
			t.Fatalf("%d events, the last one %s", len(told), told[len(told)-1])
		}
		if done && len(told) != 10_001 {
			t.Errorf("%d events", len(told))
		}
	}
}
