package stripetest

import (
	"fmt"
	"slices"
	"time"
)

// disputeFee is what a dispute costs, in the charge's currency.
const disputeFee = 1500

type dispute struct {
	id, status string
	charge     *charge
	withdrawn  time.Time // zero if the money was not
	reinstated time.Time
	created    time.Time
}

// Dispute opens a dispute of a payment with a status (https://docs.stripe.com/api/disputes/object). Unless it is an
// inquiry, the money is withdrawn.
func (s *Server) Dispute(intentID, status string) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(intentID)
	i, ok := s.find("payment_intent", intentID)
	if !ok || i.charge == nil {
		return "", fmt.Errorf("nothing was charged by %s", intentID)
	}
	d := &dispute{id: s.id("dp"), status: status, charge: i.charge, created: s.c.Now()}
	s.disputes = append(s.disputes, d)
	s.event("charge.dispute.created", d.object())
	if status == "needs_response" {
		s.withdraw(d)
	}
	return d.id, nil
}

// DisputeBecomes moves a dispute on. An inquiry that turns into a dispute takes the money; won gives it back.
func (s *Server) DisputeBecomes(id, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(id)
	n := slices.IndexFunc(s.disputes, func(d *dispute) bool { return d.id == id })
	if n < 0 {
		return fmt.Errorf("no dispute %s", id)
	}
	d := s.disputes[n]
	d.status = status
	switch status {
	case "won", "lost", "warning_closed", "prevented":
		if status == "won" && !d.withdrawn.IsZero() {
			d.reinstated, d.charge.disputed = s.c.Now(), false
			s.event("charge.dispute.funds_reinstated", d.object())
		}
		s.event("charge.dispute.closed", d.object())
		return nil
	}
	s.event("charge.dispute.updated", d.object())
	if status == "needs_response" && d.withdrawn.IsZero() {
		s.withdraw(d)
	}
	return nil
}

// DisputesOf are the disputes of a payment, in the order in which they were opened.
func (s *Server) DisputesOf(intentID string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.disputes {
		if d.charge.intent.id == intentID {
			ids = append(ids, d.id)
		}
	}
	return ids
}

func (s *Server) withdraw(d *dispute) {
	d.withdrawn, d.charge.disputed = s.c.Now(), true
	s.event("charge.dispute.funds_withdrawn", d.object())
}

func (d *dispute) object() object {
	moved := []object{}
	if !d.withdrawn.IsZero() {
		moved = append(moved, object{"id": "txn_" + d.id + "w", "amount": -d.charge.amount, "currency": d.charge.currency, "fee": disputeFee})
	}
	if !d.reinstated.IsZero() {
		moved = append(moved, object{"id": "txn_" + d.id + "r", "amount": d.charge.amount, "currency": d.charge.currency, "fee": 0})
	}
	return object{
		"id": d.id, "object": "dispute", "status": d.status, "reason": "fraudulent", "amount": d.charge.amount, "currency": d.charge.currency,
		"charge": d.charge.id, "payment_intent": d.charge.intent.id, "balance_transactions": moved, "created": d.created.Unix(), "metadata": object{},
	}
}
