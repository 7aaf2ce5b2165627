package esdbtest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// What the real server listens with.
const (
	// maxMessage is the largest log record, 16 MiB less room for its own fields.
	maxMessage = 16<<20 - 10_000
	// maxCalls is the limit of Kestrel, which carries the real server: further calls on a connection wait at the client.
	maxCalls = 100
	// ping is how often an idle connection is asked whether it lives, and how long the answer may take.
	ping = 10 * time.Second
	// minPing is how often clients may ask: at any rate. They do every 10 s, also without a call, for which the
	// defaults of grpc-go would send them away after half a minute.
	minPing = time.Nanosecond
)

// Version is the release that a Server says it is, if its Config names none.
const Version = "24.10.5"

// Config is what one node is like. Its zero value is a plain single node on a free port of 127.0.0.1.
type Config struct {
	Addr    string // "127.0.0.1:0" if empty
	Store   *Store // a new one if nil
	Version string // Version if empty

	// TLS secures the node: the calls of streams then need a user. Nil is an insecure node, which allows everything.
	TLS   *TLS
	Users map[string]User // DefaultUsers if nil

	NoCaughtUp bool // as before 23.10: subscriptions do not say when they reach the end
	NoFeatures bool // as before 21.10: there is no service ServerFeatures

	// Trace is told of each call that arrives: its method as in Server.Calls, its headers and its first message. Calls
	// arrive side by side.
	Trace func(method string, header map[string][]string, first proto.Message)
}

// A Server is one node. It may be stopped and started again; its port and its Store stay.
type Server struct {
	cfg     Config
	socket  *socket
	calls   *meter // that began, by method
	rules   rules
	running running
	revoked revocations
	machine *machine // nil unless it belongs to a Cluster

	mu  sync.Mutex
	now *incarnation   // nil while stopped
	old []*incarnation // said GOAWAY, and may have calls under way
}

// An incarnation is a grpc.Server, which cannot be started twice.
type incarnation struct {
	grpc  *grpc.Server
	in    *inbox
	dead  chan struct{} // closed when it must let go of everything
	once  sync.Once
	tasks sync.WaitGroup
}

// stop ends it with everything under way, and waits for that. It may be stopped again.
func (i *incarnation) stop() {
	i.once.Do(func() { close(i.dead) })
	i.grpc.Stop()
	i.tasks.Wait()
}

// New listens and serves.
func New(cfg Config) (*Server, error) { return newServer(cfg, nil) }

func newServer(cfg Config, m *machine) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Store == nil {
		cfg.Store = NewStore()
	}
	if cfg.NoCaughtUp {
		cfg.Store.NoCaughtUp = true
	}
	if cfg.Version == "" {
		cfg.Version = Version
	}
	if cfg.Users == nil {
		cfg.Users = DefaultUsers()
	}
	socket, err := openSocket(cfg.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, socket: socket, calls: newMeter(), machine: m,
		running: running{count: newMeter(), calls: map[*call]bool{}},
	}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, socket.close())
	}
	return s, nil
}

// Start is New for a test: the server is closed when the test ends.
func Start(t testing.TB, change ...func(*Config)) *Server {
	t.Helper()
	var cfg Config
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// run begins a new incarnation, which takes all new connections.
func (s *Server) run() error {
	in, err := newInbox(s.socket.addr)
	if err != nil {
		return err
	}
	dead := make(chan struct{})
	i := &incarnation{grpc: s.grpc(dead), in: in, dead: dead}
	registerStreams(i.grpc, s.cfg.Store, &seat{Server: s, dead: dead})
	gossip.RegisterGossipServer(i.grpc, &gossipService{server: s})
	if !s.cfg.NoFeatures {
		serverfeatures.RegisterServerFeaturesServer(i.grpc, &featuresService{server: s, all: i.grpc.GetServiceInfo})
	}
	i.tasks.Go(func() { _ = i.grpc.Serve(in) }) // ends with the inbox, and says so
	s.mu.Lock()
	s.now = i
	s.mu.Unlock()
	s.socket.redirect(in)
	return nil
}

// grpc makes the server of an incarnation, which ends with dead.
func (s *Server) grpc(dead <-chan struct{}) *grpc.Server {
	opts := []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: ping, Timeout: ping}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(s.unary(dead)),
		grpc.StreamInterceptor(s.stream(dead)),
	}
	if s.cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.cfg.TLS.server())))
	}
	return grpc.NewServer(opts...)
}

// A seat is an incarnation as the service of streams sees it.
type seat struct {
	*Server
	dead chan struct{}
}

func (s *seat) done() <-chan struct{} { return s.dead }

// leader: a node without others leads.
func (s *Server) leader() (isLeader bool, host string, port int, known bool) {
	if s.machine == nil {
		return true, "", 0, true
	}
	return s.machine.leader()
}

// forward is the log of the leader.
func (s *Server) forward() *Store {
	if s.machine == nil {
		return s.cfg.Store
	}
	return s.machine.forward()
}

// URL is the connection string of this node, with the administrator's name and the authority's file where it is
// secure.
func (s *Server) URL() string { return connection("esdb", s.cfg, s.Addr()) }

func connection(scheme string, cfg Config, addrs ...string) string {
	u := url.URL{Scheme: scheme, Host: strings.Join(addrs, ",")}
	q := url.Values{"tls": {strconv.FormatBool(cfg.TLS != nil)}}
	if cfg.TLS != nil {
		q.Set("tlsCaFile", cfg.TLS.CAFile)
		u.User = url.UserPassword("admin", cfg.Users["admin"].Password)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Addr is host and port.
func (s *Server) Addr() string { return s.socket.addr }

// Store is the log of this node.
func (s *Server) Store() *Store { return s.cfg.Store }

// Stop is a crash: nobody listens any more and every connection is reset. What was written stays, and when Stop
// returns nothing more is being written.
func (s *Server) Stop() {
	_ = s.socket.refuse() // the port may be given away then, which Restart reports
	s.halt()
}

// halt ends all incarnations.
func (s *Server) halt() {
	s.mu.Lock()
	all := s.old
	if s.now != nil {
		all = append(all, s.now)
	}
	s.old, s.now = nil, nil
	s.mu.Unlock()
	s.socket.resetAll() // before anything can be answered
	for _, i := range all {
		i.stop()
	}
}

// Restart is a crash, if the server still runs, and a start on the same port. The log is as it was; what the server
// keeps in memory, above all which events were written lately, is gone. Faults stay; a Stall is over.
func (s *Server) Restart() error {
	s.Stop()
	s.socket.unstall()
	s.cfg.Store.ForgetIDs()
	if err := s.run(); err != nil {
		return err
	}
	return s.socket.listen()
}

// Close ends the server for good. It may be called again.
func (s *Server) Close() {
	_ = s.socket.refuse()
	s.halt()
	_ = s.socket.close() // nobody listens there by now
}

// ResetConnections resets every connection, as a load balancer or a firewall does that forgets them. New ones are
// taken.
func (s *Server) ResetConnections() { s.socket.resetAll() }

// RefuseConnections takes no new connections until AcceptConnections; those that are open go on. It is what clients
// see of a node behind a changed security rule, or one that has used up its file descriptors.
func (s *Server) RefuseConnections() error { return s.socket.refuse() }

// AcceptConnections undoes RefuseConnections.
func (s *Server) AcceptConnections() error { return s.socket.listen() }

// Stall lets no byte pass in or out, on open connections and new ones alike, until Unstall: a peer that is silently
// dead. Connections do open, since the kernel answers for a process that hangs. It is what a stopped process, a
// machine that lost power behind a switch, or a full stop of a garbage collector looks like.
func (s *Server) Stall() { s.socket.stall() }

// Unstall lets the bytes that waited pass, and all others.
func (s *Server) Unstall() { s.socket.unstall() }

// GoAway is an orderly shutdown whose successor is up at once: open connections are told to go away, take no new
// calls, and close after their last one. Subscriptions on them go on. To cut is to lose patience with those, as the
// real server does half a minute after it was asked to stop.
func (s *Server) GoAway() (cut func(), err error) {
	s.mu.Lock()
	i := s.now
	if i != nil {
		s.old = append(s.old, i)
	}
	s.mu.Unlock()
	if i == nil {
		return nil, errors.New("esdbtest: the server is stopped")
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	i.tasks.Go(i.grpc.GracefulStop)
	return i.stop, nil
}

// Calls is how often a method was called since New, whatever became of the calls: "Append", "Read", "Subscribe" (a
// Read that goes on), "Delete", "Tombstone", "BatchAppend", "GetSupportedMethods", "Gossip.Read".
func (s *Server) Calls(method string) int { return s.calls.get(method) }

// AwaitCalls waits until a method was called n times since New.
func (s *Server) AwaitCalls(ctx context.Context, method string, n int) error {
	return s.calls.await(ctx, method, func(have int) bool { return have >= n })
}

// Running is how many calls of a method are under way.
func (s *Server) Running(method string) int { return s.running.count.get(method) }

// AwaitRunning waits until n calls of a method are under way.
func (s *Server) AwaitRunning(ctx context.Context, method string, n int) error {
	return s.running.count.await(ctx, method, func(have int) bool { return have == n })
}

// Connections is how many are open.
func (s *Server) Connections() int { return s.socket.open.get("") }

// AwaitConnections waits until n connections are open.
func (s *Server) AwaitConnections(ctx context.Context, n int) error {
	return s.socket.open.await(ctx, "", func(have int) bool { return have == n })
}

// endpoint is the address as gossip and redirections carry it.
func (s *Server) endpoint() (host string, port uint32) {
	host, text, err := net.SplitHostPort(s.Addr())
	if err != nil {
		panic(err) // it is a listener's own
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		panic(err)
	}
	return host, uint32(n)
}
