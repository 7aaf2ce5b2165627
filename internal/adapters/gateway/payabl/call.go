package payabl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// diagnoses is the action that moves nothing.
const diagnoses = "tx_diagnose"

// errNoCredentials is a connection that nothing can be signed for.
var errNoCredentials = errors.New("the connection names no account, or no secret")

// post sends one request. Its error is a *fieldError, errNoCredentials or checkAddress's, when nothing was sent, or
// Exchange's. No header may say that the request can be repeated: the transport would take it at its word.
func (g *Gateway) post(ctx context.Context, conn gateway.Connection, action string, p params) (gateway.Reply, error) {
	if conn.Account == "" || conn.Secret == "" {
		return gateway.Reply{}, errNoCredentials
	}
	if err := checkAddress(conn); err != nil {
		return gateway.Reply{}, err
	}
	p["merchantid"] = conn.Account
	body, err := p.seal(conn.Secret)
	if err != nil {
		return gateway.Reply{}, err
	}
	ctx = gateway.InNameOf(ctx, conn, g.c.PerSecond)
	if action == diagnoses {
		ctx = gateway.Looking(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(backOffice(conn), "/")+"/"+action, strings.NewReader(body))
	if err != nil {
		return gateway.Reply{}, &gateway.SendError{Err: gateway.ErrAddress}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=ISO-8859-1")
	return gateway.Exchange(g.c.HTTPClient, req, g.c.Timeout)
}

// pay sends a request that is about money. If ok is false, r is what the call amounts to.
func (g *Gateway) pay(ctx context.Context, conn gateway.Connection, action string, p params) (a answer, r gateway.Result, ok bool) {
	reply, err := g.post(ctx, conn, action, p)
	if err != nil {
		return answer{}, failed(err), false
	}
	if r, refused := gateway.Refused(reply, g.c.Clock.Now()); refused {
		return answer{}, r, false
	}
	if reply.Status != http.StatusOK {
		return answer{}, unknown("status %d", reply.Status), false
	}
	a, err = parseAnswer(reply.Body)
	if err != nil {
		return answer{}, unknown("unreadable answer: %v", err), false
	}
	return a, gateway.Result{}, true
}

// failed is the Result of a request that post or diagnose returned err for.
func failed(err error) gateway.Result {
	var field *fieldError
	var refusal *refusalError
	switch {
	case errors.As(err, &refusal):
		return refusal.result
	case errors.As(err, &field):
		return field.result()
	case errors.Is(err, errNoCredentials), errors.Is(err, errOtherHost), errors.Is(err, errOtherMode):
		return gateway.Result{Class: gateway.NotSent, Config: true, Why: err.Error()}
	}
	return gateway.Failed(err)
}

func unknown(format string, args ...any) gateway.Result {
	return gateway.Result{Class: gateway.Unknown, Why: fmt.Sprintf(format, args...)}
}
