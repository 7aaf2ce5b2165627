package stripetest

import "cmp"

// Entry is a line of what happened: money that moved, or that an issuer refused to move.
type Entry struct {
	// Kind is "charge", "refund" or "dispute".
	Kind, Account string
	Amount        Amount
	// Status is that of the intent, the refund or the dispute, and for a refused charge why it was refused.
	Status   string
	Metadata map[string]string // of the payment
}

// Entries are what happened to the money at all accounts: charges, then refunds, then disputes, each in the order in
// which they began.
func (s *Server) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Entry
	for _, i := range s.intents {
		if i.kind == "payment_intent" {
			all = append(all, Entry{"charge", s.owners[i.id], Amount{i.amount, i.currency}, i.outcome(), i.metadata})
		}
	}
	for _, re := range s.refunds {
		i := re.charge.intent
		all = append(all, Entry{"refund", s.owners[i.id], Amount{re.amount, re.charge.currency}, re.status, i.metadata})
	}
	for _, d := range s.disputes {
		i := d.charge.intent
		all = append(all, Entry{"dispute", s.owners[i.id], Amount{d.charge.amount, d.charge.currency}, d.status, i.metadata})
	}
	return all
}

func (i *intent) outcome() string {
	if i.failure == nil {
		return i.status
	}
	return cmp.Or(i.failure.DeclineCode, i.failure.Code)
}
