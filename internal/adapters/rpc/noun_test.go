package rpc_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/aggregate/event"
)

func TestMerchant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got ledgerv1.MerchantResponse
	update := &ledgerv1.UpdateMerchantRequest{MerchantId: "acme", RequestId: "u", Name: "Acme Ltd", TimeZone: "Europe/Berlin", GdprOff: true}
	w.must("MerchantService/UpdateMerchant", update, &got)
	want := &ledgerv1.Merchant{MerchantId: "acme", Name: "Acme Ltd", TimeZone: "Europe/Berlin", GdprOff: true}
	if diff := cmp.Diff(want, got.Merchant, protocmp.Transform()); diff != "" || got.Replayed || got.Position == "" {
		t.Errorf("got %v (-want +got):\n%s", &got, diff)
	}
	w.must("MerchantService/UpdateMerchant", update, &got)
	if !got.Replayed {
		t.Error("the same request was done twice")
	}
	update.RequestId, update.TimeZone = "u2", "Mars/Olympus"
	check(t, w.call("MerchantService/UpdateMerchant", update, &got), "InvalidArgument", "TIME_ZONE_INVALID")
	check(t, w.call("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "x", MerchantId: "acme", Name: "A"}, &got), "AlreadyExists", "MERCHANT_EXISTS")
	check(t, w.call("MerchantService/GetMerchant", &ledgerv1.GetMerchantRequest{MerchantId: "nobody"}, &ledgerv1.Merchant{}), "NotFound", "NOT_FOUND")
}

// TestConnectionIsBlocked blocks a connection that starts have used before: whatever was kept of it must not hide the
// block, and starts go on.
func TestConnectionIsBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 0)
	free := &ledgerv1.Connection{}
	w.must("ConnectionService/GetConnection", &ledgerv1.GetConnectionRequest{MerchantId: "acme", ConnectionId: "main"}, free)
	held := proto.CloneOf(free)
	held.Blocked, held.BlockedReason = true, "suspended"

	block := &ledgerv1.BlockConnectionRequest{MerchantId: "acme", RequestId: "b1", ConnectionId: "main", Reason: "suspended"}
	unblock := &ledgerv1.UnblockConnectionRequest{MerchantId: "acme", RequestId: "u1", ConnectionId: "main"}
	nothing := &ledgerv1.BlockConnectionRequest{MerchantId: "acme", RequestId: "b2", ConnectionId: "main"}
	elsewhere := &ledgerv1.BlockConnectionRequest{MerchantId: "acme", RequestId: "b3", ConnectionId: "nowhere", Reason: "suspended"}
	for _, step := range []struct {
		method  string
		request proto.Message
		code    string // of the refusal, if it is one
		reason  string
		want    *ledgerv1.Connection
		again   bool // answered as before
	}{
		{method: "UnblockConnection", request: unblock, code: "FailedPrecondition", reason: "CONNECTION_NOT_BLOCKED", want: free},
		{method: "BlockConnection", request: nothing, code: "InvalidArgument", reason: "REASON_REQUIRED", want: free},
		{method: "BlockConnection", request: elsewhere, code: "NotFound", reason: "NOT_FOUND", want: free},
		{method: "BlockConnection", request: block, want: held},
		{method: "BlockConnection", request: block, want: held, again: true},
		{method: "BlockConnection", request: &ledgerv1.BlockConnectionRequest{MerchantId: "acme", RequestId: "b4", ConnectionId: "main", Reason: "x"},
			code: "FailedPrecondition", reason: "CONNECTION_BLOCKED", want: held},
		{method: "UnblockConnection", request: unblock, want: free},
		{method: "UnblockConnection", request: unblock, want: free, again: true},
	} {
		var got ledgerv1.ConnectionResponse
		if err := w.call("ConnectionService/"+step.method, step.request, &got); step.code != "" {
			check(t, err, step.code, step.reason)
		} else if err != nil || got.Replayed != step.again || got.Position == "" || !proto.Equal(got.Connection, step.want) {
			t.Errorf("%s: got %v, %v, want replayed: %v and %v", step.method, &got, err, step.again, step.want)
		}
		now := &ledgerv1.Connection{}
		w.must("ConnectionService/GetConnection", &ledgerv1.GetConnectionRequest{MerchantId: "acme", ConnectionId: "main"}, now)
		if diff := cmp.Diff(step.want, now, protocmp.Transform()); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.method, diff)
		}
	}

	block.RequestId = "b5"
	w.must("ConnectionService/BlockConnection", block, &ledgerv1.ConnectionResponse{})
	err := w.call(startMethod, &ledgerv1.StartSubscriptionRequest{
		MerchantId: "acme", RequestId: "start-s2", Start: startRequest("s2", "tok_ok"),
	}, &ledgerv1.CommandResponse{})
	check(t, err, "FailedPrecondition", "CONNECTION_BLOCKED")
}

func TestConnectionIsToldToItsGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := &ledgerv1.CreateConnectionRequest{MerchantId: "acme", RequestId: "c2", Gateway: "sandbox", Processor: "PayPal"}
	w.gateway.mu.Lock()
	w.gateway.down = true
	w.gateway.mu.Unlock()
	err := w.call("ConnectionService/CreateConnection", create, &ledgerv1.ConnectionResponse{})
	check(t, err, "Unavailable", "GATEWAY_UNREACHABLE")
	w.gateway.mu.Lock()
	w.gateway.down = false
	w.gateway.mu.Unlock()

	var got ledgerv1.ConnectionResponse
	w.must("ConnectionService/CreateConnection", create, &got)
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	told := w.gateway.connected[len(w.gateway.connected)-1]
	if !got.Replayed || told.ID != got.Connection.ConnectionId || told.WebhookSecret == "" || told.NotifyURL != "http://ledger.test"+got.Connection.WebhookPath {
		t.Errorf("the gateway was told %+v of %v; want its id, a secret and where to send webhooks", told, &got)
	}
	if strings.Contains(w.logged.String(), told.WebhookSecret) || strings.Contains(got.String(), told.WebhookSecret) {
		t.Error("the webhook secret is in the log or the answer")
	}
}

func TestEndpointShowsItsSecretsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := &ledgerv1.CreateEndpointRequest{MerchantId: "acme", RequestId: "e", EndpointId: "shop",
		Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn", SecretKey: "key_canary"}}
	var first, again, changed ledgerv1.EndpointResponse
	w.must("EndpointService/CreateEndpoint", create, &first)
	w.must("EndpointService/CreateEndpoint", create, &again)
	if !regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=$`).MatchString(first.Endpoint.SigningSecret) || first.Endpoint.SigningSecret != again.Endpoint.SigningSecret || !again.Replayed {
		t.Errorf("got secrets %q and, replayed=%v, %q; want the same one twice", first.Endpoint.SigningSecret, again.Replayed, again.Endpoint.SigningSecret)
	}
	w.must("EndpointService/UpdateEndpoint", &ledgerv1.UpdateEndpointRequest{MerchantId: "acme", RequestId: "u", EndpointId: "shop",
		Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/new"}}, &changed)
	w.must("EndpointService/DisableEndpoint", &ledgerv1.DisableEndpointRequest{MerchantId: "acme", RequestId: "d", EndpointId: "shop"}, &changed)
	var now ledgerv1.Endpoint
	w.must("EndpointService/GetEndpoint", &ledgerv1.GetEndpointRequest{MerchantId: "acme", EndpointId: "shop"}, &now)
	want := &ledgerv1.Endpoint{MerchantId: "acme", EndpointId: "shop", Disabled: true, DisabledReason: "merchant",
		Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/new", DateZone: "EST"}}
	for _, got := range []*ledgerv1.Endpoint{&now, changed.Endpoint} {
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("endpoint (-want +got):\n%s", diff)
		}
	}
	check(t, w.call("EndpointService/GetDelivery", &ledgerv1.GetDeliveryRequest{MerchantId: "acme", DeliveryId: "no such"}, &ledgerv1.GetDeliveryResponse{}), "NotFound", "NOT_FOUND")
}

func TestEndpointLimit(t *testing.T) {
	t.Parallel()
	count := 99
	w := newWorld(t, func(c *rpc.Config) {
		c.CountEndpoints = func(context.Context, string) (int, error) { return count, nil }
	})
	create := &ledgerv1.CreateEndpointRequest{MerchantId: "acme", RequestId: "e", Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn"}}
	w.must("EndpointService/CreateEndpoint", create, &ledgerv1.EndpointResponse{})
	count = 100
	w.must("EndpointService/CreateEndpoint", create, &ledgerv1.EndpointResponse{}) // it is there already
	create.RequestId = "one too many"
	check(t, w.call("EndpointService/CreateEndpoint", create, &ledgerv1.EndpointResponse{}), "ResourceExhausted", "ENDPOINT_LIMIT")
}

func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rpc.Config) {
		c.AdvanceClock = func(_ context.Context, by time.Duration) (time.Time, int64, error) { return start.Add(by), 3, nil }
	})
	var status ledgerv1.GetStatusResponse
	w.must("OperationService/GetStatus", &ledgerv1.GetStatusRequest{}, &status)
	if !status.ManualClock || status.Head != w.head().String() || !status.Now.AsTime().Equal(start) || status.Version != "test" || len(status.Followers) != 1 {
		t.Errorf("got status %v", &status)
	}
	var advanced ledgerv1.AdvanceClockResponse
	w.must("OperationService/AdvanceClock", &ledgerv1.AdvanceClockRequest{By: durationpb.New(720 * time.Hour)}, &advanced)
	if diff := cmp.Diff(&ledgerv1.AdvanceClockResponse{Now: timestamppb.New(start.Add(720 * time.Hour)), Stops: 3}, &advanced, protocmp.Transform()); diff != "" {
		t.Errorf("advanced (-want +got):\n%s", diff)
	}
	for _, by := range []*durationpb.Duration{nil, durationpb.New(-time.Second), {Seconds: 1 << 40}} {
		check(t, w.call("OperationService/AdvanceClock", &ledgerv1.AdvanceClockRequest{By: by}, &advanced), "InvalidArgument", "DURATION_INVALID")
	}
	var replayed ledgerv1.ReplayParkedResponse
	w.must("OperationService/ReplayParked", &ledgerv1.ReplayParkedRequest{Follower: "charge", Stream: "s"}, &replayed)
	if !replayed.Cleared || replayed.Reason != "s" {
		t.Errorf("got %v, want cleared", &replayed)
	}
}

// TestErrorsOfOurOwn lets the counter of endpoints fail in every way that a store can.
func TestErrorsOfOurOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err          error
		code, reason string
	}{
		{errors.New("canary: /var/lib/ledger is on fire"), "Internal", "INTERNAL"},
		{event.ErrStoreFull, "Unavailable", "STORAGE_FULL"},
		{event.ErrUnavailable, "Unavailable", "STORE_UNAVAILABLE"},
		{event.ErrUnknownOutcome, "Unavailable", "STORE_UNAVAILABLE"},
		{event.ErrClosed, "Unavailable", "STORE_UNAVAILABLE"},
		{context.DeadlineExceeded, "Unavailable", "STORE_UNAVAILABLE"},
		{nil, "Internal", "INTERNAL"}, // panics
	} {
		w := newWorld(t, func(cfg *rpc.Config) {
			cfg.CountEndpoints = func(context.Context, string) (int, error) {
				if c.err == nil {
					panic("canary")
				}
				return 0, c.err
			}
		})
		err := w.call("EndpointService/CreateEndpoint", &ledgerv1.CreateEndpointRequest{MerchantId: "acme", RequestId: "e"}, &ledgerv1.EndpointResponse{})
		check(t, err, c.code, c.reason)
		if c.code == "Unavailable" {
			if retryDelay(err) == 0 {
				t.Errorf("%v: does not say when to try again", err)
			}
			continue
		}
		reference := info(status.Convert(err)).GetMetadata()["reference"]
		if strings.Contains(err.Error(), "canary") || reference == "" {
			t.Errorf("got %v, want a reference and nothing else", err)
		}
		if logged := w.logged.String(); !strings.Contains(logged, "canary") || !strings.Contains(logged, reference) {
			t.Errorf("the log does not have the error under its reference %q:\n%s", reference, logged)
		}
	}
}

func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := w.conn.Invoke(ctx, "/ledger.v1."+startMethod, &ledgerv1.StartSubscriptionRequest{
		MerchantId: "acme", RequestId: "r", Start: startRequest("s1", "tok_silent"), Wait: durationpb.New(20 * time.Second)}, &ledgerv1.CommandResponse{})
	if status.Code(err).String() != "DeadlineExceeded" {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

func TestMerchantPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := &ledgerv1.Policies{DunningDays: []uint32{1, 5}, LateCharge: ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_REFUND}
	want := &ledgerv1.Policies{DunningDays: []uint32{1, 5}, Chargeback: ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL, LateCharge: asked.LateCharge}
	var got ledgerv1.MerchantResponse
	var now ledgerv1.Merchant
	w.must("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "c", MerchantId: "beta", Name: "Beta", Policies: asked}, &got)
	w.must("MerchantService/GetMerchant", &ledgerv1.GetMerchantRequest{MerchantId: "beta"}, &now)
	for what, p := range map[string]*ledgerv1.Policies{"created": got.Merchant.GetPolicies(), "shown": now.Policies} {
		if diff := cmp.Diff(want, p, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	update := &ledgerv1.UpdateMerchantRequest{MerchantId: "beta", RequestId: "u1", Name: "Beta", Policies: asked}
	check(t, w.call("MerchantService/UpdateMerchant", update, &got), "FailedPrecondition", "UNCHANGED")
	update.RequestId, update.Policies = "u2", &ledgerv1.Policies{DunningDays: []uint32{9, 3}}
	check(t, w.call("MerchantService/UpdateMerchant", update, &got), "InvalidArgument", "DUNNING_DAYS_INVALID")
	update.RequestId, update.Policies = "u3", nil
	w.must("MerchantService/UpdateMerchant", update, &got)
	if got.Merchant.GetPolicies() != nil {
		t.Errorf("got %v, want the defaults", got.Merchant.GetPolicies())
	}
}
