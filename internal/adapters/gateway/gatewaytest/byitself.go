package gatewaytest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// ByItself makes a gateway do what nobody asked it for.
type ByItself struct {
	// Pay takes a payment for a subscription by a schedule of the gateway's own.
	Pay func(t testing.TB, subscription string, amount *ledgerv1.Money) (reference string)
	// Refund returns money of a charge at the gateway's own desk.
	Refund func(t testing.TB, charge string, amount *ledgerv1.Money) (reference string)
	// Dispute opens a dispute of a charge.
	Dispute func(t testing.TB, charge string)
}

// notice is the next notice of a kind; others are none of the test's business.
func (w World) notice(t *testing.T, kind gateway.NoticeKind) gateway.Notice {
	t.Helper()
	notifier := w.Gateway.(gateway.Notifier)
	for {
		header, body := w.Webhook(t)
		n, err := notifier.Verify(w.Connection, header, body, w.Now())
		if err != nil {
			t.Fatalf("a good webhook: %v", err)
		}
		if n.Kind != kind {
			continue
		}
		again, err := notifier.Read(w.Connection, body)
		if d := cmp.Diff(n, again, protocmp.Transform()); err != nil || d != "" {
			t.Errorf("read later: %v (-verified +read):\n%s", err, d)
		}
		return n
	}
}

// testByItself: what nobody asked for is told with all there is to know of it, under the gateway's names alone.
func testByItself(t *testing.T, w World) {
	if _, ok := w.Gateway.(gateway.Notifier); !ok || w.Webhook == nil || w.ByItself == nil {
		t.Skip("the gateway does nothing by itself that the suite could cause")
	}
	theirs := w.ByItself.Pay(t, "sub-theirs", usd(4700))
	n := w.notice(t, gateway.NoticePayment)
	if p := n.Payment; n.ID == "" || n.Key != "" || n.Subscription != "sub-theirs" || p == nil || p.Reference != theirs || p.At.IsZero() {
		t.Fatalf("got %+v about %+v, want a payment %s for sub-theirs, without a key", n, p, theirs)
	}
	wantMoved(t, "the payment told", []*ledgerv1.Money{n.Payment.Amount}, usd(4700))

	returned := gateway.Refund{Key: "part", ChargeReference: theirs, Amount: usd(700)}
	wantClass(t, "our refund of it", w.Gateway.Refund(t.Context(), w.Connection, returned), gateway.Accepted)

	ours := w.paid(t, "ours", OK)
	for reference, key := range map[string]string{theirs: "", ours: "ours"} {
		w.wantRefundTold(t, reference, key)
		w.wantDisputeTold(t, reference, key)
	}
}

// wantRefundTold has a refund made at the desk. Its charge is named by reference; a key that is named too is right.
func (w World) wantRefundTold(t *testing.T, charge, key string) {
	t.Helper()
	made := w.ByItself.Refund(t, charge, usd(1000))
	n := w.notice(t, gateway.NoticeRefundMade)
	r := n.Refund
	if n.ID == "" || n.Key != "" || n.Subscription == "" || r == nil || r.Reference != made || r.ChargeReference != charge || r.At.IsZero() {
		t.Fatalf("got %+v about %+v, want a refund %s of %s, without a key", n, r, made, charge)
	}
	if r.ChargeKey != "" && r.ChargeKey != key {
		t.Errorf("the charge's key is told as %q, want %q", r.ChargeKey, key)
	}
	wantMoved(t, "the refund told", []*ledgerv1.Money{r.Amount}, usd(1000))
}

func (w World) wantDisputeTold(t *testing.T, charge, key string) {
	t.Helper()
	w.ByItself.Dispute(t, charge)
	n := w.notice(t, gateway.NoticeDispute)
	d := n.Dispute
	if n.ID == "" || n.Subscription == "" || d == nil || d.ID == "" || d.ChargeReference != charge || d.ChargeKey != key || d.At.IsZero() {
		t.Errorf("got %+v about %+v, want a dispute of %s with the key %q", n, d, charge, key)
	}
}
