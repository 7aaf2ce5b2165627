package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// benched is a whole ledger in this process, everything in it running, called over gRPC on loopback.
type benched struct {
	b             *testing.B
	service       *service
	conn          *grpc.ClientConn
	subscriptions ledgerv1.SubscriptionServiceClient
	names         atomic.Int64
}

func newBenched(b *testing.B) *benched {
	b.Helper()
	return openBenched(b, "", (*service).run)
}

// openBenched opens a ledger on a log, of which run is what runs.
func openBenched(b *testing.B, log string, run func(*service, context.Context) error) *benched {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := open(ctx, config{
		DataDir: b.TempDir(), Log: log, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0",
	}, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.seed(ctx)
	}
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(s, ctx) }()
	conn, err := grpc.NewClient(s.grpc.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(letIn))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		err := conn.Close()
		stop()
		if err := errors.Join(err, <-ended, s.close()); err != nil {
			b.Error(err)
		}
	})
	return &benched{b: b, service: s, conn: conn, subscriptions: ledgerv1.NewSubscriptionServiceClient(conn)}
}

// eachLog measures with the log where it may be: in the data directory, where server is nil, or on a double of
// EventStoreDB in this process, which writes to memory. How the two compare says nothing about EventStoreDB.
func eachLog(b *testing.B, f func(b *testing.B, server *esdbtest.Server)) {
	b.Run(logSQLite, func(b *testing.B) { f(b, nil) })
	b.Run(logESDB, func(b *testing.B) { f(b, esdbtest.Start(b)) })
}

func (w *benched) ok(err error) {
	w.b.Helper()
	if err != nil {
		w.b.Fatal(err)
	}
}

// start sells something once. Its order names it in the notification.
func (w *benched) start(ctx context.Context, id string) error {
	_, err := w.subscriptions.StartSubscription(ctx, &ledgerv1.StartSubscriptionRequest{
		MerchantId: firstMerchant, RequestId: id,
		Start: &ledgerv1.StartRequest{
			SubscriptionId: id, ConnectionId: firstConnection, PaymentMethodToken: "tok_ok",
			Buyer: &ledgerv1.Buyer{Id: id, FirstName: "Ada", Email: "ada@example.com"},
			Terms: &ledgerv1.Terms{ProductId: "p1", ProductName: "Course", PricePoint: 1,
				Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING, Period: ledgerv1.Period_PERIOD_MONTHLY,
				Regular: &ledgerv1.Amounts{Base: demoMoney("USD", 4700)}},
		},
	})
	return err
}

func (w *benched) name() string { return fmt.Sprintf("s%d", w.names.Add(1)) }

// quantile is the duration that so many percent do not exceed.
func quantile(d []time.Duration, percent int) time.Duration {
	slices.Sort(d)
	return d[(len(d)-1)*percent/100]
}

// told is a merchant who remembers when he heard of which subscription.
type told struct {
	mu sync.Mutex
	of map[string]chan time.Time
}

// expect is where the time comes at which the merchant hears of a subscription.
func (r *told) expect(id string) <-chan time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan time.Time, 1)
	r.of[id] = c
	return c
}

// ServeHTTP takes a notification.
func (r *told) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(req.Body)
	form, formErr := url.ParseQuery(string(body))
	if err != nil || formErr != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.of[form.Get("transaction_subscription_id")] <- now:
	default: // told again
	}
}

// newTold makes the merchant listen.
func (w *benched) newTold() *told {
	w.b.Helper()
	r := &told{of: map[string]chan time.Time{}}
	server := httptest.NewServer(r)
	w.b.Cleanup(server.Close)
	_, err := ledgerv1.NewEndpointServiceClient(w.conn).CreateEndpoint(context.Background(), &ledgerv1.CreateEndpointRequest{
		RequestId: "e", MerchantId: firstMerchant, EndpointId: "shop", Settings: &ledgerv1.EndpointSettings{Url: server.URL},
	})
	w.ok(err)
	return r
}

// benchCallers call at once.
const benchCallers = 64

// together has all callers make n calls.
func (w *benched) together(n int, call func() error) time.Duration {
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range benchCallers {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := call(); err != nil {
					w.b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

// echo is a call that does nothing.
func (w *benched) echo() error {
	_, err := grpc_health_v1.NewHealthClient(w.conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
	return err
}

// BenchmarkCommands is the rate at which commands of many callers are done, with nobody following the log, beside the
// rate at which the same server answers calls that do nothing, and beside bare appends of the same events to the same
// log.
func BenchmarkCommands(b *testing.B) {
	eachLog(b, func(b *testing.B, server *esdbtest.Server) {
		w := openBenched(b, served{server: server}.config().Log, func(s *service, ctx context.Context) error {
			s.admit()
			return s.rpc.Run(ctx, s.grpc)
		})
		command := func() error { return w.start(context.Background(), w.name()) }
		raw := w.appends()
		const round = 16 * benchCallers
		w.together(round, w.echo) // connections and caches warm up
		w.together(round, command)
		var rounds int
		var idle, done, appended time.Duration
		for b.Loop() { // in turns, so that all meet the same weather
			rounds++
			idle += w.together(round, w.echo)
			done += w.together(round, command)
			appended += w.together(round, raw)
		}
		rate := func(d time.Duration) float64 { return float64(rounds*round) / d.Seconds() }
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(rate(done), "commands/s")
		b.ReportMetric(rate(idle), "echo/s")
		b.ReportMetric(rate(appended), "appends/s")
		b.ReportMetric(float64(idle)/float64(done), "of-echo")
		b.ReportMetric(float64(appended)/float64(done), "of-appends")
	})
}

// appends makes a call that appends what one start does, to a stream of its own each time.
func (w *benched) appends() func() error {
	w.b.Helper()
	ctx := context.Background()
	w.ok(w.start(ctx, "sample"))
	var sample []event.Raw
	for e, err := range w.service.log.Read(ctx, subscription.Stream(firstMerchant, "sample"), 0) {
		w.ok(err)
		sample = append(sample, e.Raw)
	}
	return func() error {
		stream := subscription.Stream(firstMerchant, "raw"+w.name())
		events := slices.Clone(sample)
		for i := range events {
			events[i].ID = event.ID(stream, "bench", i)
		}
		_, err := w.service.log.Append(ctx, stream, event.NoStream, events...)
		return err
	}
}

// BenchmarkStartToTold is the rate at which subscriptions are started, charged and told to the merchant, everything
// running, from the first start to the last notification, beside the rate at which the same server answers calls that
// do nothing.
func BenchmarkStartToTold(b *testing.B) {
	w := newBenched(b)
	merchant := w.newTold()
	const round = 32 * benchCallers
	var rounds int
	var idle, sold time.Duration
	for b.Loop() { // in turns, so that both meet the same weather
		rounds++
		idle += w.together(round, w.echo)
		heard := make([]<-chan time.Time, round)
		var started atomic.Int64
		began := time.Now()
		w.together(round, func() error {
			id := w.name()
			heard[started.Add(1)-1] = merchant.expect(id)
			return w.start(context.Background(), id)
		})
		for _, h := range heard {
			<-h
		}
		sold += time.Since(began)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(rounds*round)/sold.Seconds(), "told/s")
	b.ReportMetric(float64(idle)/float64(sold), "of-echo")
}

// BenchmarkToldLatency is how long it takes from a command to its notification where nothing else happens.
func BenchmarkToldLatency(b *testing.B) {
	w := newBenched(b)
	merchant := w.newTold()
	var took []time.Duration
	for b.Loop() {
		id := w.name()
		heard := merchant.expect(id)
		began := time.Now()
		w.ok(w.start(context.Background(), id))
		took = append(took, (<-heard).Sub(began))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(quantile(took, 50).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(quantile(took, 99).Microseconds())/1000, "p99-ms")
}
