package work

import (
	"context"
	"fmt"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// ListCursor is how far what happened at a connection's gateway has been asked for.
type ListCursor struct {
	Merchant, Connection string
	ReadUntil            time.Time // all before is kept
	NextAt               time.Time // when the gateway is asked again
	Tries                int       // how often in a row it has not answered
	Reason               string    // the last time
}

// ListCursors are those of all connections that were ever asked about.
func (w *Work) ListCursors(ctx context.Context) ([]ListCursor, error) {
	rows, err := w.Query(ctx, `SELECT merchant, connection, read_until, next_at, tries, reason FROM list_cursors
ORDER BY merchant, connection`)
	return collect(rows, err, func(r projection.Row) (c ListCursor, err error) {
		var until, next int64
		err = r.Scan(&c.Merchant, &c.Connection, &until, &next, &c.Tries, &c.Reason)
		c.ReadUntil, c.NextAt = at(until), at(next)
		return c, err
	})
}

// WebhookKnown reports whether a message was kept before.
func (w *Work) WebhookKnown(ctx context.Context, merchant, connection, message string) (known bool, err error) {
	var n int
	err = w.QueryRow(ctx, `SELECT count(*) FROM webhooks WHERE merchant = $1 AND connection = $2 AND message_id = $3`,
		merchant, connection, message).Scan(&n)
	return n > 0, err
}

// SaveListCursor writes a connection's. What was read once stays read.
func (w *Work) SaveListCursor(ctx context.Context, c ListCursor) error {
	err := w.Update(ctx, func(tx projection.Tx) error {
		_, err := tx.Exec(`INSERT INTO list_cursors (merchant, connection, read_until, next_at, tries, reason)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (merchant, connection) DO UPDATE SET next_at = excluded.next_at, tries = excluded.tries, reason = excluded.reason,
	read_until = CASE WHEN excluded.read_until > list_cursors.read_until THEN excluded.read_until ELSE list_cursors.read_until END`,
			c.Merchant, c.Connection, c.ReadUntil.UnixMicro(), c.NextAt.UnixMicro(), c.Tries, cutReason(c.Reason))
		return err
	})
	if err != nil {
		return fmt.Errorf("list cursor of %s.%s: %w", c.Merchant, c.Connection, err)
	}
	return nil
}
