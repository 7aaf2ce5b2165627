package stripe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// FuzzVerify says that a webhook is believed only under the signature of its very bytes, and that what is believed is
// understood or called unreadable.
func FuzzVerify(f *testing.F) {
	conn := gateway.Connection{Merchant: "m1", Account: "acct_1", WebhookSecret: "whsec_test"}
	now := time.Date(2026, time.January, 31, 12, 0, 0, 0, time.UTC)
	g := New(Config{})
	verify := func(header string, body []byte) (gateway.Notice, error) {
		return g.Verify(conn, http.Header{signatureHeader: {header}}, body, now)
	}
	sign := func(at time.Time, body []byte) string {
		return "t=" + strconv.FormatInt(at.Unix(), 10) + ",v1=" + hex.EncodeToString(webhook.ComputeSignature(at, body, conn.WebhookSecret))
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if _, err := verify(header, body); !errors.Is(err, ErrBadSignature) && !errors.Is(err, ErrOldSignature) {
			sum := hex.EncodeToString(webhook.ComputeSignature(signedAt(header), body, conn.WebhookSecret))
			if !bytes.Contains(bytes.ToLower([]byte(header)), []byte(sum)) {
				t.Fatalf("header %q is believed: %v", header, err)
			}
		}
		right := sign(now, body)
		n, err := verify(right, body)
		if err != nil && !errors.Is(err, gateway.ErrUnreadable) {
			t.Fatalf("signed and refused: %v", err)
		}
		if err == nil {
			wantWhole(t, n)
		}
		if _, err := verify(right, append(bytes.Clone(body), ' ')); !errors.Is(err, ErrBadSignature) {
			t.Fatalf("another body under the same signature: %v", err)
		}
		if _, err := verify(sign(now.Add(time.Hour), body), body); !errors.Is(err, ErrOldSignature) {
			t.Fatalf("of the future: %v", err)
		}
	})
}

// FuzzRoute says that an account is told only under the signature of one of the platform's secrets, and that the very
// bytes which tell it are those that Read then takes for the account's.
func FuzzRoute(f *testing.F) {
	now := time.Date(2026, time.January, 31, 12, 0, 0, 0, time.UTC)
	secrets := []string{"whsec_live", "whsec_test"}
	g := New(Config{WebhookSecrets: secrets})
	route := func(header string, body []byte) (string, bool, error) {
		return g.Route(http.Header{signatureHeader: {header}}, body, now)
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if _, _, err := route(header, body); !errors.Is(err, ErrBadSignature) && !errors.Is(err, ErrOldSignature) {
			signed := false
			for _, secret := range secrets {
				sum := hex.EncodeToString(webhook.ComputeSignature(signedAt(header), body, secret))
				signed = signed || bytes.Contains(bytes.ToLower([]byte(header)), []byte(sum))
			}
			if !signed {
				t.Fatalf("header %q is believed: %v", header, err)
			}
		}
		for _, secret := range secrets {
			right := "t=" + strconv.FormatInt(now.Unix(), 10) + ",v1=" + hex.EncodeToString(webhook.ComputeSignature(now, body, secret))
			account, live, err := route(right, body)
			if err != nil && (!errors.Is(err, gateway.ErrUnreadable) || account != "" || live) {
				t.Fatalf("signed and refused: %q, %v, %v", account, live, err)
			}
			if _, err2 := g.Read(gateway.Connection{Account: account, Live: live}, body); err == nil && errors.Is(err2, ErrOtherAccount) {
				t.Fatalf("routed to %q, and not its own", account)
			}
			if _, _, err := route(right, append(bytes.Clone(body), ' ')); !errors.Is(err, ErrBadSignature) {
				t.Fatalf("another body under the same signature: %v", err)
			}
		}
	})
}

// wantWhole says that a notice holds what its kind promises.
func wantWhole(t *testing.T, n gateway.Notice) {
	t.Helper()
	whole := n.ID != ""
	switch n.Kind {
	case gateway.NoticeCharge:
		whole = whole && n.Key != ""
	case gateway.NoticeRefund:
		whole = whole && n.Key != "" && n.Refund != nil && n.Refund.ChargeReference != ""
	case gateway.NoticeRefundMade:
		whole = whole && n.Key == "" && n.Refund != nil && n.Refund.Reference != "" && n.Refund.Amount.GetMinorUnits() >= 0
	case gateway.NoticeDispute:
		whole = whole && n.Dispute != nil && n.Dispute.ID != "" && n.Dispute.ChargeReference != "" && n.Dispute.Stage != 0
	case gateway.NoticeAgreement:
		whole = whole && n.Method != ""
	}
	if !whole {
		t.Fatalf("half a notice: %+v", n)
	}
}

// FuzzAnswer says that no answer claims more than it holds.
func FuzzAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := charged(gateway.Reply{Status: status, Body: body}, "k")
		ok := true
		switch r.Class {
		case gateway.Unknown, gateway.NotSent:
			ok = r.Why != "" && r.Reference == ""
		case gateway.Pending:
			ok = r.Reference != "" && bytes.Contains(body, []byte("k"))
		case gateway.Accepted:
			ok = r.Reference != "" && bytes.Contains(body, []byte(statusSucceeded))
		case gateway.Rejected:
			ok = r.Code != "" && r.Category != 0 && status >= 200 && status < 500
		}
		if !ok {
			t.Fatalf("status %d, %q: got %+v", status, body, r)
		}
	})
}
