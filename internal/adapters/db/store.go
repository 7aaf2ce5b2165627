package db

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"ledger.internal/ledger/internal/projection"
)

// maxStatements bounds each cache of prepared statements. Queries are texts in the program, so only ones that are
// put together from a caller's filters can be more; those beyond are prepared each time.
const maxStatements = 512

// Update implements projection.Store. Inside f only the Tx may be used to write: Update does not nest. What f
// returns comes back as it is.
func (d *DB) Update(ctx context.Context, f func(projection.Tx) error) error {
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.give()
	return d.writer.update(f)
}

// QueryRow implements projection.Reader. It sees what was committed before it began.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) projection.Row {
	stmt, err := d.reads.get(ctx, query)
	switch {
	case err != nil:
		return failed{known(err)}
	case stmt != nil:
		return row{stmt.QueryRowContext(ctx, args...)}
	}
	return row{d.readers.QueryRowContext(ctx, query, args...)}
}

// Query implements projection.Reader. One snapshot answers the whole query; it holds a reader until it is closed.
func (d *DB) Query(ctx context.Context, query string, args ...any) (projection.Rows, error) {
	stmt, err := d.reads.get(ctx, query)
	if err != nil {
		return nil, known(err)
	}
	var r *sql.Rows
	if stmt != nil {
		r, err = stmt.QueryContext(ctx, args...)
	} else {
		r, err = d.readers.QueryContext(ctx, query, args...)
	}
	if err != nil {
		return nil, known(err)
	}
	return rows{r}, nil
}

// statements caches the readers' prepared statements.
type statements struct {
	on   *sql.DB
	mu   sync.RWMutex
	byID map[string]*sql.Stmt
}

// get returns the prepared form of a query; nil once there are too many.
func (c *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	c.mu.RLock()
	s, ok := c.byID[query]
	full := len(c.byID) >= maxStatements
	c.mu.RUnlock()
	if ok || full {
		return s, nil
	}
	s, err := c.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, ok := c.byID[query]; ok {
		return other, s.Close()
	}
	if c.byID == nil {
		c.byID = map[string]*sql.Stmt{}
	}
	c.byID[query] = s
	return s, nil
}

// close lets go of all statements: SQLite does not close a connection that has any.
func (c *statements) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, s := range c.byID {
		errs = append(errs, s.Close())
	}
	c.byID = nil
	return errors.Join(errs...)
}

// row, rows and failed answer in projection's terms.
type row struct{ r *sql.Row }

func (r row) Scan(dest ...any) error { return known(r.r.Scan(dest...)) }

type rows struct{ r *sql.Rows }

func (r rows) Next() bool             { return r.r.Next() }
func (r rows) Scan(dest ...any) error { return known(r.r.Scan(dest...)) }
func (r rows) Err() error             { return known(r.r.Err()) }
func (r rows) Close() error           { return known(r.r.Close()) }

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

// known adds to a driver's error what the rest of the program asks for.
func known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return projection.ErrNoRows
	case errors.Is(err, sql.ErrConnDone):
		return ErrClosed
	case diskFull(err):
		return full{err}
	}
	return err
}
