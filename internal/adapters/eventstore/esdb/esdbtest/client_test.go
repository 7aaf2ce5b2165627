package esdbtest

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
)

// client opens the vendor's client, as the second opinion on whether the double speaks the protocol.
func (w *world) vendors() *esdb.Client {
	w.Helper()
	config, err := esdb.ParseConnectionString("esdb://" + w.target + "?tls=false")
	if err != nil {
		w.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	return c
}

func theirs(events []Proposed) []esdb.EventData {
	var data []esdb.EventData
	for _, e := range events {
		data = append(data, esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeBinary, Data: e.Data, Metadata: e.Metadata})
	}
	return data
}

// code is how the client names an error, with the text that was behind it.
func code(err error) string {
	e, ok := esdb.FromError(err)
	if ok {
		return "none"
	}
	var inner *esdb.Error
	if errors.As(err, &inner) {
		e = inner
	}
	return fmt.Sprintf("%d %v", e.Code(), e.Err())
}

// TestVendorsClient has what the vendor's client makes of the double's answers: what it makes of the server's.
func TestVendorsClient(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	c := w.vendors()
	w.must("gone", named("a")...)
	do(w, (*Store).Tombstone, "gone")
	w.must("deleted", named("a")...)
	do(w, (*Store).Delete, "deleted")
	w.must("there", named("abc")...)
	big := make([]byte, 1<<20)
	appends := func(stream string, expected esdb.ExpectedRevision, events ...Proposed) error {
		_, err := c.AppendToStream(w.ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, theirs(events)...)
		return err
	}
	reads := func(stream string) error {
		r, err := c.ReadStream(w.ctx, stream, esdb.ReadStreamOptions{}, 10)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.Recv()
		return err
	}
	for _, row := range []struct {
		name string
		err  error
		want string // how it begins
	}{
		{"append", appends("s", esdb.NoStream{}, named("a")...), "none"},
		{"append again", appends("s", esdb.NoStream{}, named("a")...), "none"},
		{"append something else there", appends("s", esdb.NoStream{}, named("b")...), "7 wrong expected version: expecting 'no_stream' but got '0'"},
		{"append beyond", appends("s", esdb.Revision(4), named("b")...), "7 wrong expected version: expecting '4' but got '0'"},
		{"append to what is not there", appends("missing", esdb.StreamExists{}, named("b")...), "7 wrong expected version: expecting 'stream_exists' but got 'no_stream'"},
		{"append part known", appends("s", esdb.Any{}, named("ax")...), "7 wrong expected version: expecting 'any' but got '0'"},
		{"append to a tombstone", appends("gone", esdb.Any{}, named("b")...), "9 "},
		{"append to what is deleted", appends("deleted", esdb.StreamExists{}, named("b")...), "9 "},
		{"append too much", appends("s", esdb.Any{}, Proposed{ID: id('x'), Type: "happened", Data: big}), "0 rpc error: code = InvalidArgument desc = Maximum Append Size of 1048576 Exceeded."},
		{"read", reads("s"), "none"},
		{"read what is not there", reads("missing"), "4 stream 'missing' is not found"},
		{"read what is deleted", reads("deleted"), "4 "},
		{"read a tombstone", reads("gone"), "9 "},
		{"delete at another number", func() error {
			_, err := c.DeleteStream(w.ctx, "there", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(0)})
			return err
		}(), "0 rpc error: code = FailedPrecondition desc = Delete failed due to WrongExpectedVersion."},
		{"delete", func() error {
			_, err := c.DeleteStream(w.ctx, "there", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(2)})
			return err
		}(), "none"},
		{"tombstone", func() error {
			_, err := c.TombstoneStream(w.ctx, "there", esdb.TombstoneStreamOptions{})
			return err
		}(), "none"},
		{"tombstone again", func() error {
			_, err := c.TombstoneStream(w.ctx, "there", esdb.TombstoneStreamOptions{})
			return err
		}(), "9 "},
	} {
		if got := code(row.err); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
}

// TestVendorsClientReads appends, reads and subscribes.
func TestVendorsClientReads(t *testing.T) {
	t.Parallel()
	w := open(t, alone{}, func(s *Store) { s.Now = func() time.Time { return time.Unix(1_700_000_000, 123_456_700) } })
	c := w.vendors()
	sent := named("abc")
	sent[1].Metadata = []byte{0}
	result, err := c.AppendToStream(w.ctx, "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, theirs(sent)...)
	if err != nil || result.NextExpectedVersion != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	r, err := c.ReadStream(w.ctx, "s", esdb.ReadStreamOptions{}, math.MaxUint64)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n, want := range w.store.Records()[1:] {
		e, err := r.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got := Record{
			Position: e.Event.Position.Commit, Stream: e.Event.StreamID, Number: e.Event.EventNumber, ID: e.Event.EventID, Type: e.Event.EventType,
			ContentType: e.Event.ContentType, Data: e.Event.Data, Metadata: e.Event.UserMetadata, Created: e.Event.CreatedDate,
		}
		if want.Metadata = sent[n].Metadata; len(got.Metadata) == 0 {
			got.Metadata = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	if _, err := r.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v at the end", err)
	}
	if last := w.store.Records()[3]; result.CommitPosition != last.Position || result.PreparePosition != last.Position {
		t.Errorf("%+v for %+v", result, last)
	}
	back, err := c.ReadAll(w.ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	for _, want := range []uint64{2, 1} {
		if e, err := back.Recv(); err != nil || e.Event.EventNumber != want {
			t.Errorf("%+v, %v", e, err)
		}
	}
}

func TestVendorsClientSubscribes(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	c := w.vendors()
	w.must("other", fresh(40)...)
	w.must("s-1", fresh(2)...)
	sub, err := c.SubscribeToAll(w.ctx, esdb.SubscribeToAllOptions{
		From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"s-"}},
		MaxSearchWindow: 8, CheckpointInterval: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	hear := func() string {
		switch e := sub.Recv(); {
		case e.EventAppeared != nil:
			return fmt.Sprintf("%d@%s", e.EventAppeared.Event.EventNumber, e.EventAppeared.Event.StreamID)
		case e.CheckPointReached != nil:
			return "checkpoint"
		case e.CaughtUp != nil:
			return "caught up"
		case e.SubscriptionDropped != nil:
			t.Fatal(e.SubscriptionDropped.Error)
		}
		return "something else"
	}
	var told []string
	for len(told) == 0 || told[len(told)-1] != "0@s-2" {
		if told = append(told, hear()); told[len(told)-1] == "caught up" {
			w.must("s-2", fresh(1)...)
		}
	}
	want := []string{"checkpoint", "checkpoint", "0@s-1", "1@s-1", "checkpoint", "caught up", "0@s-2"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
