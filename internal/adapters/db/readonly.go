package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"ledger.internal/ledger/internal/projection"
)

// ReadOnly reads a database that another process may be writing to, and cannot change it.
type ReadOnly struct{ pool *sql.DB }

var _ projection.Reader = (*ReadOnly)(nil)

// OpenReadOnly opens the database at path for reading. It has to be of this program's version: whoever only reads
// cannot bring it up to date.
func OpenReadOnly(path string, version int) (*ReadOnly, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	pool, err := sql.Open("sqlite", dsn(path, url.Values{"mode": {"ro"}}))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	var found int
	err = pool.QueryRow("PRAGMA user_version").Scan(&found)
	switch {
	case err != nil:
		err = known(err)
	case found > version:
		err = fmt.Errorf("%w: it has schema %d, this program knows %d", ErrTooNew, found, version)
	case found < version:
		err = fmt.Errorf("%w: it has schema %d, this program knows %d", ErrTooOld, found, version)
	default:
		return &ReadOnly{pool}, nil
	}
	return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), pool.Close())
}

// QueryRow implements projection.Reader.
func (r *ReadOnly) QueryRow(ctx context.Context, query string, args ...any) projection.Row {
	return row{r.pool.QueryRowContext(ctx, query, args...)}
}

// Query implements projection.Reader. One snapshot answers the whole query.
func (r *ReadOnly) Query(ctx context.Context, query string, args ...any) (projection.Rows, error) {
	answer, err := r.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, known(err)
	}
	return rows{answer}, nil
}

// Close implements io.Closer.
func (r *ReadOnly) Close() error { return r.pool.Close() }
