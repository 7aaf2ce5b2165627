package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// file is where a master key is kept.
type file struct {
	path    string
	wrapper func() (tink.AEADWithContext, error) // the key that wraps those in the file; nil if they stand there in clear
}

// newFile is a file whose keys a service wraps if it is named. The service is asked no sooner than it is needed, and is
// dialled once.
func newFile(ctx context.Context, path, kms string) file {
	if kms == "" {
		return file{path: path}
	}
	return file{path: path, wrapper: sync.OnceValues(func() (tink.AEADWithContext, error) { return dialKMS(ctx, kms) })}
}

// keys are the keys of a file as they were when it was read.
type keys struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	ids     []uint32
	primary uint32
	info    fs.FileInfo
}

func (k *keys) has(id uint32) bool { return slices.Contains(k.ids, id) }

// from reports whether the keys were read from the file that is there now.
func (k *keys) from(now fs.FileInfo) bool {
	return os.SameFile(k.info, now) && k.info.ModTime().Equal(now.ModTime()) && k.info.Size() == now.Size()
}

// read reads the keys.
func (f file) read(ctx context.Context) (*keys, error) {
	text, info, err := f.load()
	if err != nil {
		return nil, err
	}
	h, err := f.decode(ctx, text)
	if err != nil {
		return nil, err
	}
	k := &keys{handle: h, info: info}
	for i := range h.Len() {
		e, err := h.Entry(i)
		if err != nil {
			return nil, f.invalid("its keys cannot be listed")
		}
		if e.KeyStatus() != keyset.Enabled {
			continue
		}
		if !ofOurKind(e) {
			return nil, f.invalid("key %d is of another kind than AES256_GCM", e.KeyID())
		}
		k.ids = append(k.ids, e.KeyID())
		if e.IsPrimary() {
			k.primary = e.KeyID()
		}
	}
	if k.aead, err = aead.New(h); err != nil {
		return nil, f.invalid("its keys cannot be used")
	}
	return k, nil
}

// ofOurKind refuses keys that whoever made a file by other means may have put into it: without an id in front of what
// it has sealed nobody could tell which key that was.
func ofOurKind(e *keyset.Entry) bool {
	k, ok := e.Key().(*aesgcm.Key)
	if !ok {
		return false
	}
	p, ok := k.Parameters().(*aesgcm.Parameters)
	return ok && p.Variant() == aesgcm.VariantTink && p.KeySizeInBytes() == 32
}

// decode reads the keys as they stand in the file. The messages of those who read a keyset are not passed on, for they
// may quote it.
func (f file) decode(ctx context.Context, text []byte) (*keyset.Handle, error) {
	var form struct {
		Wrapped []byte          `json:"encryptedKeyset"`
		Clear   json.RawMessage `json:"key"`
	}
	switch err := json.Unmarshal(text, &form); {
	case err != nil || (form.Wrapped == nil) == (form.Clear == nil):
		return nil, f.invalid("it is not a keyset in JSON")
	case form.Wrapped != nil && f.wrapper == nil:
		return nil, f.invalid("its keys are wrapped by a key management service, and none was named")
	case form.Wrapped != nil:
		return f.unwrap(ctx, text)
	case f.wrapper != nil:
		return nil, f.invalid("its keys stand there in clear, and a key management service was named to unwrap them")
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, f.invalid("it is not a keyset")
	}
	return h, nil
}

func (f file) unwrap(ctx context.Context, text []byte) (*keyset.Handle, error) {
	// Looked at first: what the service says below is told, and what a reader says of the text is not.
	if _, err := keyset.NewJSONReader(bytes.NewReader(text)).ReadEncrypted(); err != nil {
		return nil, f.invalid("it is not a wrapped keyset")
	}
	wrapper, err := f.wrapper()
	if err != nil {
		return nil, err
	}
	h, err := keyset.ReadWithContext(ctx, keyset.NewJSONReader(bytes.NewReader(text)), wrapper, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: unwrap %s: %w", ErrUnavailable, f.path, err)
	}
	return h, nil
}

// invalid says what is wrong with what is in the file.
func (f file) invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalid, f.path, fmt.Sprintf(format, args...))
}

// mostBytes is far more than a keyset needs.
const mostBytes = 1 << 20

// load reads the file, which nobody but its owner may touch.
func (f file) load() ([]byte, fs.FileInfo, error) {
	in, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, nil, fmt.Errorf("%w: %s is open to others (mode %04o): chmod 600 %s", ErrFile, f.path, mode, f.path)
	}
	text, err := io.ReadAll(io.LimitReader(in, mostBytes))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return text, info, nil
}

// create makes a file with a new key. One that is there stays as it is.
func (f file) create(ctx context.Context) error {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	// A link is refused where a rename would replace what somebody else has just put there.
	err = f.write(ctx, h, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// change replaces the keys by what do makes of them, at once and durably: there is no moment at which the file holds
// anything but the keys of before or those of after.
func (f file) change(ctx context.Context, do func(*keyset.Manager, *keys) error) error {
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer unlock()
	k, err := f.read(ctx)
	if err != nil {
		return err
	}
	m := keyset.NewManagerFromHandle(k.handle)
	if err := do(m, k); err != nil {
		return err
	}
	h, err := m.Handle()
	if err != nil {
		return fmt.Errorf("change the keys: %w", err)
	}
	return f.write(ctx, h, os.Rename)
}

// lock waits until nobody else changes the file: of two that do, the later would undo what the earlier has done. Who
// waited holds a file that was replaced, and begins again.
func (f file) lock() (unlock func() error, err error) {
	for {
		held, err := os.Open(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrMissing, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFile, err)
		}
		same, err := lockFile(held)
		if same {
			return held.Close, nil
		}
		if err := errors.Join(err, held.Close()); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFile, err)
		}
	}
}

// lockFile waits for the lock of an open file, and reports whether the file still has its name then.
func lockFile(f *os.File) (same bool, err error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, now), err
}

// write writes keys to a file beside the one they are for, and then has it published under its name. A power cut at
// any moment loses nothing that was there.
func (f file) write(ctx context.Context, h *keyset.Handle, publish func(from, to string) error) error {
	text, err := f.encode(ctx, h)
	if err != nil {
		return err
	}
	path := f.path
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to // what is replaced is the file, not a link to it
	}
	dir := filepath.Dir(path)
	out, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	defer os.Remove(out.Name()) // after a rename there is none
	_, err = out.Write(text)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	if err := errors.Join(publish(out.Name(), path), syncDir(dir)); err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	return nil
}

// encode writes keys as they stand in the file.
func (f file) encode(ctx context.Context, h *keyset.Handle) ([]byte, error) {
	var out bytes.Buffer
	to := keyset.NewJSONWriter(&out)
	if f.wrapper == nil {
		if err := insecurecleartextkeyset.Write(h, to); err != nil {
			return nil, errors.New("write the keys: they cannot be encoded")
		}
		return out.Bytes(), nil
	}
	wrapper, err := f.wrapper()
	if err != nil {
		return nil, err
	}
	if err := h.WriteWithContext(ctx, to, wrapper, nil); err != nil {
		return nil, fmt.Errorf("%w: wrap %s: %w", ErrUnavailable, f.path, err)
	}
	return out.Bytes(), nil
}

// syncDir makes the names in a directory survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
