package esdbtest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

const (
	// soon is how long a test waits for an answer that does not come.
	soon = 100 * time.Millisecond
	// enough is that where something else comes first.
	enough = time.Second
)

// TestAppendFaults: what a client hears of an append that a fault hit, and what stands in the log after it.
func TestAppendFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do      esdbtest.Action
		code    codes.Code
		text    string
		written int
	}{
		"not ready":           {esdbtest.NotReady, codes.Unavailable, "Server Is Not Ready", 0},
		"too busy":            {esdbtest.TooBusy, codes.Unavailable, "Server Is Too Busy", 0},
		"users not loaded":    {esdbtest.UsersNotLoaded, codes.Unavailable, "Server not ready", 0},
		"aborted before":      {esdbtest.AbortBefore, codes.Aborted, "Operation timed out: Prepare phase timeout.", 0},
		"aborted after":       {esdbtest.AbortAfter, codes.Aborted, "Operation timed out: Commit phase timeout.", 2},
		"answer lost":         {esdbtest.AnswerLost, codes.Unavailable, "", 2},
		"answer cut":          {esdbtest.AnswerCut, codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR", 2},
		"no answer":           {esdbtest.NoAnswer, codes.DeadlineExceeded, "", 0},
		"no answer after":     {esdbtest.NoAnswerAfter, codes.DeadlineExceeded, "", 2},
		"not leader":          {esdbtest.NotLeader("10.0.0.1", 2113), codes.NotFound, "Leader info available", 0},
		"no leader":           {esdbtest.NoLeader, codes.Unknown, "No leader info available in response", 0},
		"denied":              {esdbtest.Denied, codes.PermissionDenied, "Access Denied", 0},
		"unauthenticated":     {esdbtest.Unauthenticated, codes.Unauthenticated, "Unauthenticated", 0},
		"answered of another": {esdbtest.WrongAppended, codes.OK, "", 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t)
			s.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: test.do})
			w := dial(t, s.Addr())
			w.connect() // so that a deadline is for the call alone
			hit, cancel := w.within(patience)
			defer cancel()
			if test.code == codes.DeadlineExceeded {
				hit, cancel = w.within(enough)
				defer cancel()
			}
			_, err := hit.append("a", -1, 0, 1)
			wantCode(t, "append", err, test.code)
			if test.text != "" && status.Convert(err).Message() != test.text {
				t.Errorf("got text %q, want %q", status.Convert(err).Message(), test.text)
			}
			if n := number(s, "a"); n != test.written {
				t.Errorf("%d events are written, want %d", n, test.written)
			}
			answer, err := w.append("a", -1, 0, 1)
			if err != nil || answer.GetSuccess().GetCurrentRevision() != 1 || number(s, "a") != 2 {
				t.Errorf("the same again: got %v, %v and %d events, want success and 2", answer, err, number(s, "a"))
			}
		})
	}
}

// TestTrailers: what explains a refusal goes with it.
func TestTrailers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   esdbtest.Action
		want map[string]string
	}{
		"not leader": {esdbtest.NotLeader("10.0.0.1", 2113), map[string]string{
			"exception": "not-leader", "leader-endpoint-host": "10.0.0.1", "leader-endpoint-port": "2113",
		}},
		"denied":           {esdbtest.Denied, map[string]string{"exception": "access-denied"}},
		"users not loaded": {esdbtest.UsersNotLoaded, map[string]string{"grpc-retry-pushback-ms": "-1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t)
			s.Inject(esdbtest.Fault{Do: test.do})
			w := dial(t, s.Addr())
			var trailer metadata.MD
			call, err := w.raw.Read(w.ctx, wholeStream("a"), grpc.Trailer(&trailer))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := call.Recv(); err == nil {
				t.Error("got an answer, want a refusal")
			}
			for key, want := range test.want {
				if got := trailer.Get(key); !slices.Equal(got, []string{want}) {
					t.Errorf("trailer %s: got %q, want %q", key, got, want)
				}
			}
		})
	}
}

// TestDeniedWhileSending: the answer comes before the events are read, and the sender sees EOF.
func TestDeniedWhileSending(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	s.Inject(esdbtest.Fault{Method: "Append", Do: esdbtest.Denied})
	w := dial(t, s.Addr())
	call, err := w.raw.Append(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = call.Send(appendOptions("a", -1))
	for n := 0; err == nil; n++ {
		err = call.Send(proposed(eventID(n), "counted", "{}"))
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("sending: got %v, want EOF", err)
	}
	wantCode(t, "answer", call.RecvMsg(new(streams.AppendResp)), codes.PermissionDenied)
}

// TestReadFaults: the stream has the revisions 0 to 4.
func TestReadFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   esdbtest.Action
		want []uint64
		code codes.Code
	}{
		"none":              {nil, []uint64{0, 1, 2, 3, 4}, codes.OK},
		"dropped at once":   {esdbtest.DropAfter(0), nil, codes.Internal},
		"dropped":           {esdbtest.DropAfter(2), []uint64{0, 1}, codes.Internal},
		"unavailable":       {esdbtest.UnavailableAfter(2), []uint64{0, 1}, codes.Unavailable},
		"denied":            {esdbtest.DeniedAfter(3), []uint64{0, 1, 2}, codes.PermissionDenied},
		"closed":            {esdbtest.CloseAfter(3), []uint64{0, 1, 2}, codes.OK},
		"stalled":           {esdbtest.StallAfter(1), []uint64{0}, codes.DeadlineExceeded},
		"slow":              {esdbtest.Slow(time.Millisecond), []uint64{0, 1, 2, 3, 4}, codes.OK},
		"duplicate":         {esdbtest.Duplicate(2), []uint64{0, 1, 1, 2, 3, 4}, codes.OK},
		"gap":               {esdbtest.Gap(2), []uint64{0, 2, 3, 4}, codes.OK},
		"wrong revision":    {esdbtest.WrongRevision(5), []uint64{0, 1, 2, 3, 5}, codes.OK},
		"not ready":         {esdbtest.NotReady, nil, codes.Unavailable},
		"no answer":         {esdbtest.NoAnswer, nil, codes.DeadlineExceeded},
		"more than written": {esdbtest.DropAfter(9), []uint64{0, 1, 2, 3, 4}, codes.OK},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t)
			w := dial(t, s.Addr())
			w.fill("a", 5)
			if test.do != nil {
				s.Inject(esdbtest.Fault{Method: "Read", Times: 1, Do: test.do})
			}
			hit := w
			if test.code == codes.DeadlineExceeded {
				var cancel context.CancelFunc
				hit, cancel = w.within(enough)
				defer cancel()
			}
			got, err := hit.revisions("a")
			wantCode(t, "read", err, test.code)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestOtherID(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	w.fill("a", 3)
	s.Inject(esdbtest.Fault{Method: "Read", Times: 1, Do: esdbtest.OtherID(2)})
	for try, want := range []bool{false, true} { // the log itself is not changed
		all, err := w.messages(wholeStream("a"))
		if err != nil || len(all) != 3 {
			t.Fatalf("got %v, %v, want 3 events", all, err)
		}
		for i, m := range all {
			if got := idOf(m.GetEvent().GetEvent()) == eventID(i); got != (want || i != 1) {
				t.Errorf("read %d, event %d: has its own id: %v", try, i, got)
			}
		}
	}
}

// TestSubscriptionFaults: a subscription to 5 events after revision 2, which is there before the last two are written.
func TestSubscriptionFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   esdbtest.Action
		want []uint64
	}{
		"none":    {nil, []uint64{3, 4}},
		"earlier": {esdbtest.Earlier(2), []uint64{1, 2, 3, 4}},
		"first":   {esdbtest.Earlier(9), []uint64{0, 1, 2, 3, 4}},
		"twice":   {esdbtest.Duplicate(1), []uint64{3, 3, 4}},
		"gap":     {esdbtest.Gap(1), []uint64{4}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t)
			w := dial(t, s.Addr())
			w.fill("a", 4)
			if test.do != nil {
				s.Inject(esdbtest.Fault{Method: "Subscribe", Do: test.do})
			}
			call := w.follow(subscription("a", 2))
			if _, err := w.append("a", 3, 4); err != nil {
				t.Fatal(err)
			}
			var got []uint64
			for len(got) < len(test.want) {
				m, err := call.Recv()
				if err != nil {
					t.Fatalf("after %v: %v", got, err)
				}
				got = append(got, revisionsOf([]*streams.ReadResp{m})...)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestDropsLive: a subscription ends right after its n-th message, not when there would be another.
func TestDropsLive(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   esdbtest.Action
		code codes.Code
	}{
		"dropped": {esdbtest.DropAfter(2), codes.Internal},
		"reset":   {esdbtest.ResetAfter(2), codes.Unavailable},
		"closed":  {esdbtest.CloseAfter(2), codes.OK},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t)
			s.Inject(esdbtest.Fault{Method: "Subscribe", Do: test.do})
			w := dial(t, s.Addr())
			got, err := w.messages(subscription("a")) // confirmation and caught up
			wantCode(t, "subscription", err, test.code)
			if len(got) > 2 {
				t.Errorf("got %v, want no more than two messages", got)
			}
		})
	}
}

func TestFaultCounts(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	s.Inject(esdbtest.Fault{Method: "Read", Skip: 1, Times: 2, Do: esdbtest.NotReady})
	remove := s.Inject(esdbtest.Fault{Method: "Read", Skip: 1, Do: esdbtest.TooBusy})
	w.fill("a", 1)
	for i, want := range []string{"", "Server Is Not Ready", "Server Is Not Ready", "Server Is Too Busy", "Server Is Too Busy"} {
		_, err := w.revisions("a")
		if got := status.Convert(err).Message(); got != want {
			t.Errorf("read %d: got %q, want %q", i, got, want)
		}
	}
	remove()
	if _, err := w.revisions("a"); err != nil {
		t.Errorf("without faults: %v", err)
	}
}

func TestFaultOfStream(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	s.Inject(esdbtest.Fault{Stream: "order-", Do: esdbtest.NotReady})
	s.Inject(esdbtest.Fault{Stream: "$all", Do: esdbtest.TooBusy})
	_, err := w.append("order-1", -1, 0)
	wantCode(t, "append to one of them", err, codes.Unavailable)
	_, err = w.messages(subscription("order-1"))
	wantCode(t, "subscription to one of them", err, codes.Unavailable)
	_, err = w.raw.Tombstone(w.ctx, &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("order-1")},
	}})
	wantCode(t, "tombstone of one of them", err, codes.Unavailable)
	w.connect()
	w.fill("orders", 1)
	_, err = w.messages(wholeLog())
	if got := status.Convert(err).Message(); got != "Server Is Too Busy" {
		t.Errorf("reading everything: got %q", got)
	}
}

// TestGate: what a test does between the arrival of a call and its answer is done before the one or the other.
func TestGate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do      func(*esdbtest.Gate) esdbtest.Action
		cancel  bool
		late    bool
		held    int // written while the gate is closed
		written int // when it is open
	}{
		"before":           {func(g *esdbtest.Gate) esdbtest.Action { return g.Before }, false, false, 0, 1},
		"before, given up": {func(g *esdbtest.Gate) esdbtest.Action { return g.Before }, true, false, 0, 0},
		"after":            {func(g *esdbtest.Gate) esdbtest.Action { return g.After }, false, false, 1, 1},
		"after, given up":  {func(g *esdbtest.Gate) esdbtest.Action { return g.After }, true, false, 1, 1},
		"late":             {func(g *esdbtest.Gate) esdbtest.Action { return g.Late }, false, true, 0, 1},
		"late, given up":   {func(g *esdbtest.Gate) esdbtest.Action { return g.Late }, true, true, 0, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := esdbtest.Start(t)
			gate := esdbtest.NewGate()
			s.Inject(esdbtest.Fault{Method: "Append", Do: test.do(gate)})
			w, cancel := dial(t, s.Addr()).within(patience)
			defer cancel()
			answered := make(chan error, 1)
			go func() {
				_, err := w.append("a", -1, 0)
				answered <- err
			}()
			<-gate.Arrived()
			if n := number(s, "a"); n != test.held {
				t.Errorf("%d events are written at the gate, want %d", n, test.held)
			}
			if test.cancel {
				cancel()
				wantCode(t, "append", <-answered, codes.Canceled)
				must(t, w.conn.Close())
				must(t, s.AwaitConnections(t.Context(), 0))
				if !test.late { // the server hears of it, and gives up too
					w.awaitIdle(s, "Append")
				}
			}
			gate.Open()
			if !test.cancel {
				wantCode(t, "append", <-answered, codes.OK)
			}
			w.awaitIdle(s, "Append")
			if n := number(s, "a"); n != test.written {
				t.Errorf("%d events are written in the end, want %d", n, test.written)
			}
		})
	}
}
