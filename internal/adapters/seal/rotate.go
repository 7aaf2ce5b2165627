package seal

import (
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Listed is what may be told of a master key: nothing of the keys themselves.
type Listed struct {
	Wrapped bool     // by a key management service
	Keys    []uint32 // their ids, as they stand in the file
	Primary uint32   // the one that seals
}

// List reads a master key, as a ledger would when it starts, and lists its keys.
func List(ctx context.Context, path, kms string) (Listed, error) {
	return list(ctx, newFile(ctx, path, kms))
}

func list(ctx context.Context, f file) (Listed, error) {
	k, err := f.read(ctx)
	if err != nil {
		return Listed{}, err
	}
	return Listed{Wrapped: f.wrapper != nil, Keys: k.ids, Primary: k.primary}, nil
}

// Rotate adds a new key, which seals from now on. The keys of before still open what they have sealed. A running Sealer
// learns of it when it seals next, or is to open something that was sealed with the new key.
func Rotate(ctx context.Context, path, kms string) (id uint32, err error) {
	return rotate(ctx, newFile(ctx, path, kms))
}

func rotate(ctx context.Context, f file) (id uint32, err error) {
	err = f.change(ctx, func(m *keyset.Manager, _ *keys) error {
		if id, err = m.Add(aead.AES256GCMKeyTemplate()); err != nil {
			return fmt.Errorf("make a key: %w", err)
		}
		return m.SetPrimary(id)
	})
	return id, err
}

// Retire removes a key for good, but for the copies in backups. What it has sealed, and nobody has sealed anew since,
// cannot be opened any more. The primary key cannot be retired.
func Retire(ctx context.Context, path, kms string, id uint32) error {
	return retire(ctx, newFile(ctx, path, kms), id)
}

func retire(ctx context.Context, f file, id uint32) error {
	return f.change(ctx, func(m *keyset.Manager, k *keys) error {
		switch {
		case id == k.primary:
			return fmt.Errorf("%w: %d is the primary one: rotate first", ErrKeyID, id)
		case !k.has(id):
			return fmt.Errorf("%w: there is no key %d, but %v", ErrKeyID, id, k.ids)
		}
		return m.Delete(id)
	})
}
