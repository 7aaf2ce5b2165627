package payabl

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func TestOrderID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		id := orderID(roleSale, a)
		if len(id) > limits["orderid"] || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatalf("%q is no order id", id)
		}
		if id != orderID(roleSale, a) || id == orderID(roleRedirect, a) || (a == b) != (id == orderID(roleSale, b)) {
			t.Fatalf("%q and %q are not told apart", a, b)
		}
	})
	// What was sent under a key once is looked up under the same id for ever.
	if got, want := orderID(roleSale, "k"), "sqxrdqkemqxbsqly6znec3lz5r6mx"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMemo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := memo{
			key: rapid.StringN(1, -1, -1).Draw(t, "key"), subscription: rapid.String().Draw(t, "subscription"),
			kind: rapid.SampledFrom([]kind{direct, first, store, once}).Draw(t, "kind"),
		}
		if m.kind != direct {
			m.until = time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "until"), 0).UTC()
		} else {
			m.method = &ledgerv1.PaymentMethod{
				Reference: rapid.StringN(1, -1, -1).Draw(t, "reference"), Brand: rapid.String().Draw(t, "brand"),
				Last4: rapid.String().Draw(t, "last4"), AgreementId: rapid.String().Draw(t, "agreement"),
			}
		}
		text := m.String()
		if _, err := toLatin1("custom1", text); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := parseMemo(text)
		if d := cmp.Diff(m, got, cmp.AllowUnexported(memo{}), protocmp.Transform()); err != nil || d != "" {
			t.Fatalf("%q: %v (-want +got):\n%s", text, err, d)
		}
	})
	for _, text := range []string{"", "k=", "s=sub", "k=1&k=2", "k=1&p=other", "k=1&u=soon", "%zz"} {
		if m, err := parseMemo(text); err == nil {
			t.Errorf("%q is taken for %+v", text, m)
		}
	}
}
