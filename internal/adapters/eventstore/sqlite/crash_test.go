package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// crashDir, in the environment, makes the test binary a process that appends until it is killed.
const crashDir = "LEDGER_TEST_CRASH_DIR"

const crashWriters = 8

// TestKilledProcessLosesNothing kills a process that appends, at whatever point it is, again and again: every append
// it was told of is there, every stream is whole, and what its follower kept is what a clean run would keep.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	dir := t.TempDir()
	var acked []string
	for round := range rounds {
		acked = append(acked, killAfter(t, dir, 40+round*37)...)
		checkCrash(t, dir, acked)
	}
}

// killAfter runs a child until it has told of n appends, and then a little more, and kills it.
func killAfter(t *testing.T, dir string, n int) (acked []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acked = append(acked, lines.Text()); len(acked) == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var killed *exec.ExitError
	if err := child.Wait(); !errors.As(err, &killed) || len(acked) < n {
		t.Fatalf("the child ended by itself after %d appends: %v\n%s", len(acked), err, stderr.String())
	}
	return acked
}

// checkCrash opens what a killed process left behind.
func checkCrash(t *testing.T, dir string, acked []string) {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var want []string
	stored := map[string]bool{}
	next := map[string]event.Revision{}
	follow(t, l, event.Cursor{}, func(e event.RawRecorded) error {
		if e.Revision != next[e.Stream] {
			t.Errorf("%s: revision %d where %d is due", e.Stream, e.Revision, next[e.Stream])
		}
		next[e.Stream]++
		stored[ackLine(e.Stream, e.Revision, e.ID)] = true
		want = append(want, e.ID.String())
		return nil
	})
	for stream, n := range next { // appends hold two events each
		if n%2 != 0 {
			t.Errorf("%s holds %d events: half an append", stream, n)
		}
	}
	for _, line := range acked {
		if !stored[line] {
			t.Errorf("lost: %s", line)
		}
	}
	rows, err := openRows(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	at, err := rows.cursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	follow(t, l, at, func(e event.RawRecorded) error { return rows.keep(t.Context(), e) })
	got, err := rows.ids(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the rows differ from those of a clean run (-want +got):\n%s", diff)
	}
}

// follow calls f with every event up to the head.
func follow(t *testing.T, l *Log, after event.Cursor, f func(event.RawRecorded) error) {
	t.Helper()
	caughtUp := errors.New("caught up")
	err := l.Follow(t.Context(), nil, after, func(_ context.Context, m event.Message) error {
		switch m.Kind {
		case event.KindEvent:
			return f(m.Event)
		case event.KindCaughtUp:
			return caughtUp
		}
		return nil
	})
	if err != caughtUp {
		t.Fatalf("follow: %v", err)
	}
}

func ackLine(stream string, r event.Revision, id uuid.UUID) string {
	return stream + " " + strconv.FormatInt(int64(r), 10) + " " + id.String()
}

// crashChild appends and follows, and prints each append that it was told is durable. It ends only if it fails.
func crashChild(dir string) {
	l, err := Open(dir)
	if err != nil {
		fail(err)
	}
	rows, err := openRows(dir)
	if err != nil {
		fail(err)
	}
	at, err := rows.cursor(context.Background())
	if err != nil {
		fail(err)
	}
	go func() {
		fail(l.Follow(context.Background(), nil, at, func(ctx context.Context, m event.Message) error {
			if m.Kind != event.KindEvent {
				return nil
			}
			return rows.keep(ctx, m.Event)
		}))
	}()
	var out sync.Mutex
	for w := range crashWriters {
		go func() {
			stream := fmt.Sprintf("subscription-m.%d", w)
			revision := event.NoStream
			for e, err := range l.Read(context.Background(), stream, 0) {
				if errors.Is(err, event.ErrStreamNotFound) {
					break
				}
				if err != nil {
					fail(err)
				}
				revision = e.Revision
			}
			for {
				events := raw(2, 300)
				if _, err := l.Append(context.Background(), stream, revision, events...); err != nil {
					fail(err)
				}
				out.Lock()
				for i, e := range events {
					fmt.Println(ackLine(stream, revision+1+event.Revision(i), e.ID))
				}
				out.Unlock()
				revision += 2
			}
		}()
	}
	select {}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(3)
}

// rows is a small projection: it keeps ids in the order in which they came, and its cursor with them.
type rows struct{ *db.DB }

func openRows(dir string) (rows, error) {
	d, err := db.Open(filepath.Join(dir, "rows.db"), db.Options{Synchronous: "NORMAL"})
	if err != nil {
		return rows{}, err
	}
	return rows{d}, d.Update(context.Background(), func(tx projection.Tx) error {
		_, err := tx.Exec(`CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL);
			CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), position TEXT NOT NULL, id TEXT NOT NULL)`)
		return err
	})
}

func (r rows) keep(ctx context.Context, e event.RawRecorded) error {
	return r.Update(ctx, func(tx projection.Tx) error {
		if _, err := tx.Exec("INSERT INTO rows (id) VALUES ($1)", e.ID.String()); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO cursor (one, position, id) VALUES (1, $1, $2) ON CONFLICT (one) DO UPDATE SET position = excluded.position, id = excluded.id",
			e.Position.String(), e.ID.String())
		return err
	})
}

func (r rows) cursor(ctx context.Context) (c event.Cursor, err error) {
	var at, id string
	switch err := r.QueryRow(ctx, "SELECT position, id FROM cursor").Scan(&at, &id); {
	case errors.Is(err, projection.ErrNoRows):
		return c, nil
	case err != nil:
		return c, err
	}
	if c.Position, err = event.ParsePosition(at); err != nil {
		return c, err
	}
	c.LastPosition = c.Position
	c.LastID, err = uuid.Parse(id)
	return c, err
}

func (r rows) ids(ctx context.Context) ([]string, error) {
	var all string
	err := r.QueryRow(ctx, "SELECT coalesce(group_concat(id), '') FROM (SELECT id FROM rows ORDER BY n)").Scan(&all)
	return strings.Split(all, ","), err
}
