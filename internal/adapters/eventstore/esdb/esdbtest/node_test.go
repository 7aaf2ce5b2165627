package esdbtest

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
)

// follower is a node that does not lead.
type follower struct {
	alone
	known  bool
	target *Store
}

func (f follower) leader() (bool, string, int, bool) { return false, "leader.example", 2113, f.known }
func (f follower) forward() *Store                   { return f.target }

const (
	notLeader = "NotFound: Leader info available; exception=not-leader; leader-endpoint-host=leader.example; leader-endpoint-port=2113"
	noLeader  = "Unknown: No leader info available in response; exception="
)

// TestFollower: what a node that does not lead answers to calls that want the leader, and to those that do not say.
func TestFollower(t *testing.T) {
	t.Parallel()
	wants := map[string]func(*world) (metadata.MD, error){
		"append": func(w *world) (metadata.MD, error) {
			_, trailer, err := w.append("s", Any, named("x")...)
			return trailer, err
		},
		"delete": func(w *world) (metadata.MD, error) {
			_, trailer, err := w.removed("delete", "s", Any)
			return trailer, err
		},
		"tombstone": func(w *world) (metadata.MD, error) {
			_, trailer, err := w.removed("tombstone", "s", Any)
			return trailer, err
		},
		"read a stream": func(w *world) (metadata.MD, error) {
			c := w.read(ofStream("s", 0))
			_, err := c.Recv()
			return c.Trailer(), err
		},
		"read all": func(w *world) (metadata.MD, error) {
			c := w.read(fromStart)
			_, err := c.Recv()
			return c.Trailer(), err
		},
		"subscribe": func(w *world) (metadata.MD, error) {
			c := w.read(fromStart, subscribed)
			w.hears(c, "confirmation") // it is the log that is not read
			_, err := c.Recv()
			return c.Trailer(), err
		},
		"subscribe to a stream": func(w *world) (metadata.MD, error) {
			c := w.read(ofStream("s", 0), fromStart, subscribed)
			w.hears(c, "confirmation")
			_, err := c.Recv()
			return c.Trailer(), err
		},
	}
	for name, call := range wants {
		for _, row := range []struct {
			name, header string
			known        bool
			want         string
		}{
			{"leader wanted", "true", true, notLeader},
			{"leader wanted, as .NET writes it", "True", true, notLeader},
			{"leader wanted, none known", "true", false, noLeader},
		} {
			t.Run(name+", "+row.name, func(t *testing.T) {
				t.Parallel()
				w := open(t, follower{known: row.known})
				w.must("s", named("a")...)
				w.ctx = metadata.AppendToOutgoingContext(w.ctx, "requires-leader", row.header)
				trailer, err := call(w)
				w.same(row.want, err, trailer)
			})
		}
		for _, header := range []string{"", "false", "perhaps"} {
			t.Run(name+", leader not wanted: "+header, func(t *testing.T) {
				t.Parallel()
				leader := NewStore()
				w := open(t, follower{known: true, target: leader})
				w.must("s", named("a")...)
				leader.Replace(w.store.Records())
				if header != "" {
					w.ctx = metadata.AppendToOutgoingContext(w.ctx, "requires-leader", header)
				}
				if _, err := call(w); err != nil {
					t.Error(err)
				}
				if wrote := len(leader.Records()) > 2; wrote != (name == "append" || name == "delete" || name == "tombstone") {
					t.Errorf("the leader has %d records", len(leader.Records()))
				}
				if len(w.store.Records()) != 2 {
					t.Errorf("the follower wrote by itself")
				}
			})
		}
	}
}

// TestLeader: who wants the leader of a node that leads is served.
func TestLeader(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.ctx = metadata.AppendToOutgoingContext(w.ctx, "requires-leader", "true")
	if got := w.answer("s", NoStream, "a"); got != "0 at a" {
		t.Error(got)
	}
	w.hears(w.read(fromStart, subscribed), "confirmation", "0@s", "caught up")
}

// TestFollowerAlone: writes that cannot be passed on.
func TestFollowerAlone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		node node
		want string
	}{
		{"the leader is out of reach", follower{known: true}, "Aborted: Operation timed out: Forward timeout"},
		{"there is no leader", follower{}, "Unavailable: Server Is Not Ready"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, row.node, func(s *Store) { s.CommitTimeout = 20 * time.Millisecond })
			_, trailer, err := w.append("s", NoStream, named("x")...)
			w.same(row.want, err, trailer)
		})
	}
}

// TestSubscribeAtTheEndOfAFollower: who is at the end needs nothing of the log, and so no leader.
func TestSubscribeAtTheEndOfAFollower(t *testing.T) {
	t.Parallel()
	w := open(t, follower{known: true})
	w.ctx = metadata.AppendToOutgoingContext(w.ctx, "requires-leader", "true")
	c := w.read(fromEnd, subscribed)
	w.hears(c, "confirmation", "caught up")
	w.must("s", named("a")...)
	w.hears(c, "0@s")
}

// closed is a node that allows nothing.
type closed struct{ alone }

func (closed) canRead(context.Context, string) error  { return errAccessDenied() }
func (closed) canWrite(context.Context, string) error { return errAccessDenied() }

func TestAccessDenied(t *testing.T) {
	t.Parallel()
	denied := "PermissionDenied: Access Denied; exception=access-denied"
	w := open(t, closed{})
	for _, options := range [][]option{{fromStart}, {ofStream("s", 0)}, {fromStart, subscribed}, {ofStream("s", 0), subscribed}} {
		c := w.read(options...)
		_, err := c.Recv()
		w.same(denied, err, c.Trailer())
	}
	for _, call := range []string{"delete", "tombstone"} {
		_, trailer, err := w.removed(call, "s", Any)
		w.same(denied, err, trailer)
	}
	// An append is refused at its first message: the client may not even send the others.
	c, err := w.client.Append(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(appendOptions("s", Any)); err != nil {
		t.Fatal(err)
	}
	_, err = c.CloseAndRecv()
	w.same(denied, err, c.Trailer())
}
