package neighbour_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/neighbour"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	const soft, hard, buyer = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD,
		ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
	for _, c := range []struct {
		outcome  neighbour.Outcome
		class    gateway.Class
		category ledgerv1.DeclineCategory
		stop     bool
		captures int
	}{
		{outcome: neighbour.Accepted, class: gateway.Accepted, captures: 1},
		{outcome: neighbour.Mismatch, class: gateway.Accepted, captures: 1},
		{outcome: neighbour.Pending, class: gateway.Pending},
		{outcome: neighbour.Soft, class: gateway.Rejected, category: soft},
		{outcome: neighbour.Hard, class: gateway.Rejected, category: hard},
		{outcome: neighbour.BuyerAction, class: gateway.Rejected, category: buyer},
		{outcome: neighbour.StopOrder, class: gateway.Rejected, category: hard, stop: true},
		{outcome: neighbour.AgreementLost, class: gateway.Rejected, category: hard}, // there is none yet
	} {
		t.Run(string(c.outcome), func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b neighbour.Behaviour) {
				w := newWorld(t, b, neighbour.Mischief{})
				asked := w.first(c.outcome)
				r := w.charge(asked)
				w.wantClass(r, c.class)
				if r.Category != c.category || r.StopOrder != c.stop || r.Reference == "" {
					t.Errorf("got %+v", r)
				}
				if same := proto.Equal(r.Amount, asked.Amount); same == (c.outcome == neighbour.Mismatch) && r.Class == gateway.Accepted {
					t.Errorf("captured %v of %v", r.Amount, asked.Amount)
				}
				w.wantCaptures(c.captures)
				found, ok := w.lookup(asked.Key)
				if d := cmp.Diff(r, found, protocmp.Transform()); !ok || d != "" {
					t.Errorf("found %v, by a look-up (-answer +look-up):\n%s", ok, d)
				}
				w.wantViolations(0)
			})
		})
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{})
	storing := w.first(neighbour.Accepted)
	storing.Amount = usd(0)
	stored := w.charge(storing)
	w.wantClass(stored, gateway.Accepted)
	w.wantCaptures(0)

	second := w.next(storing, stored.Method)
	w.wantClass(w.charge(second), gateway.Accepted)
	w.wantCaptures(1)

	third := w.next(second, &ledgerv1.PaymentMethod{Reference: "pm_other"})
	w.wantClass(w.charge(third), gateway.Rejected)
	w.wantHit(neighbour.ChargeUnknownMethod)

	imported := &ledgerv1.PaymentMethod{Reference: "pm_imported"}
	w.Store(w.conn, "s9", imported)
	w.wantClass(w.charge(w.next(w.first(neighbour.Accepted), imported)), gateway.Accepted)

	w.Mischief.AgreementLost = 1
	c := w.next(third, stored.Method)
	if r := w.charge(c); !r.AgreementLost || r.Class != gateway.Rejected {
		t.Errorf("got %+v, want a lost agreement", r)
	}
	w.Mischief.AgreementLost = 0
	w.wantViolations(0)
	if r := w.charge(w.next(c, stored.Method)); !r.AgreementLost {
		t.Errorf("got %+v, want the agreement lost for good", r)
	}
	w.wantViolations(1)
}

// What is pending is pending for a look-up too, is decided within a day, and is never captured after its end.
func TestPending(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		w := newWorld(t, b, neighbour.Mischief{})
		classes := map[gateway.Class]int{}
		for range 40 {
			began := w.now
			c := w.first(neighbour.Pending)
			r := w.charge(c)
			w.wantClass(r, gateway.Pending)
			found, _ := w.lookup(c.Key)
			w.wantClass(found, gateway.Pending)
			w.now = began.Add(20 * time.Hour)
			found, _ = w.lookup(c.Key)
			classes[found.Class]++
			if !r.ExpiresAt.IsZero() && found.At.After(r.ExpiresAt) {
				t.Errorf("captured at %s, after the end at %s", found.At, r.ExpiresAt)
			}
			if found.Expired && r.ExpiresAt.IsZero() {
				t.Errorf("expired without an end: %+v", found)
			}
		}
		if classes[gateway.Accepted] == 0 || classes[gateway.Rejected] == 0 || classes[gateway.Pending] > 0 {
			t.Errorf("a day later the classes are %v", classes)
		}
		redirected := w.first(neighbour.Accepted)
		redirected.Token = ""
		if r := w.charge(redirected); r.Class != gateway.Pending || r.NextAction.GetRedirectUrl() == "" {
			t.Errorf("without a token and a method: got %+v, want a redirect", r)
		}
	})
}

// A charge told as declined may be captured after all; its webhook is never lost, and nobody is blamed for what he was
// told.
func TestLateCapture(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		w := newWorld(t, b, neighbour.Mischief{LateCapture: 1, Lost: 1})
		c := w.first(neighbour.Soft)
		w.wantClass(w.charge(c), gateway.Rejected)
		again := c
		again.Key, again.Attempt, again.Token = "again", 2, neighbour.Token(neighbour.Accepted, "again")
		w.wantClass(w.charge(again), gateway.Accepted)
		w.wantCaptures(1)
		w.now = w.now.AddDate(0, 0, 7)
		r, _ := w.lookup(c.Key)
		if b == neighbour.LikePayabl {
			w.wantClass(r, gateway.Rejected) // nobody would ever ask it
			return
		}
		w.wantClass(r, gateway.Accepted)
		w.wantCaptures(2)
		if got := w.Captures()[0]; !got.Denied || got.Key != c.Key || got.Connection != "main" || !got.At.Equal(r.At) {
			t.Errorf("got %+v, want the late capture", got)
		}
		if len(w.mail) != 1 || w.read(w.mail[0]).Key != c.Key || w.mail[0].NotBefore.Before(r.At) {
			t.Errorf("got the webhooks %+v, want that of the late capture", w.mail)
		}
		w.wantViolations(0)
	})
}
