package work

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"ledger.internal/ledger/internal/projection"
)

// secretsSchema is for what nobody but the ledger knows. Its values are hexadecimal.
const secretsSchema = `
CREATE TABLE IF NOT EXISTS secrets (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
)`

// secretSize is enough for a key of HMAC-SHA256.
const secretSize = 32

// Secret is random, made when it is first asked for, and the same under its name ever after.
func (w *Work) Secret(ctx context.Context, name string) ([]byte, error) {
	fresh := make([]byte, secretSize)
	_, _ = rand.Read(fresh) // never fails
	var kept string
	err := w.Update(ctx, func(tx projection.Tx) error {
		if _, err := tx.Exec(`INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, hex.EncodeToString(fresh)); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT value FROM secrets WHERE name = $1`, name).Scan(&kept)
	})
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	secret, err := hex.DecodeString(kept)
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("secret %s: the work store holds something else", name)
	}
	return secret, nil
}
