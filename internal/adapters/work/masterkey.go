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
    one      bigint PRIMARY KEY CHECK (one = 1),
    key_id   bigint NOT NULL, -- of the key, nothing else
    resealed bigint NOT NULL  -- the key that all is sealed with; 0 as long as nobody has looked
)`

// MasterKey says which master key a ledger seals with, and which one all that it has sealed is sealed with; 0 for none.
type MasterKey struct{ Sealing, Resealed uint32 }

// MasterKey is what SetMasterKey and SetResealed wrote.
func (w *Work) MasterKey(ctx context.Context) (MasterKey, error) { return readMasterKey(ctx, w) }

func readMasterKey(ctx context.Context, from projection.Reader) (k MasterKey, err error) {
	err = from.QueryRow(ctx, `SELECT key_id, resealed FROM master_key`).Scan(&k.Sealing, &k.Resealed)
	if errors.Is(err, projection.ErrNoRows) {
		return k, nil
	}
	return k, err
}

// SetMasterKey notes the id of the key that is sealed with from now on.
func (w *Work) SetMasterKey(ctx context.Context, id uint32) error {
	err := w.Update(ctx, func(tx projection.Tx) error {
		_, err := tx.Exec(`INSERT INTO master_key (one, key_id, resealed) VALUES (1, $1, 0)
ON CONFLICT (one) DO UPDATE SET key_id = excluded.key_id`, int64(id))
		return err
	})
	if err != nil {
		return fmt.Errorf("note the master key: %w", err)
	}
	return nil
}

// SetResealed notes that all that was sealed before the key `id` came is sealed with it now.
func (w *Work) SetResealed(ctx context.Context, id uint32) error {
	return w.Update(ctx, func(tx projection.Tx) error {
		_, err := tx.Exec(`UPDATE master_key SET resealed = $1`, int64(id))
		return err
	})
}

// MasterKeyOf reads the MasterKey of the ledger whose work store is in a file; none if there is no store, or if it knows
// of none. It changes nothing.
func MasterKeyOf(ctx context.Context, path string) (k MasterKey, err error) {
	err = readOnly(ctx, path, "master_key", func(from projection.Reader) (err error) {
		k, err = readMasterKey(ctx, from)
		return err
	})
	return k, err
}
