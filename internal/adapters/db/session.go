package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ledger.internal/ledger/internal/projection"
)

// session is a connection that writes, with the statements that it has prepared. It is also the transaction that
// runs on it: a projection.Tx. One goroutine uses it at a time.
//
// Statements are not bound to a caller's context: they are short, and watching a context costs the driver more than
// most of them.
type session struct {
	conn                *sql.Conn
	stmts               map[string]*sql.Stmt
	begin, commit, undo *sql.Stmt
}

func newSession(from *sql.DB) (*session, error) {
	conn, err := from.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, stmts: map[string]*sql.Stmt{}}
	for text, stmt := range map[string]**sql.Stmt{"BEGIN IMMEDIATE": &s.begin, "COMMIT": &s.commit, "ROLLBACK": &s.undo} {
		if *stmt, err = conn.PrepareContext(context.Background(), text); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return s, nil
}

// update runs f in one transaction: all of it or nothing is kept.
func (s *session) update(f func(projection.Tx) error) (err error) {
	if _, err := s.begin.Exec(); err != nil {
		return fmt.Errorf("begin: %w", known(err))
	}
	done := false
	defer func() {
		if !done { // f failed or panicked, or COMMIT did and may have ended the transaction by itself
			_, undoErr := s.undo.Exec()
			if err == nil {
				err = known(undoErr)
			}
		}
	}()
	if err := f(s); err != nil {
		return err
	}
	if _, err := s.commit.Exec(); err != nil {
		return fmt.Errorf("commit: %w", known(err))
	}
	done = true
	return nil
}

// Exec implements projection.Tx.
func (s *session) Exec(query string, args ...any) (int64, error) {
	stmt, err := s.stmt(query)
	if err != nil {
		return 0, known(err)
	}
	var res sql.Result
	if stmt != nil {
		res, err = stmt.Exec(args...)
	} else {
		res, err = s.conn.ExecContext(context.Background(), query, args...)
	}
	if err != nil {
		return 0, known(err)
	}
	return res.RowsAffected()
}

// QueryRow implements projection.Tx.
func (s *session) QueryRow(query string, args ...any) projection.Row {
	stmt, err := s.stmt(query)
	switch {
	case err != nil:
		return failed{known(err)}
	case stmt != nil:
		return row{stmt.QueryRow(args...)}
	}
	return row{s.conn.QueryRowContext(context.Background(), query, args...)}
}

// query answers with rows, which the caller closes before anything else is done.
func (s *session) query(query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.stmt(query)
	switch {
	case err != nil:
		return nil, err
	case stmt != nil:
		return stmt.Query(args...)
	}
	return s.conn.QueryContext(context.Background(), query, args...)
}

// stmt is the prepared form of a query; nil once there are too many.
func (s *session) stmt(query string) (*sql.Stmt, error) {
	if p, ok := s.stmts[query]; ok {
		return p, nil
	}
	if len(s.stmts) == maxStatements {
		return nil, nil
	}
	p, err := s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		s.stmts[query] = p
	}
	return p, err
}

// close lets go of all statements, without which SQLite would not close the connection, and of the connection.
func (s *session) close() error {
	var errs []error
	for _, stmt := range s.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.begin.Close(), s.commit.Close(), s.undo.Close(), s.conn.Close())...)
}
