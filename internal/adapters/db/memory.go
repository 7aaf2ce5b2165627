package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"reflect"

	"ledger.internal/ledger/internal/projection"
)

// Memory is a database that lives as long as it is open: for tests and trials that make one after the other. There is
// one connection. A query reads its whole answer before it gives it, so that an open answer holds up nobody.
type Memory struct {
	pool    *sql.DB
	session *session
	turn    chan struct{}
}

var _ projection.Store = (*Memory)(nil)

// OpenMemory opens an empty database.
func OpenMemory() (*Memory, error) {
	pool, err := sql.Open("sqlite", "file::memory:?"+url.Values{"_pragma": {
		"foreign_keys(1)", "journal_mode(MEMORY)", "synchronous(OFF)", "temp_store(MEMORY)",
	}}.Encode())
	if err != nil {
		return nil, fmt.Errorf("open in memory: %w", err)
	}
	pool.SetMaxOpenConns(1)
	m := &Memory{pool: pool, turn: make(chan struct{}, 1)}
	if m.session, err = newSession(pool); err != nil {
		return nil, errors.Join(fmt.Errorf("open in memory: %w", known(err)), pool.Close())
	}
	return m, nil
}

// Update implements projection.Store.
func (m *Memory) Update(ctx context.Context, f func(projection.Tx) error) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer m.give()
	return m.session.update(f)
}

// QueryRow implements projection.Reader.
func (m *Memory) QueryRow(ctx context.Context, query string, args ...any) projection.Row {
	answer, err := m.Query(ctx, query, args...)
	if err != nil {
		return failed{err}
	}
	if !answer.Next() {
		return failed{projection.ErrNoRows}
	}
	return answer
}

// Query implements projection.Reader.
func (m *Memory) Query(ctx context.Context, query string, args ...any) (projection.Rows, error) {
	if err := m.take(ctx); err != nil {
		return nil, err
	}
	defer m.give()
	answer, err := m.session.query(query, args...)
	if err != nil {
		return nil, known(err)
	}
	defer answer.Close()
	columns, err := answer.Columns()
	if err != nil {
		return nil, known(err)
	}
	read := &readRows{at: -1}
	for answer.Next() {
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := answer.Scan(into...); err != nil {
			return nil, known(err)
		}
		read.all = append(read.all, row)
	}
	return read, known(answer.Err())
}

func (m *Memory) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Memory) give() { <-m.turn }

// Close throws the database away.
func (m *Memory) Close() error { return errors.Join(m.session.close(), m.pool.Close()) }

// readRows is an answer that was read already.
type readRows struct {
	all [][]any
	at  int
}

func (r *readRows) Next() bool {
	r.at++
	return r.at < len(r.all)
}

func (r *readRows) Err() error   { return nil }
func (r *readRows) Close() error { return nil }

// Scan gives the current row as database/sql would.
func (r *readRows) Scan(dest ...any) error {
	row := r.all[r.at]
	if len(row) != len(dest) {
		return fmt.Errorf("scan %d columns into %d places", len(row), len(dest))
	}
	for i, value := range row {
		if err := place(dest[i], value); err != nil {
			return fmt.Errorf("scan column %d: %w", i, err)
		}
	}
	return nil
}

// place puts a value of the driver's into what a caller scans into.
func place(dest, value any) error {
	switch d := dest.(type) {
	case *any:
		*d = value
		return nil
	case sql.Scanner:
		return d.Scan(value)
	}
	to := reflect.ValueOf(dest).Elem()
	if to.Kind() == reflect.Pointer {
		if value == nil {
			to.SetZero()
			return nil
		}
		fresh := reflect.New(to.Type().Elem())
		to.Set(fresh)
		return place(fresh.Interface(), value)
	}
	from := reflect.ValueOf(value)
	switch v := value.(type) {
	case nil:
		return fmt.Errorf("NULL does not fit a %s", to.Type())
	case int64:
		switch to.Kind() {
		case reflect.Bool:
			to.SetBool(v != 0)
			return nil
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			to.SetInt(v)
			return nil
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			to.SetUint(uint64(v))
			return nil
		}
	case string, []byte:
		isText := to.Kind() == reflect.String || to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8
		if isText {
			to.Set(from.Convert(to.Type()))
			return nil
		}
	case float64:
		if to.Kind() == reflect.Float64 {
			to.SetFloat(v)
			return nil
		}
	}
	return fmt.Errorf("a %T does not fit a %s", value, to.Type())
}
