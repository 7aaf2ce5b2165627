package sandbox

import (
	"errors"
	"net/http"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// What the sandbox does by itself, past whoever calls it as a gateway: it takes payments by a schedule of its own, and
// returns money at its own desk. It runs no calendar for that; whoever plays with it says when. Nothing of it carries
// a key.

// paymentRequest has the sandbox take a payment.
type paymentRequest struct {
	Amount   money    `json:"amount"`
	Token    string   `json:"token,omitempty"`
	Method   string   `json:"method,omitempty"`
	Metadata metadata `json:"metadata"`
}

func (q *paymentRequest) check() error {
	if q.Token != "" && q.Method != "" {
		return errors.New("token and method exclude each other")
	}
	if q.Method == "" && q.Metadata.Subscription == "" {
		return errors.New("metadata.subscription is missing, and no method names one")
	}
	return q.Amount.check(1)
}

func (s *Server) postPayment(w http.ResponseWriter, r *http.Request) {
	var q paymentRequest
	err := read(w, r, &q)
	if err == nil {
		err = q.check()
	}
	if err != nil {
		s.invalid(w, r, err)
		return
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		return takeByItself(tx, r.PathValue("account"), q, s.clock.Now())
	})
}

// takeByItself takes a payment on a stored method, or on the agreement that the buyer of a subscription has with the
// sandbox. The method's next step says what becomes of it, as far as that is about the money: there is no caller whom
// an answer could mislead, and nothing to wait for.
func takeByItself(tx projection.Tx, account string, q paymentRequest, now time.Time) (answer, error) {
	acc, found, err := loadAccount(tx, account)
	if err != nil || !found {
		return problem(http.StatusUnauthorized, "unauthorized", "No such account."), err
	}
	c := chargeRequest{Amount: q.Amount, Token: q.Token, Method: q.Method, NotifyURL: acc.NotifyURL, Metadata: q.Metadata}
	if c.Token == "" && c.Method == "" {
		c.Token = tokenPrefix + "ok"
	}
	m, refused, err := methodOf(tx, account, acc, c)
	if err != nil || refused != nil {
		return deref(refused), err
	}
	if m.Revoked {
		return problem(http.StatusConflict, "agreement_cancelled", "The buyer ended the agreement."), nil
	}
	if c.Metadata.Subscription == "" {
		c.Metadata.Subscription = m.Subscription
	}
	row, err := newCharge(tx, account, acc, c, &requestRow{Step: m.take(), MethodID: m.Reference}, now)
	if err != nil {
		return answer{}, err
	}
	if err := errors.Join(m.save(tx), row.happen(tx, now), row.insert(tx)); err != nil {
		return answer{}, err
	}
	return answerWith(http.StatusOK, row.charge)
}

// happen lets a payment that nobody asked for happen. One that fails is told to nobody: no money moved.
func (c *chargeRow) happen(tx projection.Tx, now time.Time) error {
	b, _ := chargeStep(c.Step)
	if b.effect != decline {
		b.effect = succeed
	}
	err := c.begin(tx, b, now)
	if err != nil || c.Status != succeeded || b.twice {
		return err
	}
	return c.notify(tx, now)
}

// deskRequest returns money at the sandbox's own desk.
type deskRequest struct {
	Amount *money `json:"amount,omitempty"` // all that is left if absent
	Reason string `json:"reason,omitempty"`
}

func (s *Server) postDeskRefund(w http.ResponseWriter, r *http.Request) {
	var q deskRequest
	err := read(w, r, &q)
	if err == nil && q.Amount != nil {
		err = q.Amount.check(1)
	}
	if err != nil {
		s.invalid(w, r, err)
		return
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		c, found, err := loadCharge(tx, r.PathValue("charge"))
		if err != nil || !found || c.Account != r.PathValue("account") || c.Status == hidden {
			return problem(http.StatusNotFound, codeNoSuchCharge, "No such charge."), err
		}
		return c.giveBackAtDesk(tx, q, s.clock.Now())
	})
}

// giveBackAtDesk returns money of c and tells of it.
func (c *chargeRow) giveBackAtDesk(tx projection.Tx, q deskRequest, now time.Time) (answer, error) {
	amount := c.Amount
	amount.MinorUnits -= c.Returned
	if q.Amount != nil {
		amount = *q.Amount
	}
	if d := c.whyNot(amount); d != nil {
		return problem(http.StatusConflict, d.Code, d.Message), nil
	}
	if amount.MinorUnits == 0 {
		return problem(http.StatusConflict, "nothing_left", "Nothing is left of the charge."), nil
	}
	r, err := newRefund(tx, c, "", amount, now)
	if err != nil {
		return answer{}, err
	}
	r.Reason = q.Reason
	m := message{Type: "refund.made", Account: c.Account, Subscription: c.Metadata.Subscription, Refund: r}
	if err := errors.Join(r.begin(tx, c, behaviour{}, now), send(tx, now, c.NotifyURL, m, r.ID)); err != nil {
		return answer{}, err
	}
	return answerWith(http.StatusOK, r)
}
