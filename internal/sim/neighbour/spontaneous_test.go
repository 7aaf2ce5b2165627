package neighbour_test

import (
	"math/rand/v2"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// Whatever a gateway does by itself is told, though every webhook that may be lost is, and its book agrees with what it
// tells.
func TestWhatIsDoneByItselfIsTold(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		w := newWorld(t, b, neighbour.Mischief{})
		for range 30 {
			w.paid()
		}
		w.Schedule(w.conn, "theirs", usd(900))
		w.mail = nil
		w.Mischief.Lost = 1
		r := rand.New(rand.NewPCG(7, 0))
		did := map[string]int{}
		for range 300 {
			what, ok := w.Act(r)
			if !ok {
				break
			}
			did[what]++
			w.now = w.now.Add(time.Hour)
		}
		if b == neighbour.LikePayabl {
			if len(did) != 1 || did[neighbour.SelfAgreement] != 30 || len(w.mail) > 0 {
				t.Errorf("a silent one did %v and told %d", did, len(w.mail))
			}
			return
		}
		for _, what := range []string{
			neighbour.SelfInquiry, neighbour.SelfOpened, neighbour.SelfWithdrawn, neighbour.SelfReinstated, neighbour.SelfWon,
			neighbour.SelfLost, neighbour.SelfInquiryClosed, neighbour.SelfRefund, neighbour.SelfAgreement, neighbour.SelfPayment,
		} {
			if did[what] == 0 {
				t.Errorf("it never did %s", what)
			}
		}
		wantToldAsBooked(t, w)
	})
}

// wantToldAsBooked compares the webhooks with the book.
func wantToldAsBooked(t *testing.T, w *world) {
	t.Helper()
	told := map[invariant.ReturnKind]int64{}
	payments := 0
	for _, m := range w.mail {
		n := w.read(m)
		switch {
		case n.Kind == gateway.NoticePayment && n.Payment.Reference != "" && n.Key == "" && n.Subscription == "theirs":
			payments++
		case n.Kind == gateway.NoticeRefundMade && n.Refund.ChargeReference != "":
			told[invariant.Refunded] += n.Refund.Amount.MinorUnits
		case n.Kind == gateway.NoticeDispute && n.Dispute.Stage == ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN:
			told[invariant.ChargedBack] += n.Dispute.Amount.MinorUnits
		case n.Kind == gateway.NoticeDispute && n.Dispute.Stage == ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED:
			told[invariant.ChargebackReversed] += n.Dispute.Amount.MinorUnits
		}
	}
	booked := map[invariant.ReturnKind]int64{}
	for _, r := range w.Returns() {
		booked[r.Kind] += r.Minor
	}
	for kind, minor := range booked {
		if told[kind] != minor || minor == 0 {
			t.Errorf("%s: booked %d, told %d", kind, minor, told[kind])
		}
	}
	if captures := len(w.Captures()); captures != 30+payments {
		t.Errorf("got %d captures with %d payments told", captures, payments)
	}
}

// Charges that sell nothing are left to whoever sends them back.
func TestActLeavesWhatSellsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeBraintree, neighbour.Mischief{})
	wrong := w.charge(w.first(neighbour.Mismatch))
	c, _ := w.paid()
	c.Key = "second"
	w.charge(c)
	r := rand.New(rand.NewPCG(1, 0))
	for {
		what, ok := w.Act(r)
		if !ok {
			break
		}
		if what != neighbour.SelfAgreement {
			t.Errorf("it did %s", what)
		}
	}
	if ref, ok := w.ReturnAtDesk("acme", "main", wrong.Reference); !ok || ref == "" {
		t.Error("the wrong amount cannot be returned")
	}
	if _, ok := w.ReturnAtDesk("acme", "main", wrong.Reference); ok {
		t.Error("it can be returned twice")
	}
}

func TestScheduleEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{})
	w.Schedule(w.conn, "theirs", usd(900))
	w.EndSchedule("acme", "main", "theirs")
	if what, ok := w.Act(rand.New(rand.NewPCG(1, 0))); ok {
		t.Errorf("it did %s", what)
	}
}
