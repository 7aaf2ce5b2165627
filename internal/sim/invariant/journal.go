package invariant

import (
	"context"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/journal"
	"ledger.internal/ledger/internal/projection"
)

// books are what the events say of the merchants' books.
type books struct {
	subscriptions map[string]book // by stream
	postings      map[line]posting
	tills         map[till]int64
}

func newBooks() books {
	return books{subscriptions: map[string]book{}, postings: map[line]posting{}, tills: map[till]int64{}}
}

// book is what the beginning of a subscription says of where it is posted.
type book struct{ first, mode string }

// line is the place of a posting.
type line struct {
	entry string
	line  int64
}

// posting is a posting with all that its row repeats.
type posting struct {
	merchant, subscription, event, mode string
	account, currency                   string
	order, debit, credit                int64
}

// till is a subscription's money at a connection, in one currency. What its orders did is what lies at the gateway,
// plus what the gateway kept as fees, less what is in suspense: counted is the second less the first, and 0 is right.
type till struct{ stream, connection, currency string }

// begin notes where a subscription is posted.
func (b *books) begin(e event.Recorded) {
	var s interface {
		GetConnectionId() string
		GetMode() ledgerv1.Mode
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted:
		s = k.SubscriptionStarted
	case *ledgerv1.Event_SubscriptionImported:
		s = k.SubscriptionImported
	default:
		return
	}
	b.subscriptions[e.Stream] = book{s.GetConnectionId(), strings.ToLower(strings.TrimPrefix(s.GetMode().String(), "MODE_"))}
}

// post makes the entry of an event, which has to balance.
func (h *history) post(e event.Recorded) {
	h.books.begin(e)
	b := h.books.subscriptions[e.Stream]
	postings, known := journal.Entry(e.Event, b.first)
	if !known {
		h.broken("I-01", "%s/%d: nobody knows what %s does to the books", e.Stream, e.Revision, event.TypeName(e.Event))
	}
	if len(postings) == 0 {
		return
	}
	h.report.Entries++
	merchant, id := owner(e.Stream)
	connection := connectionOf(postings)
	sums := map[string]int64{}
	for i, p := range postings {
		got := posting{
			merchant: merchant, subscription: id, event: event.TypeName(e.Event), mode: b.mode, account: p.GetAccount(),
			currency: p.GetDebit().GetCurrencyCode() + p.GetCredit().GetCurrencyCode(), // one of the two is absent
			order:    p.GetOrderId(), debit: p.GetDebit().GetMinorUnits(), credit: p.GetCredit().GetMinorUnits(),
		}
		h.books.postings[line{e.ID.String(), int64(i + 1)}] = got
		sums[got.currency] += got.debit - got.credit
		switch got.account {
		case journal.Gateway(connection), journal.GatewayFees, journal.Suspense(connection):
			h.books.tills[till{e.Stream, connection, got.currency}] += got.debit - got.credit
		}
	}
	for currency, sum := range sums {
		if sum != 0 {
			h.broken("I-01", "%s/%d: the entry is off balance by %d %s", e.Stream, e.Revision, sum, currency)
		}
	}
}

// connectionOf is the connection whose gateway an entry posts on: whatever moves money moves it there.
func connectionOf(postings []*ledgerv1.Posting) string {
	for _, p := range postings {
		if connection, ok := strings.CutPrefix(p.GetAccount(), journal.Gateway("")); ok {
			return connection
		}
	}
	return ""
}

// finish looks at every till as it ended up.
func (b *books) finish(r *Report) {
	for t, off := range b.tills {
		if off != 0 {
			r.broken("I-01", "%s: the orders through %s and the books differ by %d %s", t.stream, t.connection, off, t.currency)
		}
	}
}

// checkJournal compares the journal with the entries of the events, both ways.
func (h *history) checkJournal(ctx context.Context, views projection.Reader) error {
	seen := 0
	err := each(ctx, views, `SELECT entry_id, line, merchant_id, subscription_id, event_type, mode, account, currency, order_id, debit, credit
		FROM journal_postings`, func(scan func(...any) error) error {
		var at line
		var got posting
		err := scan(&at.entry, &at.line, &got.merchant, &got.subscription, &got.event, &got.mode, &got.account, &got.currency,
			&got.order, &got.debit, &got.credit)
		if err != nil {
			return err
		}
		seen++
		if want, ok := h.books.postings[at]; !ok {
			h.broken("I-01", "the journal has line %d of entry %s, which no event made", at.line, at.entry)
		} else if got != want {
			h.broken("I-01", "line %d of entry %s is %+v in the journal and %+v in the events", at.line, at.entry, got, want)
		}
		return nil
	})
	if seen < len(h.books.postings) {
		h.broken("I-01", "the journal has %d postings of %d", seen, len(h.books.postings))
	}
	return err
}
