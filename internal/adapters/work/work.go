// Package work is the store of what remains to be done: how far each handler has come, which streams are parked,
// raw inbound webhooks that nobody has read yet, secrets of the ledger's own, and beside them the projections that workers
// read (timers, deliveries), which others define. All but the tries of deliveries, the webhooks and the secrets can be
// rebuilt from the log.
package work

import (
	"context"
	_ "embed" // the tables stand in .sql files
	"errors"
	"fmt"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/projection"
)

// Version is the version of the tables below, and of those of the projections in this store.
const Version = 2

var (
	//go:embed parks.sql
	parksSchema string
	//go:embed webhooks.sql
	webhooksSchema string
	//go:embed listing.sql
	listingSchema string
)

// Work is the work store. It is a projection.Store too, so that projections can keep their rows in it.
type Work struct {
	projection.Store
	close func() error
}

var _ projection.Store = (*Work)(nil)

// Check answers db.ErrTooNew if a newer program wrote the work store in a file. It changes nothing.
func Check(path string) error { return db.CheckVersion(path, Version) }

// Open opens or creates the work store in a file. A commit in it survives a power cut.
func Open(path string) (*Work, error) {
	d, err := db.Open(path, db.Options{Synchronous: "FULL", Version: Version})
	if err != nil {
		return nil, err
	}
	w, err := New(context.Background(), d)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), d.Close())
	}
	w.close = d.Close
	return w, nil
}

// New makes the work store's tables in a store, if they are not there. Who opened the store closes it.
func New(ctx context.Context, store projection.Store) (*Work, error) {
	err := store.Update(ctx, func(tx projection.Tx) error {
		for _, schema := range []string{projection.CursorSchema, parksSchema, webhooksSchema, listingSchema, homeSchema, masterKeySchema, secretsSchema} {
			if _, err := tx.Exec(schema); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Work{Store: store, close: func() error { return nil }}, nil
}

// Close closes what Open opened.
func (w *Work) Close() error { return w.close() }

// StartOver forgets how far everybody has come: handlers handle the log from its beginning, and projections make their
// tables anew when they start. The messages of gateways stay, for the log does not tell what was not read, and so do the
// secrets. Nobody else may use the store meanwhile.
func (w *Work) StartOver(ctx context.Context) error {
	return w.Update(ctx, func(tx projection.Tx) error {
		for _, table := range []string{"cursors", "parks"} {
			if _, err := tx.Exec("DELETE FROM " + table); err != nil {
				return fmt.Errorf("start over: %w", err)
			}
		}
		return nil
	})
}

// earliest reads one instant that may be absent.
func (w *Work) earliest(ctx context.Context, query string, args ...any) (time.Time, bool, error) {
	var us *int64
	if err := w.QueryRow(ctx, query, args...).Scan(&us); err != nil || us == nil {
		return time.Time{}, false, err
	}
	return at(*us), true, nil
}

// at reads a stored time.
func at(us int64) time.Time { return time.UnixMicro(us).UTC() }

// collect reads the rows of an answer one by one.
func collect[R any](rows projection.Rows, err error, scan func(projection.Row) (R, error)) ([]R, error) {
	if err != nil {
		return nil, err
	}
	var out []R
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, r)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}
