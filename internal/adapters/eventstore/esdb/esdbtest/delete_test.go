package esdbtest

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// removed calls Delete or Tombstone, and returns what both answer.
func (w *world) removed(call, stream string, expected Expected) (position uint64, trailer metadata.MD, err error) {
	w.Helper()
	o := appendOptions(stream, expected).GetOptions()
	if call == "tombstone" {
		t := &streams.TombstoneReq_Options{StreamIdentifier: o.StreamIdentifier}
		switch o.ExpectedStreamRevision.(type) {
		case *streams.AppendReq_Options_Any:
			t.ExpectedStreamRevision = &streams.TombstoneReq_Options_Any{Any: empty}
		case *streams.AppendReq_Options_NoStream:
			t.ExpectedStreamRevision = &streams.TombstoneReq_Options_NoStream{NoStream: empty}
		case *streams.AppendReq_Options_StreamExists:
			t.ExpectedStreamRevision = &streams.TombstoneReq_Options_StreamExists{StreamExists: empty}
		default:
			t.ExpectedStreamRevision = &streams.TombstoneReq_Options_Revision{Revision: uint64(expected)}
		}
		a, err := w.client.Tombstone(w.ctx, &streams.TombstoneReq{Options: t}, grpc.Trailer(&trailer))
		return a.GetPosition().GetCommitPosition(), trailer, err
	}
	d := &streams.DeleteReq_Options{StreamIdentifier: o.StreamIdentifier}
	switch o.ExpectedStreamRevision.(type) {
	case *streams.AppendReq_Options_Any:
		d.ExpectedStreamRevision = &streams.DeleteReq_Options_Any{Any: empty}
	case *streams.AppendReq_Options_NoStream:
		d.ExpectedStreamRevision = &streams.DeleteReq_Options_NoStream{NoStream: empty}
	case *streams.AppendReq_Options_StreamExists:
		d.ExpectedStreamRevision = &streams.DeleteReq_Options_StreamExists{StreamExists: empty}
	default:
		d.ExpectedStreamRevision = &streams.DeleteReq_Options_Revision{Revision: uint64(expected)}
	}
	a, err := w.client.Delete(w.ctx, &streams.DeleteReq{Options: d}, grpc.Trailer(&trailer))
	return a.GetPosition().GetCommitPosition(), trailer, err
}

func TestDelete(t *testing.T) {
	t.Parallel()
	wrong := func(stream, expected, actual string) string {
		return "FailedPrecondition: Delete failed due to WrongExpectedVersion. Stream: " + stream + ", Expected version: " + expected + ", Actual version: " + actual +
			"; exception=wrong-expected-version; stream-name=" + stream + "; expected-version=" + expected + "; actual-version=" + actual
	}
	gone := "FailedPrecondition: Event stream 'gone' is deleted.; exception=stream-deleted; stream-name=gone"
	for _, row := range []struct {
		name, stream string
		expected     Expected
		soft, hard   string // "" if it is done
	}{
		{"any", "there", Any, "", ""},
		{"exists", "there", StreamExists, "", ""},
		{"its number", "there", 2, "", ""},
		{"a passed number", "there", 1, wrong("there", "1", "2"), wrong("there", "1", "2")},
		{"a number beyond", "there", 3, wrong("there", "3", "2"), wrong("there", "3", "2")},
		{"no stream, but there is", "there", NoStream, wrong("there", "-1", "2"), wrong("there", "-1", "2")},
		{"nothing there, any", "missing", Any, wrong("missing", "-2", "-1"), ""},
		{"nothing there, no stream", "missing", NoStream, wrong("missing", "-1", "-1"), ""},
		{"nothing there, exists", "missing", StreamExists, wrong("missing", "-4", "-1"), wrong("missing", "-4", "-1")},
		{"only metadata there, any", "described", Any, "", ""},
		{"deleted softly, any", "deleted", Any, "", ""},
		{"deleted softly, exists", "deleted", StreamExists, "FailedPrecondition: Event stream 'deleted' is deleted.; exception=stream-deleted; stream-name=deleted",
			"FailedPrecondition: Event stream 'deleted' is deleted.; exception=stream-deleted; stream-name=deleted"},
		{"a tombstone", "gone", Any, gone, gone},
	} {
		for call, want := range map[string]string{"delete": row.soft, "tombstone": row.hard} {
			t.Run(row.name+", "+call, func(t *testing.T) {
				t.Parallel()
				w := open(t, alone{})
				for _, s := range []string{"there", "deleted", "gone"} {
					w.must(s, fresh(3)...)
				}
				do(w, (*Store).Delete, "deleted")
				do(w, (*Store).Tombstone, "gone")
				if err := w.store.SetMetadata("described", `{}`); err != nil {
					t.Fatal(err)
				}
				position, trailer, err := w.removed(call, row.stream, row.expected)
				w.same(want, err, trailer)
				records := w.store.Records()
				if last := records[len(records)-1]; err == nil && last.Position != position {
					t.Errorf("answered %d, written at %d", position, last.Position)
				}
			})
		}
	}
}

// TestTombstoneByType: an event that a client gives the type of a tombstone is none.
func TestTombstoneByType(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", Proposed{ID: id('x'), Type: typeTombstone})
	if got := w.answer("s", 0, "a"); got != "1 at a" {
		t.Error(got)
	}
}

// TestLifeOfAStream deletes a stream softly, brings it back, and deletes it for ever.
func TestLifeOfAStream(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	read := func(want ...string) {
		t.Helper()
		for _, from := range []option{fromStart, backwards} {
			told, err := w.story(ofStream("s", 9), fromEnd, from)
			if len(told) > 1 && told[0] > told[1] {
				told[0], told[1] = told[1], told[0]
			}
			if diff := cmp.Diff(want, told); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	}
	w.must("s", named("abc")...)
	do(w, (*Store).Delete, "s")
	read("not found")
	if got := w.answer("s", NoStream, "de"); got != "4 at e" {
		t.Fatalf("brought back: %s", got)
	}
	read("3@s", "4@s")
	all, err := w.story(fromStart)
	if want := []string{"0@s", "1@s", "2@s", "0@$$s", "3@s", "4@s", "1@$$s"}; cmp.Diff(want, all) != "" || err != nil {
		t.Errorf("%v\n%s", err, cmp.Diff(want, all))
	}
	do(w, (*Store).Tombstone, "s")
	for _, name := range []string{"s", "$$s"} {
		c := w.read(ofStream(name, 0))
		_, err := c.Recv()
		w.same("FailedPrecondition: Event stream '"+name+"' is deleted.; exception=stream-deleted; stream-name="+name, err, c.Trailer())
	}
	for _, name := range []string{"s", "$$s"} {
		if got := w.answer(name, Any, "x"); got != "deleted" {
			t.Errorf("append to %s: %s", name, got)
		}
	}
	all, err = w.story(fromStart)
	if last := all[len(all)-1]; last != "9223372036854775807@s" || err != nil {
		t.Errorf("the tombstone in $all: %s, %v", last, err)
	}
}
