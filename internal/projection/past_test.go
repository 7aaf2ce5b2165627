package projection_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// minute is a point of the tests' time.
func minute(n int) time.Time {
	return time.Date(2026, time.March, 1, 12, n, 0, 0, time.UTC)
}

// views is a store with projections over it.
type views struct {
	t           *testing.T
	store       *db.DB
	projections []projection.Projection
	known       time.Time
}

func newViews(t *testing.T, projections ...projection.Projection) *views {
	t.Helper()
	store, err := db.Open(filepath.Join(t.TempDir(), "views.db"), db.Options{Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	v := &views{t: t, store: store, projections: projections}
	v.update(func(tx projection.Tx) error {
		for _, p := range projections {
			if _, err := tx.Exec(p.Schema); err != nil {
				return fmt.Errorf("schema of %s: %w", p.Name, err)
			}
		}
		return nil
	})
	return v
}

func (v *views) update(f func(projection.Tx) error) {
	v.t.Helper()
	if err := v.store.Update(context.Background(), f); err != nil {
		v.t.Fatal(err)
	}
}

// try applies events as a follower would: in order, with the running maximum of recorded_at, in one transaction.
func (v *views) try(events ...event.Recorded) error {
	return v.store.Update(context.Background(), func(tx projection.Tx) error {
		for _, e := range events {
			if at := e.GetMetadata().GetRecordedAt().AsTime(); at.After(v.known) {
				v.known = at
			}
			for _, p := range v.projections {
				if !slices.Contains(p.Categories, event.Category(e.Stream)) {
					continue
				}
				if err := p.Apply(tx, v.known, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (v *views) apply(events ...event.Recorded) {
	v.t.Helper()
	if err := v.try(events...); err != nil {
		v.t.Fatal(err)
	}
}

// forget empties all tables, as before a start over.
func (v *views) forget() {
	v.t.Helper()
	v.known = time.Time{}
	v.update(func(tx projection.Tx) error {
		for _, p := range v.projections {
			for _, table := range p.Tables {
				if _, err := tx.Exec("DELETE FROM " + table); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// past writes down the events of one subscription, whose orders are 10001, 10002, …
type past struct {
	merchant, id string
	events       []event.Recorded
}

func newPast(id string) *past { return &past{merchant: "acme", id: id} }

// at adds events that were recorded in a minute; they happened ten seconds earlier.
func (p *past) at(n int, kinds ...*ledgerv1.Event) *past {
	stream := "subscription-" + p.merchant + "." + p.id
	for _, e := range kinds {
		revision := len(p.events)
		if e.Metadata == nil {
			e.Metadata = &ledgerv1.Metadata{}
		}
		e.Metadata.OccurredAt = timestamppb.New(minute(n).Add(-10 * time.Second))
		e.Metadata.RecordedAt = timestamppb.New(minute(n))
		p.events = append(p.events, event.Recorded{
			Stream:   stream,
			Revision: event.Revision(revision),
			Position: event.Position{Commit: uint64(revision + 1), Prepare: uint64(revision + 1)},
			ID:       uuid.NewSHA1(uuid.NameSpaceURL, []byte(fmt.Sprint(stream, revision))),
			Event:    e,
		})
	}
	return p
}

func usd(minor int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor}
}

// amounts have 2.00 of shipping and the rest as base.
func amounts(full int64) *ledgerv1.Amounts {
	return &ledgerv1.Amounts{Full: usd(full), Base: usd(full - 200), Discount: usd(0), Shipping: usd(200), Tax: usd(0)}
}

func started() *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: &ledgerv1.SubscriptionStarted{
		BuyerId:      "buyer-1",
		ConnectionId: "main",
		Mode:         ledgerv1.Mode_MODE_LIVE,
		ExternalRef:  "cart-7",
		Terms:        &ledgerv1.Terms{ProductId: "book", PricePoint: 3, Regular: amounts(4700)},
	}}}
}

func requested(number, attempt, reattempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: amounts(4700), Due: timestamppb.New(minute(int(number))),
	}}}
}

func pending(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentPending{PaymentPending: &ledgerv1.PaymentPending{
		PayNumber: number, Attempt: attempt,
	}}}
}

func unknown(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentUnknown{PaymentUnknown: &ledgerv1.PaymentUnknown{
		PayNumber: number, Attempt: attempt, Why: "timeout",
	}}}
}

func notCharged(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: &ledgerv1.PaymentNotCharged{
		PayNumber: number, Attempt: attempt, Proof: "absent",
	}}}
}

func mismatched(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
		PayNumber: number, Attempt: attempt, Expected: usd(4700), Charged: usd(4800),
	}}}
}

func succeeded(order int64, number, attempt, reattempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
		OrderId: order, PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: amounts(4700),
		Reference: fmt.Sprintf("ch_%d", order), OriginalOrderId: 10001,
	}}}
}

func late(order int64, number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
		OrderId: order, PayNumber: number, Attempt: attempt, Amounts: amounts(4700),
		Reference: fmt.Sprintf("ch_%d", order), OriginalOrderId: 10001,
	}}}
}

// declined is tried again in the given minute; 0 for never.
func declined(order int64, number, attempt, reattempt uint32, next int) *ledgerv1.Event {
	d := &ledgerv1.PaymentDeclined{
		OrderId: order, PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: amounts(4700),
		Code: "no_funds", OriginalOrderId: 10001,
	}
	if next != 0 {
		d.NextAttemptAt = timestamppb.New(minute(next))
	}
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: d}}
}

func refundRequested(id string, parent, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: id, ParentOrderId: parent, PayNumber: 1, Amounts: amounts(minor),
	}}}
}

func refundPending(id string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundPending{RefundPending: &ledgerv1.RefundPending{RefundId: id}}}
}

func refundUnknown(id string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundUnknown{RefundUnknown: &ledgerv1.RefundUnknown{RefundId: id, Why: "reset"}}}
}

func refundFailed(id string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{RefundId: id}}}
}

func refunded(order int64, id string, parent, minor int64, full bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
		OrderId: order, RefundId: id, ParentOrderId: parent, OriginalOrderId: 10001, PayNumber: 1,
		Amounts: amounts(minor), Reference: "re_" + id, Full: full,
	}}}
}

func refundReversed(order int64, id string, parent, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundReversed{RefundReversed: &ledgerv1.RefundReversed{
		OrderId: order, RefundId: id, ParentOrderId: parent, OriginalOrderId: 10001, PayNumber: 1, Amounts: amounts(minor),
	}}}
}

func withdrawn(order, parent, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
		OrderId: order, DisputeId: "dp_1", ParentOrderId: parent, OriginalOrderId: 10001, PayNumber: 1, Amounts: amounts(minor),
	}}}
}

func reinstated(order, parent, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsReinstated{DisputeFundsReinstated: &ledgerv1.DisputeFundsReinstated{
		OrderId: order, DisputeId: "dp_1", ParentOrderId: parent, OriginalOrderId: 10001, PayNumber: 1, Amounts: amounts(minor),
	}}}
}

func cancelled(order int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCancelled{SubscriptionCancelled: &ledgerv1.SubscriptionCancelled{
		OrderId: order, OriginalOrderId: 10001, Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER,
	}}}
}

// imported is a subscription that began elsewhere and is charged there.
func imported() *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionImported{SubscriptionImported: &ledgerv1.SubscriptionImported{
		BuyerId: "buyer-1", ConnectionId: "main", Mode: ledgerv1.Mode_MODE_LIVE, ExternalRef: "cart-7", PaidNumber: 3,
		Terms: &ledgerv1.Terms{ProductId: "book", PricePoint: 3, Regular: amounts(4700)},
	}}}
}

func observed(order int64, number uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
		OrderId: order, PayNumber: number, Amounts: amounts(4700), Reference: fmt.Sprintf("ch_%d", order), OriginalOrderId: 10001,
	}}}
}

func refundObserved(order, parent, minor int64, full bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
		OrderId: order, RefundId: "seen", ParentOrderId: parent, OriginalOrderId: 10001, PayNumber: 1,
		Amounts: amounts(minor), Reference: "re_seen", Full: full,
	}}}
}

func resolved(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: &ledgerv1.MismatchResolved{
		PayNumber: number, Attempt: attempt, Amount: usd(4800),
	}}}
}

func paused() *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{}}}
}

func resumed(due, next int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionResumed{SubscriptionResumed: &ledgerv1.SubscriptionResumed{
		NextDue: timestamppb.New(minute(due)), NextAttemptAt: timestamppb.New(minute(next)),
	}}}
}

func rescheduled(due int) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: &ledgerv1.PaymentRescheduled{
		NextDue: timestamppb.New(minute(due)),
	}}}
}
