package projection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// elsewhere are the kinds of events that no stream of a subscription has.
func elsewhere() []string {
	return []string{
		"merchant_created", "merchant_changed", "connection_created", "connection_blocked", "connection_unblocked",
		"consent_requested", "connection_activated", "connection_refused", "connection_update_needed", "connection_expired",
		"connection_disconnected", "connection_resealed",
		"endpoint_created", "endpoint_changed", "endpoint_disabled",
		"delivery_concluded", "first_payment_reserved", "numbers_reserved",
	}
}

// TestEveryKindHasACase makes one event of each kind of the oneof: a view must handle it or list it as silent.
func TestEveryKindHasACase(t *testing.T) {
	t.Parallel()
	kinds := (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	if kinds.Len() == 0 {
		t.Fatal("the oneof has no kinds")
	}
	foreign := elsewhere()
	for _, p := range projection.Views() {
		for i := range kinds.Len() {
			kind := kinds.Get(i)
			e := &ledgerv1.Event{Metadata: &ledgerv1.Metadata{}}
			e.ProtoReflect().Set(kind, e.ProtoReflect().NewField(kind))
			err := p.Apply(blindTx{}, minute(0), event.Recorded{Stream: "subscription-acme.s1", Event: e})
			known := !errors.Is(err, event.ErrUnknownKind)
			if p.Name == "journal" && known {
				continue // its list of silent kinds is the journal package's, of the whole oneof
			}
			if belongs := !slices.Contains(foreign, string(kind.Name())); known != belongs {
				t.Errorf("%s has a case for %s: %t, want %t (%v)", p.Name, kind.Name(), known, belongs, err)
			}
		}
	}
}

// blindTx takes every statement and finds nothing.
type blindTx struct{}

func (blindTx) Exec(string, ...any) (int64, error)     { return 1, nil }
func (blindTx) QueryRow(string, ...any) projection.Row { return noRow{} }

type noRow struct{}

func (noRow) Scan(...any) error { return projection.ErrNoRows }

func TestOnlyStreamsOfSubscriptionsAreRead(t *testing.T) {
	t.Parallel()
	for _, p := range projection.Views() {
		for _, stream := range []string{"merchant-acme", "subscription-acme", "subscription-.s1", "subscription-acme.", ""} {
			if err := p.Apply(blindTx{}, minute(0), event.Recorded{Stream: stream, Event: started()}); err == nil {
				t.Errorf("%s took an event of stream %q, want an error", p.Name, stream)
			}
		}
	}
}

// TestReplayGivesTheSameRows starts over on emptied tables.
func TestReplayGivesTheSameRows(t *testing.T) {
	t.Parallel()
	v := newViews(t, append(projection.Views(), projection.Work()...)...)
	events := allHistories(t)
	v.apply(events...)
	live := v.dump()
	v.forget()
	for i := range events {
		v.apply(events[i]) // also in other transactions
	}
	if d := cmp.Diff(live, v.dump()); d != "" {
		t.Errorf("rows, live and replayed (-live +replayed):\n%s", d)
	}
}

// TestAsOfIsThePast compares what is known of each instant with the views that were built from the log up to it.
func TestAsOfIsThePast(t *testing.T) {
	t.Parallel()
	whole := newViews(t, projection.Orders(), projection.PayNumbers(), projection.Journal())
	events := allHistories(t)
	whole.apply(events...)
	growing := newViews(t, projection.Orders(), projection.PayNumbers(), projection.Journal())
	compared := 0
	for i, e := range events {
		growing.apply(e)
		if i+1 < len(events) && !events[i+1].GetMetadata().GetRecordedAt().AsTime().After(growing.known) {
			continue // more became known at this instant
		}
		compared++
		want := append(
			orderLines(t, growing.store, projection.OrderFilter{MerchantID: aggregatetest.Merchant}),
			payNumberLines(t, growing.store, projection.PayNumberFilter{MerchantID: aggregatetest.Merchant})...)
		want = append(want, entryLines(t, growing.store, projection.EntryFilter{MerchantID: aggregatetest.Merchant}, 0)...)
		got := append(
			orderLines(t, whole.store, projection.OrderFilter{MerchantID: aggregatetest.Merchant, AsOf: growing.known}),
			payNumberLines(t, whole.store, projection.PayNumberFilter{MerchantID: aggregatetest.Merchant, AsOf: growing.known})...)
		got = append(got, entryLines(t, whole.store, projection.EntryFilter{MerchantID: aggregatetest.Merchant, AsOf: growing.known}, 0)...)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("as of %s, after event %d of %s (-then +as of):\n%s", growing.known, e.Revision, e.Stream, d)
		}
	}
	if compared < 10 {
		t.Errorf("%d instants were compared, want many", compared)
	}
}

// TestOrdersSumUp holds the rows against the events: one order per order id, and each payment's returns.
func TestOrdersSumUp(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders())
	events := allHistories(t)
	v.apply(events...)
	orders, effect := 0, int64(0)
	for _, e := range events {
		switch k := e.GetKind().(type) {
		case *ledgerv1.Event_PaymentSucceeded:
			orders, effect = orders+1, effect+k.PaymentSucceeded.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_LateChargeObserved:
			orders, effect = orders+1, effect+k.LateChargeObserved.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_PaymentObserved:
			orders, effect = orders+1, effect+k.PaymentObserved.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_RefundObserved:
			orders, effect = orders+1, effect-k.RefundObserved.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_PaymentDeclined:
			orders++
		case *ledgerv1.Event_RefundSucceeded:
			orders, effect = orders+1, effect-k.RefundSucceeded.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_RefundReversed:
			orders, effect = orders+1, effect+k.RefundReversed.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_DisputeFundsWithdrawn:
			orders, effect = orders+1, effect-k.DisputeFundsWithdrawn.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_DisputeFundsReinstated:
			orders, effect = orders+1, effect+k.DisputeFundsReinstated.GetAmounts().GetFull().GetMinorUnits()
		case *ledgerv1.Event_SubscriptionCancelled:
			if k.SubscriptionCancelled.GetOrderId() != 0 {
				orders++
			}
		}
	}
	var gotOrders int
	var gotEffect int64
	if err := v.store.QueryRow(context.Background(), "SELECT count(*), sum(cash_effect) FROM order_rows").Scan(&gotOrders, &gotEffect); err != nil {
		t.Fatal(err)
	}
	if gotOrders != orders || gotEffect != effect {
		t.Errorf("%d orders with a cash effect of %d, want %d and %d", gotOrders, gotEffect, orders, effect)
	}
}

// allHistories are the histories of all layers' tests as one log: in the order in which they were recorded.
func allHistories(t *testing.T) []event.Recorded {
	t.Helper()
	var events []event.Recorded
	for _, h := range aggregatetest.Histories() {
		events = append(events, h.Events...)
	}
	if len(events) == 0 {
		t.Fatal("there are no histories")
	}
	slices.SortStableFunc(events, func(a, b event.Recorded) int {
		return a.GetMetadata().GetRecordedAt().AsTime().Compare(b.GetMetadata().GetRecordedAt().AsTime())
	})
	return events
}

// dump reads all rows of all tables.
func (v *views) dump() map[string][]string {
	v.t.Helper()
	out := map[string][]string{}
	for _, p := range v.projections {
		for _, table := range p.Tables {
			out[table] = v.dumpTable(table)
		}
	}
	return out
}

func (v *views) dumpTable(table string) (lines []string) {
	v.t.Helper()
	ctx := context.Background()
	var columns int
	if err := v.store.QueryRow(ctx, "SELECT count(*) FROM pragma_table_info($1)", table).Scan(&columns); err != nil {
		v.t.Fatal(err)
	}
	rows, err := v.store.Query(ctx, "SELECT * FROM "+table)
	if err != nil {
		v.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values := make([]any, columns)
		into := make([]any, columns)
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			v.t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(values...))
	}
	if err := rows.Err(); err != nil {
		v.t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}
