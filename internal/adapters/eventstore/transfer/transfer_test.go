package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/eventstore/transfer"
	"ledger.internal/ledger/internal/aggregate/event"
)

// tester is what testing.T and rapid.T have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// writer appends chained events to a log.
type writer struct {
	t    tester
	log  event.Log
	ends map[string]end
}

type end struct {
	revision event.Revision
	hash     []byte
}

func newWriter(t tester, log event.Log) *writer { return &writer{t, log, map[string]end{}} }

// next is the stream's next event, with an actor of so many bytes.
func (w *writer) next(stream string, size int) event.Raw {
	w.t.Helper()
	at, ok := w.ends[stream]
	if !ok {
		at.revision = event.NoStream
	}
	e := &ledgerv1.Event{
		Metadata: &ledgerv1.Metadata{Actor: strings.Repeat("a", size)},
		Kind:     &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{First: int64(at.revision) + 2, Count: 1}},
	}
	raw, err := event.Encode(at.hash, stream, at.revision+1, uuid.New(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ends[stream] = end{at.revision + 1, e.Metadata.Hash}
	return raw
}

func (w *writer) append(stream string, n, size int) {
	w.t.Helper()
	at, ok := w.ends[stream]
	if !ok {
		at.revision = event.NoStream
	}
	var raws []event.Raw
	for range n {
		raws = append(raws, w.next(stream, size))
	}
	if _, err := w.log.Append(context.Background(), stream, at.revision, raws...); err != nil {
		w.t.Fatal(err)
	}
}

// all are the events of a log, without their positions.
func all(t tester, log event.Log) (events []event.RawRecorded) {
	t.Helper()
	done := errors.New("done")
	err := log.Follow(context.Background(), nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind != event.KindEvent {
			return done
		}
		m.Event.Position = event.Position{}
		events = append(events, m.Event)
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	return events
}

// run copies and compares, and says whether the callback has seen every event.
func run(ctx context.Context, from, to event.Log) (transfer.Summary, error) {
	t := transfer.Transfer{From: from, To: to}
	done, err := t.Copy(ctx)
	if err != nil {
		return done, err
	}
	seen := 0
	err = t.Compare(ctx, done, func(event.RawRecorded, event.RawRecorded) error { seen++; return nil })
	if err == nil && seen != done.Events {
		err = fmt.Errorf("%d events were compared, of %d", seen, done.Events)
	}
	return done, err
}

func copied(t tester, from, to event.Log, want transfer.Summary) {
	t.Helper()
	got, err := run(context.Background(), from, to)
	if err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	if d := cmp.Diff(all(t, from), all(t, to)); d != "" {
		t.Fatalf("the copy differs (-from +to):\n%s", d)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	from, to := memory.New(), memory.New()
	w := newWriter(t, from)
	copied(t, from, to, transfer.Summary{})
	w.append("merchant-a", 1, 10)
	w.append("subscription-a.1", 3, 10)
	w.append("merchant-a", 1, 10)
	copied(t, from, to, transfer.Summary{Streams: 2, Events: 5, Copied: 5})
	copied(t, from, to, transfer.Summary{Streams: 2, Events: 5})
	w.append("subscription-a.1", 1, 10)
	w.append("subscription-a.2", 2, 10)
	copied(t, from, to, transfer.Summary{Streams: 3, Events: 8, Copied: 3})
}

func TestCopyToSQLite(t *testing.T) {
	t.Parallel()
	from := memory.New()
	to, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	w := newWriter(t, from)
	for i := range 60 {
		w.append(fmt.Sprintf("subscription-a.%d", i%7), 1+i%3, 100)
	}
	copied(t, from, to, transfer.Summary{Streams: 7, Events: 120, Copied: 120})
}

// counting counts what is appended, and how.
type counting struct {
	event.Log
	appends []int
}

func (c *counting) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	c.appends = append(c.appends, len(events))
	return c.Log.Append(ctx, stream, at, events...)
}

// What stands together goes into one append, as far as one append may hold it.
func TestAppendsAreAsLargeAsTheyMay(t *testing.T) {
	t.Parallel()
	from, to := memory.New(), &counting{Log: memory.New()}
	w := newWriter(t, from)
	for range 130 {
		w.append("subscription-a.1", 2, 10)
	}
	w.append("subscription-a.2", 1, 900_000)
	w.append("subscription-a.2", 1, 900_000)
	w.append("subscription-a.2", 1, 10)
	w.append("subscription-a.1", 1, 10)
	copied(t, from, to, transfer.Summary{Streams: 2, Events: 264, Copied: 264})
	if d := cmp.Diff([]int{100, 100, 60, 1, 2, 1}, to.appends); d != "" {
		t.Errorf("appends (-want +got):\n%s", d)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to func(*writer)
		want     error
	}{
		"another log": {
			from: func(w *writer) { w.append("merchant-a", 2, 1) },
			to:   func(w *writer) { w.append("merchant-b", 1, 1) },
			want: transfer.ErrNotEmpty,
		},
		"the same stream of another ledger": {
			from: func(w *writer) { w.append("merchant-a", 2, 1) },
			to:   func(w *writer) { w.append("merchant-a", 1, 1) },
			want: transfer.ErrNotEmpty,
		},
		"something in an empty log's place": {
			from: func(*writer) {},
			to:   func(w *writer) { w.append("merchant-a", 1, 1) },
			want: transfer.ErrNotEmpty,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := memory.New(), memory.New()
			c.from(newWriter(t, from))
			c.to(newWriter(t, to))
			before := all(t, to)
			if _, err := run(t.Context(), from, to); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if d := cmp.Diff(before, all(t, to)); d != "" {
				t.Errorf("the target was changed (-before +after):\n%s", d)
			}
		})
	}
}

func TestTargetIsAhead(t *testing.T) {
	t.Parallel()
	from, to := memory.New(), memory.New()
	newWriter(t, from).append("merchant-a", 2, 1)
	if _, err := run(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	newWriter(t, to).append("merchant-b", 1, 1)
	if _, err := run(t.Context(), from, to); !errors.Is(err, transfer.ErrNotEmpty) {
		t.Errorf("got %v, want ErrNotEmpty", err)
	}
}

// One changed part of the target's last event is enough.
func TestEveryPartIsCompared(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*event.Raw){
		"id":       func(r *event.Raw) { r.ID[0]++ },
		"type":     func(r *event.Raw) { r.Type += "x" },
		"data":     func(r *event.Raw) { r.Data = append(bytes.Clone(r.Data), ' ') },
		"metadata": func(r *event.Raw) { r.Metadata = append(bytes.Clone(r.Metadata), ' ') },
	} {
		from, to := memory.New(), memory.New()
		newWriter(t, from).append("merchant-a", 2, 1)
		for _, e := range all(t, from) {
			if e.Revision == 1 {
				change(&e.Raw)
			}
			if _, err := to.Append(t.Context(), e.Stream, e.Revision-1, e.Raw); err != nil {
				t.Fatal(err)
			}
		}
		_, err := run(t.Context(), from, to)
		if !errors.Is(err, transfer.ErrNotEmpty) || !strings.Contains(err.Error(), "merchant-a/1") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrNotEmpty with the event and what differs", name, err)
		}
	}
}

// A source that is not whole is not copied, not even its beginning.
func TestBrokenSource(t *testing.T) {
	t.Parallel()
	from, to := memory.New(), memory.New()
	w := newWriter(t, from)
	w.append("merchant-a", 2, 1)
	lost := w.next("merchant-a", 1)
	after := w.next("merchant-a", 1)
	after.ID = lost.ID
	if _, err := from.Append(t.Context(), "merchant-a", 1, after); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), from, to); !errors.Is(err, transfer.ErrBroken) || !errors.Is(err, event.ErrChain) {
		t.Errorf("got %v, want ErrBroken and ErrChain", err)
	}
	if got := all(t, to); len(got) != 0 {
		t.Errorf("%d events were copied, want none", len(got))
	}
}

// losing is a log that loses revisions and positions.
type losing struct {
	event.Log
	change func(*event.Message)
}

func (l losing) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	return l.Log.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
		if m.Kind == event.KindEvent {
			l.change(&m)
		}
		return h(ctx, m)
	})
}

func TestSourceOutOfOrder(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*event.Message){
		"a revision is missing": func(m *event.Message) { m.Event.Revision++ },
		"a position goes back": func(m *event.Message) {
			if m.Event.Revision == 1 {
				m.Event.Position = event.Position{Commit: 1, Prepare: 1}
			}
		},
	} {
		from := memory.New()
		newWriter(t, from).append("merchant-a", 3, 1)
		if _, err := run(t.Context(), losing{from, change}, memory.New()); !errors.Is(err, transfer.ErrBroken) {
			t.Errorf("%s: got %v, want ErrBroken", name, err)
		}
	}
}

// failing fails at one append, with or without having made it.
type failing struct {
	event.Log
	at   int // counts down
	made bool
}

var errFails = errors.New("it fails")

func (f *failing) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	if f.at--; f.at != 0 {
		return f.Log.Append(ctx, stream, at, events...)
	}
	if f.made {
		if _, err := f.Log.Append(ctx, stream, at, events...); err != nil {
			return event.Position{}, err
		}
	}
	return event.Position{}, errFails
}

// However often a copy is interrupted, wherever, and whatever the source has got meanwhile: in the end it is the same.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, to := memory.New(), memory.New()
		w := newWriter(t, from)
		grow := func() {
			for range rapid.IntRange(0, 12).Draw(t, "appends") {
				stream := rapid.SampledFrom([]string{"merchant-a", "subscription-a.1", "subscription-a.2"}).Draw(t, "stream")
				w.append(stream, rapid.IntRange(1, 3).Draw(t, "events"), 5)
			}
		}
		grow()
		for range rapid.IntRange(0, 4).Draw(t, "interruptions") {
			broken := &failing{Log: to, at: rapid.IntRange(1, 12).Draw(t, "at"), made: rapid.Bool().Draw(t, "made")}
			if _, err := run(context.Background(), from, broken); err != nil && !errors.Is(err, errFails) {
				t.Fatal(err)
			}
			grow()
		}
		if _, err := run(context.Background(), from, to); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all(t, from), all(t, to)); d != "" {
			t.Fatalf("the copy differs (-from +to):\n%s", d)
		}
	})
}

// Somebody writes to the target while the copy is compared.
func TestWrittenToMeanwhile(t *testing.T) {
	t.Parallel()
	from, to := memory.New(), memory.New()
	newWriter(t, from).append("merchant-a", 2, 1)
	copying := transfer.Transfer{From: from, To: to}
	done, err := copying.Copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	newWriter(t, to).append("merchant-b", 1, 1)
	if err := copying.Compare(t.Context(), done, nil); !errors.Is(err, transfer.ErrDiffers) {
		t.Errorf("got %v, want ErrDiffers", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	from := memory.New()
	newWriter(t, from).append("merchant-a", 3, 1)
	copying := transfer.Transfer{From: from, To: memory.New(), Progress: func(transfer.Step, int, int) { cancel() }}
	if _, err := copying.Copy(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
