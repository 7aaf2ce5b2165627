package esdbtest_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// impatient nodes answer soon that no quorum has what they wrote.
func impatient(c *esdbtest.Config) { c.Store.CommitTimeout = soon }

// wires are clients of each node.
func wires(t *testing.T, c *esdbtest.Cluster, n int) []*wire {
	t.Helper()
	var all []*wire
	for i := range n {
		all = append(all, dial(t, c.Node(i).Addr()))
	}
	return all
}

// states is what a node has heard of all: "leader follower -follower", with a minus for the dead.
func (w *wire) states() string {
	w.t.Helper()
	got, err := gossip.NewGossipClient(w.conn).Read(w.ctx, &shared.Empty{})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, m := range got.GetMembers() {
		state := strings.ToLower(m.GetState().String())
		if !m.GetIsAlive() {
			state = "-" + state
		}
		all = append(all, state)
	}
	return strings.Join(all, " ")
}

func wantStates(t *testing.T, all []*wire, want ...string) {
	t.Helper()
	for i, w := range all {
		if got := w.states(); i < len(want) && got != want[i] {
			t.Errorf("node %d has heard of %q, want %q", i, got, want[i])
		}
	}
}

// wantNumbers says how many events of a stream readers of each node find.
func wantNumbers(t *testing.T, c *esdbtest.Cluster, stream string, want ...int) {
	t.Helper()
	for i, n := range want {
		if got := number(c.Node(i), stream); got != n {
			t.Errorf("node %d shows %d events of %s, want %d (%v)", i, got, stream, n, c)
		}
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	all := wires(t, c, 3)
	wantStates(t, all, "leader follower follower", "leader follower follower", "leader follower follower")
	all[0].fill("a", 3)
	wantNumbers(t, c, "a", 3, 3, 3)
	for i, w := range all {
		if got, err := w.revisions("a"); err != nil || !slices.Equal(got, []uint64{0, 1, 2}) {
			t.Errorf("node %d: read %v, %v", i, got, err)
		}
	}
	addrs := []string{c.Node(0).Addr(), c.Node(1).Addr(), c.Node(2).Addr()}
	if got, want := c.URL(), "esdb://"+strings.Join(addrs, ",")+"?tls=false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := c.DiscoverURL(), "esdb+discover://"+addrs[0]+"?tls=false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRequiresLeader: a follower serves readers and passes on what is written, unless it is told that only the leader
// will do.
func TestRequiresLeader(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	all := wires(t, c, 3)
	for i, w := range all {
		w.fill(fmt.Sprintf("forwarded-%d", i), 1)
		wantNumbers(t, c, fmt.Sprintf("forwarded-%d", i), 1, 1, 1)
	}
	host, port, err := net.SplitHostPort(c.Node(0).Addr())
	must(t, err)
	strict := all[1].with("requires-leader", "true")
	var trailer metadata.MD
	read, err := strict.raw.Read(strict.ctx, wholeStream("forwarded-0"), grpc.Trailer(&trailer))
	must(t, err)
	_, err = read.Recv()
	wantCode(t, "read", err, codes.NotFound)
	for key, want := range map[string]string{"exception": "not-leader", "leader-endpoint-host": host, "leader-endpoint-port": port} {
		if got := trailer.Get(key); !slices.Equal(got, []string{want}) {
			t.Errorf("trailer %s: got %q, want %q", key, got, want)
		}
	}
	_, err = strict.append("b", -1, 0)
	wantCode(t, "append", err, codes.NotFound)
	_, err = strict.messages(subscription("forwarded-0"))
	wantCode(t, "subscription", err, codes.NotFound)
	all[0].with("requires-leader", "true").fill("b", 1)

	c.Stop(0)
	_, err = strict.append("b", 0, 1)
	wantCode(t, "append without a leader", err, codes.Unknown)
	_, err = all[1].append("b", 0, 1)
	wantCode(t, "append without a leader, to anybody", err, codes.Unavailable)
	wantStates(t, all[1:], "-follower unknown unknown", "-follower unknown unknown")
	must(t, c.Elect(1))
	if _, err = strict.append("b", 0, 1); err != nil {
		t.Errorf("append to the new leader: %v", err)
	}
}

// TestElect: the old leader follows, and its readers get what the new one writes. Ids are forgotten.
func TestElect(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	all := wires(t, c, 3)
	all[0].fill("a", 1)
	call := all[0].follow(subscription("a", 0))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	must(t, c.Elect(2))
	if got := c.Leader(); got != 2 {
		t.Errorf("node %d leads, want 2", got)
	}
	wantStates(t, all, "follower follower leader", "follower follower leader", "follower follower leader")
	if _, err := all[2].append("a", 0, 1); err != nil {
		t.Fatal(err)
	}
	if m, err := call.Recv(); m.GetEvent().GetEvent().GetStreamRevision() != 1 {
		t.Errorf("the subscription got %v, %v, want revision 1", m, err)
	}
	wantNumbers(t, c, "a", 2, 2, 2)

	c.Node(0).End("Subscribe", esdbtest.NotReady)
	_, err := call.Recv()
	wantCode(t, "the subscription when it is ended", err, codes.Unavailable)

	for _, want := range []int{2, 3} { // known, and then not any more
		all[2].appendAnywhere("a", 1)
		wantNumbers(t, c, "a", want, want, want)
		must(t, c.Elect(1))
		must(t, c.Elect(2))
	}
}

// TestDeposedWriter: what a node still had to write when it was deposed is nobody's.
func TestDeposedWriter(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	must(t, c.Elect(2))
	store := c.Node(0).Store()
	_, err := store.Append("a", esdbtest.NoStream, []esdbtest.Proposed{{ID: eventID(0), Type: "counted"}})
	if !errors.Is(err, esdbtest.ErrNotReplicated) {
		t.Errorf("got %v, want that it is not replicated", err)
	}
	wantNumbers(t, c, "a", 0, 0, 0)
	w := dial(t, c.Node(0).Addr())
	call := w.follow(subscription("a"))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	must(t, c.Elect(1))
	if tail := store.Tail(); len(tail) != 0 {
		t.Errorf("%d events stand in its tail after an election, want none", len(tail))
	}
	if _, err := dial(t, c.Node(1).Addr()).append("a", -1, 1); err != nil {
		t.Fatal(err)
	}
	if m, err := call.Recv(); err != nil || idOf(m.GetEvent().GetEvent()) != eventID(1) {
		t.Errorf("the subscription got %v, %v, want the new leader's event", m, err)
	}
	wantNumbers(t, c, "a", 1, 1, 1)
}

// TestElectBehind: a node that missed what was answered is not elected, and has it all once another one is.
func TestElectBehind(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	w := dial(t, c.Node(0).Addr())
	c.Isolate(2)
	w.fill("a", 2)
	c.Stop(0)
	must(t, c.Heal(2))
	wantNumbers(t, c, "a", 2, 2, 0)
	if err := c.Elect(2); err == nil {
		t.Error("the node that has less was elected")
	}
	must(t, c.Elect(1))
	wantNumbers(t, c, "a", 2, 2, 2)
	must(t, c.Restart(0))
	wantNumbers(t, c, "a", 2, 2, 2)
}

// TestIsolatedLeader: what it writes alone is answered by Aborted, seen by nobody, and lost when another one was
// elected meanwhile.
func TestIsolatedLeader(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		elect bool
		kept  int    // what is kept of the append to the isolated leader
		state string // what all hear in the end
	}{
		"another is elected": {true, 0, "follower leader follower"},
		"nobody is elected":  {false, 1, "leader follower follower"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := esdbtest.StartCluster(t, 3, impatient)
			all := wires(t, c, 3)
			all[0].fill("a", 1)
			c.Isolate(0)
			wantStates(t, all, "leader -follower -follower", "-follower unknown unknown", "-follower unknown unknown")
			_, err := all[0].append("a", 0, 7)
			wantCode(t, "append to the isolated leader", err, codes.Aborted)
			wantNumbers(t, c, "a", 1, 1, 1)
			if n := len(c.Node(0).Store().Tail()); n != 1 {
				t.Errorf("%d events stand in its tail, want 1", n)
			}
			want := 1 + test.kept
			if test.elect {
				must(t, c.Elect(1))
				wantStates(t, all[:1], "leader -follower -follower")
				if _, err := all[1].append("a", 0, 8, 9); err != nil {
					t.Fatal(err)
				}
				want += 2
			}
			must(t, c.Heal(0))
			wantStates(t, all, test.state, test.state, test.state)
			wantNumbers(t, c, "a", want, want, want)
			for i, w := range all { // the next append is everybody's, whoever it goes to
				if _, err := w.append("a", want-1, 20+i); err != nil {
					t.Fatal(err)
				}
				want++
			}
			wantNumbers(t, c, "a", want, want, want)
		})
	}
}

// TestRevealed: what readers should never have seen is gone when the node rejoins, and they are told the rest.
func TestRevealed(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3, impatient)
	all := wires(t, c, 3)
	all[0].fill("a", 1)
	c.Isolate(0)
	_, err := all[0].append("a", 0, 7, 8)
	wantCode(t, "append to the isolated leader", err, codes.Aborted)
	c.Node(0).Store().Reveal()
	wantNumbers(t, c, "a", 3, 1, 1)
	must(t, c.Elect(1))
	if _, err := all[1].append("a", 0, 9); err != nil {
		t.Fatal(err)
	}
	must(t, c.Heal(0))
	wantNumbers(t, c, "a", 2, 2, 2)
	got, err := all[0].messages(wholeStream("a"))
	if err != nil || len(got) != 2 || idOf(got[1].GetEvent().GetEvent()) != eventID(9) {
		t.Errorf("read %v, %v, want what the new leader has", got, err)
	}
}

func TestIsolatedFollower(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	all := wires(t, c, 3)
	c.Isolate(2)
	all[0].fill("a", 2)
	wantNumbers(t, c, "a", 2, 2, 0)
	wantStates(t, all, "leader follower -follower", "leader follower -follower", "-follower -follower unknown")
	if err := c.Elect(2); err == nil {
		t.Error("the isolated node was elected")
	}
	must(t, c.Heal(2))
	wantNumbers(t, c, "a", 2, 2, 2)
	wantStates(t, all, "leader follower follower", "leader follower follower", "leader follower follower")
}

func TestLag(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3)
	w := dial(t, c.Node(0).Addr())
	c.Lag(1, 2)
	w.fill("a", 3)
	wantNumbers(t, c, "a", 3, 1, 3)
	if _, err := w.append("a", 2, 3); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, c, "a", 4, 2, 4)
	must(t, c.Elect(1))
	wantNumbers(t, c, "a", 4, 4, 4)
}

// TestStopNode: a node that was down has all when it is back, and a leader that was alone is none.
func TestStopNode(t *testing.T) {
	t.Parallel()
	for _, stopped := range []int{0, 1} {
		t.Run(fmt.Sprint(stopped), func(t *testing.T) {
			t.Parallel()
			c := esdbtest.StartCluster(t, 3, impatient)
			all := wires(t, c, 3)
			all[0].fill("a", 1)
			c.Stop(stopped)
			_, err := all[stopped].append("a", 0, 5)
			wantCode(t, "append to the stopped node", err, codes.Unavailable)
			must(t, c.Elect(2))
			if _, err := all[2].append("a", 0, 1); err != nil {
				t.Fatal(err)
			}
			must(t, c.Restart(stopped))
			back := dial(t, c.Node(stopped).Addr())
			if got := back.states(); got != "follower follower leader" {
				t.Errorf("it has heard of %q, want that node 2 leads", got)
			}
			wantNumbers(t, c, "a", 2, 2, 2)
		})
	}
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		c := esdbtest.StartCluster(t, 3)
		w := dial(t, c.Node(0).Addr())
		w.fill("a", 1)
		call := w.follow(subscription("a"))
		must(t, c.Restart(0))
		for err := error(nil); err == nil; {
			_, err = call.Recv()
		}
		wantStates(t, wires(t, c, 3), "leader follower follower", "leader follower follower", "leader follower follower")
		wantNumbers(t, c, "a", 1, 1, 1)
	})
	t.Run("most", func(t *testing.T) {
		t.Parallel()
		c := esdbtest.StartCluster(t, 3, impatient)
		w := dial(t, c.Node(0).Addr())
		w.fill("a", 1)
		c.Stop(1)
		c.Stop(2)
		_, err := w.append("a", 0, 1)
		wantCode(t, "append without a majority", err, codes.Aborted)
		must(t, c.Restart(1))
		wantNumbers(t, c, "a", 2, 2)
	})
}

// TestWritersThroughElections: whatever the order of elections and appends, the nodes agree in the end, and what was
// answered is there.
func TestWritersThroughElections(t *testing.T) {
	t.Parallel()
	c := esdbtest.StartCluster(t, 3, impatient)
	all := wires(t, c, 3)
	answered := make(chan int, 1)
	stop := make(chan struct{})
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				answered <- n
				return
			default:
			}
			for try := 0; ; try++ {
				a, err := all[(n+try)%3].append("a", n-1, n)
				if err == nil && a.GetSuccess() != nil {
					break
				}
				if all[0].ctx.Err() != nil {
					t.Errorf("append %d: %v, %v", n, a, err)
					answered <- n
					return
				}
			}
		}
	}()
	for i := range 12 {
		before := c.Node(i % 3).Calls("Append")
		must(t, c.Node(i%3).AwaitCalls(all[0].ctx, "Append", before+1))
		if i%3 == 0 {
			c.Isolate(c.Leader())
			must(t, c.Elect((c.Leader()+1)%3))
			for n := range 3 {
				must(t, c.Heal(n))
			}
			continue
		}
		must(t, c.Elect(i%3))
	}
	close(stop)
	n := <-answered
	wantNumbers(t, c, "a", n, n, n)
	for i := range 3 {
		if tail := c.Node(i).Store().Tail(); len(tail) != 0 {
			t.Errorf("node %d has a tail of %d events, want none", i, len(tail))
		}
	}
}
