package neighbour_test

import (
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

func TestRefunds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		mischief  neighbour.Mischief
		minor     int64
		currency  string
		reference string
		class     gateway.Class
		returns   int
	}{
		{name: "whole", minor: 4700, class: gateway.Accepted, returns: 1},
		{name: "part", minor: 1, class: gateway.Accepted, returns: 1},
		{name: "more than there is", minor: 4701, class: gateway.Rejected},
		{name: "another currency", minor: 1, currency: "EUR", class: gateway.Rejected},
		{name: "of nothing", minor: 1, reference: "ch_other", class: gateway.Rejected},
		{name: "refused", mischief: neighbour.Mischief{RefundDeclined: 1}, minor: 1, class: gateway.Rejected},
		{name: "pending", mischief: neighbour.Mischief{RefundPending: 1}, minor: 1, class: gateway.Pending},
		{name: "unknown", mischief: neighbour.Mischief{Untold: 1}, minor: 1, class: gateway.Unknown, returns: 1},
		{name: "lost", mischief: neighbour.Mischief{LostOnTheWay: 1}, minor: 1, class: gateway.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b neighbour.Behaviour) {
				w := newWorld(t, b, neighbour.Mischief{})
				_, paid := w.paid()
				w.Mischief = c.mischief
				amount, reference := usd(c.minor), paid.Reference
				if c.currency != "" {
					amount.CurrencyCode = c.currency
				}
				if c.reference != "" {
					reference = c.reference
				}
				w.wantClass(w.refund("r1", reference, amount), c.class)
				got := w.Returns()
				if len(got) != c.returns {
					t.Fatalf("got %+v, want %d", got, c.returns)
				}
				if c.returns == 1 && (got[0].Kind != invariant.Refunded || got[0].Minor != c.minor || got[0].Key != "r1" ||
					got[0].ChargeReference != reference || got[0].Subscription != "s1") {
					t.Errorf("got %+v", got[0])
				}
			})
		})
	}
}

// A pending refund holds its amount, and is decided within two days.
func TestPendingRefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{})
	classes := map[gateway.Class]int{}
	for range 30 {
		c, paid := w.paid()
		w.Mischief.RefundPending = 1
		w.wantClass(w.refund("a"+c.Key, paid.Reference, usd(4000)), gateway.Pending)
		w.wantClass(w.refund("b"+c.Key, paid.Reference, usd(701)), gateway.Rejected)
		w.Mischief.RefundPending = 0
		w.now = w.now.Add(48 * time.Hour)
		r, _ := w.lookup("a" + c.Key)
		classes[r.Class]++
	}
	if classes[gateway.Accepted] == 0 || classes[gateway.Rejected] == 0 || classes[gateway.Pending] > 0 {
		t.Errorf("two days later the classes are %v", classes)
	}
}

// A refund may come back after it succeeded. The webhook of it is never lost, for nobody looks it up again.
func TestReversedRefund(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		w := newWorld(t, b, neighbour.Mischief{})
		_, paid := w.paid()
		w.mail = nil
		w.Mischief = neighbour.Mischief{RefundReversed: 1, Lost: 1}
		w.wantClass(w.refund("r1", paid.Reference, usd(4700)), gateway.Accepted)
		w.now = w.now.AddDate(0, 0, 7)
		r, _ := w.lookup("r1")
		if b == neighbour.LikePayabl {
			w.wantClass(r, gateway.Accepted)
			return
		}
		if !r.Reversed || r.Class != gateway.Rejected {
			t.Errorf("got %+v, want it reversed", r)
		}
		if got := w.Returns(); len(got) != 2 || got[1].Kind != invariant.RefundReversed || !got[1].At.After(got[0].At) {
			t.Errorf("got %+v, want both ways", got)
		}
		if len(w.mail) != 1 || w.read(w.mail[0]).Kind != gateway.NoticeRefund {
			t.Errorf("got the webhooks %+v, want that of the reversal", w.mail)
		}
		w.Mischief = neighbour.Mischief{}
		w.wantClass(w.refund("r2", paid.Reference, usd(4700)), gateway.Accepted)
		w.wantViolations(0)
	})
}

// A second capture of one number goes back whatever happens: the ledger asks under one key for ever.
func TestSecondCaptureGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeBraintree, neighbour.Mischief{})
	c, _ := w.paid()
	c.Key = "second"
	second := w.charge(c)
	w.Mischief = neighbour.Mischief{RefundDeclined: 1, RefundPending: 0.5, RefundReversed: 1}
	for range 20 {
		w.now = w.now.Add(48 * time.Hour)
		if r := w.refund("back"+w.now.String(), second.Reference, usd(10)); r.Class == gateway.Rejected {
			t.Fatalf("got %+v", r)
		}
	}
}
