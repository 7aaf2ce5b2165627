package rpc_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/reservation"
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

// TestAnOldReservationBeginsAnew: a start that was repeated long after it had reserved, because the ledger was away in
// between, must not lose its reservation before it is written.
func TestAnOldReservationBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := startFor("ada", "s1", "tok_silent")
	stream := reservation.Stream("acme", "ada", r.Start.Terms.ProductId, r.Start.Terms.PricePoint)
	_, err := w.config.Reservations.Do(t.Context(), stream, aggregate.Request{
		ID: aggregate.InternalPrefix + "reserve/s1", Actor: "api", At: w.clock.Now().Add(-time.Hour),
	}, reservation.Reserve{Merchant: "acme", Subscription: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there, and nothing is reserved for it
		w.must(startMethod, r, &ledgerv1.CommandResponse{})
		held, revision, err := w.config.Reservations.Load(t.Context(), stream)
		if err != nil || held.Subscription != "s1" || !held.At.Equal(w.clock.Now()) || revision != 1 {
			t.Errorf("reserved for %s at %s, revision %d (%v); want for s1 at %s, revision 1", held.Subscription, held.At, revision, err, w.clock.Now())
		}
	}
}

// TestTwoRefundsOfAllAtOnce: what is asked for counts, before any gateway has said anything.
func TestTwoRefundsOfAllAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := w.start("s1", "tok_ok", wait).Outcome.GetOrderId()
	errs := make([]error, 2)
	var asking sync.WaitGroup
	for i := range errs {
		asking.Go(func() {
			errs[i] = w.call("SubscriptionService/Refund", &ledgerv1.RefundRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: fmt.Sprint(i), OrderId: order},
				&ledgerv1.CommandResponse{})
		})
	}
	asking.Wait()
	if errs[0] == nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	check(t, errs[0], "FailedPrecondition", "REFUND_EXCEEDS_CAPTURED")
	if errs[1] != nil {
		t.Errorf("the other one was refused, too: %v", errs[1])
	}
}

// TestWhatIsNoMistake asks for what is so already, or cannot be helped: it is answered, not refused.
func TestWhatIsNoMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := w.start("s1", "tok_ok", wait).Outcome.GetOrderId()
	withdrawn := func(request, dispute string, amount int64) *ledgerv1.ChargebackRequest {
		return &ledgerv1.ChargebackRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: request, OrderId: order, DisputeId: dispute,
			Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN, Amount: usd(amount)}
	}
	cancel := func(request string) *ledgerv1.CancelRequest {
		return &ledgerv1.CancelRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: request, Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}
	}
	for _, step := range []struct {
		what, method string
		request      proto.Message
		events       int64
		replayed     bool
	}{
		{what: "a cancellation", method: "Cancel", request: cancel("c1"), events: 1},
		{what: "the same again", method: "Cancel", request: cancel("c1"), replayed: true},
		{what: "of what is cancelled", method: "Cancel", request: cancel("c2")},
		{what: "a withdrawal", method: "Chargeback", request: withdrawn("d1", "dp_1", 4000), events: 1},
		{what: "the same withdrawal", method: "Chargeback", request: withdrawn("d1", "dp_1", 4000), replayed: true},
		{what: "the same dispute", method: "Chargeback", request: withdrawn("d2", "dp_1", 4000)},
		{what: "more than was captured", method: "Chargeback", request: withdrawn("d3", "dp_2", 10_000), events: 1},
	} {
		before := w.subscription("s1").GetRevision()
		var got ledgerv1.CommandResponse
		w.must("SubscriptionService/"+step.method, step.request, &got)
		if after := w.subscription("s1").GetRevision(); after-before != step.events || got.Replayed != step.replayed {
			t.Errorf("%s: got %d events and replayed %v, want %d and %v", step.what, after-before, got.Replayed, step.events, step.replayed)
		}
	}
	var events ledgerv1.ListEventsResponse
	w.must("SubscriptionService/ListEvents", &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1"}, &events)
	if last := events.Events[len(events.Events)-1].Event.GetDisputeFundsWithdrawn(); !last.GetOverReturned() || last.GetExcess().GetMinorUnits() != 9300 {
		t.Errorf("got %v, want 93.00 more than was left", last)
	}
}

// TestRefusalsTellWhatIsSo reads what programs are told besides the reason.
func TestRefusalsTellWhatIsSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders := w.lives()
	for _, c := range []struct{ method, request, key, want string }{
		{"Rebill", `{"subscription_id":"paid"}`, "due", "2030-02-28T10:00:00Z"},
		{"Rebill", `{"subscription_id":"cancelled"}`, "state", "cancelled"},
		{"Rebill", `{"subscription_id":"past_due","pay_number":9}`, "next", "4"},
		{"Rebill", `{"subscription_id":"lost"}`, "since", "2030-01-31T10:00:00Z"},
		{"Pause", `{"subscription_id":"once"}`, "state", "completed"},
		{"Resume", `{"subscription_id":"silent"}`, "state", "pending"},
		{"Refund", `{"amount":{"currency_code":"USD","minor_units":"4701"}}`, "left", "47.00"},
		{"StartTrial", `{"start":{"buyer":{"id":"buyer of silent"}}}`, "subscription", "silent"},
		{"Pause", `{"subscription_id":"past_due","expected_revision":"9"}`, "current", "0"},
	} {
		err := w.call("SubscriptionService/"+c.method, w.requestOf(refusalLine{method: c.method, request: c.request}, orders), &ledgerv1.CommandResponse{})
		if got := info(status.Convert(err)).GetMetadata()[c.key]; got != c.want {
			t.Errorf("%s %s: got %s %q, want %q (%v)", c.method, c.request, c.key, got, c.want, err)
		}
	}
}
