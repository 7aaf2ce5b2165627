package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"ledger.internal/ledger/internal/projection"
)

// spareSuffix is what a spare's file is called beside its database's.
const spareSuffix = ".spare"

// Spare is an empty database beside another, for rows that are built anew: a file that is gone when it is closed, and
// that the next Spare throws away if nobody could close this one. It is fast because nothing in it has to survive.
type Spare struct {
	of      *DB
	path    string
	file    *sql.DB
	session *session
}

var _ projection.Spare = (*Spare)(nil)

// Spare implements projection.Spared.
func (d *DB) Spare(context.Context) (projection.Spare, error) {
	s := &Spare{of: d, path: d.path + spareSuffix}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.path, known(err)), s.Close())
	}
	return s, nil
}

func (s *Spare) open() (err error) {
	if err := s.remove(); err != nil {
		return err
	}
	if _, err := create(s.path); err != nil {
		return err
	}
	// Without a journal a transaction that fails leaves the file in ruins, which is why it is never used again then.
	// The settings are those of the spare alone: nobody may lock the live database out.
	s.file, err = sql.Open("sqlite", dsn(s.path, url.Values{"_pragma": {
		"main.journal_mode(OFF)", "main.synchronous(OFF)", "main.locking_mode(EXCLUSIVE)", "main.cache_size(-65536)",
	}}))
	if err != nil {
		return err
	}
	s.file.SetMaxOpenConns(1)
	if s.session, err = newSession(s.file); err != nil {
		return err
	}
	_, err = s.session.conn.ExecContext(context.Background(), "ATTACH $1 AS live", dsn(s.of.path, url.Values{"mode": {"ro"}}))
	return err
}

// Update implements projection.Store. After an error the Spare is of no use.
func (s *Spare) Update(ctx context.Context, f func(projection.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.session.update(f)
}

// QueryRow implements projection.Reader.
func (s *Spare) QueryRow(ctx context.Context, query string, args ...any) projection.Row {
	return row{s.session.conn.QueryRowContext(ctx, query, args...)}
}

// Query implements projection.Reader. Until its rows are closed, nothing else can be done.
func (s *Spare) Query(ctx context.Context, query string, args ...any) (projection.Rows, error) {
	r, err := s.session.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, known(err)
	}
	return rows{r}, nil
}

// Columns implements projection.Spare.
func (s *Spare) Columns(ctx context.Context, table string) (all, key []string, err error) {
	answer, err := s.Query(ctx, "SELECT name, pk FROM pragma_table_info($1, 'main') ORDER BY cid", table)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Close()
	for answer.Next() {
		var name string
		var pk int
		if err := answer.Scan(&name, &pk); err != nil {
			return nil, nil, err
		}
		all = append(all, name)
		if pk > 0 {
			key = append(key, name)
		}
	}
	return all, key, answer.Err()
}

// DropIndexes implements projection.Spare.
func (s *Spare) DropIndexes(ctx context.Context) error {
	answer, err := s.Query(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
	if err != nil {
		return err
	}
	defer answer.Close()
	var names []string
	for answer.Next() {
		var name string
		if err := answer.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	if err := errors.Join(answer.Err(), answer.Close()); err != nil {
		return err
	}
	return s.Update(ctx, func(tx projection.Tx) error {
		for _, name := range names {
			if _, err := tx.Exec("DROP INDEX main." + name); err != nil {
				return err
			}
		}
		return nil
	})
}

// Switch implements projection.Spare.
func (s *Spare) Switch(ctx context.Context, f func(projection.Tx) error) error {
	if err := s.closeFile(); err != nil { // gives up its lock
		return err
	}
	if err := s.of.take(ctx); err != nil {
		return err
	}
	defer s.of.give()
	w := s.of.writer
	if _, err := w.conn.ExecContext(ctx, "ATTACH $1 AS spare", dsn(s.path, url.Values{"mode": {"ro"}})); err != nil {
		return known(err)
	}
	err := w.update(f)
	_, detached := w.conn.ExecContext(context.WithoutCancel(ctx), "DETACH spare")
	return errors.Join(err, known(detached))
}

func (s *Spare) closeFile() error {
	var errs []error
	if s.session != nil {
		errs = append(errs, s.session.close())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	s.session, s.file = nil, nil
	return errors.Join(errs...)
}

func (s *Spare) remove() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close implements projection.Spare.
func (s *Spare) Close() error { return errors.Join(s.closeFile(), s.remove()) }
