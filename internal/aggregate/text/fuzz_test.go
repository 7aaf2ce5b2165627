package text_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"ledger.internal/ledger/internal/aggregate/text"
)

var plainID = regexp.MustCompile(`^[A-Za-z0-9_]{1,40}$`)

// FuzzValidID says that an id is nothing but its characters wherever it stands: in a path, a query, a stream's name.
func FuzzValidID(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := text.ValidID(s), plainID.MatchString(s) && s[len(s)-1] != '\n'; got != want {
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
		if text.ValidID(s) && (url.PathEscape(s) != s || url.QueryEscape(s) != s) {
			t.Fatalf("%q is written otherwise in an address", s)
		}
	})
}

// FuzzValidURL says that an address which is taken is asked for as it was written, over http or https, and carries
// neither a user nor a fragment nor a second line.
func FuzzValidURL(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		if !text.ValidURL(s) {
			return
		}
		r, err := http.NewRequest(http.MethodPost, s, nil)
		if err != nil {
			t.Fatalf("%q is taken and cannot be asked for: %v", s, err)
		}
		u := r.URL
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
			t.Fatalf("%q is taken: %+v", s, u)
		}
		for _, c := range []byte(u.Host + u.RequestURI()) {
			if c <= ' ' || c == 0x7f {
				t.Fatalf("%q puts byte %#x into a request", s, c)
			}
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.RequestURI() != u.RequestURI() {
			t.Fatalf("%q is written as %q and read as another address", s, u)
		}
	})
}
