package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
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
	// WebhookUnmatched keeps a webhook that speaks of nothing of ours, for a while.
	WebhookUnmatched(ctx context.Context, id int64, why string, now time.Time) error
	// WebhookSetAside keeps a webhook that is not tried any more, with the reason.
	WebhookSetAside(ctx context.Context, id int64, why string) error
}

// Inbound takes in what the gateways tell by themselves. What they say of charges and refunds that we asked for is a
// hint: what is recorded is what a look-up answers. What we did not cause is recorded as told: disputes, payments of a
// schedule that the gateway runs, refunds made at its desk.
//
// Messages come in any order, so one that has no place yet is tried again, for about a day. If it has none then, or
// never can have one, because the gateway took money for a subscription that the ledger charges, it is set aside: it
// stays in the work store with the reason, and a warning tells of it. That is money which moved and stands in no book,
// and only a person can say whose it is: look it up at the gateway by its reference; end the schedule there that took
// it, or the buyer goes on paying twice; and return it there. What speaks of nothing of ours, say of another shop of the
// merchant's, is kept for a while. OperationService lists both, and has one tried again.
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
	log := in.Logger.With("connection", w.Merchant+"."+w.Connection, "message", w.MessageID, "webhook", w.ID, "error", err)
	switch {
	case errors.Is(err, errUnmatched):
		log.Warn("webhook speaks of nothing of ours")
		return in.webhooks.WebhookUnmatched(ctx, w.ID, err.Error(), in.Clock.Now())
	case errors.Is(err, errNoPlace) || w.Tries+1 >= inboundTries && hasAnswer(err):
		log.Warn("webhook set aside")
		return in.webhooks.WebhookSetAside(ctx, w.ID, err.Error())
	}
	pause := inboundPause << min(w.Tries, inboundTries-2)
	return in.webhooks.WebhookFailed(ctx, w.ID, err.Error(), in.Clock.Now().Add(pause))
}

// hasAnswer reports whether everybody who was asked has answered, and still there was no place. A gateway that does not
// answer a look-up, or a log that cannot be read, says nothing about a message, however long that lasts.
func hasAnswer(err error) bool {
	var refused *aggregate.Error
	return errors.Is(err, errNotYet) || errors.Is(err, gateway.ErrNotConfirmed) || errors.As(err, &refused) && refused.Kind != aggregate.Aborted
}

var (
	// errUnmatched says that a webhook speaks of nothing of ours.
	errUnmatched = errors.New("nothing of ours")
	// errNotYet says that a webhook tells of something whose beginning may still be on its way.
	errNotYet = errors.New("it has no place yet")
	// errNoPlace says that a webhook tells of money that trying again finds no place for, or that nobody knows what it
	// tells of.
	errNoPlace = errors.New("nobody can place it")
)

func (in *Inbound) apply(ctx context.Context, w work.Webhook) error {
	if w.Connection == "" {
		return fmt.Errorf("%w: nobody has connected the account that it is about", errUnmatched)
	}
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
		return fmt.Errorf("%w: %w", errNoPlace, err)
	}
	if c, ok := gw.(gateway.Completer); ok {
		if n, err = c.Complete(ctx, conn, n); err != nil {
			return err
		}
	}
	switch n.Kind {
	case gateway.NoticeIgnored:
		return nil
	case gateway.NoticeDisconnected: // about the account, and no subscription of it
		return in.disconnected(ctx, w, conn)
	}
	stream := subscription.Stream(w.Merchant, n.Subscription)
	s, _, err := in.Subscriptions.Load(ctx, stream)
	if err != nil {
		return err
	}
	switch {
	case s.Uses(w.Connection):
		return in.place(ctx, stream, conn, gw, s, n)
	case byItself(n.Kind) && n.Subscription != "":
		return fmt.Errorf("%w: no subscription %q is charged through the connection", errNotYet, n.Subscription) // it may be imported
	}
	return fmt.Errorf("%w: subscription %q", errUnmatched, n.Subscription)
}

func (in *Inbound) disconnected(ctx context.Context, w work.Webhook, conn gateway.Connection) error {
	if in.Disconnected == nil {
		in.Logger.Warn("access to an account was taken away, and nobody acts on it", "connection", w.Merchant+"."+w.Connection, "message", w.MessageID)
		return nil
	}
	return in.Disconnected(ctx, w.Merchant, w.Connection, "the merchant took the access to his account away at "+conn.Gateway)
}

// place records what a notice means for its subscription.
func (in *Inbound) place(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, n gateway.Notice) error {
	switch n.Kind {
	case gateway.NoticeDispute:
		return in.dispute(ctx, stream, conn, gw, s, n.Dispute)
	case gateway.NoticePayment:
		return in.payment(ctx, stream, conn, gw, s, n.Payment)
	case gateway.NoticeRefundMade:
		return in.refundMade(ctx, stream, conn, gw, s, n.Refund)
	case gateway.NoticeAgreement:
		if !charges(s, conn, n.Method) {
			return nil
		}
		_, err := in.do(ctx, stream, "agreement/"+n.ID, who(conn), uuid.Nil,
			subscription.LoseAgreement{Now: in.Clock.Now(), Code: n.Code})
		return settled(err)
	}
	return in.hint(ctx, stream, conn, gw, s, n)
}

// charges reports whether a subscription is charged by a stored method, as far as that is told: a buyer who has given
// another one may end the old agreement.
func charges(s subscription.State, conn gateway.Connection, method string) bool {
	now := s.Method.GetReference()
	return s.Connection.ID == conn.ID && (method == "" || method == now || now == "" && s.Before == nil)
}

// hint looks up the attempt or refund that a message names, or the open refunds of an attempt.
func (in *Inbound) hint(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, n gateway.Notice) error {
	key := n.Key
	if a, ok := s.FindAttemptByKey(key); ok {
		if n.Kind == gateway.NoticeRefund {
			return in.hintedRefundsOf(ctx, stream, conn, gw, s, a)
		}
		return in.hintedCharge(ctx, stream, conn, gw, s, a)
	}
	for _, r := range s.Refunds {
		if r.Key == key {
			return in.hintedRefund(ctx, stream, conn, gw, s, r)
		}
	}
	return fmt.Errorf("%w: key %s", errUnmatched, key)
}

// hintedRefundsOf looks up the refunds of a charge that nobody knows the end of, for a gateway that has no names for them.
func (in *Inbound) hintedRefundsOf(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, a *subscription.Attempt) error {
	var errs []error
	for _, r := range s.Refunds {
		if r.ChargeReference == a.Reference && (r.Status == subscription.RefundPending || r.Status == subscription.RefundUnknown) {
			errs = append(errs, in.hintedRefund(ctx, stream, conn, gw, s, r))
		}
	}
	return errors.Join(errs...)
}

func (in *Inbound) hintedRefund(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, r *subscription.RefundRecord) error {
	if r.Key == "" {
		return nil // it was made at the gateway, and there is nothing more to be known of it
	}
	res, err := told(ctx, refundFinder(gw, conn, refundOf(s, r)), r.Key, r.RequestedAt)
	if err != nil {
		return err
	}
	return in.reportRefund(ctx, stream, conn, r, uuid.Nil, res)
}

func (in *Inbound) hintedCharge(ctx context.Context, stream string, conn gateway.Connection, gw gateway.Gateway, s subscription.State, a *subscription.Attempt) error {
	res, err := told(ctx, in.chargeFinder(gw, conn, s, a), a.Key, a.RequestedAt)
	if err != nil {
		return err
	}
	return in.reportCharge(ctx, stream, conn, a, uuid.Nil, res)
}

// told looks up what a message speaks of. A gateway may tell of a thing before its own look-ups find it.
func told(ctx context.Context, find finder, key string, asked time.Time) (gateway.Result, error) {
	res, found, err := find(ctx, asked)
	switch {
	case err != nil:
		return res, fmt.Errorf("look up %s: %w", key, err)
	case !found:
		return res, fmt.Errorf("%w: the gateway does not find %s", errNotYet, key)
	}
	return res, nil
}
