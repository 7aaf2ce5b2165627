package text_test

import (
	"strings"
	"testing"

	"ledger.internal/ledger/internal/aggregate/text"
)

func TestValidID(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"a": true, "default": true, "Az09_": true, "_": true, "0": true, strings.Repeat("x", 40): true,
		"": false, strings.Repeat("x", 41): false, strings.Repeat("x", 300): false, "$all": false, "$ce-x": false,
		"a/b": false, "a::b": false, "a.b": false, "a-b": false, "a b": false, "a\n": false, "ä": false, "a\x00": false,
		"../etc": false, "ａ": false, "\xff": false,
	} {
		if got := text.ValidID(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

func TestHasControl(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"": false, "Plain text, ünïcode 日本": false, "a\tb": true, "a\nb": true, "a\rb": true, "\x00": true, "\x7f": true, "\u0085": true,
	} {
		if got := text.HasControl(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

func TestValidURL(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"https://shop.example":                true,
		"https://shop.example/ipn.php?a=b&c=": true,
		"http://127.0.0.1:8080/hook":          true,
		"http://[::1]:8080/":                  true,
		"HTTPS://shop.example/":               true,
		"https://bücher.example/%20":          true,
		"":                                    false,
		"shop.example":                        false,
		"/ipn":                                false,
		"//shop.example/ipn":                  false,
		"ftp://shop.example":                  false,
		"javascript:alert(1)":                 false,
		"file:///etc/passwd":                  false,
		"https:shop.example":                  false,
		"https://":                            false,
		"https:///ipn":                        false,
		"https://:443/":                       false,
		"https://shop.example:/":              false,
		"https://shop.example:0/":             false,
		"https://shop.example:65536/":         false,
		"https://shop.example:http/":          false,
		"https://user@shop.example/":          false,
		"https://user:pass@shop.example/":     false,
		"https://shop.example/#part":          false,
		"https://shop.example/#":              false,
		"https://shop.example/a b":            false,
		" https://shop.example/":              false,
		"https://shop.example/\u00a0":         false,
		"https://shop.example/\r\nX: y":       false,
		"https://shop.example/%zz":            false,
		"https://sh op.example/":              false,
		"http://[fe80::1%25eth0]/":            false, "http://[::%25\xfe]": false, "https://x.example/\xff": false,
	} {
		if got := text.ValidURL(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

func TestSecureAndLoopbackURL(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]struct{ secure, loopback bool }{
		"https://shop.example/a?b=c":      {secure: true},
		"HTTPS://shop.example/":           {secure: true},
		"https://localhost/":              {secure: true, loopback: true},
		"http://localhost:8080/":          {loopback: true},
		"http://127.0.0.1/":               {loopback: true},
		"http://[::1]:80/":                {loopback: true},
		"http://shop.example/":            {},
		"http://localhost.shop.example/":  {},
		"http://127.0.0.1.shop.example/":  {},
		"http://127.0.0.1@shop.example/":  {},
		"https://127.0.0.1@shop.example/": {},
		"javascript://localhost/%0aalert": {},
		"//localhost/":                    {},
		"https://shop.example/#a":         {},
		"":                                {},
	} {
		if got := text.SecureURL(s); got != want.secure {
			t.Errorf("%q: secure %v, want %v", s, got, want.secure)
		}
		if got := text.LoopbackURL(s); got != want.loopback {
			t.Errorf("%q: loopback %v, want %v", s, got, want.loopback)
		}
	}
}
