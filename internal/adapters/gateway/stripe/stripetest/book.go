package stripetest

import (
	"maps"
	"slices"
	"time"
)

// Book is what Stripe has on its own account, for whoever compares it with what somebody else believes. Its lists are in
// the order in which things came to be.
type Book struct {
	Payments []Payment
	Refunds  []Refund
	Disputes []Dispute
	Methods  []Method
}

// Payment is a payment that was taken.
type Payment struct {
	Intent   string
	Amount   Amount
	Left     int64 // what was not given back, nor is about to be
	Metadata map[string]string
	At       time.Time
}

// Refund is money that was to go back, and when it did and came back; zero if it did not.
type Refund struct {
	ID, Status        string
	Of                Payment
	Amount            Amount
	Metadata          map[string]string
	Succeeded, Failed time.Time
}

// Dispute is a dispute of a payment, and when its money went and came back; zero if it did not.
type Dispute struct {
	ID, Status            string
	Of                    Payment
	Withdrawn, Reinstated time.Time
}

// Method is a payment method that a customer has.
type Method struct{ ID, Customer string }

// Book is what is in the server's book.
func (s *Server) Book() Book {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b Book
	for _, i := range s.intents {
		if i.charge != nil {
			b.Payments = append(b.Payments, i.charge.payment())
		}
	}
	for _, re := range s.refunds {
		b.Refunds = append(b.Refunds, Refund{
			ID: re.id, Status: re.status, Of: re.charge.payment(), Amount: Amount{re.amount, re.charge.currency},
			Metadata: maps.Clone(re.metadata), Succeeded: re.succeeded, Failed: re.failed,
		})
	}
	for _, d := range s.disputes {
		b.Disputes = append(b.Disputes, Dispute{
			ID: d.id, Status: d.status, Of: d.charge.payment(), Withdrawn: d.withdrawn, Reinstated: d.reinstated,
		})
	}
	for _, id := range slices.Sorted(maps.Keys(s.methods)) {
		if m := s.methods[id]; !m.detached {
			b.Methods = append(b.Methods, Method{m.id, m.customer})
		}
	}
	return b
}

func (c *charge) payment() Payment {
	p := Payment{
		Intent: c.intent.id, Amount: Amount{c.amount, c.currency}, Left: c.amount - c.refunded,
		Metadata: maps.Clone(c.intent.metadata), At: c.created,
	}
	if c.disputed {
		p.Left = 0
	}
	return p
}

// Waiting is what waits for somebody outside of Stripe: an intent for a bank or for its buyer, a page for its buyer, a
// refund for a bank.
type Waiting struct {
	Object string // payment_intent, setup_intent, checkout.session or refund
	ID     string // of a session: its address
	Status string
}

// Waiting lists them.
func (s *Server) Waiting() (list []Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.intents {
		if i.status == "processing" || i.status == "requires_action" {
			list = append(list, Waiting{i.kind, i.id, i.status})
		}
	}
	for _, cs := range s.sessions {
		if cs.status == "open" {
			list = append(list, Waiting{"checkout.session", cs.address(), cs.status})
		}
	}
	for _, re := range s.refunds {
		if re.status == "pending" {
			list = append(list, Waiting{"refund", re.id, re.status})
		}
	}
	return list
}
