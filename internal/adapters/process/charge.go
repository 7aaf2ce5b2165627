package process

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// charge sends what PaymentRequested intends, unless the stream no longer wants it. Through a blocked connection nothing
// is sent: the payment is held, without an outcome, until the block ends.
func (p *Process) charge(ctx context.Context, e event.Recorded) error {
	r := e.GetPaymentRequested()
	if r == nil {
		return nil
	}
	s, _, err := p.Subscriptions.Load(ctx, e.Stream)
	if err != nil {
		return err
	}
	a, ok := s.FindAttempt(r.PayNumber, r.Attempt)
	if !ok || a.Status != subscription.AttemptRequested || a.Withdrawn {
		return nil
	}
	conn, gw, err := p.Connect(ctx, s.Started.MerchantId, r.ConnectionId)
	if err != nil {
		return fmt.Errorf("charge %s: %w", a.Key, err)
	}
	var res gateway.Result
	sentAt := e.Metadata.RecordedAt.AsTime()
	if conn.Blocked != "" {
		res, err = p.held(ctx, gw, conn, a.Key, e)
	} else {
		res, sentAt, err = p.send(ctx, gw, conn, a.Key, e, p.chargeFinder(gw, conn, s, a), func() gateway.Result {
			return gw.Charge(ctx, conn, p.chargeOf(conn, s, a))
		})
	}
	if err != nil {
		return err
	}
	if res.Class == gateway.Unknown {
		_, err = p.do(ctx, e.Stream, attemptName(a, "unknown"), who(conn), e.ID, subscription.DoubtPayment{
			Now: p.Clock.Now(), SentAt: sentAt, Number: a.Number, Attempt: a.Attempt, Why: res.Why,
		})
		return settled(err)
	}
	return p.reportCharge(ctx, e.Stream, conn, a, e.ID, res)
}

// attemptName names what is reported of an attempt: its business identity and its outcome.
func attemptName(a *subscription.Attempt, outcome string) string {
	return fmt.Sprintf("payment/%d/%d/%s", a.Number, a.Attempt, outcome)
}

// reportCharge turns what a gateway said of an attempt into the command that records it.
func (p *Process) reportCharge(ctx context.Context, stream string, conn gateway.Connection, a *subscription.Attempt, cause uuid.UUID, r gateway.Result) error {
	around, err := p.Circumstances(ctx, conn.Merchant, conn.ID)
	if err != nil {
		return err
	}
	name, c := p.chargeCommand(a, r, around)
	if c == nil {
		return nil
	}
	_, err = p.do(ctx, stream, attemptName(a, name), who(conn), cause, c)
	if err = settled(err); err == nil {
		p.sent.forget(a.Key)
	}
	return err
}

func (p *Process) chargeCommand(a *subscription.Attempt, r gateway.Result, around subscription.Circumstances) (string, aggregate.Command[subscription.State]) {
	now := p.Clock.Now()
	switch {
	case r.Class == gateway.Accepted:
		return "succeeded", subscription.SettlePayment{
			Now: now, At: r.At, Number: a.Number, Attempt: a.Attempt, Reference: r.Reference,
			Amount: r.Amount, Fee: r.Fee, Settled: r.Settled, Method: r.Method,
			Circumstances: around,
		}
	case r.Class == gateway.Pending:
		return "pending", subscription.PendPayment{
			Now: now, Number: a.Number, Attempt: a.Attempt, Reference: r.Reference,
			NextAction: r.NextAction, ExpiresAt: r.ExpiresAt,
		}
	case r.Class == gateway.Rejected && r.AgreementLost:
		return "agreement-lost", subscription.LoseAgreement{
			Now: now, Number: a.Number, Attempt: a.Attempt, Code: r.Code, Message: r.Message,
		}
	case r.Class == gateway.Rejected:
		return "declined", subscription.DeclinePayment{
			Now: now, At: r.At, Number: a.Number, Attempt: a.Attempt, Category: r.Category, Code: r.Code,
			Advice: r.Advice, Message: r.Message, Reference: r.Reference, Expired: r.Expired, StopOrder: r.StopOrder,
		}
	}
	return "", nil
}
