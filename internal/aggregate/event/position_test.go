package event

import (
	"errors"
	"testing"
)

// FuzzParsePosition says that a position is taken only as it was given out: two spellings of one place could not be
// compared as texts.
func FuzzParsePosition(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			if !errors.Is(err, ErrInvalidArgument) {
				t.Fatalf("%q: %v, want ErrInvalidArgument", text, err)
			}
			return
		}
		if text != "" && p.String() != text {
			t.Fatalf("%q is read as %s", text, p)
		}
	})
}
