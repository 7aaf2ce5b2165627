package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// BenchmarkStart is how long "ledger serve" takes from its start as a process until it is ready, on each log, with many
// events that everybody has seen: LEDGER_BENCH_EVENTS, 20000 if it is not set. The limit is 2 s with a million of them.
func BenchmarkStart(b *testing.B) {
	events := 20_000
	if text := os.Getenv("LEDGER_BENCH_EVENTS"); text != "" {
		var err error
		if events, err = strconv.Atoi(text[strings.LastIndex(text, ",")+1:]); err != nil {
			b.Fatalf("LEDGER_BENCH_EVENTS: %v", err)
		}
	}
	eachLog(b, func(b *testing.B, server *esdbtest.Server) {
		at := served{dir: b.TempDir(), server: server}
		if err := at.fill(events); err != nil {
			b.Fatal(err)
		}
		var took []time.Duration
		for b.Loop() {
			took = append(took, at.timeToReady(b))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(events), "events")
		b.ReportMetric(float64(quantile(took, 50).Milliseconds()), "p50-ms")
		b.ReportMetric(float64(slices.Max(took).Milliseconds()), "max-ms")
	})
}

// served is where a ledger lives that is started again and again.
type served struct {
	dir    string
	server *esdbtest.Server // nil if the log is in dir
}

func (a served) config() config {
	cfg := config{DataDir: a.dir, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	if a.server != nil {
		cfg.Log = a.server.URL()
	}
	return cfg
}

// filling is where the events go.
func (a served) filling(log event.Log) event.Log {
	if a.server == nil {
		return log
	}
	return storeLog{log, a.server.Store()}
}

// storeLog appends to the log of a server without asking the server, which is quicker.
type storeLog struct {
	event.Log
	store *esdbtest.Store
}

// Append implements event.Log.
func (l storeLog) Append(_ context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	all := make([]esdbtest.Proposed, len(events))
	for i, e := range events {
		all[i] = esdbtest.Proposed{ID: e.ID, Type: e.Type, ContentType: "application/json", Data: e.Data, Metadata: e.Metadata}
	}
	_, err := l.store.Append(stream, esdbtest.Expected(at), all)
	return event.Position{}, err // nobody asks
}

// fill makes the log long; the views have all of it, and nothing is left to do.
func (a served) fill(events int) error {
	ctx, cfg := context.Background(), a.config()
	s, err := open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.run(running) }()
	err = s.idle(ctx) // every follower has its cursor
	stop()
	if err := errors.Join(err, <-ended, s.close()); err != nil {
		return err
	}
	s = newService(cfg, slog.New(slog.DiscardHandler))
	if err := s.openStores(ctx); err != nil {
		return err
	}
	defer s.close()
	if err := aggregatetest.Fill(ctx, a.filling(s.log), events); err != nil {
		return err
	}
	if _, err := (projection.Rebuild{Log: s.log, Store: s.views, Views: projection.Views()}).Run(ctx); err != nil {
		return err
	}
	head, err := s.log.Head(ctx)
	if err != nil {
		return err
	}
	return s.work.Update(ctx, func(tx projection.Tx) error {
		n, err := tx.Exec(`UPDATE cursors SET commit_pos = $1, prepare_pos = $2, last_commit = 0, last_prepare = 0, last_id = ''`,
			int64(head.Commit), int64(head.Prepare))
		if err == nil && n == 0 {
			err = errors.New("no follower has a cursor")
		}
		return err
	})
}

// timeToReady starts a ledger, waits until it says that it is ready, and ends it.
func (a served) timeToReady(b *testing.B) time.Duration {
	b.Helper()
	cmd := exec.Command("ledger", "serve", "--data-dir="+a.dir, "--log="+a.config().Log, "--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0")
	cmd.Env = []string{"HOME=" + a.dir} // what is set for the benchmark is no setting of the ledger's
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	err = ready(bufio.NewReader(out))
	took := time.Since(began)
	err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// ready asks until the answer is yes.
func ready(out *bufio.Reader) error {
	line, err := out.ReadString('\n')
	if err != nil {
		return err
	}
	at := regexp.MustCompile(`admin (\S+),`).FindStringSubmatch(line)
	if at == nil {
		return fmt.Errorf("it said %q", line)
	}
	for status := 0; status != http.StatusOK; time.Sleep(time.Millisecond) {
		answer, err := http.Get(at[1] + "/readyz")
		if err != nil {
			return err
		}
		answer.Body.Close()
		status = answer.StatusCode
	}
	return nil
}
