package rpc_test

import (
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// TestNumbersAreNotUsedUpByAsking starts one subscription, asks for it again and for others that are refused, and
// then starts a second one.
func TestNumbersAreNotUsedUpByAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start("s1", "tok_silent", 0).Subscription.Number
	for range 10 {
		w.start("s1", "tok_silent", 0)
		err := w.call(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "other", Start: startRequest("s1", "tok_ok")}, &ledgerv1.CommandResponse{})
		check(t, err, "AlreadyExists", "SUBSCRIPTION_EXISTS")
	}
	if second := w.start("s2", "tok_silent", 0).Subscription.Number; second != first+1 {
		t.Errorf("got numbers %d and %d, want the next one after all that asking", first, second)
	}
}

// TestARefusedStartReservesNoNumbers is about the first start of all.
func TestARefusedStartReservesNoNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.head()
	r := startRequest("s1", "tok_ok")
	r.Terms = nil
	err := w.call(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "r", Start: r}, &ledgerv1.CommandResponse{})
	check(t, err, "InvalidArgument", "TERMS_REQUIRED")
	if after := w.head(); after != before {
		t.Errorf("the log's head moved from %v to %v", before, after)
	}
}
