package invariant

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// checkStep looks at one step of a subscription's life in the ledger.
func (h *history) checkStep(e event.Recorded, before, after subscription.State) {
	broken := func(format string, args ...any) {
		h.report.violation("%s/%d: "+format, append([]any{e.Stream, e.Revision}, args...)...)
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentRequested:
		r := k.PaymentRequested
		if before.Ended() {
			broken("a charge was asked for after the end")
		}
		if r.PayNumber != before.Paid+1 {
			broken("pay number %d was asked for when %d was next", r.PayNumber, before.Paid+1)
		}
		if a, open := before.OpenAttempt(); open && !a.Withdrawn {
			broken("a second attempt began while attempt %d of %d was open", a.Attempt, a.Number)
		}
		if due := before.NextDue; !due.IsZero() && e.Metadata.RecordedAt.AsTime().Before(due) {
			broken("a charge was asked for before it was due")
		}
		if before.Stopped {
			broken("a method was tried again after a decline that forbids it")
		}
	case *ledgerv1.Event_RefundRequested:
		h.checkRefund(e, after, k.RefundRequested)
	}
	if after.Paid < before.Paid || after.Paid > before.Paid+1 {
		broken("pay number %d was paid after %d", after.Paid, before.Paid)
	}
}

// checkRefund checks that no more is on its way back than was captured and not charged back.
func (h *history) checkRefund(e event.Recorded, s subscription.State, r *ledgerv1.RefundRequested) {
	c, ok := s.FindCharge(r.ParentOrderId)
	if !ok {
		h.report.violation("%s/%d refunds order %d, which is no payment", e.Stream, e.Revision, r.ParentOrderId)
		return
	}
	returned := c.Refunded.Full.MinorUnits + c.ChargedBack.Full.MinorUnits
	for _, f := range s.Refunds {
		if f.Parent == c.OrderID && f.Open() {
			returned += f.Amounts.Full.MinorUnits
		}
	}
	if captured := c.Amounts.Full.MinorUnits; returned > captured {
		h.report.violation("%s/%d: %d of %d minor units are on their way back", e.Stream, e.Revision, returned, captured)
	}
}

// finish looks at every subscription as it ended up.
func (h *history) finish() {
	for name, s := range h.subscriptions {
		h.report.Subscriptions++
		paid := map[uint32]int{}
		for _, c := range s.Charges {
			paid[c.Number]++
		}
		for n := h.imported[name] + 1; n <= s.Paid; n++ {
			if paid[n] != 1 {
				h.report.violation("%s: pay number %d was sold %d times", name, n, paid[n])
			}
		}
		if len(paid) != int(s.Paid)-int(h.imported[name]) {
			h.report.violation("%s: %d pay numbers were sold, the last is %d", name, len(paid), s.Paid)
		}
	}
	h.books.finish(h.report)
}

// checkCaptures compares what the ledger sold with what the gateways' own books captured: each sale has its charge,
// each charge its sale, and no pay number was captured twice unless the second capture is known and returned.
func checkCaptures(r *Report, h *history, captures []Capture) {
	type sold struct {
		stream string
		number uint32
	}
	known := map[string]sold{}
	extra := map[string]bool{} // references that are known and sell nothing
	want := map[string]*ledgerv1.Money{}
	for name, s := range h.subscriptions {
		for _, c := range s.Charges {
			if c.Reference != "" && c.Amounts.Full.MinorUnits > 0 {
				known[c.Reference] = sold{name, c.Number}
				want[c.Reference] = c.Amounts.Full
			}
		}
		for _, a := range s.Attempts {
			if a.Status == subscription.AttemptDuplicate || a.Status == subscription.AttemptMismatched {
				extra[a.Reference] = true
			}
		}
	}
	perNumber := map[sold]int{}
	for _, c := range captures {
		r.Captures++
		stream := subscription.Stream(c.Merchant, c.Subscription)
		s, ok := known[c.Reference]
		switch {
		case ok && want[c.Reference].MinorUnits != c.Minor || ok && want[c.Reference].CurrencyCode != c.Currency:
			r.violation("%s: charge %s was sold as %d %s but captured %d %s", stream, c.Reference,
				want[c.Reference].MinorUnits, want[c.Reference].CurrencyCode, c.Minor, c.Currency)
		case ok && s.stream != stream:
			r.violation("charge %s of %s was sold by %s", c.Reference, stream, s.stream)
		case !ok && !extra[c.Reference]:
			r.violation("%s: the gateway captured charge %s for pay number %d and the ledger does not know it", stream, c.Reference, c.PayNumber)
		}
		if ok {
			delete(known, c.Reference)
			perNumber[s]++
			if perNumber[s] > 1 {
				r.violation("%s: pay number %d was captured %d times", stream, s.number, perNumber[s])
			}
		}
	}
	for ref, s := range known {
		r.violation("%s: pay number %d was sold with charge %s, which the gateway does not have", s.stream, s.number, ref)
	}
}
