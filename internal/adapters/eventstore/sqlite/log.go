// Package sqlite keeps the log in one SQLite file: the default, which needs no service beside the program.
//
// One goroutine writes. It collects the appends that wait, checks each against its stream, and commits them together
// with one flush to disk, so that durability is paid for once per group and not once per event. Nobody is answered
// before the flush. Followers live on a tail of the log that is kept in memory and read the file only when they are
// behind it.
//
// One process owns the file; the lock on the data directory is taken by whoever opens it.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	fileName = "log.db"
	// version is the schema's.
	version = 1
	// waiting is how many appends may wait for the writer before a caller waits to be let in.
	waiting = 1024
)

// schema gives each event its place twice: positions count the log, revisions count the stream. Positions are given
// by the writer and never used twice, for nothing is ever deleted. Bodies are blobs because they are stored and
// hashed byte by byte, whatever they are. There is no index by id: a repeated append is found by its revision.
const schema = `CREATE TABLE IF NOT EXISTS events (
	position INTEGER PRIMARY KEY,
	category TEXT NOT NULL,
	stream   TEXT NOT NULL,
	revision INTEGER NOT NULL,
	id       BLOB NOT NULL,
	type     TEXT NOT NULL,
	data     BLOB NOT NULL,
	metadata BLOB NOT NULL,
	UNIQUE (stream, revision)
)`

// Log implements event.Log. The n-th event of the log has the position {n, n}.
type Log struct {
	db    *db.DB
	queue chan *request
	tail  tail // ends at the last position that is durable
	// heads are the last durable revisions of the streams that were written last. Only the writer adds to it, so
	// what it says is never older than an answered append.
	heads *lru.Cache[string, event.Revision]

	closing sync.Once
	closed  chan struct{} // tells everybody to stop
	stopped chan struct{} // the writer has
}

var _ event.Log = (*Log)(nil)

// Check answers db.ErrTooNew if a newer program wrote the log in a directory. It changes nothing.
func Check(dir string) error { return db.CheckVersion(filepath.Join(dir, fileName), version) }

// Holds reports whether there is a log with events in a directory. It changes nothing.
func Holds(ctx context.Context, dir string) (holds bool, err error) {
	d, err := db.OpenReadOnly(filepath.Join(dir, fileName), version)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, db.ErrTooOld) { // one that was begun and never opened
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = d.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM events)").Scan(&holds)
	return holds, err
}

// Open opens or creates the log in a directory.
func Open(dir string) (*Log, error) {
	l, w, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	go w.run()
	return l, nil
}

// open is Open without the writer's goroutine, for tests that take its steps one by one.
func open(dir string) (*Log, *writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	d, err := db.Open(filepath.Join(dir, fileName), db.Options{Version: version})
	if err != nil {
		return nil, nil, err
	}
	heads, err := lru.New[string, event.Revision](cachedHeads)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	l := &Log{
		db:      d,
		heads:   heads,
		queue:   make(chan *request, waiting),
		closed:  make(chan struct{}),
		stopped: make(chan struct{}),
	}
	w, err := newWriter(l)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	l.tail.start(w.position)
	return l, w, nil
}

// Append implements event.Log.
func (l *Log) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	if err := event.CheckAppend(stream, at, events); err != nil {
		return event.Position{}, err
	}
	if err := l.usable(ctx); err != nil {
		return event.Position{}, err
	}
	r := &request{stream: stream, at: at, events: events, answered: make(chan struct{})}
	select {
	case l.queue <- r:
	case <-ctx.Done():
		return event.Position{}, ctx.Err()
	case <-l.closed:
		return event.Position{}, event.ErrClosed
	}
	select {
	case <-r.answered:
		return r.position, r.err
	case <-ctx.Done():
		return r.abandon(ctx.Err())
	case <-l.stopped:
	}
	// The writer's last round may have answered; what it did not take it never will.
	if r.withdraw() {
		return event.Position{}, event.ErrClosed
	}
	<-r.answered
	return r.position, r.err
}

// Exclusive implements event.Exclusive: the lock on the data directory sees to it.
func (l *Log) Exclusive() {}

// Head implements event.Log.
func (l *Log) Head(ctx context.Context) (event.Position, error) {
	if err := l.usable(ctx); err != nil {
		return event.Position{}, err
	}
	return position(l.tail.head()), nil
}

// Close implements event.Log. It waits for the group that is being committed; appends that still wait get ErrClosed.
func (l *Log) Close() (err error) {
	l.closing.Do(func() {
		close(l.closed)
		<-l.stopped
		err = l.db.Close()
	})
	return err
}

func (l *Log) usable(ctx context.Context) error {
	select {
	case <-l.closed:
		return event.ErrClosed
	default:
		return ctx.Err()
	}
}

// failed is what a caller is told about an error of a query, which wrote nothing.
func (l *Log) failed(ctx context.Context, err error) error {
	if usable := l.usable(ctx); usable != nil {
		return usable
	}
	return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
}

func position(n uint64) event.Position { return event.Position{Commit: n, Prepare: n} }
