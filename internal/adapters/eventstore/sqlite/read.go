package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	// A page is read whole, so that no reader of the database waits for whoever takes the events; it ends early
	// when it holds pageBytes.
	pageEvents = 256
	pageBytes  = 1 << 20

	columns = "SELECT position, stream, revision, id, type, data, metadata FROM events "
	// Written out: SQLite plans a query anew for each value of a limit that is bound.
	limit = "LIMIT 256"
)

// Read implements event.Log.
func (l *Log) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		err := event.CheckRead(stream, from)
		if head, ok := l.heads.Get(stream); ok && from > head && err == nil {
			if err = l.usable(ctx); err == nil {
				return // nothing stands behind the last event; who folds a stream asks for this again and again
			}
		}
		for next := from; err == nil; {
			var page []event.RawRecorded
			var full bool
			page, full, err = l.readStream(ctx, stream, next)
			if err == nil && len(page) == 0 && next == from {
				err = l.mustExist(ctx, stream, from)
			}
			for _, e := range page {
				if err = l.usable(ctx); err != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if err == nil && !full {
				return
			}
			next += event.Revision(len(page))
		}
		yield(event.RawRecorded{}, err)
	}
}

func (l *Log) readStream(ctx context.Context, stream string, from event.Revision) (page []event.RawRecorded, full bool, err error) {
	return l.page(ctx, columns+"WHERE stream = $1 AND revision >= $2 ORDER BY revision "+limit, stream, int64(from))
}

// mustExist tells a stream that has no events from one that has none behind from.
func (l *Log) mustExist(ctx context.Context, stream string, from event.Revision) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	if from == 0 {
		return fmt.Errorf("%w: %s", event.ErrStreamNotFound, stream)
	}
	var one int
	err := l.db.QueryRow(ctx, "SELECT 1 FROM events WHERE stream = $1 LIMIT 1", stream).Scan(&one)
	switch {
	case errors.Is(err, projection.ErrNoRows):
		return fmt.Errorf("%w: %s", event.ErrStreamNotFound, stream)
	case err != nil:
		return l.failed(ctx, err)
	}
	return nil
}

// page reads rows of columns. It is full if there may be more after it.
func (l *Log) page(ctx context.Context, query string, args ...any) (page []event.RawRecorded, full bool, err error) {
	if err := l.usable(ctx); err != nil {
		return nil, false, err
	}
	rows, err := l.db.Query(ctx, query, args...)
	if err != nil {
		return nil, false, l.failed(ctx, err)
	}
	defer rows.Close()
	for held := 0; held < pageBytes && len(page) < pageEvents; {
		if !rows.Next() {
			if err := rows.Err(); err != nil {
				return nil, false, l.failed(ctx, err)
			}
			return page, false, nil
		}
		e, err := scan(rows)
		if err != nil {
			return nil, false, l.failed(ctx, err)
		}
		held += size(e)
		page = append(page, e)
	}
	return page, true, nil
}

func scan(rows projection.Rows) (e event.RawRecorded, err error) {
	var at int64
	var id []byte
	if err := rows.Scan(&at, &e.Stream, &e.Revision, &id, &e.Type, &e.Data, &e.Metadata); err != nil {
		return e, err
	}
	e.Position = position(uint64(at))
	e.ID, err = uuid.FromBytes(id)
	return e, err
}

// inCategories is the condition that an event of positions ($1, $2] is of one of the categories, which follow as
// arguments.
func inCategories(n int) string {
	if n == 0 {
		return "WHERE position > $1 AND position <= $2 ORDER BY position"
	}
	var b strings.Builder
	b.WriteString("WHERE position > $1 AND position <= $2 AND category IN (")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+3)
	}
	b.WriteString(") ORDER BY position")
	return b.String()
}
