package ipn_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/ipn"
)

func TestEncodeKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := ipn.Body{{Key: "z", Value: "1 2"}, {Key: "a b", Value: "ü&="}, {Key: "m", Value: "N/A"}}
	if got, want := string(b.Encode()), "z=1+2&a+b=%C3%BC%26%3D&m=N%2FA"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNobodyPrintsTheSecretKey(t *testing.T) {
	t.Parallel()
	b := ipn.Body{{Key: "lead_id", Value: "7"}, {Key: "secret_key", Value: "s3cret"}}
	if got := b.String(); strings.Contains(got, "s3cret") {
		t.Errorf("printed: %q", got)
	}
	want := ipn.Body{{Key: "lead_id", Value: "7"}, {Key: "secret_key", Value: ""}}
	if diff := cmp.Diff(want, b.Redacted()); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
	if b[1].Value != "s3cret" {
		t.Error("the body that is sent lost its secret key")
	}
}

// FuzzEncode checks that a receiver reads exactly what was written: the same pairs, and of one key in the same order.
func FuzzEncode(f *testing.F) {
	f.Add("transaction_id", "1010001", "lead_first_name", "Schrödinger & l'Université")
	f.Add("shipping _city", "N/A", "shipping _city", "a=b&c=d;e+f%20")
	f.Add("k", "\x00\xff\r\n", "", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		b := ipn.Body{{Key: k1, Value: v1}, {Key: k2, Value: v2}}
		got, err := url.ParseQuery(string(b.Encode()))
		if err != nil {
			t.Fatalf("%q: %v", b.Encode(), err)
		}
		want := url.Values{}
		for _, p := range b {
			want.Add(p.Key, p.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pairs (-want +got):\n%s", diff)
		}
	})
}
