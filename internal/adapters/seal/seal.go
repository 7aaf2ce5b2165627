// Package seal keeps secrets that have to be stored: what Seal made of one can be opened with the master key only, and
// only as the secret of the resource that it was sealed for. The master key is a Tink keyset in a file of its own: one
// primary key, which seals, and older ones, which still open what they have sealed. Where the sealed bytes are kept is
// up to others, and so is who may see what is in them.
//
// A secret that goes to another resource is refused because the resource's name is authenticated with it
// (https://developers.google.com/tink/aead). Each sealed value begins with the id of its key
// (https://developers.google.com/tink/wire-format), so that a running ledger notices a key that it does not know, and
// reads the file anew: keys are rotated beside it.
package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/core/cryptofmt"
)

// What can be wrong with a master key, or with what was sealed. None of these errors, nor any that wraps them, shows
// anything of a key or of a secret.
var (
	// ErrUnsealable means that bytes are not what Seal has made for this resource with a key that is there.
	ErrUnsealable = errors.New("cannot be unsealed: the master key is not the one that it was sealed with, " +
		"or it was sealed for something else, or it was changed")
	// ErrMissing means that there is no file with the master key.
	ErrMissing = errors.New("the file with the master key is missing")
	// ErrFile means that the file cannot be read, or that others can read it.
	ErrFile = errors.New("the file with the master key")
	// ErrInvalid means that the file does not hold a master key, or not in the form that was asked for.
	ErrInvalid = errors.New("not a master key")
	// ErrOther means that the file lacks a key that has been sealed with.
	ErrOther = errors.New("another master key")
	// ErrKMS means that a URI does not name a key of a key management service.
	ErrKMS = errors.New("not a key of a key management service")
	// ErrUnavailable means that the key management service did not do its part. That may pass.
	ErrUnavailable = errors.New("the key management service did not answer as it should")
	// ErrKeyID means that a key that is to be retired is not there, or is the primary one.
	ErrKeyID = errors.New("no key to retire")
)

// Options say where the master key is.
type Options struct {
	// Path is the file with the keyset, in JSON as Tink writes it. Only its owner may read it.
	Path string
	// KMS names the key that wraps the keyset in the file, if one does: see CheckKMS. Without it the keyset stands
	// there in clear.
	KMS string
	// Create says that nothing was ever sealed with a key in this file, so that a new one is made if there is none.
	// Nobody but the caller can know that, and what an earlier key has sealed cannot be opened with a new one.
	Create bool
	// Needed is the id of a key that something was sealed with; 0 if nothing was. A file without it is refused.
	Needed uint32
	// Note is told the id of the primary key before something is sealed with it, if it is another one than Needed or
	// than the one before. After an error nothing is sealed with it. May be nil.
	Note func(key uint32) error
}

// Sealer seals and opens. It is safe for concurrent use.
type Sealer struct {
	file file
	note func(uint32) error
	keys atomic.Pointer[keys]

	mu       sync.Mutex // held while the file is looked at
	needed   uint32
	failed   error // why the file could not be read anew
	failedAt time.Time
}

// OpenFile reads the master key, and makes one first if it may.
func OpenFile(ctx context.Context, o Options) (*Sealer, error) {
	return open(ctx, newFile(ctx, o.Path, o.KMS), o)
}

func open(ctx context.Context, f file, o Options) (*Sealer, error) {
	s := &Sealer{file: f, note: o.Note, needed: o.Needed}
	k, err := f.read(ctx)
	if errors.Is(err, ErrMissing) && o.Create {
		if err := f.create(ctx); err != nil {
			return nil, err
		}
		k, err = f.read(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s, s.take(k)
}

// Seal encrypts a secret for a resource. The same secret is never sealed to the same bytes twice.
func (s *Sealer) Seal(plain []byte, resource string) ([]byte, error) {
	// Always with the file's keys of now: what is sealed with a key that has been retired meanwhile is lost.
	k, err := s.look()
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", resource, err)
	}
	sealed, err := k.aead.Encrypt(plain, []byte(resource))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", resource, err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for a resource. The error is ErrUnsealable, unless the file had to be read and could
// not be.
func (s *Sealer) Open(sealed []byte, resource string) ([]byte, error) {
	id, ok := keyOf(sealed)
	if !ok {
		return nil, fmt.Errorf("%s %w", resource, ErrUnsealable)
	}
	k := s.keys.Load()
	if !k.has(id) {
		var err error
		if k, err = s.look(); err != nil {
			return nil, fmt.Errorf("%s was sealed with key %d, which was not there before: %w", resource, id, err)
		}
	}
	plain, err := k.aead.Decrypt(sealed, []byte(resource))
	if err != nil {
		return nil, fmt.Errorf("%s %w", resource, ErrUnsealable)
	}
	return plain, nil
}

// Current reports whether a value was sealed with the primary key. One that was not has to be sealed anew before its
// key is retired.
func (s *Sealer) Current(sealed []byte) bool {
	k, err := s.look()
	if err != nil {
		k = s.keys.Load()
	}
	id, ok := keyOf(sealed)
	return ok && id == k.primary
}

// keyOf is the id of the key that a value was sealed with.
func keyOf(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < cryptofmt.TinkPrefixSize || sealed[0] != cryptofmt.TinkStartByte {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:cryptofmt.TinkPrefixSize]), true
}

const (
	// pause is how long a file that could not be read is left alone, lest he who sends bytes of unknown keys keeps
	// the key management service busy.
	pause = time.Second
	// patience is how long that service may take while something waits to be sealed or opened.
	patience = 10 * time.Second
)

// look is the keys in the file, which is only read if it is not the one that was read before.
func (s *Sealer) look() (*keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys.Load()
	if info, err := os.Stat(s.file.path); err == nil && k.from(info) {
		return k, nil
	}
	if s.failed != nil && time.Since(s.failedAt) < pause {
		return nil, s.failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k, err := s.file.read(ctx)
	if err == nil {
		err = s.take(k)
	}
	if s.failed, s.failedAt = err, time.Now(); err != nil {
		return nil, err
	}
	return k, nil
}

// take makes keys those that are used from now on.
func (s *Sealer) take(k *keys) error {
	if s.needed != 0 && !k.has(s.needed) {
		return fmt.Errorf("%w: %s lacks key %d, which this ledger has sealed with", ErrOther, s.file.path, s.needed)
	}
	if s.note != nil && k.primary != s.needed {
		if err := s.note(k.primary); err != nil {
			return fmt.Errorf("note the key: %w", err)
		}
	}
	s.needed = k.primary
	s.keys.Store(k)
	return nil
}
