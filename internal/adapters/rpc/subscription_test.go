package rpc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

const startMethod = "SubscriptionService/StartSubscription"

func (w *world) start(id, token string, wait time.Duration) *ledgerv1.CommandResponse {
	w.t.Helper()
	var got ledgerv1.CommandResponse
	w.must(startMethod, &ledgerv1.StartSubscriptionRequest{
		MerchantId: "acme", RequestId: "start-" + id, Start: startRequest(id, token), Wait: durationpb.New(wait),
	}, &got)
	return &got
}

func TestStartAnswersWhatTheGatewaySaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for token, want := range map[string]*ledgerv1.Outcome{
		"tok_ok":       {Status: ledgerv1.Outcome_STATUS_SUCCEEDED, PayNumber: 1, Attempt: 1},
		"tok_declined": {Status: ledgerv1.Outcome_STATUS_DECLINED, PayNumber: 1, Attempt: 1, DeclineCategory: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, DeclineCode: "stolen_card"},
		"tok_pending": {Status: ledgerv1.Outcome_STATUS_PENDING, PayNumber: 1, Attempt: 1,
			NextAction: &ledgerv1.NextAction{RedirectUrl: "https://bank.example/3ds", ClientSecret: clientSecret}},
		"tok_unknown": {Status: ledgerv1.Outcome_STATUS_UNKNOWN, PayNumber: 1, Attempt: 1},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			got := w.start(token, token, 20*time.Second)
			if got.Outcome.OrderId != 0 {
				want.OrderId = got.Subscription.FirstOrderId
			}
			if diff := cmp.Diff(want, got.Outcome, protocmp.Transform()); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			var now ledgerv1.Subscription
			w.must("SubscriptionService/GetSubscription", &ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: token}, &now)
			if diff := cmp.Diff(&now, got.Subscription, protocmp.Transform()); diff != "" {
				t.Errorf("the answer after waiting is not the current subscription (-now +answered):\n%s", diff)
			}
			if now.Buyer.GetId() != "buyer of "+token || now.Buyer.GetFirstName() != "Ada" {
				t.Errorf("got buyer %v, want the one who started it", now.Buyer)
			}
		})
	}
}

func TestWaitEndsWithoutAnOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
		got := w.start(fmt.Sprintf("silent_%d", wait), "tok_silent", wait)
		if got.Outcome.GetStatus() != ledgerv1.Outcome_STATUS_REQUESTED || got.Subscription.State != ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING {
			t.Errorf("wait %v: got %v, %v; want requested, pending", wait, got.Outcome, got.Subscription.State)
		}
	}
}

func TestReplayAnswersAgainAndDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start("s1", "tok_ok", 20*time.Second)
	if first.Replayed {
		t.Error("the first answer says that it is replayed")
	}
	before := w.head()
	again := w.start("s1", "tok_ok", 20*time.Second)
	if !again.Replayed || w.head() != before {
		t.Errorf("got replayed=%v and head %v, want true and %v", again.Replayed, w.head(), before)
	}
	// The outcome is today's; the subscription is as the command left it, before any outcome.
	if diff := cmp.Diff(first.Outcome, again.Outcome, protocmp.Transform()); diff != "" {
		t.Errorf("outcome of the replay (-first +again):\n%s", diff)
	}
	if again.Subscription.State != ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING || again.Subscription.Revision != 1 {
		t.Errorf("got state %v at revision %d, want pending at 1", again.Subscription.State, again.Subscription.Revision)
	}
	third := w.start("s1", "tok_ok", 0)
	again.Position, third.Position = "", ""
	if diff := cmp.Diff(again, third, protocmp.Transform()); diff != "" {
		t.Errorf("another replay, without waiting (-with +without):\n%s", diff)
	}
}

// derived is a start of a buyer of its own that leaves the subscription's id to the ledger.
func derived(buyer string) *ledgerv1.StartRequest {
	r := startRequest(buyer, "tok_ok")
	r.SubscriptionId = ""
	return r
}

func TestDerivedIdsFollowFromTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := map[string]bool{}
	for _, request := range []string{"r1", "r1", "r2"} {
		var got ledgerv1.CommandResponse
		w.must(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: request, Start: derived(request)}, &got)
		ids[got.Subscription.SubscriptionId] = true
	}
	if len(ids) != 2 {
		t.Errorf("got subscriptions %v, want two for two request ids", ids)
	}
}

func TestTwoCommandsWithTheSameBytesAreNotTheSameRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	cancel := &ledgerv1.CancelRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "r", Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}
	w.must("SubscriptionService/Cancel", cancel, &ledgerv1.CommandResponse{})
	rebill := &ledgerv1.RebillRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "r", PayNumber: 1}
	a, err := proto.Marshal(cancel)
	w.ok(err)
	b, err := proto.Marshal(rebill)
	w.ok(err)
	if string(a) != string(b) {
		t.Fatalf("the requests do not have the same bytes: %x, %x", a, b)
	}
	check(t, w.call("SubscriptionService/Rebill", rebill, &ledgerv1.CommandResponse{}), "InvalidArgument", "IDEMPOTENCY_KEY_REUSED")
}

func TestRefundAndCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := w.start("s1", "tok_ok", 20*time.Second).Outcome.GetOrderId()
	var refunded, cancelled, again ledgerv1.CommandResponse
	w.must("SubscriptionService/Refund", &ledgerv1.RefundRequest{
		MerchantId: "acme", SubscriptionId: "s1", RequestId: "refund", OrderId: order, Amount: usd(1000), Wait: durationpb.New(20 * time.Second),
	}, &refunded)
	want := &ledgerv1.Outcome{Status: ledgerv1.Outcome_STATUS_SUCCEEDED, PayNumber: 1, RefundId: refunded.Outcome.GetRefundId(), OrderId: order + 1}
	if diff := cmp.Diff(want, refunded.Outcome, protocmp.Transform()); diff != "" || want.RefundId == "" {
		t.Errorf("refund's outcome (-want +got):\n%s", diff)
	}
	cancel := &ledgerv1.CancelRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "cancel", Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}
	w.must("SubscriptionService/Cancel", cancel, &cancelled)
	if cancelled.Outcome != nil || cancelled.Subscription.State != ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED {
		t.Errorf("got outcome %v and state %v, want none and cancelled", cancelled.Outcome, cancelled.Subscription.State)
	}
	head := w.head()
	cancel.RequestId = "cancel again"
	w.must("SubscriptionService/Cancel", cancel, &again)
	if again.Position != head.String() || w.head() != head {
		t.Errorf("cancelled again: got position %q and head %v, want %q for both", again.Position, w.head(), head)
	}
}

func TestRestAndGRPCGiveTheSameAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	for _, c := range []struct {
		method, path string
		req, answer  proto.Message
	}{
		{"SubscriptionService/GetSubscription", "/v1/merchants/acme/subscriptions/s1",
			&ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: "s1"}, &ledgerv1.Subscription{}},
		{"SubscriptionService/ListEvents", "/v1/merchants/acme/subscriptions/s1/events?page_size=2",
			&ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: 2}, &ledgerv1.ListEventsResponse{}},
		{"MerchantService/GetMerchant", "/v1/merchants/acme", &ledgerv1.GetMerchantRequest{MerchantId: "acme"}, &ledgerv1.Merchant{}},
		{"ConnectionService/GetConnection", "/v1/merchants/acme/connections/main",
			&ledgerv1.GetConnectionRequest{MerchantId: "acme", ConnectionId: "main"}, &ledgerv1.Connection{}},
		{"OperationService/GetStatus", "/v1/operations/status", &ledgerv1.GetStatusRequest{}, &ledgerv1.GetStatusResponse{}},
		{"OperationService/ListInDoubt", "/v1/operations/inDoubt?pageSize=3", &ledgerv1.ListInDoubtRequest{PageSize: 3}, &ledgerv1.ListInDoubtResponse{}},
		{"OperationService/ListWebhooks", "/v1/operations/webhooks?page_token=x&state=WEBHOOK_STATE_UNMATCHED", &ledgerv1.ListWebhooksRequest{PageToken: "x", State: ledgerv1.WebhookState_WEBHOOK_STATE_UNMATCHED}, &ledgerv1.ListWebhooksResponse{}},
		{"OperationService/ListParked", "/v1/operations/parked?page_token=x", &ledgerv1.ListParkedRequest{PageToken: "x"}, &ledgerv1.ListParkedResponse{}},
		{"OrderService/ListOrders", "/v1/merchants/acme/orders?types=ORDER_TYPE_SALE&types=ORDER_TYPE_REBILL&min_position=" + w.head().String(),
			&ledgerv1.ListOrdersRequest{MerchantId: "acme", MinPosition: w.head().String()}, &ledgerv1.ListOrdersResponse{}},
		{"OrderService/ListPayNumbers", "/v1/merchants/acme/payNumbers?min_position=" + w.head().String(),
			&ledgerv1.ListPayNumbersRequest{MerchantId: "acme", MinPosition: w.head().String()}, &ledgerv1.ListPayNumbersResponse{}},
		{"EndpointService/ListDeliveries", "/v1/merchants/acme/deliveries?states=pending",
			&ledgerv1.ListDeliveriesRequest{MerchantId: "acme", States: []string{"pending"}}, &ledgerv1.ListDeliveriesResponse{}},
	} {
		t.Run(c.method, func(t *testing.T) {
			w.must(c.method, c.req, c.answer)
			got := w.do("GET", c.path, "")
			fromREST := c.answer.ProtoReflect().New().Interface()
			if err := protojson.Unmarshal(got.body, fromREST); got.status != 200 || err != nil {
				t.Fatalf("GET %s: status %d, %v\n%s", c.path, got.status, err, got.body)
			}
			if diff := cmp.Diff(c.answer, fromREST, protocmp.Transform()); diff != "" {
				t.Errorf("GET %s (-gRPC +REST):\n%s", c.path, diff)
			}
		})
	}
}

func TestRestCommandByHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(startRequest("s1", "tok_ok"))
	w.ok(err)
	got := w.do("POST", "/v1/merchants/acme/subscriptions:start", `{"start":`+string(body)+`}`,
		"Idempotency-Key", "key-1", "Prefer", "respond-async, wait=20")
	var a ledgerv1.CommandResponse
	if err := protojson.Unmarshal(got.body, &a); got.status != 200 || err != nil {
		t.Fatalf("status %d, %v\n%s", got.status, err, got.body)
	}
	if a.Outcome.GetStatus() != ledgerv1.Outcome_STATUS_SUCCEEDED {
		t.Errorf("got outcome %v, want succeeded: Prefer: wait was not heard", a.Outcome)
	}
	w.must(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "key-1", Start: startRequest("s1", "tok_ok")}, &a)
	if !a.Replayed {
		t.Error("the same request over gRPC with the key as request_id was done anew")
	}
}

func TestListEventsPagesAndKeepsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_pending", 20*time.Second)
	var types []string
	request := &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: 2}
	for {
		var page ledgerv1.ListEventsResponse
		w.must("SubscriptionService/ListEvents", request, &page)
		for _, e := range page.Events {
			if int(e.Revision) != len(types) {
				t.Errorf("got revision %d at place %d", e.Revision, len(types))
			}
			types = append(types, e.Type)
			if s := e.Event.GetSubscriptionStarted(); s.GetPaymentMethodToken() != "" {
				t.Errorf("the payment method's token is shown: %q", s.GetPaymentMethodToken())
			}
			if p := e.Event.GetPaymentPending(); p.GetNextAction().GetClientSecret() != "" {
				t.Errorf("the client secret is shown: %q", p.GetNextAction().GetClientSecret())
			}
		}
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"subscription_started", "payment_requested", "payment_pending"}, types); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

func TestMinPositionIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.start("s1", "tok_ok", 20*time.Second)
	var order ledgerv1.Order
	w.must("OrderService/GetOrder", &ledgerv1.GetOrderRequest{MerchantId: "acme", OrderId: got.Outcome.OrderId, MinPosition: got.Position}, &order)
	if order.GetCashEffect().GetMinorUnits() != 4700 || order.GetSubscriptionId() != "s1" {
		t.Errorf("got order %v, want 47.00 USD of s1", &order)
	}
	beyond := event.Position{Commit: 1 << 40, Prepare: 1 << 40}.String()
	err := w.call("OrderService/ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: "acme", MinPosition: beyond}, &ledgerv1.ListOrdersResponse{})
	check(t, err, "Unavailable", "POSITION_NOT_REACHED")
	if retryDelay(err) == 0 {
		t.Errorf("%v does not say when to try again", err)
	}
}

func TestPagesOfOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.start(fmt.Sprintf("s%d", i), "tok_ok", 20*time.Second)
	}
	seen := map[int64]bool{}
	request := &ledgerv1.ListOrdersRequest{MerchantId: "acme", PageSize: 2, MinPosition: w.head().String()}
	for range 2 {
		var page ledgerv1.ListOrdersResponse
		w.must("OrderService/ListOrders", request, &page)
		for _, o := range page.Orders {
			seen[o.OrderId] = true
		}
		request.PageToken = page.NextPageToken
	}
	if len(seen) != 3 || request.PageToken != "" {
		t.Errorf("two pages of two show %d orders and next page %q, want 3 and none", len(seen), request.PageToken)
	}
}

func TestCallsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stream := w.watch(t.Context(), "acme", "")
	watched(t, stream, 0)
	answered := make(chan error, 1)
	var got ledgerv1.CommandResponse
	go func() {
		answered <- w.call(startMethod, &ledgerv1.StartSubscriptionRequest{
			MerchantId: "acme", RequestId: "r", Start: startRequest("s1", "tok_silent"), Wait: durationpb.New(30 * time.Second)}, &got)
	}()
	watched(t, stream, 2) // the command is in the log
	w.stop()
	if err := <-answered; err != nil || got.Outcome.GetStatus() != ledgerv1.Outcome_STATUS_REQUESTED {
		t.Errorf("the waiting caller got %v, %v; want the outcome requested", &got, err)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			check(t, err, "Unavailable", "STOPPING")
			return
		}
	}
}
