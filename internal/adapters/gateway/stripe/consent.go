package stripe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// ConsentURL implements gateway.Consenter. https://docs.stripe.com/connect/oauth-reference#get-authorize
func (g *Gateway) ConsentURL(conn gateway.Connection, state, callback string) (string, error) {
	client, err := g.clientID(conn)
	if err != nil {
		return "", err
	}
	// Without the key the consent could be given and not be taken.
	if _, err := g.secret(asPlatform(conn)); err != nil {
		return "", err
	}
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "scope": {string(stripego.OAuthScopeTypeReadWrite)},
		"redirect_uri": {callback}, "state": {state},
	}
	return g.connectURL() + "/oauth/authorize?" + q.Encode(), nil
}

func (g *Gateway) clientID(conn gateway.Connection) (string, error) {
	id, mode := g.c.TestClientID, "test"
	if conn.Live {
		id, mode = g.c.LiveClientID, "live"
	}
	if id == "" {
		return "", configError("the platform has no client id of Stripe's for " + mode + " mode")
	}
	return id, nil
}

func (g *Gateway) connectURL() string {
	return strings.TrimSuffix(cmp.Or(g.c.ConnectURL, stripego.ConnectURL), "/")
}

// Consented implements gateway.Consenter.
func (g *Gateway) Consented(ctx context.Context, conn gateway.Connection, query url.Values) (gateway.Account, error) {
	code, err := codeOf(query)
	if err != nil {
		return gateway.Account{}, err
	}
	t, err := g.exchange(ctx, conn, code)
	if err != nil {
		return gateway.Account{}, err
	}
	account := gateway.Account{ID: t.Account, PublishableKey: t.publishableKey(), Live: *t.Live}
	if err := t.check(conn); err != nil {
		return account, err
	}
	if a, _, err := g.connected(ctx, conn, t.Account); err == nil {
		account.Name = a.name() // it is connected, with a name or without
	}
	return account, nil
}

// codeOf is the code that a merchant came back with. https://docs.stripe.com/connect/oauth-reference#get-authorize-response
func codeOf(query url.Values) (string, error) {
	if query.Has("error") {
		e := oauthError{query.Get("error"), query.Get("error_description")}
		switch {
		case e.ofAnotherPlatform():
			return "", ineligible()
		case e.Code == "access_denied":
			return "", &gateway.Refusal{Reason: gateway.ConsentDenied, Message: "The connection was declined on Stripe's page, so nothing was connected. " +
				"Begin again and agree there."}
		}
		return "", errors.New("nobody was asked for his consent at Stripe: " + e.name())
	}
	if codes := query["code"]; len(codes) == 1 && codes[0] != "" {
		return codes[0], nil
	}
	return "", stale()
}

func ineligible() error {
	return &gateway.Refusal{Reason: gateway.AccountIneligible, Message: "Another platform controls this Stripe account, so it cannot be connected here. " +
		"Begin again with another account, or create one on Stripe's page."}
}

func stale() error {
	return &gateway.Refusal{Reason: gateway.ConsentCodeInvalid, Message: "Stripe does not accept this consent: it is good for five minutes, and once. Begin again."}
}

// exchange turns a code into an account, in one request: a code that comes twice takes the connection away again, and so
// what was not answered is not repeated either. https://docs.stripe.com/connect/oauth-reference#post-token
func (g *Gateway) exchange(ctx context.Context, conn gateway.Connection, code string) (*token, error) {
	conn = asPlatform(conn)
	key, err := g.secret(conn)
	if err != nil {
		return nil, err
	}
	reply, err := g.send(conn, g.connectURL(), http.MethodPost, "/oauth/token", &stripego.OAuthTokenParams{
		Params: as(ctx, conn, ""), GrantType: stripego.String("authorization_code"), Code: &code, ClientSecret: &key,
	})
	if err != nil {
		return nil, fmt.Errorf("a consent has to be begun again: %w", err)
	}
	if reply.Status == http.StatusOK {
		return tokenOf(reply)
	}
	e := oauthErrorOf(reply)
	switch {
	case e == nil || reply.Status >= http.StatusInternalServerError || reply.Status == http.StatusTooManyRequests:
		return nil, fmt.Errorf("a consent has to be begun again: /oauth/token: status %d", reply.Status)
	case e.ofAnotherPlatform():
		return nil, ineligible()
	case e.Code == "invalid_grant" && e.ofTheOtherMode():
		return nil, otherMode(conn)
	case e.Code == "invalid_grant":
		return nil, stale()
	}
	return nil, configError("Stripe does not take the platform for what it says it is: " + e.name())
}

// token is https://docs.stripe.com/connect/oauth-reference#post-token-response. It holds tokens too, which open no more
// than the platform's key does and are not read.
type token struct {
	Account        string `json:"stripe_user_id"`
	Live           *bool  `json:"livemode"`
	Scope          string `json:"scope"`
	PublishableKey string `json:"stripe_publishable_key"`
}

func tokenOf(reply gateway.Reply) (*token, error) {
	var t token
	if err := json.Unmarshal(reply.Body, &t); err != nil || !strings.HasPrefix(t.Account, accountPrefix) || t.Live == nil {
		return nil, errors.New("a consent has to be begun again: /oauth/token: the answer names no account")
	}
	return &t, nil
}

// check refuses a consent that is not what the connection needs. Whether it is to the right account is not asked here: who
// asks knows both by name.
func (t *token) check(conn gateway.Connection) error {
	switch {
	case *t.Live != conn.Live:
		return otherMode(conn)
	case t.Scope == string(stripego.OAuthScopeTypeReadOnly):
		return &gateway.Refusal{Reason: gateway.ConsentDenied, Message: "The consent given on Stripe's page is for looking only, and payments need more. " +
			"Begin again and agree to what is asked for there."}
	}
	return nil
}

// publishableKey is the account's, if there is one of the right mode: it goes into buyers' browsers.
func (t *token) publishableKey() string {
	prefix := "pk_test_"
	if *t.Live {
		prefix = "pk_live_"
	}
	if !strings.HasPrefix(t.PublishableKey, prefix) {
		return ""
	}
	return t.PublishableKey
}

// Withdraw implements gateway.Consenter. For an account that is not connected, or has a key of its own, there is nothing to
// give back. https://docs.stripe.com/connect/oauth-reference#post-deauthorize
func (g *Gateway) Withdraw(ctx context.Context, conn gateway.Connection) error {
	if conn.Account == "" || conn.Secret != "" {
		return nil
	}
	client, err := g.clientID(conn)
	if err != nil {
		return err
	}
	platform := asPlatform(conn)
	reply, err := g.send(platform, g.connectURL(), http.MethodPost, "/oauth/deauthorize", &stripego.DeauthorizeParams{
		Params: as(ctx, platform, ""), ClientID: &client, StripeUserID: &conn.Account,
	})
	if err != nil {
		return fmt.Errorf("withdraw from %s: %w", conn.Account, err)
	}
	var done token
	if err := json.Unmarshal(reply.Body, &done); err == nil && reply.Status == http.StatusOK && done.Account == conn.Account {
		return nil
	}
	e := oauthErrorOf(reply)
	if e == nil || e.Code != "invalid_client" {
		return fmt.Errorf("withdraw from %s: status %d", conn.Account, reply.Status)
	}
	// It says so of an account that is not connected any more, and of a platform that is not what it says it is.
	granted, err := g.granted(ctx, conn)
	if err == nil && granted {
		err = configError("Stripe does not take the platform for what it says it is: " + e.name())
	}
	if err != nil {
		return fmt.Errorf("withdraw from %s: %w", conn.Account, err)
	}
	return nil
}

// oauthError is an error of /oauth/…, which look different from those of /v1/….
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// oauthErrorOf is the error that an answer tells; nil if it tells none.
func oauthErrorOf(reply gateway.Reply) *oauthError {
	var e oauthError
	if err := json.Unmarshal(reply.Body, &e); err != nil || e.Code == "" {
		return nil
	}
	return &e
}

// name is what may be said of an error aloud. Descriptions may repeat the code or the key that they are about, and what is
// not published may be anything.
func (e *oauthError) name() string {
	published := []string{
		"invalid_client", "invalid_grant", "invalid_redirect_uri", "invalid_request", "invalid_scope", "unsupported_grant_type",
		"unsupported_response_type",
	}
	if slices.Contains(published, e.Code) {
		return e.Code
	}
	return "an error that is not published"
}

// ofTheOtherMode tells a code of the other mode from one that is used up. Only the description does: "Passed in livemode
// API key but authorization code only supports returning test keys" (https://github.com/stripe/stripe-dotnet/issues/696).
// If it is worded anew, the merchant gets a sentence that helps less.
func (e *oauthError) ofTheOtherMode() bool {
	d := strings.ToLower(e.Description)
	return strings.Contains(d, "livemode") || strings.Contains(d, "testmode")
}

// ofAnotherPlatform tells that an account is not free to be connected. Stripe's page offers its owner to make another one,
// so he seldom comes back with it, and no code is published; the words are those of
// https://docs.stripe.com/connect/oauth-changes-for-standard-platforms.
func (e *oauthError) ofAnotherPlatform() bool {
	return strings.Contains(strings.ToLower(e.Description), "another platform")
}
