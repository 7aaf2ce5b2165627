package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/projection"
)

// webhookStates are what the API calls them.
var webhookStates = map[ledgerv1.WebhookState]work.WebhookState{
	ledgerv1.WebhookState_WEBHOOK_STATE_WAITING:   work.WebhookWaiting,
	ledgerv1.WebhookState_WEBHOOK_STATE_SET_ASIDE: work.WebhookAside,
	ledgerv1.WebhookState_WEBHOOK_STATE_UNMATCHED: work.WebhookUnmatched,
}

// Webhooks implements rpc.Operator.
func (o operator) Webhooks(ctx context.Context, r *ledgerv1.ListWebhooksRequest) ([]*ledgerv1.InboundWebhook, string, error) {
	filter := work.WebhookFilter{State: webhookStates[r.GetState()], Merchant: r.GetMerchantId(), Connection: r.GetConnectionId()}
	page := projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()}
	found, next, err := projection.ReadPage(page, "webhooks", filter, func(behind *int64, limit int) ([]work.ListedWebhook, error) {
		return o.work.ListWebhooks(ctx, filter, behind, limit)
	}, func(l work.ListedWebhook) int64 { return l.ID })
	var all []*ledgerv1.InboundWebhook
	for _, l := range found {
		all = append(all, inboundWebhook(l, r.GetWithBody()))
	}
	return all, next, err
}

// inboundWebhook is a webhook as the API shows it: without its body unless that is asked for.
func inboundWebhook(l work.ListedWebhook, withBody bool) *ledgerv1.InboundWebhook {
	w := &ledgerv1.InboundWebhook{
		WebhookId: l.ID, MessageId: strings.ToValidUTF8(l.MessageID, "?"), MerchantId: l.Merchant, ConnectionId: l.Connection,
		Gateway: l.Gateway, ReceivedAt: timestamppb.New(l.ReceivedAt), Tries: uint32(l.Tries), Why: l.Reason, RetryAt: stampOf(l.RetryAt),
	}
	for state, name := range webhookStates {
		if name == l.State {
			w.State = state
		}
	}
	if withBody {
		w.Body = strings.ToValidUTF8(string(l.Body), "?")
	}
	return w
}

// stampOf is nil for no time.
func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// RetryWebhook implements rpc.Operator.
func (o operator) RetryWebhook(ctx context.Context, id int64) error {
	err := o.work.RetryWebhook(ctx, id, o.clock.Now())
	if errors.Is(err, work.ErrWebhookDone) {
		return &aggregate.Error{Kind: aggregate.NotFound, Reason: "WEBHOOK_NOT_OPEN", Message: err.Error()}
	}
	if err == nil {
		o.inbound.Nudge()
	}
	return err
}

// ResolveInDoubt implements rpc.Operator.
func (o operator) ResolveInDoubt(ctx context.Context, r *ledgerv1.ResolveInDoubtRequest) (*ledgerv1.GatewayAnswer, error) {
	e, err := o.process.Resolve(ctx, process.Resolution{
		Merchant: r.GetMerchantId(), Subscription: r.GetSubscriptionId(),
		Number: r.GetPayNumber(), Attempt: r.GetAttempt(), Refund: r.GetRefundId(),
		Charged:   r.GetResolution() == ledgerv1.Resolution_RESOLUTION_CHARGED,
		Reference: r.GetReference(), Reason: r.GetReason(), Override: r.GetOverrideReason(),
	})
	if err != nil {
		return nil, err
	}
	return e.Answer(), nil
}
