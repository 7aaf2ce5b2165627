// Package db opens the SQLite databases of a data directory: one writer and a pool of readers over one file, durable
// as asked, checked rather than hoped for. It is the only package that knows the driver. What the tables mean is left
// to those who own them: the log, the work store, the views.
package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"

	_ "modernc.org/sqlite" // the driver, known to database/sql as "sqlite"

	"ledger.internal/ledger/internal/projection"
)

// What Open can refuse with; ask with errors.Is.
var (
	// ErrTooNew means that a newer program wrote the file. Nothing was changed in it.
	ErrTooNew = errors.New("database was written by a newer version")
	// ErrTooOld means that an older program wrote the file, and only one that may write can bring it up to date.
	ErrTooOld = errors.New("database was written by an older version")
	// ErrNotDurable means that SQLite did not take the journal mode or the synchronous level it was asked for.
	ErrNotDurable = errors.New("database is not as durable as asked")
	// ErrClosed is what a DB answers after Close.
	ErrClosed = errors.New("database closed")
)

// Options say how a database is opened. The zero value is a good one.
type Options struct {
	// Synchronous is "FULL" (the default: a commit survives a power cut) or "NORMAL" (a power cut may lose the last
	// commits, never the file's consistency: for what can be rebuilt).
	Synchronous string
	// Version is this program's version of the schema, kept in PRAGMA user_version.
	Version int
	// Readers is how many queries run at once beside the writer; 4 if zero.
	Readers int
}

// DB is one SQLite file. It is safe for concurrent use: readers never wait for the writer, and writers wait for
// each other in the order in which they came.
type DB struct {
	path    string
	writers *sql.DB
	writer  *session      // the only connection that writes
	turn    chan struct{} // holds one token: the right to use writer

	readers *sql.DB
	reads   statements

	closing sync.Once
	closed  chan struct{}
}

var _ projection.Store = (*DB)(nil)

// Open opens or creates the database at path, in WAL mode. It reads back what SQLite made of the request and fails
// with ErrNotDurable if that is less.
func Open(path string, o Options) (*DB, error) {
	d, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, known(err))
	}
	return d, nil
}

func open(path string, o Options) (*DB, error) {
	if o.Synchronous == "" {
		o.Synchronous = "FULL"
	}
	level, ok := map[string]int{"FULL": 2, "NORMAL": 1}[o.Synchronous]
	if !ok {
		return nil, fmt.Errorf("synchronous must be FULL or NORMAL, not %q", o.Synchronous)
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	existed, err := create(path)
	if err != nil {
		return nil, err
	}
	if existed {
		if err := checkVersion(path, o.Version); err != nil {
			return nil, err
		}
	}
	d := &DB{path: path, turn: make(chan struct{}, 1), closed: make(chan struct{})}
	if err := d.openWriter(path, o, level); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if d.readers, err = sql.Open("sqlite", dsn(path, url.Values{"_pragma": {"query_only(1)"}})); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.readers.SetMaxOpenConns(o.Readers)
	d.readers.SetMaxIdleConns(o.Readers)
	d.reads.on = d.readers
	d.turn <- struct{}{}
	return d, nil
}

// create makes an empty file that only its owner can read, if there is none; SQLite itself would let everybody.
// An existing file is not opened: closing it again would drop the locks that SQLite may hold on it.
func create(path string) (existed bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// CheckVersion answers ErrTooNew if a newer program wrote the database at path, and nil if there is none yet. It
// changes nothing: who has several databases asks for all of them before Open changes the first.
func CheckVersion(path string, mine int) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = checkVersion(path, mine)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, known(err))
	}
	return nil
}

// checkVersion looks at the file through a connection that cannot write, not even by tidying up when it closes.
func checkVersion(path string, mine int) error {
	ro, err := sql.Open("sqlite", dsn(path, url.Values{"mode": {"ro"}}))
	if err != nil {
		return err
	}
	var found int
	err = ro.QueryRow("PRAGMA user_version").Scan(&found)
	if err := errors.Join(err, ro.Close()); err != nil {
		return err
	}
	if found > mine {
		return fmt.Errorf("%w: it has schema %d, this program knows %d", ErrTooNew, found, mine)
	}
	return nil
}

func (d *DB) openWriter(path string, o Options, level int) (err error) {
	// Foreign keys are off by default in SQLite. The page cache holds the hot end of the indexes.
	d.writers, err = sql.Open("sqlite", dsn(path, url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(" + o.Synchronous + ")", "foreign_keys(1)", "cache_size(-16384)"},
	}))
	if err != nil {
		return err
	}
	if d.writer, err = newSession(d.writers); err != nil {
		return err
	}
	ctx, conn := context.Background(), d.writer.conn
	var mode string
	var sync int
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync != level {
		return fmt.Errorf("%w: journal_mode %s, synchronous %d; asked for wal, %d", ErrNotDurable, mode, sync, level)
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", o.Version))
	return err
}

// dsn names a file and the settings of a connection to it.
func dsn(path string, settings url.Values) string {
	settings.Add("_pragma", "busy_timeout(5000)")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + settings.Encode()
}

// Raw runs f on the driver's connection of the writer, for one who counts microseconds. Nothing else writes
// meanwhile. Statements that f prepares stay usable in later calls, and are f's to close.
func (d *DB) Raw(ctx context.Context, f func(driver.Conn) error) error {
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.give()
	return known(d.writer.conn.Raw(func(c any) error { return f(c.(driver.Conn)) }))
}

// take waits for the right to use the writer.
func (d *DB) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-d.closed:
		return ErrClosed
	default:
	}
	select {
	case <-d.turn:
		return nil
	case <-d.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *DB) give() { d.turn <- struct{}{} }

// Close waits for the transaction that is running, if any, and closes the file. Closing twice is fine.
func (d *DB) Close() (err error) {
	d.closing.Do(func() {
		if d.readers != nil { // Open came so far that there is a token to wait for
			<-d.turn
		}
		close(d.closed)
		if d.readers != nil {
			err = errors.Join(d.reads.close(), d.readers.Close())
		}
		if d.writer != nil {
			// With the write-ahead log folded in, the file alone is the whole database. If that fails nothing is lost.
			_, _ = d.writer.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
			err = errors.Join(err, d.writer.close())
		}
		if d.writers != nil {
			err = errors.Join(err, d.writers.Close())
		}
	})
	return err
}
