package esdb

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

// TestFollowAfterFaults: a follower gets every event once and in order, whatever ends its subscriptions, while it
// catches up and live.
func TestFollowAfterFaults(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{
		"not ready":                    esdbtest.NotReady,
		"no leader":                    esdbtest.NoLeader,
		"denied for a moment":          esdbtest.Denied,
		"unauthenticated for a moment": esdbtest.Unauthenticated,
		"dropped before confirmation":  esdbtest.DropAfter(0),
		"dropped after confirmation":   esdbtest.DropAfter(1),
		"dropped in the middle":        esdbtest.DropAfter(40),
		"connection reset":             esdbtest.ResetAfter(40),
		"ended without an error":       esdbtest.CloseAfter(40),
		"shut down in the middle":      esdbtest.UnavailableAfter(40),
		"rights gone in the middle":    esdbtest.DeniedAfter(40),
		"an event twice":               esdbtest.Duplicate(40),
		"an event left out":            esdbtest.Gap(40),
		"a wrong revision":             esdbtest.WrongRevision(40),
		"begun too early":              esdbtest.Earlier(30),
		"no answer":                    esdbtest.NoAnswer,
		"slow":                         esdbtest.Slow(time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			l.cluster.settings.deadline = time.Second
			want := fill(t, l, stream, event.NoStream, 150)
			server.Inject(esdbtest.Fault{Method: "Subscribe", Times: 2, Do: fault})
			f := follow(t, l, event.Cursor{}, "subscription")
			wantIDs(t, f.events(t, 100), want[:100]...)
			live := fill(t, l, stream, 149, 50)
			wantIDs(t, f.events(t, 100), append(want[100:], live...)...)
		})
	}
}

// TestFollowLeftOut: an event that is left out comes too late once others have been delivered that stand behind it. That
// is not passed over.
func TestFollowLeftOut(t *testing.T) {
	server, l := double(t)
	for i := range event.Revision(4) {
		for _, s := range []string{stream, "subscription-m.2"} {
			if _, err := l.Append(t.Context(), s, i-1, raw(1)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	server.Inject(esdbtest.Fault{Method: "Subscribe", Times: 1, Do: esdbtest.Gap(3)})
	f := follow(t, l, event.Cursor{})
	f.events(t, 3)
	wantIs(t, f.ended(t), event.ErrChain)
}

// TestFollowThroughRestarts: neither a crash of the server nor one of its connections is seen by a follower.
func TestFollowThroughRestarts(t *testing.T) {
	server, l := double(t)
	other := open(t, server.URL())
	f := follow(t, l, event.Cursor{})
	var want []event.Raw
	for i := range 12 {
		events := raw(3)
		if _, err := other.Append(soon(t), fmt.Sprintf("subscription-m.%d", i), event.NoStream, events...); err != nil {
			t.Fatal(err)
		}
		want = append(want, events...)
		wantIDs(t, f.events(t, 2), want[len(want)-3:len(want)-1]...) // one is on its way
		switch i % 3 {
		case 0:
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
		case 1:
			server.ResetConnections()
		default:
			cut, err := server.GoAway()
			if err != nil {
				t.Fatal(err)
			}
			cut()
		}
		wantIDs(t, f.events(t, 1), want[len(want)-1])
	}
}

// TestFollowWaitsForTheServer: before there is one, and while it is not ready; pauses grow, connections do not.
func TestFollowWaitsForTheServer(t *testing.T) {
	server, l := double(t)
	server.Stop()
	f := follow(t, l, event.Cursor{})
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if m := <-f.messages; m.Kind != event.KindCaughtUp {
		t.Fatalf("got %+v, want that it is caught up", m)
	}
	stop := server.Inject(esdbtest.Fault{Do: esdbtest.NotReady})
	server.ResetConnections()
	began := server.Calls("GetSupportedMethods")
	time.Sleep(2 * time.Second) // what is counted is how little happens meanwhile
	if n := server.Calls("GetSupportedMethods") - began; n < 2 || n > 40 {
		t.Errorf("%d handshakes in two seconds, want some, with growing pauses", n)
	}
	if n := server.Connections(); n > 2 {
		t.Errorf("%d connections are open", n)
	}
	stop()
	events := fill(t, l, stream, event.NoStream, 2)
	wantIDs(t, f.events(t, 2), events...)
}

// TestFollowMovesOn: what was begun on a connection that is not used any more ends with it, after a moment.
func TestFollowMovesOn(t *testing.T) {
	server, l := double(t)
	l.cluster.pace.grace = 100 * time.Millisecond
	f := follow(t, l, event.Cursor{})
	<-f.messages
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: esdbtest.NotReady})
	events := fill(t, l, stream, event.NoStream, 1)
	if err := server.AwaitCalls(soon(t), "Subscribe", 2); err != nil {
		t.Fatal(err)
	}
	if err := server.AwaitConnections(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, f.events(t, 1), events...)
}

// TestFollowThroughSilence: a peer that is dead without a word is found out by the pings, which nothing else waits for.
func TestFollowThroughSilence(t *testing.T) {
	if testing.Short() {
		t.Skip("pings are ten seconds apart at least")
	}
	server, l := double(t)
	l.cluster.settings.keepAliveTimeout = time.Second
	f := follow(t, l, event.Cursor{})
	fill(t, l, stream, event.NoStream, 1)
	f.events(t, 1)
	server.Stall()
	began := time.Now()
	if err := server.AwaitConnections(soon(t), 2); err != nil { // the dead one is not closed, for nothing reaches it
		t.Fatal(err)
	}
	if took := time.Since(began); took > 17*time.Second { // eleven; after twenty the server itself would close
		t.Errorf("the silence was found out after %v", took)
	}
	server.Unstall()
	events := fill(t, l, stream, 0, 2)
	wantIDs(t, f.events(t, 2), events...)
}

// TestFollowDenied: rights that stay away end a follower, after a while and not in a hot loop.
func TestFollowDenied(t *testing.T) {
	server, l := double(t)
	l.cluster.pace.refused = 500 * time.Millisecond
	f := follow(t, l, event.Cursor{})
	<-f.messages
	server.Inject(esdbtest.Fault{Method: "Subscribe", Do: esdbtest.Denied})
	server.ResetConnections()
	wantIs(t, f.ended(t), ErrRefused, event.ErrUnavailable)
	if n := server.Calls("Subscribe"); n > 20 {
		t.Errorf("%d subscriptions were tried", n)
	}
}

// TestFollowAnotherLog: what stands where the cursor saw its last event decides whether it is the same log.
func TestFollowAnotherLog(t *testing.T) {
	_, l := double(t)
	fill(t, l, stream, event.NoStream, 5)
	f := follow(t, l, event.Cursor{})
	var seen []event.RawRecorded
	for m := range f.messages {
		if m.Kind == event.KindEvent {
			if seen = append(seen, m.Event); len(seen) == 5 {
				break
			}
		}
	}
	cursor := func(e event.RawRecorded) event.Cursor {
		return event.Cursor{Position: e.Position, LastPosition: e.Position, LastID: e.ID}
	}
	inside := cursor(seen[2])
	inside.LastPosition.Commit++
	inside.Position = seen[3].Position
	beyond := cursor(seen[4])
	beyond.Position.Commit += 5000
	beyond.LastPosition = beyond.Position
	garbage := event.Cursor{Position: event.Position{Commit: seen[2].Position.Commit + 1, Prepare: seen[2].Position.Prepare + 1}}
	other := cursor(seen[2])
	other.LastID = uuid.New()
	past := cursor(seen[4])
	past.Position.Commit += 5000 // a checkpoint behind the last event
	past.Position.Prepare += 5000
	for name, tt := range map[string]struct {
		cursor event.Cursor
		want   error
	}{
		"the log is shorter":             {beyond, event.ErrPositionAhead},
		"another event stands there":     {other, event.ErrDiverged},
		"nothing begins there":           {inside, event.ErrDiverged},
		"a position that begins nothing": {garbage, event.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := follow(t, l, tt.cursor).ended(t); err == nil {
				t.Errorf("it was followed")
			} else {
				wantIs(t, err, tt.want)
			}
		})
	}
	if m := <-follow(t, l, past).messages; m.Kind != event.KindCaughtUp {
		t.Errorf("a checkpoint behind the last event: got %+v, want that it is caught up", m)
	}
}

// TestFollowATruncatedTail: a leader showed what no majority had, and was deposed. What its followers saw is gone, and
// other events stand there.
func TestFollowATruncatedTail(t *testing.T) {
	needsDouble(t)
	for name, after := range map[string]int{"shorter": 0, "written anew": 3} {
		t.Run(name, func(t *testing.T) {
			cluster := esdbtest.StartCluster(t, 3)
			l := open(t, cluster.URL())
			f := follow(t, l, event.Cursor{})
			fill(t, l, stream, event.NoStream, 2)
			f.events(t, 2)
			leader := cluster.Leader()
			cluster.Isolate(leader)
			writer := open(t, cluster.Node(leader).URL())
			phantom := raw(1)
			ctx, giveUp := context.WithCancel(t.Context())
			gone := make(chan error, 1)
			go func() {
				_, err := writer.Append(ctx, stream, 1, phantom...)
				gone <- err
			}()
			if err := cluster.Node(leader).AwaitCalls(soon(t), "Append", 3); err != nil { // its second try
				t.Fatal(err)
			}
			giveUp()
			wantIs(t, <-gone, event.ErrUnknownOutcome)
			cluster.Node(leader).Store().Reveal()
			wantIDs(t, f.events(t, 1), phantom...)
			if err := cluster.Elect((leader + 1) % 3); err != nil {
				t.Fatal(err)
			}
			if after > 0 {
				fresh := open(t, cluster.Node((leader+1)%3).URL())
				fill(t, fresh, stream, 1, after)
			}
			if err := cluster.Heal(leader); err != nil {
				t.Fatal(err)
			}
			cluster.Node(leader).ResetConnections() // a node that has to cut its tail starts anew
			err := f.ended(t)
			if after > 0 {
				wantIs(t, err, event.ErrDiverged)
			} else {
				wantIs(t, err, event.ErrPositionAhead)
			}
		})
	}
}

// TestClusterChangesItsLeader: appends and followers go with the leader, and miss nothing.
func TestClusterChangesItsLeader(t *testing.T) {
	needsDouble(t)
	for name, url := range map[string]func(*esdbtest.Cluster) string{
		"three hosts":      (*esdbtest.Cluster).URL,
		"discovered":       (*esdbtest.Cluster).DiscoverURL,
		"one that leads":   func(c *esdbtest.Cluster) string { return c.Node(0).URL() },
		"one that follows": func(c *esdbtest.Cluster) string { return c.Node(2).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := esdbtest.StartCluster(t, 3)
			l := open(t, url(cluster))
			f := follow(t, l, event.Cursor{})
			for i := range 9 {
				events := raw(2)
				if _, err := l.Append(soon(t), stream, event.Revision(2*i-1), events...); err != nil {
					t.Fatal(err)
				}
				wantIDs(t, f.events(t, 2), events...)
				if err := cluster.Elect((i + 1) % 3); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestMembersAreRemembered: the only node that the connection string names goes away, and the others have been heard of.
func TestMembersAreRemembered(t *testing.T) {
	needsDouble(t)
	cluster := esdbtest.StartCluster(t, 3)
	l := open(t, cluster.DiscoverURL())
	fill(t, l, stream, event.NoStream, 1)
	cluster.Stop(0)
	if err := cluster.Elect(1); err != nil {
		t.Fatal(err)
	}
	fill(t, l, stream, 0, 1)
}

// TestLeaderIsAsked: a node that follows may be behind, so it is not asked for what the ledger decides by.
func TestLeaderIsAsked(t *testing.T) {
	needsDouble(t)
	cluster := esdbtest.StartCluster(t, 3)
	cluster.Lag(2, 1000)
	l := open(t, cluster.Node(2).URL())
	events := raw(3)
	p, err := l.Append(soon(t), stream, event.NoStream, events...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(soon(t), l, stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, got, events...)
	if head, err := l.Head(soon(t)); err != nil || head != p {
		t.Errorf("head: %s, %v; want what was appended, %s", head, err, p)
	}
	wantIDs(t, follow(t, l, event.Cursor{}).events(t, 3), events...)
}

// TestFollowPassesTheServersOwn: long stretches of what is not the ledger's are passed, and a follower that begins in
// them again loses nothing.
func TestFollowPassesTheServersOwn(t *testing.T) {
	server, l := double(t)
	before := fill(t, l, stream, event.NoStream, 1)
	for range 10_000 {
		setMetadata(t, server, "$stats-127.0.0.1:2113", `{}`)
	}
	after := fill(t, l, stream, 0, 1)
	f := follow(t, l, event.Cursor{})
	var cursors []event.Cursor
	c := event.Cursor{}
	for m := range f.messages {
		if m.Kind == event.KindEvent {
			c.LastPosition, c.LastID = m.Position, m.Event.ID
		}
		c.Position = m.Position
		cursors = append(cursors, c)
		if m.Kind == event.KindCaughtUp {
			break
		}
	}
	if len(cursors) < 4 {
		t.Errorf("the handler heard %d times of ten thousand records, want that checkpoints tell how far it is", len(cursors))
	}
	for _, c := range cursors {
		want := append([]event.Raw{}, before...)
		want = append(want, after...)
		switch c.LastID {
		case before[0].ID:
			want = after
		case after[0].ID:
			continue
		}
		wantIDs(t, follow(t, l, c).events(t, len(want)), want...)
	}
}
