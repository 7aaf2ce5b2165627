package stripetest

import (
	"fmt"
	"slices"
	"time"
)

type refund struct {
	id, status, failure, reason string
	charge                      *charge
	amount                      int64
	metadata                    map[string]string
	created                     time.Time
	succeeded, failed           time.Time // zero if it has not
}

func (s *Server) createRefund(r *request) answer {
	c, refused := s.chargeOf(r)
	if refused != nil {
		return *refused
	}
	step := c.intent.method.card.refund
	if r.step != "" {
		step = r.step
	}
	if a, away := step.turnedAway(); away && !s.seen[r.key] {
		s.seen[r.key] = true
		return a
	}
	if step.uncharged() {
		return answer{}.spoiled(step)
	}
	amount, ok := r.number("amount")
	if amount == 0 {
		amount = c.amount - c.refunded
	}
	switch {
	case !ok || amount < 0:
		return invalid("amount", "parameter_invalid_integer", "Invalid integer.")
	case c.disputed:
		return invalid("", "charge_disputed", "Charge "+c.id+" has been charged back; cannot issue a refund.")
	case c.refunded == c.amount:
		return invalid("", "charge_already_refunded", "Charge "+c.id+" has already been refunded.")
	case amount > c.amount-c.refunded:
		return invalid("amount", "", "Refund amount is greater than unrefunded amount on charge.")
	}
	re := s.giveBack(c, amount, r.form.Get("reason"), r.metadata(""), step)
	if step == Twice {
		s.giveBack(c, amount, "", r.metadata(""), step)
	}
	o := re.object()
	if step == WrongID {
		o["metadata"] = map[string]string{"ledger_key": "another"}
	}
	return answerWith(o).spoiled(step)
}

// chargeOf is the charge that a refund names.
func (s *Server) chargeOf(r *request) (*charge, *answer) {
	id, intentID := r.form.Get("charge"), r.form.Get("payment_intent")
	if i, ok := s.find("payment_intent", intentID); ok {
		if i.charge == nil {
			a := invalid("payment_intent", "", "This PaymentIntent does not have a successful charge to refund.")
			return nil, &a
		}
		return i.charge, nil
	}
	if c, ok := s.charges[id]; ok {
		return c, nil
	}
	a := missing("charge or payment_intent", id+intentID, "charge")
	return nil, &a
}

func (s *Server) giveBack(c *charge, amount int64, reason string, metadata map[string]string, step Step) *refund {
	re := &refund{id: s.id("re"), charge: c, amount: amount, reason: reason, metadata: metadata, status: "succeeded", created: s.c.Now()}
	switch step {
	case Processing:
		re.status = "pending"
	case Action:
		re.status = "requires_action"
	case Refused:
		re.status, re.failure = "failed", "declined"
	}
	switch re.status {
	case "failed":
		re.failed = re.created
	case "succeeded":
		re.succeeded = re.created
	}
	if re.status != "failed" {
		c.refunded += amount
	}
	s.refunds = append(s.refunds, re)
	s.event("refund.created", re.object())
	if re.status == "failed" {
		s.event("refund.failed", re.object())
	}
	return re
}

func (re *refund) object() object {
	return object{
		"id": re.id, "object": "refund", "status": re.status, "amount": re.amount, "currency": re.charge.currency, "created": re.created.Unix(),
		"charge": re.charge.id, "payment_intent": re.charge.intent.id, "reason": null(re.reason), "failure_reason": null(re.failure),
		"metadata": re.metadata,
	}
}

func (s *Server) getRefund(r *request) answer {
	for _, re := range s.refunds {
		if re.id == r.PathValue("id") {
			return answerWith(re.object())
		}
	}
	return missing("refund", r.PathValue("id"), "refund")
}

func (s *Server) listRefunds(r *request) answer {
	return listOf(s, r, s.refunds, func(re *refund) (string, time.Time) { return re.id, re.created }, (*refund).object)
}

// Returned are the amounts that were given back under a key, and not returned by the bank.
func (s *Server) Returned(key string) []Amount {
	s.mu.Lock()
	defer s.mu.Unlock()
	var returned []Amount
	for _, re := range s.refunds {
		if re.metadata["ledger_key"] == key && re.status == "succeeded" {
			returned = append(returned, Amount{re.amount, re.charge.currency})
		}
	}
	return returned
}

// RefundAtDesk returns money of a payment on Stripe's own pages.
func (s *Server) RefundAtDesk(intentID string, amount int64) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(intentID)
	i, ok := s.find("payment_intent", intentID)
	if !ok || i.charge == nil || amount > i.charge.amount-i.charge.refunded {
		return "", fmt.Errorf("%d of %s cannot be returned", amount, intentID)
	}
	return s.giveBack(i.charge, amount, "requested_by_customer", map[string]string{}, OK).id, nil
}

// DecideRefund ends a refund that is open, or takes back one that has succeeded: ok is what the bank says of it.
func (s *Server) DecideRefund(id string, ok bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(id)
	n := slices.IndexFunc(s.refunds, func(re *refund) bool { return re.id == id })
	if n < 0 || s.refunds[n].status == "failed" {
		return fmt.Errorf("refund %s is not open", id)
	}
	re := s.refunds[n]
	if ok {
		re.status, re.succeeded = "succeeded", s.c.Now()
		s.event("refund.updated", re.object())
		return nil
	}
	re.status, re.failure, re.failed = "failed", "expired_or_canceled_card", s.c.Now()
	re.charge.refunded -= re.amount
	s.event("refund.failed", re.object())
	return nil
}
