package esdbtest_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

func TestResetConnections(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	call := w.follow(subscription("a"))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	s.ResetConnections()
	_, err := call.Recv()
	wantCode(t, "subscription", err, codes.Unavailable)
	w.awaitIdle(s, "Subscribe")
	w.fill("a", 1) // over a new connection
}

// TestStall: nothing comes in or goes out, on old connections and on new ones, and all of it later.
func TestStall(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	call := w.follow(subscription("a"))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	other := w.follow(subscription("a-too"))
	if _, err := other.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	s.Stall()
	short, cancel := w.within(soon)
	defer cancel()
	_, err := short.append("a", -1, 0)
	wantCode(t, "append on an open connection", err, codes.DeadlineExceeded)
	late, cancel := dial(t, s.Addr()).within(soon)
	defer cancel()
	_, err = late.append("a", -1, 0)
	wantCode(t, "append on a new connection", err, codes.DeadlineExceeded)
	if n := number(s, "a"); n != 0 {
		t.Errorf("%d events came through, want none", n)
	}
	if _, err := s.Store().Append("a-too", esdbtest.NoStream, []esdbtest.Proposed{{ID: eventID(0), Type: "counted"}}); err != nil {
		t.Fatal(err)
	}
	got := make(chan *streams.ReadResp, 1)
	go func() {
		m, _ := other.Recv() // nil if it fails
		got <- m
	}()
	select {
	case m := <-got:
		t.Errorf("the subscription got %v through the stall", m)
	case <-time.After(soon):
	}
	s.Unstall()
	if m := <-got; m.GetEvent() == nil {
		t.Errorf("the other subscription got %v, want the event", m)
	}
	w.fill("b", 1)
	if _, err := w.append("a", -1, 0); err != nil {
		t.Errorf("append: %v", err)
	}
	if m, err := call.Recv(); m.GetEvent() == nil {
		t.Errorf("the subscription got %v, %v, want the event", m, err)
	}
}

// TestRestartWhileStalled: a process that hung does not hang any more when it is started again.
func TestRestartWhileStalled(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	s.Stall()
	must(t, s.Restart())
	dial(t, s.Addr()).connect()
}

// TestStopResets: a crash ends connections by RST, also those that never said a word, and halts for none.
func TestStopResets(t *testing.T) {
	t.Parallel()
	for _, stalled := range []bool{false, true} {
		s := esdbtest.Start(t)
		if stalled {
			s.Stall()
		}
		c, err := net.DialTimeout("tcp", s.Addr(), patience)
		must(t, err)
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(patience)))
		must(t, s.AwaitConnections(t.Context(), 1))
		s.Stop()
		if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("stalled %v: the connection ended by %v, want a reset", stalled, err)
		}
	}
}

// TestCloseWhileStalled: what is stalled does not keep a server from being closed.
func TestCloseWhileStalled(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	call := dial(t, s.Addr()).follow(subscription("a"))
	s.Stall()
	s.Close()
	for {
		if _, err := call.Recv(); err != nil {
			wantCode(t, "subscription", err, codes.Unavailable)
			return
		}
	}
}

// TestGoAway: the connection takes no new calls, and what runs on it goes on until it is cut.
func TestGoAway(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	call := w.follow(subscription("a"))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	cut, err := s.GoAway()
	if err != nil {
		t.Fatal(err)
	}
	for s.Connections() < 2 { // a call that crosses the GOAWAY may be refused, or the last to be taken
		if _, err := w.append("a", -1, 0); err != nil && w.ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if m, err := call.Recv(); m.GetEvent() == nil {
		t.Errorf("the old connection got %v, %v, want the event", m, err)
	}
	cut()
	_, err = call.Recv()
	wantCode(t, "subscription", err, codes.Unavailable)
	if err := s.AwaitConnections(w.ctx, 1); err != nil {
		t.Errorf("%d connections are open, want 1", s.Connections())
	}
}

// TestGoAwayIdle: a connection without calls is closed at once.
func TestGoAwayIdle(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	w.connect()
	if _, err := s.GoAway(); err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitConnections(w.ctx, 0); err != nil {
		t.Errorf("%d connections are open, want none", s.Connections())
	}
	s.Stop()
	if _, err := s.GoAway(); err == nil {
		t.Error("a stopped server can go away")
	}
}

func TestRefuseConnections(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	w.connect()
	if err := s.RefuseConnections(); err != nil {
		t.Fatal(err)
	}
	w.fill("a", 1) // who is in stays in
	if _, err := net.DialTimeout("tcp", s.Addr(), patience); err == nil {
		t.Error("a new connection was taken")
	}
	if err := s.AcceptConnections(); err != nil {
		t.Fatal(err)
	}
	dial(t, s.Addr()).connect()
}

// TestManyCalls: of more calls than a connection carries, the rest wait at the client.
func TestManyCalls(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	w := dial(t, s.Addr())
	for range 100 {
		w.follow(subscription("a"))
	}
	if n := s.Running("Subscribe"); n != 100 {
		t.Fatalf("%d subscriptions run, want 100", n)
	}
	short, cancel := w.within(soon)
	defer cancel()
	_, err := short.append("b", -1, 0)
	wantCode(t, "append", err, codes.DeadlineExceeded)
	if n := s.Calls("Append"); n != 0 {
		t.Errorf("%d appends reached the server, want none", n)
	}
}

// TestPings: a client may ask as often as it likes whether the server lives, also without a call.
func TestPings(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	c, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	const pings = 10
	ping := frame(6, "12345678")
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+frame(4, "")+strings.Repeat(ping, pings)); err != nil {
		t.Fatal(err)
	}
	for acks := 0; acks < pings; {
		var header [9]byte
		if _, err := io.ReadFull(c, header[:]); err != nil {
			t.Fatalf("after %d answers: %v", acks, err)
		}
		size := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			t.Fatal(err)
		}
		switch header[3] {
		case 6:
			acks++
		case 7:
			t.Fatalf("after %d answers: the server said GOAWAY", acks)
		}
	}
}

// frame is a frame of HTTP/2 that belongs to no stream.
func frame(kind byte, payload string) string {
	return string([]byte{0, 0, byte(len(payload)), kind, 0, 0, 0, 0, 0}) + payload
}
