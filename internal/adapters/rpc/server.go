package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // registers gzip, for callers that compress
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/reservation"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// Config is what a Server needs. Fields without "defaults to" are required.
type Config struct {
	Log   event.Log
	Clock clock.Clock
	// Views holds orders, pay numbers, subscriptions, what is in doubt and the journal; Work holds deliveries.
	Views, Work projection.Reader

	Subscriptions *aggregate.Runner[subscription.State]
	Merchants     *aggregate.Runner[merchant.State]
	Connections   *connect.Connections
	Endpoints     *aggregate.Runner[endpoint.State]
	Reservations  *aggregate.Runner[reservation.State]
	// Circumstances are what a merchant and a connection say that a decision about a subscription may depend on.
	Circumstances func(ctx context.Context, merchant, connection string) (subscription.Circumstances, error)
	// NextNumber gives out subscription numbers.
	NextNumber func(ctx context.Context) (int64, error)
	// CountEndpoints tells how many endpoints a merchant has.
	CountEndpoints func(ctx context.Context, merchant string) (int, error)

	// DeliveryBody is the body of a notification, with the endpoint's secret key left out.
	DeliveryBody func(ctx context.Context, d *ledgerv1.Delivery) (string, error)

	// SaveWebhook keeps an authentic webhook durably before it is acknowledged. work.ErrWebhookDiffers means that
	// it is kept already, with another body.
	SaveWebhook func(ctx context.Context, w work.Webhook) (id int64, fresh bool, err error)

	// WaitFor waits until a follower has seen a position.
	WaitFor func(ctx context.Context, follower string, p event.Position) error
	// Operator tells how the followers are. AdvanceClock moves the manual clock; nil if the clock is not manual.
	Operator     Operator
	AdvanceClock func(ctx context.Context, by time.Duration) (now time.Time, stops int64, err error)
	Version      string

	// Logger defaults to slog's.
	Logger *slog.Logger
	// Reflection lets tools ask for the API's description.
	Reflection bool
	// Options are added to the gRPC server's own: stats handlers, for example.
	Options []grpc.ServerOption
	// SlowConsumer is how long a watcher may leave a message unread. Defaults to 30 s.
	SlowConsumer time.Duration
	// Grace is how long calls in flight may take to end when the server stops. Defaults to 35 s: longer than any wait.
	Grace time.Duration
}

func (c *Config) withDefaults() error {
	for name, missing := range map[string]bool{
		"Log": c.Log == nil, "Clock": c.Clock == nil, "Views": c.Views == nil, "Work": c.Work == nil,
		"Subscriptions": c.Subscriptions == nil, "Merchants": c.Merchants == nil, "Connections": c.Connections == nil,
		"Endpoints": c.Endpoints == nil, "Reservations": c.Reservations == nil, "Circumstances": c.Circumstances == nil, "NextNumber": c.NextNumber == nil, "CountEndpoints": c.CountEndpoints == nil,
		"DeliveryBody": c.DeliveryBody == nil, "SaveWebhook": c.SaveWebhook == nil, "WaitFor": c.WaitFor == nil, "Operator": c.Operator == nil,
	} {
		if missing {
			return fmt.Errorf("rpc: Config.%s is not set", name)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.SlowConsumer == 0 {
		c.SlowConsumer = 30 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = maxWait + 5*time.Second
	}
	return nil
}

// Server answers gRPC and REST.
type Server struct {
	Config
	grpc     *grpc.Server
	health   *health.Server
	memory   *bufconn.Listener // where REST reaches the gRPC server
	conn     *grpc.ClientConn
	rest     *rest
	webhooks *webhooks
	tail     *tail
	accounts knownAccounts
	numbers  spareNumbers
	stopping chan struct{} // closed when calls that wait or stream should end
}

// NewServer makes a Server; Run starts it.
func NewServer(c Config) (*Server, error) {
	if err := c.withDefaults(); err != nil {
		return nil, err
	}
	all, err := routes()
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, memory: bufconn.Listen(1 << 20), tail: newTail(c.Log, c.Logger), stopping: make(chan struct{})}
	s.newGRPC(all)
	s.conn, err = grpc.NewClient("passthrough:///memory",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.memory.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	if s.rest, err = newREST(context.Background(), all, s.conn, c.SlowConsumer); err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	s.webhooks = &webhooks{Config: &s.Config}
	return s, nil
}

// newGRPC makes the gRPC server. Its limits: a request is small, a call ends, and an idle connection is not kept.
func (s *Server) newGRPC(all []route) {
	i := newInterceptor(all, s.Logger)
	s.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxFrame),
		grpc.MaxConcurrentStreams(256),
		// A new goroutine for each call grows its stack anew each time; with these, a tenth more commands go through.
		// Calls beyond them get goroutines of their own.
		grpc.NumStreamWorkers(64),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Minute, MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second,
			Time: 2 * time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(i.unary),
		grpc.ChainStreamInterceptor(i.stream),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return errUnknownMethod() }),
	}, s.Options...)...)

	ours := decodingServices{ServiceRegistrar: s.grpc, answer: func(ctx context.Context, err error) error {
		method, _ := grpc.Method(ctx)
		return i.answer(ctx, method, err)
	}}
	s.register(ours)

	s.health = health.NewServer()
	for _, file := range services() {
		s.health.SetServingStatus(string(file.Services().Get(0).FullName()), grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	if s.Reflection {
		reflection.Register(s.grpc)
	}
}

// register lists the services.
func (s *Server) register(on grpc.ServiceRegistrar) {
	ledgerv1.RegisterSubscriptionServiceServer(on, &subscriptions{Server: s})
	ledgerv1.RegisterOrderServiceServer(on, &orders{Server: s})
	ledgerv1.RegisterMerchantServiceServer(on, &merchants{Server: s})
	ledgerv1.RegisterConnectionServiceServer(on, &connections{Server: s})
	ledgerv1.RegisterEndpointServiceServer(on, &endpoints{Server: s})
	ledgerv1.RegisterReportServiceServer(on, &reports{Server: s})
	ledgerv1.RegisterOperationServiceServer(on, &operations{Server: s})
}

// REST answers everything under /v1/.
func (s *Server) REST() http.Handler { return s.rest }

// Webhooks answers everything under /webhooks/.
func (s *Server) Webhooks() http.Handler { return s.webhooks }

// Consents takes merchants who come back from a gateway with their consent, at everything under /connect/.
func (s *Server) Consents() http.Handler { return &consents{&s.Config} }

// HTTPServer is an http.Server with limits for callers that send slowly or never; h is served by it.
func HTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           closeBehindChunks(h),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}

// closeBehindChunks ends a connection with the first chunked request on it. If such a request also has a length,
// net/http goes by the chunks and does not tell; a proxy in front of us that goes by the length would have its next
// caller's request begin where we do not see it (RFC 9112, 6.1, has the connection closed).
func closeBehindChunks(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// Run serves gRPC on l, and REST's connection in memory, until ctx ends; then it lets calls in flight end, for Grace
// at most. Shut the HTTP server down before: its requests are calls, too.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.tail.run(ctx) })
	group.Go(func() error { return s.serve(l) })
	group.Go(func() error { return s.serve(s.memory) })
	group.Go(func() error {
		<-ctx.Done()
		s.stop()
		return nil
	})
	return group.Wait()
}

func (s *Server) serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) stop() {
	s.health.Shutdown() // load balancers look elsewhere while the rest ends
	close(s.stopping)
	timer := time.AfterFunc(s.Grace, s.grpc.Stop)
	s.grpc.GracefulStop()
	timer.Stop()
	_ = s.conn.Close()
}
