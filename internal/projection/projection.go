// Package projection is the read side: each projection copies events, one at a time and in log order, into rows
// that queries and workers read. A projection's rows and its cursor are written in one transaction of one store.
//
// Rows are shaped so that the past can be asked for: orders and postings are only ever inserted, pay numbers get a new
// version when a listed column changes (known_from, known_to). known_at is the running maximum of recorded_at in log order.
package projection

import (
	"context"
	"slices"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Projection is a named reader of the log. Apply is called once per event of the categories, in log order, inside
// the transaction that also moves the cursor.
type Projection struct {
	Name       string
	Version    int      // a stored cursor of another version makes the follower start over on new tables
	Categories []string // none: all
	Schema     string   // CREATE TABLE IF NOT EXISTS …, for SQLite and PostgreSQL alike
	Tables     []string // what Schema creates; dropped before a start over
	// Former are the tables that earlier versions made under names that are not among Tables, by version.
	Former map[int][]string
	Views  []View // of Tables, for analysts
	Apply  func(tx Tx, known time.Time, e event.Recorded) error
}

// follows reports whether the projection reads a stream.
func (p Projection) follows(stream string) bool {
	return len(p.Categories) == 0 || slices.Contains(p.Categories, event.Category(stream))
}

// createTables makes what is missing of the projection's tables and their indexes.
func (p Projection) createTables(tx Tx) error {
	if p.Schema == "" {
		return nil
	}
	_, err := tx.Exec(p.Schema)
	return err
}

// create makes what is missing of the projection's tables, and the views of them.
func (p Projection) create(tx Tx) error {
	if err := p.createTables(tx); err != nil {
		return err
	}
	for _, v := range p.Views {
		if err := v.create(tx); err != nil {
			return err
		}
	}
	return nil
}

// drop removes the projection's tables, those of a former version too. from is "", or a schema and a point.
func (p Projection) drop(tx Tx, from string, former int) error {
	for _, table := range slices.Concat(p.Tables, p.Former[former]) {
		if _, err := tx.Exec("DROP TABLE IF EXISTS " + from + table); err != nil {
			return err
		}
	}
	return nil
}

// Tx is a transaction on the store that a projection's rows live in. Placeholders are $1, $2, …; times are stored
// as microseconds since 1970 (bigint), texts as text, amounts as bigint minor units beside a currency column.
type Tx interface {
	Exec(query string, args ...any) (affected int64, err error)
	QueryRow(query string, args ...any) Row
}

// Row is one row of an answer.
type Row interface{ Scan(dest ...any) error }

// Rows is an answer.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Reader answers queries outside of a transaction.
type Reader interface {
	QueryRow(ctx context.Context, query string, args ...any) Row
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}

// Store is a database that projections keep their rows in.
type Store interface {
	Reader
	// Update runs f in one transaction: all of it or nothing is kept.
	Update(ctx context.Context, f func(Tx) error) error
}

// ErrNoRows is what Row.Scan returns when there is no row.
var ErrNoRows = errNoRows{}

type errNoRows struct{}

func (errNoRows) Error() string { return "no rows" }
