package stripe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Prove implements gateway.Prover, for a connection with a secret key of its own.
func (g *Gateway) Prove(ctx context.Context, conn gateway.Connection) (gateway.Account, error) {
	if err := checkKey(conn); err != nil {
		return gateway.Account{}, err
	}
	a, reply, err := g.account(ctx, conn, "/v1/account")
	var config configError
	switch {
	case errors.As(err, &config):
		return gateway.Account{}, &gateway.Refusal{Reason: gateway.CredentialsRefused, Message: "The connection's URL is not Stripe's, so the key was not sent there. " +
			"Leave the URL away."}
	case reply.Status == http.StatusUnauthorized:
		return gateway.Account{}, &gateway.Refusal{Reason: gateway.CredentialsRefused, Message: "Stripe does not know this key. " +
			"Copy it again from the developers' page of your Stripe Dashboard; a key that has expired or was deleted there is of no use."}
	case reply.Status == http.StatusForbidden: // a restricted key
		return gateway.Account{}, &gateway.Refusal{Reason: gateway.CredentialsRefused, Message: "Stripe does not let this key read its own account. " +
			"Give it that permission on the developers' page of your Stripe Dashboard, or use the account's secret key."}
	case err != nil:
		return gateway.Account{}, fmt.Errorf("prove a key: %w", err)
	case conn.Account != "" && conn.Account != a.ID:
		return gateway.Account{}, otherAccount(conn)
	}
	return gateway.Account{ID: a.ID, Name: a.name(), Live: conn.Live}, nil
}

// checkKey refuses, before it is sent, what is no secret key or is one of the other mode.
// https://docs.stripe.com/keys
func checkKey(conn gateway.Connection) error {
	kind, rest, _ := strings.Cut(conn.Secret, "_")
	mode, secret, _ := strings.Cut(rest, "_")
	if kind != "sk" && kind != "rk" || mode != "live" && mode != "test" || secret == "" {
		return &gateway.Refusal{Reason: gateway.CredentialsRefused, Message: "This is not a secret key of Stripe's. " +
			"Copy the secret key, or a restricted one, from the developers' page of your Stripe Dashboard."}
	}
	if live := mode == "live"; live != conn.Live {
		return otherMode(conn)
	}
	return nil
}

// otherMode refuses what is of the mode that the connection is not.
func otherMode(conn gateway.Connection) error {
	message := "This is real access to your Stripe account, and the connection is for tests. Use the account's test mode, or make a live connection."
	if conn.Live {
		message = "This is access to your Stripe account's test mode, and the connection is for real payments. Use live mode, or make a test connection."
	}
	return &gateway.Refusal{Reason: gateway.ModeMismatch, Message: message}
}

func otherAccount(conn gateway.Connection) error {
	return &gateway.Refusal{Reason: gateway.AccountMismatch, Message: "This is another Stripe account than the connection's, which is " + conn.Account +
		". Use that one, or make a new connection."}
}

// accountObject is https://docs.stripe.com/api/accounts/object.
type accountObject struct {
	ID              string `json:"id"`
	Object          string `json:"object"`
	Email           string `json:"email"`
	BusinessProfile struct {
		Name string `json:"name"`
	} `json:"business_profile"`
	Settings struct {
		Dashboard struct {
			DisplayName string `json:"display_name"`
		} `json:"dashboard"`
	} `json:"settings"`
}

func (a *accountObject) name() string {
	return cmp.Or(a.Settings.Dashboard.DisplayName, a.BusinessProfile.Name, a.Email)
}

// account reads an account. If there is an error, the reply may say more.
func (g *Gateway) account(ctx context.Context, conn gateway.Connection, path string) (*accountObject, gateway.Reply, error) {
	reply, err := g.call(conn, http.MethodGet, path, &stripego.AccountParams{Params: as(ctx, conn, "")})
	if err != nil {
		return nil, reply, err
	}
	if reply.Status != http.StatusOK {
		return nil, reply, fmt.Errorf("%s: status %d", path, reply.Status)
	}
	var a accountObject
	if err := json.Unmarshal(reply.Body, &a); err != nil || a.Object != "account" || !strings.HasPrefix(a.ID, accountPrefix) {
		return nil, reply, errors.New(path + ": the answer is no account")
	}
	return &a, reply, nil
}

// accountPrefix begins every account's id.
const accountPrefix = "acct_"

// connected reads a connected account as the platform that it is connected to.
func (g *Gateway) connected(ctx context.Context, conn gateway.Connection, id string) (*accountObject, gateway.Reply, error) {
	return g.account(ctx, asPlatform(conn), "/v1/accounts/"+url.PathEscape(id))
}

// granted reports whether the platform has access to the connection's account.
func (g *Gateway) granted(ctx context.Context, conn gateway.Connection) (bool, error) {
	_, reply, err := g.connected(ctx, conn, conn.Account)
	if err == nil {
		return true, nil
	}
	if e := errorOf(reply); reply.Status == http.StatusForbidden && e != nil && e.Code == accountInvalid {
		return false, nil
	}
	return false, err
}

// asPlatform is the connection for requests that the platform makes in its own name.
func asPlatform(conn gateway.Connection) gateway.Connection {
	conn.Account, conn.Secret = "", ""
	return conn
}
