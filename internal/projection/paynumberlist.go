package projection

import (
	"context"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// PayNumberFilter says which pay numbers of a merchant are wanted; what is left out does not filter.
type PayNumberFilter struct {
	MerchantID     string
	SubscriptionID string
	States         []ledgerv1.PayNumberState
	DueFrom        time.Time // included
	DueTo          time.Time // not included
	AsOf           time.Time // what was known then; zero for now
}

type payNumberKey struct {
	Subscription string `json:"s"`
	Number       int64  `json:"n"`
}

// ListPayNumbers reads a page of a merchant's pay numbers, by subscription and number, and the next page's token.
func ListPayNumbers(ctx context.Context, r Reader, f PayNumberFilter, p Page) ([]*ledgerv1.PayNumber, string, error) {
	read := func(behind *payNumberKey, limit int) ([]*ledgerv1.PayNumber, error) {
		w := f.where()
		if behind != nil {
			w.and("(subscription_id, pay_number) > (%s, %s)", behind.Subscription, behind.Number)
		}
		query := selectPayNumbers + w.String() + ` ORDER BY subscription_id, pay_number LIMIT ` + w.arg(int64(limit))
		rows, err := r.Query(ctx, query, w.args...)
		return collect(rows, err, scanPayNumber)
	}
	return ReadPage(p, "pay_numbers", f, read, func(n *ledgerv1.PayNumber) payNumberKey {
		return payNumberKey{Subscription: n.GetSubscriptionId(), Number: int64(n.GetPayNumber())}
	})
}

func (f PayNumberFilter) where() *where {
	w := &where{}
	w.and("merchant_id = %s", f.MerchantID)
	w.versionAt(f.AsOf)
	if f.SubscriptionID != "" {
		w.and("subscription_id = %s", f.SubscriptionID)
	}
	states := make([]string, len(f.States))
	for i, s := range f.States {
		states[i] = word(payNumberStatePrefix, s)
	}
	w.in("state", states)
	w.between("due_at", f.DueFrom, f.DueTo)
	return w
}

const selectPayNumbers = `SELECT merchant_id, subscription_id, pay_number, state, attempts, reattempt,
	full_amount, base_amount, discount_amount, shipping_amount, tax_amount, currency,
	due_at, next_attempt_at, paid_at, order_id, decline_code
	FROM pay_number_versions `

func scanPayNumber(row Row) (*ledgerv1.PayNumber, error) {
	var (
		n                           ledgerv1.PayNumber
		p                           parts
		state                       string
		number, attempts, reattempt int64
		due, next, paid             *int64
	)
	err := row.Scan(&n.MerchantId, &n.SubscriptionId, &number, &state, &attempts, &reattempt,
		&p.full, &p.base, &p.discount, &p.shipping, &p.tax, &p.currency,
		&due, &next, &paid, &n.OrderId, &n.DeclineCode)
	if err != nil {
		return nil, err
	}
	n.PayNumber, n.Attempts, n.Reattempt = uint32(number), uint32(attempts), uint32(reattempt)
	n.State = ledgerv1.PayNumberState(value(ledgerv1.PayNumberState_value, payNumberStatePrefix, state))
	n.Amounts = p.amounts()
	n.DueAt, n.NextAttemptAt, n.PaidAt = timestamp(due), timestamp(next), timestamp(paid)
	return &n, nil
}
