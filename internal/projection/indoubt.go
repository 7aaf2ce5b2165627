package projection

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed indoubt.sql
var inDoubtSchema string

// InDoubt keeps the attempts and refunds whose outcome nobody knows: those that were answered with "unknown", and those
// that were withdrawn before an outcome was there, since an earlier run may have sent them.
func InDoubt() Projection {
	return Projection{
		Name:       "in_doubt",
		Version:    2,
		Categories: []string{subscriptions},
		Schema:     inDoubtSchema,
		Tables:     []string{"open_intents"},
		Apply:      applyInDoubt,
	}
}

func applyInDoubt(tx Tx, known time.Time, e event.Recorded) error {
	merchant, id, err := ownerOf(e.Stream)
	if err != nil {
		return err
	}
	i := intents{tx: tx, merchant: merchant, subscription: id, known: known.UnixMicro()}
	if done, err := i.attempt(e.Event); done || err != nil {
		return err
	}
	if done, err := i.refund(e.Event); done || err != nil {
		return err
	}
	switch e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted,
		*ledgerv1.Event_SubscriptionImported,
		*ledgerv1.Event_BuyerUpdated,
		*ledgerv1.Event_TermsChanged,
		*ledgerv1.Event_PaymentMethodReplaced,
		*ledgerv1.Event_PaymentMethodStored,
		*ledgerv1.Event_PaymentMethodRefused,
		*ledgerv1.Event_DuplicateChargeReturned,
		*ledgerv1.Event_MismatchResolved,
		*ledgerv1.Event_PaymentRescheduled,
		*ledgerv1.Event_PeriodsSkipped,
		*ledgerv1.Event_RefundReversed,
		*ledgerv1.Event_RefundObserved,
		*ledgerv1.Event_DisputeOpened,
		*ledgerv1.Event_DisputeFundsReinstated,
		*ledgerv1.Event_DisputeClosed,
		*ledgerv1.Event_AgreementLost,
		*ledgerv1.Event_CancellationScheduled,
		*ledgerv1.Event_CancellationWithdrawn,
		*ledgerv1.Event_SubscriptionResumed,
		*ledgerv1.Event_SubscriptionCompleted:
		return nil
	}
	return unknownKind("in_doubt", e.Event)
}

// attempt follows the attempts at charging; done is false for what is not about them.
func (i intents) attempt(e *ledgerv1.Event) (done bool, err error) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentRequested:
		r := k.PaymentRequested
		return true, i.open(attemptOf(r), r.GetPayNumber(), r.GetAttempt(), "", 0)
	case *ledgerv1.Event_PaymentPending:
		return true, i.pending(attemptOf(k.PaymentPending))
	case *ledgerv1.Event_PaymentUnknown:
		return true, i.unknown(attemptOf(k.PaymentUnknown), k.PaymentUnknown.GetWhy())
	case *ledgerv1.Event_PaymentSucceeded:
		return true, i.paid(k.PaymentSucceeded)
	case *ledgerv1.Event_LateChargeObserved:
		return true, i.paid(k.LateChargeObserved)
	case *ledgerv1.Event_PaymentObserved:
		return true, i.withdraw(ofNumber, int64(k.PaymentObserved.GetPayNumber()), "the gateway took this payment by itself")
	case *ledgerv1.Event_PaymentDeclined:
		return true, i.end(attemptOf(k.PaymentDeclined))
	case *ledgerv1.Event_PaymentNotCharged:
		return true, i.end(attemptOf(k.PaymentNotCharged))
	case *ledgerv1.Event_AmountMismatchObserved:
		return true, i.end(attemptOf(k.AmountMismatchObserved))
	case *ledgerv1.Event_DuplicateChargeObserved:
		return true, i.end(attemptOf(k.DuplicateChargeObserved))
	case *ledgerv1.Event_SubscriptionCancelled:
		return true, i.withdraw(anyAttempt, 1, "the subscription ended before the outcome was known")
	case *ledgerv1.Event_SubscriptionPaused:
		// What was sent is still settled.
		return true, i.withdraw(anyAttempt+" AND sent = 0", 1, "the subscription was paused before the outcome was known")
	}
	return false, nil
}

// refund follows the refunds; done is false for what is not about them.
func (i intents) refund(e *ledgerv1.Event) (done bool, err error) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_RefundRequested:
		r := k.RefundRequested
		return true, i.open(refundOf(r), r.GetPayNumber(), 0, r.GetRefundId(), r.GetParentOrderId())
	case *ledgerv1.Event_RefundPending:
		return true, i.pending(refundOf(k.RefundPending))
	case *ledgerv1.Event_RefundUnknown:
		return true, i.unknown(refundOf(k.RefundUnknown), k.RefundUnknown.GetWhy())
	case *ledgerv1.Event_RefundSucceeded:
		return true, i.end(refundOf(k.RefundSucceeded))
	case *ledgerv1.Event_RefundFailed:
		return true, i.end(refundOf(k.RefundFailed))
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		// What the bank took back is not sent back a second time.
		return true, i.withdraw(ofOrder, k.DisputeFundsWithdrawn.GetParentOrderId(),
			"a chargeback came before the outcome was known")
	}
	return false, nil
}

// attemptOf names the attempt that an event is about.
func attemptOf(e interface {
	GetPayNumber() uint32
	GetAttempt() uint32
}) string {
	return fmt.Sprintf("payment:%d.%d", e.GetPayNumber(), e.GetAttempt())
}

// refundOf names the refund that an event is about.
func refundOf(e interface{ GetRefundId() string }) string { return "refund:" + e.GetRefundId() }

// intents writes the open intents of one subscription, as one event changes them.
type intents struct {
	tx                     Tx
	merchant, subscription string
	known                  int64
}

// open notes an intent: it may be sent from now on.
func (i intents) open(intent string, number, attempt uint32, refund string, parent int64) error {
	_, err := i.tx.Exec(`INSERT INTO open_intents
		(merchant_id, subscription_id, intent, pay_number, attempt, refund_id, parent_id, sent, withdrawn, doubt_since, why)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, NULL, '')
		ON CONFLICT (merchant_id, subscription_id, intent) DO NOTHING`,
		i.merchant, i.subscription, intent, int64(number), int64(attempt), refund, parent)
	return err
}

// unknown puts an intent in doubt. One that was withdrawn has been in doubt since then.
func (i intents) unknown(intent, why string) error {
	n, err := i.tx.Exec(`UPDATE open_intents SET sent = 1, doubt_since = COALESCE(doubt_since, $4), why = $5
		WHERE merchant_id = $1 AND subscription_id = $2 AND intent = $3`,
		i.merchant, i.subscription, intent, i.known, why)
	if err == nil && n == 0 {
		return fmt.Errorf("%s of %s.%s is unknown but was never open", intent, i.merchant, i.subscription)
	}
	return err
}

// pending ends the doubt about an intent, but not the wait for its outcome. One that was withdrawn stays in doubt.
func (i intents) pending(intent string) error {
	_, err := i.tx.Exec(`UPDATE open_intents SET sent = 1,
			doubt_since = CASE WHEN withdrawn = 0 THEN NULL ELSE doubt_since END, why = CASE WHEN withdrawn = 0 THEN '' ELSE why END
		WHERE merchant_id = $1 AND subscription_id = $2 AND intent = $3`,
		i.merchant, i.subscription, intent)
	return err
}

// end forgets an intent. One that ended before, like the attempt of a late charge, is forgotten already.
func (i intents) end(intent string) error {
	_, err := i.tx.Exec(`DELETE FROM open_intents WHERE merchant_id = $1 AND subscription_id = $2 AND intent = $3`,
		i.merchant, i.subscription, intent)
	return err
}

// paid ends an attempt and withdraws the others of its number: they must not charge it a second time.
func (i intents) paid(a attempt) error {
	if err := i.end(attemptOf(a)); err != nil {
		return err
	}
	return i.withdraw(ofNumber, int64(a.GetPayNumber()), "another attempt paid this number")
}

// Which intents are withdrawn; $5 says of what.
const (
	anyAttempt = "attempt >= $5" // a refund's is 0
	ofNumber   = "refund_id = '' AND pay_number = $5"
	ofOrder    = "parent_id = $5"
)

// withdraw forbids open intents to be sent. Until a look-up tells whether they were, they are in doubt.
func (i intents) withdraw(which string, arg int64, why string) error {
	_, err := i.tx.Exec(`UPDATE open_intents SET withdrawn = 1, doubt_since = COALESCE(doubt_since, $3),
			why = CASE WHEN doubt_since IS NULL THEN $4 ELSE why END
		WHERE merchant_id = $1 AND subscription_id = $2 AND `+which,
		i.merchant, i.subscription, i.known, why, arg)
	return err
}

// inDoubtKey is the place of an intent in the list of those in doubt.
type inDoubtKey struct {
	Since        int64  `json:"a"`
	Merchant     string `json:"m"`
	Subscription string `json:"s"`
	Intent       string `json:"i"`
}

type inDoubtRow struct {
	key inDoubtKey
	row *ledgerv1.InDoubt
}

// ListInDoubt reads a page of what is in doubt, the oldest first, and the next page's token. It is the one list here
// that spans merchants: those who run the ledger ask for it.
func ListInDoubt(ctx context.Context, r Reader, p Page) ([]*ledgerv1.InDoubt, string, error) {
	read := func(behind *inDoubtKey, limit int) ([]inDoubtRow, error) {
		w := where{}
		w.and("doubt_since IS NOT NULL")
		if behind != nil {
			w.and("(doubt_since, merchant_id, subscription_id, intent) > (%s, %s, %s, %s)",
				behind.Since, behind.Merchant, behind.Subscription, behind.Intent)
		}
		query := `SELECT merchant_id, subscription_id, intent, pay_number, attempt, refund_id, doubt_since, why
			FROM open_intents ` + w.String() +
			` ORDER BY doubt_since, merchant_id, subscription_id, intent LIMIT ` + w.arg(int64(limit))
		rows, err := r.Query(ctx, query, w.args...)
		return collect(rows, err, scanInDoubt)
	}
	rows, next, err := ReadPage(p, "in_doubt", struct{}{}, read, func(r inDoubtRow) inDoubtKey { return r.key })
	out := make([]*ledgerv1.InDoubt, len(rows))
	for i, r := range rows {
		out[i] = r.row
	}
	return out, next, err
}

func scanInDoubt(row Row) (inDoubtRow, error) {
	d := &ledgerv1.InDoubt{}
	var k inDoubtKey
	var number, attempt int64
	err := row.Scan(&d.MerchantId, &d.SubscriptionId, &k.Intent, &number, &attempt, &d.RefundId, &k.Since, &d.Why)
	d.PayNumber, d.Attempt = uint32(number), uint32(attempt)
	d.Since = timestamp(&k.Since)
	k.Merchant, k.Subscription = d.MerchantId, d.SubscriptionId
	return inDoubtRow{key: k, row: d}, err
}
