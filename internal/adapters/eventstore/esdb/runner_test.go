package esdb

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
)

// TestRequestIsDoneOnce: whatever happens to the append of a command, its request is done once, and asked again, by this
// ledger or by another one, it is answered from what it did.
func TestRequestIsDoneOnce(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{
		"aborted, not written":             esdbtest.AbortBefore,
		"aborted, and written":             esdbtest.AbortAfter,
		"not ready":                        esdbtest.NotReady,
		"no leader":                        esdbtest.NoLeader,
		"not the leader":                   esdbtest.NotLeader("127.0.0.1", 1),
		"connection lost after the write":  esdbtest.AnswerLost,
		"stream reset after the write":     esdbtest.AnswerCut,
		"no answer, not written":           esdbtest.NoAnswer,
		"no answer, and written":           esdbtest.NoAnswerAfter,
		"a conflict with what was written": esdbtest.Conflict(0),
	} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			l.cluster.settings.deadline = 300 * time.Millisecond
			times := 2
			if name == "a conflict with what was written" { // after a try that was
				server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: esdbtest.AnswerCut})
				times = 1
			}
			server.Inject(esdbtest.Fault{Method: "Append", Times: times, Do: fault})
			stream := merchant.Stream("shop")
			request := aggregate.Request{ID: "create-1", Hash: sha256.Sum256([]byte("create")), Actor: "test", At: time.Now()}
			command := merchant.Create{ID: "shop", Settings: merchant.Settings{Name: "A shop"}, ZoneKnown: true}

			first, err := aggregate.NewRunner(l, merchant.Type()).Do(t.Context(), stream, request, command)
			if err != nil || first.Replayed {
				t.Fatalf("done: replayed %v, %v", first.Replayed, err)
			}
			other := open(t, server.URL())
			request.At = request.At.Add(time.Hour)
			again, err := aggregate.NewRunner(other, merchant.Type()).Do(t.Context(), stream, request, command)
			if err != nil || !again.Replayed || again.Events[0].ID != first.Events[0].ID {
				t.Errorf("asked again: replayed %v, %v; want the answer of the first time", again.Replayed, err)
			}
			request.Hash = sha256.Sum256([]byte("another"))
			var reused *aggregate.Error
			if _, err := aggregate.NewRunner(other, merchant.Type()).Do(t.Context(), stream, request, command); !errors.As(err, &reused) || reused.Reason != "IDEMPOTENCY_KEY_REUSED" {
				t.Errorf("another request of the same id: got error %v, want IDEMPOTENCY_KEY_REUSED", err)
			}
			if n := len(server.Store().Records()); countOf(server, stream) != 1 {
				t.Errorf("the log holds %d events, want one of %s", n, stream)
			}
		})
	}
}

func countOf(s *esdbtest.Server, stream string) (n int) {
	for _, r := range s.Store().Records() {
		if r.Stream == stream {
			n++
		}
	}
	return n
}

// TestCrashAfterTheAppend: the ledger goes down between the append and its answer. The next one, asked the same, finds
// what was done; asked something else, it decides on top of it.
func TestCrashAfterTheAppend(t *testing.T) {
	server, l := double(t)
	gate := esdbtest.NewGate()
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: gate.After})
	stream := merchant.Stream("shop")
	request := aggregate.Request{ID: "create-1", Actor: "test", At: time.Now()}
	command := merchant.Create{ID: "shop", Settings: merchant.Settings{Name: "A shop"}, ZoneKnown: true}
	answer := make(chan error, 1)
	go func() {
		_, err := aggregate.NewRunner(l, merchant.Type()).Do(t.Context(), stream, request, command)
		answer <- err
	}()
	<-gate.Arrived()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantIs(t, <-answer, event.ErrUnknownOutcome, event.ErrClosed)
	gate.Open()
	next := aggregate.NewRunner(open(t, server.URL()), merchant.Type())
	again, err := next.Do(t.Context(), stream, request, command)
	if err != nil || !again.Replayed {
		t.Errorf("after the crash: replayed %v, %v; want the answer of what was done", again.Replayed, err)
	}
	request.ID = "create-2"
	var exists *aggregate.Error
	if _, err := next.Do(t.Context(), stream, request, command); !errors.As(err, &exists) {
		t.Errorf("another request: got error %v, want that the merchant exists", err)
	}
	if n := countOf(server, stream); n != 1 {
		t.Errorf("the log holds %d events of the merchant, want 1", n)
	}
}
