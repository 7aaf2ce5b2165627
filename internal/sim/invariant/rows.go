package invariant

import (
	"context"
	"fmt"
	"strings"

	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// each calls f with every row of an answer.
func each(ctx context.Context, r projection.Reader, query string, f func(scan func(...any) error) error) error {
	rows, err := r.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return rows.Err()
}

// checkOrders compares the orders view with what the events say, both ways.
func checkOrders(ctx context.Context, r *Report, h *history, views projection.Reader) error {
	seen := 0
	err := each(ctx, views, `SELECT order_id, type, coalesce(full_amount, 0), cash_effect, connection_id FROM order_rows`, func(scan func(...any) error) error {
		var id int64
		var got order
		if err := scan(&id, &got.kind, &got.full, &got.effect, &got.connection); err != nil {
			return err
		}
		seen++
		if want, ok := h.orders[id]; !ok {
			r.violation("the orders view has order %d, which no event made", id)
		} else if got != want {
			r.violation("order %d is %+v in the view and %+v in the events", id, got, want)
		}
		return nil
	})
	if seen < len(h.orders) {
		r.violation("the orders view has %d orders of %d", seen, len(h.orders))
	}
	return err
}

// checkPayNumbers compares the paid rows of the pay-number view with what the events say.
func checkPayNumbers(ctx context.Context, r *Report, h *history, views projection.Reader) error {
	paid := map[string]uint32{}
	err := each(ctx, views, `SELECT merchant_id, subscription_id, pay_number, order_id FROM pay_number_versions WHERE known_to IS NULL AND state = 'paid'`, func(scan func(...any) error) error {
		var merchant, id string
		var number uint32
		var orderID int64
		if err := scan(&merchant, &id, &number, &orderID); err != nil {
			return err
		}
		name := subscription.Stream(merchant, id)
		paid[name]++
		c, ok := h.subscriptions[name].FindCharge(orderID)
		if !ok || c.Number != number {
			r.violation("%s: the view says that order %d paid number %d", name, orderID, number)
		}
		return nil
	})
	for name, s := range h.subscriptions {
		if sold := s.Paid - h.imported[name]; paid[name] != sold {
			r.violation("%s: the view has %d paid numbers of %d", name, paid[name], sold)
		}
	}
	return err
}

// checkDeliveries checks that every endpoint was, or visibly will be, told of everything it has to hear of, once.
func checkDeliveries(ctx context.Context, r *Report, h *history, work projection.Reader) error {
	states := map[string]string{}
	err := each(ctx, work, `SELECT delivery_id, state FROM delivery_rows`, func(scan func(...any) error) error {
		var id, state string
		if err := scan(&id, &state); err != nil {
			return err
		}
		states[id] = state
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range h.told {
		r.Notifications++
		state, ok := states[t.delivery]
		delete(states, t.delivery)
		concluded, ended := h.concluded[t.delivery]
		switch {
		case !ok:
			r.violation("event %s was never queued as notification %s", t.event, t.delivery)
		case ended && state != concluded:
			r.violation("notification %s is %s, but was concluded as %s", t.delivery, state, concluded)
		case !ended && !strings.HasSuffix(state, "ing"): // pending, sending
			r.violation("notification %s is %s without an event that says so", t.delivery, state)
		}
	}
	for id := range states {
		r.violation("notification %s is queued, and nothing asks for it", id)
	}
	return nil
}
