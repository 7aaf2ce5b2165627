package invariant

import (
	"context"
	"fmt"

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
func (h *history) checkOrders(ctx context.Context, views projection.Reader) error {
	seen := 0
	err := each(ctx, views, `SELECT order_id, type, coalesce(full_amount, 0), cash_effect, connection_id FROM order_rows`, func(scan func(...any) error) error {
		var id int64
		var got order
		if err := scan(&id, &got.kind, &got.full, &got.effect, &got.connection); err != nil {
			return err
		}
		seen++
		if want, ok := h.orders[id]; !ok {
			h.broken("I-12", "the orders view has order %d, which no event made", id)
		} else if got != want {
			h.broken("I-12", "order %d is %+v in the view and %+v in the events", id, got, want)
		}
		return nil
	})
	if seen < len(h.orders) {
		h.broken("I-12", "the orders view has %d orders of %d", seen, len(h.orders))
	}
	return err
}

// checkPayNumbers compares the paid rows of the pay-number view with what the events say.
func (h *history) checkPayNumbers(ctx context.Context, views projection.Reader) error {
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
		if !h.sold(name, number, orderID) {
			h.broken("I-12", "%s: the view says that order %d paid number %d", name, orderID, number)
		}
		return nil
	})
	for name, l := range h.subscriptions {
		if sold := l.state.Paid - l.imported; paid[name] != sold {
			h.broken("I-12", "%s: the view has %d paid numbers of %d", name, paid[name], sold)
		}
	}
	return err
}

// sold reports whether an order is the payment of a pay number.
func (h *history) sold(stream string, number uint32, order int64) bool {
	l := h.subscriptions[stream]
	if l == nil {
		return false
	}
	c, ok := l.state.FindCharge(order)
	return ok && c.Number == number
}
