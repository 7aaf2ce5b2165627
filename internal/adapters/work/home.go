package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/projection"
)

// homeSchema is a table of one row: which log the positions in this store are of. A log can move to another store,
// and positions are of no use in any but their own. A store without the row is of a program that knew of one kind of
// log, embedded beside it.
const homeSchema = `
CREATE TABLE IF NOT EXISTS log_home (
    one    bigint PRIMARY KEY CHECK (one = 1),
    log    text   NOT NULL,
    copied bigint NOT NULL -- 1: the store came with a copy of the log, and no ledger has run on it since
)`

// Home is what a work store knows of its log.
type Home struct {
	Log    string // the log's name; empty if nobody has noted it
	Copied bool   // the store came with a copy of its log, and no ledger has run on it since
}

// Home reads what SetHome wrote.
func (w *Work) Home(ctx context.Context) (Home, error) { return readHome(ctx, w) }

func readHome(ctx context.Context, from projection.Reader) (h Home, err error) {
	err = from.QueryRow(ctx, `SELECT log, copied FROM log_home`).Scan(&h.Log, &h.Copied)
	if errors.Is(err, projection.ErrNoRows) {
		return Home{}, nil
	}
	return h, err
}

// SetLog notes of which log the positions are, by a ledger that runs on it.
func (w *Work) SetLog(ctx context.Context, name string) error {
	err := w.Update(ctx, func(tx projection.Tx) error { return SetHome(tx, Home{Log: name}) })
	if err != nil {
		return fmt.Errorf("note the log: %w", err)
	}
	return nil
}

// SetHome notes of which log the positions are, in the transaction that made them so.
func SetHome(tx projection.Tx, h Home) error {
	copied := 0
	if h.Copied {
		copied = 1
	}
	_, err := tx.Exec(`INSERT INTO log_home (one, log, copied) VALUES (1, $1, $2)
ON CONFLICT (one) DO UPDATE SET log = excluded.log, copied = excluded.copied`, h.Log, copied)
	return err
}

// HomeOf reads what the work store in a file knows of its log, whoever wrote the store; nothing if there is none. It
// changes nothing.
func HomeOf(ctx context.Context, path string) (h Home, err error) {
	err = readOnly(ctx, path, "log_home", func(from projection.Reader) (err error) {
		h, err = readHome(ctx, from)
		return err
	})
	return h, err
}

// readOnly reads a table of the work store in a file, if there is such a store, and such a table in it.
func readOnly(ctx context.Context, path, table string, read func(projection.Reader) error) (err error) {
	d, err := db.OpenReadOnly(path, Version)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, db.ErrTooOld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var there bool
	err = d.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = $1)`, table).Scan(&there)
	if err != nil || !there {
		return err
	}
	return read(d)
}
