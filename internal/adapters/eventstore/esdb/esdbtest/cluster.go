package esdbtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
)

// A Cluster is nodes that keep one log. Each has a Store of its own; the leader hands what it writes to the nodes it
// can reach, and shows it to readers when most of all nodes have it.
//
// Nothing happens by itself: who leads, who reaches whom and who lags behind is what the test says.
type Cluster struct {
	mu       sync.Mutex
	machines []*machine
	leads    *machine // the leader of the latest epoch
}

// A machine is a node with its place in the cluster. What it knows of the others it knows by gossip, and so may be
// wrong.
type machine struct {
	cluster  *Cluster
	server   *Server
	up       bool
	isolated bool
	follows  *machine // whom it takes for the leader, itself perhaps; nil while it knows of none
	lag      int      // how many events it shows later than it has them
	late     []Record // which it has and does not show
	given    []Record // what it gave to others last; for a moment, its own readers do not see it yet
}

// NewCluster listens on n ports and serves, with node 0 leading. Config.Addr and Config.Store are not for change.
func NewCluster(n int, change ...func(*Config)) (*Cluster, error) {
	c := &Cluster{}
	for range n {
		cfg := Config{Store: NewStore()}
		for _, f := range change {
			f(&cfg)
		}
		m := &machine{cluster: c, up: true}
		cfg.Store.Replicate = m.replicate
		server, err := newServer(cfg, m)
		if err != nil {
			c.Close()
			return nil, err
		}
		m.server = server
		c.machines = append(c.machines, m)
	}
	c.leads = c.machines[0]
	c.leads.follows = c.leads
	for _, m := range c.machines[1:] {
		m.adopt(c.leads)
	}
	return c, nil
}

// StartCluster is NewCluster for a test: the cluster is closed when the test ends.
func StartCluster(t testing.TB, n int, change ...func(*Config)) *Cluster {
	t.Helper()
	c, err := NewCluster(n, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Close ends all nodes for good.
func (c *Cluster) Close() {
	for _, m := range c.machines {
		m.server.Close()
	}
}

// URL is the connection string that names every node.
func (c *Cluster) URL() string { return connection("esdb", c.machines[0].server.cfg, c.addrs()...) }

// DiscoverURL is the connection string that names one node and lets it tell of the others.
func (c *Cluster) DiscoverURL() string {
	return connection("esdb+discover", c.machines[0].server.cfg, c.addrs()[0])
}

func (c *Cluster) addrs() []string {
	var addrs []string
	for _, m := range c.machines {
		addrs = append(addrs, m.server.Addr())
	}
	return addrs
}

// Node is the i-th node. To stop and restart it there are Stop and Restart of the cluster, which tell the others.
func (c *Cluster) Node(i int) *Server { return c.machines[i].server }

// Leader is the number of the node that leads, in the eyes of those that can elect one.
func (c *Cluster) Leader() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Index(c.machines, c.leads)
}

// Elect makes node i the leader. Its predecessor, if they reach each other, follows it: what it had written for
// itself alone is lost, and subscriptions to it go on with what the new leader writes, as on the real server; to have
// them end there is [Server.End]. The ids that were written lately are forgotten.
func (c *Cluster) Elect(i int) error {
	m := c.machines[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	if !m.hasQuorum() {
		return fmt.Errorf("esdbtest: no majority reaches node %d", i)
	}
	for k, other := range c.machines {
		if other.reaches(m) && other.end() > m.end() {
			return fmt.Errorf("esdbtest: node %d has less than node %d, which would not vote for it", i, k)
		}
	}
	m.show(0)
	return c.follow(m)
}

// Isolate cuts node i off from the others, not from clients. A leader does not notice: what it is to append stands in
// its own log and is answered by Aborted. The others know of no leader until one is elected.
func (c *Cluster) Isolate(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.machines[i]
	m.isolated = true
	c.lose(m)
	if m.follows != m {
		m.follows = nil
	}
}

// Heal lets node i reach the others again. It follows whoever was elected meanwhile, and loses what it wrote for
// itself alone. If nobody was, the leader goes on in a new epoch, and what it had written alone is everybody's.
func (c *Cluster) Heal(i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[i].isolated = false
	return c.rejoin(c.machines[i])
}

// Stop crashes node i. If it led, the others know of no leader until one is elected.
func (c *Cluster) Stop(i int) {
	m := c.machines[i]
	c.mu.Lock()
	m.up = false
	c.lose(m)
	c.mu.Unlock()
	m.server.Stop()
}

// Restart starts node i again, after a Stop if it still runs. It rejoins as after Heal.
func (c *Cluster) Restart(i int) error {
	c.Stop(i)
	m := c.machines[i]
	c.mu.Lock()
	m.up = true
	err := c.rejoin(m)
	c.mu.Unlock()
	return errors.Join(err, m.server.Restart())
}

// Lag lets node i, a follower, show its readers what is written n events late. It has them, and so it may be elected
// and loses nothing. 0 shows all.
func (c *Cluster) Lag(i, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[i].lag = n
	c.machines[i].show(n)
}

// rejoin brings m and the leader together, if they reach each other.
func (c *Cluster) rejoin(m *machine) error {
	leader := c.leads
	switch {
	case !leader.reaches(leader) || m != leader && !m.reaches(leader):
		return nil
	case !leader.hasQuorum():
		leader.follows = leader // all the same, as it does not know
		return nil
	case m == leader || leader.follows != leader || len(leader.store().Tail()) > 0:
		return c.follow(leader)
	}
	m.adopt(leader)
	return nil
}

// follow lets m lead those who reach it, in a new epoch. What it has is theirs, before anything is added to it.
func (c *Cluster) follow(m *machine) error {
	c.leads, m.follows = m, m
	for _, other := range c.machines {
		if other != m && other.reaches(m) {
			other.adopt(m)
		}
	}
	c.mu.Unlock() // for the epoch is replicated too
	defer c.mu.Lock()
	return m.store().Lead()
}

// lose lets those who followed m know of no leader.
func (c *Cluster) lose(m *machine) {
	for _, other := range c.machines {
		if other != m && other.follows == m {
			other.follows = nil
		}
	}
}

func (m *machine) store() *Store { return m.server.cfg.Store }

// reaches tells whether two nodes hear of each other.
func (m *machine) reaches(other *machine) bool {
	return m.up && other.up && (m == other || !m.isolated && !other.isolated)
}

// hasQuorum tells whether most nodes reach m, itself among them.
func (m *machine) hasQuorum() bool {
	n := 0
	for _, other := range m.cluster.machines {
		if other.reaches(m) {
			n++
		}
	}
	return n > len(m.cluster.machines)/2
}

// replicate is Store.Replicate. Once another node leads, nobody takes anything from this one.
func (m *machine) replicate(tail []Record) bool {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.cluster.leads != m || !m.hasQuorum() {
		return false
	}
	m.given = tail
	for _, other := range m.cluster.machines {
		if other != m && other.reaches(m) {
			other.late = append(other.late, tail...)
			other.show(other.lag)
		}
	}
	return true
}

// show lets readers of m see what it has, but for the last events.
func (m *machine) show(but int) {
	if n := max(0, len(m.late)-but); n > 0 {
		m.store().obey(m.late[:n])
		m.late = slices.Clone(m.late[n:])
	}
}

// end is the position of the last event that m has of those that have a quorum.
func (m *machine) end() uint64 {
	log := m.late
	if len(log) == 0 {
		log = m.store().Records()
	}
	if len(log) == 0 {
		return 0
	}
	return log[len(log)-1].Position
}

// adopt lets m follow the leader, and makes the leader's log its own.
func (m *machine) adopt(leader *machine) {
	m.follows, m.late, m.given = leader, nil, nil
	log, own := leader.committed(), m.store().Records()
	same := func(a, b Record) bool { return a.ID == b.ID && a.Position == b.Position }
	if len(own) > len(log) || !slices.EqualFunc(own, log[:len(own)], same) {
		m.store().Replace(log) // readers saw something that is lost
		return
	}
	m.store().obey(log[len(own):])
}

// committed is what most nodes have, or a leader without them shows.
func (m *machine) committed() []Record {
	log := m.store().Records()
	for _, r := range m.given {
		if len(log) == 0 || r.Position > log[len(log)-1].Position {
			log = append(log, r)
		}
	}
	return log
}

// leader is the leader that m knows of.
func (m *machine) leader() (isLeader bool, host string, port int, known bool) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.follows == nil {
		return false, "", 0, false
	}
	host, p := m.follows.server.endpoint()
	return m.follows == m, host, int(p), true
}

func (m *machine) forward() *Store {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.follows == nil || !m.reaches(m.follows) {
		return nil
	}
	return m.follows.store()
}

// gossip is what m has heard of everyone.
func (m *machine) gossip() []*gossip.MemberInfo {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	var all []*gossip.MemberInfo
	for _, other := range m.cluster.machines {
		state := gossip.MemberInfo_Follower
		switch {
		case other == m && m.follows == nil:
			state = gossip.MemberInfo_Unknown
		case other == m.follows:
			state = gossip.MemberInfo_Leader
		case other.reaches(m) && other.follows == nil:
			state = gossip.MemberInfo_Unknown
		}
		all = append(all, member(other.server, state, other.reaches(m)))
	}
	return all
}

// String shows who leads and who is gone, for a test's log.
func (c *Cluster) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for i, m := range c.machines {
		fmt.Fprintf(&b, "%d: up=%v isolated=%v leads=%v late=%d; ", i, m.up, m.isolated, m == c.leads, len(m.late))
	}
	return strings.TrimSuffix(b.String(), "; ")
}
