package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/projection"
)

// line is an order in short: "10001 sale paid +4700 returned 0".
func line(o *ledgerv1.Order) string {
	word := func(prefix, name string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }
	s := fmt.Sprintf("%d %s %s %+d", o.GetOrderId(), word("ORDER_TYPE_", o.GetType().String()),
		word("ORDER_STATUS_", o.GetStatus().String()), o.GetCashEffect().GetMinorUnits())
	if o.GetReturned() != nil {
		s += fmt.Sprintf(" returned %d", o.GetReturned().GetMinorUnits())
	}
	if o.GetLate() {
		s += " late"
	}
	return s
}

// orderLines lists orders in short, the oldest first.
func orderLines(t *testing.T, r projection.Reader, f projection.OrderFilter) []string {
	t.Helper()
	orders, next, err := projection.ListOrders(context.Background(), r, f, projection.Page{Size: projection.MaxPageSize})
	if err != nil || next != "" {
		t.Fatalf("ListOrders: next page %q, error %v; want one page", next, err)
	}
	lines := make([]string, len(orders))
	for i, o := range orders {
		lines[len(orders)-1-i] = line(o)
	}
	return lines
}

func TestOrders(t *testing.T) {
	t.Parallel()
	sold := func() *past {
		return newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, succeeded(10001, 1, 1, 0))
	}
	tests := []struct {
		name string
		past *past
		want []string
	}{
		{"asked for", newPast("s1").at(1, started(), requested(1, 1, 0), unknown(1, 1)), nil},
		{"sale and rebill", sold().at(3, requested(2, 1, 0)).at(4, succeeded(10002, 2, 1, 0)), []string{
			"10001 sale paid +4700 returned 0",
			"10002 rebill paid +4700 returned 0",
		}},
		{"failed twice, then paid", sold().
			at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).
			at(6, requested(2, 2, 1)).at(7, declined(10003, 2, 2, 1, 9)).
			at(9, requested(2, 3, 2)).at(10, succeeded(10004, 2, 3, 2)), []string{
			"10001 sale paid +4700 returned 0",
			"10002 failed failed +0",
			"10003 failed failed +0",
			"10004 rebill paid +4700 returned 0",
		}},
		{"part refunded", sold().at(3, refundRequested("a", 10001, 1700)).at(4, refunded(10002, "a", 10001, 1700, false)), []string{
			"10001 sale partially_refunded +4700 returned 1700",
			"10002 partial_refund done -1700",
		}},
		{"refunded in parts", sold().at(3, refundRequested("a", 10001, 1700)).at(4, refunded(10002, "a", 10001, 1700, false)).
			at(5, refundRequested("b", 10001, 3000)).at(6, refunded(10003, "b", 10001, 3000, true)), []string{
			"10001 sale refunded +4700 returned 4700",
			"10002 partial_refund done -1700",
			"10003 refund done -3000",
		}},
		{"a refund that came back", sold().at(3, refundRequested("a", 10001, 4700)).at(4, refunded(10002, "a", 10001, 4700, true)).
			at(5, refundReversed(10003, "a", 10001, 4700)), []string{
			"10001 sale paid +4700 returned 0",
			"10002 refund done -4700",
			"10003 refund_reversed done +4700",
		}},
		{"charged back", sold().at(3, withdrawn(10002, 10001, 4700)), []string{
			"10001 sale charged_back +4700 returned 4700",
			"10002 chargeback done -4700",
		}},
		{"charged back and reinstated", sold().at(3, withdrawn(10002, 10001, 4700)).at(4, reinstated(10003, 10001, 4700)), []string{
			"10001 sale paid +4700 returned 0",
			"10002 chargeback done -4700",
			"10003 chargeback_reversed done +4700",
		}},
		{"refunded and charged back", sold().at(3, refundRequested("a", 10001, 4700)).at(4, refunded(10002, "a", 10001, 4700, true)).
			at(5, withdrawn(10003, 10001, 4700)), []string{
			"10001 sale charged_back +4700 returned 9400",
			"10002 refund done -4700",
			"10003 chargeback done -4700",
		}},
		{"charged after it was cancelled", sold().at(3, requested(2, 1, 0)).at(4, cancelled(10002)).at(5, late(10003, 2, 1)), []string{
			"10001 sale paid +4700 returned 0",
			"10002 cancellation done +0",
			"10003 rebill paid +4700 returned 0 late",
		}},
		{"taken over, charged by the gateway", newPast("s1").at(1, imported()).at(2, observed(10001, 4)).at(3, observed(10002, 5)), []string{
			"10001 rebill paid +4700 returned 0",
			"10002 rebill paid +4700 returned 0",
		}},
		{"sold by the gateway", newPast("s1").at(1, started()).at(2, observed(10001, 1)), []string{"10001 sale paid +4700 returned 0"}},
		{"charged by the gateway after the end", sold().at(3, cancelled(10002)).at(4, ended(observed(10003, 2))), []string{
			"10001 sale paid +4700 returned 0",
			"10002 cancellation done +0",
			"10003 rebill paid +4700 returned 0 late",
		}},
		{"refunded at the gateway", sold().at(3, refundObserved(10002, 10001, 1700, false)).at(4, refundObserved(10003, 10001, 3000, true)), []string{
			"10001 sale refunded +4700 returned 4700",
			"10002 partial_refund done -1700",
			"10003 refund done -3000",
		}},
		{"cancelled before anything was sold", newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, cancelled(0)), nil},
		{"in doubt, then found", newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, unknown(1, 1)).at(3, succeeded(10001, 1, 1, 0)), []string{
			"10001 sale paid +4700 returned 0",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.Orders())
			v.apply(tt.past.events...)
			got := orderLines(t, v.store, projection.OrderFilter{MerchantID: "acme"})
			if d := cmp.Diff(append([]string{}, tt.want...), got); d != "" {
				t.Errorf("orders (-want +got):\n%s", d)
			}
		})
	}
}

// ended is an observed payment of a subscription that had ended.
func ended(e *ledgerv1.Event) *ledgerv1.Event {
	e.GetPaymentObserved().Ended = true
	return e
}

// TestOrdersKnowTheirConnection gives every event that makes an order another connection than the first.
func TestOrdersKnowTheirConnection(t *testing.T) {
	t.Parallel()
	p := newPast("s1").at(1, started(), succeeded(10001, 1, 1, 0))
	for i, e := range []*ledgerv1.Event{
		succeeded(0, 2, 1, 0), late(0, 3, 1), observed(0, 4), declined(0, 5, 1, 0, 0), refunded(0, "a", 10001, 100, false),
		refundObserved(0, 10001, 100, false), refundReversed(0, "a", 10001, 100), withdrawn(0, 10001, 100), reinstated(0, 10001, 100), cancelled(0),
	} {
		m := e.ProtoReflect()
		kind := m.Mutable(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message()
		fields := kind.Descriptor().Fields()
		kind.Set(fields.ByName("order_id"), protoreflect.ValueOfInt64(int64(10002+i)))
		kind.Set(fields.ByName("connection_id"), protoreflect.ValueOfString("second"))
		p.at(2+i, e)
	}
	v := newViews(t, projection.Orders())
	v.apply(p.events...)
	list, _, err := projection.ListOrders(context.Background(), v.store, projection.OrderFilter{MerchantID: "acme"}, projection.Page{})
	if err != nil || len(list) != len(p.events)-1 {
		t.Fatalf("got %d orders (%v), want %d", len(list), err, len(p.events)-1)
	}
	for _, o := range list {
		want := "second"
		if o.GetOrderId() == 10001 {
			want = "main"
		}
		if o.GetConnectionId() != want {
			t.Errorf("%s is of connection %s, want %s", line(o), o.GetConnectionId(), want)
		}
	}
}

func TestOrderForNothingIsPaid(t *testing.T) {
	t.Parallel()
	free := succeeded(10001, 1, 1, 0)
	free.GetPaymentSucceeded().Amounts = amounts(0)
	v := newViews(t, projection.Orders())
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0), free).events...)
	want := []string{"10001 sale paid +0 returned 0"}
	if d := cmp.Diff(want, orderLines(t, v.store, projection.OrderFilter{MerchantID: "acme"})); d != "" {
		t.Errorf("orders (-want +got):\n%s", d)
	}
}

// TestGetOrder looks at every field of the three shapes of an order.
func TestGetOrder(t *testing.T) {
	t.Parallel()
	p := newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, declined(10001, 1, 1, 0, 0)).
		at(3, refunded(10002, "a", 10001, 1700, false)).at(4, cancelled(10003))
	v := newViews(t, projection.Orders())
	v.apply(p.events...)

	common := &ledgerv1.Order{
		MerchantId: "acme", SubscriptionId: "s1", ConnectionId: "main", Mode: ledgerv1.Mode_MODE_LIVE,
		BuyerId: "buyer-1", ProductId: "book", PricePoint: 3, ExternalRef: "cart-7", OriginalOrderId: 10001,
	}
	tests := []struct {
		event int // that made it
		own   *ledgerv1.Order
	}{
		{2, &ledgerv1.Order{
			OrderId: 10001, Type: ledgerv1.OrderType_ORDER_TYPE_FAILED, Status: ledgerv1.OrderStatus_ORDER_STATUS_FAILED,
			Amounts: amounts(4700), CashEffect: usd(0), PayNumber: 1, Attempt: 1, DeclineCode: "no_funds",
		}},
		{3, &ledgerv1.Order{
			OrderId: 10002, Type: ledgerv1.OrderType_ORDER_TYPE_PARTIAL_REFUND, Status: ledgerv1.OrderStatus_ORDER_STATUS_DONE,
			Amounts: amounts(1700), CashEffect: usd(-1700), PayNumber: 1, ParentOrderId: 10001, GatewayReference: "re_a",
		}},
		{4, &ledgerv1.Order{
			OrderId: 10003, Type: ledgerv1.OrderType_ORDER_TYPE_CANCELLATION, Status: ledgerv1.OrderStatus_ORDER_STATUS_DONE,
			CashEffect: usd(0),
		}},
	}
	for _, tt := range tests {
		want := proto.CloneOf(common)
		proto.Merge(want, tt.own)
		e := p.events[tt.event]
		want.EventId, want.OccurredAt, want.RecordedAt = e.ID.String(), e.Metadata.OccurredAt, e.Metadata.RecordedAt
		got, err := projection.GetOrder(context.Background(), v.store, "acme", want.OrderId, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Errorf("order %d (-want +got):\n%s", want.OrderId, d)
		}
	}

	for _, foreign := range []struct {
		merchant string
		id       int64
	}{{"other", 10001}, {"acme", 99}} {
		o, err := projection.GetOrder(context.Background(), v.store, foreign.merchant, foreign.id, time.Time{})
		var refusal *aggregate.Error
		if !errors.As(err, &refusal) || refusal.Kind != aggregate.NotFound {
			t.Errorf("GetOrder(%s, %d) = %v, %v; want NOT_FOUND", foreign.merchant, foreign.id, o, err)
		}
	}
}

func TestOrdersAsOf(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders())
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, succeeded(10001, 1, 1, 0)).
		at(4, withdrawn(10002, 10001, 4700)).at(6, reinstated(10003, 10001, 4700)).events...)
	sale := "10001 sale paid +4700 returned 0"
	lost := []string{"10001 sale charged_back +4700 returned 4700", "10002 chargeback done -4700"}
	tests := []struct {
		at   time.Time
		want []string
	}{
		{minute(2).Add(-time.Microsecond), []string{}},
		{minute(2), []string{sale}},
		{minute(3), []string{sale}},
		{minute(4), lost},
		{minute(6).Add(-time.Microsecond), lost},
		{minute(6), []string{sale, "10002 chargeback done -4700", "10003 chargeback_reversed done +4700"}},
	}
	for _, tt := range tests {
		got := orderLines(t, v.store, projection.OrderFilter{MerchantID: "acme", AsOf: tt.at})
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("orders as of %s (-want +got):\n%s", tt.at, d)
		}
	}
}

func TestListOrdersFilters(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders())
	other := started()
	s := other.GetSubscriptionStarted()
	s.BuyerId, s.ExternalRef = "buyer-2", ""
	foreign := newPast("s1")
	foreign.merchant = "zeta"
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, succeeded(10001, 1, 1, 0)).at(8, cancelled(10002)).events...)
	v.apply(newPast("s2").at(1, other, requested(1, 1, 0)).at(4, declined(20001, 1, 1, 0, 0)).events...)
	v.apply(foreign.at(1, started(), requested(1, 1, 0)).at(2, succeeded(30001, 1, 1, 0)).events...)

	const a1, a2, b1 = "10001 sale paid +4700 returned 0", "10002 cancellation done +0", "20001 failed failed +0"
	tests := []struct {
		name   string
		filter projection.OrderFilter
		want   []string
	}{
		{"merchant", projection.OrderFilter{}, []string{a1, b1, a2}},
		{"subscription", projection.OrderFilter{SubscriptionID: "s2"}, []string{b1}},
		{"buyer", projection.OrderFilter{BuyerID: "buyer-1"}, []string{a1, a2}},
		{"external reference", projection.OrderFilter{ExternalRef: "cart-7"}, []string{a1, a2}},
		{"gateway reference", projection.OrderFilter{GatewayReference: "ch_10001"}, []string{a1}},
		{"another merchant's gateway reference", projection.OrderFilter{GatewayReference: "ch_30001"}, []string{}},
		{"types", projection.OrderFilter{Types: []ledgerv1.OrderType{
			ledgerv1.OrderType_ORDER_TYPE_FAILED, ledgerv1.OrderType_ORDER_TYPE_CANCELLATION}}, []string{b1, a2}},
		{"from", projection.OrderFilter{OccurredFrom: minute(4).Add(-10 * time.Second)}, []string{b1, a2}},
		{"to", projection.OrderFilter{OccurredTo: minute(4).Add(-10 * time.Second)}, []string{a1}},
		{"all at once", projection.OrderFilter{SubscriptionID: "s1", BuyerID: "buyer-1", ExternalRef: "cart-7",
			GatewayReference: "ch_10001", Types: []ledgerv1.OrderType{ledgerv1.OrderType_ORDER_TYPE_SALE},
			OccurredFrom: minute(0), OccurredTo: minute(9), AsOf: minute(9)}, []string{a1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.filter.MerchantID = "acme"
			if d := cmp.Diff(tt.want, orderLines(t, v.store, tt.filter)); d != "" {
				t.Errorf("orders (-want +got):\n%s", d)
			}
		})
	}
}

func TestListOrdersPagesWhileRowsAreAdded(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders())
	p := newPast("s1").at(0, started())
	const orders = 23
	for i := range orders {
		// Several of them happened at the same instant.
		p.at(10+i/4, succeeded(int64(10001+i), uint32(i+1), 1, 0))
	}
	v.apply(p.events...)
	var got []int64
	var token string
	for page := 0; ; page++ {
		list, next, err := projection.ListOrders(context.Background(), v.store, projection.OrderFilter{MerchantID: "acme"},
			projection.Page{Size: 5, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			got = append(got, o.GetOrderId())
		}
		if token = next; token == "" {
			break
		}
		// A newer one, a child of what was seen, and one of the instant at which this page ended, but behind it.
		n := int64(page)
		v.apply(newPast(fmt.Sprint("new", page)).at(50, started(), succeeded(50001+n, 1, 1, 0), withdrawn(60001+n, 10023, 100)).
			at(10, succeeded(70001+n, 1, 1, 0)).events...)
	}
	var want []int64
	for _, id := range got {
		if id > 70000 {
			want = append(want, id) // behind all pages but the last: it may be seen, in its place
		}
	}
	for i := range orders {
		want = append(want, int64(10000+orders-i))
	}
	seen := map[int64]int{}
	for _, id := range got {
		seen[id]++
	}
	for _, id := range want {
		if seen[id] != 1 {
			t.Errorf("order %d was listed %d times, want once", id, seen[id])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d orders were listed, want %d: %v", len(got), len(want), got)
	}
}

func TestOrderIDsAreNotSharedOrRepeated(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders())
	first := newPast("s1").at(1, started(), succeeded(10001, 1, 1, 0))
	v.apply(first.events...)
	v.apply(first.events...)
	if got := orderLines(t, v.store, projection.OrderFilter{MerchantID: "acme"}); len(got) != 1 {
		t.Errorf("the same events twice made %v, want one order", got)
	}
	second := newPast("s2").at(2, started(), succeeded(10001, 1, 1, 0))
	if err := v.try(second.events...); err == nil || !strings.Contains(err.Error(), "was made by event "+first.events[1].ID.String()) {
		t.Errorf("a second event with the same order id: %v, want an error that names the first", err)
	}
	if err := v.try(newPast("s3").at(3, succeeded(30001, 1, 1, 0)).events...); err == nil || !strings.Contains(err.Error(), "never started") {
		t.Errorf("an order of a subscription that was not started: %v, want an error that says so", err)
	}
}

func TestTimesAreKeptToTheMicrosecond(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders())
	p := newPast("s1").at(1, started(), succeeded(10001, 1, 1, 0))
	want := timestamppb.New(time.Date(2026, time.March, 1, 0, 0, 0, 123456000, time.UTC))
	p.events[1].Metadata.OccurredAt = want
	v.apply(p.events...)
	o, err := projection.GetOrder(context.Background(), v.store, "acme", 10001, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, o.GetOccurredAt(), protocmp.Transform()); d != "" {
		t.Errorf("occurred_at (-want +got):\n%s", d)
	}
}
