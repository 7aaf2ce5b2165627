package sandbox

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// FuzzVerify says that a webhook is believed only under the signature of its very bytes, and that what is believed is
// understood or called unreadable.
func FuzzVerify(f *testing.F) {
	conn := gateway.Connection{Merchant: "acme", ID: "main", WebhookSecret: "whsec"}
	now := time.Date(2026, time.January, 31, 10, 0, 0, 0, time.UTC)
	g := &Gateway{}
	verify := func(header string, body []byte) (gateway.Notice, error) {
		return g.Verify(conn, http.Header{http.CanonicalHeaderKey(signatureHeader): {header}}, body, now)
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if _, err := verify(header, body); !errors.Is(err, ErrBadSignature) && !errors.Is(err, ErrOldSignature) {
			if at, ok := signedAt(conn.WebhookSecret, header, body); !ok || sign(conn.WebhookSecret, at, body) != header {
				t.Fatalf("header %q is believed: %v", header, err)
			}
		}
		right := sign(conn.WebhookSecret, now, body)
		n, err := verify(right, body)
		if err != nil && !errors.Is(err, gateway.ErrUnreadable) {
			t.Fatalf("signed and refused: %v", err)
		}
		if err == nil && n.ID == "" {
			t.Fatalf("%q is taken for %+v, without a name", body, n)
		}
		if _, err := verify(right, append(bytes.Clone(body), ' ')); !errors.Is(err, ErrBadSignature) {
			t.Fatalf("another body under the same signature: %v", err)
		}
		if _, err := verify(sign(conn.WebhookSecret, now.Add(time.Hour), body), body); !errors.Is(err, ErrOldSignature) {
			t.Fatalf("of the future: %v", err)
		}
	})
}
