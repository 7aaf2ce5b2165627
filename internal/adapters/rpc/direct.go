package rpc

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Direct answers calls without a network: for a program that has the ledger inside. A call runs in its caller's
// goroutine and meets the same checks, and answers with the same errors, as one through a Server. Streams are not
// served, and a command does not wait for its gateway before its wait is over.
type Direct struct {
	server  *Server
	check   interceptor
	methods map[string]directMethod
}

var _ grpc.ClientConnInterface = (*Direct)(nil)

type directMethod struct {
	handle grpc.MethodHandler
	impl   any
}

// NewDirect makes a Direct. Nothing of it runs by itself.
func NewDirect(c Config) (*Direct, error) {
	if err := c.withDefaults(); err != nil {
		return nil, err
	}
	all, err := routes()
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, tail: newTail(c.Log, c.Logger), stopping: make(chan struct{})}
	d := &Direct{server: s, check: newInterceptor(all, c.Logger), methods: map[string]directMethod{}}
	s.register(d)
	return d, nil
}

// RegisterService implements grpc.ServiceRegistrar.
func (d *Direct) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		d.methods["/"+desc.ServiceName+"/"+m.MethodName] = directMethod{m.Handler, impl}
	}
}

// Invoke implements grpc.ClientConnInterface.
func (d *Direct) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	m, ok := d.methods[method]
	if !ok {
		return errUnknownMethod()
	}
	answer, err := m.handle(m.impl, ctx, func(request any) error {
		proto.Merge(request.(proto.Message), args.(proto.Message))
		return nil
	}, d.check.unary)
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), answer.(proto.Message))
	return nil
}

// NewStream implements grpc.ClientConnInterface: it refuses.
func (d *Direct) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "streams are not served without a network")
}

// Webhooks answers everything under /webhooks/.
func (d *Direct) Webhooks() http.Handler { return &webhooks{Config: &d.server.Config} }
