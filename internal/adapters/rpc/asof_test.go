package rpc_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

const (
	refundMethod = "SubscriptionService/Refund"
	listMethod   = "SubscriptionService/ListSubscriptions"
)

// list is the ids of the subscriptions that a list finds, page by page.
func (w *world) list(r *ledgerv1.ListSubscriptionsRequest) (ids []string) {
	w.t.Helper()
	r = proto.CloneOf(r)
	r.MerchantId, r.MinPosition, r.PageSize = "acme", w.head().String(), 2
	for {
		var page ledgerv1.ListSubscriptionsResponse
		w.must(listMethod, r, &page)
		for _, s := range page.Subscriptions {
			ids = append(ids, s.SubscriptionId)
		}
		if r.PageToken = page.NextPageToken; r.PageToken == "" {
			return ids
		}
	}
}

func TestListSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start("s1", "tok_ok", 20*time.Second)
	w.start("s2", "tok_unknown", 20*time.Second)
	w.start("s3", "tok_declined", 20*time.Second)
	var refund ledgerv1.CommandResponse
	w.must(refundMethod, &ledgerv1.RefundRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "refund",
		OrderId: first.Outcome.GetOrderId(), Wait: durationpb.New(20 * time.Second)}, &refund)
	w.must("SubscriptionService/UpdateBuyer", &ledgerv1.UpdateBuyerRequest{MerchantId: "acme", SubscriptionId: "s3", RequestId: "u",
		Buyer: &ledgerv1.Buyer{Email: "Grace@Example.com"}}, &ledgerv1.CommandResponse{})

	for _, c := range []struct {
		name string
		list *ledgerv1.ListSubscriptionsRequest
		want []string
	}{
		{"all, highest number first", &ledgerv1.ListSubscriptionsRequest{}, []string{"s3", "s2", "s1"}},
		{"states", &ledgerv1.ListSubscriptionsRequest{States: []ledgerv1.SubscriptionState{
			ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_FAILED, ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING}}, []string{"s3", "s2"}},
		{"buyer", &ledgerv1.ListSubscriptionsRequest{BuyerId: first.Subscription.Buyer.GetId(), OrderId: first.Outcome.GetOrderId()}, []string{"s1"}},
		{"somebody else", &ledgerv1.ListSubscriptionsRequest{BuyerId: "somebody"}, nil},
		{"an e-mail", &ledgerv1.ListSubscriptionsRequest{Email: "grace@EXAMPLE.com"}, []string{"s3"}},
		{"an e-mail that is not his any more", &ledgerv1.ListSubscriptionsRequest{Email: "ada@example.com"}, []string{"s2", "s1"}},
		{"external reference", &ledgerv1.ListSubscriptionsRequest{ExternalRef: "cart"}, nil},
		{"connection", &ledgerv1.ListSubscriptionsRequest{ConnectionId: "main"}, []string{"s3", "s2", "s1"}},
		{"product", &ledgerv1.ListSubscriptionsRequest{ProductId: "p2"}, nil},
		{"a sale's order", &ledgerv1.ListSubscriptionsRequest{OrderId: first.Outcome.GetOrderId()}, []string{"s1"}},
		{"nobody's order", &ledgerv1.ListSubscriptionsRequest{OrderId: 7}, nil},
		{"a charge of the gateway", &ledgerv1.ListSubscriptionsRequest{GatewayReference: "ch_1"}, []string{"s1"}},
		{"a refund of the gateway", &ledgerv1.ListSubscriptionsRequest{GatewayReference: "re_1"}, []string{"s1"}},
		{"in doubt", &ledgerv1.ListSubscriptionsRequest{InDoubt: proto.Bool(true)}, []string{"s2"}},
		{"not in doubt", &ledgerv1.ListSubscriptionsRequest{InDoubt: proto.Bool(false)}, []string{"s3", "s1"}},
		{"disputed", &ledgerv1.ListSubscriptionsRequest{Disputed: proto.Bool(true)}, nil},
		{"due", &ledgerv1.ListSubscriptionsRequest{DueFrom: timestamppb.New(start), DueTo: timestamppb.New(start.AddDate(0, 2, 0))}, []string{"s1"}},
	} {
		if d := cmp.Diff(c.want, w.list(c.list)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}

	var rest, grpc ledgerv1.ListSubscriptionsResponse
	w.must(listMethod, &ledgerv1.ListSubscriptionsRequest{MerchantId: "acme", InDoubt: proto.Bool(true)}, &grpc)
	a := w.do("GET", "/v1/merchants/acme/subscriptions?in_doubt=true&email=ADA@example.com&min_position="+w.head().String(), "")
	if err := protojson.Unmarshal(a.body, &rest); a.status != 200 || err != nil {
		t.Fatalf("REST answers %d %s", a.status, a.body)
	}
	if d := cmp.Diff(&grpc, &rest, protocmp.Transform()); d != "" {
		t.Errorf("REST and gRPC give different answers (-gRPC +REST):\n%s", d)
	}
	if a := w.do("GET", "/v1/merchants/acme/subscriptions?in_doubt=1", ""); info(a.refusal(t)).GetReason() != "JSON_INVALID" {
		t.Errorf("REST takes 1 for true: %d %s", a.status, a.body)
	}
	var folded ledgerv1.Subscription
	w.must("SubscriptionService/GetSubscription", &ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: "s2"}, &folded)
	want := &ledgerv1.SubscriptionSummary{
		MerchantId: "acme", SubscriptionId: "s2", Number: folded.Number, State: folded.State, BuyerId: folded.Buyer.GetId(), Email: "ada@example.com",
		ConnectionId: "main", Mode: ledgerv1.Mode_MODE_TEST, ProductId: "p1", ProductName: "Course", PricePoint: 1,
		Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING, PaymentsLeft: 9999, InDoubt: true,
		ChargedBy: ledgerv1.ChargedBy_CHARGED_BY_LEDGER, NextAmount: usd(4700), CreatedAt: timestamppb.New(start),
	}
	if d := cmp.Diff([]*ledgerv1.SubscriptionSummary{want}, grpc.Subscriptions, protocmp.Transform()); d != "" {
		t.Errorf("the one in doubt (-want +got):\n%s", d)
	}
}

func TestListSubscriptionsRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	w.start("s2", "tok_ok", 20*time.Second)
	var page ledgerv1.ListSubscriptionsResponse
	w.must(listMethod, &ledgerv1.ListSubscriptionsRequest{MerchantId: "acme", PageSize: 1, MinPosition: w.head().String()}, &page)
	if page.NextPageToken == "" {
		t.Fatal("got one page, want two")
	}
	for _, c := range []struct {
		list         *ledgerv1.ListSubscriptionsRequest
		reason, name string
	}{
		{&ledgerv1.ListSubscriptionsRequest{PageSize: -1}, "PAGE_SIZE", "page_size"},
		{&ledgerv1.ListSubscriptionsRequest{PageToken: "x"}, "PAGE_TOKEN_INVALID", "page_token"},
		{&ledgerv1.ListSubscriptionsRequest{PageToken: page.NextPageToken, BuyerId: "b1"}, "PAGE_TOKEN_INVALID", "page_token"},
		{&ledgerv1.ListSubscriptionsRequest{PageToken: page.NextPageToken, InDoubt: proto.Bool(false)}, "PAGE_TOKEN_INVALID", "page_token"},
		{&ledgerv1.ListSubscriptionsRequest{ConnectionId: "a b"}, "ID_INVALID", "connection_id"},
		{&ledgerv1.ListSubscriptionsRequest{MinPosition: "x"}, "POSITION_INVALID", "min_position"},
		{&ledgerv1.ListSubscriptionsRequest{States: []ledgerv1.SubscriptionState{99}}, "ENUM_UNKNOWN", "states[0]"},
	} {
		c.list.MerchantId = "acme"
		err := w.call(listMethod, c.list, &page)
		check(t, err, "InvalidArgument", c.reason)
		if got := field(status.Convert(err)); got != c.name {
			t.Errorf("%s is about field %q, want %s", c.reason, got, c.name)
		}
	}
}

// TestAsOf asks for the day before a sale, for the sale, and for its refund, which was a day later.
func TestAsOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sold := w.start("s1", "tok_ok", 20*time.Second).Outcome.GetOrderId()
	refunded := start.Add(24 * time.Hour)
	w.clock.Set(refunded)
	w.must(refundMethod, &ledgerv1.RefundRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "refund", OrderId: sold,
		Amount: usd(1000), Wait: durationpb.New(20 * time.Second)}, &ledgerv1.CommandResponse{})
	w.must("SubscriptionService/Cancel", &ledgerv1.CancelRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "cancel",
		Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}, &ledgerv1.CommandResponse{})
	head := w.head().String()

	for _, c := range []struct {
		name     string
		asOf     time.Time
		state    ledgerv1.SubscriptionState
		status   ledgerv1.OrderStatus
		events   int
		orders   int
		returned int64
	}{
		{"when it was sold", start, ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE, ledgerv1.OrderStatus_ORDER_STATUS_PAID, 3, 1, 0},
		{"just before the refund", refunded.Add(-time.Microsecond), ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE,
			ledgerv1.OrderStatus_ORDER_STATUS_PAID, 3, 1, 0},
		{"with the refund", refunded, ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED,
			ledgerv1.OrderStatus_ORDER_STATUS_PARTIALLY_REFUNDED, 6, 3, 1000},
		{"now", time.Time{}, ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED,
			ledgerv1.OrderStatus_ORDER_STATUS_PARTIALLY_REFUNDED, 6, 3, 1000},
	} {
		var at *timestamppb.Timestamp
		if !c.asOf.IsZero() {
			at = timestamppb.New(c.asOf)
		}
		var s ledgerv1.Subscription
		w.must("SubscriptionService/GetSubscription", &ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: "s1", AsOf: at}, &s)
		if s.State != c.state || int(s.Revision) != c.events-1 {
			t.Errorf("%s: got a subscription that is %v at revision %d, want %v at %d", c.name, s.State, s.Revision, c.state, c.events-1)
		}
		var events ledgerv1.ListEventsResponse
		w.must("SubscriptionService/ListEvents", &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", AsOf: at}, &events)
		if len(events.Events) != c.events || events.NextPageToken != "" {
			t.Errorf("%s: got %d events, want %d", c.name, len(events.Events), c.events)
		}
		var o ledgerv1.Order
		w.must("OrderService/GetOrder", &ledgerv1.GetOrderRequest{MerchantId: "acme", OrderId: sold, MinPosition: head, AsOf: at}, &o)
		if o.Status != c.status || o.Returned.GetMinorUnits() != c.returned {
			t.Errorf("%s: got an order that is %v with %v returned, want %v with %d", c.name, o.Status, o.Returned, c.status, c.returned)
		}
		var orders ledgerv1.ListOrdersResponse
		w.must("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", AsOf: at}, &orders)
		if len(orders.Orders) != c.orders {
			t.Errorf("%s: got %d orders, want %d", c.name, len(orders.Orders), c.orders)
		}
		var list ledgerv1.ListSubscriptionsResponse
		w.must(listMethod, &ledgerv1.ListSubscriptionsRequest{MerchantId: "acme", MinPosition: head, AsOf: at}, &list)
		if len(list.Subscriptions) != 1 || list.Subscriptions[0].State != c.state {
			t.Errorf("%s: got subscriptions %v, want one that is %v", c.name, list.Subscriptions, c.state)
		}
		var numbers ledgerv1.ListPayNumbersResponse
		w.must("OrderService/ListPayNumbers", &ledgerv1.ListPayNumbersRequest{MerchantId: "acme", MinPosition: head, AsOf: at}, &numbers)
		if len(numbers.PayNumbers) != 1 {
			t.Errorf("%s: got %d pay numbers, want 1", c.name, len(numbers.PayNumbers))
		}
	}

	var page ledgerv1.ListEventsResponse
	w.must("SubscriptionService/ListEvents", &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: 2, AsOf: timestamppb.New(start)}, &page)
	other := &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: 2, PageToken: page.NextPageToken}
	check(t, w.call("SubscriptionService/ListEvents", other, &page), "InvalidArgument", "PAGE_TOKEN_INVALID")
	other.AsOf = timestamppb.New(start)
	w.must("SubscriptionService/ListEvents", other, &page)
	if len(page.Events) != 1 || page.NextPageToken != "" {
		t.Errorf("the second page has %d events and the next token %q, want 1 and none", len(page.Events), page.NextPageToken)
	}
}

func TestAsOfTheUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := w.start("s1", "tok_ok", 20*time.Second).Outcome.GetOrderId()
	before, future := timestamppb.New(start.Add(-time.Microsecond)), timestamppb.New(start.Add(time.Microsecond))
	for _, c := range []struct {
		method  string
		request func(at *timestamppb.Timestamp) proto.Message
		answer  proto.Message
		code    string // of the past before it was there; "" for an empty list
	}{
		{"SubscriptionService/GetSubscription", func(at *timestamppb.Timestamp) proto.Message {
			return &ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: "s1", AsOf: at}
		}, &ledgerv1.Subscription{}, "NotFound"},
		{"SubscriptionService/ListEvents", func(at *timestamppb.Timestamp) proto.Message {
			return &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", AsOf: at}
		}, &ledgerv1.ListEventsResponse{}, "NotFound"},
		{"OrderService/GetOrder", func(at *timestamppb.Timestamp) proto.Message {
			return &ledgerv1.GetOrderRequest{MerchantId: "acme", OrderId: order, MinPosition: w.head().String(), AsOf: at}
		}, &ledgerv1.Order{}, "NotFound"},
		{listMethod, func(at *timestamppb.Timestamp) proto.Message {
			return &ledgerv1.ListSubscriptionsRequest{MerchantId: "acme", MinPosition: w.head().String(), AsOf: at}
		}, &ledgerv1.ListSubscriptionsResponse{}, ""},
		{"OrderService/ListOrders", func(at *timestamppb.Timestamp) proto.Message {
			return &ledgerv1.ListOrdersRequest{MerchantId: "acme", MinPosition: w.head().String(), AsOf: at}
		}, &ledgerv1.ListOrdersResponse{}, ""},
		{"OrderService/ListPayNumbers", func(at *timestamppb.Timestamp) proto.Message {
			return &ledgerv1.ListPayNumbersRequest{MerchantId: "acme", MinPosition: w.head().String(), AsOf: at}
		}, &ledgerv1.ListPayNumbersResponse{}, ""},
	} {
		t.Run(c.method, func(t *testing.T) {
			err := w.call(c.method, c.request(future), c.answer)
			check(t, err, "InvalidArgument", "AS_OF_IN_FUTURE")
			if got := field(status.Convert(err)); got != "as_of" {
				t.Errorf("the refusal is about field %q, want as_of", got)
			}
			err = w.call(c.method, c.request(before), c.answer)
			if c.code != "" {
				check(t, err, c.code, "NOT_FOUND")
				return
			}
			if err != nil || proto.Size(c.answer) != 0 {
				t.Errorf("before it was there: got %v, %v; want an empty list", c.answer, err)
			}
		})
	}
	a := w.do("GET", "/v1/merchants/acme/subscriptions/s1?as_of=2030-01-31T10:00:00.000001Z", "")
	if s := a.refusal(t); info(s).GetReason() != "AS_OF_IN_FUTURE" {
		t.Errorf("REST answers %s, want AS_OF_IN_FUTURE", a.body)
	}
	if a := w.do("GET", "/v1/merchants/acme/subscriptions/s1?as_of=2030-01-31T10:00:00Z", ""); a.status != 200 {
		t.Errorf("REST answers %d %s, want the subscription", a.status, a.body)
	}
}
