package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
)

// tally is an aggregate that keeps what was said to it.
type tally struct{ said []string }

func tallies() aggregate.Type[tally] {
	return aggregate.Type[tally]{
		Category: "tally",
		New:      func() tally { return tally{} },
		Evolve: func(s tally, e *ledgerv1.Event) tally {
			return tally{said: append(slices.Clip(s.said), e.GetBuyerUpdated().GetBuyerId())}
		},
	}
}

// say appends one event per word.
type say []string

func (c say) Decide(tally) ([]*ledgerv1.Event, error) {
	var events []*ledgerv1.Event
	for _, word := range c {
		events = append(events, said(word))
	}
	return events, nil
}

// decide is a command made of a function.
type decide func(tally) ([]*ledgerv1.Event, error)

func (c decide) Decide(s tally) ([]*ledgerv1.Event, error) { return c(s) }

func said(word string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_BuyerUpdated{BuyerUpdated: &ledgerv1.BuyerUpdated{BuyerId: word}}}
}

const stream = "tally-acme.t1"

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func request(id string) aggregate.Request {
	return aggregate.Request{ID: id, Hash: [32]byte{1}, Actor: "api", At: noon}
}

func newRunner(log event.Log) *aggregate.Runner[tally] { return aggregate.NewRunner(log, tallies()) }

func do(t *testing.T, r *aggregate.Runner[tally], q aggregate.Request, c aggregate.Command[tally]) aggregate.Result[tally] {
	t.Helper()
	res, err := r.Do(t.Context(), stream, q, c)
	if err != nil {
		t.Fatalf("%s: %v", q.ID, err)
	}
	return res
}

// stored reads the stream and verifies its hash chain.
func stored(t *testing.T, log event.Log) []event.Recorded {
	t.Helper()
	var all []event.Recorded
	var prev []byte
	for raw, err := range log.Read(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if prev, err = event.VerifyChain(prev, raw); err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func words(all []event.Recorded) (ws []string) {
	for _, e := range all {
		ws = append(ws, e.GetBuyerUpdated().GetBuyerId())
	}
	return ws
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform(), cmp.AllowUnexported(tally{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func reason(err error) string {
	var e *aggregate.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return fmt.Sprint(err)
}

func TestDoAppends(t *testing.T) {
	t.Parallel()
	log := memory.New()
	r := newRunner(log)
	cause := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	q := request("r1")
	q.At, q.Cause = noon.Add(1234567*time.Nanosecond), cause
	do(t, r, request("r0"), say{"x"})
	res := do(t, r, q, say{"a", "b"})

	expect(t, "state", res.State, tally{said: []string{"x", "a", "b"}})
	expect(t, "revision", res.Revision, event.Revision(2))
	expect(t, "replayed", res.Replayed, false)
	expect(t, "position", res.Position(), event.Position{Commit: 3, Prepare: 3})
	all := stored(t, log)
	expect(t, "answered events", res.Events, all[1:])
	for i, e := range all[1:] {
		expect(t, "id", e.ID, event.ID(stream, "r1", i))
		m := e.Metadata
		expect(t, "recorded_at", m.RecordedAt.AsTime(), noon.Add(1234*time.Microsecond))
		expect(t, "occurred_at", m.OccurredAt.AsTime(), noon.Add(1234*time.Microsecond))
		expect(t, "actor", m.Actor, "api")
		expect(t, "causation", m.Causation, cause.String())
		expect(t, "request_hash", [32]byte(m.RequestHash), [32]byte{1})
		expect(t, "due_at of a type without Due", m.DueAt == nil, true)
	}
}

func TestDoReplays(t *testing.T) {
	t.Parallel()
	for _, cold := range []bool{false, true} {
		t.Run(fmt.Sprintf("cold cache %t", cold), func(t *testing.T) {
			t.Parallel()
			log := memory.New()
			r := newRunner(log)
			do(t, r, request("r0"), say{"before"})
			first := do(t, r, request("r1"), say{"a", "b"})
			do(t, r, request("r2"), say{"after"})
			if cold {
				r = newRunner(log)
			}
			again := do(t, r, request("r1"), say{"quite", "another"})
			want := first
			want.Replayed = true
			expect(t, "replay", again, want)

			unhashed := request("r1")
			unhashed.Hash = [32]byte{}
			expect(t, "replay without a hash", do(t, r, unhashed, say{"a"}), want)

			other := request("r1")
			other.Hash = [32]byte{2}
			_, err := r.Do(t.Context(), stream, other, say{"c"})
			expect(t, "another request under the same id", reason(err), "IDEMPOTENCY_KEY_REUSED")
			expect(t, "stored", words(stored(t, log)), []string{"before", "a", "b", "after"})
		})
	}
}

// Two replicas share a log; each keeps states of its own, which the other makes stale.
// shared is a log that other processes may append to: it does not say that it is exclusive.
type shared struct{ event.Log }

func TestDoReplaysWhatAnotherReplicaDid(t *testing.T) {
	t.Parallel()
	log := shared{memory.New()}
	a, b := newRunner(log), newRunner(log)
	do(t, b, request("r0"), say{"x"}) // b knows the stream …
	first := do(t, a, request("r1"), say{"a"})

	late := request("r1")
	late.At = noon.Add(time.Second)
	again := do(t, b, late, say{"a"}) // … but not this
	want := first
	want.Replayed = true
	expect(t, "replay", again, want)

	do(t, a, request("r2"), say{"b"})
	reused := request("r2")
	reused.Hash = [32]byte{2}
	_, err := b.Do(t.Context(), stream, reused, say{"b"})
	expect(t, "another request under the same id", reason(err), "IDEMPOTENCY_KEY_REUSED")

	do(t, b, request("r3"), say{"c"})
	expect(t, "stored, with a chain that holds", words(stored(t, log)), []string{"x", "a", "b", "c"})
}

// faulty is a log with a say in what becomes of appends.
type faulty struct {
	event.Log
	before func(n int) error // of the n-th append; an error is answered instead of appending
	after  func(n int) error // an error is answered though it was appended
	read   func(n int) error // the n-th read begins with this error

	appends, reads atomic.Int32
}

func (l *faulty) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	n := int(l.appends.Add(1))
	if l.before != nil {
		if err := l.before(n); err != nil {
			return event.Position{}, err
		}
	}
	pos, err := l.Log.Append(ctx, stream, at, e...)
	if err == nil && l.after != nil {
		err = l.after(n)
	}
	return pos, err
}

func (l *faulty) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	n := int(l.reads.Add(1))
	if l.read != nil {
		if err := l.read(n); err != nil {
			return func(yield func(event.RawRecorded, error) bool) { yield(event.RawRecorded{}, err) }
		}
	}
	return l.Log.Read(ctx, stream, from)
}

func TestDoDecidesAnewOnConflict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		conflicts int
		want      string // reason
		stored    []string
	}{
		{"one", 1, "<nil>", []string{"other 1", "after 1"}},
		{"five", 5, "<nil>", []string{"other 1", "other 2", "other 3", "other 4", "other 5", "after 5"}},
		{"six", 6, "REVISION_CONFLICT", []string{"other 1", "other 2", "other 3", "other 4", "other 5", "other 6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			real := memory.New()
			other := newRunner(real)
			log := &faulty{Log: real, before: func(n int) error {
				if n <= c.conflicts {
					word := fmt.Sprintf("other %d", n)
					do(t, other, request(word), say{word})
				}
				return nil
			}}
			_, err := newRunner(log).Do(t.Context(), stream, request("mine"), decide(func(s tally) ([]*ledgerv1.Event, error) {
				return []*ledgerv1.Event{said(fmt.Sprintf("after %d", len(s.said)))}, nil
			}))
			expect(t, "error", reason(err), c.want)
			expect(t, "stored", words(stored(t, real)), c.stored)
			var e *aggregate.Error
			if errors.As(err, &e) {
				expect(t, "kind", e.Kind, aggregate.Aborted)
				expect(t, "metadata", e.Metadata, map[string]string{"current": "5"})
			}
		})
	}
}

func TestDoResolvesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	unknownOnce := func(n int) error {
		if n == 1 {
			return fmt.Errorf("connection lost: %w", event.ErrUnknownOutcome)
		}
		return nil
	}
	for name, log := range map[string]*faulty{
		"appended":     {Log: memory.New(), after: unknownOnce},
		"not appended": {Log: memory.New(), before: unknownOnce},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := do(t, newRunner(log), request("r1"), say{"a", "b"})
			all := stored(t, log)
			expect(t, "stored", words(all), []string{"a", "b"})
			expect(t, "answered", res.Events, all)
			expect(t, "appends", log.appends.Load(), int32(2))
		})
	}
}

func TestDoTellsWhatStaysUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &faulty{Log: memory.New(), after: func(int) error { return event.ErrUnknownOutcome }}
		r := newRunner(log)
		_, err := r.Do(t.Context(), stream, request("r1"), say{"a"})
		if !errors.Is(err, event.ErrUnknownOutcome) {
			t.Errorf("got %v, want %v", err, event.ErrUnknownOutcome)
		}
		log.after = nil
		res := do(t, r, request("r1"), say{"a"})
		expect(t, "asked again: replayed", res.Replayed, true)
		expect(t, "stored", words(stored(t, log)), []string{"a"})
	})
}

// A repetition that the log could not take says nothing about the append before it.
func TestDoKeepsWhatIsUnknown(t *testing.T) {
	t.Parallel()
	for _, then := range []error{event.ErrUnavailable, event.ErrStoreFull, event.ErrClosed} {
		synctest.Test(t, func(t *testing.T) {
			log := &faulty{Log: memory.New()}
			log.after = func(int) error { return event.ErrUnknownOutcome }
			log.before = func(n int) error {
				if n == 1 {
					return nil
				}
				return then
			}
			r := newRunner(log)
			_, err := r.Do(t.Context(), stream, request("r1"), say{"a"})
			if !errors.Is(err, event.ErrUnknownOutcome) || !errors.Is(err, then) {
				t.Errorf("got %v, want %v and %v", err, event.ErrUnknownOutcome, then)
			}
			log.before, log.after = nil, nil
			expect(t, "asked again: replayed", do(t, r, request("r1"), say{"a"}).Replayed, true)
		})
	}
}

// alone is a log that no other process appends to, with faults.
type alone struct{ *faulty }

func (alone) Exclusive() {}

// An append that stayed unknown may be there, also where nobody else appends: what was decided anew for the same
// request must not be taken for what is stored.
func TestDoAfterWhatStayedUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := alone{&faulty{Log: memory.New()}}
		r := newRunner(log)
		do(t, r, request("r0"), say{"a"})
		log.after = func(int) error { return event.ErrUnknownOutcome }
		if _, err := r.Do(t.Context(), stream, request("r1"), say{"b"}); !errors.Is(err, event.ErrUnknownOutcome) {
			t.Errorf("got %v, want %v", err, event.ErrUnknownOutcome)
		}
		log.after = nil
		again := request("r1")
		again.At = again.At.Add(time.Hour)
		res := do(t, r, again, say{"b"})
		expect(t, "asked again: replayed", res.Replayed, true)
		do(t, r, request("r2"), say{"c"})
		expect(t, "stored", words(stored(t, log)), []string{"a", "b", "c"})
	})
}

// A log that several servers keep may lose its tail when another of them leads, also one that was read already. What was
// remembered of it must not stand in the way of what is decided then.
func TestDoAfterTheLogLostItsTail(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*faulty, *aggregate.Runner[tally]) {
		log := &faulty{Log: shared{memory.New()}}
		r := newRunner(log)
		do(t, r, request("r0"), say{"a"})
		do(t, r, request("r1"), say{"lost"})
		log.Log = shared{memory.New()}
		do(t, newRunner(log), request("r0"), say{"a"})
		return log, r
	}
	t.Run("it decides on what is left", func(t *testing.T) {
		t.Parallel()
		log, r := start(t)
		res := do(t, r, request("r2"), decide(func(s tally) ([]*ledgerv1.Event, error) {
			return []*ledgerv1.Event{said(fmt.Sprintf("after %d", len(s.said)))}, nil
		}))
		expect(t, "state", res.State, tally{said: []string{"a", "after 1"}})
		expect(t, "stored, with a chain that holds", words(stored(t, log)), []string{"a", "after 1"})
	})
	t.Run("what was lost is done when it is asked for again", func(t *testing.T) {
		t.Parallel()
		log, r := start(t)
		if _, err := r.Do(t.Context(), stream, request("r1"), say{"lost"}); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("asked for once: got %v, want %v", err, event.ErrUnavailable)
		}
		expect(t, "asked for twice: replayed", do(t, r, request("r1"), say{"found"}).Replayed, false)
		expect(t, "stored", words(stored(t, log)), []string{"a", "found"})
	})
}

func TestDoOutlivesItsCallerOnceItAppends(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	log := &faulty{Log: memory.New(), before: func(int) error { cancel(); return nil }}
	r := newRunner(log)
	res, err := r.Do(ctx, stream, request("r1"), say{"a"})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "state", res.State, tally{said: []string{"a"}})

	if _, err := r.Do(ctx, stream, request("r2"), say{"b"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: got %v, want %v", err, context.Canceled)
	}
	expect(t, "stored", words(stored(t, log)), []string{"a"})
}

func TestRecordedAtNeverDecreases(t *testing.T) {
	t.Parallel()
	log := memory.New()
	r := newRunner(log)
	for i, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Minute), noon.Add(time.Second)} {
		if i == 3 {
			r = newRunner(log)
		}
		q := request(fmt.Sprint("r", i))
		q.At = at
		do(t, r, q, say{"a"})
	}
	var got []time.Time
	for _, e := range stored(t, log) {
		got = append(got, e.Metadata.RecordedAt.AsTime())
	}
	expect(t, "recorded_at", got, []time.Time{noon, noon, noon.Add(time.Minute), noon.Add(time.Minute)})
}

func TestDueIsStampedOnTheWholeAppend(t *testing.T) {
	t.Parallel()
	typ := tallies()
	typ.Due = func(s tally, after time.Time) time.Time {
		if !after.IsZero() {
			t.Errorf("Due was asked after %s, want the zero time: what is due already must not be lost", after)
		}
		if len(s.said) > 3 {
			return time.Time{}
		}
		return noon.Add(time.Duration(len(s.said)) * time.Hour)
	}
	log := memory.New()
	r := aggregate.NewRunner(log, typ)
	do(t, r, request("r1"), say{"a"})
	do(t, r, request("r2"), say{"b", "c"})
	do(t, r, request("r3"), say{"d"})
	var got []string
	for _, e := range stored(t, log) {
		if e.Metadata.DueAt == nil {
			got = append(got, "never")
			continue
		}
		got = append(got, e.Metadata.DueAt.AsTime().Format("15:04"))
	}
	expect(t, "due_at", got, []string{"13:00", "15:00", "15:00", "never"})
}

func TestRefusalAndNoOpLookAtTheTailFirst(t *testing.T) {
	t.Parallel()
	log := memory.New()
	mine, other := newRunner(log), newRunner(log)
	do(t, mine, request("r0"), say{"a"})
	do(t, other, request("o1"), say{"b"})

	// On what mine remembers it would refuse; the tail says otherwise.
	pair := decide(func(s tally) ([]*ledgerv1.Event, error) {
		if len(s.said)%2 != 0 {
			return nil, aggregate.Refuse("ODD", "%d", len(s.said))
		}
		return []*ledgerv1.Event{said("even")}, nil
	})
	expect(t, "accepted", do(t, mine, request("r1"), pair).State, tally{said: []string{"a", "b", "even"}})
	_, err := mine.Do(t.Context(), stream, request("r2"), pair)
	expect(t, "refused", reason(err), "ODD")
	_, err = mine.Do(t.Context(), stream, request("r2"), pair)
	expect(t, "refusals are not remembered", reason(err), "ODD")

	do(t, other, request("o2"), say{"c"})
	res := do(t, mine, request("r3"), decide(func(tally) ([]*ledgerv1.Event, error) { return nil, nil }))
	expect(t, "no-op", res, aggregate.Result[tally]{State: tally{said: []string{"a", "b", "even", "c"}}, Revision: 3})
	expect(t, "position of a no-op", res.Position(), event.Position{})
	expect(t, "stored", words(stored(t, log)), []string{"a", "b", "even", "c"})
}

func TestLoad(t *testing.T) {
	t.Parallel()
	log := memory.New()
	r := newRunner(log)
	load := func() (tally, event.Revision) {
		t.Helper()
		s, revision, err := r.Load(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		return s, revision
	}
	s, revision := load()
	expect(t, "nothing", s, tally{})
	expect(t, "no stream", revision, event.NoStream)

	first := do(t, r, request("r1"), say{"a", "b"})
	do(t, newRunner(log), request("r2"), say{"c"})
	s, revision = load()
	expect(t, "to the end", s, tally{said: []string{"a", "b", "c"}})
	expect(t, "revision", revision, event.Revision(2))

	for upTo, want := range map[event.Position]tally{
		{}:                        {},
		{Commit: 1, Prepare: 1}:   {said: []string{"a"}},
		first.Position():          {said: []string{"a", "b"}},
		{Commit: 99, Prepare: 99}: {said: []string{"a", "b", "c"}},
	} {
		s, err := r.LoadAt(t.Context(), stream, upTo)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "up to "+upTo.String(), s, want)
	}
	s, err := r.LoadAt(t.Context(), "tally-acme.none", first.Position())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "a stream that is not there", s, tally{})
}

// What the log cannot answer or does not hold well is an error everywhere, and never a state.
func TestErrorsOfTheLog(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	failFrom := func(from int) func(int) error {
		return func(n int) error {
			if n >= from {
				return broken
			}
			return nil
		}
	}
	refuse := decide(func(tally) ([]*ledgerv1.Event, error) { return nil, aggregate.Refuse("NO", "no") })
	for name, run := range map[string]func(*faulty, *aggregate.Runner[tally]) error{
		"first read": func(l *faulty, _ *aggregate.Runner[tally]) error {
			l.read = failFrom(1)
			_, err := newRunner(l).Do(t.Context(), stream, request("r2"), say{"b"})
			return err
		},
		"load": func(l *faulty, r *aggregate.Runner[tally]) error {
			l.read = failFrom(1)
			_, _, err := r.Load(t.Context(), stream)
			return err
		},
		"load at": func(l *faulty, r *aggregate.Runner[tally]) error {
			l.read = failFrom(1)
			_, err := r.LoadAt(t.Context(), stream, event.Position{Commit: 9, Prepare: 9})
			return err
		},
		"tail before a refusal": func(l *faulty, r *aggregate.Runner[tally]) error {
			l.read = failFrom(1)
			_, err := r.Do(t.Context(), stream, request("r2"), refuse)
			return err
		},
		"tail after a conflict": func(l *faulty, r *aggregate.Runner[tally]) error {
			do(t, newRunner(l.Log), request("o"), say{"o"})
			l.read = failFrom(1)
			_, err := r.Do(t.Context(), stream, request("r2"), say{"b"})
			return err
		},
		"append": func(l *faulty, r *aggregate.Runner[tally]) error {
			l.before = failFrom(1)
			_, err := r.Do(t.Context(), stream, request("r2"), say{"b"})
			return err
		},
		"read back": func(l *faulty, r *aggregate.Runner[tally]) error {
			l.read = failFrom(1)
			_, err := r.Do(t.Context(), stream, request("r2"), say{"b"})
			return err
		},
		"replay": func(l *faulty, r *aggregate.Runner[tally]) error {
			l.read = failFrom(1)
			_, err := r.Do(t.Context(), stream, request("r1"), say{"a"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			real := memory.New()
			log := &faulty{Log: real}
			r := newRunner(log)
			do(t, r, request("r1"), say{"a"})
			log.reads.Store(0)
			log.appends.Store(0)
			if err := run(log, r); !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
		})
	}
}

// lying says that an append took place though nothing stands there.
type lying struct{ event.Log }

func (lying) Append(context.Context, string, event.Revision, ...event.Raw) (event.Position, error) {
	return event.Position{Commit: 2, Prepare: 2}, nil
}

func TestAnAppendThatIsNotThereIsNotBelieved(t *testing.T) {
	t.Parallel()
	log := memory.New()
	do(t, newRunner(log), request("r1"), say{"a"})
	_, err := newRunner(lying{log}).Do(t.Context(), stream, request("r2"), say{"b"})
	if !errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("got %v, want %v", err, event.ErrUnknownOutcome)
	}
}

// An event of a kind that this program does not know stops whoever would have to skip it.
func TestUnknownKindStops(t *testing.T) {
	t.Parallel()
	log := memory.New()
	r := newRunner(log)
	do(t, r, request("r1"), say{"a", "b"})
	foreign := event.Raw{ID: uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), Type: "of_tomorrow", Data: []byte("{}"), Metadata: []byte("{}")}
	if _, err := log.Append(t.Context(), stream, 1, foreign); err != nil {
		t.Fatal(err)
	}
	_, _, loadErr := r.Load(t.Context(), stream)
	_, atErr := r.LoadAt(t.Context(), stream, event.Position{Commit: 9, Prepare: 9})
	_, doErr := newRunner(log).Do(t.Context(), stream, request("r2"), say{"c"})
	for name, err := range map[string]error{"Load": loadErr, "LoadAt": atErr, "Do": doErr} {
		if !errors.Is(err, event.ErrUnknownKind) {
			t.Errorf("%s: got %v, want %v", name, err, event.ErrUnknownKind)
		}
	}
}

// garbled returns the first event as one that nobody can read, once it is told to.
type garbled struct {
	event.Log
	on atomic.Bool
}

func (l *garbled) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		for raw, err := range l.Log.Read(ctx, stream, from) {
			if l.on.Load() {
				raw.Data = []byte("?")
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

func TestReplayOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	log := &garbled{Log: memory.New()}
	r := newRunner(log)
	do(t, r, request("r1"), say{"a"})
	log.on.Store(true)
	if res, err := r.Do(t.Context(), stream, request("r1"), say{"a"}); err == nil {
		t.Errorf("got %+v, want an error", res)
	}
}

func TestAnEventThatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	log := memory.New()
	_, err := newRunner(log).Do(t.Context(), stream, request("r1"), decide(func(tally) ([]*ledgerv1.Event, error) {
		return []*ledgerv1.Event{said("a"), {}}, nil
	}))
	if !errors.Is(err, event.ErrInvalidArgument) {
		t.Errorf("got %v, want %v", err, event.ErrInvalidArgument)
	}
	if head, _ := log.Head(t.Context()); !head.IsZero() {
		t.Errorf("something was appended: head is %s", head)
	}
}

func TestCallersWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		log := &faulty{Log: memory.New(), before: func(int) error { <-proceed; return nil }}
		r := newRunner(log)
		for i := range 3 {
			go func() {
				if _, err := r.Do(t.Context(), stream, request(fmt.Sprint("r", i)), say{"a"}); err != nil {
					t.Error(err)
				}
			}()
		}
		for i := range 3 {
			synctest.Wait()
			expect(t, "appends begun", log.appends.Load(), int32(i+1))
			proceed <- struct{}{}
		}
		synctest.Wait()
		expect(t, "stored", len(stored(t, log)), 3)
	})
}

func TestCallersGiveUpWaiting(t *testing.T) {
	t.Parallel()
	appending, proceed := make(chan struct{}), make(chan struct{})
	log := &faulty{Log: memory.New(), before: func(int) error { close(appending); <-proceed; return nil }}
	r := newRunner(log)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Do(t.Context(), stream, request("r1"), say{"a"}); err != nil {
			t.Error(err)
		}
	})
	<-appending
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Do(ctx, stream, request("r2"), say{"b"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Do: got %v, want %v", err, context.Canceled)
	}
	if _, _, err := r.Load(ctx, stream); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: got %v, want %v", err, context.Canceled)
	}
	close(proceed)
	wg.Wait()
	expect(t, "stored", words(stored(t, log)), []string{"a"})
}

func TestFiftyCallersOnOneStream(t *testing.T) {
	t.Parallel()
	log := memory.New()
	r := newRunner(log)
	const callers = 50
	var wg sync.WaitGroup
	results := make([]aggregate.Result[tally], callers)
	for i := range callers {
		wg.Go(func() {
			word := fmt.Sprintf("w%d", i/2) // each request is made by two callers
			var err error
			if results[i], err = r.Do(t.Context(), stream, request(word), say{word}); err != nil {
				t.Error(err)
			}
			if _, _, err := r.Load(t.Context(), stream); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all := stored(t, log)
	expect(t, "stored", len(all), callers/2)
	replays := 0
	for i, res := range results {
		word := fmt.Sprintf("w%d", i/2)
		expect(t, "answered", words(res.Events), []string{word})
		// A state that was handed out stays what it was when it was handed out.
		expect(t, "state", res.State.said, words(all[:res.Revision+1]))
		if res.Replayed {
			replays++
		}
	}
	expect(t, "replays", replays, callers/2)
}
