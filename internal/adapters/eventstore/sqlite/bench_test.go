package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/aggregate/event"
)

const benchWriters = 64

// BenchmarkAppend compares the log with the least that could keep the same promise: 64 waiting writers whose rows,
// of the same schema, are committed in groups by a loop that checks nothing. ratio is the log's speed over that.
func BenchmarkAppend(b *testing.B) {
	l := openTest(b, b.TempDir())
	var of [benchWriters]event.Revision
	for i := range of {
		of[i] = event.NoStream
	}
	run := func(n int, each func(w int, e event.Raw)) time.Duration {
		var left atomic.Int64
		left.Store(int64(n))
		events := raw(n, 500)
		var wg sync.WaitGroup
		began := time.Now()
		for w := range benchWriters {
			wg.Go(func() {
				for i := left.Add(-1); i >= 0; i = left.Add(-1) {
					each(w, events[i])
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	g := newRawGroup(b)
	var log, least time.Duration
	for done := 0; done < b.N; done += 4096 { // in turns, so that both meet the same weather
		n := min(4096, b.N-done)
		least += run(n, func(w int, e event.Raw) { g.append(fmt.Sprintf("subscription-merchant.%d", w), e) })
		log += run(n, func(w int, e event.Raw) {
			if _, err := l.Append(context.Background(), fmt.Sprintf("subscription-merchant.%d", w), of[w], e); err != nil {
				b.Error(err)
			}
			of[w]++
		})
	}
	b.ReportMetric(float64(least)/float64(log), "ratio")
	b.ReportMetric(float64(b.N)/log.Seconds(), "appends/s")
	b.ReportMetric(float64(b.N)/least.Seconds(), "raw/s")
	b.ReportMetric(0, "ns/op") // of both together: says nothing
}

// rawGroup commits whatever waits and checks nothing.
type rawGroup struct {
	queue chan rawAppend
}

type rawAppend struct {
	stream string
	event  event.Raw
	done   chan struct{}
}

func newRawGroup(b *testing.B) *rawGroup {
	d, err := db.Open(filepath.Join(b.TempDir(), "raw.db"), db.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var t *table
	if err := d.Raw(b.Context(), func(c driver.Conn) (err error) { t, err = prepare(c); return err }); err != nil {
		b.Fatal(err)
	}
	g := &rawGroup{queue: make(chan rawAppend, benchWriters)}
	stopped := make(chan struct{})
	b.Cleanup(func() {
		close(g.queue)
		<-stopped
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	go func() {
		defer close(stopped)
		var n int64
		revisions := map[string]event.Revision{}
		for first := range g.queue {
			waiting := []rawAppend{first}
			runtime.Gosched() // as the log does: those who were just answered come back
			for more := true; more; {
				select {
				case a := <-g.queue:
					waiting = append(waiting, a)
				default:
					more = false
				}
			}
			if err := d.Raw(context.Background(), func(driver.Conn) error {
				if err := t.begin(); err != nil {
					return err
				}
				for _, a := range waiting {
					n++
					row := [1]event.RawRecorded{{Stream: a.stream, Revision: revisions[a.stream], Position: position(uint64(n)), Raw: a.event}}
					revisions[a.stream]++
					if err := t.insert(row[:]); err != nil {
						return err
					}
				}
				return t.commit()
			}); err != nil {
				b.Error(err)
			}
			for _, a := range waiting {
				close(a.done)
			}
		}
	}()
	return g
}

func (g *rawGroup) append(stream string, e event.Raw) {
	a := rawAppend{stream, e, make(chan struct{})}
	g.queue <- a
	<-a.done
}

// BenchmarkAppendAlone is the latency of an append that nobody else shares a flush with.
func BenchmarkAppendAlone(b *testing.B) {
	l := openTest(b, b.TempDir())
	b.ReportAllocs()
	at := event.NoStream
	for b.Loop() {
		if _, err := l.Append(b.Context(), "subscription-merchant.1", at, raw(1, 500)...); err != nil {
			b.Fatal(err)
		}
		at++
	}
}

// BenchmarkReadTail is what a command on a stream that is known pays to see that nothing was added.
func BenchmarkReadTail(b *testing.B) {
	l := openTest(b, b.TempDir())
	for i := range 20 {
		if _, err := l.Append(b.Context(), "subscription-merchant.1", event.Revision(i*500-1), raw(500, 200)...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range l.Read(b.Context(), "subscription-merchant.1", 10_000) {
			b.Fatal("an event or", err)
		}
	}
}

// BenchmarkFollow is the rate at which a follower reads the log from its beginning.
func BenchmarkFollow(b *testing.B) {
	l := openTest(b, b.TempDir())
	const events = 20_000
	for i := range events / 500 {
		if _, err := l.Append(b.Context(), "subscription-merchant.1", event.Revision(i*500-1), raw(500, 500)...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		ctx, cancel := context.WithCancel(b.Context())
		err := l.Follow(ctx, []string{"subscription"}, event.Cursor{}, func(_ context.Context, m event.Message) error {
			if m.Kind == event.KindCaughtUp {
				cancel()
			}
			return nil
		})
		if ctx.Err() == nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}
