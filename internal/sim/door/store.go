package door

import (
	"context"

	"ledger.internal/ledger/internal/projection"
)

// ToStore is a store behind a door; name is Work or Views. A transaction is one call: it is made or not.
func ToStore(name string, store projection.Store, g Guard) projection.Store {
	return guardedStore{name, store, g}
}

type guardedStore struct {
	name  string
	store projection.Store
	guard Guard
}

// Update implements projection.Store. A commit whose answer is lost is an error to the caller.
func (s guardedStore) Update(ctx context.Context, f func(projection.Tx) error) error {
	c := Call{Neighbour: s.name, Name: "update"}
	if err := s.guard.Before(ctx, c); err != nil {
		return err
	}
	if err := s.store.Update(ctx, f); err != nil {
		return err
	}
	return s.guard.After(ctx, c)
}

// QueryRow implements projection.Reader.
func (s guardedStore) QueryRow(ctx context.Context, query string, args ...any) projection.Row {
	if err := s.guard.Before(ctx, Call{Neighbour: s.name, Name: "query"}); err != nil {
		return failedRow{err}
	}
	return s.store.QueryRow(ctx, query, args...)
}

// Query implements projection.Reader.
func (s guardedStore) Query(ctx context.Context, query string, args ...any) (projection.Rows, error) {
	if err := s.guard.Before(ctx, Call{Neighbour: s.name, Name: "query"}); err != nil {
		return nil, err
	}
	return s.store.Query(ctx, query, args...)
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }
