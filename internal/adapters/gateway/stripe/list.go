package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// anything is what a look-up compares; the whole is read once it is found.
type anything struct {
	ID       string            `json:"id"`
	Metadata map[string]string `json:"metadata"`
}

// list is one page. https://docs.stripe.com/api/pagination
type list[T any] struct {
	Object  string `json:"object"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
}

// listed are the ids of the objects at path that carry the key: those created soon after it was asked for, or, if there
// are none, any later ones.
func (g *Gateway) listed(ctx context.Context, conn gateway.Connection, path, key string, sent time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages, found := 0, false
		for _, span := range spansOf(sent) {
			after := ""
			for more := true; more; {
				if pages++; pages > maxPages {
					yield("", fmt.Errorf("more than %d objects at %s to look through", maxPages*pageSize, path))
					return
				}
				l, err := g.window(ctx, conn, path, span, after)
				if err != nil {
					yield("", err)
					return
				}
				for _, o := range l.Data {
					after = o.ID
					if o.Metadata[metaKey] != key {
						continue
					}
					found = true
					if !yield(o.ID, nil) {
						return
					}
				}
				more = l.HasMore && len(l.Data) > 0
			}
			if found {
				return
			}
		}
	}
}

// spansOf are the spans of time that are looked through, one after the other.
func spansOf(sent time.Time) []stripego.RangeQueryParams {
	from, until := sent.Add(-skew).Unix(), sent.Add(soon).Unix()
	return []stripego.RangeQueryParams{{GreaterThanOrEqual: from, LesserThan: until}, {GreaterThanOrEqual: until}}
}

// window is one page of what was created in a span of time.
func (g *Gateway) window(ctx context.Context, conn gateway.Connection, path string, span stripego.RangeQueryParams, after string) (list[anything], error) {
	l := listAs(ctx, conn)
	l.Limit, l.StartingAfter = stripego.Int64(pageSize), optional(after)
	// The four lists take the same parameters.
	return page[anything](g, conn, path, &stripego.PaymentIntentListParams{ListParams: l, CreatedRange: &span})
}

func page[T any](g *Gateway, conn gateway.Connection, path string, params stripego.ParamsContainer) (list[T], error) {
	var l list[T]
	reply, err := g.call(conn, http.MethodGet, path, params)
	if err != nil {
		return l, err
	}
	if reply.Status != http.StatusOK {
		return l, fmt.Errorf("%s: status %d", path, reply.Status)
	}
	if err := json.Unmarshal(reply.Body, &l); err != nil {
		return l, fmt.Errorf("%s: %w", path, err)
	}
	if l.Object != "list" || l.Data == nil {
		return l, errors.New(path + ": the answer holds no list")
	}
	return l, nil
}

func listAs(ctx context.Context, conn gateway.Connection) stripego.ListParams {
	return stripego.ListParams{Context: ctx, StripeAccount: account(conn)}
}

// errMissing says that Stripe does not know an object.
var errMissing = errors.New("not known to Stripe")

// get reads one object.
func (g *Gateway) get(ctx context.Context, conn gateway.Connection, path string, expand []*string) ([]byte, error) {
	// What is read of one object takes the same parameters everywhere.
	reply, err := g.call(conn, http.MethodGet, path, &stripego.PaymentIntentRetrieveParams{Params: as(ctx, conn, ""), Expand: expand})
	if err != nil {
		return nil, err
	}
	if reply.Status == http.StatusNotFound {
		if e := errorOf(reply); e != nil && e.Code == resourceMissing {
			return nil, fmt.Errorf("%s: %w", path, errMissing)
		}
	}
	if reply.Status != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", path, reply.Status)
	}
	return reply.Body, nil
}
