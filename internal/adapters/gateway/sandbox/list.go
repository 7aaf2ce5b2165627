package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// List implements gateway.Lister.
func (g *Gateway) List(ctx context.Context, conn gateway.Connection, from, to time.Time) iter.Seq2[gateway.Message, error] {
	return func(yield func(gateway.Message, error) bool) {
		for after, more := "", true; more; {
			page, err := g.events(ctx, conn, from, to, after)
			if err != nil {
				yield(gateway.Message{}, fmt.Errorf("events of %s: %w", Account(conn), err))
				return
			}
			for _, e := range *page.Events {
				if !yield(gateway.Message{ID: e.ID, Body: e.Body, At: e.At}, nil) {
					return
				}
			}
			after, more = page.Next, page.Next != ""
		}
	}
}

func (g *Gateway) events(ctx context.Context, conn gateway.Connection, from, to time.Time, after string) (page eventList, err error) {
	q := url.Values{"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}, "after": {after}}
	reply, err := g.call(ctx, conn, http.MethodGet, "/events?"+q.Encode(), "", nil)
	if err != nil {
		return page, err
	}
	if reply.Status != http.StatusOK {
		return page, fmt.Errorf("status %d", reply.Status)
	}
	if err := json.Unmarshal(reply.Body, &page); err != nil {
		return page, err
	}
	if page.Events == nil || page.Next != "" && (len(*page.Events) == 0 || page.Next == after) {
		return page, errors.New("the answer holds no page")
	}
	for _, e := range *page.Events {
		if e.ID == "" {
			return page, errors.New("an event has no id")
		}
	}
	return page, nil
}
