package esdbtest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// world is a store behind a socket, and the stubs to it.
type world struct {
	*testing.T
	store  *Store
	target string
	client streams.StreamsClient
	ctx    context.Context
}

// open serves a store of the test's own. What a test waits for comes within a fraction of the deadline.
func open(t *testing.T, n node, options ...func(*Store)) *world {
	t.Helper()
	store := NewStore()
	for _, o := range options {
		o(store)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(16<<20-10_000), grpc.MaxConcurrentStreams(100),
	)
	registerStreams(s, store, n)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(17<<20)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(func() {
		cancel()
		_ = c.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &world{T: t, store: store, target: l.Addr().String(), client: streams.NewStreamsClient(c), ctx: ctx}
}

var empty = &shared.Empty{}

// structured writes an id as clients do.
func structured(id uuid.UUID) *shared.UUID { return encoder{}.id(id) }

// id makes an id that tests can name by a letter.
func id(letter byte) uuid.UUID { return uuid.UUID{0: 0x80, 15: letter} }

// named makes events whose ids are letters.
func named(letters string) []Proposed {
	var events []Proposed
	for i := range len(letters) {
		events = append(events, Proposed{ID: id(letters[i]), Type: "happened", ContentType: contentBytes, Data: []byte(letters[i : i+1])})
	}
	return events
}

// fresh makes n events with ids of their own.
func fresh(n int) []Proposed {
	var events []Proposed
	for range n {
		events = append(events, Proposed{ID: uuid.New(), Type: "happened", ContentType: contentBytes})
	}
	return events
}

// must appends where nothing can go wrong.
func (w *world) must(stream string, events ...Proposed) Outcome {
	w.Helper()
	out, err := w.store.Append(stream, Any, events)
	if err != nil {
		w.Fatalf("append to %s: %v", stream, err)
	}
	return out
}

func appendOptions(stream string, expected Expected) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: streamName(stream)}
	switch expected {
	case NoStream:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: empty}
	case Any:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: empty}
	case StreamExists:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: empty}
	default:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(expected)}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func message(e Proposed) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: structured(e.ID), Metadata: map[string]string{"type": e.Type, "content-type": e.ContentType},
		CustomMetadata: e.Metadata, Data: e.Data,
	}}}
}

// call sends messages as one append.
func (w *world) call(messages ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	w.Helper()
	c, err := w.client.Append(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	for _, m := range messages {
		if c.Send(m) != nil {
			break // the answer says why
		}
	}
	answer, err := c.CloseAndRecv()
	return answer, c.Trailer(), err
}

func (w *world) append(stream string, expected Expected, events ...Proposed) (*streams.AppendResp, metadata.MD, error) {
	w.Helper()
	messages := []*streams.AppendReq{appendOptions(stream, expected)}
	for _, e := range events {
		messages = append(messages, message(e))
	}
	return w.call(messages...)
}

// readOptions are what every read has.
func readOptions() *streams.ReadReq_Options {
	return &streams.ReadReq_Options{
		CountOption:  &streams.ReadReq_Options_Count{Count: 1 << 62},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: empty},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: empty}},
	}
}

type option func(*streams.ReadReq_Options)

func ofStream(stream string, revision uint64) option {
	return func(o *streams.ReadReq_Options) {
		o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: streamName(stream), RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: revision},
		}}
	}
}

func ofAll(commit, prepare uint64) option {
	return func(o *streams.ReadReq_Options) {
		o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: commit, PreparePosition: prepare}},
		}}
	}
}

func fromStart(o *streams.ReadReq_Options) {
	if s := o.GetStream(); s != nil {
		s.RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: empty}
		return
	}
	o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: empty}}}
}

func fromEnd(o *streams.ReadReq_Options) {
	if s := o.GetStream(); s != nil {
		s.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: empty}
		return
	}
	o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_End{End: empty}}}
}

func backwards(o *streams.ReadReq_Options) {
	o.ReadDirection = streams.ReadReq_Options_Backwards
}

func limit(n uint64) option {
	return func(o *streams.ReadReq_Options) { o.CountOption = &streams.ReadReq_Options_Count{Count: n} }
}

func subscribed(o *streams.ReadReq_Options) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

// prefixes filters by the names of streams, with a window and a multiplier that tests can fill by hand.
func prefixes(window, multiplier uint32, prefix ...string) option {
	return filtered(&streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: prefix}},
		Window: &streams.ReadReq_Options_FilterOptions_Max{Max: window}, CheckpointIntervalMultiplier: multiplier,
	})
}

func filtered(f *streams.ReadReq_Options_FilterOptions) option {
	return func(o *streams.ReadReq_Options) { o.FilterOption = &streams.ReadReq_Options_Filter{Filter: f} }
}

// read opens a read, or a subscription.
func (w *world) read(options ...option) streams.Streams_ReadClient {
	w.Helper()
	o := readOptions()
	for _, option := range options {
		option(o)
	}
	c, err := w.client.Read(w.ctx, &streams.ReadReq{Options: o})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// story is what a read says, to its end: "number@stream" for an event, and the other messages by their names.
func (w *world) story(options ...option) (told []string, err error) {
	w.Helper()
	for c := w.read(options...); ; {
		m, err := c.Recv()
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return told, err
		}
		told = append(told, tell(m))
	}
}

func tell(m *streams.ReadResp) string {
	switch c := m.GetContent().(type) {
	case *streams.ReadResp_Event:
		e := c.Event.GetEvent()
		if l := c.Event.GetLink(); l != nil {
			return fmt.Sprintf("link %d@%s to %d@%s", l.GetStreamRevision(), l.GetStreamIdentifier().GetStreamName(), e.GetStreamRevision(), e.GetStreamIdentifier().GetStreamName())
		}
		return fmt.Sprintf("%d@%s", e.GetStreamRevision(), e.GetStreamIdentifier().GetStreamName())
	case *streams.ReadResp_Confirmation:
		return "confirmation"
	case *streams.ReadResp_Checkpoint_:
		return "checkpoint"
	case *streams.ReadResp_CaughtUp_:
		return "caught up"
	case *streams.ReadResp_StreamNotFound_:
		return "not found"
	case *streams.ReadResp_FirstStreamPosition:
		return fmt.Sprintf("first %d", c.FirstStreamPosition)
	case *streams.ReadResp_LastStreamPosition:
		return fmt.Sprintf("last %d", c.LastStreamPosition)
	}
	return fmt.Sprintf("%T", m.GetContent())
}

// numbers are the events lo, lo+1 … hi of a stream as story tells them; hi, hi-1 … if lo is the greater.
func numbers(stream string, lo, hi int) []string {
	var told []string
	for n := lo; ; {
		told = append(told, fmt.Sprintf("%d@%s", n, stream))
		if n == hi {
			return told
		}
		if lo < hi {
			n++
		} else {
			n--
		}
	}
}

// said is how an answer that is an error reads in a table: its code, its text, and its trailers in order.
func said(err error, trailer metadata.MD, keys ...string) string {
	s := status.Convert(err)
	text := []string{s.Code().String() + ": " + s.Message()}
	for _, k := range keys {
		text = append(text, k+"="+strings.Join(trailer.Get(k), ","))
	}
	return strings.Join(text, "; ")
}
