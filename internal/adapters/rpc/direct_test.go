package rpc_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/rpc"
)

// Without a network a call is done, checked and refused as with one.
func TestDirectAnswersAsAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	direct, err := rpc.NewDirect(w.config)
	if err != nil {
		t.Fatal(err)
	}
	const service = "/ledger.v1.SubscriptionService/"
	started := startFor("ada", "s1", "tok_silent")
	var first, again ledgerv1.CommandResponse
	if err := direct.Invoke(t.Context(), service+"StartSubscription", started, &first); err != nil {
		t.Fatal(err)
	}
	w.must(startMethod, started, &again)
	if first.Replayed || !again.Replayed || !proto.Equal(first.Subscription, again.Subscription) {
		t.Errorf("got %v and, over the network, %v; want the same, replayed", &first, &again)
	}
	other := startFor("ada", "s2", "tok_silent")
	check(t, direct.Invoke(t.Context(), service+"StartSubscription", other, &first), "FailedPrecondition", "FIRST_PAYMENT_IN_DOUBT")
	other.RequestId = ""
	check(t, direct.Invoke(t.Context(), service+"StartSubscription", other, &first), "InvalidArgument", "IDEMPOTENCY_KEY_REQUIRED")
	check(t, direct.Invoke(t.Context(), service+"Stop", other, &first), "Unimplemented", "METHOD_UNKNOWN")
	if _, err := direct.NewStream(t.Context(), nil, service+"WatchEvents"); err == nil {
		t.Error("a stream is served")
	}
}
