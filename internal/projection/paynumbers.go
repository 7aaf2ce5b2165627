package projection

import (
	_ "embed"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed paynumbers.sql
var payNumbersSchema string

// PayNumbers keeps the payments of subscriptions by number: how each stands, and how it stood.
func PayNumbers() Projection {
	return Projection{
		Name:       "pay_numbers",
		Version:    2,
		Categories: []string{subscriptions},
		Schema:     payNumbersSchema,
		Tables:     []string{"pay_number_versions"},
		Former:     map[int][]string{1: {"pay_numbers"}},
		Views:      []View{payNumbersView()},
		Apply:      applyPayNumber,
	}
}

func applyPayNumber(tx Tx, known time.Time, e event.Recorded) error {
	merchant, id, err := ownerOf(e.Stream)
	if err != nil {
		return err
	}
	v := versions{tx: tx, merchant: merchant, subscription: id, event: e.ID.String(), known: known.UnixMicro()}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentRequested:
		return v.requested(k.PaymentRequested)
	case *ledgerv1.Event_PaymentObserved:
		return v.observed(k.PaymentObserved.GetPayNumber(), paid(e.Event, k.PaymentObserved))
	case *ledgerv1.Event_PaymentRescheduled:
		return v.rescheduled(k.PaymentRescheduled.GetNextDue())
	case *ledgerv1.Event_SubscriptionPaused:
		return v.withdrawn("state = 'requested'") // what was sent is still settled
	case *ledgerv1.Event_SubscriptionCancelled:
		return v.withdrawn("state IN ('requested', 'pending')")
	case *ledgerv1.Event_SubscriptionResumed:
		return v.resumed(k.SubscriptionResumed.GetNextDue(), k.SubscriptionResumed.GetNextAttemptAt())
	case *ledgerv1.Event_SubscriptionStarted,
		*ledgerv1.Event_SubscriptionImported, // what was paid elsewhere is not listed here
		*ledgerv1.Event_BuyerUpdated,
		*ledgerv1.Event_TermsChanged,
		*ledgerv1.Event_PaymentMethodReplaced,
		*ledgerv1.Event_PaymentMethodStored,
		*ledgerv1.Event_PaymentMethodRefused,
		*ledgerv1.Event_DuplicateChargeObserved,
		*ledgerv1.Event_DuplicateChargeReturned,
		*ledgerv1.Event_PeriodsSkipped,
		*ledgerv1.Event_RefundRequested,
		*ledgerv1.Event_RefundPending,
		*ledgerv1.Event_RefundSucceeded,
		*ledgerv1.Event_RefundFailed,
		*ledgerv1.Event_RefundUnknown,
		*ledgerv1.Event_RefundReversed,
		*ledgerv1.Event_RefundObserved,
		*ledgerv1.Event_DisputeOpened,
		*ledgerv1.Event_DisputeFundsWithdrawn,
		*ledgerv1.Event_DisputeFundsReinstated,
		*ledgerv1.Event_DisputeClosed,
		*ledgerv1.Event_AgreementLost,
		*ledgerv1.Event_CancellationScheduled,
		*ledgerv1.Event_CancellationWithdrawn,
		*ledgerv1.Event_SubscriptionCompleted:
		return nil
	}
	number, c, ok := outcomeOf(e.Event)
	if !ok {
		return unknownKind("pay_numbers", e.Event)
	}
	return v.change(number, c)
}

// change is what an event makes of a pay number. Every column of its state is set; the absent ones of what was asked
// for stay as they are.
type change struct {
	state       ledgerv1.PayNumberState
	nextAttempt *timestamppb.Timestamp
	paidAt      *timestamppb.Timestamp
	order       int64
	declineCode string

	attempts, reattempt any // int64, or nil to keep
	amounts             *ledgerv1.Amounts
	due                 *timestamppb.Timestamp
}

// outcomeOf is what the outcome of an attempt makes of its pay number.
func outcomeOf(e *ledgerv1.Event) (number uint32, c change, ok bool) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentPending:
		return k.PaymentPending.GetPayNumber(), change{state: ledgerv1.PayNumberState_PAY_NUMBER_STATE_PENDING}, true
	case *ledgerv1.Event_PaymentUnknown:
		return k.PaymentUnknown.GetPayNumber(), change{state: ledgerv1.PayNumberState_PAY_NUMBER_STATE_IN_DOUBT}, true
	case *ledgerv1.Event_PaymentNotCharged:
		return k.PaymentNotCharged.GetPayNumber(), change{state: ledgerv1.PayNumberState_PAY_NUMBER_STATE_NOT_CHARGED}, true
	case *ledgerv1.Event_AmountMismatchObserved:
		return k.AmountMismatchObserved.GetPayNumber(), change{state: ledgerv1.PayNumberState_PAY_NUMBER_STATE_MISMATCH}, true
	case *ledgerv1.Event_MismatchResolved:
		return k.MismatchResolved.GetPayNumber(), change{state: ledgerv1.PayNumberState_PAY_NUMBER_STATE_NOT_CHARGED}, true
	case *ledgerv1.Event_PaymentDeclined:
		d := k.PaymentDeclined
		return d.GetPayNumber(), change{
			state:       ledgerv1.PayNumberState_PAY_NUMBER_STATE_DECLINED,
			nextAttempt: d.GetNextAttemptAt(),
			declineCode: d.GetCode(),
			reattempt:   int64(d.GetReattempt()),
		}, true
	case *ledgerv1.Event_PaymentSucceeded:
		return k.PaymentSucceeded.GetPayNumber(), paidBy(e, k.PaymentSucceeded), true
	case *ledgerv1.Event_LateChargeObserved:
		return k.LateChargeObserved.GetPayNumber(), paidBy(e, k.LateChargeObserved), true
	}
	return 0, change{}, false
}

func paid(e *ledgerv1.Event, p payment) change {
	return change{
		state:   ledgerv1.PayNumberState_PAY_NUMBER_STATE_PAID,
		paidAt:  e.GetMetadata().GetOccurredAt(),
		order:   p.GetOrderId(),
		amounts: p.GetAmounts(),
	}
}

func paidBy(e *ledgerv1.Event, a attempt) change {
	c := paid(e, a)
	c.reattempt = int64(a.GetReattempt())
	return c
}

// versions writes the pay numbers of one subscription, as one event changes them.
type versions struct {
	tx                            Tx
	merchant, subscription, event string
	known                         int64
}

const insertPayNumberSQL = `INSERT INTO pay_number_versions
	(merchant_id, subscription_id, pay_number, state, attempts, reattempt,
	 full_amount, base_amount, discount_amount, shipping_amount, tax_amount, currency,
	 due_at, next_attempt_at, paid_at, order_id, decline_code, event_id, known_from, known_to)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, $14, $15, '', $16, $17, NULL)`

// requested opens a pay number at its first attempt and changes it at each later one.
func (v versions) requested(r *ledgerv1.PaymentRequested) error {
	c := change{
		state:     ledgerv1.PayNumberState_PAY_NUMBER_STATE_REQUESTED,
		attempts:  int64(r.GetAttempt()),
		reattempt: int64(r.GetReattempt()),
		amounts:   r.GetAmounts(),
		due:       r.GetDue(),
	}
	if r.GetAttempt() > 1 {
		return v.change(r.GetPayNumber(), c)
	}
	return v.insert(r.GetPayNumber(), c)
}

// observed notes a payment that nobody asked for. Its number has a row only if it was asked for before.
func (v versions) observed(number uint32, c change) error {
	there, err := v.has(number)
	if err != nil {
		return fmt.Errorf("pay number %d: %w", number, err)
	}
	if there {
		return v.change(number, c)
	}
	c.attempts, c.reattempt = int64(0), int64(0)
	return v.insert(number, c)
}

// insert makes the first version of a pay number.
func (v versions) insert(number uint32, c change) error {
	a := c.amounts
	_, err := v.tx.Exec(insertPayNumberSQL, v.merchant, v.subscription, int64(number),
		word(payNumberStatePrefix, c.state), c.attempts, c.reattempt,
		minor(a.GetFull()), minor(a.GetBase()), minor(a.GetDiscount()), minor(a.GetShipping()), minor(a.GetTax()),
		a.GetFull().GetCurrencyCode(), micros(c.due), micros(c.paidAt), c.order, v.event, v.known)
	if err != nil {
		return fmt.Errorf("pay number %d: %w", number, err)
	}
	return nil
}

// withdrawn ends what the open pay number was waiting for, as a cancellation and a pause do: there is no next attempt,
// and what became of an attempt that is withdrawn is for a look-up to find out.
func (v versions) withdrawn(attempt string) error {
	var number int64
	var state, code string
	err := v.tx.QueryRow(`SELECT pay_number, state, decline_code FROM pay_number_versions
		WHERE merchant_id = $1 AND subscription_id = $2 AND known_to IS NULL
			AND (`+attempt+` OR next_attempt_at IS NOT NULL)
		ORDER BY pay_number DESC LIMIT 1`, v.merchant, v.subscription).Scan(&number, &state, &code)
	if errors.Is(err, ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	c := change{state: payNumberState(state), declineCode: code}
	if c.state == ledgerv1.PayNumberState_PAY_NUMBER_STATE_REQUESTED || c.state == ledgerv1.PayNumberState_PAY_NUMBER_STATE_PENDING {
		c.state = ledgerv1.PayNumberState_PAY_NUMBER_STATE_IN_DOUBT
	}
	return v.change(uint32(number), c)
}

func payNumberState(stored string) ledgerv1.PayNumberState {
	return ledgerv1.PayNumberState(value(ledgerv1.PayNumberState_value, payNumberStatePrefix, stored))
}

// idle is an open pay number without an open attempt. One that was never asked for has no row.
const idle = "state IN ('declined', 'not_charged')"

// resumed lets the open pay number wait for its next attempt again.
func (v versions) resumed(due, next *timestamppb.Timestamp) error { return v.wait(idle, due, next) }

// rescheduled moves the open pay number, and its next attempt if there is one.
func (v versions) rescheduled(due *timestamppb.Timestamp) error {
	if due == nil {
		return nil // only the anchor moved
	}
	if err := v.wait(idle+" AND next_attempt_at IS NOT NULL", due, due); err != nil {
		return err
	}
	return v.wait(idle+" AND next_attempt_at IS NULL", due, nil)
}

// wait says when the open pay number is due and when it is tried next. Its state stays as it is.
func (v versions) wait(which string, due, next *timestamppb.Timestamp) error {
	var number int64
	var state, code string
	err := v.tx.QueryRow(`SELECT pay_number, state, decline_code FROM pay_number_versions
		WHERE merchant_id = $1 AND subscription_id = $2 AND known_to IS NULL AND `+which+`
		ORDER BY pay_number DESC LIMIT 1`, v.merchant, v.subscription).Scan(&number, &state, &code)
	if errors.Is(err, ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return v.change(uint32(number), change{
		state:       payNumberState(state),
		declineCode: code,
		due:         due,
		nextAttempt: next,
	})
}

// A paid number stays paid whatever is heard of its other attempts, and what is heard again changes nothing.
const closeVersionSQL = `UPDATE pay_number_versions SET known_to = $4
	WHERE merchant_id = $1 AND subscription_id = $2 AND pay_number = $3 AND known_to IS NULL AND known_from < $4
		AND state <> 'paid' AND (state <> $5 OR next_attempt_at IS DISTINCT FROM CAST($6 AS bigint)
			OR due_at IS DISTINCT FROM COALESCE(CAST($7 AS bigint), due_at))`

const insertVersionSQL = `INSERT INTO pay_number_versions
	(merchant_id, subscription_id, pay_number, state, attempts, reattempt,
	 full_amount, base_amount, discount_amount, shipping_amount, tax_amount, currency,
	 due_at, next_attempt_at, paid_at, order_id, decline_code, event_id, known_from, known_to)
	SELECT p.merchant_id, p.subscription_id, p.pay_number, CAST($5 AS text),
	 COALESCE(CAST($6 AS bigint), p.attempts), COALESCE(CAST($7 AS bigint), p.reattempt),
	 COALESCE(CAST($8 AS bigint), p.full_amount), COALESCE(CAST($9 AS bigint), p.base_amount),
	 COALESCE(CAST($10 AS bigint), p.discount_amount), COALESCE(CAST($11 AS bigint), p.shipping_amount),
	 COALESCE(CAST($12 AS bigint), p.tax_amount), p.currency, COALESCE(CAST($13 AS bigint), p.due_at),
	 CAST($14 AS bigint), CAST($15 AS bigint), CAST($16 AS bigint), CAST($17 AS text), CAST($18 AS text), CAST($4 AS bigint), NULL
	FROM pay_number_versions p
	WHERE p.merchant_id = $1 AND p.subscription_id = $2 AND p.pay_number = $3 AND p.known_to = $4`

// What is learned at the same instant belongs into the same version: one that held for no time would be found by
// every question about that instant, beside the one that replaced it.
const overwriteVersionSQL = `UPDATE pay_number_versions SET state = $5,
	 attempts = COALESCE($6, attempts), reattempt = COALESCE($7, reattempt),
	 full_amount = COALESCE($8, full_amount), base_amount = COALESCE($9, base_amount),
	 discount_amount = COALESCE($10, discount_amount), shipping_amount = COALESCE($11, shipping_amount),
	 tax_amount = COALESCE($12, tax_amount), due_at = COALESCE($13, due_at),
	 next_attempt_at = $14, paid_at = $15, order_id = $16, decline_code = $17, event_id = $18
	WHERE merchant_id = $1 AND subscription_id = $2 AND pay_number = $3 AND known_to IS NULL AND known_from = $4
		AND state <> 'paid'`

// change makes a new version of a pay number and ends the one before.
func (v versions) change(number uint32, c change) error {
	args := []any{v.merchant, v.subscription, int64(number), v.known, word(payNumberStatePrefix, c.state)}
	closed, err := v.tx.Exec(closeVersionSQL, append(args, micros(c.nextAttempt), micros(c.due))...)
	if err != nil {
		return fmt.Errorf("pay number %d: %w", number, err)
	}
	write := insertVersionSQL
	if closed == 0 {
		write = overwriteVersionSQL
	}
	args = append(args, c.attempts, c.reattempt)
	args = append(args, amountColumns(c.amounts)...)
	args = append(args, micros(c.due), micros(c.nextAttempt), micros(c.paidAt), c.order, c.declineCode, v.event)
	written, err := v.tx.Exec(write, args...)
	if err != nil {
		return fmt.Errorf("pay number %d: %w", number, err)
	}
	if written == 0 {
		return v.mustExist(number)
	}
	return nil
}

// mustExist tells a change that changed nothing from one of a pay number that was never asked for.
func (v versions) mustExist(number uint32) error {
	there, err := v.has(number)
	if err == nil && !there {
		return fmt.Errorf("pay number %d of %s.%s was never requested", number, v.merchant, v.subscription)
	}
	return err
}

// has reports whether a pay number has a row.
func (v versions) has(number uint32) (bool, error) {
	var state string
	err := v.tx.QueryRow(`SELECT state FROM pay_number_versions
		WHERE merchant_id = $1 AND subscription_id = $2 AND pay_number = $3 AND known_to IS NULL`,
		v.merchant, v.subscription, int64(number)).Scan(&state)
	if errors.Is(err, ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
