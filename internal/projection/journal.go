package projection

import (
	_ "embed"
	"errors"
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/journal"
)

//go:embed journal.sql
var journalSchema string

// Journal keeps the merchants' books: each posting is a row, inserted once and never changed.
func Journal() Projection {
	return Projection{
		Name:       "journal",
		Version:    1,
		Categories: []string{subscriptions},
		Schema:     journalSchema,
		Tables:     []string{"journal_postings", "journal_subscriptions"},
		Views:      []View{journalView()},
		Apply:      applyEntry,
	}
}

func applyEntry(tx Tx, known time.Time, e event.Recorded) error {
	merchant, id, err := ownerOf(e.Stream)
	if err != nil {
		return err
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_SubscriptionStarted:
		return insertBook(tx, merchant, id, k.SubscriptionStarted)
	case *ledgerv1.Event_SubscriptionImported:
		return insertBook(tx, merchant, id, k.SubscriptionImported)
	}
	if journal.Silent(e.Event) {
		return nil
	}
	first, mode, err := bookOf(tx, merchant, id)
	if err != nil {
		return fmt.Errorf("entry %s: %w", e.ID, err)
	}
	postings, ok := journal.Entry(e.Event, first)
	if !ok {
		return unknownKind("journal", e.Event)
	}
	for i, p := range postings {
		if err := insertPosting(tx, merchant, id, mode, known, e, int64(i+1), p); err != nil {
			return fmt.Errorf("entry %s: %w", e.ID, err)
		}
	}
	return nil
}

func insertBook(tx Tx, merchant, id string, s agreement) error {
	_, err := tx.Exec(`INSERT INTO journal_subscriptions (merchant_id, subscription_id, connection_id, mode)
		VALUES ($1, $2, $3, $4) ON CONFLICT (merchant_id, subscription_id) DO NOTHING`,
		merchant, id, s.GetConnectionId(), word(modePrefix, s.GetMode()))
	return err
}

// bookOf is the first connection of a subscription, and the mode of its book.
func bookOf(tx Tx, merchant, id string) (first, mode string, err error) {
	err = tx.QueryRow(`SELECT connection_id, mode FROM journal_subscriptions
		WHERE merchant_id = $1 AND subscription_id = $2`, merchant, id).Scan(&first, &mode)
	if errors.Is(err, ErrNoRows) {
		err = fmt.Errorf("%s of %s was never started", id, merchant)
	}
	return first, mode, err
}

const insertPostingSQL = `INSERT INTO journal_postings
	(entry_id, line, merchant_id, subscription_id, order_id, event_type, mode, account, currency, debit, credit,
	 occurred_at, recorded_at, known_at, pos_commit, pos_prepare)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
	ON CONFLICT (entry_id, line) DO NOTHING`

func insertPosting(tx Tx, merchant, id, mode string, known time.Time, e event.Recorded, line int64, p *ledgerv1.Posting) error {
	m := p.GetDebit()
	if m == nil {
		m = p.GetCredit()
	}
	_, err := tx.Exec(insertPostingSQL, e.ID.String(), line, merchant, id, p.GetOrderId(), event.TypeName(e.Event), mode,
		p.GetAccount(), m.GetCurrencyCode(), minor(p.GetDebit()), minor(p.GetCredit()),
		micros(e.GetMetadata().GetOccurredAt()), micros(e.GetMetadata().GetRecordedAt()), known.UnixMicro(),
		int64(e.Position.Commit), int64(e.Position.Prepare))
	return err
}
