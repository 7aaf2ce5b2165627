package esdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

// TestSoak lets writers, readers and followers live on a server, and on three of them, to which one thing after the
// other happens, and then checks the law: every append that was answered is there once, nobody's is there twice, every
// follower got the log as it is, nobody waited longer than he wanted to, and nothing is left over. LEDGER_TEST_SOAK says
// how many things happen to each; descriptors are then counted, too, for which the test is to run alone.
func TestSoak(t *testing.T) {
	needsDouble(t)
	faults, alone := 40, false
	if text := os.Getenv("LEDGER_TEST_SOAK"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		faults, alone = n, true
	}
	before := descriptors(t)
	t.Run("one node", func(t *testing.T) {
		server, err := esdbtest.New(esdbtest.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		s := newSoak(t, server.URL())
		s.live(faults, func() string { return s.toNode(server) })
		s.check(server.Store().Records())
		if err := server.AwaitConnections(soon(t), 0); err != nil {
			t.Errorf("%d connections are left", server.Connections())
		}
	})
	t.Run("three nodes", func(t *testing.T) {
		cluster, err := esdbtest.NewCluster(3)
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		s := newSoak(t, cluster.URL())
		s.stale = true
		s.live(faults, func() string { return s.toCluster(cluster) })
		s.check(cluster.Node(cluster.Leader()).Store().Records())
		for i := range 3 {
			if err := cluster.Node(i).AwaitConnections(soon(t), 0); err != nil {
				t.Errorf("%d connections to node %d are left", cluster.Node(i).Connections(), i)
			}
		}
	})
	if now := descriptors(t); alone && now > before { // goroutines are counted when all tests are over
		t.Errorf("%d descriptors are open, %d were before", now, before)
	}
}

// What a soak is made of.
const (
	soakWriters   = 6
	soakStreams   = 4 // of all writers, so that they conflict
	soakFollowers = 3
)

type soak struct {
	*testing.T
	log    *Log
	random *rand.Rand
	stale  bool // a node may not know that it leads no more

	stopped atomic.Bool  // writers and readers end
	latest  atomic.Int64 // by how much the latest answer came after its deadline
	asleep  atomic.Int64 // by how much this machine overslept at most
	calls   atomic.Int64

	mu    sync.Mutex
	wrote map[uuid.UUID]event.Position // of the last event of each append that was answered
	got   [soakFollowers][]uuid.UUID
}

func newSoak(t *testing.T, url string) *soak {
	s := &soak{T: t, wrote: map[uuid.UUID]event.Position{}}
	s.log = open(t, url)
	s.log.cluster.settings.deadline = 400 * time.Millisecond
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s.random = rand.New(rand.NewPCG(seed, 0))
	return s
}

// live runs everything while things happen, then lets it come to its end in peace.
func (s *soak) live(faults int, happen func() string) {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Minute)
	defer cancel()
	var followers, others sync.WaitGroup
	for i := range s.got {
		followers.Go(func() { s.got[i] = s.follow(ctx) })
	}
	for i := range soakWriters {
		others.Go(func() { s.write(ctx, i) })
	}
	others.Go(func() { s.read(ctx) })
	others.Go(func() { s.tick(ctx) })
	happened := map[string]int{}
	for range faults {
		happened[happen()]++
		_ = sleep(ctx, time.Duration(20+s.random.IntN(180))*time.Millisecond) // the pace of what happens
	}
	s.stopped.Store(true)
	others.Wait()
	s.patiently("the end", func(ctx context.Context) error {
		_, err := s.log.Append(ctx, "end", event.NoStream, event.Raw{ID: uuid.Max, Type: "end"})
		return err
	})
	followers.Wait()
	s.Logf("%d calls, %d appends were answered, the latest answer came %v after its deadline (the machine was up to %v late); what happened: %v",
		s.calls.Load(), len(s.wrote), time.Duration(s.latest.Load()), time.Duration(s.asleep.Load()), happened)
	if err := s.log.Close(); err != nil {
		s.Error(err)
	}
}

// toNode lets something happen to a server that is alone.
func (s *soak) toNode(server *esdbtest.Server) string {
	moment := func() { _ = sleep(s.Context(), time.Duration(s.random.IntN(150))*time.Millisecond) }
	switch n := s.random.IntN(100); {
	case n < 12:
		s.must(server.Restart())
		return "restart"
	case n < 20:
		server.Stop()
		moment()
		s.must(server.Restart())
		return "outage"
	case n < 30:
		server.ResetConnections()
		return "reset"
	case n < 36:
		cut, err := server.GoAway()
		s.must(err)
		if s.random.IntN(2) == 0 {
			cut()
		}
		return "go away"
	case n < 42:
		server.Stall()
		moment()
		server.Unstall()
		return "stall"
	case n < 46:
		s.must(server.RefuseConnections())
		server.ResetConnections()
		moment()
		s.must(server.AcceptConnections())
		return "refused"
	}
	return s.toCalls(server)
}

// toCalls lets a few calls go wrong.
func (s *soak) toCalls(server *esdbtest.Server) string {
	type wrong struct {
		name string
		esdbtest.Fault
	}
	n := 1 + s.random.IntN(60)
	all := []wrong{
		{"not ready", esdbtest.Fault{Do: esdbtest.NotReady}},
		{"too busy", esdbtest.Fault{Method: "Append", Do: esdbtest.TooBusy}},
		{"aborted before", esdbtest.Fault{Method: "Append", Do: esdbtest.AbortBefore}},
		{"aborted after", esdbtest.Fault{Method: "Append", Do: esdbtest.AbortAfter}},
		{"answer lost", esdbtest.Fault{Method: "Append", Do: esdbtest.AnswerLost}},
		{"answer cut", esdbtest.Fault{Method: "Append", Do: esdbtest.AnswerCut}},
		{"no answer", esdbtest.Fault{Method: "Append", Do: esdbtest.NoAnswer}},
		{"no answer after", esdbtest.Fault{Method: "Append", Do: esdbtest.NoAnswerAfter}},
		{"redirected to nobody", esdbtest.Fault{Method: "Append", Do: esdbtest.NotLeader("127.0.0.1", 1)}},
		{"no leader", esdbtest.Fault{Do: esdbtest.NoLeader}},
		{"read dropped", esdbtest.Fault{Method: "Read", Do: esdbtest.DropAfter(n)}},
		{"read stalled", esdbtest.Fault{Method: "Read", Do: esdbtest.StallAfter(n)}},
		{"read reset", esdbtest.Fault{Method: "Read", Do: esdbtest.ResetAfter(n)}},
		{"subscription dropped", esdbtest.Fault{Method: "Subscribe", Do: esdbtest.DropAfter(n)}},
		{"subscription ended", esdbtest.Fault{Method: "Subscribe", Do: esdbtest.CloseAfter(n)}},
		{"subscription begun too early", esdbtest.Fault{Method: "Subscribe", Do: esdbtest.Earlier(n)}},
		{"an event twice", esdbtest.Fault{Method: "Subscribe", Do: esdbtest.Duplicate(n)}},
	}
	w := all[s.random.IntN(len(all))]
	w.Times = 1 + s.random.IntN(3)
	server.Inject(w.Fault)
	if w.Method == "Subscribe" {
		server.ResetConnections() // or nobody would subscribe
	}
	return w.name
}

// toCluster lets something happen to one of three nodes. At most one is away at a time.
func (s *soak) toCluster(c *esdbtest.Cluster) string {
	moment := func() { _ = sleep(s.Context(), time.Duration(s.random.IntN(300))*time.Millisecond) }
	leader := c.Leader()
	other := (leader + 1 + s.random.IntN(2)) % 3
	switch n := s.random.IntN(100); {
	case n < 25:
		s.must(c.Elect(other))
		return "another leader"
	case n < 40: // what the old leader writes meanwhile is lost
		c.Isolate(leader)
		moment()
		s.must(c.Elect(other))
		moment()
		s.must(c.Heal(leader))
		c.Node(leader).ResetConnections() // a node that has to cut its tail starts anew
		return "the leader cut off"
	case n < 50:
		c.Stop(leader)
		s.must(c.Elect(other))
		moment()
		s.must(c.Restart(leader))
		return "the leader crashed"
	case n < 58:
		c.Stop(other)
		moment()
		s.must(c.Restart(other))
		return "a follower crashed"
	case n < 66:
		c.Lag(other, s.random.IntN(20))
		moment()
		c.Lag(other, 0)
		return "a follower behind"
	}
	return s.toCalls(c.Node(leader))
}

func (s *soak) must(err error) {
	if err != nil {
		s.Error(err)
	}
}

// check compares with what the server holds.
func (s *soak) check(records []esdbtest.Record) {
	var log []uuid.UUID
	at := map[uuid.UUID]uint64{}
	next := map[string]uint64{}
	for _, r := range records {
		if r.Stream[0] == '$' {
			continue
		}
		if at[r.ID] > 0 {
			s.Errorf("event %s is there twice", r.ID)
		}
		if r.Number != next[r.Stream] {
			s.Errorf("%s holds revision %d after %d", r.Stream, r.Number, next[r.Stream]-1)
		}
		log, at[r.ID], next[r.Stream] = append(log, r.ID), r.Position, r.Number+1
	}
	for id, p := range s.wrote {
		if at[id] != p.Commit {
			s.Errorf("event %s was answered to be at %d and is at %d", id, p.Commit, at[id])
		}
	}
	for i, got := range s.got {
		if diff := cmp.Diff(log, got); diff != "" {
			s.Errorf("follower %d did not get the log (-log +got):\n%s", i, diff)
		}
	}
	if late, machine := time.Duration(s.latest.Load()), time.Duration(s.asleep.Load()); late > 200*time.Millisecond+machine {
		s.Errorf("a caller was answered %v after his deadline, want at most 200ms (and %v, by which the machine is late)", late, machine)
	}
	if len(s.wrote) == 0 {
		s.Error("nothing was written")
	}
}

// descriptors are how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not on this system
	}
	return len(open)
}

// timely makes a call with a deadline and measures how long after it the answer comes.
func (s *soak) timely(limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	began := time.Now()
	err := call(ctx)
	s.calls.Add(1)
	raise(&s.latest, time.Since(began)-limit)
	return err
}

// tick measures how late this machine itself is: what else runs on it counts for nobody's answer.
func (s *soak) tick(ctx context.Context) {
	const nap = 5 * time.Millisecond
	for !s.stopped.Load() && ctx.Err() == nil {
		began := time.Now()
		_ = sleep(ctx, nap) // ctx is looked at
		raise(&s.asleep, time.Since(began)-nap)
	}
}

// raise keeps the greatest.
func raise(most *atomic.Int64, d time.Duration) {
	for {
		so := most.Load()
		if int64(d) <= so || most.CompareAndSwap(so, int64(d)) {
			return
		}
	}
}

// patiently makes a call until it succeeds.
func (s *soak) patiently(what string, call func(context.Context) error) {
	for until := time.Now().Add(2 * time.Minute); ; {
		err := s.timely(2*time.Second, call)
		if err == nil {
			return
		}
		if time.Now().After(until) {
			s.Errorf("%s: still %v", what, err)
			return
		}
	}
}

// write appends to streams that others append to as well. An append of unknown outcome is repeated until it is known.
func (s *soak) write(ctx context.Context, writer int) {
	random := rand.New(rand.NewPCG(uint64(writer), 1))
	at := map[string]event.Revision{}
	for !s.stopped.Load() && ctx.Err() == nil {
		stream := fmt.Sprintf("subscription-m.%d", random.IntN(soakStreams))
		if _, ok := at[stream]; !ok {
			at[stream] = event.NoStream
		}
		events := raw(1 + random.IntN(3))
		_ = sleep(ctx, time.Duration(random.IntN(8))*time.Millisecond) // the log is not to become large
		for {
			var p event.Position
			err := s.timely(time.Duration(50+random.IntN(1500))*time.Millisecond, func(ctx context.Context) (err error) {
				p, err = s.log.Append(ctx, stream, at[stream], events...)
				return err
			})
			var conflict *event.WrongRevisionError
			switch {
			case err == nil:
				at[stream] += event.Revision(len(events))
				s.mu.Lock()
				s.wrote[events[len(events)-1].ID] = p
				s.mu.Unlock()
			case errors.As(err, &conflict):
				at[stream] = conflict.Actual
			case errors.Is(err, event.ErrUnknownOutcome), errors.Is(err, event.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
				continue
			default:
				s.Errorf("append: %v", err)
			}
			break
		}
	}
}

// read reads whole streams, which have no holes. On one node they never become shorter; a leader of three that is cut off
// and does not know it yet shows what it has.
func (s *soak) read(ctx context.Context) {
	longest := map[string]event.Revision{}
	for i := 0; !s.stopped.Load() && ctx.Err() == nil; i++ {
		stream := fmt.Sprintf("subscription-m.%d", i%soakStreams)
		next := event.Revision(0)
		err := s.timely(1500*time.Millisecond, func(ctx context.Context) error {
			for e, err := range s.log.Read(ctx, stream, 0) {
				if err != nil {
					return err
				}
				if e.Revision != next {
					s.Errorf("%s: read revision %d after %d", stream, e.Revision, next-1)
				}
				next++
			}
			return nil
		})
		switch {
		case err == nil && next < longest[stream] && !s.stale:
			s.Errorf("%s has become shorter: %d events after %d", stream, next, longest[stream])
		case err == nil:
			longest[stream] = next
		case errors.Is(err, event.ErrChain), errors.Is(err, event.ErrDiverged):
			s.Errorf("read: %v", err)
		}
	}
}

// follow takes down what comes, up to the last event.
func (s *soak) follow(ctx context.Context) (got []uuid.UUID) {
	end := errors.New("the end")
	var last event.Position
	err := s.log.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Position.Compare(last) < 0 || m.Kind == event.KindEvent && m.Position == last {
			s.Errorf("a message at %s after one at %s", m.Position, last)
		}
		last = m.Position
		if m.Kind != event.KindEvent {
			return nil
		}
		got = append(got, m.Event.ID)
		if m.Event.Stream == "end" {
			return end
		}
		return nil
	})
	if !errors.Is(err, end) {
		s.Errorf("following ended: %v", err)
	}
	return got
}
