package rpc_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

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

// TestTextIsKept tries what is dangerous elsewhere, and is only text here.
func TestTextIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, text := range []string{
		"'; DROP TABLE", "<script>", "=HYPERLINK()", "../../etc", "${jndi:…}", "%0d%0a", "12345678901234567", "4242424242424243", strings.Repeat("ä", 255),
	} {
		r := startRequest("t"+string(rune('a'+i)), "tok_ok")
		r.ExternalRef = text
		var got ledgerv1.CommandResponse
		w.must(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "r", Start: r}, &got)
		if got.Subscription.ExternalRef != text {
			t.Errorf("got %q back, want %q", got.Subscription.ExternalRef, text)
		}
	}
}

func TestPageSizes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	request := &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: -1}
	check(t, w.call("SubscriptionService/ListEvents", request, &ledgerv1.ListEventsResponse{}), "InvalidArgument", "PAGE_SIZE")
	request.PageSize = 1e6
	w.must("SubscriptionService/ListEvents", request, &ledgerv1.ListEventsResponse{})
	request.PageToken = "garbage"
	check(t, w.call("SubscriptionService/ListEvents", request, &ledgerv1.ListEventsResponse{}), "InvalidArgument", "PAGE_TOKEN_INVALID")
}
