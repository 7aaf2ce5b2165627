package process

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// refund sends what RefundRequested intends, and returns second captures.
func (p *Process) refund(ctx context.Context, e event.Recorded) error {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_RefundRequested:
		return p.refundRequested(ctx, e, k.RefundRequested)
	case *ledgerv1.Event_DuplicateChargeObserved:
		return p.returnDuplicate(ctx, e, k.DuplicateChargeObserved)
	}
	return nil
}

func (p *Process) refundRequested(ctx context.Context, e event.Recorded, req *ledgerv1.RefundRequested) error {
	s, _, err := p.Subscriptions.Load(ctx, e.Stream)
	if err != nil {
		return err
	}
	r, ok := s.FindRefund(req.RefundId)
	if !ok || r.Status != subscription.RefundRequested || r.Withdrawn {
		return nil
	}
	conn, gw, err := p.Connect(ctx, s.Started.MerchantId, req.ConnectionId)
	if err != nil {
		return fmt.Errorf("refund %s: %w", r.ID, err)
	}
	back := refundOf(s, r)
	res, sentAt, err := p.send(ctx, gw, conn, r.Key, e, refundFinder(gw, conn, back), func() gateway.Result {
		return gw.Refund(ctx, conn, back)
	})
	if err != nil {
		return err
	}
	if res.Class == gateway.Unknown {
		_, err = p.do(ctx, e.Stream, refundName(r, "unknown"), who(conn), e.ID, subscription.DoubtRefund{
			Now: p.Clock.Now(), SentAt: sentAt, ID: r.ID, Why: res.Why,
		})
		return settled(err)
	}
	return p.reportRefund(ctx, e.Stream, conn, r, e.ID, res)
}

func refundName(r *subscription.RefundRecord, outcome string) string {
	return "refund/" + r.ID + "/" + outcome
}

// reportRefund turns what a gateway said of a refund into the command that records it.
func (p *Process) reportRefund(ctx context.Context, stream string, conn gateway.Connection, r *subscription.RefundRecord, cause uuid.UUID, res gateway.Result) error {
	name, c := p.refundCommand(r, res)
	if c == nil {
		return nil
	}
	_, err := p.do(ctx, stream, refundName(r, name), who(conn), cause, c)
	if err = settled(err); err == nil {
		p.sent.forget(r.Key)
	}
	return err
}

func (p *Process) refundCommand(r *subscription.RefundRecord, res gateway.Result) (string, aggregate.Command[subscription.State]) {
	now := p.Clock.Now()
	switch {
	case res.Class == gateway.Accepted:
		return "succeeded", subscription.SettleRefund{Now: now, At: res.At, ID: r.ID, Reference: res.Reference}
	case res.Class == gateway.Pending:
		return "pending", subscription.PendRefund{Now: now, ID: r.ID, Reference: res.Reference}
	case res.Class == gateway.Rejected && res.Reversed && r.Status == subscription.RefundSucceeded:
		return "reversed", subscription.ReverseRefund{Now: now, At: res.At, ID: r.ID, Code: res.Code, Message: res.Message}
	case res.Class == gateway.Rejected:
		return "failed", subscription.FailRefund{Now: now, ID: r.ID, Code: res.Code, Message: res.Message}
	}
	return "", nil
}

// returnDuplicate sends a second capture back. Nobody was told of it, so nothing but the money itself is owed; it
// is tried, under one key, until the gateway says that it went.
func (p *Process) returnDuplicate(ctx context.Context, e event.Recorded, d *ledgerv1.DuplicateChargeObserved) error {
	s, _, err := p.Subscriptions.Load(ctx, e.Stream)
	if err != nil {
		return err
	}
	if a, ok := s.FindAttempt(d.PayNumber, d.Attempt); !ok || a.Returned {
		return nil
	}
	conn, gw, err := p.Connect(ctx, s.Started.MerchantId, d.ConnectionId)
	if err != nil {
		return fmt.Errorf("return %s: %w", d.RefundKey, err)
	}
	back := gateway.Refund{Key: d.RefundKey, ChargeReference: d.Reference, Amount: d.Amount}
	res, err := p.sendUntilDecided(ctx, gw, conn, d.RefundKey, e, refundFinder(gw, conn, back), func() gateway.Result {
		return gw.Refund(ctx, conn, back)
	})
	if err != nil {
		return err
	}
	if res.Class != gateway.Accepted {
		return fmt.Errorf("second capture %s of %s is not returned yet: %s", d.Reference, e.Stream, res.Why+res.Message)
	}
	_, err = p.do(ctx, e.Stream, fmt.Sprintf("return/%d/%d", d.PayNumber, d.Attempt), who(conn), e.ID,
		subscription.ReturnDuplicate{Now: p.Clock.Now(), Number: d.PayNumber, Attempt: d.Attempt, Reference: res.Reference})
	if err = settled(err); err == nil {
		p.sent.forget(d.RefundKey)
	}
	return err
}
