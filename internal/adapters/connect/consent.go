package connect

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/text"
)

// consentLasts is for how long a merchant may think about it.
const consentLasts = time.Hour

// takingLasts is for how long his answer is taken in, whether he waits for it or not.
const takingLasts = 2 * time.Minute

// Consent is a request for a merchant's consent.
type Consent struct {
	Merchant, ID, Gateway string
	Mode                  ledgerv1.Mode
	ReturnURL             string
}

// RequestConsent begins a connection by consent, or renews one, and tells where the merchant gives it. A repeated
// request is answered with the same address.
func (c *Connections) RequestConsent(ctx context.Context, q aggregate.Request, r Consent) (res Result, consentURL string, err error) {
	s, err := c.Load(ctx, r.Merchant, r.ID)
	if err != nil {
		return res, "", err
	}
	name := r.Gateway
	if s.Exists() {
		name = s.Gateway
	}
	gw, err := c.gateway(name)
	if err != nil {
		return res, "", err
	}
	consenter, ok := gw.(gateway.Consenter)
	if !ok {
		return res, "", aggregate.InvalidField("gateway", "CONSENT_NOT_OFFERED", "accounts of %s are not connected by consent", name)
	}
	state := newState(r.Merchant, r.ID)
	if err := c.canAsk(consenter, s, r, state); err != nil {
		return res, "", err
	}
	token, err := c.Sealer.Seal([]byte(state), resource(r.Merchant, r.ID))
	if err != nil {
		return res, "", err
	}
	now := c.Clock.Now()
	res, err = c.Runner.Do(ctx, connection.Stream(r.Merchant, r.ID), q, connection.RequestConsent{
		Create: connection.Create{
			Merchant: r.Merchant, ID: r.ID, Gateway: r.Gateway, Processor: gw.Traits().Processor, Mode: r.Mode, Now: now,
		},
		Token: token, ExpiresAt: now.Add(consentLasts), ReturnURL: r.ReturnURL,
	})
	if err != nil {
		return res, "", err
	}
	asked, err := c.Sealer.Open(res.State.Consent.Token, resource(r.Merchant, r.ID)) // another than state, if it was repeated
	if err != nil {
		return res, "", err
	}
	consentURL, err = c.consentURL(consenter, res.State, string(asked))
	return res, consentURL, err
}

// canAsk refuses, before anything is written, to begin what the gateway is not set up for.
func (c *Connections) canAsk(gw gateway.Consenter, s connection.State, r Consent, state string) error {
	if !s.Exists() {
		s = connection.State{Merchant: r.Merchant, ID: r.ID, Gateway: r.Gateway, Mode: r.Mode}
	}
	_, err := c.consentURL(gw, s, state)
	return err
}

func (c *Connections) consentURL(gw gateway.Consenter, s connection.State, state string) (string, error) {
	conn, err := c.Opened(s)
	if err != nil {
		return "", err
	}
	u, err := gw.ConsentURL(conn, state, c.BaseURL+ConsentPath(s.Gateway))
	var refusal *gateway.Refusal
	switch {
	case errors.As(err, &refusal):
		return "", aggregate.Refuse(refusal.Reason, "%s", refusal.Message)
	case err != nil:
		return "", aggregate.Refuse("GATEWAY_NOT_CONFIGURED", "nobody can be asked for his consent at %s yet: %v", s.Gateway, err)
	}
	return u, nil
}

// ConsentPath is where a gateway sends merchants back to.
func ConsentPath(gatewayName string) string { return "/connect/" + gatewayName }

// newState is what a merchant has to come back with. It names the connection, and nobody can guess it.
func newState(merchant, id string) string { return merchant + "." + id + "." + rand.Text() }

// ErrNoSuchConsent says that somebody came back with a state that nobody was given, or that has been used or has expired.
var ErrNoSuchConsent = errors.New("this consent was not asked for, was used before, or took too long: begin again")

// Outcome is what became of a merchant's consent, and where he goes now; nowhere if ReturnURL is empty.
type Outcome struct {
	State     connection.State
	ReturnURL string
}

// Consented takes in what a merchant came back with from a gateway. What was refused, by him, the gateway or the ledger,
// is written down and no error: it stands in the connection's Refusal.
//
// A consent that comes twice may be taken away again by the gateway, and browsers do load a page twice, and leave it. So
// whoever comes meanwhile gets what the first one gets, and what has begun is brought to its end.
func (c *Connections) Consented(ctx context.Context, gatewayName string, query url.Values) (Outcome, error) {
	outcome, err, _ := c.taking.Do(gatewayName+" "+query.Get("state"), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takingLasts)
		defer cancel()
		return c.consented(ctx, gatewayName, query)
	})
	return outcome.(Outcome), err
}

func (c *Connections) consented(ctx context.Context, gatewayName string, query url.Values) (Outcome, error) {
	s, err := c.askedFor(ctx, gatewayName, query.Get("state"))
	if err != nil {
		return Outcome{}, err
	}
	conn, err := c.Opened(s)
	if err != nil {
		return Outcome{}, err
	}
	account, err := c.Gateways[gatewayName].(gateway.Consenter).Consented(ctx, conn, query)
	res, err := c.conclude(ctx, s, account, err)
	var known *aggregate.Error
	switch {
	case errors.As(err, &known) && known.Reason == gateway.ConsentCodeInvalid:
		return Outcome{}, ErrNoSuchConsent // another one was asked for meanwhile
	case err != nil:
		return Outcome{}, err
	}
	c.giveBack(ctx, conn, res.State, account)
	return Outcome{State: res.State, ReturnURL: s.Consent.ReturnURL}, nil
}

// conclude writes down what a gateway said of a consent.
func (c *Connections) conclude(ctx context.Context, s connection.State, a gateway.Account, err error) (Result, error) {
	asked := s.Consent.Request
	var refusal *gateway.Refusal
	switch {
	case err == nil:
		return c.activate(ctx, s, asked, a, connection.Activate{Consent: asked})
	case errors.As(err, &refusal):
		return c.refuse(ctx, s, asked, asked, connection.Refusal{Reason: refusal.Reason, Message: refusal.Message, Account: a.ID, AccountName: a.Name})
	}
	c.Logger.Warn("a consent was not answered", "connection", s.Merchant+"."+s.ID, "gateway", s.Gateway, "error", err)
	return c.refuse(ctx, s, asked, asked, connection.Refusal{
		Reason: "GATEWAY_UNREACHABLE", Message: "the gateway did not answer; begin again",
	})
}

// askedFor finds the connection that a state was made for, if it is good.
func (c *Connections) askedFor(ctx context.Context, gatewayName, state string) (connection.State, error) {
	parts := strings.Split(state, ".")
	if len(parts) != 3 || !text.ValidID(parts[0]) || !text.ValidID(parts[1]) {
		return connection.State{}, ErrNoSuchConsent
	}
	s, err := c.Load(ctx, parts[0], parts[1])
	if err != nil {
		return s, err
	}
	if !s.Exists() || s.Gateway != gatewayName || s.Consent == nil || !c.Clock.Now().Before(s.Consent.ExpiresAt) {
		return s, ErrNoSuchConsent
	}
	want, err := c.Sealer.Open(s.Consent.Token, resource(s.Merchant, s.ID))
	if err != nil {
		return s, err
	}
	if subtle.ConstantTimeCompare(want, []byte(state)) != 1 {
		return s, ErrNoSuchConsent
	}
	if _, ok := c.Gateways[gatewayName].(gateway.Consenter); !ok {
		return s, ErrNoSuchConsent
	}
	return s, nil
}

// giveBack withdraws the consent to an account that the ledger has refused and that no connection uses.
func (c *Connections) giveBack(ctx context.Context, conn gateway.Connection, s connection.State, a gateway.Account) {
	if s.Refusal == nil || a.ID == "" || s.Account == a.ID {
		return
	}
	if used, err := c.usedElsewhere(ctx, s, a.ID); err != nil || used {
		return
	}
	conn.Account, conn.Live, conn.Secret = a.ID, a.Live, ""
	if err := c.Gateways[conn.Gateway].(gateway.Consenter).Withdraw(ctx, conn); err != nil {
		c.Logger.Warn("a consent that was of no use was not given back", "connection", conn.Merchant+"."+conn.ID, "account", a.ID, "error", err)
	}
}

// Disconnect gives an account back. What is due is held.
func (c *Connections) Disconnect(ctx context.Context, q aggregate.Request, merchant, id, reason string) (Result, error) {
	res, err := c.Runner.Do(ctx, connection.Stream(merchant, id), q, connection.Disconnect{ID: id, Reason: reason})
	if err != nil {
		return res, err
	}
	c.told(res)
	now, err := c.Load(ctx, merchant, id) // a request that is repeated may find it connected again
	if err != nil || now.Status != ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED {
		return res, err
	}
	return res, c.withdraw(ctx, now)
}

// Disconnected takes in that a merchant, or his gateway, has ended a connection there.
func (c *Connections) Disconnected(ctx context.Context, merchant, id, reason string) error {
	s, revision, err := c.Runner.Load(ctx, connection.Stream(merchant, id))
	if err != nil {
		return err
	}
	if s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED || !s.Exists() {
		return nil
	}
	res, err := c.Runner.Do(ctx, connection.Stream(merchant, id), aggregate.Request{
		ID: aggregate.InternalPrefix + "disconnected/" + strconv.FormatInt(int64(revision), 10), Actor: "gateway:" + s.Gateway, At: c.Clock.Now(),
	}, connection.Disconnect{ID: id, Reason: reason})
	if errors.Is(err, &aggregate.Error{Reason: "CONNECTION_DISCONNECTED"}) {
		return nil // somebody was faster
	}
	if err == nil {
		c.told(res)
	}
	return err
}

// told warns of what a command that was not repeated has stopped.
func (c *Connections) told(res Result) {
	for _, e := range res.Events {
		if !res.Replayed {
			c.tell(res.State, e.Event)
		}
	}
}

// withdraw gives back the consent to an account that no other connection uses.
func (c *Connections) withdraw(ctx context.Context, s connection.State) error {
	consenter, ok := c.Gateways[s.Gateway].(gateway.Consenter)
	if !ok || len(s.Credentials) > 0 || s.Account == "" {
		return nil
	}
	if used, err := c.usedElsewhere(ctx, s, s.Account); err != nil || used {
		return err
	}
	conn, err := c.Opened(s)
	if err != nil {
		return err
	}
	if err := consenter.Withdraw(ctx, conn); err != nil {
		return c.unanswered(s, err)
	}
	return nil
}

// usedElsewhere reports whether another connection than s, of whatever merchant, uses an account: the gateway knows one
// consent for all of them.
func (c *Connections) usedElsewhere(ctx context.Context, s connection.State, account string) (bool, error) {
	users, err := c.Known(ctx, s.Gateway, account)
	if err != nil {
		return false, err
	}
	for _, u := range users {
		if u == (Ref{s.Merchant, s.ID}) {
			continue
		}
		if other, err := c.Load(ctx, u.Merchant, u.ID); err != nil || other.Connected() {
			return err == nil, err
		}
	}
	return false, nil
}
