package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tink-crypto/tink-go/v2/testing/fakekms"
	"github.com/tink-crypto/tink-go/v2/tink"
	"pgregory.net/rapid"
)

const resource = "connection/books/main"

// begun is a sealer with a new master key.
func begun(t testing.TB) (*Sealer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	return opened(t, Options{Path: path, Create: true}), path
}

func opened(t testing.TB, o Options) *Sealer {
	t.Helper()
	s, err := OpenFile(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealed(t testing.TB, s *Sealer, plain string) []byte {
	t.Helper()
	b, err := s.Seal([]byte(plain), resource)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantOpens(t testing.TB, s *Sealer, sealed []byte, want string) {
	t.Helper()
	if got, err := s.Open(sealed, resource); err != nil || string(got) != want {
		t.Errorf("opened as %q with error %v, want %q", got, err, want)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func TestSealed(t *testing.T) {
	t.Parallel()
	s, _ := begun(t)
	rapid.Check(t, func(rt *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(rt, "plain")
		name := rapid.String().Draw(rt, "resource")
		other := rapid.String().Filter(func(o string) bool { return o != name }).Draw(rt, "other")
		sealed, err := s.Seal(plain, name)
		if err != nil {
			rt.Fatal(err)
		}
		if again, err := s.Seal(plain, name); err != nil || bytes.Equal(sealed, again) {
			rt.Fatalf("sealed twice to the same bytes (%v)", err)
		}
		if len(plain) > 3 && bytes.Contains(sealed, plain) {
			rt.Fatal("the secret stands in what was sealed")
		}
		if got, err := s.Open(sealed, name); err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("got %q and error %v, want %q", got, err, plain)
		}
		if _, err := s.Open(sealed, other); !errors.Is(err, ErrUnsealable) {
			rt.Fatalf("opened for %q: got error %v, want ErrUnsealable", other, err)
		}
		if !s.Current(sealed) {
			rt.Fatal("not current, want it to be")
		}
		for i := range sealed {
			changed := slices.Clone(sealed)
			changed[i] ^= byte(rapid.IntRange(1, 255).Draw(rt, "flip"))
			if _, err := s.Open(changed, name); !errors.Is(err, ErrUnsealable) {
				rt.Fatalf("byte %d changed: got error %v, want ErrUnsealable", i, err)
			}
		}
		if _, err := s.Open(sealed[:rapid.IntRange(0, len(sealed)-1).Draw(rt, "end")], name); !errors.Is(err, ErrUnsealable) {
			rt.Fatalf("cut off: got error %v, want ErrUnsealable", err)
		}
	})
}

func TestCreate(t *testing.T) {
	t.Parallel()
	s, path := begun(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v and error %v, want mode 0600", info, err)
	}
	before := contents(t, path)
	wantOpens(t, opened(t, Options{Path: path, Create: true}), sealed(t, s, "hush"), "hush")
	if err := newFile(t.Context(), path, "").create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if contents(t, path) != before {
		t.Error("the file was replaced, want it to stay")
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("got files %v, want one", names)
	}
}

func contents(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	_, err := OpenFile(t.Context(), Options{Path: path})
	wantError(t, err, ErrMissing)
	_, err = Rotate(t.Context(), path, "")
	wantError(t, err, ErrMissing)
	_, err = List(t.Context(), path, "")
	wantError(t, err, ErrMissing)
	_, err = OpenFile(t.Context(), Options{Path: filepath.Join(path, "nowhere"), Create: true})
	if names, _ := os.ReadDir(filepath.Dir(path)); err == nil || len(names) > 0 {
		t.Errorf("got error %v and files %v, want an error and none", err, names)
	}
}

// keyOfSize is a key as Tink encodes it: google.crypto.tink.AesGcmKey, of which only field 3 is set.
func keyOfSize(n byte) string {
	return base64.StdEncoding.EncodeToString(append([]byte{0x1a, n}, strings.Repeat("k", int(n))...))
}

// clear is a keyset in clear: AES256_GCM, with its id in front, unless said otherwise.
func clear(id uint32, changes ...string) string {
	key := keyOfSize(32)
	return strings.NewReplacer(changes...).Replace(fmt.Sprintf(`{"primaryKeyId":%d,"key":[{"keyData":{`+
		`"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"%s","keyMaterialType":"SYMMETRIC"},`+
		`"status":"ENABLED","keyId":%d,"outputPrefixType":"TINK"}]}`, id, key, id))
}

func written(t testing.TB, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("a2tr", 5) // what stands in the middle of the key
	if !strings.Contains(clear(1), secret) {
		t.Fatal("the check below would find nothing")
	}
	for name, c := range map[string]struct {
		mode os.FileMode
		text string
		kms  string
		want error
		says string
	}{
		"good":                   {0o600, clear(1), "", nil, ""},
		"only to be read":        {0o400, clear(1), "", nil, ""},
		"open to the group":      {0o640, clear(1), "", ErrFile, "chmod 600"},
		"open to all":            {0o604, clear(1), "", ErrFile, "chmod 600"},
		"empty":                  {0o600, "", "", ErrInvalid, "not a keyset"},
		"a password":             {0o600, secret, "", ErrInvalid, "not a keyset"},
		"cut off":                {0o600, clear(1)[:200], "", ErrInvalid, "not a keyset"},
		"another JSON":           {0o600, `{"primaryKeyId":1}`, "", ErrInvalid, "not a keyset"},
		"no keys":                {0o600, `{"primaryKeyId":1,"key":[]}`, "", ErrInvalid, ""},
		"an unknown field":       {0o600, clear(1, "status", secret), "", ErrInvalid, "not a keyset"},
		"no base64":              {0o600, clear(1, secret, secret+"!"), "", ErrInvalid, "not a keyset"},
		"a short key":            {0o600, clear(1, "Gi", "Gj"), "", ErrInvalid, ""},
		"no such primary key":    {0o600, clear(1, `"primaryKeyId":1`, `"primaryKeyId":2`), "", ErrInvalid, ""},
		"keys without ids":       {0o600, clear(1, "TINK", "RAW"), "", ErrInvalid, "AES256_GCM"},
		"ids of another form":    {0o600, clear(1, "TINK", "CRUNCHY"), "", ErrInvalid, "AES256_GCM"},
		"another kind of key":    {0o600, clear(1, "AesGcmKey", "AesGcmSivKey"), "", ErrInvalid, "AES256_GCM"},
		"a key of 128 bits":      {0o600, clear(1, keyOfSize(32), keyOfSize(16)), "", ErrInvalid, "AES256_GCM"},
		"disabled":               {0o600, clear(1, "ENABLED", "DISABLED"), "", ErrInvalid, ""},
		"clear, want wrapped":    {0o600, clear(1), vaultKey, ErrInvalid, "in clear"},
		"wrapped, want clear":    {0o600, `{"encryptedKeyset":"aHVzaA=="}`, "", ErrInvalid, "wrapped"},
		"wrapped, but no base64": {0o600, `{"encryptedKeyset":"` + secret + `!"}`, vaultKey, ErrInvalid, "not a keyset"},
		"wrapped, and more":      {0o600, `{"encryptedKeyset":"aHVzaA==","` + secret + `":1}`, vaultKey, ErrInvalid, "not a wrapped keyset"},
		"wrapped by whom":        {0o600, `{"encryptedKeyset":"aHVzaA=="}`, "safe://here", ErrKMS, "hcvault://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := written(t, c.mode, c.text)
			_, err := OpenFile(t.Context(), Options{Path: path, KMS: c.kms, Create: true})
			if c.want == nil && err == nil {
				return
			}
			wantError(t, err, c.want)
			if text := fmt.Sprint(err); !strings.Contains(text, c.says) || strings.Contains(text, secret) {
				t.Errorf("got %q, want it to say %q and nothing of what is in the file", text, c.says)
			}
			if got := contents(t, path); got != c.text {
				t.Errorf("the file became %q", got)
			}
		})
	}
	_, err := OpenFile(t.Context(), Options{Path: t.TempDir(), Create: true})
	wantError(t, err, ErrFile)
}

func TestRotate(t *testing.T) {
	t.Parallel()
	running, path := begun(t)
	old := sealed(t, running, "old")
	first, _ := keyOf(old)
	second, err := Rotate(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	other := opened(t, Options{Path: path})
	fresh := sealed(t, other, "new")
	for name, s := range map[string]*Sealer{"the running one": running, "another one": other} {
		wantOpens(t, s, old, "old")
		wantOpens(t, s, fresh, "new")
		if id, _ := keyOf(sealed(t, s, "x")); id != second {
			t.Errorf("%s seals with key %d, want %d", name, id, second)
		}
		if s.Current(old) || !s.Current(fresh) || s.Current(nil) {
			t.Errorf("%s says current: old %t, new %t, nothing %t; want the new alone", name, s.Current(old), s.Current(fresh), s.Current(nil))
		}
	}
	wantError(t, Retire(t.Context(), path, "", second), ErrKeyID)
	wantError(t, Retire(t.Context(), path, "", second+1), ErrKeyID)
	if err := Retire(t.Context(), path, "", first); err != nil {
		t.Fatal(err)
	}
	wantListed(t, path, []uint32{second}, second)
	sealed(t, running, "x") // has the file read
	_, err = running.Open(old, resource)
	wantError(t, err, ErrUnsealable)
	wantOpens(t, running, fresh, "new")
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("got files %v, want one", names)
	}
}

func wantListed(t testing.TB, path string, ids []uint32, primary uint32) {
	t.Helper()
	l, err := List(t.Context(), path, "")
	if err != nil || l.Wrapped || !slices.Equal(l.Keys, ids) || l.Primary != primary {
		t.Errorf("got %+v and error %v, want keys %v in clear with %d the primary one", l, err, ids, primary)
	}
}

// A link to the file, as some put secrets into a container, stays a link.
func TestRotateBehindLink(t *testing.T) {
	t.Parallel()
	_, path := begun(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	s := opened(t, Options{Path: link})
	id, err := Rotate(t.Context(), link, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := keyOf(sealed(t, s, "x")); got != id {
		t.Errorf("sealed with key %d, want %d", got, id)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("got %v and error %v, want a link", info, err)
	}
}

func TestRotateAtOnce(t *testing.T) {
	t.Parallel()
	s, path := begun(t)
	first := sealed(t, s, "x")
	const times = 8
	var all sync.WaitGroup
	for range times {
		all.Go(func() {
			if _, err := Rotate(context.Background(), path, ""); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			b, err := s.Seal([]byte("hush"), resource)
			if err != nil {
				t.Error(err)
				return
			}
			wantOpens(t, s, b, "hush")
			wantOpens(t, s, first, "x")
		})
	}
	all.Wait()
	l, err := List(t.Context(), path, "")
	if err != nil || len(l.Keys) != 1+times {
		t.Errorf("got %d keys and error %v, want %d", len(l.Keys), err, 1+times)
	}
}

// Who has waited for the lock of a file may hold one that was replaced, which nobody else will look at.
func TestLockOfReplaced(t *testing.T) {
	t.Parallel()
	_, path := begun(t)
	for name, want := range map[string]bool{"as it was": true, "replaced": false} {
		held, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if !want {
			if _, err := Rotate(t.Context(), path, ""); err != nil {
				t.Fatal(err)
			}
		}
		if same, err := lockFile(held); err != nil || same != want {
			t.Errorf("%s: got %t and error %v, want %t", name, same, err, want)
		}
		held.Close()
	}
}

// A running ledger goes on without its file as far as it can: it opens, and does not seal what nobody could open later.
func TestFileGone(t *testing.T) {
	t.Parallel()
	s, path := begun(t)
	b := sealed(t, s, "hush")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantOpens(t, s, b, "hush")
	if !s.Current(b) {
		t.Error("not current, want what was known last")
	}
	_, err := s.Seal([]byte("hush"), resource)
	wantError(t, err, ErrMissing)
	stranger, _ := begun(t)
	_, err = s.Open(sealed(t, stranger, "x"), resource)
	wantError(t, err, ErrMissing)
	if errors.Is(err, ErrUnsealable) {
		t.Error("it is unsealable for good, want it to be tried again")
	}
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	_, path := begun(t)
	first, err := List(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	var noted []uint32
	full := errors.New("disk full")
	var refuse error
	o := Options{Path: path, Needed: first.Primary, Note: func(id uint32) error { noted = append(noted, id); return refuse }}
	s := opened(t, o)
	if len(noted) > 0 {
		t.Errorf("noted %v, want nothing that was known", noted)
	}
	second, err := Rotate(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	refuse = full
	_, err = s.Seal([]byte("x"), resource)
	wantError(t, err, full)
	refuse = nil
	o.Needed = first.Primary
	s = opened(t, o)
	sealed(t, s, "x")
	sealed(t, s, "x")
	if want := []uint32{second, second}; !slices.Equal(noted, want) {
		t.Errorf("noted %v, want %v: before it is used, and again after an error", noted, want)
	}
	stranger, other := begun(t)
	strange := sealed(t, stranger, "x")
	o.Path, o.Create = other, true
	_, err = OpenFile(t.Context(), o)
	wantError(t, err, ErrOther)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	_, err = s.Seal([]byte("x"), resource)
	wantError(t, err, ErrOther)
	_, err = s.Open(strange, resource)
	wantError(t, err, ErrOther)
}

// service is a key management service that counts what it is asked, and can be away.
type service struct {
	tink.AEADWithContext
	calls int
	away  bool
}

func (s *service) DecryptWithContext(ctx context.Context, b, ad []byte) ([]byte, error) {
	s.calls++
	if s.away {
		return nil, errors.New("nobody answers")
	}
	return s.AEADWithContext.DecryptWithContext(ctx, b, ad)
}

func newService(t *testing.T) *service {
	t.Helper()
	uri, err := fakekms.NewKeyURI()
	if err != nil {
		t.Fatal(err)
	}
	key, err := fakekms.NewAEADWithContext(uri)
	if err != nil {
		t.Fatal(err)
	}
	return &service{AEADWithContext: key}
}

func (s *service) wraps(path string) file {
	return file{path: path, wrapper: func() (tink.AEADWithContext, error) { return s, nil }}
}

func TestWrapped(t *testing.T) {
	t.Parallel()
	kms := newService(t)
	f := kms.wraps(filepath.Join(t.TempDir(), "master.key"))
	s, err := open(t.Context(), f, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	b := sealed(t, s, "hush")
	if text := contents(t, f.path); strings.Contains(text, "AesGcmKey\",\"value") || !strings.Contains(text, "encryptedKeyset") {
		t.Errorf("the file holds %s, want a wrapped keyset", text)
	}
	first, _ := keyOf(b)
	second, err := rotate(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	wantOpens(t, s, b, "hush")
	if l, err := list(t.Context(), f); err != nil || !l.Wrapped || !slices.Equal(l.Keys, []uint32{first, second}) || l.Primary != second {
		t.Errorf("got %+v and error %v, want %d and then %d, the primary one, wrapped", l, err, first, second)
	}
	if id, _ := keyOf(sealed(t, s, "x")); id != second {
		t.Errorf("sealed with key %d, want %d", id, second)
	}
	if err := retire(t.Context(), f, first); err != nil {
		t.Fatal(err)
	}
	_, err = open(t.Context(), newService(t).wraps(f.path), Options{Create: true})
	wantError(t, err, ErrUnavailable)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = open(stopped, f, Options{})
	wantError(t, err, ErrUnavailable)
}

// Bytes that name a key nobody knows make the service work once a second, whoever sends them and however often.
func TestServiceIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kms := newService(t)
		f := kms.wraps(filepath.Join(t.TempDir(), "master.key"))
		s, err := open(t.Context(), f, Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		stranger, _ := begun(t)
		unknown := sealed(t, stranger, "x")
		kms.calls = 0
		_, err = s.Open(unknown, resource)
		wantError(t, err, ErrUnsealable)
		if kms.calls != 0 {
			t.Errorf("asked %d times for a file that is as it was, want not at all", kms.calls)
		}
		if _, err := rotate(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		kms.calls, kms.away = 0, true
		for range 3 {
			for range 10 {
				_, err := s.Open(unknown, resource)
				wantError(t, err, ErrUnavailable)
				_, err = s.Seal(nil, resource)
				wantError(t, err, ErrUnavailable)
			}
			time.Sleep(pause)
		}
		if kms.calls != 3 {
			t.Errorf("asked %d times in three seconds, want 3", kms.calls)
		}
		kms.away = false
		wantOpens(t, s, sealed(t, s, "hush"), "hush")
	})
}
