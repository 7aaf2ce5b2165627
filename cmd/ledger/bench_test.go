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
	ctx, stop := context.WithCancel(context.Background())
	s, err := open(ctx, config{
		DataDir: b.TempDir(), GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0",
	}, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.seed(ctx)
	}
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	conn, err := grpc.NewClient(s.grpc.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
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

// BenchmarkStartToTold is the rate at which subscriptions are started, charged and told to the merchant, everything
// running, from the first start to the last notification, beside the rate at which the same server answers calls that
// do nothing.
func BenchmarkStartToTold(b *testing.B) {
	const callers = 64
	w := newBenched(b)
	merchant := w.newTold()
	health := grpc_health_v1.NewHealthClient(w.conn)
	together := func(n int, call func() error) time.Duration {
		var next atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for range callers {
			all.Go(func() {
				for next.Add(1) <= int64(n) {
					if err := call(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
	const round = 32 * callers
	var rounds int
	var idle, sold time.Duration
	for b.Loop() { // in turns, so that both meet the same weather
		rounds++
		idle += together(round, func() error {
			_, err := health.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
			return err
		})
		heard := make([]<-chan time.Time, round)
		var started atomic.Int64
		began := time.Now()
		together(round, func() error {
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
