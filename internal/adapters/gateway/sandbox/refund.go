package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"ledger.internal/ledger/internal/projection"
)

func (q *refundRequest) check() error {
	if q.Charge == "" {
		return errors.New("charge is missing")
	}
	return errors.Join(checkKey(q.Key), q.Amount.check(1))
}

// carryOutRefund carries out a request to give money back, inside a change.
func carryOutRefund(tx projection.Tx, account string, q refundRequest, byKey bool, now time.Time) (answer, error) {
	if _, found, err := loadAccount(tx, account); err != nil || !found {
		return problem(http.StatusUnauthorized, "unauthorized", "No such account."), err
	}
	print, err := fingerprint(q)
	if err != nil {
		return answer{}, err
	}
	c, found, err := loadCharge(tx, q.Charge)
	if err != nil {
		return answer{}, err
	}
	if !found || c.Account != account || c.Status == hidden {
		return problem(http.StatusNotFound, codeNoSuchCharge, "No such charge."), nil
	}
	row, known, err := loadRequest(tx, account, opRefund, q.Key)
	if err != nil {
		return answer{}, err
	}
	if known && now.Sub(row.At) < keyLifetime {
		if a, ok := row.repeat(print, byKey); ok {
			return a, nil
		}
	} else {
		row = &requestRow{At: now, Fingerprint: print}
		if row.Step, err = refundStepOf(tx, account, c); err != nil {
			return answer{}, err
		}
	}
	row.Calls++
	a, err := giveBack(tx, c, q, row, now)
	if err != nil {
		return answer{}, err
	}
	return a, row.save(tx, account, opRefund, q.Key)
}

func refundStepOf(tx projection.Tx, account string, c *chargeRow) (string, error) {
	step, err := takeFault(tx, account, opRefund)
	if err != nil || step != "" {
		return step, err
	}
	b, ok := chargeStep(c.Step)
	if !ok || b.refund == "" {
		return "ok", nil
	}
	return b.refund, nil
}

// giveBack does what the step of row says, and words the answer.
func giveBack(tx projection.Tx, c *chargeRow, q refundRequest, row *requestRow, now time.Time) (answer, error) {
	b, ok := refundStep(row.Step)
	if !ok {
		return answer{}, fmt.Errorf("refund %s: no step %q", q.Key, row.Step)
	}
	if a, away := turnAway(b.telling); away && row.Calls == 1 {
		return a, nil
	}
	if b.effect == nothing {
		a := answer{}.spoil(b.telling, "")
		if b.telling == by500 {
			row.Answer = &a
		}
		return a, nil
	}
	r, err := newRefund(tx, c, q.Key, q.Amount, now)
	if err != nil {
		return answer{}, err
	}
	if err := r.begin(tx, c, b, now); err != nil {
		return answer{}, err
	}
	a, err := answerWith(http.StatusOK, r)
	a = a.spoil(b.telling, r.ID)
	row.Answer = &a
	return a, err
}

func newRefund(tx projection.Tx, c *chargeRow, key string, amount money, now time.Time) (*refund, error) {
	var before int
	if err := tx.QueryRow(`SELECT count(*) FROM refunds WHERE account = $1 AND refund_key = $2`, c.Account, key).Scan(&before); err != nil {
		return nil, err
	}
	return &refund{
		ID:      name("re_", c.Account, key, strconv.Itoa(before)),
		Account: c.Account, Key: key, Charge: c.ID, ChargeKey: c.Key, Amount: amount, CreatedAt: now, Metadata: c.Metadata,
	}, nil
}

// begin records the refund in the state that c and b lead to.
func (r *refund) begin(tx projection.Tx, c *chargeRow, b behaviour, now time.Time) error {
	if d := c.whyNot(r.Amount); d != nil {
		b = behaviour{effect: decline, decline: d}
	}
	r.Status = succeeded
	var job error
	switch b.effect {
	case decline:
		r.Status, r.Decline = failed, b.decline
	case pend:
		r.Status = pending
		job = later(tx, now.Add(decideAfter), jobRefund+string(b.then), r.ID)
	case reverse:
		job = later(tx, now.Add(refundFailsAfter), jobReverse, r.ID)
	}
	if r.Status != pending {
		r.DecidedAt = &now
	}
	if r.Status != failed {
		c.Returned += r.Amount.MinorUnits
	}
	return errors.Join(job, r.insert(tx), c.save(tx))
}

// whyNot is the reason why amount cannot be given back; nil if it can.
func (c *chargeRow) whyNot(amount money) *declined {
	switch {
	case c.Status != succeeded:
		return &declined{Category: "hard", Code: "charge_not_succeeded", Message: "Nothing was charged."}
	case c.Withdrawn > 0:
		return &declined{Category: "hard", Code: "charge_disputed", Message: "The money was withdrawn by a dispute."}
	case amount.CurrencyCode != c.Amount.CurrencyCode:
		return &declined{Category: "hard", Code: "wrong_currency", Message: "The charge is in another currency."}
	case amount.MinorUnits > c.Amount.MinorUnits-c.Returned:
		return &declined{Category: "hard", Code: "amount_exceeds_charge", Message: "More than what is left of the charge."}
	}
	return nil
}

// decideRefund is a pending refund's decision.
func decideRefund(tx projection.Tx, id string, to status, at time.Time) error {
	var r refund
	found, err := one(tx.QueryRow(`SELECT doc FROM refunds WHERE id = $1`, id), &r)
	if err != nil || !found {
		return err
	}
	c, found, err := loadCharge(tx, r.Charge)
	if err != nil || !found {
		return err
	}
	r.Status, r.DecidedAt = to, &at
	if to != succeeded {
		r.Decline = declineFor("refund")
		c.Returned -= r.Amount.MinorUnits
	}
	m := message{Type: refundUpdated, Account: r.Account, Key: r.Key, Subscription: r.Metadata.Subscription}
	return errors.Join(r.save(tx), c.save(tx), send(tx, at, c.NotifyURL, m, r.ID, string(to)))
}
