package esdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

const benchWriters = 64

// bare is the protocol without the log: a connection and the stubs.
func bare(b *testing.B, server *esdbtest.Server) streams.StreamsClient {
	b.Helper()
	conn, err := grpc.NewClient(server.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return streams.NewStreamsClient(conn)
}

// BenchmarkAppend compares appends of 64 writers with the same calls made by the stubs alone, to the same server in
// turns. ratio is the log's speed over theirs; the server is the double, so neither figure says anything about
// EventStoreDB.
func BenchmarkAppend(b *testing.B) {
	server := esdbtest.Start(b)
	l, stubs := open(b, server.URL()), bare(b, server)
	var left atomic.Int64
	run := func(n int, each func(w int) error) time.Duration {
		left.Store(int64(n))
		var wg sync.WaitGroup
		began := time.Now()
		for w := range benchWriters {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := each(w); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	var ours, theirs [benchWriters]event.Revision
	for w := range benchWriters {
		ours[w], theirs[w] = event.NoStream, event.NoStream
	}
	var log, least time.Duration
	for done := 0; done < b.N; done += 4096 { // in turns, so that both meet the same weather
		n := min(4096, b.N-done)
		least += run(n, func(w int) error {
			at := theirs[w]
			theirs[w]++
			return stubAppend(stubs, fmt.Sprintf("subscription-stubs.%d", w), at, raw(1)[0])
		})
		log += run(n, func(w int) error {
			at := ours[w]
			ours[w]++
			_, err := l.Append(context.Background(), fmt.Sprintf("subscription-log.%d", w), at, raw(1)...)
			return err
		})
	}
	b.ReportMetric(float64(least)/float64(log), "ratio")
	b.ReportMetric(float64(b.N)/log.Seconds(), "appends/s")
	b.ReportMetric(float64(b.N)/least.Seconds(), "stubs/s")
	b.ReportMetric(0, "ns/op") // of both together: says nothing
}

func stubAppend(stubs streams.StreamsClient, stream string, at event.Revision, e event.Raw) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := stubs.Append(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(out.Send(appendHeader(stream, at)), out.Send(proposed(e))); err != nil {
		return err
	}
	answer, err := out.CloseAndRecv()
	if err == nil && answer.GetSuccess() == nil {
		err = errNonsense
	}
	return err
}

// BenchmarkFollow compares a follower that reads the log from its beginning with a subscription of the stubs alone.
func BenchmarkFollow(b *testing.B) {
	const events = 20_000
	server := esdbtest.Start(b)
	l, stubs := open(b, server.URL()), bare(b, server)
	for i := range events / 500 {
		if _, err := l.Append(b.Context(), "subscription-m.1", event.Revision(i*500-1), raw(500)...); err != nil {
			b.Fatal(err)
		}
	}
	var log, least time.Duration
	for b.Loop() {
		began := time.Now()
		stubFollow(b, stubs, events)
		least += time.Since(began)
		began = time.Now()
		n := 0
		enough := errors.New("enough")
		if err := l.Follow(b.Context(), []string{"subscription"}, event.Cursor{}, func(_ context.Context, m event.Message) error {
			if m.Kind == event.KindEvent {
				n++
			}
			if n == events {
				return enough
			}
			return nil
		}); !errors.Is(err, enough) {
			b.Fatal(err)
		}
		log += time.Since(began)
	}
	b.ReportMetric(float64(least)/float64(log), "ratio")
	b.ReportMetric(float64(events*b.N)/log.Seconds(), "events/s")
	b.ReportMetric(float64(events*b.N)/least.Seconds(), "stubs/s")
	b.ReportMetric(0, "ns/op")
}

func stubFollow(b *testing.B, stubs streams.StreamsClient, events int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	in, err := stubs.Read(ctx, subscribe(event.Position{}, streamFilter()))
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; n < events; {
		m, err := in.Recv()
		if err != nil {
			b.Fatal(err)
		}
		if m.GetEvent() != nil {
			n++
		}
	}
}
