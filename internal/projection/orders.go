package projection

import (
	_ "embed"
	"errors"
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed orders.sql
var ordersSchema string

// Orders keeps what merchants see as transactions: each sale, failure, refund, chargeback and cancellation is a row,
// inserted once and never changed.
func Orders() Projection {
	return Projection{
		Name:       "orders",
		Version:    2,
		Categories: []string{subscriptions},
		Schema:     ordersSchema,
		Tables:     []string{"order_rows", "subscription_facts"},
		Former:     map[int][]string{1: {"orders"}},
		Views:      []View{ordersView()},
		Apply:      applyOrder,
	}
}

func applyOrder(tx Tx, known time.Time, e event.Recorded) error {
	merchant, id, err := ownerOf(e.Stream)
	if err != nil {
		return err
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted:
		return insertFacts(tx, merchant, id, k.SubscriptionStarted)
	case *ledgerv1.Event_SubscriptionImported:
		return insertFacts(tx, merchant, id, k.SubscriptionImported)
	case *ledgerv1.Event_SubscriptionCancelled:
		if k.SubscriptionCancelled.GetOrderId() == 0 {
			return nil // nothing was ever sold
		}
	case *ledgerv1.Event_BuyerUpdated,
		*ledgerv1.Event_TermsChanged,
		*ledgerv1.Event_PaymentMethodReplaced,
		*ledgerv1.Event_PaymentMethodStored,
		*ledgerv1.Event_PaymentMethodRefused,
		*ledgerv1.Event_PaymentRequested,
		*ledgerv1.Event_PaymentPending,
		*ledgerv1.Event_PaymentUnknown,
		*ledgerv1.Event_PaymentNotCharged,
		*ledgerv1.Event_DuplicateChargeObserved,
		*ledgerv1.Event_DuplicateChargeReturned,
		*ledgerv1.Event_AmountMismatchObserved,
		*ledgerv1.Event_MismatchResolved,
		*ledgerv1.Event_PaymentRescheduled,
		*ledgerv1.Event_PeriodsSkipped,
		*ledgerv1.Event_RefundRequested,
		*ledgerv1.Event_RefundPending,
		*ledgerv1.Event_RefundFailed,
		*ledgerv1.Event_RefundUnknown,
		*ledgerv1.Event_DisputeOpened,
		*ledgerv1.Event_DisputeClosed,
		*ledgerv1.Event_AgreementLost,
		*ledgerv1.Event_CancellationScheduled,
		*ledgerv1.Event_CancellationWithdrawn,
		*ledgerv1.Event_SubscriptionPaused,
		*ledgerv1.Event_SubscriptionResumed,
		*ledgerv1.Event_SubscriptionCompleted:
		return nil
	}
	o, ok := orderOf(e.Event)
	if !ok {
		return unknownKind("orders", e.Event)
	}
	return insertOrder(tx, merchant, id, known, e, o)
}

// order is what an event says of the order that it makes.
type order struct {
	id                             int64
	kind                           ledgerv1.OrderType
	amounts                        *ledgerv1.Amounts
	effect                         int64 // +1, -1 or 0: the sign of the full amount in the merchant's money
	payNumber, attempt, reattempt  uint32
	parent, original               int64
	connection                     string // empty for the subscription's first one
	gatewayReference, declinedCode string
	late                           bool
}

func orderOf(e *ledgerv1.Event) (order, bool) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentSucceeded:
		return orderOfAttempt(k.PaymentSucceeded), true
	case *ledgerv1.Event_LateChargeObserved:
		o := orderOfAttempt(k.LateChargeObserved)
		o.late = true
		return o, true
	case *ledgerv1.Event_PaymentObserved:
		o := orderOfPayment(k.PaymentObserved)
		o.late = k.PaymentObserved.GetEnded()
		return o, true
	case *ledgerv1.Event_PaymentDeclined:
		o := orderOfAttempt(k.PaymentDeclined)
		o.kind, o.effect, o.declinedCode = ledgerv1.OrderType_ORDER_TYPE_FAILED, 0, k.PaymentDeclined.GetCode()
		return o, true
	case *ledgerv1.Event_RefundSucceeded:
		return orderOfRefund(k.RefundSucceeded), true
	case *ledgerv1.Event_RefundObserved:
		return orderOfRefund(k.RefundObserved), true
	case *ledgerv1.Event_RefundReversed:
		return orderOfReturn(k.RefundReversed, ledgerv1.OrderType_ORDER_TYPE_REFUND_REVERSED, +1), true
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		o := orderOfReturn(k.DisputeFundsWithdrawn, ledgerv1.OrderType_ORDER_TYPE_CHARGEBACK, -1)
		o.gatewayReference = k.DisputeFundsWithdrawn.GetDisputeId()
		return o, true
	case *ledgerv1.Event_DisputeFundsReinstated:
		o := orderOfReturn(k.DisputeFundsReinstated, ledgerv1.OrderType_ORDER_TYPE_CHARGEBACK_REVERSED, +1)
		o.gatewayReference = k.DisputeFundsReinstated.GetDisputeId()
		return o, true
	case *ledgerv1.Event_SubscriptionCancelled:
		return order{
			id:         k.SubscriptionCancelled.GetOrderId(),
			kind:       ledgerv1.OrderType_ORDER_TYPE_CANCELLATION,
			original:   k.SubscriptionCancelled.GetOriginalOrderId(),
			connection: k.SubscriptionCancelled.GetConnectionId(),
		}, true
	}
	return order{}, false
}

// payment is what a payment that makes an order tells, whether anybody asked for it or not.
type payment interface {
	GetOrderId() int64
	GetPayNumber() uint32
	GetAmounts() *ledgerv1.Amounts
	GetReference() string
	GetOriginalOrderId() int64
	GetConnectionId() string
}

// attempt is what the three outcomes of an attempt that make an order have in common.
type attempt interface {
	payment
	GetAttempt() uint32
	GetReattempt() uint32
}

func orderOfAttempt(a attempt) order {
	o := orderOfPayment(a)
	o.attempt, o.reattempt = a.GetAttempt(), a.GetReattempt()
	return o
}

func orderOfPayment(p payment) order {
	kind := ledgerv1.OrderType_ORDER_TYPE_REBILL
	if p.GetPayNumber() == 1 {
		kind = ledgerv1.OrderType_ORDER_TYPE_SALE
	}
	return order{
		id:               p.GetOrderId(),
		kind:             kind,
		amounts:          p.GetAmounts(),
		effect:           +1,
		payNumber:        p.GetPayNumber(),
		original:         p.GetOriginalOrderId(),
		connection:       p.GetConnectionId(),
		gatewayReference: p.GetReference(),
	}
}

// returned is what the events that move a payment's money back, or forth again, have in common.
type returned interface {
	GetOrderId() int64
	GetPayNumber() uint32
	GetAmounts() *ledgerv1.Amounts
	GetParentOrderId() int64
	GetOriginalOrderId() int64
	GetConnectionId() string
}

func orderOfReturn(r returned, kind ledgerv1.OrderType, effect int64) order {
	return order{
		id:         r.GetOrderId(),
		kind:       kind,
		amounts:    r.GetAmounts(),
		effect:     effect,
		payNumber:  r.GetPayNumber(),
		parent:     r.GetParentOrderId(),
		original:   r.GetOriginalOrderId(),
		connection: r.GetConnectionId(),
	}
}

// refund is money that went back at the gateway, asked for or not.
type refund interface {
	returned
	GetFull() bool
	GetReference() string
}

func orderOfRefund(r refund) order {
	kind := ledgerv1.OrderType_ORDER_TYPE_PARTIAL_REFUND
	if r.GetFull() {
		kind = ledgerv1.OrderType_ORDER_TYPE_REFUND
	}
	o := orderOfReturn(r, kind, -1)
	o.gatewayReference = r.GetReference()
	return o
}

const insertFactsSQL = `INSERT INTO subscription_facts
	(merchant_id, subscription_id, buyer_id, connection_id, mode, product_id, price_point, external_ref, currency)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
	ON CONFLICT (merchant_id, subscription_id) DO NOTHING`

func insertFacts(tx Tx, merchant, id string, s agreement) error {
	terms := s.GetTerms()
	_, err := tx.Exec(insertFactsSQL, merchant, id, s.GetBuyerId(), s.GetConnectionId(), word(modePrefix, s.GetMode()),
		terms.GetProductId(), int64(terms.GetPricePoint()), s.GetExternalRef(), currencyOf(terms))
	return err
}

// currencyOf is the one currency of terms. Which amounts they have depends on their kind.
func currencyOf(t *ledgerv1.Terms) string {
	if c := t.GetRegular().GetFull().GetCurrencyCode(); c != "" {
		return c
	}
	return t.GetInitial().GetAmounts().GetFull().GetCurrencyCode()
}

// The casts tell PostgreSQL the types of parameters that stand in a SELECT.
const insertOrderSQL = `INSERT INTO order_rows
	(order_id, merchant_id, subscription_id, type,
	 full_amount, base_amount, discount_amount, shipping_amount, tax_amount, currency, cash_effect,
	 pay_number, attempt, reattempt, parent_id, original_id,
	 connection_id, mode, gateway_reference, buyer_id, product_id, price_point, external_ref,
	 late, decline_code, occurred_at, recorded_at, known_at, event_id, position)
	SELECT CAST($3 AS bigint), f.merchant_id, f.subscription_id, CAST($4 AS text),
	 CAST($5 AS bigint), CAST($6 AS bigint), CAST($7 AS bigint), CAST($8 AS bigint), CAST($9 AS bigint), f.currency, CAST($10 AS bigint),
	 CAST($11 AS bigint), CAST($12 AS bigint), CAST($13 AS bigint), CAST($14 AS bigint), CAST($15 AS bigint),
	 COALESCE(CAST($16 AS text), f.connection_id), f.mode, CAST($17 AS text), f.buyer_id, f.product_id, f.price_point, f.external_ref,
	 CAST($18 AS bigint), CAST($19 AS text), CAST($20 AS bigint), CAST($21 AS bigint), CAST($22 AS bigint), CAST($23 AS text), CAST($24 AS text)
	FROM subscription_facts f WHERE f.merchant_id = $1 AND f.subscription_id = $2
	ON CONFLICT (order_id) DO NOTHING`

func insertOrder(tx Tx, merchant, id string, known time.Time, e event.Recorded, o order) error {
	late := int64(0)
	if o.late {
		late = 1
	}
	args := make([]any, 0, 24)
	args = append(args, merchant, id, o.id, word(orderTypePrefix, o.kind))
	args = append(args, amountColumns(o.amounts)...)
	args = append(args, o.effect*minor(o.amounts.GetFull()),
		int64(o.payNumber), int64(o.attempt), int64(o.reattempt), o.parent, o.original, orNull(o.connection), o.gatewayReference,
		late, o.declinedCode, micros(e.GetMetadata().GetOccurredAt()), micros(e.GetMetadata().GetRecordedAt()),
		known.UnixMicro(), e.ID.String(), e.Position.String())
	n, err := tx.Exec(insertOrderSQL, args...)
	if err != nil {
		return fmt.Errorf("order %d: %w", o.id, err)
	}
	if n == 0 {
		return whyNoOrder(tx, e, o.id)
	}
	return nil
}

// orNull is how a text is passed that may be absent.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// amountColumns are the five parts as they are stored: all NULL for no amounts.
func amountColumns(a *ledgerv1.Amounts) []any {
	if a == nil {
		return []any{nil, nil, nil, nil, nil}
	}
	return []any{minor(a.GetFull()), minor(a.GetBase()), minor(a.GetDiscount()), minor(a.GetShipping()), minor(a.GetTax())}
}

// whyNoOrder tells the harmless reason why an order was not inserted, which is that the same event did it before,
// from the others: the start of the subscription was never seen, or another event claims the same id.
func whyNoOrder(tx Tx, e event.Recorded, id int64) error {
	var by string
	err := tx.QueryRow(`SELECT event_id FROM order_rows WHERE order_id = $1`, id).Scan(&by)
	switch {
	case errors.Is(err, ErrNoRows):
		return fmt.Errorf("order %d: %s was never started", id, e.Stream)
	case err != nil:
		return fmt.Errorf("order %d: %w", id, err)
	case by != e.ID.String():
		return fmt.Errorf("order %d of %s was made by event %s before", id, e.Stream, by)
	}
	return nil
}
