package ipn_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/projection"
)

// benchSenders are how many post at once: a Sender's own limit, and as many bare clients.
const benchSenders = 64

// BenchmarkDelivered compares a Sender, whose log and store are on disk and durable, with clients that post the same
// bodies to the same receiver and remember nothing. ratio is the Sender's speed over that.
func BenchmarkDelivered(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	config := benchConfig(b)
	due := fillLog(b, config, server.URL, b.N)
	body, err := config.Body(b.Context(), due)
	if err != nil {
		b.Fatal(err)
	}
	bare := postAll(b, server.URL, body.Encode(), b.N)

	sender := ipn.NewSender(config)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	began := time.Now()
	running.Go(func() {
		if err := sender.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	if err := sender.Idle(ctx); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	cancel()
	running.Wait()
	b.ReportMetric(float64(bare)/float64(took), "ratio")
	b.ReportMetric(float64(b.N)/took.Seconds(), "deliveries/s")
	b.ReportMetric(float64(b.N)/bare.Seconds(), "posts/s")
	b.ReportMetric(0, "ns/op") // of both together: says nothing
}

func benchConfig(b *testing.B) ipn.Config {
	b.Helper()
	log, err := sqlite.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	store, err := db.Open(filepath.Join(b.TempDir(), "work.db"), db.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return ipn.Config{
		Store: store,
		Source: ipn.Source{
			Log:       log,
			Endpoints: aggregate.NewRunner(log, endpoint.Type()),
			Merchants: aggregate.NewRunner(log, merchant.Type()),
		},
		Deliveries:   aggregate.NewRunner(log, delivery.Type()),
		Clock:        clock.Wall{},
		Logger:       slog.New(slog.DiscardHandler),
		Concurrency:  benchSenders,
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
}

// fillLog sells n times at as many merchants as keep all senders busy, makes the rows, and returns one of them.
func fillLog(b *testing.B, c ipn.Config, url string, n int) projection.DueDelivery {
	b.Helper()
	ctx := b.Context()
	const merchants = benchSenders / 4
	for m := range merchants {
		id := fmt.Sprintf("m%d", m)
		create := endpoint.Create{Merchant: id, ID: "shop", Settings: settings(), ZoneKnown: true, SigningSecret: signingSecret}
		create.Settings.Url = url
		if _, err := c.Endpoints.Do(ctx, endpoint.Stream(id, "shop"), aggregate.Request{ID: "create", At: today()}, create); err != nil {
			b.Fatal(err)
		}
	}
	sold := aggregatetest.Named(once)
	var left atomic.Int64
	left.Store(int64(n))
	var filling sync.WaitGroup
	for range benchSenders {
		filling.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				stream := fmt.Sprintf("subscription-m%d.s%d", i%merchants, i)
				if err := copyTo(ctx, c.Log, stream, sold); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	filling.Wait()
	makeRows(b, c)
	all, err := projection.DueDeliveries(ctx, c.Store, endpoint.Stream("m0", "shop"), time.Now(), 1)
	if err != nil || len(all) != 1 {
		b.Fatalf("due are %v (%v), want one", all, err)
	}
	return all[0]
}

// copyTo appends a history under another name.
func copyTo(ctx context.Context, log event.Log, stream string, h aggregatetest.History) error {
	raws := make([]event.Raw, len(h.Events))
	var prev []byte
	for i, e := range h.Events {
		c := proto.CloneOf(e.Event)
		raw, err := event.Encode(prev, stream, event.Revision(i), event.ID(stream, "copy", i), c)
		if err != nil {
			return err
		}
		raws[i], prev = raw, c.Metadata.Hash
	}
	_, err := log.Append(ctx, stream, event.NoStream, raws...)
	return err
}

// makeRows lets the projection catch up.
func makeRows(b *testing.B, c ipn.Config) {
	b.Helper()
	head, err := c.Log.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Store.Update(b.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(projection.CursorSchema)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	f := projection.NewFollower(c.Log, c.Store, projection.Deliveries())
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	if err := f.WaitFor(ctx, head); err != nil {
		b.Fatal(err)
	}
	cancel()
	running.Wait()
}

// postAll is the limit: clients that post and forget.
func postAll(b *testing.B, url string, body []byte, n int) time.Duration {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchSenders}}
	defer client.CloseIdleConnections()
	var left atomic.Int64
	left.Store(int64(n))
	var posting sync.WaitGroup
	began := time.Now()
	for range benchSenders {
		posting.Go(func() {
			for left.Add(-1) >= 0 {
				res, err := client.Post(url, "application/x-www-form-urlencoded", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	posting.Wait()
	return time.Since(began)
}
