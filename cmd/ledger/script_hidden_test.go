package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// canary stands in every secret that a story gives to the ledger.
const canary = "canary_of_"

// hidden checks that files, those in directories too, and the pages of the admin listener hold no secret; or, negated, that
// one does.
func hidden(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: [!] hidden PATH…")
	}
	var found []string
	look := func(where string, text []byte) {
		if tellsCanary(text) {
			found = append(found, where)
		}
	}
	for _, arg := range args {
		ts.Check(filepath.WalkDir(ts.MkAbs(arg), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			look(path, text)
			return err
		}))
	}
	if s := ts.Value(worldKey{}).(*world).server; s != nil {
		for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
			resp, err := http.Get(s.admin + path)
			ts.Check(err)
			text, err := io.ReadAll(resp.Body)
			ts.Check(errors.Join(err, resp.Body.Close()))
			look(path, text)
		}
	}
	if got := len(found) > 0; got != neg {
		ts.Fatalf("there is a secret in %q", found)
	}
}

// tellsCanary reports whether a text holds the canary: in clear, in hexadecimal, or in Base64, wherever in that it begins.
func tellsCanary(text []byte) bool {
	if bytes.Contains(text, []byte(canary)) || bytes.Contains(bytes.ToLower(text), []byte(hex.EncodeToString([]byte(canary)))) {
		return true
	}
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte("xx"[:before] + canary))
		// The characters at either end hold bits of what is beside it.
		if bytes.Contains(text, []byte(encoded[[]int{0, 2, 3}[before]:len(encoded)-1])) {
			return true
		}
	}
	return false
}

func TestTellsCanary(t *testing.T) {
	t.Parallel()
	for before := range 4 {
		secret := strings.Repeat("s", before) + platformKey + "!"
		for name, text := range map[string]string{
			"clear": secret, "hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
			"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64url": base64.URLEncoding.EncodeToString([]byte(secret)),
		} {
			if !tellsCanary([]byte("before " + text + " behind")) {
				t.Errorf("%d before it, %s: not found", before, name)
			}
		}
	}
	if tellsCanary([]byte("a bird, Y2Fu, 63616e")) {
		t.Error("found where it is not")
	}
}
