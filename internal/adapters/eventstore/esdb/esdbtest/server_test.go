package esdbtest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// A wire is a client that knows nothing but the stubs.
type wire struct {
	t    *testing.T
	conn *grpc.ClientConn
	ctx  context.Context
	raw  streams.StreamsClient
}

func dial(t *testing.T, addr string, opts ...grpc.DialOption) *wire {
	t.Helper()
	if len(opts) == 0 {
		opts = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	conn, err := grpc.NewClient(addr, append(opts, grpc.WithDisableRetry())...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
	})
	return &wire{t: t, conn: conn, ctx: ctx, raw: streams.NewStreamsClient(conn)}
}

// with sends a header with every call.
func (w *wire) with(key, value string) *wire {
	other := *w
	other.ctx = metadata.AppendToOutgoingContext(w.ctx, key, value)
	return &other
}

// within gives its calls so long.
func (w *wire) within(d time.Duration) (*wire, context.CancelFunc) {
	other := *w
	var cancel context.CancelFunc
	other.ctx, cancel = context.WithTimeout(w.ctx, d)
	return &other, cancel
}

// connect calls something that does no harm.
func (w *wire) connect() {
	w.t.Helper()
	if _, err := serverfeatures.NewServerFeaturesClient(w.conn).GetSupportedMethods(w.ctx, &shared.Empty{}); err != nil {
		w.t.Fatal(err)
	}
}

// awaitIdle waits until no call of a method is under way.
func (w *wire) awaitIdle(s *esdbtest.Server, method string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := s.AwaitRunning(ctx, method, 0); err != nil {
		w.t.Fatalf("%d calls of %s go on: %v", s.Running(method), method, err)
	}
}

// eventID is the id of the n-th event in a test.
func eventID(n int) uuid.UUID {
	var id uuid.UUID
	id[0] = 1
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func wireID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func idOf(e *streams.ReadResp_ReadEvent_RecordedEvent) uuid.UUID {
	var id uuid.UUID
	s := e.GetId().GetStructured()
	binary.BigEndian.PutUint64(id[:8], uint64(s.GetMostSignificantBits()))
	binary.BigEndian.PutUint64(id[8:], uint64(s.GetLeastSignificantBits()))
	return id
}

func appendOptions(stream string, revision int) *streams.AppendReq {
	o := &streams.AppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
		ExpectedStreamRevision: &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}},
	}
	if revision >= 0 {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(revision)}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func proposed(id uuid.UUID, typ, data string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: wireID(id), Data: []byte(data), Metadata: map[string]string{"type": typ, "content-type": "application/json"},
	}}}
}

// append appends the events with these numbers after a revision, -1 for a stream that is new.
func (w *wire) append(stream string, after int, numbers ...int) (*streams.AppendResp, error) {
	call, err := w.raw.Append(w.ctx)
	if err != nil {
		return nil, err
	}
	if err := call.Send(appendOptions(stream, after)); err != nil {
		return call.CloseAndRecv()
	}
	for _, n := range numbers {
		if err := call.Send(proposed(eventID(n), "counted", fmt.Sprintf(`{"n":%d}`, n))); err != nil {
			break // the answer says why
		}
	}
	return call.CloseAndRecv()
}

// appendAnywhere appends an event at no revision in particular, which the server does once for each id it remembers.
func (w *wire) appendAnywhere(stream string, n int) {
	w.t.Helper()
	call, err := w.raw.Append(w.ctx)
	must(w.t, err)
	o := appendOptions(stream, -1)
	o.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
	must(w.t, call.Send(o))
	must(w.t, call.Send(proposed(eventID(n), "counted", "{}")))
	_, err = call.CloseAndRecv()
	must(w.t, err)
}

// fill appends n events to a new stream.
func (w *wire) fill(stream string, n int) {
	w.t.Helper()
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	got, err := w.append(stream, -1, numbers...)
	if err != nil || got.GetSuccess() == nil {
		w.t.Fatalf("filling %s: got %v, %v", stream, got, err)
	}
}

func options(r *streams.ReadReq_Options) *streams.ReadReq {
	r.FilterOption = &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}}
	r.UuidOption = &streams.ReadReq_Options_UUIDOption{
		Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
	}
	return &streams.ReadReq{Options: r}
}

func streamOption(stream string) *streams.ReadReq_Options_Stream {
	return &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
		RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
	}}
}

func wholeStream(stream string) *streams.ReadReq {
	return options(&streams.ReadReq_Options{
		StreamOption: streamOption(stream), CountOption: &streams.ReadReq_Options_Count{Count: 1 << 62},
	})
}

func wholeLog() *streams.ReadReq {
	return options(&streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption: &streams.ReadReq_Options_Count{Count: 1 << 62},
	})
}

// subscription follows a stream, from its start or after a revision.
func subscription(stream string, after ...uint64) *streams.ReadReq {
	o := streamOption(stream)
	for _, r := range after {
		o.Stream.RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: r}
	}
	return options(&streams.ReadReq_Options{
		StreamOption: o,
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
	})
}

// messages reads to the end of a call, which is nil for OK.
func (w *wire) messages(req *streams.ReadReq) (all []*streams.ReadResp, err error) {
	call, err := w.raw.Read(w.ctx, req)
	if err != nil {
		return nil, err
	}
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

// revisions reads a stream.
func (w *wire) revisions(stream string) ([]uint64, error) {
	all, err := w.messages(wholeStream(stream))
	return revisionsOf(all), err
}

func revisionsOf(all []*streams.ReadResp) []uint64 {
	var revisions []uint64
	for _, m := range all {
		if e := m.GetEvent().GetEvent(); e != nil {
			revisions = append(revisions, e.GetStreamRevision())
		}
	}
	return revisions
}

// follow subscribes, and is there when it returns.
func (w *wire) follow(req *streams.ReadReq) streams.Streams_ReadClient {
	w.t.Helper()
	call, err := w.raw.Read(w.ctx, req)
	if err != nil {
		w.t.Fatal(err)
	}
	if m, err := call.Recv(); err != nil || m.GetConfirmation() == nil {
		w.t.Fatalf("subscribing: got %v, %v", m, err)
	}
	return call
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// number is how many events readers of the node's stream would find.
func number(s *esdbtest.Server, stream string) int {
	n := 0
	for _, r := range s.Store().Records() {
		if r.Stream == stream {
			n++
		}
	}
	return n
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*esdbtest.Config)
		fault  esdbtest.Action
		want   string
		code   codes.Code
	}{
		"plain":         {want: "24.10.5"},
		"named version": {change: func(c *esdbtest.Config) { c.Version = "26.1.0" }, want: "26.1.0"},
		"garbage":       {fault: esdbtest.OtherVersion("25.0.0-prerelease"), want: "25.0.0-prerelease"},
		"old server":    {change: func(c *esdbtest.Config) { c.NoFeatures = true }, code: codes.Unimplemented},
		"starting":      {fault: esdbtest.NotReady, code: codes.Unavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t, func(c *esdbtest.Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			if test.fault != nil {
				s.Inject(esdbtest.Fault{Method: "GetSupportedMethods", Do: test.fault})
			}
			w := dial(t, s.Addr())
			got, err := serverfeatures.NewServerFeaturesClient(w.conn).GetSupportedMethods(w.ctx, &shared.Empty{})
			if status.Code(err) != test.code || got.GetEventStoreServerVersion() != test.want {
				t.Errorf("got version %q, %v, want %q, %v", got.GetEventStoreServerVersion(), err, test.want, test.code)
			}
		})
	}
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	got, err := serverfeatures.NewServerFeaturesClient(w.conn).GetSupportedMethods(w.ctx, &shared.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	has := map[string][]string{}
	for _, m := range got.GetMethods() {
		has[m.GetServiceName()+"/"+m.GetMethodName()] = m.GetFeatures()
	}
	want := map[string][]string{
		"event_store.client.streams.streams/read":                                          {"position", "events"},
		"event_store.client.streams.streams/append":                                        nil,
		"event_store.client.streams.streams/batchappend":                                   {"deadline_duration"},
		"event_store.client.gossip.gossip/read":                                            nil,
		"event_store.client.persistent_subscriptions.persistentsubscriptions/create":       {"stream", "all"},
		"event_store.client.persistent_subscriptions.persistentsubscriptions/replayparked": {"stream", "all"},
		"event_store.client.server_features.serverfeatures/getsupportedmethods":            nil,
	}
	for name, features := range want {
		if f, ok := has[name]; !ok || !slices.Equal(f, features) {
			t.Errorf("%s: got %v (listed: %v), want %v", name, f, ok, features)
		}
	}
	if n := s.Calls("GetSupportedMethods"); n != 1 {
		t.Errorf("counted %d calls, want 1", n)
	}
}

func TestGossipOfOne(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	got, err := gossip.NewGossipClient(w.conn).Read(w.ctx, &shared.Empty{})
	if err != nil || len(got.GetMembers()) != 1 {
		t.Fatalf("got %v, %v, want one member", got, err)
	}
	m := got.GetMembers()[0]
	addr := fmt.Sprintf("%s:%d", m.GetHttpEndPoint().GetAddress(), m.GetHttpEndPoint().GetPort())
	if addr != s.Addr() || !m.GetIsAlive() || m.GetState() != gossip.MemberInfo_Leader {
		t.Errorf("got %v, want the node at %s, leading", m, s.Addr())
	}
	if n := s.Calls("Gossip.Read"); n != 1 {
		t.Errorf("counted %d calls, want 1", n)
	}
}

func TestAppendAndRead(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	w.fill("a", 3)
	got, err := w.revisions("a")
	if err != nil || !slices.Equal(got, []uint64{0, 1, 2}) {
		t.Errorf("read %v, %v, want 0 to 2", got, err)
	}
	if a, r := s.Calls("Append"), s.Calls("Read"); a != 1 || r != 1 {
		t.Errorf("counted %d appends and %d reads, want one each", a, r)
	}
}

// TestTrace: who listens hears what came.
func TestTrace(t *testing.T) {
	t.Parallel()
	type heard struct{ method, leader, stream string }
	calls := make(chan heard, 8)
	s := esdbtest.Start(t, func(c *esdbtest.Config) {
		c.Trace = func(method string, header map[string][]string, first proto.Message) {
			h := heard{method: method, leader: strings.Join(header["requires-leader"], ",")}
			if r, ok := first.(*streams.AppendReq); ok {
				h.stream = string(r.GetOptions().GetStreamIdentifier().GetStreamName())
			}
			calls <- h
		}
	})
	w := dial(t, s.Addr())
	w.connect()
	w.with("requires-leader", "true").fill("a", 1)
	for _, want := range []heard{{method: "GetSupportedMethods"}, {"Append", "true", "a"}} {
		if got := <-calls; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestNoCaughtUp(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, func(c *esdbtest.Config) { c.NoCaughtUp = true })
	w := dial(t, s.Addr())
	call := w.follow(subscription("a"))
	w.fill("a", 1)
	if m, err := call.Recv(); m.GetEvent() == nil {
		t.Errorf("got %v, %v, want the event and no word of having caught up", m, err)
	}
	if n := s.Calls("Subscribe"); n != 1 {
		t.Errorf("counted %d subscriptions, want 1", n)
	}
}

// TestStopAndRestart: a crash resets calls under way and refuses new ones; what was written is there after a restart, and the
// cache of ids is not.
func TestStopAndRestart(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	w.fill("a", 2)
	call := w.follow(subscription("b"))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	s.Stop()
	_, err := call.Recv()
	wantCode(t, "subscription", err, codes.Unavailable)
	_, err = w.append("c", -1, 7)
	wantCode(t, "append to a stopped server", err, codes.Unavailable)
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections are open, want none", n)
	}

	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	again := dial(t, s.Addr())
	got, err := again.revisions("a")
	if err != nil || !slices.Equal(got, []uint64{0, 1}) {
		t.Errorf("after the restart: read %v, %v, want 0 and 1", got, err)
	}
	again.appendAnywhere("d", 0)
	again.appendAnywhere("d", 0)
	if n := number(s, "d"); n != 1 {
		t.Errorf("an event that is sent again stands in the stream %d times, want once", n)
	}
	must(t, s.Restart()) // also one that runs
	dial(t, s.Addr()).appendAnywhere("d", 0)
	if n := number(s, "d"); n != 2 {
		t.Errorf("after a restart, %d times, want twice", n)
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	s, err := esdbtest.New(esdbtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	s.Stop()
	next, err := esdbtest.New(esdbtest.Config{Addr: s.Addr()})
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	next.Close()
}
