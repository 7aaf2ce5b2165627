package esdbtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A call is one call of any method, between the wire and the service. Faults stand here, and so the service knows
// nothing of them.
type call struct {
	ctx     context.Context
	end     context.CancelCauseFunc
	server  *Server
	dead    <-chan struct{} // closed when the server stops
	method  string
	user    string
	request proto.Message // the first message; nil for BatchAppend, whose client may wait for us
	wire    *wire         // nil for a unary call

	send  func(proto.Message) error // to the client
	serve serving                   // what the server does when nothing is in the way
}

// serving answers a call into send. That is c.send, unless a fault takes the answers for itself.
type serving func(ctx context.Context, send func(proto.Message) error) error

// reset cuts the connection that the call came by.
func (c *call) reset() {
	if p, ok := peer.FromContext(c.ctx); ok {
		if conn := c.server.socket.of(p.Addr); conn != nil {
			conn.reset()
		}
	}
}

// errLost is what a handler is told when the client is gone. Nobody hears it.
var errLost = status.Error(codes.Unavailable, "esdbtest: connection lost")

// handle counts the call, and lets a fault have it or serves it.
func (s *Server) handle(c *call) error {
	s.calls.add(c.method, 1)
	if s.cfg.Trace != nil {
		header, _ := grpcmetadata.FromIncomingContext(c.ctx)
		s.cfg.Trace(c.method, header, c.request)
	}
	c.ctx, c.end = context.WithCancelCause(c.ctx)
	defer c.end(nil)
	anonymous := c.method == "GetSupportedMethods" || strings.HasPrefix(c.method, "Gossip.")
	if user, err := s.authenticate(c.ctx); err == nil {
		c.user = user
	} else if !anonymous { // anybody may look for the cluster
		return err
	}
	s.running.add(c)
	defer s.running.remove(c)
	err := s.act(c)
	var ended *endedError
	if errors.As(context.Cause(c.ctx), &ended) {
		return ended.by(c)
	}
	return err
}

func (s *Server) act(c *call) error {
	if do := s.rules.pick(c); do != nil {
		return do(c)
	}
	return c.serve(c.ctx, c.send)
}

// End ends the calls of a method that are under way, by an Action: what a node does with its subscriptions when it
// steps down, or what became of whoever stood between.
func (s *Server) End(method string, by Action) {
	s.running.end(by, func(c *call) bool { return method == "" || method == c.method })
}

// running are the calls under way.
type running struct {
	count *meter // by method

	mu    sync.Mutex
	calls map[*call]bool
}

func (r *running) add(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[c] = true
	r.count.add(c.method, 1)
}

func (r *running) remove(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, c)
	r.count.add(c.method, -1)
}

func (r *running) end(by Action, which func(*call) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.calls {
		if which(c) {
			c.end(&endedError{by: by})
		}
	}
}

// endedError is the cause by which a call's context ends when it is ended from here.
type endedError struct{ by Action }

func (*endedError) Error() string { return "esdbtest: ended" }

func (s *Server) unary(dead <-chan struct{}) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		var answer proto.Message
		c := &call{ctx: ctx, server: s, dead: dead, method: methodName(info.FullMethod), request: req.(proto.Message)}
		c.send = func(m proto.Message) error {
			answer = m
			return nil
		}
		c.serve = func(ctx context.Context, send func(proto.Message) error) error {
			m, err := handler(ctx, req)
			if err != nil {
				return err
			}
			return send(m.(proto.Message))
		}
		if err := s.handle(c); err != nil {
			return nil, err
		}
		if answer == nil {
			return nil, status.Error(codes.Internal, "esdbtest: a fault kept the answer back")
		}
		return answer, nil
	}
}

func (s *Server) stream(dead <-chan struct{}) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		c := &call{ctx: ss.Context(), server: s, dead: dead, method: methodName(info.FullMethod), wire: &wire{ServerStream: ss}}
		if err := c.fetchFirst(); err != nil {
			return err
		}
		c.send = func(m proto.Message) error { return ss.SendMsg(m) }
		c.serve = func(ctx context.Context, send func(proto.Message) error) error {
			return handler(srv, &served{ServerStream: c.wire, ctx: ctx, send: send})
		}
		return s.handle(c)
	}
}

// fetchFirst reads the first message ahead, which says what the call is about.
func (c *call) fetchFirst() error {
	switch c.method {
	case "Read":
		c.request = new(streams.ReadReq)
	case "Append":
		c.request = new(streams.AppendReq)
	default:
		return nil
	}
	if err := c.wire.fetch(c.request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if r, ok := c.request.(*streams.ReadReq); ok && r.GetOptions().GetSubscription() != nil {
		c.method = "Subscribe"
	}
	return nil
}

// stream is what the call is about, "$all" for all; empty for a call that is about no stream.
func (c *call) stream() string {
	if r, ok := c.request.(*streams.ReadReq); ok {
		if r.GetOptions().GetAll() != nil {
			return "$all"
		}
		return string(r.GetOptions().GetStream().GetStreamIdentifier().GetStreamName())
	}
	var id *shared.StreamIdentifier
	switch r := c.request.(type) {
	case *streams.AppendReq:
		id = r.GetOptions().GetStreamIdentifier()
	case *streams.DeleteReq:
		id = r.GetOptions().GetStreamIdentifier()
	case *streams.TombstoneReq:
		id = r.GetOptions().GetStreamIdentifier()
	}
	return string(id.GetStreamName())
}

// methodName is what Fault and Calls know a method by.
func methodName(full string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if strings.HasSuffix(service, ".Gossip") {
		return "Gossip." + method
	}
	return method
}

// A wire is a stream of which some messages may have been read ahead of the service.
type wire struct {
	grpc.ServerStream
	ahead []proto.Message
	eof   bool
}

// fetch reads m ahead.
func (w *wire) fetch(m proto.Message) error {
	err := w.ServerStream.RecvMsg(m)
	switch {
	case errors.Is(err, io.EOF):
		w.eof = true
	case err == nil:
		w.ahead = append(w.ahead, m)
	}
	return err
}

// fetchAll reads an append to its end.
func (w *wire) fetchAll() error {
	for !w.eof {
		if err := w.fetch(new(streams.AppendReq)); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

func (w *wire) RecvMsg(m any) error {
	if len(w.ahead) > 0 {
		proto.Merge(m.(proto.Message), w.ahead[0])
		w.ahead = w.ahead[1:]
		return nil
	}
	if w.eof {
		return io.EOF
	}
	return w.ServerStream.RecvMsg(m)
}

// served is the stream as the service sees it.
type served struct {
	grpc.ServerStream
	ctx  context.Context
	send func(proto.Message) error
}

func (s *served) Context() context.Context { return s.ctx }
func (s *served) SendMsg(m any) error      { return s.send(m.(proto.Message)) }
