package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// check compares a call's error with what it should be.
func check(t testing.TB, err error, code, reason string) {
	t.Helper()
	s := status.Convert(err)
	if s.Code().String() != code || info(s).GetReason() != reason || info(s).GetDomain() != "ledger" {
		t.Errorf("got %v %s of domain %q (%v), want %s %s", s.Code(), info(s).GetReason(), info(s).GetDomain(), err, code, reason)
	}
}

func retryDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// TestTextIsKept sends what is dangerous elsewhere, and is only text here, by gRPC and by REST, and reads it back from
// everywhere it can be read.
func TestTextIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, text := range []string{
		"'; DROP TABLE orders; --", "<script>alert(1)</script>", "=HYPERLINK(\"x\")", "../../etc/passwd", "${jndi:ldap://x}", "%0d%0aX: y", `\u0000 \x00 \n`,
		"a&b=c;d+e", "日本 e\u0301 \u202e", " ", // as they came: not normalised, not trimmed
		"12345678901234567", "91000000000000009", "4242424242424243", // order numbers of 17 digits, and one that fails Luhn
		strings.Repeat("ä", 255),
	} {
		want := startRequest(fmt.Sprint("t", i), "tok_ok")
		want.ExternalRef, want.Buyer.Id, want.Buyer.LastName, want.Terms.ProductId, want.Terms.ProductName = text, text, text, text, text
		want.Tracking = &ledgerv1.Tracking{Affiliate: text}
		want.Metadata = map[string]string{"key": text}
		if len(text) <= 40 {
			want.Metadata[text] = "value"
		}
		r := &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "r", Start: want, AllowDuplicate: true, Wait: durationpb.New(wait)}
		var began ledgerv1.CommandResponse
		if i%2 == 0 {
			w.must(startMethod, r, &began)
		} else if got := w.rest(startMethod, r); got.status != 200 {
			t.Fatalf("%q by REST: got %d %s", text, got.status, got.body)
		} else {
			w.ok(protojson.Unmarshal(got.body, &began))
		}
		now := w.subscription(want.SubscriptionId)
		byREST := &ledgerv1.Subscription{}
		w.ok(protojson.Unmarshal(w.do("GET", "/v1/merchants/acme/subscriptions/"+want.SubscriptionId, "").body, byREST))
		var orders ledgerv1.ListOrdersResponse
		w.must("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", ExternalRef: text, BuyerId: text, MinPosition: w.head().String()}, &orders)
		var events ledgerv1.ListEventsResponse
		w.must("SubscriptionService/ListEvents", &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: want.SubscriptionId}, &events)
		if len(orders.Orders) != 1 || len(events.Events) != 3 {
			t.Fatalf("%q: got %d orders and %d events, want 1 found by it and 3", text, len(orders.Orders), len(events.Events))
		}
		started, order := events.Events[0].Event.GetSubscriptionStarted(), orders.Orders[0]
		for where, got := range map[string]string{
			"gRPC": now.ExternalRef, "REST": byREST.ExternalRef, "the order": order.ExternalRef, "the event": started.GetExternalRef(),
			"the buyer": now.Buyer.GetLastName(), "the buyer by REST": byREST.Buyer.GetLastName(), "the buyer's event": started.GetBuyer().GetLastName(),
			"the order's buyer": order.BuyerId, "the terms": byREST.Terms.GetProductName(), "the order's product": order.ProductId,
			"the tracking": started.GetTracking().GetAffiliate(), "the metadata": byREST.Metadata["key"],
		} {
			if got != text {
				t.Errorf("%s: got %q back, want %q", where, got, text)
			}
		}
		if diff := cmp.Diff(want.Metadata, now.Metadata); diff != "" {
			t.Errorf("metadata (-sent +kept):\n%s", diff)
		}
		if diff := cmp.Diff(now, byREST, protocmp.Transform()); diff != "" {
			t.Errorf("%q (-gRPC +REST):\n%s", text, diff)
		}
	}
}

// TestATokenIsOfItsListAndFilter takes a page's token elsewhere.
func TestATokenIsOfItsListAndFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", wait)
	w.start("s2", "tok_ok", wait)
	var events ledgerv1.ListEventsResponse
	w.must("SubscriptionService/ListEvents", &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: 1}, &events)
	var orders ledgerv1.ListOrdersResponse
	w.must("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", PageSize: 1, MinPosition: w.head().String()}, &orders)
	if events.NextPageToken == "" || orders.NextPageToken == "" {
		t.Fatal("got no tokens")
	}
	for what, err := range map[string]error{
		"another subscription": w.call("SubscriptionService/ListEvents",
			&ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s2", PageToken: events.NextPageToken}, &events),
		"another list":   w.call("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", PageToken: events.NextPageToken}, &orders),
		"another filter": w.call("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", BuyerId: "b", PageToken: orders.NextPageToken}, &orders),
		"another merchant": w.call("OrderService/ListOrders",
			&ledgerv1.ListOrdersRequest{MerchantId: "other", PageToken: orders.NextPageToken}, &orders),
		"spelt otherwise": w.call("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", PageToken: orders.NextPageToken + "="}, &orders),
	} {
		t.Run(what, func(t *testing.T) { check(t, err, "InvalidArgument", "PAGE_TOKEN_INVALID") })
	}
}

// TestTheFirstInstantIsNotNone: what ends with the year 1's first instant has nothing in it; it is not everything.
func TestTheFirstInstantIsNotNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", wait)
	var orders ledgerv1.ListOrdersResponse
	w.must("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", MinPosition: w.head().String(),
		OccurredTo: &timestamppb.Timestamp{Seconds: -62135596800}}, &orders)
	if len(orders.Orders) != 0 {
		t.Errorf("got %d orders from before the year 1, want none", len(orders.Orders))
	}
}
