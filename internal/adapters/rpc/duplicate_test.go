package rpc_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// startFor is a start of a buyer's subscription to the one price point that there is.
func startFor(buyer, id, token string) *ledgerv1.StartSubscriptionRequest {
	r := &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "start-" + id, Start: startRequest(id, token)}
	r.Start.Buyer.Id = buyer
	return r
}

// TestABuyerWhoClicksTwentyTimes has as many starts under way at once; the first payment is asked for once.
func TestABuyerWhoClicksTwentyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const clicks = 20
	errs := make([]error, clicks)
	var clicking sync.WaitGroup
	for i := range clicks {
		clicking.Go(func() {
			errs[i] = w.call(startMethod, startFor("ada", fmt.Sprint("s", i), "tok_silent"), &ledgerv1.CommandResponse{})
		})
	}
	clicking.Wait()
	var winner string
	for i, err := range errs {
		if err != nil {
			continue
		}
		if winner != "" {
			t.Errorf("s%d and %s were both started", i, winner)
		}
		winner = fmt.Sprint("s", i)
	}
	if winner == "" {
		t.Fatalf("none was started: %v", errs)
	}
	for i, err := range errs {
		if fmt.Sprint("s", i) == winner {
			continue
		}
		check(t, err, "FailedPrecondition", "FIRST_PAYMENT_IN_DOUBT")
		if named := info(status.Convert(err)).GetMetadata()["subscription"]; named != winner {
			t.Errorf("s%d is told of %q, want %s", i, named, winner)
		}
		check(t, w.call("SubscriptionService/GetSubscription", &ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: fmt.Sprint("s", i)},
			&ledgerv1.Subscription{}), "NotFound", "NOT_FOUND")
	}
}

// TestOneRequestTwentyTimes sends one and the same start at once, as a client does whose answers are lost.
func TestOneRequestTwentyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const times = 20
	answers := make([]ledgerv1.CommandResponse, times)
	errs := make([]error, times)
	var sending sync.WaitGroup
	for i := range times {
		sending.Go(func() { errs[i] = w.call(startMethod, startFor("ada", "s1", "tok_silent"), &answers[i]) })
	}
	sending.Wait()
	fresh := 0
	for i, err := range errs {
		if err != nil {
			t.Errorf("got %v, want the same answer for all", err)
		} else if !answers[i].Replayed {
			fresh++
		}
	}
	if got := w.subscription("s1").GetRevision(); fresh != 1 || got != 1 {
		t.Errorf("done %d times, up to revision %d; want once, started and asked", fresh, got)
	}
}

// TestWhenAnotherStartIsAllowed goes through what decides it, one step after the other.
func TestWhenAnotherStartIsAllowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const inDoubt = "FIRST_PAYMENT_IN_DOUBT"
	for _, step := range []struct {
		what, buyer, id, token string
		change                 func(*ledgerv1.StartSubscriptionRequest)
		reason                 string
	}{
		{what: "the first", buyer: "ada", id: "s1", token: "tok_declined"},
		{what: "after a decline", buyer: "ada", id: "s2", token: "tok_unknown"},
		{what: "in doubt", buyer: "ada", id: "s3", token: "tok_ok", reason: inDoubt},
		{what: "in doubt, only asked", buyer: "ada", id: "s3", token: "tok_ok", reason: inDoubt,
			change: func(r *ledgerv1.StartSubscriptionRequest) { r.ValidateOnly = true }},
		{what: "another buyer", buyer: "bob", id: "s4", token: "tok_ok"},
		{what: "another price point", buyer: "ada", id: "s5", token: "tok_silent",
			change: func(r *ledgerv1.StartSubscriptionRequest) { r.Start.Terms.PricePoint = 2 }},
		{what: "another product", buyer: "ada", id: "s6", token: "tok_silent",
			change: func(r *ledgerv1.StartSubscriptionRequest) { r.Start.Terms.ProductId = "p2" }},
		{what: "on purpose", buyer: "ada", id: "s7", token: "tok_ok",
			change: func(r *ledgerv1.StartSubscriptionRequest) { r.AllowDuplicate = true }},
		{what: "still in doubt", buyer: "ada", id: "s8", token: "tok_ok", reason: inDoubt},
		{what: "after a payment", buyer: "bob", id: "s9", token: "tok_ok"},
		{what: "on purpose, as the first", buyer: "eve", id: "s10", token: "tok_silent",
			change: func(r *ledgerv1.StartSubscriptionRequest) { r.AllowDuplicate = true }},
		{what: "after the one on purpose", buyer: "eve", id: "s11", token: "tok_ok", reason: inDoubt},
	} {
		r := startFor(step.buyer, step.id, step.token)
		if step.token != "tok_silent" {
			r.Wait = durationpb.New(wait)
		}
		if step.change != nil {
			step.change(r)
		}
		err := w.call(startMethod, r, &ledgerv1.CommandResponse{})
		if got := info(status.Convert(err)).GetReason(); got != step.reason || (err != nil) != (step.reason != "") {
			t.Errorf("%s: got %v, want reason %q", step.what, err, step.reason)
		}
	}
}
