package connect

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

// Result is what became of a command.
type Result = aggregate.Result[connection.State]

// Account is what a merchant says of an account that he connects.
type Account struct {
	Merchant, ID                    string
	Gateway, Processor, URL         string
	Mode                            ledgerv1.Mode
	Account, PublishableKey, Secret string
	WebhookSecret                   string
	UpdateBy                        time.Time
}

// Create connects an account by what it is known by at its gateway, and has the gateway prove it. The connection is
// written down first: if the gateway does not answer, the same request sent again goes on from there.
func (c *Connections) Create(ctx context.Context, q aggregate.Request, a Account) (Result, error) {
	res, err := c.Record(ctx, q, a)
	if err != nil {
		return res, err
	}
	now, err := c.Load(ctx, a.Merchant, a.ID) // a request that is repeated may find it proved, or changed since
	if err != nil {
		return res, err
	}
	gw := c.Gateways[a.Gateway]
	if err := c.introduce(ctx, gw, now); err != nil {
		return res, err
	}
	if now.Status != ledgerv1.ConnectionState_CONNECTION_STATE_PENDING {
		res.State = now
		return res, nil
	}
	proved, err := c.prove(ctx, gw.(gateway.Prover), now, q.ID)
	if err != nil {
		return proved, err
	}
	if len(proved.Events) == 0 { // somebody else was faster
		res.State = proved.State
		return res, nil
	}
	proved.Replayed = res.Replayed
	return proved, nil
}

// Record writes down that an account is to be connected, and asks its gateway nothing.
func (c *Connections) Record(ctx context.Context, q aggregate.Request, a Account) (Result, error) {
	gw, err := c.gateway(a.Gateway)
	if err != nil {
		return Result{}, err
	}
	create, err := c.creation(gw, a)
	if err != nil {
		return Result{}, err
	}
	return c.Runner.Do(ctx, connection.Stream(a.Merchant, a.ID), q, create)
}

func (c *Connections) gateway(name string) (gateway.Gateway, error) {
	gw, ok := c.Gateways[name]
	if !ok {
		return nil, aggregate.InvalidField("gateway", "GATEWAY_UNKNOWN", "there is no such gateway")
	}
	return gw, nil
}

// creation is the command that a merchant's words amount to at his gateway.
func (c *Connections) creation(gw gateway.Gateway, a Account) (connection.Create, error) {
	_, proves := gw.(gateway.Prover)
	_, consents := gw.(gateway.Consenter)
	_, told := gw.(gateway.Connector)
	switch {
	case !proves && a.Mode == ledgerv1.Mode_MODE_LIVE:
		return connection.Create{}, aggregate.InvalidField("mode", "CONNECTION_MODE_MISMATCH", "no money moves at this gateway: it is for test only")
	case consents && a.Secret == "":
		return connection.Create{}, aggregate.InvalidField("secret", "CONNECT_BY_CONSENT", "an account of this gateway is connected by its owner's consent: request that")
	case consents && a.UpdateBy.IsZero():
		return connection.Create{}, aggregate.InvalidField("update_by", "UPDATE_BY_REQUIRED", "an account of this gateway that was connected by its keys has to be connected by consent until some day: say which")
	case proves && a.Secret == "":
		return connection.Create{}, aggregate.InvalidField("secret", "SECRET_REQUIRED", "the gateway knows the account by its secret")
	case proves && !consents && a.Account == "":
		return connection.Create{}, aggregate.InvalidField("account", "ACCOUNT_REQUIRED", "the gateway knows the account by its id")
	case told:
		a.WebhookSecret = cmp.Or(a.WebhookSecret, rand.Text()) // a request that is repeated meets the one that was stored
	}
	sealed, err := c.seal(a.Merchant, a.ID, a.Secret, a.WebhookSecret)
	return connection.Create{
		Merchant: a.Merchant, ID: a.ID, Gateway: a.Gateway, Processor: cmp.Or(gw.Traits().Processor, a.Processor), Mode: a.Mode, URL: a.URL,
		Account: a.Account, PublishableKey: a.PublishableKey, Credentials: sealed, Unproved: proves, UpdateBy: a.UpdateBy, Now: c.Clock.Now(),
	}, err
}

// introduce tells a gateway of a connection, if it wants to be told.
func (c *Connections) introduce(ctx context.Context, gw gateway.Gateway, s connection.State) error {
	connector, ok := gw.(gateway.Connector)
	if !ok {
		return nil
	}
	conn, err := c.Opened(s)
	if err != nil {
		return err
	}
	if err := connector.Connect(ctx, conn); err != nil {
		return c.unanswered(s, err)
	}
	return nil
}

// Introduce tells a connection's gateway of it again, if it wants to be told: its own memory may be gone.
func (c *Connections) Introduce(ctx context.Context, merchant, id string) error {
	s, err := c.Load(ctx, merchant, id)
	if err != nil || !s.Exists() {
		return err
	}
	gw, err := c.gateway(s.Gateway)
	if err != nil {
		return err
	}
	return c.introduce(ctx, gw, s)
}

func (c *Connections) unanswered(s connection.State, err error) error {
	c.Logger.Warn("the gateway of a connection did not answer", "connection", s.Merchant+"."+s.ID, "gateway", s.Gateway, "error", err)
	return &aggregate.Error{Kind: aggregate.Unavailable, Reason: "GATEWAY_UNREACHABLE",
		Message: "the connection's gateway did not answer; repeat the request with the same request id"}
}

// prove has a gateway try the credentials of a connection, and writes down what it says.
func (c *Connections) prove(ctx context.Context, gw gateway.Prover, s connection.State, cause string) (Result, error) {
	conn, err := c.Opened(s)
	if err != nil {
		return Result{}, err
	}
	account, err := gw.Prove(ctx, conn)
	var refusal *gateway.Refusal
	switch {
	case errors.As(err, &refusal):
		return c.refuse(ctx, s, cause, "", connection.Refusal{Reason: refusal.Reason, Message: refusal.Message})
	case err != nil:
		return Result{}, c.unanswered(s, err)
	}
	return c.activate(ctx, s, cause, account, connection.Activate{First: true})
}

// activate says that an account was proved. If the ledger refuses it, that is written down instead.
func (c *Connections) activate(ctx context.Context, s connection.State, cause string, a gateway.Account, by connection.Activate) (Result, error) {
	c.activating.Lock()
	defer c.activating.Unlock()
	by.Account, by.Name, by.PublishableKey, by.Live = a.ID, a.Name, a.PublishableKey, a.Live
	refused := c.connectedElsewhere(ctx, s, a)
	if refused == nil {
		res, err := c.do(ctx, s, "active", cause, by)
		if !errors.As(err, &refused) || refused.Kind != aggregate.FailedPrecondition {
			return res, err
		}
	}
	if refused.Kind != aggregate.FailedPrecondition {
		return Result{}, refused
	}
	return c.refuse(ctx, s, cause, by.Consent, connection.Refusal{Reason: refused.Reason, Message: refused.Message, Account: a.ID, AccountName: a.Name})
}

// connectedElsewhere refuses an account that another connection of the merchant has. Accounts at a gateway that believes
// whatever it is told are nobody's.
func (c *Connections) connectedElsewhere(ctx context.Context, s connection.State, a gateway.Account) *aggregate.Error {
	if _, told := c.Gateways[s.Gateway].(gateway.Connector); told || a.ID == "" {
		return nil
	}
	unreadable := &aggregate.Error{Kind: aggregate.Unavailable, Reason: "UNAVAILABLE", Message: "the other connections cannot be read now; try again"}
	same, err := c.Known(ctx, s.Gateway, a.ID)
	if err != nil {
		return unreadable
	}
	for _, ref := range same {
		if ref.Merchant != s.Merchant || ref.ID == s.ID {
			continue
		}
		other, err := c.Load(ctx, ref.Merchant, ref.ID)
		if err != nil {
			return unreadable
		}
		if other.Connected() && other.Account == a.ID && other.Mode == s.Mode {
			return aggregate.Refuse("ACCOUNT_ALREADY_CONNECTED",
				"account %s is connected already, as connection %s: use that one, or disconnect it first", connection.NameOf(a.ID, a.Name), ref.ID)
		}
	}
	return nil
}

func (c *Connections) refuse(ctx context.Context, s connection.State, cause, consent string, r connection.Refusal) (Result, error) {
	return c.do(ctx, s, "refused", cause, connection.Refuse{Refusal: r, Consent: consent})
}

// do sends a command of the ledger's own that follows from a request.
func (c *Connections) do(ctx context.Context, s connection.State, what, cause string, cmd aggregate.Command[connection.State]) (Result, error) {
	_, revision, err := c.Runner.Load(ctx, connection.Stream(s.Merchant, s.ID))
	if err != nil {
		return Result{}, err
	}
	return c.Runner.Do(ctx, connection.Stream(s.Merchant, s.ID), aggregate.Request{
		ID: fmt.Sprintf("%s%s/%s/%d", aggregate.InternalPrefix, what, digest([]byte(cause)), revision), Actor: "gateway:" + s.Gateway, At: c.Clock.Now(),
	}, cmd)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// nothing is a command that decides nothing. Its preview tells whether a request was done before.
type nothing struct{}

// Decide implements aggregate.Command.
func (nothing) Decide(connection.State) ([]*ledgerv1.Event, error) { return nil, nil }

// ReplaceCredentials proves other credentials of the same account, and uses them from then on. At a gateway that wants
// none it tells the gateway of the connection anew. A request that was done before asks nobody: what it replaced may have
// been replaced since.
func (c *Connections) ReplaceCredentials(ctx context.Context, q aggregate.Request, merchant, id, secret, webhookSecret string) (Result, error) {
	s, err := c.Load(ctx, merchant, id)
	if err != nil {
		return Result{}, err
	}
	if !s.Exists() {
		return Result{}, aggregate.ErrNotFound("connection", id)
	}
	before, err := c.Runner.Preview(ctx, connection.Stream(merchant, id), q, nothing{})
	if err != nil || before.Replayed {
		return before, err
	}
	gw, err := c.gateway(s.Gateway)
	if err != nil {
		return Result{}, err
	}
	if _, consents := gw.(gateway.Consenter); consents && !c.Clock.Now().Before(s.UpdateBy) {
		return Result{}, aggregate.InvalidField("secret", "CONNECT_BY_CONSENT", "this account is connected by its owner's consent: request that")
	}
	return c.replace(ctx, q, s, gw, secret, webhookSecret)
}

func (c *Connections) replace(ctx context.Context, q aggregate.Request, s connection.State, gw gateway.Gateway, secret, webhookSecret string) (Result, error) {
	with, err := c.Opened(s)
	if err != nil {
		return Result{}, err
	}
	with.Secret, with.WebhookSecret = cmp.Or(secret, with.Secret), cmp.Or(webhookSecret, with.WebhookSecret)
	account, err := c.proved(ctx, gw, with, secret)
	var refusal *gateway.Refusal
	switch {
	case errors.As(err, &refusal):
		if _, err := c.refuse(ctx, s, q.ID, "", connection.Refusal{Reason: refusal.Reason, Message: refusal.Message}); err != nil {
			return Result{}, err
		}
		return Result{}, aggregate.Refuse(refusal.Reason, "%s", refusal.Message)
	case err != nil:
		return Result{}, err
	}
	sealed, err := c.seal(s.Merchant, s.ID, with.Secret, with.WebhookSecret)
	if err != nil {
		return Result{}, err
	}
	c.activating.Lock()
	defer c.activating.Unlock()
	if elsewhere := c.connectedElsewhere(ctx, s, account); elsewhere != nil {
		return Result{}, elsewhere
	}
	return c.Runner.Do(ctx, connection.Stream(s.Merchant, s.ID), q, connection.Activate{
		Account: account.ID, Name: account.Name, PublishableKey: account.PublishableKey, Live: account.Live, Credentials: sealed,
	})
}

// proved is the account that credentials are of, by the word of its gateway.
func (c *Connections) proved(ctx context.Context, gw gateway.Gateway, with gateway.Connection, secret string) (gateway.Account, error) {
	prover, proves := gw.(gateway.Prover)
	connector, told := gw.(gateway.Connector)
	var account gateway.Account
	var err error
	switch {
	case proves && secret != "":
		account, err = prover.Prove(ctx, with)
	case told && !proves:
		account, err = gateway.Account{ID: with.Account, Live: with.Live}, connector.Connect(ctx, with)
	default:
		return account, aggregate.InvalidField("secret", "SECRET_REQUIRED", "the gateway knows the account by its secret")
	}
	var refusal *gateway.Refusal
	if err != nil && !errors.As(err, &refusal) {
		err = c.unanswered(connection.State{Merchant: with.Merchant, ID: with.ID, Gateway: with.Gateway}, err)
	}
	return account, err
}
