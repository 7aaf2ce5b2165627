// Package connect opens merchants' connections. It keeps what proves that an account may be used sealed, hands it to
// nobody but the account's gateway, has the gateway prove it, and takes merchants through the consent that they give
// there. What a connection is, and may become, the aggregate decides.
package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

// Sealer keeps secrets from whoever reads the log. What it sealed for one resource it does not open for another.
type Sealer interface {
	Seal(plain []byte, resource string) ([]byte, error)
	Open(sealed []byte, resource string) ([]byte, error)
	// Current reports whether something is sealed with the newest key.
	Current(sealed []byte) bool
}

// Ref names a connection.
type Ref struct{ Merchant, ID string }

// Config is what Connections need of the world.
type Config struct {
	Runner *aggregate.Runner[connection.State]
	// Gateways by the names that connections use.
	Gateways map[string]gateway.Gateway
	Sealer   Sealer
	// BaseURL is where gateways and merchants reach this service, without a slash at its end.
	BaseURL string
	// Known lists the connections that there are: all of them, or those to one account of a gateway. It knows of all that
	// was written before it was asked.
	Known  func(ctx context.Context, gateway, account string) ([]Ref, error)
	Clock  clock.Clock
	Logger *slog.Logger
}

// Connections are the merchants' accounts at the gateways.
type Connections struct {
	Config
	activating sync.Mutex         // so that no account is connected twice at once
	taking     singleflight.Group // of consents, by their states
}

// New returns the connections of a service.
func New(c Config) *Connections { return &Connections{Config: c} }

// Load reads a connection. One that does not exist is not an error.
func (c *Connections) Load(ctx context.Context, merchant, id string) (connection.State, error) {
	s, _, err := c.Runner.Load(ctx, connection.Stream(merchant, id))
	return s, err
}

// Find finds a connection, as its adapter needs it, and the adapter.
func (c *Connections) Find(ctx context.Context, merchant, id string) (gateway.Connection, gateway.Gateway, error) {
	s, err := c.Load(ctx, merchant, id)
	if err != nil {
		return gateway.Connection{}, nil, err
	}
	g, ok := c.Gateways[s.Gateway]
	if !s.Exists() || !ok {
		return gateway.Connection{}, nil, fmt.Errorf("merchant %s has no connection %s that can be used", merchant, id)
	}
	conn, err := c.Opened(s)
	return conn, g, err
}

// Opened is a connection as its adapter needs it, with its credentials.
func (c *Connections) Opened(s connection.State) (gateway.Connection, error) {
	conn := gateway.Connection{
		Merchant: s.Merchant, ID: s.ID, Gateway: s.Gateway, Processor: s.Processor, URL: s.URL,
		Account: s.Account, PublishableKey: s.PublishableKey, Live: s.Live(), WebhookSecret: s.WebhookSecret,
		NotifyURL: c.BaseURL + c.WebhookPath(s), Blocked: s.Held(),
	}
	if len(s.Credentials) == 0 {
		return conn, nil
	}
	var secrets ledgerv1.Credentials
	plain, err := c.Sealer.Open(s.Credentials, resource(s.Merchant, s.ID))
	if err == nil {
		err = proto.Unmarshal(plain, &secrets)
	}
	if err != nil {
		return conn, fmt.Errorf("the credentials of connection %s.%s cannot be read: %w", s.Merchant, s.ID, err)
	}
	conn.Secret, conn.WebhookSecret = secrets.Secret, secrets.WebhookSecret
	return conn, nil
}

// seal seals a connection's credentials; nothing if there are none.
func (c *Connections) seal(merchant, id, secret, webhookSecret string) ([]byte, error) {
	if secret == "" && webhookSecret == "" {
		return nil, nil
	}
	plain, err := proto.Marshal(&ledgerv1.Credentials{Secret: secret, WebhookSecret: webhookSecret})
	if err != nil {
		return nil, err
	}
	return c.Sealer.Seal(plain, resource(merchant, id))
}

// resource is what a connection's secrets are sealed for.
func resource(merchant, id string) string { return "connection/" + merchant + "/" + id }

// WebhookPath is where a connection's gateway sends its messages: to an address of the connection's own, or, of an account
// that the platform acts for, to the one of all accounts.
func (c *Connections) WebhookPath(s connection.State) string {
	if _, routes := c.Gateways[s.Gateway].(gateway.Router); routes && len(s.Credentials) == 0 {
		return "/webhooks/" + s.Gateway
	}
	return "/webhooks/" + s.Gateway + "/" + s.Merchant + "/" + s.ID
}

// Wake brings to a connection what a day brings, and tells when it wants that again; zero for never.
func (c *Connections) Wake(ctx context.Context, stream string) (next time.Time, err error) {
	_, revision, err := c.Runner.Load(ctx, stream)
	if err != nil {
		return time.Time{}, err
	}
	now := c.Clock.Now()
	res, err := c.Runner.Do(ctx, stream, aggregate.Request{
		ID: fmt.Sprintf("%swake/%d", aggregate.InternalPrefix, revision), Actor: "schedule", At: now,
	}, connection.Wake{Now: now})
	if err != nil {
		return time.Time{}, err
	}
	c.told(res)
	return res.State.Due(now), nil
}

// tell warns of what stops payments, or will.
func (c *Connections) tell(s connection.State, e *ledgerv1.Event) {
	log := c.Logger.With("connection", s.Merchant+"."+s.ID, "gateway", s.Gateway, "account", s.Account)
	switch e.GetKind().(type) {
	case *ledgerv1.Event_ConnectionUpdateNeeded:
		log.Warn("the merchant has to connect his account anew", "until", s.UpdateBy)
	case *ledgerv1.Event_ConnectionExpired:
		log.Warn("nothing is charged through the connection any more; the merchant has not connected his account anew")
	case *ledgerv1.Event_ConnectionDisconnected:
		log.Warn("nothing is charged through the connection any more; it was disconnected", "reason", s.DisconnectedReason)
	}
}

// Reseal puts credentials that were sealed with an older key under the newest one, so that the older can be given up.
func (c *Connections) Reseal(ctx context.Context) error {
	all, err := c.Known(ctx, "", "")
	if err != nil {
		return err
	}
	var errs []error
	for _, ref := range all {
		if err := c.reseal(ctx, ref); err != nil {
			errs = append(errs, fmt.Errorf("connection %s.%s: %w", ref.Merchant, ref.ID, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Connections) reseal(ctx context.Context, ref Ref) error {
	s, err := c.Load(ctx, ref.Merchant, ref.ID)
	if err != nil || len(s.Credentials) == 0 || c.Sealer.Current(s.Credentials) {
		return err
	}
	plain, err := c.Sealer.Open(s.Credentials, resource(s.Merchant, s.ID))
	if err != nil {
		return err
	}
	sealed, err := c.Sealer.Seal(plain, resource(s.Merchant, s.ID))
	if err != nil {
		return err
	}
	_, err = c.Runner.Do(ctx, connection.Stream(s.Merchant, s.ID), aggregate.Request{
		ID: aggregate.InternalPrefix + "reseal/" + digest(sealed), Actor: "ledger", At: c.Clock.Now(),
	}, connection.Reseal{From: s.Credentials, Credentials: sealed})
	return err
}
