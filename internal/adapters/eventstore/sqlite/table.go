package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"ledger.internal/ledger/internal/aggregate/event"
)

// table is the events table as the writer sees it: statements on the driver's connection, without database/sql in
// between, which would cost as much as the inserts. Only the writer's goroutine uses it.
type table struct {
	beginning, committing, undoing        *statement
	inserting, comparing, heading, ending *statement

	row    [8]driver.NamedValue // arguments, used again and again
	values []driver.Value
}

func prepare(c driver.Conn) (*table, error) {
	create, err := newStatement(c, schema)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(create.exec(nil), create.Close()); err != nil {
		return nil, err
	}
	t := &table{values: make([]driver.Value, 2)}
	for i := range t.row {
		t.row[i].Ordinal = i + 1
	}
	for text, s := range map[string]**statement{
		"BEGIN IMMEDIATE": &t.beginning,
		"COMMIT":          &t.committing,
		"ROLLBACK":        &t.undoing,
		`INSERT INTO events (position, category, stream, revision, id, type, data, metadata)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`: &t.inserting,
		"SELECT position, id FROM events WHERE stream = $1 AND revision >= $2 ORDER BY revision": &t.comparing,
		"SELECT coalesce(max(revision), -1), 0 FROM events WHERE stream = $1":                    &t.heading,
		"SELECT coalesce(max(position), 0), 0 FROM events":                                       &t.ending,
	} {
		if *s, err = newStatement(c, text); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *table) begin() error  { return t.beginning.exec(nil) }
func (t *table) commit() error { return t.committing.exec(nil) }

// rollback ends the transaction that failed. An error says that the failure has ended it already.
func (t *table) rollback() { _ = t.undoing.exec(nil) }

func (t *table) close() error {
	var errs []error
	for _, s := range []*statement{t.beginning, t.committing, t.undoing, t.inserting, t.comparing, t.heading, t.ending} {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// insert adds rows. Positions and revisions are part of them.
func (t *table) insert(rows []event.RawRecorded) error {
	for i := range rows {
		e := &rows[i]
		for j, v := range [8]driver.Value{int64(e.Position.Commit), event.Category(e.Stream), e.Stream, int64(e.Revision),
			e.ID[:], e.Type, blob(e.Data), blob(e.Metadata)} {
			t.row[j].Value = v
		}
		if err := t.inserting.exec(t.row[:]); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
	}
	return nil
}

// blob keeps an empty body empty: the driver stores nil as NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// last is the position of the last event, 0 for none.
func (t *table) last() (uint64, error) {
	n, err := t.number(t.ending, nil)
	return uint64(n), err
}

// revision is a stream's last revision.
func (t *table) revision(stream string) (event.Revision, error) {
	t.row[0].Value = stream
	n, err := t.number(t.heading, t.row[:1])
	return event.Revision(n), err
}

func (t *table) number(s *statement, args []driver.NamedValue) (n int64, err error) {
	err = s.query(args, t.values, func() (bool, error) {
		var ok bool
		if n, ok = t.values[0].(int64); !ok {
			return false, fmt.Errorf("got %T, want a number", t.values[0])
		}
		return false, nil
	})
	return n, err
}

// compare reports whether exactly these events stand in the stream from a revision on, and the last one's position.
func (t *table) compare(stream string, from event.Revision, events []event.Raw) (last uint64, same bool, err error) {
	t.row[0].Value, t.row[1].Value = stream, int64(from)
	equal := 0
	err = t.comparing.query(t.row[:2], t.values, func() (bool, error) {
		id, ok := t.values[1].([]byte)
		if !ok || string(id) != string(events[equal].ID[:]) {
			return false, nil
		}
		n, _ := t.values[0].(int64)
		last = uint64(n)
		equal++
		return equal < len(events), nil
	})
	return last, equal == len(events), err
}

// statement is a prepared statement of the driver.
type statement struct{ driver.Stmt }

func newStatement(c driver.Conn, text string) (*statement, error) {
	s, err := c.Prepare(text)
	if err != nil {
		return nil, err
	}
	return &statement{s}, nil
}

func (s *statement) exec(args []driver.NamedValue) error {
	_, err := s.Stmt.(driver.StmtExecContext).ExecContext(context.Background(), args)
	return err
}

// query calls f after each row that it has put into values, as long as f wants another.
func (s *statement) query(args []driver.NamedValue, values []driver.Value, f func() (more bool, err error)) (err error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if more, err := f(); !more || err != nil {
			return err
		}
	}
}
