package rpc_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/aggregate/event"
)

// BenchmarkStart measures durable starts over gRPC, with nobody following, beside what bounds them on the same
// machine: an echo of the same message, and bare appends of the same events to the same table.
//
//	go test ./internal/adapters/rpc -run - -bench Start -benchtime 20000x
func BenchmarkStart(b *testing.B) {
	for _, callers := range []int{16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			log, err := sqlite.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			w := benchWorld(b, log)
			echo := newEcho(b)
			var names atomic.Int64
			request := func() *ledgerv1.StartSubscriptionRequest {
				id := fmt.Sprintf("s%d", names.Add(1))
				return &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: id, Start: startRequest(id, "tok_ok")}
			}
			starting := func(ctx context.Context) error {
				return w.conn.Invoke(ctx, "/ledger.v1."+startMethod, request(), &ledgerv1.CommandResponse{})
			}
			echoing := func(ctx context.Context) error {
				return echo.Invoke(ctx, echoMethod, request(), &ledgerv1.StartSubscriptionRequest{})
			}
			appending := func(ctx context.Context) error {
				return appendLike(ctx, log, "subscription-raw."+fmt.Sprint(names.Add(1)), w.events)
			}
			w.sample(b, request())
			load(b, callers, 500, echoing) // connections, caches and the writer warm up
			load(b, callers, 500, starting)
			// In slices, by turns, so that a machine that slows down slows all of them.
			const slices = 5
			var e, s, a figures
			n := max(b.N/slices, callers)
			b.ResetTimer()
			for range slices {
				e.add(load(b, callers, n, echoing))
				s.add(load(b, callers, n, starting))
				a.add(load(b, callers, n, appending))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(s.rate(), "starts/s")
			b.ReportMetric(s.rate()/e.rate(), "of-echo")
			b.ReportMetric(s.rate()/a.rate(), "of-appends")
			b.ReportMetric(float64(s.p99())/float64(e.p99()), "p99/echo")
			b.ReportMetric(float64(s.p99().Microseconds())/1000, "p99-ms")
		})
	}
}

// figures are what some calls took.
type figures struct {
	took  []time.Duration
	total time.Duration
}

func (f *figures) add(g figures) {
	f.took = append(f.took, g.took...)
	f.total += g.total
}

func (f figures) rate() float64 { return float64(len(f.took)) / f.total.Seconds() }

func (f figures) p99() time.Duration {
	slices.Sort(f.took)
	return f.took[len(f.took)*99/100]
}

// load makes n calls by so many callers, each waiting for its own.
func load(b *testing.B, callers, n int, call func(context.Context) error) figures {
	b.Helper()
	f := figures{took: make([]time.Duration, n)}
	var next atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for range callers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				at := time.Now()
				if err := call(context.Background()); err != nil {
					b.Error(err)
					return
				}
				f.took[i] = time.Since(at)
			}
		})
	}
	all.Wait()
	f.total = time.Since(begin)
	return f
}

// benched is a world without followers and without anybody who charges.
type benched struct {
	*world
	events []event.Raw // of one start
}

func benchWorld(b *testing.B, log event.Log) *benched {
	w := quietWorld(b, log)
	w.populate()
	return &benched{world: w}
}

// sample makes one start and keeps its events.
func (w *benched) sample(b *testing.B, r *ledgerv1.StartSubscriptionRequest) {
	b.Helper()
	var got ledgerv1.CommandResponse
	w.must(startMethod, r, &got)
	for raw, err := range w.log.Read(context.Background(), "subscription-acme."+got.Subscription.SubscriptionId, 0) {
		w.ok(err)
		w.events = append(w.events, raw.Raw)
	}
}

func appendLike(ctx context.Context, log event.Log, stream string, events []event.Raw) error {
	mine := slices.Clone(events)
	for i := range mine {
		mine[i].ID = event.ID(stream, "bench", i)
	}
	_, err := log.Append(ctx, stream, event.NoStream, mine...)
	return err
}

const echoMethod = "/ledger.test.Echo/Echo"

// newEcho serves a method that answers with its request.
func newEcho(b *testing.B) *grpc.ClientConn {
	b.Helper()
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "ledger.test.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				m := &ledgerv1.StartSubscriptionRequest{}
				return m, decode(m)
			}}},
	}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) })
	b.Cleanup(func() { server.Stop(); running.Wait() })
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}
