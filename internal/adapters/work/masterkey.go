package work

import (
	"context"
	"errors"
	"fmt"

	"ledger.internal/ledger/internal/projection"
)

// masterKeySchema is a table of one row: which master key the ledger seals with. Without that key, what it has sealed
// cannot be opened, and so a ledger that finds none, or another one, must not go on as if it were new.
const masterKeySchema = `
CREATE TABLE IF NOT EXISTS master_key (
    one    bigint PRIMARY KEY CHECK (one = 1),
    key_id bigint NOT NULL -- of the key, nothing else
)`

// MasterKey is the id that SetMasterKey wrote; 0 if none was.
func (w *Work) MasterKey(ctx context.Context) (uint32, error) { return readMasterKey(ctx, w) }

func readMasterKey(ctx context.Context, from projection.Reader) (id uint32, err error) {
	err = from.QueryRow(ctx, `SELECT key_id FROM master_key`).Scan(&id)
	if errors.Is(err, projection.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// SetMasterKey notes the id of the key that is sealed with from now on.
func (w *Work) SetMasterKey(ctx context.Context, id uint32) error {
	err := w.Update(ctx, func(tx projection.Tx) error {
		_, err := tx.Exec(`INSERT INTO master_key (one, key_id) VALUES (1, $1)
ON CONFLICT (one) DO UPDATE SET key_id = excluded.key_id`, int64(id))
		return err
	})
	if err != nil {
		return fmt.Errorf("note the master key: %w", err)
	}
	return nil
}

// MasterKeyOf reads which key the ledger seals with whose work store is in a file; 0 if there is no store, or if it
// knows of none. It changes nothing.
func MasterKeyOf(ctx context.Context, path string) (id uint32, err error) {
	err = readOnly(ctx, path, "master_key", func(from projection.Reader) (err error) {
		id, err = readMasterKey(ctx, from)
		return err
	})
	return id, err
}
