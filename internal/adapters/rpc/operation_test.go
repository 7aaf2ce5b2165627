package rpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/rpc"
)

func TestResolveInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(*ledgerv1.ResolveInDoubtRequest)
		reason string
	}{
		"an attempt":         {func(*ledgerv1.ResolveInDoubtRequest) {}, ""},
		"a refund":           {func(r *ledgerv1.ResolveInDoubtRequest) { r.PayNumber, r.RefundId = 0, "rf_1" }, ""},
		"both":               {func(r *ledgerv1.ResolveInDoubtRequest) { r.RefundId = "rf_1" }, "DOUBT_AMBIGUOUS"},
		"neither":            {func(r *ledgerv1.ResolveInDoubtRequest) { r.PayNumber = 0 }, "DOUBT_AMBIGUOUS"},
		"no merchant":        {func(r *ledgerv1.ResolveInDoubtRequest) { r.MerchantId = "" }, "ID_INVALID"},
		"no subscription":    {func(r *ledgerv1.ResolveInDoubtRequest) { r.SubscriptionId = "" }, "ID_INVALID"},
		"no resolution":      {func(r *ledgerv1.ResolveInDoubtRequest) { r.Resolution = 0 }, "RESOLUTION_REQUIRED"},
		"no such resolution": {func(r *ledgerv1.ResolveInDoubtRequest) { r.Resolution = 9 }, "ENUM_UNKNOWN"},
		"a card number":      {func(r *ledgerv1.ResolveInDoubtRequest) { r.Reason = pan }, "PAN_REJECTED"},
	} {
		r := &ledgerv1.ResolveInDoubtRequest{
			MerchantId: "acme", SubscriptionId: "s", PayNumber: 1, Attempt: 1, Reference: "ch_1", Reason: "asked",
			Resolution: ledgerv1.Resolution_RESOLUTION_CHARGED,
		}
		c.change(r)
		var got ledgerv1.ResolveInDoubtResponse
		err := w.call("OperationService/ResolveInDoubt", r, &got)
		switch {
		case c.reason != "":
			check(t, err, "InvalidArgument", c.reason)
		case err != nil || got.Answer.GetReference() != "ch_1":
			t.Errorf("%s: got %v, %v", name, &got, err)
		}
	}
}

func TestRetryWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("OperationService/RetryWebhook", &ledgerv1.RetryWebhookRequest{WebhookId: 7}, &ledgerv1.RetryWebhookResponse{})
	check(t, w.call("OperationService/RetryWebhook", &ledgerv1.RetryWebhookRequest{WebhookId: 8}, &ledgerv1.RetryWebhookResponse{}), "NotFound", "NOT_FOUND")
}

// What was fetched is kept as what came: once, and without card numbers.
func TestSaveFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server, err := rpc.NewServer(w.config)
	w.ok(err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	conn := gateway.Connection{Merchant: "acme", ID: "main", Gateway: "sandbox"}
	const sent = `{"ID":"evt_1", "Kind":1}`
	if got := w.hook("POST", hookPath, webhookSecret, sent); got.status != 200 {
		t.Fatalf("got %d, want 200", got.status)
	}
	w.ok(server.SaveFetched(ctx, conn, gateway.Message{ID: "evt_1", Body: []byte(`{"ID":"evt_1","Kind":1}`)}))
	w.ok(server.SaveFetched(ctx, conn, gateway.Message{ID: "evt_2", Body: []byte(`{"ID":"evt_2","Code":"` + pan + `"}`)}))
	if got := w.hook("POST", hookPath, webhookSecret, `{"ID":"evt_2", "Kind":1}`); got.status != 200 || strings.Contains(w.logged.String(), "another body") {
		t.Errorf("sent after it was fetched: got %d, and in the log:\n%s", got.status, w.logged.String())
	}
	kept, err := w.store.PendingWebhooks(t.Context(), start, 10)
	w.ok(err)
	if len(kept) != 2 || string(kept[0].Body) != sent || strings.Contains(string(kept[1].Body), pan) || kept[1].MessageID != "evt_2" {
		t.Errorf("kept %+v, want the first as it was sent and the second without the card number", kept)
	}
}
