package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	stripego "github.com/stripe/stripe-go/v85"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// eventPages is how many pages of events are kept in memory at once. They come the newest first, and are told the other
// way round; of a span of time that has more, the halves are asked for.
const eventPages = 20

// listedTypes are the events that are asked for, at most twenty: https://docs.stripe.com/api/events/list#list_events-types.
// Who has taken our access away cannot be asked whether he has.
func listedTypes() []*string {
	return stripego.StringSlice(slices.DeleteFunc(EventTypes(), func(kind string) bool { return kind == deauthorized }))
}

// List implements gateway.Lister. Stripe keeps events for 30 days: https://docs.stripe.com/api/events/list. Their times are
// whole seconds, so that those of the seconds in which `from` and `to` lie are told, too.
func (g *Gateway) List(ctx context.Context, conn gateway.Connection, from, to time.Time) iter.Seq2[gateway.Message, error] {
	return func(yield func(gateway.Message, error) bool) {
		g.listSpan(ctx, conn, from.Unix(), to.Add(time.Second-time.Nanosecond).Unix(), yield)
	}
}

// listSpan tells what happened in from ≤ t < to, and reports whether there may be more.
func (g *Gateway) listSpan(ctx context.Context, conn gateway.Connection, from, to int64, yield func(gateway.Message, error) bool) bool {
	list, whole, err := g.events(ctx, conn, from, to)
	if err == nil && !whole {
		half := from + (to-from)/2
		return g.listSpan(ctx, conn, from, half, yield) && g.listSpan(ctx, conn, half, to, yield)
	}
	if err != nil {
		yield(gateway.Message{}, fmt.Errorf("events: %w", err))
		return false
	}
	for _, m := range slices.Backward(list) {
		if !yield(m, nil) {
			return false
		}
	}
	return true
}

// events reads the events of a span, the newest first; whole is false if they are too many to be kept and the span can be
// halved.
func (g *Gateway) events(ctx context.Context, conn gateway.Connection, from, to int64) (all []gateway.Message, whole bool, err error) {
	after := ""
	for pages := 1; ; pages++ {
		l := listAs(ctx, conn)
		l.Limit, l.StartingAfter = stripego.Int64(pageSize), optional(after)
		p, err := page[json.RawMessage](g, conn, "/v1/events", &stripego.EventListParams{
			ListParams: l, Types: listedTypes(),
			CreatedRange: &stripego.RangeQueryParams{GreaterThanOrEqual: from, LesserThan: to},
		})
		if err != nil {
			return nil, false, err
		}
		for _, raw := range p.Data {
			m, err := fetched(conn, raw)
			if err != nil {
				return nil, false, err
			}
			all, after = append(all, m), m.ID
		}
		if !p.HasMore || len(p.Data) == 0 {
			return all, true, nil
		}
		switch {
		case pages >= eventPages && to-from > 1:
			return nil, false, nil
		case pages >= maxPages:
			return nil, false, fmt.Errorf("more than %d in one second", maxPages*pageSize)
		}
	}
}

// errNoEvent is an entry of the list that is none.
var errNoEvent = errors.New("the list holds something that is no event of this account")

// fetched is an event as its webhook would have brought it: that one names the connected account
// (https://docs.stripe.com/connect/webhooks), while one that is asked for in the account's name need not.
func fetched(conn gateway.Connection, raw json.RawMessage) (gateway.Message, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil || e.ID == "" || e.Object != "event" {
		return gateway.Message{}, errNoEvent
	}
	m := gateway.Message{ID: e.ID, Body: raw, At: at(e.Created)}
	want := account(conn)
	if want == nil || e.Account == *want {
		return m, nil
	}
	var whole map[string]json.RawMessage
	name, err := json.Marshal(*want)
	if err = errors.Join(err, json.Unmarshal(raw, &whole)); err != nil || e.Account != "" {
		return gateway.Message{}, errNoEvent
	}
	whole["account"] = name
	m.Body, err = json.Marshal(whole)
	return m, err
}
