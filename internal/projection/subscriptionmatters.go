package projection

import (
	"fmt"
	"strconv"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// matters keeps what is under way, in dispute or in suspense in one subscription, and counts a row's flags from it.
type matters struct {
	tx                     Tx
	merchant, subscription string
}

// Kinds of matters.
const (
	attemptMatter  = "attempt"
	refundMatter   = "refund"
	mismatchMatter = "mismatch"
	disputeMatter  = "dispute"
	paymentMatter  = "payment"
)

// apply takes note of an event, and sets the flags of the row if it may have changed one.
func (s matters) apply(e *ledgerv1.Event, r *subscriptionRow) error {
	for _, note := range []func(*ledgerv1.Event) (bool, error){s.attempt, s.payment, s.refund, s.dispute} {
		changed, err := note(e)
		if err != nil {
			return err
		}
		if changed {
			return s.flag(r)
		}
	}
	return nil
}

// attempt follows the attempts at charging until an outcome ends them. Like the others it reports whether a flag may
// have changed: what was just asked for is not in doubt yet.
func (s matters) attempt(e *ledgerv1.Event) (bool, error) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentRequested:
		return false, s.add(matter{kind: attemptMatter, id: attemptID(k.PaymentRequested), state: "requested",
			number: k.PaymentRequested.GetPayNumber()})
	case *ledgerv1.Event_PaymentPending:
		return true, s.become(attemptMatter, attemptID(k.PaymentPending), "pending")
	case *ledgerv1.Event_PaymentUnknown:
		return true, s.become(attemptMatter, attemptID(k.PaymentUnknown), "unknown")
	case *ledgerv1.Event_PaymentDeclined:
		return true, s.remove(attemptMatter, attemptID(k.PaymentDeclined))
	case *ledgerv1.Event_PaymentNotCharged:
		return true, s.remove(attemptMatter, attemptID(k.PaymentNotCharged))
	case *ledgerv1.Event_DuplicateChargeObserved:
		return true, s.remove(attemptMatter, attemptID(k.DuplicateChargeObserved))
	case *ledgerv1.Event_AmountMismatchObserved:
		id := attemptID(k.AmountMismatchObserved)
		if err := s.remove(attemptMatter, id); err != nil {
			return true, err
		}
		return true, s.add(matter{kind: mismatchMatter, id: id, state: "open"})
	case *ledgerv1.Event_MismatchResolved:
		return true, s.remove(mismatchMatter, attemptID(k.MismatchResolved))
	case *ledgerv1.Event_SubscriptionPaused:
		return true, s.withdraw("kind = 'attempt' AND state = $3", "requested") // what the gateway has is settled there
	case *ledgerv1.Event_SubscriptionCancelled:
		return true, s.withdraw("kind = $3", attemptMatter)
	}
	return false, nil
}

// payment notes what was captured, which can go back.
func (s matters) payment(e *ledgerv1.Event) (bool, error) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentSucceeded:
		return true, s.paid(k.PaymentSucceeded, attemptID(k.PaymentSucceeded))
	case *ledgerv1.Event_LateChargeObserved:
		return true, s.paid(k.LateChargeObserved, attemptID(k.LateChargeObserved))
	case *ledgerv1.Event_PaymentObserved:
		return true, s.paid(k.PaymentObserved, "")
	}
	return false, nil
}

// paid ends the attempt that paid a number and withdraws the others: they must not charge it a second time.
func (s matters) paid(p interface {
	GetOrderId() int64
	GetPayNumber() uint32
	GetAmounts() *ledgerv1.Amounts
}, attempt string) error {
	if err := s.remove(attemptMatter, attempt); err != nil {
		return err
	}
	if err := s.withdraw("kind = 'attempt' AND pay_number = $3", int64(p.GetPayNumber())); err != nil {
		return err
	}
	return s.add(matter{kind: paymentMatter, id: strconv.FormatInt(p.GetOrderId(), 10), state: "open",
		amount: minor(p.GetAmounts().GetFull())})
}

// refund follows the refunds.
func (s matters) refund(e *ledgerv1.Event) (bool, error) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_RefundRequested:
		r := k.RefundRequested
		return false, s.add(matter{kind: refundMatter, id: r.GetRefundId(), state: "requested",
			order: r.GetParentOrderId(), amount: minor(r.GetAmounts().GetFull())})
	case *ledgerv1.Event_RefundPending:
		return true, s.become(refundMatter, k.RefundPending.GetRefundId(), "pending")
	case *ledgerv1.Event_RefundUnknown:
		return true, s.become(refundMatter, k.RefundUnknown.GetRefundId(), "unknown")
	case *ledgerv1.Event_RefundFailed:
		return true, s.remove(refundMatter, k.RefundFailed.GetRefundId())
	case *ledgerv1.Event_RefundSucceeded:
		if err := s.remove(refundMatter, k.RefundSucceeded.GetRefundId()); err != nil {
			return true, err
		}
		return true, s.returned(k.RefundSucceeded)
	case *ledgerv1.Event_RefundObserved:
		return true, s.returned(k.RefundObserved)
	case *ledgerv1.Event_RefundReversed:
		return true, s.left(k.RefundReversed, +1)
	}
	return false, nil
}

// returned notes what went back. If nobody expected that, more may be on its way back than is left, and then nothing
// more is sent.
func (s matters) returned(r movement) error {
	if err := s.left(r, -1); err != nil {
		return err
	}
	return s.withdraw(`kind = 'refund' AND order_id = $3 AND
		(SELECT p.amount FROM subscription_matters p
			WHERE p.merchant_id = $1 AND p.subscription_id = $2 AND p.kind = 'payment' AND p.id = $4) <
		(SELECT SUM(r.amount) FROM subscription_matters r
			WHERE r.merchant_id = $1 AND r.subscription_id = $2 AND r.kind = 'refund' AND r.order_id = $3)`,
		r.GetParentOrderId(), strconv.FormatInt(r.GetParentOrderId(), 10))
}

// dispute follows the disputes.
func (s matters) dispute(e *ledgerv1.Event) (bool, error) {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_DisputeOpened:
		return true, s.disputed(k.DisputeOpened.GetDisputeId())
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		d := k.DisputeFundsWithdrawn
		if err := s.disputed(d.GetDisputeId()); err != nil {
			return true, err
		}
		if err := s.left(d, -1); err != nil {
			return true, err
		}
		// What the bank took back is not sent back a second time.
		return true, s.withdraw("kind = 'refund' AND order_id = $3", d.GetParentOrderId())
	case *ledgerv1.Event_DisputeFundsReinstated:
		return true, s.left(k.DisputeFundsReinstated, +1)
	case *ledgerv1.Event_DisputeClosed:
		id := k.DisputeClosed.GetDisputeId()
		if err := s.disputed(id); err != nil {
			return true, err
		}
		return true, s.become(disputeMatter, id, "closed")
	}
	return false, nil
}

// disputed notes a dispute. One that is known stays as it is: its messages may come in any order, and it closes once.
func (s matters) disputed(id string) error {
	return s.add(matter{kind: disputeMatter, id: id, state: "open"})
}

// attemptID names the attempt that an event is about.
func attemptID(e interface {
	GetPayNumber() uint32
	GetAttempt() uint32
}) string {
	return fmt.Sprintf("%d.%d", e.GetPayNumber(), e.GetAttempt())
}

// matter is one of them, as it begins.
type matter struct {
	kind, id, state string
	number          uint32
	order, amount   int64
}

func (s matters) add(m matter) error {
	_, err := s.tx.Exec(`INSERT INTO subscription_matters
		(merchant_id, subscription_id, kind, id, pay_number, order_id, amount, state, withdrawn)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)
		ON CONFLICT (merchant_id, subscription_id, kind, id) DO NOTHING`,
		s.merchant, s.subscription, m.kind, m.id, int64(m.number), m.order, m.amount, m.state)
	return err
}

func (s matters) become(kind, id, state string) error {
	_, err := s.tx.Exec(`UPDATE subscription_matters SET state = $5
		WHERE merchant_id = $1 AND subscription_id = $2 AND kind = $3 AND id = $4`, s.merchant, s.subscription, kind, id, state)
	return err
}

func (s matters) remove(kind, id string) error {
	_, err := s.tx.Exec(`DELETE FROM subscription_matters
		WHERE merchant_id = $1 AND subscription_id = $2 AND kind = $3 AND id = $4`, s.merchant, s.subscription, kind, id)
	return err
}

// withdraw forbids what is under way to be sent. Until a look-up tells whether it was, it is in doubt.
func (s matters) withdraw(which string, args ...any) error {
	_, err := s.tx.Exec(`UPDATE subscription_matters SET withdrawn = 1
		WHERE merchant_id = $1 AND subscription_id = $2 AND `+which, append([]any{s.merchant, s.subscription}, args...)...)
	return err
}

// movement is what the events that move a payment's money back, or forth again, have in common.
type movement interface {
	GetParentOrderId() int64
	GetAmounts() *ledgerv1.Amounts
}

// left changes what is left of a payment.
func (s matters) left(m movement, sign int64) error {
	_, err := s.tx.Exec(`UPDATE subscription_matters SET amount = amount + $4
		WHERE merchant_id = $1 AND subscription_id = $2 AND kind = 'payment' AND id = $3`,
		s.merchant, s.subscription, strconv.FormatInt(m.GetParentOrderId(), 10), sign*minor(m.GetAmounts().GetFull()))
	return err
}

// flag sets the flags of a row.
func (s matters) flag(r *subscriptionRow) error {
	var doubts, disputes, mismatches int64
	err := s.tx.QueryRow(`SELECT
			COUNT(CASE WHEN kind IN ('attempt', 'refund') AND (state = 'unknown' OR withdrawn = 1) THEN 1 END),
			COUNT(CASE WHEN kind = 'dispute' AND state = 'open' THEN 1 END),
			COUNT(CASE WHEN kind = 'mismatch' THEN 1 END)
		FROM subscription_matters WHERE merchant_id = $1 AND subscription_id = $2 AND kind IN ('attempt', 'refund', 'dispute', 'mismatch')`,
		s.merchant, s.subscription).Scan(&doubts, &disputes, &mismatches)
	r.InDoubt, r.Disputed, r.AmountMismatch = doubts > 0, disputes > 0, mismatches > 0
	return err
}
