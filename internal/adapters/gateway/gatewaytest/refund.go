package gatewaytest

import (
	"context"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// paid makes a payment of 47.00 and returns its reference.
func (w World) paid(t *testing.T, key string, s Script) string {
	t.Helper()
	r := w.Gateway.Charge(t.Context(), w.Connection, payment(key, w.token(t, s)))
	wantClass(t, "payment", r, gateway.Accepted)
	return r.Reference
}

func testRefunds(t *testing.T, w World) {
	ref := w.paid(t, "paid", OK)
	give := func(key string, amount int64) gateway.Result {
		return w.Gateway.Refund(t.Context(), w.Connection, gateway.Refund{Key: key, ChargeReference: ref, Amount: usd(amount)})
	}
	part := give("part", 1000)
	wantClass(t, "a part", part, gateway.Accepted)
	if part.Reference == "" || part.Amount.GetMinorUnits() != 1000 {
		t.Errorf("got %+v, want a reference and the amount", part)
	}
	if w.Gateway.Traits().KeyLifetime > 0 {
		again := give("part", 1000)
		wantClass(t, "the same key again", again, gateway.Accepted)
		if again.Reference != part.Reference {
			t.Errorf("the same key again: got refund %s, want %s", again.Reference, part.Reference)
		}
	}
	wantMoved(t, "the part", w.Refunded(t, "part"), usd(1000))
	wantClass(t, "more than is left", give("too much", 3701), gateway.Rejected)
	wantMoved(t, "more than is left", w.Refunded(t, "too much"))
	wantClass(t, "the rest", give("rest", 3700), gateway.Accepted)
	wantClass(t, "one unit more", give("one more", 1), gateway.Rejected)
	looked, found := w.findRefund(t, gateway.Refund{Key: "rest", ChargeReference: ref, Amount: usd(3700)})
	if !found || looked.Class != gateway.Accepted || looked.Amount.GetMinorUnits() != 3700 {
		t.Errorf("look-up of the rest: found %v, %+v", found, looked)
	}
	unknown := gateway.Refund{Key: "nowhere", ChargeReference: "no-such-charge", Amount: usd(1)}
	wantClass(t, "of no charge", w.Gateway.Refund(t.Context(), w.Connection, unknown), gateway.Rejected)
}

func testRefundFaults(t *testing.T, w World) {
	tests := []struct {
		script Script
		want   gateway.Class
		moved  bool
	}{
		{RefundRefused, gateway.Rejected, false},
		{TimeoutCharged, gateway.Unknown, true},
		{TimeoutUncharged, gateway.Unknown, false},
		{ResetCharged, gateway.Unknown, true},
		{ErrorCharged, gateway.Unknown, true},
		{ErrorUncharged, gateway.Unknown, false},
		{PageCharged, gateway.Unknown, true},
		{HalfCharged, gateway.Unknown, true},
		{Duplicate, gateway.Accepted, true},
		{RateLimited, gateway.NotSent, false},
		{Unauthorized, gateway.NotSent, false},
	}
	for _, test := range tests {
		t.Run(string(test.script), func(t *testing.T) {
			key := "r-" + string(test.script)
			r := gateway.Refund{Key: key, ChargeReference: w.paid(t, "p-"+key, RefundOf(test.script)), Amount: usd(700)}
			wantClass(t, "refund", w.refundBadly(t, test.script, r), test.want)
			var want []*ledgerv1.Money
			if test.moved {
				want = append(want, usd(700))
			}
			wantMoved(t, "after the call", w.Refunded(t, key), want...)
			if _, found := w.findRefund(t, r); found != (test.moved || test.want == gateway.Rejected) {
				t.Errorf("look-up found the key: %v", found)
			}
			if w.Gateway.Traits().KeyLifetime == 0 && test.want == gateway.Unknown {
				return
			}
			w.Impatient.Refund(t.Context(), w.Connection, r)
			if moved := w.Refunded(t, key); len(moved) > 1 && w.Gateway.Traits().KeyLifetime > 0 {
				t.Errorf("after the second call %d refunds stand in the book: %v", len(moved), moved)
			}
		})
	}
}

func (w World) refundBadly(t *testing.T, s Script, r gateway.Refund) gateway.Result {
	t.Helper()
	switch s {
	case TimeoutCharged:
		return giveUpWhen(t, func() bool { return len(w.Refunded(t, r.Key)) > 0 }, func(ctx context.Context) gateway.Result {
			return w.Gateway.Refund(ctx, w.Connection, r)
		})
	case TimeoutUncharged:
		return w.Impatient.Refund(t.Context(), w.Connection, r)
	}
	return w.Gateway.Refund(t.Context(), w.Connection, r)
}
