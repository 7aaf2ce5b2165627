package esdb

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

// read reads a stream to its end.
func read(ctx context.Context, l event.Log, stream string, from event.Revision) (ids []uuid.UUID, err error) {
	for e, err := range l.Read(ctx, stream, from) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, e.ID)
	}
	return ids, nil
}

// TestReadAfterFaults: a reader gets every event once, whatever happens to the calls that bring them.
func TestReadAfterFaults(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{
		"not ready":                    esdbtest.NotReady,
		"no leader":                    esdbtest.NoLeader,
		"stream reset at once":         esdbtest.DropAfter(0),
		"stream reset in the middle":   esdbtest.DropAfter(100),
		"connection reset":             esdbtest.ResetAfter(150),
		"shut down in the middle":      esdbtest.UnavailableAfter(77),
		"an event twice":               esdbtest.Duplicate(20),
		"an event with a wrong number": esdbtest.WrongRevision(20),
		"an event left out":            esdbtest.Gap(20),
		"no answer":                    esdbtest.NoAnswer,
		"no more answers":              esdbtest.StallAfter(30),
	} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			l.cluster.settings.deadline = 500 * time.Millisecond
			want := fill(t, l, stream, event.NoStream, 600)
			server.Inject(esdbtest.Fault{Method: "Read", Times: 2, Do: fault})
			got, err := read(soon(t), l, stream, 0)
			if err != nil {
				t.Fatal(err)
			}
			wantIDs(t, got, want...)
		})
	}
}

// TestReadStalled: a server that stops in the middle does not keep a caller past his deadline.
func TestReadStalled(t *testing.T) {
	server, l := double(t)
	fill(t, l, stream, event.NoStream, 20)
	server.Inject(esdbtest.Fault{Method: "Read", Do: esdbtest.StallAfter(5)})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := read(ctx, l, stream, 0)
	wantIs(t, err, context.DeadlineExceeded)
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("answered after %v, want within 200 ms of the deadline", took)
	}
}

// TestReadDuringAnOutage: a reader without a deadline of his own is told after a while.
func TestReadDuringAnOutage(t *testing.T) {
	server, l := double(t)
	l.cluster.pace.patience = 500 * time.Millisecond
	fill(t, l, stream, event.NoStream, 3)
	server.Stop()
	_, err := read(soon(t), l, stream, 0)
	wantIs(t, err, event.ErrUnavailable)
	_, err = l.Head(soon(t))
	wantIs(t, err, event.ErrUnavailable)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	l.cluster.pace.patience = usual.patience
	if got, err := read(soon(t), l, stream, 0); err != nil || len(got) != 3 {
		t.Errorf("after the outage: %d events, %v; want 3", len(got), err)
	}
}

// TestReadOfLosses: a stream that does not begin at its beginning, or has no events any more, is no answer.
func TestReadOfLosses(t *testing.T) {
	for name, metadata := range map[string]string{
		"truncated":       `{"$tb":5}`,
		"truncated whole": `{"$tb":10}`,
		"counted":         `{"$maxCount":3}`,
	} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			fill(t, l, stream, event.NoStream, 10)
			setMetadata(t, server, stream, metadata)
			_, err := read(soon(t), l, stream, 0)
			wantIs(t, err, event.ErrChain)
		})
	}
}

// TestReadersLeaveNothing: readers who leave early leave neither goroutines nor calls at the server.
func TestReadersLeaveNothing(t *testing.T) {
	server, l := double(t)
	fill(t, l, stream, event.NoStream, 300)
	for i := range 300 {
		n := 0
		for _, err := range l.Read(t.Context(), stream, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n > i {
				break
			}
		}
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestHeadIsOfOurStreams: what the server writes for itself is no event of the ledger's.
func TestHeadIsOfOurStreams(t *testing.T) {
	server, l := double(t)
	if head, err := l.Head(t.Context()); err != nil || !head.IsZero() {
		t.Errorf("head of an empty log: %s, %v", head, err)
	}
	p, err := l.Append(t.Context(), stream, event.NoStream, raw(2)...)
	if err != nil {
		t.Fatal(err)
	}
	setMetadata(t, server, "subscription-m.2", `{"owner":"nobody"}`)
	for range 300 {
		setMetadata(t, server, "$stats-0.0.0.0:2113", `{}`)
	}
	if head, err := l.Head(t.Context()); err != nil || head != p {
		t.Errorf("head: %s, %v; want that of the last append, %s", head, err, p)
	}
	if errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
}
