package esdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

// named is the connection string of a real server: the suite then runs on it, and what needs a server that fails on
// demand is left out, and listed at the end.
var named = os.Getenv("LEDGER_TEST_EVENTSTORE")

func TestMain(m *testing.M) { goleak.VerifyTestMain(listing{m}) }

// leftOut are the tests that need the double, as long as a real server is named, and of how many cases each is.
var leftOut struct {
	mu    sync.Mutex
	tests map[string]int
}

// listing runs tests and says which of them were left out.
type listing struct{ *testing.M }

func (l listing) Run() int {
	if err := reachNamed(); err != nil {
		fmt.Printf("the server that LEDGER_TEST_EVENTSTORE names cannot be used: %v\n", err)
		return 1
	}
	code := l.M.Run()
	if len(leftOut.tests) > 0 {
		fmt.Println("left out, because they need a server that fails on demand, with the number of cases in each:")
	}
	for _, name := range slices.Sorted(maps.Keys(leftOut.tests)) {
		fmt.Printf("\t%s %d\n", name, leftOut.tests[name])
	}
	return code
}

// reachNamed looks once whether a server that is named can be used: otherwise each test would wait for it.
func reachNamed() error {
	if named == "" {
		return nil
	}
	settings, err := Parse(named)
	if err != nil {
		return err
	}
	l, err := Open(Config{Settings: settings})
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return l.Check(ctx)
}

func TestLog(t *testing.T) {
	t.Parallel()
	if named != "" {
		storetest.Run(t, func(t *testing.T) event.Log { return open(t, named) }, storetest.Options{
			Shared: true, Short: true,
			Reopen: func(t *testing.T, l event.Log) event.Log { // the server goes on
				t.Helper()
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				return open(t, named)
			},
		})
		return
	}
	storetest.Run(t, func(t *testing.T) event.Log { return openOn(t, esdbtest.Start(t)) }, storetest.Options{
		Short: true,
		Reopen: func(t *testing.T, l event.Log) event.Log {
			t.Helper()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			server := l.(stored).server
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
			return openOn(t, server)
		},
	})
}

// stored is a log that knows its server.
type stored struct {
	*Log
	server *esdbtest.Server
}

func openOn(t testing.TB, s *esdbtest.Server) stored {
	t.Helper()
	return stored{open(t, s.URL()), s}
}

func open(t testing.TB, url string) *Log {
	t.Helper()
	settings, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Settings: settings, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// double is a server that fails on demand, and a log on it.
func double(t *testing.T, change ...func(*esdbtest.Config)) (*esdbtest.Server, *Log) {
	t.Helper()
	needsDouble(t)
	server := esdbtest.Start(t, change...)
	return server, open(t, server.URL())
}

func needsDouble(t *testing.T) {
	t.Helper()
	if named != "" {
		leftOut.mu.Lock()
		if leftOut.tests == nil {
			leftOut.tests = map[string]int{}
		}
		name, _, _ := strings.Cut(t.Name(), "/")
		leftOut.tests[name]++
		leftOut.mu.Unlock()
		t.Skip("this needs a server that fails on demand, not the one that LEDGER_TEST_EVENTSTORE names")
	}
	t.Parallel()
}

// raw makes n events with ids of their own.
func raw(n int) []event.Raw {
	events := make([]event.Raw, n)
	for i := range events {
		events[i] = event.Raw{ID: uuid.New(), Type: "payment_succeeded", Data: fmt.Appendf(nil, `{"n":%d}`, i), Metadata: []byte(`{"actor":"test"}`)}
	}
	return events
}

// fill appends n events to a stream at revision at, a hundred at a time.
func fill(t *testing.T, l event.Log, stream string, at event.Revision, n int) (all []event.Raw) {
	t.Helper()
	for len(all) < n {
		part := raw(min(100, n-len(all)))
		if _, err := l.Append(t.Context(), stream, at, part...); err != nil {
			t.Fatal(err)
		}
		all = append(all, part...)
		at += event.Revision(len(part))
	}
	return all
}

// wantStored checks what the server itself holds in a stream.
func wantStored(t *testing.T, s *esdbtest.Server, stream string, want ...event.Raw) {
	t.Helper()
	var got, ids []uuid.UUID
	for _, r := range s.Store().Records() {
		if r.Stream == stream {
			got = append(got, r.ID)
		}
	}
	for _, e := range want {
		ids = append(ids, e.ID)
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("the server holds in %s (-want +got):\n%s", stream, diff)
	}
}

func setMetadata(t *testing.T, s *esdbtest.Server, stream, json string) {
	t.Helper()
	if err := s.Store().SetMetadata(stream, json); err != nil {
		t.Fatal(err)
	}
}

func deleteStream(t *testing.T, s *esdbtest.Server, stream string) {
	t.Helper()
	if _, err := s.Store().Delete(stream, esdbtest.Any); err != nil {
		t.Fatal(err)
	}
}

// soon gives a context that ends long after everything that works has come to its end.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// listener is a follower that runs beside a test.
type listener struct {
	messages chan event.Message
	done     chan error
}

func follow(t *testing.T, l event.Log, after event.Cursor, categories ...string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(soon(t))
	f := &listener{messages: make(chan event.Message, 4096), done: make(chan error, 1)}
	go func() {
		defer close(f.messages)
		f.done <- l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
			select {
			case f.messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		for range f.messages {
			continue
		}
	})
	return f
}

// events takes messages until n events have come.
func (f *listener) events(t *testing.T, n int) (ids []uuid.UUID) {
	t.Helper()
	last := event.Position{}
	for m := range f.messages {
		if m.Position.Compare(last) < 0 {
			t.Fatalf("a message at %s came after one at %s", m.Position, last)
		}
		last = m.Position
		if m.Kind != event.KindEvent {
			continue
		}
		if ids = append(ids, m.Event.ID); len(ids) == n {
			return ids
		}
	}
	t.Fatalf("following ended after %d of %d events: %v", len(ids), n, <-f.done)
	return nil
}

// ended is what Follow answered.
func (f *listener) ended(t *testing.T) error {
	t.Helper()
	for range f.messages {
		continue
	}
	return <-f.done
}

func wantIDs(t *testing.T, got []uuid.UUID, want ...event.Raw) {
	t.Helper()
	var ids []uuid.UUID
	for _, e := range want {
		ids = append(ids, e.ID)
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func wantIs(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("got error %v, want %v", err, w)
		}
	}
}
