package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

const (
	// skew is how far Stripe's clock may be behind ours. What is not found was never executed, so it is more than a clock
	// goes wrong before somebody notices; all that it costs is to look through what the account did meanwhile.
	skew = time.Hour
	// soon is after what time most keys have gone out: what was created until then is read first.
	soon = 30 * time.Minute
	// maxPages bounds one look-up.
	maxPages = 100
	// pageSize is the most that Stripe lists at once. https://docs.stripe.com/api/pagination
	pageSize = 100
)

type lookFunc func(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (r gateway.Result, found bool, err error)

// Lookup implements gateway.Gateway. Intents come first, because most keys are theirs; setup intents last, because one
// that was tried on Stripe's page is decided only when the page is closed, which its session says.
func (g *Gateway) Lookup(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
	for _, look := range []lookFunc{
		g.lookupIntent("/v1/payment_intents"), g.lookupSession, g.lookupRefund, g.lookupIntent("/v1/setup_intents"),
	} {
		r, found, err := look(ctx, conn, key, sent)
		if err != nil {
			return gateway.Result{}, false, fmt.Errorf("look up %s: %w", key, err)
		}
		if found {
			return r, true, nil
		}
	}
	return gateway.Result{}, false, nil
}

func (g *Gateway) lookupIntent(path string) lookFunc {
	return func(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
		var results []gateway.Result
		for id, err := range g.listed(ctx, conn, path, key, sent) {
			if err != nil {
				return gateway.Result{}, false, err
			}
			r, err := g.found(ctx, conn, path, id)
			if err != nil {
				return gateway.Result{}, false, err
			}
			results = append(results, r)
		}
		r, ok := strongest(results)
		return r, ok, nil
	}
}

func (g *Gateway) lookupSession(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
	for id, err := range g.listed(ctx, conn, "/v1/checkout/sessions", key, sent) {
		if err != nil {
			return gateway.Result{}, false, err
		}
		body, err := g.get(ctx, conn, "/v1/checkout/sessions/"+url.PathEscape(id), nil)
		if err != nil {
			return gateway.Result{}, false, err
		}
		s, err := sessionOf(body)
		if err != nil {
			return gateway.Result{}, false, err
		}
		if s.Status != sessionComplete {
			return s.result(), true, nil
		}
		path, id := "/v1/payment_intents", s.PaymentIntent
		if id == "" {
			path, id = "/v1/setup_intents", s.SetupIntent
		}
		r, err := g.found(ctx, conn, path, id)
		return r, err == nil, err
	}
	return gateway.Result{}, false, nil
}

func (g *Gateway) lookupRefund(ctx context.Context, conn gateway.Connection, key string, sent time.Time) (gateway.Result, bool, error) {
	var results []gateway.Result
	for id, err := range g.listed(ctx, conn, "/v1/refunds", key, sent) {
		if err != nil {
			return gateway.Result{}, false, err
		}
		body, err := g.get(ctx, conn, "/v1/refunds/"+url.PathEscape(id), nil)
		if err != nil {
			return gateway.Result{}, false, err
		}
		var r refund
		if err := json.Unmarshal(body, &r); err != nil || r.Object != "refund" || r.ID != id {
			return gateway.Result{}, false, errors.New("the answer is no refund")
		}
		results = append(results, r.result())
	}
	r, ok := strongest(results)
	return r, ok, nil
}

// found is what became of an intent.
func (g *Gateway) found(ctx context.Context, conn gateway.Connection, path, id string) (gateway.Result, error) {
	i, err := g.intent(ctx, conn, path, id)
	if err != nil {
		return gateway.Result{}, err
	}
	if i.Status == statusRequiresPaymentMethod && i.lastError() != nil {
		switch {
		case i.Metadata[metaCheckout] != "":
			return g.triedAtCheckout(ctx, conn, i)
		case authenticationFailed[i.lastError().Code]:
			return g.cancel(ctx, conn, path, i)
		}
	}
	return i.result(), nil
}

func (g *Gateway) intent(ctx context.Context, conn gateway.Connection, path, id string) (*intent, error) {
	object := paymentIntent
	if path == "/v1/setup_intents" {
		object = setupIntent
	}
	body, err := g.get(ctx, conn, path+"/"+url.PathEscape(id), expandIntent(object))
	if err != nil {
		return nil, err
	}
	i, err := intentOf(body)
	if err != nil {
		return nil, err
	}
	if i.ID != id {
		return nil, errors.New("the answer is about another intent")
	}
	return i, nil
}

// triedAtCheckout is a decline on Stripe's page, where the buyer may try again until the session ends.
func (g *Gateway) triedAtCheckout(ctx context.Context, conn gateway.Connection, i *intent) (gateway.Result, error) {
	if i.Object != paymentIntent {
		return i.result(), nil // sessions are not listed by setup intents
	}
	p := &stripego.CheckoutSessionListParams{ListParams: listAs(ctx, conn), PaymentIntent: &i.ID}
	sessions, err := page[session](g, conn, "/v1/checkout/sessions", p)
	if err != nil {
		return gateway.Result{}, err
	}
	for _, s := range sessions.Data {
		if s.Status == sessionOpen {
			return s.result(), nil
		}
	}
	return i.result(), nil
}

// authenticationFailed are the errors after which the buyer still holds the means to pay.
var authenticationFailed = map[string]bool{
	"payment_intent_authentication_failure": true, "setup_intent_authentication_failure": true,
}

// cancel ends an intent whose buyer has failed to prove himself, so that it can be told as declined: nobody can confirm
// it any more. If it has moved on meanwhile, Stripe refuses, and the next look-up tells.
// https://docs.stripe.com/api/payment_intents/cancel
func (g *Gateway) cancel(ctx context.Context, conn gateway.Connection, path string, i *intent) (gateway.Result, error) {
	key := i.ID + "-cancel"
	var p stripego.ParamsContainer = &stripego.PaymentIntentCancelParams{Params: as(ctx, conn, key), CancellationReason: stripego.String("abandoned")}
	if i.Object == setupIntent {
		p = &stripego.SetupIntentCancelParams{Params: as(ctx, conn, key), CancellationReason: stripego.String("abandoned")}
	}
	reply, err := g.call(conn, http.MethodPost, path+"/"+url.PathEscape(i.ID)+"/cancel", p)
	if err != nil {
		return gateway.Result{}, err
	}
	if reply.Status != http.StatusOK {
		return gateway.Result{}, fmt.Errorf("cancel %s: status %d", i.ID, reply.Status)
	}
	ended, err := intentOf(reply.Body)
	if err != nil || ended.ID != i.ID || ended.Status != statusCanceled {
		return gateway.Result{}, fmt.Errorf("cancel %s: it was not canceled", i.ID)
	}
	return i.result(), nil
}

// strongest picks what counts if one key was carried out more than once: money that moved, else what may yet move.
func strongest(list []gateway.Result) (gateway.Result, bool) {
	for _, class := range []gateway.Class{gateway.Accepted, gateway.Unknown, gateway.Pending, gateway.Rejected} {
		if i := slices.IndexFunc(list, func(r gateway.Result) bool { return r.Class == class }); i >= 0 {
			return list[i], true
		}
	}
	return gateway.Result{}, false
}
