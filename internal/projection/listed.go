package projection

import (
	"context"
	_ "embed"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed listed.sql
var listedSchema string

// connections is the category of their streams.
const connections = "connection"

// ListedConnections keeps which connections there are, for whoever asks their gateways what has happened.
func ListedConnections() Projection {
	return Projection{
		Name:       "listed_connections",
		Version:    1,
		Categories: []string{connections},
		Schema:     listedSchema,
		Tables:     []string{"listed_connections"},
		Apply:      applyListed,
	}
}

// applyListed notes a connection's creation. Whatever else becomes of it, its gateway can still tell of payments.
func applyListed(tx Tx, _ time.Time, e event.Recorded) error {
	c := e.GetConnectionCreated()
	if c == nil {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO listed_connections (merchant_id, connection_id, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (merchant_id, connection_id) DO NOTHING`, c.GetMerchantId(), c.GetConnectionId(), micros(e.GetMetadata().GetRecordedAt()))
	return err
}

// ListedConnection is a connection of a merchant's, and when it was made.
type ListedConnection struct {
	Merchant, Connection string
	CreatedAt            time.Time
}

// AllListedConnections reads all there are, of all merchants.
func AllListedConnections(ctx context.Context, r Reader) ([]ListedConnection, error) {
	rows, err := r.Query(ctx, `SELECT merchant_id, connection_id, created_at FROM listed_connections ORDER BY merchant_id, connection_id`)
	return collect(rows, err, func(r Row) (c ListedConnection, err error) {
		var created int64
		err = r.Scan(&c.Merchant, &c.Connection, &created)
		c.CreatedAt = time.UnixMicro(created).UTC()
		return c, err
	})
}
