package projection

import (
	"context"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// SubscriptionFilter says which subscriptions of a merchant are wanted; what is left out does not filter.
type SubscriptionFilter struct {
	MerchantID       string
	States           []ledgerv1.SubscriptionState
	BuyerID          string
	Email            string // whole; capitals do not matter
	ExternalRef      string
	ConnectionID     string
	ProductID        string
	OrderID          int64  // an order that the subscription made
	GatewayReference string // of a charge or a refund that belongs to it
	InDoubt          *bool
	Disputed         *bool
	DueFrom          time.Time // included
	DueTo            time.Time // not included
	AsOf             time.Time // what was known then; zero for now
}

// ordersPerSubscription is how far apart the order ids of two subscriptions are; see the subscription package.
const ordersPerSubscription = 10_000

// subscriptionKey is the place of a subscription in the list: its number, which is nobody else's.
type subscriptionKey struct {
	Number int64 `json:"n"`
}

// ListSubscriptions reads a page of a merchant's subscriptions, the highest number first, and the next page's token. The
// gateway's references are those that the orders view has.
func ListSubscriptions(ctx context.Context, r Reader, f SubscriptionFilter, p Page) ([]*ledgerv1.SubscriptionSummary, string, error) {
	read := func(behind *subscriptionKey, limit int) ([]*ledgerv1.SubscriptionSummary, error) {
		w := f.where()
		if behind != nil {
			w.and("number < %s", behind.Number)
		}
		query := `SELECT ` + listedColumns + ` FROM subscription_versions ` + w.String() +
			` ORDER BY number DESC LIMIT ` + w.arg(int64(limit))
		rows, err := r.Query(ctx, query, w.args...)
		return collect(rows, err, func(row Row) (*ledgerv1.SubscriptionSummary, error) {
			s, _, err := scanSubscription(row)
			return s, err
		})
	}
	return ReadPage(p, "subscriptions", f, read, func(s *ledgerv1.SubscriptionSummary) subscriptionKey {
		return subscriptionKey{Number: s.GetNumber()}
	})
}

func (f SubscriptionFilter) where() *where {
	w := &where{}
	w.and("merchant_id = %s", f.MerchantID)
	w.versionAt(f.AsOf)
	states := make([]string, len(f.States))
	for i, s := range f.States {
		states[i] = word(subscriptionStatePrefix, s)
	}
	w.in("state", states)
	for _, c := range []struct{ condition, value string }{
		{"buyer_id = %s", f.BuyerID},
		{"email = %s", strings.ToLower(f.Email)},
		{"external_ref = %s AND external_ref <> ''", f.ExternalRef}, // the second half lets the partial index be used
		{"connection_id = %s", f.ConnectionID},
		{"product_id = %s", f.ProductID},
	} {
		if c.value != "" {
			w.and(c.condition, c.value)
		}
	}
	if f.OrderID != 0 {
		w.and("number = %s", f.OrderID/ordersPerSubscription)
	}
	f.byReference(w)
	w.flag("in_doubt", f.InDoubt)
	w.flag("disputed", f.Disputed)
	w.between("next_due_at", f.DueFrom, f.DueTo)
	return w
}

// byReference goes through the orders that the gateway's reference made known.
func (f SubscriptionFilter) byReference(w *where) {
	if f.GatewayReference == "" {
		return
	}
	known := ""
	if !f.AsOf.IsZero() {
		known = " AND o.known_at <= " + w.arg(f.AsOf.UnixMicro())
	}
	w.and("subscription_id IN (SELECT o.subscription_id FROM order_rows o WHERE o.merchant_id = %s"+
		" AND o.gateway_reference = %s AND o.gateway_reference <> ''"+known+")", f.MerchantID, f.GatewayReference)
}

// flag adds the condition that a flag is so. Its value stands in the text, or the partial indexes would not be used.
func (w *where) flag(column string, want *bool) {
	switch {
	case want == nil:
	case *want:
		w.conditions = append(w.conditions, column+" = 1")
	default:
		w.conditions = append(w.conditions, column+" = 0")
	}
}
