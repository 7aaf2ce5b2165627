package projection

import (
	"context"
	"errors"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// DeliveryFilter says which notifications of a merchant are wanted; what is left out does not filter.
type DeliveryFilter struct {
	MerchantID     string
	EndpointID     string
	SubscriptionID string
	OrderID        int64
	States         []string // see Delivery
}

const selectDeliveries = `SELECT delivery_id, merchant_id, endpoint_id, subscription_id, event_id, type, order_id, state,
	tries, next_try_at, last_http_status, last_error, created_at, concluded_at, pos_commit, pos_prepare FROM delivery_rows `

// GetDelivery reads a notification of a merchant with its tries. Another merchant's is not found.
func GetDelivery(ctx context.Context, r Reader, merchant, id string) (*ledgerv1.Delivery, []*ledgerv1.DeliveryTry, error) {
	row := r.QueryRow(ctx, selectDeliveries+`WHERE merchant_id = $1 AND delivery_id = $2`, merchant, id)
	d, err := scanDelivery(row)
	if err != nil {
		return nil, nil, noDelivery(err, id)
	}
	rows, err := r.Query(ctx, `SELECT number, started_at, http_status, error, took_ms, response
		FROM delivery_tries WHERE delivery_id = $1 ORDER BY number`, id)
	tries, err := collect(rows, err, scanTry)
	return d.Delivery, tries, err
}

func noDelivery(err error, id string) error {
	if errors.Is(err, ErrNoRows) {
		return aggregate.ErrNotFound("delivery", id)
	}
	return err
}

// deliveryKey is the place of a notification in the list.
type deliveryKey struct {
	Commit  int64  `json:"c"`
	Prepare int64  `json:"p"`
	ID      string `json:"i"`
}

// ListDeliveries reads a page of a merchant's notifications, the newest first, and the next page's token.
func ListDeliveries(ctx context.Context, r Reader, f DeliveryFilter, p Page) ([]*ledgerv1.Delivery, string, error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	read := func(behind *deliveryKey, limit int) ([]placedDelivery, error) {
		w := f.where()
		if behind != nil {
			w.and("(pos_commit, pos_prepare, delivery_id) < (%s, %s, %s)", behind.Commit, behind.Prepare, behind.ID)
		}
		query := selectDeliveries + w.String() + ` ORDER BY pos_commit DESC, pos_prepare DESC, delivery_id DESC LIMIT ` + w.arg(int64(limit))
		rows, err := r.Query(ctx, query, w.args...)
		return collect(rows, err, scanDelivery)
	}
	page, next, err := ReadPage(p, "deliveries", f, read, func(d placedDelivery) deliveryKey { return d.key })
	out := make([]*ledgerv1.Delivery, len(page))
	for i, d := range page {
		out[i] = d.Delivery
	}
	return out, next, err
}

func (f DeliveryFilter) check() error {
	for _, s := range f.States {
		switch s {
		case "pending", "sending", "delivered", "gave_up", "disabled":
		default:
			return aggregate.InvalidField("states", "STATE_UNKNOWN", "must be pending, sending, delivered, gave_up or disabled")
		}
	}
	return nil
}

func (f DeliveryFilter) where() *where {
	w := &where{}
	w.and("merchant_id = %s", f.MerchantID)
	if f.EndpointID != "" {
		w.and("endpoint_id = %s", f.EndpointID)
	}
	if f.SubscriptionID != "" {
		w.and("subscription_id = %s", f.SubscriptionID)
	}
	if f.OrderID != 0 {
		w.and("order_id = %s", f.OrderID)
	}
	w.in("state", f.States)
	return w
}

// placedDelivery is a notification and its place in the list.
type placedDelivery struct {
	*ledgerv1.Delivery
	key deliveryKey
}

func scanDelivery(row Row) (placedDelivery, error) {
	var (
		d                 ledgerv1.Delivery
		kind              string
		key               deliveryKey
		tries, status     int64
		next, ended, made *int64
	)
	err := row.Scan(&d.DeliveryId, &d.MerchantId, &d.EndpointId, &d.SubscriptionId, &d.EventId, &kind, &d.OrderId, &d.State,
		&tries, &next, &status, &d.LastError, &made, &ended, &key.Commit, &key.Prepare)
	if err != nil {
		return placedDelivery{}, err
	}
	key.ID = d.DeliveryId
	d.Type = ledgerv1.IpnType(value(ledgerv1.IpnType_value, ipnTypePrefix, kind))
	d.Tries, d.LastHttpStatus = uint32(tries), uint32(status)
	d.NextTryAt, d.CreatedAt, d.ConcludedAt = timestamp(next), timestamp(made), timestamp(ended)
	return placedDelivery{&d, key}, nil
}

func scanTry(row Row) (*ledgerv1.DeliveryTry, error) {
	var (
		t                       ledgerv1.DeliveryTry
		number, started, status int64
	)
	if err := row.Scan(&number, &started, &status, &t.Error, &t.TookMs, &t.Response); err != nil {
		return nil, err
	}
	t.Number, t.HttpStatus, t.StartedAt = uint32(number), uint32(status), timestamp(&started)
	return &t, nil
}
