package payabltest

import "time"

// Book is what payabl. has on its own account, for whoever compares it with what somebody else believes.
type Book struct {
	Payments []Payment
	Refunds  []Refund
	Methods  []string // stored methods and agreements that can be charged
}

// Payment is a payment that was taken. Its amount is in hundredths, whatever the currency.
type Payment struct {
	ID, Order, Custom string
	Amount            int64
	Currency          string
	At                time.Time
}

// Refund is money that went back.
type Refund struct {
	ExternalID string
	Of         Payment
	Amount     int64
	At         time.Time
}

// Book is what is in the server's book.
func (s *Server) Book() (b Book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transactions {
		p := Payment{ID: t.id, Order: t.order, Custom: t.custom, Amount: t.taken(), Currency: t.currency}
		for _, st := range t.steps {
			switch {
			case st.kind == "capture" && st.code == 0:
				p.At = st.decided
			case st.kind == "refund" && st.code == 0:
				b.Refunds = append(b.Refunds, Refund{st.external, p, st.amount, st.decided})
			}
		}
		if p.Amount > 0 {
			b.Payments = append(b.Payments, p)
		}
		if given := t.code("order"); t.init && !t.ended && (given == 0 || given == 145006) {
			b.Methods = append(b.Methods, t.id)
		}
	}
	return b
}

// Waiting is what waits for somebody outside of payabl.: a buyer who was sent away, or a bank.
type Waiting struct {
	ID   string
	Kind string // page or 3ds, where the buyer was sent; order or refund
	Step int    // of a refund
}

// Waiting lists them.
func (s *Server) Waiting() (list []Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transactions {
		for n, st := range t.steps {
			switch {
			case st.code != 2000:
			case st.kind == "order" && t.page && t.charge:
				list = append(list, Waiting{t.id, "3ds", n})
			case st.kind == "order" && t.page:
				list = append(list, Waiting{t.id, "page", n})
			case st.kind == "order" || st.kind == "refund":
				list = append(list, Waiting{t.id, st.kind, n})
			}
		}
	}
	return list
}
