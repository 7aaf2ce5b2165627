package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// horizon is how long after sending a charge can still turn up: more than the five minutes that timeout_later takes.
const horizon = 10 * time.Minute

// Config says how the adapter calls. The zero value is a good one.
type Config struct {
	// URL is called for connections that name none.
	URL string
	// HTTPClient is gateway.NewHTTPClient's if nil.
	HTTPClient *http.Client
	// Timeout is for a whole call, the answer included; 20 s if zero.
	Timeout time.Duration
	// NoKeys treats the sandbox as a gateway without real idempotency: no Idempotency-Key is sent, Traits promise
	// none, and a charge that may have been sent has to be looked up before it is repeated.
	NoKeys bool
}

// Gateway calls a sandbox.
type Gateway struct{ c Config }

var (
	_ gateway.Gateway   = (*Gateway)(nil)
	_ gateway.Notifier  = (*Gateway)(nil)
	_ gateway.Connector = (*Gateway)(nil)
	_ gateway.Abandoner = (*Gateway)(nil)
	_ gateway.Lister    = (*Gateway)(nil)
)

// New returns the adapter.
func New(c Config) *Gateway {
	if c.HTTPClient == nil {
		c.HTTPClient = gateway.NewHTTPClient()
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	return &Gateway{c}
}

// Traits implements gateway.Gateway.
func (g *Gateway) Traits() gateway.Traits {
	if g.c.NoKeys {
		return gateway.Traits{Horizon: horizon}
	}
	return gateway.Traits{KeyLifetime: keyLifetime, Horizon: horizon}
}

// Account is the name under which a connection is known to the sandbox.
func Account(conn gateway.Connection) string { return conn.Merchant + "." + conn.ID }

// Connect implements gateway.Connector.
func (g *Gateway) Connect(ctx context.Context, conn gateway.Connection) error {
	reply, err := g.call(ctx, conn, http.MethodPut, "", "", accountBody{
		WebhookSecret: conn.WebhookSecret, Processor: conn.Processor, NotifyURL: conn.NotifyURL,
	})
	if err != nil {
		return fmt.Errorf("connect %s: %w", Account(conn), err)
	}
	if reply.Status != http.StatusOK {
		return fmt.Errorf("connect %s: status %d", Account(conn), reply.Status)
	}
	return nil
}

// Charge implements gateway.Gateway.
func (g *Gateway) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	reply, err := g.call(ctx, conn, http.MethodPost, "/charges", c.Key, chargeRequest{
		Key: c.Key, Amount: wireMoney(c.Amount), Token: c.Token, Method: c.Method.GetReference(),
		NotifyURL: conn.NotifyURL, ReturnURL: c.ReturnURL, CancelURL: c.CancelURL,
		Metadata: metadata{Merchant: c.Merchant, Subscription: c.Subscription, PayNumber: c.PayNumber, Attempt: c.Attempt},
	})
	if err != nil {
		return gateway.Failed(err)
	}
	if reply.Status == http.StatusOK {
		var a charge
		if err := json.Unmarshal(reply.Body, &a); err != nil {
			return unknown("unreadable answer: %v", err)
		}
		if a.Key != c.Key || a.Account != Account(conn) {
			return unknown("the answer is not about this charge")
		}
		return a.result()
	}
	return g.refused(ctx, conn, reply, c.Key, g.lookupCharge)
}

// Refund implements gateway.Gateway.
func (g *Gateway) Refund(ctx context.Context, conn gateway.Connection, r gateway.Refund) gateway.Result {
	reply, err := g.call(ctx, conn, http.MethodPost, "/refunds", r.Key, refundRequest{
		Key: r.Key, Charge: r.ChargeReference, Amount: wireMoney(r.Amount),
	})
	if err != nil {
		return gateway.Failed(err)
	}
	if reply.Status == http.StatusOK {
		var a refund
		if err := json.Unmarshal(reply.Body, &a); err != nil {
			return unknown("unreadable answer: %v", err)
		}
		if a.Key != r.Key || a.Account != Account(conn) || a.Charge != r.ChargeReference {
			return unknown("the answer is not about this refund")
		}
		return a.result()
	}
	return g.refused(ctx, conn, reply, r.Key, g.lookupRefund)
}

// refused judges an answer that is no charge or refund.
func (g *Gateway) refused(ctx context.Context, conn gateway.Connection, reply gateway.Reply, key string, look lookFunc) gateway.Result {
	if r, ok := gateway.Refused(reply, time.Now()); ok {
		return r
	}
	var body errorBody
	if err := json.Unmarshal(reply.Body, &body); err != nil || body.Error.Code == "" {
		return unknown("status %d with an unreadable answer", reply.Status)
	}
	e := body.Error
	switch reply.Status {
	case http.StatusBadRequest, http.StatusNotFound:
		switch e.Code {
		case codeInvalid, codeUnknownToken, codeUnknownMethod, codeNoSuchCharge: // others are not the sandbox's
			return gateway.Result{
				Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, Code: e.Code, Message: e.Message,
			}
		}
	case http.StatusConflict:
		if e.Code == codeDuplicate {
			return g.original(ctx, conn, key, e.Original, look)
		}
	}
	return unknown("status %d, %s: %s", reply.Status, e.Code, e.Message)
}

// original is the outcome of what a "duplicate" answer says was there before.
func (g *Gateway) original(ctx context.Context, conn gateway.Connection, key, id string, look lookFunc) gateway.Result {
	r, found, err := look(ctx, conn, key)
	switch {
	case err != nil:
		return unknown("duplicate of %s, which was not found out about: %v", id, err)
	case !found:
		return unknown("duplicate of %s, which cannot be found", id)
	}
	return r
}

type lookFunc func(context.Context, gateway.Connection, string) (gateway.Result, bool, error)

// Lookup implements gateway.Gateway. The sandbox forgets nothing, so `sent` does not narrow the search.
func (g *Gateway) Lookup(ctx context.Context, conn gateway.Connection, key string, _ time.Time) (gateway.Result, bool, error) {
	r, found, err := g.lookupCharge(ctx, conn, key)
	if err == nil && !found {
		r, found, err = g.lookupRefund(ctx, conn, key)
	}
	if err != nil {
		return gateway.Result{}, false, fmt.Errorf("look up %s: %w", key, err)
	}
	return r, found, nil
}

func (g *Gateway) lookupCharge(ctx context.Context, conn gateway.Connection, key string) (gateway.Result, bool, error) {
	var list struct {
		Charges *[]charge `json:"charges"`
	}
	if err := g.list(ctx, conn, "/charges", key, &list); err != nil {
		return gateway.Result{}, false, err
	}
	if list.Charges == nil {
		return gateway.Result{}, false, errors.New("the answer holds no list")
	}
	var found []gateway.Result
	for _, c := range *list.Charges {
		if c.Key != key || c.Account != Account(conn) {
			return gateway.Result{}, false, errors.New("the answer is about another key")
		}
		found = append(found, c.result())
	}
	r, ok := strongest(found)
	return r, ok, nil
}

func (g *Gateway) lookupRefund(ctx context.Context, conn gateway.Connection, key string) (gateway.Result, bool, error) {
	var list struct {
		Refunds *[]refund `json:"refunds"`
	}
	if err := g.list(ctx, conn, "/refunds", key, &list); err != nil {
		return gateway.Result{}, false, err
	}
	if list.Refunds == nil {
		return gateway.Result{}, false, errors.New("the answer holds no list")
	}
	var found []gateway.Result
	for _, r := range *list.Refunds {
		if r.Key != key || r.Account != Account(conn) {
			return gateway.Result{}, false, errors.New("the answer is about another key")
		}
		found = append(found, r.result())
	}
	r, ok := strongest(found)
	return r, ok, nil
}

// strongest picks what counts if one key was carried out more than once: money that moved, else what may yet move.
func strongest(list []gateway.Result) (gateway.Result, bool) {
	for _, class := range []gateway.Class{gateway.Accepted, gateway.Unknown, gateway.Pending, gateway.Rejected} {
		for _, r := range list {
			if r.Class == class {
				return r, true
			}
		}
	}
	return gateway.Result{}, false
}

func (g *Gateway) list(ctx context.Context, conn gateway.Connection, path, key string, into any) error {
	reply, err := g.call(ctx, conn, http.MethodGet, path+"?key="+url.QueryEscape(key), "", nil)
	if err != nil {
		return err
	}
	if reply.Status != http.StatusOK {
		return fmt.Errorf("status %d", reply.Status)
	}
	return json.Unmarshal(reply.Body, into)
}

// call sends one request about the connection's account. Its errors are *gateway.SendError.
func (g *Gateway) call(ctx context.Context, conn gateway.Connection, method, path, key string, body any) (gateway.Reply, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return gateway.Reply{}, &gateway.SendError{Err: err}
		}
		content = bytes.NewReader(raw)
	}
	target := strings.TrimSuffix(cmp.Or(conn.URL, g.c.URL), "/") + "/v1/accounts/" + url.PathEscape(Account(conn)) + path
	ctx = gateway.InNameOf(ctx, conn, 0) // it is ours, and takes all there is
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return gateway.Reply{}, &gateway.SendError{Err: gateway.ErrAddress}
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" && !g.c.NoKeys {
		req.Header.Set(keyHeader, key)
	}
	return gateway.Exchange(g.c.HTTPClient, req, g.c.Timeout)
}

func unknown(format string, args ...any) gateway.Result {
	return gateway.Result{Class: gateway.Unknown, Why: fmt.Sprintf(format, args...)}
}
