package seal

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

// FuzzOpen opens anything with a key that the seeds are sealed with. What is opened is opened for one resource only,
// and what is not is told to be unsealable, without a word of what it is.
func FuzzOpen(f *testing.F) {
	s := opened(f, Options{Path: written(f, 0o600, clear(7))})
	f.Fuzz(func(t *testing.T, sealed []byte, name string) {
		plain, err := s.Open(sealed, name)
		if err != nil {
			if !errors.Is(err, ErrUnsealable) || plain != nil {
				t.Fatalf("got %q and error %v, want ErrUnsealable alone", plain, err)
			}
			if want := name + " " + ErrUnsealable.Error(); err.Error() != want {
				t.Fatalf("got %q, want %q", err, want)
			}
			return
		}
		if _, err := s.Open(sealed, name+"x"); !errors.Is(err, ErrUnsealable) {
			t.Fatalf("opened for %q, too: got error %v", name+"x", err)
		}
		again, err := s.Seal(plain, name)
		if err != nil || len(again) != len(sealed) || !s.Current(sealed) {
			t.Fatalf("sealed again to %d bytes with error %v, want the %d of before", len(again), err, len(sealed))
		}
	})
}

// The seeds are what they are named for.
func TestSeeds(t *testing.T) {
	t.Parallel()
	s := opened(t, Options{Path: written(t, 0o600, clear(7))})
	for name, want := range map[string]error{
		"sealed": nil, "of_another_resource": ErrUnsealable, "of_an_unknown_key": ErrUnsealable, "cut_off": ErrUnsealable, "nothing": ErrUnsealable,
	} {
		sealed, of := seed(t, "testdata/fuzz/FuzzOpen/"+name)
		plain, err := s.Open(sealed, of)
		wantError(t, err, want)
		if err == nil && string(plain) != "hush" {
			t.Errorf("%s: opened as %q, want hush", name, plain)
		}
	}
}

// seed reads a seed as go test writes it: a line of version, and the two values.
func seed(t *testing.T, path string) (sealed []byte, name string) {
	t.Helper()
	lines := strings.Split(contents(t, path), "\n")
	if len(lines) < 3 {
		t.Fatalf("%s: got %d lines, want 3", path, len(lines))
	}
	return []byte(unquote(t, lines[1], "[]byte(")), unquote(t, lines[2], "string(")
}

func unquote(t *testing.T, line, kind string) string {
	t.Helper()
	text, err := strconv.Unquote(strings.TrimSuffix(strings.TrimPrefix(line, kind), ")"))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return text
}
