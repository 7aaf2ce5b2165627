package esdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

const stream = "subscription-m.1"

// TestAppendAfterFaults: what happens to a try does not show: the append succeeds, and one copy is there.
func TestAppendAfterFaults(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{
		"not ready":                          esdbtest.NotReady,
		"too busy":                           esdbtest.TooBusy,
		"users not loaded":                   esdbtest.UsersNotLoaded,
		"aborted, not written":               esdbtest.AbortBefore,
		"aborted, and written":               esdbtest.AbortAfter,
		"no leader":                          esdbtest.NoLeader,
		"connection lost after the write":    esdbtest.AnswerLost,
		"stream reset after the write":       esdbtest.AnswerCut,
		"a leader named that is not there":   esdbtest.NotLeader("127.0.0.1", 1),
		"a leader named that cannot be read": esdbtest.NotLeader("no such host", 1),
	} {
		for _, times := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				server, l := double(t)
				before := fill(t, l, stream, event.NoStream, 3)
				server.Inject(esdbtest.Fault{Method: "Append", Times: times, Do: fault})
				events := raw(2)
				p, err := l.Append(soon(t), stream, 2, events...)
				if err != nil {
					t.Fatal(err)
				}
				wantStored(t, server, stream, append(before, events...)...)
				if head, err := l.Head(t.Context()); err != nil || head != p {
					t.Errorf("head is %s, %v; the append answered %s", head, err, p)
				}
				if calls := server.Calls("Append"); calls > 1+times+1 {
					t.Errorf("%d calls for an append of which %d tries failed", calls-1, times)
				}
			})
		}
	}
}

// TestAppendWithoutAnswer: nothing comes back, and the connection lives. The try is given up, and made again.
func TestAppendWithoutAnswer(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{"not written": esdbtest.NoAnswer, "written": esdbtest.NoAnswerAfter} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			l.cluster.settings.deadline = 200 * time.Millisecond
			server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: fault})
			events := raw(2)
			if _, err := l.Append(soon(t), stream, event.NoStream, events...); err != nil {
				t.Fatal(err)
			}
			wantStored(t, server, stream, events...)
		})
	}
}

// TestAppendWhole: however a connection ends, a server does not take the first events of an append for all of it.
func TestAppendWhole(t *testing.T) {
	server, l := double(t)
	const writers, appends, size = 8, 60, 20
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range appends {
				if _, err := l.Append(soon(t), fmt.Sprintf("subscription-m.%d_%d", w, i), event.NoStream, raw(size)...); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	for i := 1; i <= writers*appends/4; i++ { // between calls, and so in the middle of some
		if err := server.AwaitCalls(soon(t), "Append", 4*i); err != nil {
			t.Fatal(err)
		}
		cut, err := server.GoAway()
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			cut()
		}
	}
	writing.Wait()
	stands := map[string]int{}
	for _, r := range server.Store().Records() {
		stands[r.Stream]++
	}
	for stream, n := range stands {
		if stream[0] != '$' && n != size {
			t.Errorf("%s holds %d events of an append of %d", stream, n, size)
		}
	}
}

// TestAppendIsNotHurried: a server that fails all the time is not asked all the time.
func TestAppendIsNotHurried(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{"aborted": esdbtest.AbortBefore, "not ready": esdbtest.NotReady} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			fill(t, l, stream, event.NoStream, 1)
			server.Inject(esdbtest.Fault{Method: "Append", Do: fault})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := l.Append(ctx, stream, 0, raw(1)...)
			wantIs(t, err, event.ErrUnknownOutcome, context.DeadlineExceeded)
			if calls := server.Calls("Append"); calls < 4 || calls > 40 {
				t.Errorf("got %d tries in two seconds, want some, with growing pauses", calls)
			}
			if n := server.Connections(); n > 3 {
				t.Errorf("%d connections are open, want those before the last closed", n)
			}
		})
	}
}

// TestAppendDuringAnOutage: callers hear of it when their time is up, and what they hear is true.
func TestAppendDuringAnOutage(t *testing.T) {
	server, l := double(t)
	before := fill(t, l, stream, event.NoStream, 1)
	server.Stop()
	for i, want := range []error{event.ErrUnknownOutcome, event.ErrUnavailable} { // the first goes out on a connection that is dead
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		began := time.Now()
		_, err := l.Append(ctx, stream, 0, raw(1)...)
		late := time.Since(began) - time.Second
		cancel()
		wantIs(t, err, context.DeadlineExceeded)
		if !errors.Is(err, want) && !(i == 0 && errors.Is(err, event.ErrUnavailable)) {
			t.Errorf("append %d: got error %v, want %v", i, err, want)
		}
		if late > 200*time.Millisecond {
			t.Errorf("append %d: answered %v after its deadline", i, late)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	events := raw(1)
	if _, err := l.Append(soon(t), stream, 0, events...); err != nil {
		t.Fatal(err)
	}
	wantStored(t, server, stream, append(before, events...)...)
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	if l.cluster.failures != 0 {
		t.Errorf("%d failures still count, want that the next outage begins with short pauses", l.cluster.failures)
	}
}

// TestAppendRefused: the server says no while the events are still on their way.
func TestAppendRefused(t *testing.T) {
	for name, fault := range map[string]esdbtest.Action{"denied": esdbtest.Denied, "unauthenticated": esdbtest.Unauthenticated} {
		t.Run(name, func(t *testing.T) {
			server, l := double(t)
			server.Inject(esdbtest.Fault{Method: "Append", Do: fault})
			many := raw(300)
			for i := range many {
				many[i].Data = make([]byte, 3000)
			}
			_, err := l.Append(soon(t), stream, event.NoStream, many...)
			wantIs(t, err, event.ErrUnavailable, ErrRefused)
			if errors.Is(err, event.ErrUnknownOutcome) {
				t.Errorf("got %v, want that nothing was written", err)
			}
			wantStored(t, server, stream)
		})
	}
}

// TestAppendAfterAnUnknownTry: what came before decides what a refusal means.
func TestAppendAfterAnUnknownTry(t *testing.T) {
	server, l := double(t)
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: esdbtest.AnswerCut})
	server.Inject(esdbtest.Fault{Method: "Append", Do: esdbtest.Denied})
	_, err := l.Append(soon(t), stream, event.NoStream, raw(1)...)
	wantIs(t, err, event.ErrUnknownOutcome, ErrRefused)
}

// TestAppendResolvesItsOwnConflict: the first try was written and its answer lost; by the time of the second, the server
// no longer knows it again.
func TestAppendResolvesItsOwnConflict(t *testing.T) {
	server, l := double(t)
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: esdbtest.AnswerCut})
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: esdbtest.Conflict(1)})
	events := raw(2)
	p, err := l.Append(soon(t), stream, event.NoStream, events...)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := l.Head(t.Context()); err != nil || head != p {
		t.Errorf("head is %s, %v; the append answered %s", head, err, p)
	}
	wantStored(t, server, stream, events...)
}

// TestAppendConflictAfterAnUnknownTry: somebody else was there first.
func TestAppendConflictAfterAnUnknownTry(t *testing.T) {
	server, l := double(t)
	other := open(t, server.URL())
	gate := esdbtest.NewGate()
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: gate.Before})
	l.cluster.settings.deadline = 300 * time.Millisecond
	answer := make(chan error, 1)
	go func() {
		_, err := l.Append(soon(t), stream, event.NoStream, raw(2)...)
		answer <- err
	}()
	<-gate.Arrived()
	theirs := fill(t, other, stream, event.NoStream, 3)
	err := <-answer
	var conflict *event.WrongRevisionError
	if !errors.As(err, &conflict) || conflict.Actual != 2 || conflict.Expected != event.NoStream {
		t.Errorf("got error %v, want a conflict with revision 2", err)
	}
	gate.Open()
	wantStored(t, server, stream, theirs...)
}

// TestAppendCancelled: a caller who goes leaves an unknown outcome, and the same append settles it.
func TestAppendCancelled(t *testing.T) {
	server, l := double(t)
	gate := esdbtest.NewGate()
	server.Inject(esdbtest.Fault{Method: "Append", Times: 1, Do: gate.Late})
	ctx, cancel := context.WithCancel(t.Context())
	events := raw(2)
	answer := make(chan error, 1)
	go func() {
		_, err := l.Append(ctx, stream, event.NoStream, events...)
		answer <- err
	}()
	<-gate.Arrived()
	cancel()
	wantIs(t, <-answer, event.ErrUnknownOutcome, context.Canceled)
	gate.Open() // now it is written, too late for anybody to hear
	if _, err := l.Append(soon(t), stream, event.NoStream, events...); err != nil {
		t.Fatal(err)
	}
	wantStored(t, server, stream, events...)
}

// TestAppendToADeletedStream: the server takes up a deleted stream where it ended. That is a loss, and no success.
func TestAppendToADeletedStream(t *testing.T) {
	server, l := double(t)
	fill(t, l, stream, event.NoStream, 3)
	deleteStream(t, server, stream)
	_, err := l.Append(soon(t), stream, event.NoStream, raw(1)...)
	wantIs(t, err, event.ErrChain)
	if errors.Is(err, event.ErrUnavailable) || errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want an error that does not ask for a repetition", err)
	}
}

// TestCloseDuringAppend: whoever waits is let go.
func TestCloseDuringAppend(t *testing.T) {
	server, l := double(t)
	gate := esdbtest.NewGate()
	server.Inject(esdbtest.Fault{Method: "Append", Do: gate.Before})
	answers := make(chan error, 20)
	for i := range cap(answers) {
		go func() {
			_, err := l.Append(context.WithoutCancel(t.Context()), fmt.Sprintf("%s.%d", stream, i), event.NoStream, raw(1)...)
			answers <- err
		}()
	}
	<-gate.Arrived()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(answers) {
		if err := <-answers; !errors.Is(err, event.ErrClosed) {
			t.Errorf("got error %v, want ErrClosed", err)
		}
	}
	gate.Open()
}

// TestManyAppends: more calls than a connection carries at a time wait for each other, and all come through.
func TestManyAppends(t *testing.T) {
	server, l := double(t)
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			if _, err := l.Append(soon(t), fmt.Sprintf("%s.%d", stream, i), event.NoStream, raw(1)...); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
