package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	inboundBatch = 100
	// inboundTries is how often a webhook that cannot be placed is tried; with inboundPause between, doubling, that
	// is about a day, which outlasts every message that came out of order.
	inboundTries = 12
	inboundPause = 30 * time.Second
)

// Webhooks are the raw messages of the gateways, durable before they were acknowledged.
type Webhooks interface {
	PendingWebhooks(ctx context.Context, now time.Time, limit int) ([]work.Webhook, error)
	NextWebhookAt(ctx context.Context) (time.Time, bool, error)
	WebhookDone(ctx context.Context, id int64) error
	WebhookFailed(ctx context.Context, id int64, why string, retryAt time.Time) error
}

// Inbound takes in what the gateways tell by themselves. What they say of charges and refunds is a hint: what is
// recorded is what a look-up answers. Disputes are recorded as told.
type Inbound struct {
	*Process
	webhooks Webhooks
	pace
}

// NewInbound returns an Inbound over webhooks. Nudge it when one was saved.
func NewInbound(p *Process, webhooks Webhooks) *Inbound {
	return &Inbound{Process: p, webhooks: webhooks, pace: newPace()}
}

// Run takes in what is there, then waits for more, until ctx ends.
func (in *Inbound) Run(ctx context.Context) error {
	return in.pace.run(ctx, in.Clock, in.takeIn, in.webhooks.NextWebhookAt)
}

// Idle returns once nothing waits to be taken in now.
func (in *Inbound) Idle(ctx context.Context) error { return in.once(ctx, in.takeIn) }

func (in *Inbound) takeIn(ctx context.Context) error {
	for {
		pending, err := in.webhooks.PendingWebhooks(ctx, in.Clock.Now(), inboundBatch)
		if err != nil || len(pending) == 0 {
			return err
		}
		for _, w := range pending {
			if err := in.takeInOne(ctx, w); err != nil {
				return err
			}
		}
	}
}

// takeInOne takes in one webhook and notes what came of it. Only a failure of our own store is an error.
func (in *Inbound) takeInOne(ctx context.Context, w work.Webhook) error {
	err := in.apply(ctx, w)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return in.webhooks.WebhookDone(ctx, w.ID)
	}
	if w.Tries+1 >= inboundTries || errors.Is(err, errUnmatched) {
		in.Logger.Warn("webhook could not be placed", "connection", w.Merchant+"."+w.Connection, "message", w.MessageID, "error", err)
		return in.webhooks.WebhookDone(ctx, w.ID)
	}
	return in.webhooks.WebhookFailed(ctx, w.ID, err.Error(), in.Clock.Now().Add(inboundPause<<w.Tries))
}

// errUnmatched says that a webhook speaks of nothing of ours.
var errUnmatched = errors.New("nothing of ours")

func (in *Inbound) apply(ctx context.Context, w work.Webhook) error {
	conn, gw, err := in.Connect(ctx, w.Merchant, w.Connection)
	if err != nil {
		return err
	}
	notifier, ok := gw.(gateway.Notifier)
	if !ok {
		return fmt.Errorf("%w: %s sends no webhooks", errUnmatched, conn.Gateway)
	}
	n, err := notifier.Read(conn, w.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmatched, err)
	}
	if n.Kind == gateway.NoticeIgnored {
		return nil
	}
	stream := subscription.Stream(w.Merchant, n.Subscription)
	s, _, err := in.Subscriptions.Load(ctx, stream)
	if err != nil {
		return err
	}
	if !s.Exists() || !s.Uses(w.Connection) {
		return fmt.Errorf("%w: subscription %q", errUnmatched, n.Subscription)
	}
	switch n.Kind {
	case gateway.NoticeDispute:
		return in.dispute(ctx, stream, conn, gw, s, n)
	case gateway.NoticeAgreement:
		_, err := in.do(ctx, stream, "agreement/"+n.ID, who(conn), uuid.Nil,
			subscription.LoseAgreement{Now: in.Clock.Now(), Code: n.Code})
		return settled(err)
	}
	return in.hint(ctx, stream, conn, gw, s, n.Key)
}

// hint looks up the attempt or refund that a message names.
func (in *Inbound) hint(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, key string) error {
	if a, ok := s.FindAttemptByKey(key); ok {
		return in.hintedCharge(ctx, stream, conn, gw, a)
	}
	for _, r := range s.Refunds {
		if r.Key != key {
			continue
		}
		res, found, err := gw.Lookup(ctx, conn, key, r.RequestedAt)
		if err != nil || !found {
			return err
		}
		return in.reportRefund(ctx, stream, conn, r, uuid.Nil, res)
	}
	return fmt.Errorf("%w: key %s", errUnmatched, key)
}

func (in *Inbound) hintedCharge(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, a *subscription.Attempt) error {
	res, found, err := gw.Lookup(ctx, conn, a.Key, a.RequestedAt)
	if err != nil || !found {
		return err
	}
	return in.reportCharge(ctx, stream, conn, a, uuid.Nil, res)
}

// dispute records one step of a dispute. A disputed charge that we have not heard of is looked up first: its attempt
// may be open, or may have been declined and charged after all.
func (in *Inbound) dispute(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, n gateway.Notice) error {
	a, ok := s.FindAttemptByKey(n.Dispute.ChargeKey)
	if !ok {
		return fmt.Errorf("%w: key %s", errUnmatched, n.Dispute.ChargeKey)
	}
	if _, known := s.FindCharge(a.OrderID); !known {
		if err := in.hintedCharge(ctx, stream, conn, gw, a); err != nil {
			return err
		}
		var err error
		if s, _, err = in.Subscriptions.Load(ctx, stream); err != nil {
			return err
		}
		a, _ = s.FindAttempt(a.Number, a.Attempt)
	}
	d := n.Dispute
	around, err := in.around(ctx, s)
	if err != nil {
		return err
	}
	_, err = in.do(ctx, stream, fmt.Sprintf("dispute/%s/%s", d.ID, stageName(d.Stage)), who(conn), uuid.Nil,
		subscription.Chargeback{
			Now: in.Clock.Now(), At: d.At, OrderID: a.OrderID, DisputeID: d.ID, Stage: d.Stage,
			Amount: d.Amount, Fee: d.Fee, Reason: d.Reason, Outcome: d.Outcome,
			Circumstances: around,
		})
	return err
}

func stageName(s ledgerv1.DisputeStage) string { return fmt.Sprint(int32(s)) }
