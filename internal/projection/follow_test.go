package projection_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// followed is a log, a store, and a projection that notes what it sees.
type followed struct {
	t     *testing.T
	ctx   context.Context
	log   *memory.Log
	store *db.DB
	ends  map[string]event.Revision
	epoch time.Time
}

func newFollowed(t *testing.T) *followed {
	t.Helper()
	store, err := db.Open(filepath.Join(t.TempDir(), "views.db"), db.Options{Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return &followed{t: t, ctx: ctx, log: memory.New(), store: store, ends: map[string]event.Revision{}, epoch: time.Unix(1e9, 0).UTC()}
}

// append appends an event that was recorded some seconds after the epoch.
func (w *followed) append(stream string, second int) event.Position {
	w.t.Helper()
	end, ok := w.ends[stream]
	if !ok {
		end = event.NoStream
	}
	raw, err := event.Encode(nil, stream, end+1, uuid.New(), &ledgerv1.Event{
		Metadata: &ledgerv1.Metadata{RecordedAt: timestamppb.New(w.epoch.Add(time.Duration(second) * time.Second))},
		Kind:     &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{First: 1, Count: 1}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.appendRaw(stream, raw)
}

func (w *followed) appendRaw(stream string, raw event.Raw) event.Position {
	w.t.Helper()
	end, ok := w.ends[stream]
	if !ok {
		end = event.NoStream
	}
	p, err := w.log.Append(w.ctx, stream, end, raw)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ends[stream] = end + 1
	return p
}

// notes is a projection that writes a row per event.
func notes(version int) projection.Projection {
	return projection.Projection{
		Name: "notes", Version: version, Categories: []string{"note"}, Tables: []string{"notes"},
		Schema: `CREATE TABLE IF NOT EXISTS notes (id integer PRIMARY KEY, stream text NOT NULL, known bigint NOT NULL);
-- two statements
CREATE INDEX IF NOT EXISTS notes_by_stream ON notes (stream);`,
		Apply: func(tx projection.Tx, known time.Time, e event.Recorded) error {
			_, err := tx.Exec(`INSERT INTO notes (stream, known) VALUES ($1, $2)`,
				fmt.Sprintf("%s@%d", e.Stream, e.Revision), known.UnixMicro())
			return err
		},
	}
}

// rows are what notes has written, with the seconds of known.
func (w *followed) rows() []string {
	w.t.Helper()
	rows, err := w.store.Query(w.ctx, `SELECT stream, known FROM notes ORDER BY id`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		var us int64
		if err := rows.Scan(&s, &us); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", s, (us-w.epoch.UnixMicro())/1e6))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// run runs a follower until stop, which returns what Run returned.
func (w *followed) run(f *projection.Follower) (stop func() error) {
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	w.t.Cleanup(cancel)
	return func() error {
		cancel()
		return <-ended
	}
}

func (w *followed) waitFor(f *projection.Follower, p event.Position) {
	w.t.Helper()
	if err := f.WaitFor(w.ctx, p); err != nil {
		w.t.Fatal(err)
	}
}

func TestFollowerAppliesInOrderAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	w.append("note-a", 5)
	w.append("other-a", 9)
	w.append("note-b", 3)
	f := projection.NewFollower(w.log, w.store, notes(1))
	stop := w.run(f)
	w.waitFor(f, w.append("note-a", 7)) // live
	want := []string{"note-a@0 5", "note-b@0 5", "note-a@1 7"}
	if diff := cmp.Diff(want, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	head := w.append("other-a", 8)
	w.waitFor(f, head)
	if !f.CaughtUp(head) || f.CaughtUp(event.Position{Commit: head.Commit + 1}) {
		t.Errorf("caught up with %v at %v", head, f.Position())
	}
	if err := stop(); err != nil {
		t.Fatalf("stopped with %v", err)
	}

	w.append("note-b", 6)
	f = projection.NewFollower(w.log, w.store, notes(1))
	if err := f.Prepare(w.ctx); err != nil {
		t.Fatal(err)
	}
	if got := f.Position(); got != head {
		t.Errorf("begins at %v, want %v", got, head)
	}
	stop = w.run(f)
	w.waitFor(f, w.append("note-b", 8))
	want = append(want, "note-b@1 7", "note-b@2 8") // known goes on where it was
	if diff := cmp.Diff(want, w.rows()); diff != "" {
		t.Errorf("rows after a restart (-want +got):\n%s", diff)
	}
	if err := stop(); err != nil {
		t.Fatalf("stopped with %v", err)
	}
}

func TestFollowerSharesTransactions(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	var head event.Position
	for i := range 450 {
		head = w.append(fmt.Sprintf("note-%d", i%7), i)
	}
	var commits atomic.Int64
	f := projection.NewFollower(slowLog{w.log}, countingStore{w.store, &commits}, notes(1))
	if err := f.Prepare(w.ctx); err != nil {
		t.Fatal(err)
	}
	commits.Store(0)
	stop := w.run(f)
	w.waitFor(f, head)
	if n := commits.Load(); n != 3 {
		t.Errorf("450 events took %d transactions, want 3", n)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(w.rows()); n != 450 {
		t.Errorf("%d rows, want 450", n)
	}
}

// slowLog gives events more slowly than they are applied.
type slowLog struct{ event.Log }

func (l slowLog) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	return l.Log.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
		time.Sleep(50 * time.Microsecond)
		return h(ctx, m)
	})
}

type countingStore struct {
	projection.Store
	commits *atomic.Int64
}

func (s countingStore) Update(ctx context.Context, f func(projection.Tx) error) error {
	s.commits.Add(1)
	return s.Store.Update(ctx, f)
}

func TestFollowerStartsOverOnAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	head := w.append("note-a", 1)
	f := projection.NewFollower(w.log, w.store, notes(1))
	stop := w.run(f)
	w.waitFor(f, head)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p := notes(2)
	p.Schema = strings.Replace(p.Schema, "known bigint NOT NULL", "known bigint NOT NULL, extra text DEFAULT 'x'", 1)
	f = projection.NewFollower(w.log, w.store, p)
	stop = w.run(f)
	w.waitFor(f, head)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"note-a@0 1"}, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	var extra string
	if err := w.store.QueryRow(w.ctx, `SELECT extra FROM notes`).Scan(&extra); err != nil || extra != "x" {
		t.Errorf("new column: %q, %v; want x", extra, err)
	}
}

// TestFollowerDropsFormerTables starts over from a version whose table had another name, which is free from then on.
func TestFollowerDropsFormerTables(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	if err := projection.NewFollower(w.log, w.store, notes(1)).Prepare(w.ctx); err != nil {
		t.Fatal(err)
	}
	renamed := notes(2)
	renamed.Tables, renamed.Former = []string{"note_rows"}, map[int][]string{1: {"notes"}}
	renamed.Schema = `CREATE TABLE IF NOT EXISTS note_rows (id integer PRIMARY KEY)`
	for range 2 { // the second time there is nothing to drop
		if err := projection.NewFollower(w.log, w.store, renamed).Prepare(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	var tables string
	if err := w.store.QueryRow(w.ctx, `SELECT group_concat(name ORDER BY name) FROM sqlite_schema WHERE type = 'table'`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if want := "cursors,note_rows"; tables != want {
		t.Errorf("the tables are %s, want %s", tables, want)
	}
}

func TestFollowerStopsBeforeWhatItCannotApply(t *testing.T) {
	t.Parallel()
	errBad := errors.New("bad row")
	for name, c := range map[string]struct {
		apply func() error
		raw   *event.Raw
		want  error
		text  string
	}{
		"error": {apply: func() error { return errBad }, want: errBad, text: "bad row"},
		"panic": {apply: func() error { panic("out of range") }, text: "panic: out of range"},
		"unknown kind": {
			raw:  &event.Raw{ID: uuid.New(), Type: "from_the_future", Data: []byte("{}"), Metadata: []byte("{}")},
			want: event.ErrUnknownKind, text: "from_the_future",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFollowed(t)
			w.append("note-a", 1)
			before := w.append("note-a", 2)
			if c.raw != nil {
				w.appendRaw("note-bad", *c.raw)
			} else {
				w.append("note-bad", 3)
			}
			head := w.append("note-a", 4)
			p := notes(1)
			apply := p.Apply
			p.Apply = func(tx projection.Tx, known time.Time, e event.Recorded) error {
				if err := apply(tx, known, e); err != nil {
					return err
				}
				if e.Stream == "note-bad" {
					return c.apply()
				}
				return nil
			}
			f := projection.NewFollower(w.log, w.store, p)
			err := f.Run(w.ctx)
			for _, part := range []string{"projection notes", "stream note-bad, revision 0", c.text} {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("stopped with %v, want an error with %q", err, part)
				}
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("stopped with %v, want %v", err, c.want)
			}
			if diff := cmp.Diff([]string{"note-a@0 1", "note-a@1 2"}, w.rows()); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if got := f.Position(); got != before {
				t.Errorf("stands at %v, want %v", got, before)
			}
			if got := f.WaitFor(w.ctx, head); !errors.Is(got, err) {
				t.Errorf("WaitFor answers %v, want %v", got, err)
			}
		})
	}
}

func TestFollowerTriesAgain(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	head := w.append("note-a", 1)
	p := notes(1)
	apply, calls := p.Apply, 0
	p.Apply = func(tx projection.Tx, known time.Time, e event.Recorded) error {
		if err := apply(tx, known, e); err != nil {
			return err
		}
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	f := projection.NewFollower(w.log, w.store, p)
	stop := w.run(f)
	w.waitFor(f, head)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"note-a@0 1"}, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// A full disk says nothing about the event, and everything that reads the log would stop with it: the ledger would end
// while it could still say what is wrong.
func TestFollowerWaitsForRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(w *followed, p *projection.Projection, full func() error) projection.Store{
		"at the commit": func(w *followed, _ *projection.Projection, full func() error) projection.Store {
			return fullStore{w.store, full}
		},
		"at an event": func(w *followed, p *projection.Projection, full func() error) projection.Store {
			apply := p.Apply
			p.Apply = func(tx projection.Tx, known time.Time, e event.Recorded) error {
				return errors.Join(apply(tx, known, e), full())
			}
			return w.store
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFollowed(t)
			w.append("note-a", 1)
			head := w.append("note-a", 2)
			p, left := notes(1), 0
			store := fails(w, &p, func() error {
				if left--; left < 0 {
					return nil
				}
				return fmt.Errorf("insert: %w", event.ErrStoreFull)
			})
			f := projection.NewFollower(w.log, store, p)
			if err := f.Prepare(w.ctx); err != nil {
				t.Fatal(err)
			}
			left = 6 // which is too often for anything else
			stop := w.run(f)
			w.waitFor(f, head)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"note-a@0 1", "note-a@1 2"}, w.rows()); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// fullStore commits nothing as long as its disk is full.
type fullStore struct {
	projection.Store
	full func() error
}

func (s fullStore) Update(ctx context.Context, f func(projection.Tx) error) error {
	return s.Store.Update(ctx, func(tx projection.Tx) error { return errors.Join(f(tx), s.full()) })
}

// A commit of which nobody hears has taken place all the same, and what it wrote must not be written again.
func TestFollowerWritesOnceWhenAnAnswerIsLost(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	w.append("note-a", 1)
	store := &deafStore{Store: w.store}
	f := projection.NewFollower(w.log, store, notes(1))
	if err := f.Prepare(w.ctx); err != nil {
		t.Fatal(err)
	}
	store.lose = 2
	stop := w.run(f)
	w.waitFor(f, w.append("note-a", 2))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"note-a@0 1", "note-a@1 2"}, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// deafStore commits and answers with an error, some times.
type deafStore struct {
	projection.Store
	lose int
}

func (s *deafStore) Update(ctx context.Context, f func(projection.Tx) error) error {
	err := s.Store.Update(ctx, f)
	if s.lose--; err == nil && s.lose >= 0 {
		return errors.New("the connection broke")
	}
	return err
}

// repeating is a log that delivers everything again once it has come to its end, as one does whose subscription began
// again further back.
type repeating struct{ event.Log }

func (l repeating) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	repeated := false
	var again func(context.Context, event.Message) error
	again = func(ctx context.Context, m event.Message) error {
		if err := h(ctx, m); err != nil || m.Kind != event.KindCaughtUp || repeated {
			return err
		}
		repeated = true
		return l.Log.Follow(ctx, categories, event.Cursor{}, again)
	}
	return l.Log.Follow(ctx, categories, after, again)
}

// A row that is written twice is a payment that is booked twice.
func TestFollowerAppliesOnceWhatIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	w.append("note-a", 1)
	w.append("note-b", 2)
	f := projection.NewFollower(repeating{w.log}, w.store, notes(1))
	stop := w.run(f)
	w.waitFor(f, w.append("note-a", 3))
	w.waitFor(f, w.append("note-a", 4)) // behind all that came again
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"note-a@0 1", "note-b@0 2", "note-a@1 3", "note-a@2 4"}, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestFollowerIsFenced(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	first := projection.NewFollower(w.log, w.store, notes(1))
	if err := first.Prepare(w.ctx); err != nil {
		t.Fatal(err)
	}
	second := projection.NewFollower(w.log, w.store, notes(1))
	if err := second.Prepare(w.ctx); err != nil {
		t.Fatal(err)
	}
	head := w.append("note-a", 1)
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	if err := first.Run(ctx); !errors.Is(err, projection.ErrFenced) {
		t.Errorf("the one that was taken over ends with %v, want %v", err, projection.ErrFenced)
	}
	if got := w.rows(); got != nil {
		t.Errorf("it has written %v", got)
	}
	stop := w.run(second)
	w.waitFor(second, head)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"note-a@0 1"}, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestFollowerRefusesAnotherLog(t *testing.T) {
	t.Parallel()
	w := newFollowed(t)
	head := w.append("note-a", 1)
	f := projection.NewFollower(w.log, w.store, notes(1))
	stop := w.run(f)
	w.waitFor(f, head)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f = projection.NewFollower(memory.New(), w.store, notes(1))
	if err := f.Run(w.ctx); !errors.Is(err, event.ErrPositionAhead) {
		t.Errorf("ends with %v, want %v", err, event.ErrPositionAhead)
	}
}
