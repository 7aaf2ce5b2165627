package sandbox

import (
	"errors"
	"net/http"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// The stages of a dispute.
const (
	stageInquiry    = "inquiry"
	stageOpened     = "opened"
	stageWithdrawn  = "funds_withdrawn"
	stageReinstated = "funds_reinstated"
	stageClosed     = "closed"
)

// disputeFee is what the script's dispute costs the merchant.
const disputeFee = 1500

type disputeRequest struct {
	ID      string `json:"id,omitempty"` // the charge's one dispute if absent
	Stage   string `json:"stage"`
	Amount  *money `json:"amount,omitempty"` // all that is left if absent
	Fee     *money `json:"fee,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Outcome string `json:"outcome,omitempty"`
}

// dispute takes a dispute of c one stage on and tells it by webhook. Taking the stage it is at changes nothing.
func (c *chargeRow) dispute(tx projection.Tx, q disputeRequest, at time.Time) (answer, error) {
	if q.ID == "" {
		q.ID = name("dp_", c.ID)
	}
	d := &dispute{ID: q.ID, Charge: c.ID, ChargeKey: c.Key, Amount: c.Amount, Reason: "fraudulent"}
	d.Amount.MinorUnits -= c.Returned + c.Withdrawn
	found, err := one(tx.QueryRow(`SELECT doc FROM disputes WHERE account = $1 AND id = $2`, c.Account, q.ID), d)
	if err != nil {
		return answer{}, err
	}
	if found && d.Charge != c.ID {
		return problem(http.StatusConflict, "dispute_state", "The dispute is of another charge."), nil
	}
	if !found || d.Stage != q.Stage {
		if why := c.advance(d, q); why != "" {
			return problem(http.StatusConflict, "dispute_state", why), nil
		}
		d.Stage, d.At = q.Stage, at
		if err := c.keep(tx, d, at); err != nil {
			return answer{}, err
		}
	}
	return answerWith(http.StatusOK, d)
}

func (c *chargeRow) keep(tx projection.Tx, d *dispute, at time.Time) error {
	m := message{Type: disputeUpdated, Account: c.Account, Key: c.Key, Subscription: c.Metadata.Subscription, Dispute: d}
	return errors.Join(
		exec(tx, `INSERT INTO disputes (doc, account, id) VALUES ($1, $2, $3) ON CONFLICT (account, id) DO UPDATE SET doc = excluded.doc`, d, c.Account, d.ID),
		c.save(tx),
		send(tx, at, c.NotifyURL, m, d.ID, d.Stage),
	)
}

// advance changes c and d as the stage asks; why says why it cannot be.
func (c *chargeRow) advance(d *dispute, q disputeRequest) (why string) {
	if c.Status != succeeded {
		return "Nothing was charged."
	}
	if q.Amount != nil && !d.Withdrawn {
		d.Amount = *q.Amount
	}
	if q.Fee != nil {
		d.Fee = q.Fee
	}
	if q.Reason != "" {
		d.Reason = q.Reason
	}
	switch q.Stage {
	case stageInquiry, stageOpened:
		return ""
	case stageWithdrawn:
		if d.Withdrawn {
			return "The money was withdrawn before."
		}
		if d.Amount.CurrencyCode != c.Amount.CurrencyCode || d.Amount.MinorUnits <= 0 || d.Amount.MinorUnits > c.Amount.MinorUnits-c.Withdrawn {
			return "That amount cannot be withdrawn from the charge."
		}
		d.Withdrawn = true
		c.Withdrawn += d.Amount.MinorUnits
	case stageReinstated:
		if !d.Withdrawn || d.Reinstated {
			return "No money is withdrawn."
		}
		d.Reinstated = true
		c.Withdrawn -= d.Amount.MinorUnits
	case stageClosed:
		if q.Outcome != "won" && q.Outcome != "lost" && q.Outcome != "inquiry_closed" {
			return "The outcome is won, lost or inquiry_closed."
		}
		d.Outcome = q.Outcome
	default:
		return "No such stage."
	}
	return ""
}

// revoke ends an agreement, as a buyer would at his processor.
func (m *methodRow) revoke(tx projection.Tx, at time.Time) error {
	if m.Revoked {
		return nil
	}
	m.Revoked = true
	note := message{Type: agreementEnded, Account: m.Account, Subscription: m.Subscription, Code: "agreement_cancelled", Method: m.Reference}
	return errors.Join(m.save(tx), send(tx, at, m.NotifyURL, note, m.Reference))
}
