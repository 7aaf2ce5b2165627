package esdbtest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
)

// TestWrongVersionFields: clients old and new find their fields.
func TestWrongVersionFields(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", named("abc")...)
	type answer = streams.AppendResp_WrongExpectedVersion
	for _, row := range []struct {
		name, stream string
		expected     Expected
		events       string
		want         *answer
	}{
		{"a number", "s", 7, "x", &answer{
			CurrentRevisionOption_20_6_0:  &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: 2},
			ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: 7},
			CurrentRevisionOption:         &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: 2},
			ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: 7},
		}},
		{"no stream", "s", NoStream, "x", &answer{
			CurrentRevisionOption_20_6_0:  &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: 2},
			ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64},
			CurrentRevisionOption:         &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: 2},
			ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty},
		}},
		{"any", "s", Any, "ax", &answer{
			CurrentRevisionOption_20_6_0:  &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: 2},
			ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: empty},
			CurrentRevisionOption:         &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: 2},
			ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: empty},
		}},
		{"exists", "missing", StreamExists, "x", &answer{
			CurrentRevisionOption_20_6_0:  &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: empty},
			ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: empty},
			CurrentRevisionOption:         &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty},
			ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := w.append(row.stream, row.expected, named(row.events)...)
			if diff := cmp.Diff(row.want, got.GetWrongExpectedVersion(), protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("%v, -want +got\n%s", err, diff)
			}
		})
	}
}

// TestAppendRefused has what an append is refused for before the log is asked.
func TestAppendRefused(t *testing.T) {
	t.Parallel()
	good := Proposed{ID: id('x'), Type: "happened", ContentType: contentJSON}
	sized := func(n int) *streams.AppendReq { // type and all
		e := good
		e.Data, e.Metadata = bytes.Repeat([]byte("d"), n-16-3), []byte("mmm")
		return message(e)
	}
	changed := func(change func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq {
		m := message(good)
		change(m.GetProposedMessage())
		return m
	}
	without := func(key string) *streams.AppendReq {
		return changed(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, key) })
	}
	unset := appendOptions("s", Any)
	unset.GetOptions().ExpectedStreamRevision = nil
	huge := appendOptions("s", Any)
	huge.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 1 << 63}
	thrown := "Unknown: Exception was thrown by handler."
	for _, row := range []struct {
		name    string
		options *streams.AppendReq
		events  []*streams.AppendReq
		want    string // "" if it is taken
	}{
		{"nothing wrong", nil, []*streams.AppendReq{message(good)}, ""},
		{"expected nothing", unset, nil, "InvalidArgument: 'None' is not a valid expected revision; exception="},
		{"a number that is none", huge, nil, thrown + "; exception="},
		{"events without options", message(good), nil, thrown + "; exception="},
		{"options twice", nil, []*streams.AppendReq{appendOptions("s", Any)}, thrown + "; exception="},
		{"no name", appendOptions("", Any), nil, thrown + "; exception="},
		{"metadata of no name", appendOptions("$$", Any), nil, thrown + "; exception="},
		{"no type", nil, []*streams.AppendReq{without("type")}, "InvalidArgument: Required Metadata Property 'type' is missing; exception=missing-required-metadata-property; required-metadata-properties=type,content-type"},
		{"no content type", nil, []*streams.AppendReq{without("content-type")}, "InvalidArgument: Required Metadata Property 'content-type' is missing; exception=missing-required-metadata-property; required-metadata-properties=type,content-type"},
		{"an empty type", nil, []*streams.AppendReq{changed(func(m *streams.AppendReq_ProposedMessage) { m.Metadata["type"] = "" })}, thrown + "; exception="},
		{"no id", nil, []*streams.AppendReq{changed(func(m *streams.AppendReq_ProposedMessage) { m.Id = nil })}, thrown + "; exception="},
		{"the nil id", nil, []*streams.AppendReq{changed(func(m *streams.AppendReq_ProposedMessage) { m.Id = structured(uuid.Nil) })}, thrown + "; exception="},
		{"an id as text", nil, []*streams.AppendReq{changed(func(m *streams.AppendReq_ProposedMessage) {
			m.Id = &shared.UUID{Value: &shared.UUID_String_{String_: "0195f1c2-8f5e-7b10-9d3c-5a1f0c2b7e44"}}
		})}, ""},
		{"JSON that is none", nil, []*streams.AppendReq{changed(func(m *streams.AppendReq_ProposedMessage) { m.Data = []byte("{no") })}, ""},
		{"as large as may be", nil, []*streams.AppendReq{sized(1 << 20)}, ""},
		{"one byte more", nil, []*streams.AppendReq{sized(1<<20 + 1)}, "InvalidArgument: Maximum Append Size of 1048576 Exceeded.; exception=maximum-append-size-exceeded; maximum-append-size=1048576"},
		{"as large together", nil, []*streams.AppendReq{sized(1<<20 - 100), sized(100)}, ""},
		{"one byte more together", nil, []*streams.AppendReq{sized(1<<20 - 100), sized(101)}, "InvalidArgument: Maximum Append Size of 1048576 Exceeded.; exception=maximum-append-size-exceeded; maximum-append-size=1048576"},
		{"a type of two-byte letters counts twice", nil, []*streams.AppendReq{changed(func(m *streams.AppendReq_ProposedMessage) {
			m.Metadata["type"], m.Data = "öö", make([]byte, 1<<20-4)
		})}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			if row.options == nil {
				row.options = appendOptions("s", NoStream)
			}
			_, trailer, err := w.call(append([]*streams.AppendReq{row.options}, row.events...)...)
			w.same(row.want, err, trailer)
			if n := len(w.store.Records()) - 1; (n > 0) != (row.want == "") {
				t.Errorf("%d events were written", n)
			}
		})
	}
}

// same compares an answer with one that a table has, which names the trailers that it wants.
func (w *world) same(want string, err error, trailer metadata.MD) {
	w.Helper()
	var keys []string
	for _, part := range strings.Split(want, "; ")[1:] {
		key, _, _ := strings.Cut(part, "=")
		keys = append(keys, key)
	}
	got := said(err, trailer, keys...)
	if err == nil {
		got = ""
	}
	if got != want {
		w.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendEventSize(t *testing.T) {
	t.Parallel()
	w := open(t, alone{}, func(s *Store) { s.MaxAppendEvent = 100 })
	for _, row := range []struct {
		bytes int
		want  string
	}{
		{84, ""},
		{85, "InvalidArgument: Event with Id: 80000000-0000-0000-0000-000000000078, Size: 101, exceeds Maximum Append Event Size of 100.; " +
			"exception=maximum-append-event-size-exceeded; maximum-append-event-size=100; event-id=80000000-0000-0000-0000-000000000078; proposed-append-event-size=101"},
	} {
		_, trailer, err := w.append("s", Any, Proposed{ID: id('x'), Type: "happened", ContentType: contentBytes, Data: make([]byte, row.bytes)})
		w.same(row.want, err, trailer)
	}
}

// TestAppendLargestRecord: no option makes room for an event that no record can hold.
func TestAppendLargestRecord(t *testing.T) {
	t.Parallel()
	w := open(t, alone{}, func(s *Store) { s.MaxAppend = math.MaxInt32 })
	for _, row := range []struct {
		letters int // of the type, which count twice
		want    string
	}{
		{500, ""},
		{501, "Unknown: Exception was thrown by handler."},
	} {
		_, _, err := w.append("s", Any, Proposed{ID: uuid.New(), Type: strings.Repeat("t", row.letters), ContentType: contentBytes, Data: make([]byte, largestRecord-1000)})
		w.same(row.want, err, nil)
	}
}

// TestAppendDeleted: streams that are gone, however that came.
func TestAppendDeleted(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		remove   func(*Store, string, Expected) (Outcome, error)
		expected Expected
	}{
		{"tombstone", (*Store).Tombstone, Any},
		{"softly, exists", (*Store).Delete, StreamExists},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			w.must("s", named("a")...)
			do(w, row.remove, "s")
			_, trailer, err := w.append("s", row.expected, named("x")...)
			w.same("FailedPrecondition: Event stream 's' is deleted.; exception=stream-deleted; stream-name=s", err, trailer)
		})
	}
}

// TestStoredAsSent: bytes are kept as they are, and of content types there are two.
func TestStoredAsSent(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, contentType, want string
		data, metadata          []byte
	}{
		{"JSON", "application/json", "application/json", []byte(`{"a":1}`), []byte(`{}`)},
		{"bytes", "application/octet-stream", "application/octet-stream", []byte{0, 0xff, 0}, []byte{1}},
		{"another type", "text/plain", "application/octet-stream", []byte("ä"), nil},
		{"nothing", "application/json", "application/json", nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{}, func(s *Store) { s.Now = func() time.Time { return time.Unix(1_700_000_000, 123_456_789) } })
			e := Proposed{ID: uuid.MustParse("0195f1c2-8f5e-7b10-9d3c-5a1f0c2b7e44"), Type: "happened", ContentType: row.contentType, Data: row.data, Metadata: row.metadata}
			a, _, err := w.append("order-ä", NoStream, e)
			if err != nil {
				t.Fatal(err)
			}
			m, err := w.read(ofStream("order-ä", 0)).Recv()
			if err != nil {
				t.Fatal(err)
			}
			p := a.GetSuccess().GetPosition().GetCommitPosition()
			want := &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
				Event: &streams.ReadResp_ReadEvent_RecordedEvent{
					Id: structured(e.ID), StreamIdentifier: streamName("order-ä"), PreparePosition: p, CommitPosition: p,
					Metadata:       map[string]string{"type": "happened", "content-type": row.want, "created": "17000000001234567"},
					CustomMetadata: row.metadata, Data: row.data,
				},
				Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: p},
			}}}
			if diff := cmp.Diff(want, m, protocmp.Transform()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestPositions: they grow by more than one could count, each event has its own, and an append answers that of its
// last event.
func TestPositions(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	first, second := w.must("s", named("ab")...), w.must("t", named("c")...)
	records := w.store.Records()
	letters := records[len(records)-3:]
	if uint64(first.Position) != letters[1].Position || uint64(second.Position) != letters[2].Position {
		t.Errorf("answered %d and %d for %v", first.Position, second.Position, letters)
	}
	for i, r := range records[1:] {
		if r.Position < records[i].Position+recordHeader {
			t.Errorf("%d after %d", r.Position, records[i].Position)
		}
	}
	nothing, third := w.must("s"), w.must("s", named("d")...)
	if nothing.Position <= second.Position || third.Position <= nothing.Position {
		t.Errorf("an append of nothing stands at %d, between %d and %d", nothing.Position, second.Position, third.Position)
	}
	if records[0].Position == 0 {
		t.Error("an event stands at 0, which is before all of them")
	}
}

// TestCancelled: a request that is cancelled before it is written is not.
func TestCancelled(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	ctx, cancel := context.WithCancel(w.ctx)
	c, err := w.client.Append(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(appendOptions("s", Any)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := c.CloseAndRecv(); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	if a := w.answer("s", NoStream, "a"); a != "0 at a" {
		t.Errorf("something was written: %s", a)
	}
}

// TestCancelledBeforeWriting: the last look at a call is just before it is written.
func TestCancelledBeforeWriting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := service{store: NewStore(), node: alone{}}
	_, err := s.write(ctx, func(*Store) (Outcome, error) {
		t.Error("written")
		return Outcome{}, nil
	})
	if status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
}

// TestManyAtOnce: of fifty writers at one number one succeeds, each time.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	for round := range 5 {
		won := make(chan bool)
		for range 50 {
			go func() {
				a, _, err := w.append("s", Expected(round-1), fresh(1)...)
				won <- err == nil && a.GetSuccess() != nil
			}()
		}
		n := 0
		for range 50 {
			if <-won {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("round %d: %d succeeded", round, n)
		}
	}
	told, err := w.story(ofStream("s", 0))
	if diff := cmp.Diff(numbers("s", 0, 4), told); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestBatchAppendIsNotBuilt, and neither are others: the answer says so.
func TestBatchAppendIsNotBuilt(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	c, err := w.client.BatchAppend(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", fmt.Sprint(err))
	}
}
