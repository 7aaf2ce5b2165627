package stripe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/form"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// domain is what all of Stripe's addresses end in.
const domain = "stripe.com"

// call sends one request in the name of the connection's account. Its errors are *gateway.SendError.
func (g *Gateway) call(conn gateway.Connection, method, path string, params stripego.ParamsContainer) (gateway.Reply, error) {
	if conn.URL != "" && conn.URL != g.c.URL {
		if err := gateway.CheckAddress(conn.URL, domain, conn.Live); err != nil {
			return gateway.Reply{}, &gateway.SendError{Err: configError(err.Error())}
		}
	}
	return g.send(conn, cmp.Or(conn.URL, g.c.URL, stripego.APIURL), method, path, params)
}

// send is a call to a given address, which has to be Stripe's.
func (g *Gateway) send(conn gateway.Connection, base, method, path string, params stripego.ParamsContainer) (gateway.Reply, error) {
	key, err := g.secret(conn)
	if err != nil {
		return gateway.Reply{}, &gateway.SendError{Err: err}
	}
	w := &wire{client: g.c.HTTPClient, timeout: g.c.Timeout, as: func(ctx context.Context) context.Context {
		return gateway.InNameOf(ctx, conn, g.perSecond(conn))
	}}
	backend := stripego.GetBackendWithConfig(stripego.APIBackend, &stripego.BackendConfig{
		URL: stripego.String(base),
		HTTPClient: &http.Client{
			Transport:     w,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		LeveledLogger:     &stripego.LeveledLogger{Level: stripego.LevelNull},
		MaxNetworkRetries: stripego.Int64(0),
		EnableTelemetry:   stripego.Bool(false),
	})
	values := &form.Values{}
	form.AppendTo(values, params)
	// The library judges the answer too, with types that lack what a decline says. What it thinks of it is not asked.
	_ = backend.CallRaw(method, path, key, []byte(values.Encode()), params.GetParams(), &stripego.APIResource{})
	switch {
	case w.err != nil:
		return gateway.Reply{}, w.err
	case w.reply == nil:
		return gateway.Reply{}, &gateway.SendError{Err: gateway.ErrAddress}
	}
	return *w.reply, nil
}

// as is what every request carries.
func as(ctx context.Context, conn gateway.Connection, key string) stripego.Params {
	p := stripego.Params{Context: ctx, StripeAccount: account(conn)}
	if key != "" {
		p.IdempotencyKey = &key
	}
	return p
}

// account is the connected account that a request is about; nil if the secret says it already.
// https://docs.stripe.com/connect/authentication
func account(conn gateway.Connection) *string {
	if conn.Account == "" || conn.Secret != "" {
		return nil
	}
	return &conn.Account
}

// configError is a connection that nothing can be sent for until somebody changes it.
type configError string

func (e configError) Error() string { return string(e) }

// secret is the key that proves who we are. One of the other mode is not sent: with it, nothing that the ledger stored
// would be found, as if every buyer had taken his method away.
func (g *Gateway) secret(conn gateway.Connection) (string, error) {
	platform, other := g.c.TestKey, "_live_"
	if conn.Live {
		platform, other = g.c.LiveKey, "_test_"
	}
	key := cmp.Or(conn.Secret, platform)
	switch {
	case key == "":
		return "", configError("the connection has no secret key of its mode")
	case strings.Contains(key, other):
		return "", configError("the connection's secret key is of the other mode")
	}
	return key, nil
}

// perSecond is how many requests of an account go out in a second.
func (g *Gateway) perSecond(conn gateway.Connection) int {
	switch {
	case g.c.PerSecond > 0:
		return g.c.PerSecond
	case conn.Live:
		return livePerSecond
	}
	return testPerSecond
}

// wire is the transport given to Stripe's library: one exchange, whose outcome it keeps.
type wire struct {
	client  *http.Client
	timeout time.Duration
	as      func(context.Context) context.Context // whom the request is counted for
	reply   *gateway.Reply
	err     error
}

// RoundTrip implements http.RoundTripper. It takes out the header that tells of this machine.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(w.as(req.Context()))
	req.Header.Del("X-Stripe-Client-User-Agent")
	reply, err := gateway.Exchange(w.client, req, w.timeout)
	if err != nil {
		w.err = err
		return nil, err
	}
	w.reply = &reply
	return &http.Response{
		StatusCode: reply.Status, Status: http.StatusText(reply.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: reply.Header, Body: io.NopCloser(bytes.NewReader(reply.Body)), ContentLength: int64(len(reply.Body)), Request: req,
	}, nil
}

// failed is the Result of a request without an answer.
func failed(err error) gateway.Result {
	res := gateway.Failed(err)
	var config configError
	res.Config = errors.As(err, &config)
	return res
}

// Types of an error. https://docs.stripe.com/api/errors#errors-type
const (
	cardError      = "card_error"
	invalidRequest = "invalid_request_error"
)

// accountInvalid: the merchant has taken our access away, or there is no such account.
const accountInvalid = "account_invalid"

// configCodes say that Stripe refuses the connection, not the payment. https://docs.stripe.com/error-codes
var configCodes = map[string]bool{
	accountInvalid:                    true,
	"api_key_expired":                 true,
	"livemode_mismatch":               true,
	"not_allowed_on_standard_account": true,
	"platform_account_required":       true,
	"platform_api_key_expired":        true,
	"secret_key_required":             true,
	"testmode_charges_only":           true, // the account is not activated
}

// refused judges an answer that is not 200.
func refused(reply gateway.Reply) gateway.Result {
	if r, ok := gateway.Refused(reply, time.Now()); ok {
		return r
	}
	e := errorOf(reply)
	if e == nil {
		return unknown("status %d with an unreadable answer", reply.Status)
	}
	whole := e.Type == cardError || e.Type == invalidRequest
	switch {
	case whole && (reply.Status == http.StatusForbidden || configCodes[e.Code]):
		return gateway.Result{Class: gateway.NotSent, Config: true, Why: "Stripe refuses the connection: " + cmp.Or(e.Code, e.Type) + ": " + e.Message}
	case whole && reply.Status == http.StatusNotFound && e.Code != resourceMissing:
		return unknown("status 404, %s: %s", e.Code, e.Message) // an address that is not Stripe's
	case whole && (reply.Status == http.StatusBadRequest || reply.Status == http.StatusPaymentRequired || reply.Status == http.StatusNotFound):
		return e.result("")
	}
	return unknown("status %d, %s %s: %s", reply.Status, e.Type, e.Code, e.Message)
}

// errorOf is the error that an answer tells; nil if it tells none.
func errorOf(reply gateway.Reply) *apiError {
	var body struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(reply.Body, &body); err != nil || body.Error == nil || body.Error.Type == "" {
		return nil
	}
	return body.Error
}

func unknown(format string, args ...any) gateway.Result {
	return gateway.Result{Class: gateway.Unknown, Why: fmt.Sprintf(format, args...)}
}
