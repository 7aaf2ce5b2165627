package esdbtest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// A socket is the port of a node and the connections on it. The port is the node's for good: while nobody listens
// there, callers are refused and no other process gets it.
type socket struct {
	addr string
	open *meter // connections, under ""

	mu      sync.Mutex
	lis     net.Listener // nil while callers are refused
	release func()       // gives back the port that nobody listens on
	loop    sync.WaitGroup
	conns   map[string]*conn // by the client's address
	stalled chan struct{}    // nil while bytes flow; closed when they flow again
	to      *inbox
}

func openSocket(addr string) (*socket, error) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &socket{addr: lis.Addr().String(), open: newMeter(), conns: map[string]*conn{}, release: func() {}}
	s.serve(lis)
	return s, nil
}

// listen takes callers again; it does nothing where they are taken already.
func (s *socket) listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lis != nil {
		return nil
	}
	lis, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.release()
	s.serve(lis)
	return nil
}

func (s *socket) serve(lis net.Listener) {
	s.lis = lis
	s.loop.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			s.hand(c)
		}
	})
}

// refuse takes no more callers. Those that are connected stay.
func (s *socket) refuse() error {
	s.mu.Lock()
	lis := s.lis
	s.lis = nil
	s.mu.Unlock()
	if lis == nil {
		return nil
	}
	err := lis.Close()
	release, reserveErr := reserve(s.addr)
	s.mu.Lock()
	s.release = release
	s.mu.Unlock()
	s.loop.Wait()
	return errors.Join(err, reserveErr)
}

// hand gives a new connection to whoever serves now.
func (s *socket) hand(raw net.Conn) {
	c := &conn{Conn: raw, socket: s, closed: make(chan struct{})}
	s.mu.Lock()
	s.conns[raw.RemoteAddr().String()] = c
	s.mu.Unlock()
	s.open.add("", 1)
	for {
		to := s.inbox()
		if to == nil {
			break
		}
		select {
		case to.conns <- c:
			return
		case <-to.closed:
			if s.inbox() != to {
				continue // its successor serves by now
			}
		}
		break
	}
	c.reset()
}

func (s *socket) inbox() *inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to
}

// redirect lets new connections go to in.
func (s *socket) redirect(in *inbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = in
}

// of is the connection that a call came by.
func (s *socket) of(client net.Addr) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[client.String()]
}

// forget makes room for the next connection from where c came.
func (s *socket) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from := c.RemoteAddr().String(); s.conns[from] == c {
		delete(s.conns, from)
	}
}

func (s *socket) resetAll() {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.reset()
	}
}

func (s *socket) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalled == nil {
		s.stalled = make(chan struct{})
	}
}

func (s *socket) unstall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalled != nil {
		close(s.stalled)
		s.stalled = nil
	}
}

func (s *socket) close() error {
	err := s.refuse()
	s.resetAll()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
	s.release = func() {}
	return err
}

// A conn is one client's connection, below TLS.
type conn struct {
	net.Conn
	socket *socket
	once   sync.Once
	closed chan struct{}
}

// Read keeps back what arrives while the socket is stalled, also for a reader who waited since before.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.flow(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if stalled := c.flow(); stalled != nil {
		return 0, stalled
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.flow(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// flow waits until bytes may pass.
func (c *conn) flow() error {
	for {
		c.socket.mu.Lock()
		stalled := c.socket.stalled
		c.socket.mu.Unlock()
		if stalled == nil {
			return nil
		}
		select {
		case <-stalled:
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		close(c.closed)
		c.socket.forget(c)
		err = c.Conn.Close()
		c.socket.open.add("", -1)
	})
	return err
}

// reset closes the connection as the kernel does for a process that was killed with bytes unread: by RST.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only if the connection is gone already
	}
	_ = c.Close()
}

// An inbox is the listener of one incarnation of a server: several may share a socket, one of them taking new
// connections while the others see their last calls out.
type inbox struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newInbox(addr string) (*inbox, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &inbox{addr: tcp, conns: make(chan net.Conn), closed: make(chan struct{})}, nil
}

func (i *inbox) Accept() (net.Conn, error) {
	select {
	case c := <-i.conns:
		return c, nil
	case <-i.closed:
		return nil, net.ErrClosed
	}
}

func (i *inbox) Close() error {
	i.once.Do(func() { close(i.closed) })
	return nil
}

func (i *inbox) Addr() net.Addr { return i.addr }

// A meter counts by name, and wakes those who wait for a count.
type meter struct {
	mu      sync.Mutex
	n       map[string]int
	changed chan struct{}
}

func newMeter() *meter { return &meter{n: map[string]int{}, changed: make(chan struct{})} }

func (m *meter) add(name string, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n[name] += by
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *meter) get(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n[name]
}

func (m *meter) await(ctx context.Context, name string, enough func(int) bool) error {
	for {
		m.mu.Lock()
		n, changed := m.n[name], m.changed
		m.mu.Unlock()
		if enough(n) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
