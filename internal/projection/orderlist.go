package projection

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// OrderFilter says which orders of a merchant are wanted; what is left out does not filter.
type OrderFilter struct {
	MerchantID       string
	SubscriptionID   string
	BuyerID          string
	ExternalRef      string
	GatewayReference string
	Types            []ledgerv1.OrderType
	OccurredFrom     time.Time // included
	OccurredTo       time.Time // not included
	AsOf             time.Time // what was known then; zero for now
}

// GetOrder reads an order of a merchant as it was known at an instant, or is now if that is zero. Another merchant's is
// not found, nor is one that was not known then.
func GetOrder(ctx context.Context, r Reader, merchant string, id int64, asOf time.Time) (*ledgerv1.Order, error) {
	w := OrderFilter{MerchantID: merchant, AsOf: asOf}.where()
	w.and("o.order_id = %s", id)
	o, err := scanOrder(r.QueryRow(ctx, selectOrders+w.String(), w.args...))
	if errors.Is(err, ErrNoRows) {
		return nil, aggregate.ErrNotFound("order", strconv.FormatInt(id, 10))
	}
	return o, err
}

// orderKey is the place of an order in the list. Neither part of it ever changes.
type orderKey struct {
	At int64 `json:"a"`
	ID int64 `json:"i"`
}

// ListOrders reads a page of a merchant's orders, the one that occurred last first, and the next page's token.
func ListOrders(ctx context.Context, r Reader, f OrderFilter, p Page) ([]*ledgerv1.Order, string, error) {
	read := func(behind *orderKey, limit int) ([]*ledgerv1.Order, error) {
		w := f.where()
		if behind != nil {
			w.and("(o.occurred_at, o.order_id) < (%s, %s)", behind.At, behind.ID)
		}
		query := selectOrders + w.String() + ` ORDER BY o.occurred_at DESC, o.order_id DESC LIMIT ` + w.arg(int64(limit))
		rows, err := r.Query(ctx, query, w.args...)
		return collect(rows, err, scanOrder)
	}
	return ReadPage(p, "orders", f, read, func(o *ledgerv1.Order) orderKey {
		return orderKey{At: o.GetOccurredAt().AsTime().UnixMicro(), ID: o.GetOrderId()}
	})
}

func (f OrderFilter) where() *where {
	asOf := int64(math.MaxInt64)
	if !f.AsOf.IsZero() {
		asOf = f.AsOf.UnixMicro()
	}
	w := &where{args: []any{asOf}}
	w.and("o.merchant_id = %s", f.MerchantID)
	if !f.AsOf.IsZero() {
		w.conditions = append(w.conditions, "o.known_at <= $1")
	}
	if f.SubscriptionID != "" {
		w.and("o.subscription_id = %s", f.SubscriptionID)
	}
	if f.BuyerID != "" {
		w.and("o.buyer_id = %s", f.BuyerID)
	}
	// The second halves let the partial indexes be used.
	if f.ExternalRef != "" {
		w.and("o.external_ref = %s AND o.external_ref <> ''", f.ExternalRef)
	}
	if f.GatewayReference != "" {
		w.and("o.gateway_reference = %s AND o.gateway_reference <> ''", f.GatewayReference)
	}
	types := make([]string, len(f.Types))
	for i, t := range f.Types {
		types[i] = word(orderTypePrefix, t)
	}
	w.in("o.type", types)
	w.between("o.occurred_at", f.OccurredFrom, f.OccurredTo)
	return w
}

// selectOrders reads orders with what was returned of each, and how many chargebacks stand, as known at $1.
const selectOrders = `SELECT o.order_id, o.merchant_id, o.subscription_id, o.type,
	o.full_amount, o.base_amount, o.discount_amount, o.shipping_amount, o.tax_amount, o.currency, o.cash_effect,
	o.pay_number, o.attempt, o.reattempt, o.parent_id, o.original_id,
	o.connection_id, o.mode, o.gateway_reference, o.buyer_id, o.product_id, o.price_point, o.external_ref,
	o.late, o.decline_code, o.occurred_at, o.recorded_at, o.event_id,
	CAST(COALESCE((SELECT -SUM(c.cash_effect) FROM order_rows c
		WHERE c.parent_id = o.order_id AND c.parent_id <> 0 AND c.known_at <= $1), 0) AS bigint),
	CAST(COALESCE((SELECT SUM(CASE c.type WHEN 'chargeback' THEN 1 WHEN 'chargeback_reversed' THEN -1 ELSE 0 END) FROM order_rows c
		WHERE c.parent_id = o.order_id AND c.parent_id <> 0 AND c.known_at <= $1), 0) AS bigint)
	FROM order_rows o `

func scanOrder(row Row) (*ledgerv1.Order, error) {
	var (
		o                       ledgerv1.Order
		p                       parts
		kind, mode              string
		effect, late            int64
		occurred, recorded      int64
		returned, chargedBack   int64
		number, attempt, redone int64
		pricePoint              int64
	)
	err := row.Scan(&o.OrderId, &o.MerchantId, &o.SubscriptionId, &kind,
		&p.full, &p.base, &p.discount, &p.shipping, &p.tax, &p.currency, &effect,
		&number, &attempt, &redone, &o.ParentOrderId, &o.OriginalOrderId,
		&o.ConnectionId, &mode, &o.GatewayReference, &o.BuyerId, &o.ProductId, &pricePoint, &o.ExternalRef,
		&late, &o.DeclineCode, &occurred, &recorded, &o.EventId, &returned, &chargedBack)
	if err != nil {
		return nil, err
	}
	o.Type = ledgerv1.OrderType(value(ledgerv1.OrderType_value, orderTypePrefix, kind))
	o.Mode = ledgerv1.Mode(value(ledgerv1.Mode_value, modePrefix, mode))
	o.Amounts = p.amounts()
	o.CashEffect = p.money(&effect)
	o.PayNumber, o.Attempt, o.Reattempt = uint32(number), uint32(attempt), uint32(redone)
	o.PricePoint = uint32(pricePoint)
	o.Late = late != 0
	o.OccurredAt, o.RecordedAt = timestamp(&occurred), timestamp(&recorded)
	o.Status = orderStatus(o.Type, o.Amounts.GetFull().GetMinorUnits(), returned, chargedBack)
	if isPayment(o.Type) {
		o.Returned = p.money(&returned)
	}
	return &o, nil
}

func isPayment(t ledgerv1.OrderType) bool {
	return t == ledgerv1.OrderType_ORDER_TYPE_SALE || t == ledgerv1.OrderType_ORDER_TYPE_REBILL
}

// orderStatus sums up how an order stands: what was returned of it, and how many chargebacks were not reversed.
func orderStatus(t ledgerv1.OrderType, full, returned, chargedBack int64) ledgerv1.OrderStatus {
	switch {
	case t == ledgerv1.OrderType_ORDER_TYPE_FAILED:
		return ledgerv1.OrderStatus_ORDER_STATUS_FAILED
	case !isPayment(t):
		return ledgerv1.OrderStatus_ORDER_STATUS_DONE
	case chargedBack > 0:
		return ledgerv1.OrderStatus_ORDER_STATUS_CHARGED_BACK
	case returned <= 0:
		return ledgerv1.OrderStatus_ORDER_STATUS_PAID
	case returned < full:
		return ledgerv1.OrderStatus_ORDER_STATUS_PARTIALLY_REFUNDED
	}
	return ledgerv1.OrderStatus_ORDER_STATUS_REFUNDED
}
