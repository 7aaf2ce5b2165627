// Package process acts on what was decided: it charges, refunds and stores methods at the gateways, wakes subscriptions
// when something is due, finds out what became of what is in doubt, and takes in what gateways tell by themselves.
//
// Each handler folds the stream before it acts, calls a gateway at most once for what the stream still wants, and
// reports what it learned as the next command. None keeps state that matters: everything here can die at any moment
// and be started again.
package process

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// Connect finds a merchant's connection and the adapter that serves it.
type Connect func(ctx context.Context, merchant, connection string) (gateway.Connection, gateway.Gateway, error)

// Config is what the handlers need of the world.
type Config struct {
	Subscriptions *aggregate.Runner[subscription.State]
	Connect       Connect
	// Circumstances are what a merchant and a connection say that a decision about a subscription may depend on.
	// Defaults to saying nothing.
	Circumstances func(ctx context.Context, merchant, connection string) (subscription.Circumstances, error)
	// Hurry has what the handlers have set aside of a merchant's subscriptions tried again now. It does not wait.
	// Without it, what a blocked connection held is tried within the hour after the block.
	Hurry func(merchant string)
	// Wakers wake what is no subscription, by the category of its streams.
	Wakers map[string]Waker
	// Disconnected is told that a merchant took our access to a connection's account away at the gateway, and why nothing
	// can be charged from now on, in words for whoever finds payments held. It may be told twice; on an error it is told
	// again. Without it a warning is all that comes of it.
	Disconnected func(ctx context.Context, merchant, connection, reason string) error
	// Addresses are where a gateway sends the buyer of a charge back to, and where to if he has turned back. They are the
	// same whenever they are asked for: gateways refuse a key that comes again with other parameters. Without it the buyer
	// is sent nowhere.
	Addresses func(conn gateway.Connection, c gateway.Charge) (back, cancel string)
	Clock     clock.Clock
	Logger    *slog.Logger
	// Head is where the log ended before this run began. What was intended up to there may have been sent by an
	// earlier run. The clock would not do: it can go back, or stand still over a restart.
	Head event.Position
}

// Process holds the handlers.
type Process struct {
	Config
	began time.Duration // when this run did, by the time that has really passed
	sent  sent
}

// New returns the handlers of a run that begins now.
func New(c Config) *Process {
	if c.Circumstances == nil {
		c.Circumstances = func(context.Context, string, string) (subscription.Circumstances, error) {
			return subscription.Circumstances{}, nil
		}
	}
	if c.Addresses == nil {
		c.Addresses = func(gateway.Connection, gateway.Charge) (back, cancel string) { return "", "" }
	}
	return &Process{Config: c, began: c.Clock.Elapsed()}
}

// around are the circumstances of a subscription as it is charged now.
func (p *Process) around(ctx context.Context, s subscription.State) (subscription.Circumstances, error) {
	return p.Circumstances(ctx, s.Started.GetMerchantId(), s.Connection.ID)
}

// All lists the handlers that follow the log.
func (p *Process) All() []bus.Handler {
	return []bus.Handler{
		{Name: "charge", Category: subscription.Category, Handle: p.charge},
		{Name: "refund", Category: subscription.Category, Handle: p.refund},
		{Name: "method", Category: subscription.Category, Handle: p.method},
		{Name: "unblock", Category: connection.Category, Handle: p.unblocked},
	}
}

// do sends a command of the ledger's own. name is what the command does, unique in the stream for ever.
func (p *Process) do(ctx context.Context, stream, name, actor string, cause uuid.UUID, c aggregate.Command[subscription.State]) (aggregate.Result[subscription.State], error) {
	return p.Subscriptions.Do(ctx, stream, aggregate.Request{
		ID: aggregate.InternalPrefix + name, Actor: actor, At: p.Clock.Now(), Cause: cause,
	}, c)
}

// settled hides refusals that mean that others were faster: what was to be reported is no longer wanted.
func settled(err error) error {
	var refused *aggregate.Error
	if errors.As(err, &refused) && refused.Kind == aggregate.NotFound {
		return nil
	}
	return err
}

// who names a gateway as an actor.
func who(conn gateway.Connection) string { return "gateway:" + conn.Gateway }

// chargeOf is what the gateway is asked for.
func (p *Process) chargeOf(conn gateway.Connection, s subscription.State, a *subscription.Attempt) gateway.Charge {
	c := gateway.Charge{
		Key: a.Key, Amount: a.Amounts.GetFull(), Method: a.Method,
		Merchant: s.Started.GetMerchantId(), Subscription: s.Started.GetSubscriptionId(),
		PayNumber: a.Number, Attempt: a.Attempt, Buyer: s.Buyer, Once: isOnce(s),
	}
	if a.Method == nil { // else the buyer is not there, and cannot be sent anywhere
		c.Token = a.Token
		c.ReturnURL, c.CancelURL = p.Addresses(conn, c)
	}
	return c
}

// isOnce reports whether a subscription is one payment and no more.
func isOnce(s subscription.State) bool {
	t := s.Terms()
	return t.GetKind() == subscription.OneTime && t.GetInitial() == nil
}
