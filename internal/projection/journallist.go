package projection

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

// EntryFilter says which entries of a merchant are wanted; what is left out does not filter.
type EntryFilter struct {
	MerchantID     string
	OrderID        int64
	SubscriptionID string
	Account        string // entries with a posting on it
	Mode           ledgerv1.Mode
	OccurredFrom   time.Time // included
	OccurredTo     time.Time // not included
	AsOf           time.Time // what was known then; zero for now
}

// entryKey is the place of an entry in the list. None of it ever changes.
type entryKey struct {
	At      int64  `json:"a"`
	Commit  int64  `json:"c"`
	Prepare int64  `json:"p"`
	Entry   string `json:"e"`
}

type entryRow struct {
	key   entryKey
	entry *ledgerv1.Entry
}

// ListEntries reads a page of a merchant's journal, the entry that occurred first first, and the next page's token.
func ListEntries(ctx context.Context, r Reader, f EntryFilter, p Page) ([]*ledgerv1.Entry, string, error) {
	read := func(behind *entryKey, limit int) ([]entryRow, error) {
		w := f.where()
		if behind != nil {
			w.and("(occurred_at, pos_commit, pos_prepare, entry_id) > (%s, %s, %s, %s)", behind.At, behind.Commit, behind.Prepare, behind.Entry)
		}
		query := `SELECT j.entry_id, j.occurred_at, j.pos_commit, j.pos_prepare, j.recorded_at, j.merchant_id, j.subscription_id,
			j.event_type, j.mode, j.order_id, j.account, j.currency, j.debit, j.credit
			FROM (SELECT DISTINCT occurred_at, pos_commit, pos_prepare, entry_id FROM journal_postings ` + w.String() + `
				ORDER BY occurred_at, pos_commit, pos_prepare, entry_id LIMIT ` + w.arg(int64(limit)) + `) e
			JOIN journal_postings j ON j.entry_id = e.entry_id
			ORDER BY j.occurred_at, j.pos_commit, j.pos_prepare, j.entry_id, j.line`
		rows, err := r.Query(ctx, query, w.args...)
		lines, err := collect(rows, err, scanEntryLine)
		return joinEntries(lines), err
	}
	rows, next, err := ReadPage(p, "entries", f, read, func(r entryRow) entryKey { return r.key })
	out := make([]*ledgerv1.Entry, len(rows))
	for i, r := range rows {
		out[i] = r.entry
	}
	return out, next, err
}

func (f EntryFilter) where() *where {
	w := whereBooks(f.MerchantID, f.AsOf)
	if f.OrderID != 0 {
		w.and("order_id = %s AND order_id <> 0", f.OrderID) // the second half lets the partial index be used
	}
	if f.SubscriptionID != "" {
		w.and("subscription_id = %s", f.SubscriptionID)
	}
	if f.Account != "" {
		w.and("account = %s", f.Account)
	}
	if f.Mode != ledgerv1.Mode_MODE_UNSPECIFIED {
		w.and("mode = %s", word(modePrefix, f.Mode))
	}
	w.between("occurred_at", f.OccurredFrom, f.OccurredTo)
	return w
}

// whereBooks are the conditions of a merchant's books as they were known.
func whereBooks(merchant string, asOf time.Time) *where {
	w := &where{}
	w.and("merchant_id = %s", merchant)
	if !asOf.IsZero() {
		w.and("known_at <= %s", asOf.UnixMicro())
	}
	return w
}

// scanEntryLine reads an entry with one of its postings.
func scanEntryLine(row Row) (entryRow, error) {
	var (
		k                       entryKey
		e                       ledgerv1.Entry
		p                       ledgerv1.Posting
		recorded, debit, credit int64
		mode, currency          string
	)
	err := row.Scan(&k.Entry, &k.At, &k.Commit, &k.Prepare, &recorded, &e.MerchantId, &e.SubscriptionId,
		&e.EventType, &mode, &p.OrderId, &p.Account, &currency, &debit, &credit)
	e.EntryId = k.Entry
	e.OccurredAt, e.RecordedAt = timestamp(&k.At), timestamp(&recorded)
	e.Mode = ledgerv1.Mode(value(ledgerv1.Mode_value, modePrefix, mode))
	p.Debit, p.Credit = side(currency, debit), side(currency, credit)
	e.Postings = []*ledgerv1.Posting{&p}
	return entryRow{key: k, entry: &e}, err
}

// side is one side of a posting, absent where it is nothing.
func side(currency string, units int64) *ledgerv1.Money {
	if units == 0 {
		return nil
	}
	return money.New(currency, units)
}

// joinEntries puts the postings of each entry together; an entry's lines follow each other.
func joinEntries(lines []entryRow) []entryRow {
	var out []entryRow
	for _, l := range lines {
		if n := len(out) - 1; n >= 0 && out[n].entry.EntryId == l.entry.EntryId {
			out[n].entry.Postings = append(out[n].entry.Postings, l.entry.Postings...)
			continue
		}
		out = append(out, l)
	}
	return out
}

// PeriodFilter says which stretch of a merchant's books is summed up.
type PeriodFilter struct {
	MerchantID   string
	OccurredFrom time.Time // included; zero for the first entry
	OccurredTo   time.Time // not included; zero for the last
	AsOf         time.Time // what was known then; zero for now
}

// accountSum is a row of a trial balance.
type accountSum struct {
	mode              ledgerv1.Mode
	currency, account string
	debits, credits   int64
}

// TrialBalance sums up every account that was posted on in a period: a book per mode and currency, in their order.
func TrialBalance(ctx context.Context, r Reader, f PeriodFilter) ([]*ledgerv1.Book, error) {
	w := whereBooks(f.MerchantID, f.AsOf)
	w.between("occurred_at", f.OccurredFrom, f.OccurredTo)
	rows, err := r.Query(ctx, `SELECT mode, currency, account, CAST(SUM(debit) AS bigint), CAST(SUM(credit) AS bigint)
		FROM journal_postings `+w.String()+` GROUP BY mode, currency, account`, w.args...)
	sums, err := collect(rows, err, func(row Row) (s accountSum, err error) {
		var mode string
		err = row.Scan(&mode, &s.currency, &s.account, &s.debits, &s.credits)
		s.mode = ledgerv1.Mode(value(ledgerv1.Mode_value, modePrefix, mode))
		return s, err
	})
	if err != nil {
		return nil, err
	}
	// Here and not in the query: two databases have two ideas of the order of texts.
	slices.SortFunc(sums, func(a, b accountSum) int {
		return cmp.Or(cmp.Compare(a.mode, b.mode), cmp.Compare(a.currency, b.currency), cmp.Compare(a.account, b.account))
	})
	return books(sums), nil
}

// books puts the accounts of each book together.
func books(sums []accountSum) []*ledgerv1.Book {
	var all []*ledgerv1.Book
	for _, s := range sums {
		n := len(all) - 1
		if n < 0 || all[n].Mode != s.mode || all[n].CurrencyCode != s.currency {
			all = append(all, &ledgerv1.Book{CurrencyCode: s.currency, Mode: s.mode,
				Debits: money.New(s.currency, 0), Credits: money.New(s.currency, 0)})
			n++
		}
		b := all[n]
		b.Accounts = append(b.Accounts, &ledgerv1.AccountBalance{
			Account: s.account,
			Debits:  money.New(s.currency, s.debits),
			Credits: money.New(s.currency, s.credits),
			Balance: money.New(s.currency, s.debits-s.credits),
		})
		b.Debits.MinorUnits += s.debits
		b.Credits.MinorUnits += s.credits
	}
	return all
}

// StatementFilter names an account of a book, and the period.
type StatementFilter struct {
	PeriodFilter
	Account  string
	Currency string
	Mode     ledgerv1.Mode
}

// statementKey is the place of a line in a statement, and what the next page has to go on with. All pages of a
// statement are read up to the same position of the log, since an entry that turned up meanwhile, dated before the
// page, would make its balances disagree with those of the page before.
type statementKey struct {
	entryKey
	Line    int64    `json:"l"`
	Balance int64    `json:"b"` // after this line
	Opening int64    `json:"o"`
	Head    [2]int64 `json:"h"`
}

type statementRow struct {
	key  statementKey
	line *ledgerv1.StatementLine
}

// ReadStatement reads a page of an account's postings in a period, the one that occurred first first, with the balance
// after each; besides, the balance before the period and the next page's token.
func ReadStatement(ctx context.Context, r Reader, f StatementFilter, p Page) (
	opening *ledgerv1.Money, lines []*ledgerv1.StatementLine, next string, err error,
) {
	var start statementKey
	read := func(behind *statementKey, limit int) ([]statementRow, error) {
		if behind != nil {
			start = *behind
			return f.read(ctx, r, start, true, limit)
		}
		var err error
		if start, err = f.open(ctx, r); err != nil {
			return nil, err
		}
		return f.read(ctx, r, start, false, limit)
	}
	rows, next, err := ReadPage(p, "statement", f, read, func(r statementRow) statementKey { return r.key })
	if err != nil {
		return nil, nil, "", err
	}
	lines = make([]*ledgerv1.StatementLine, len(rows))
	for i, r := range rows {
		lines[i] = r.line
	}
	return money.New(f.Currency, start.Opening), lines, next, nil
}

// where are the conditions of the account's postings up to a position.
func (f StatementFilter) where(head [2]int64) *where {
	w := whereBooks(f.MerchantID, f.AsOf)
	w.and("account = %s", f.Account)
	w.and("currency = %s", f.Currency)
	w.and("mode = %s", word(modePrefix, f.Mode))
	w.and("(pos_commit, pos_prepare) <= (%s, %s)", head[0], head[1])
	return w
}

// open finds up to where a statement is read and what its account held before the period.
func (f StatementFilter) open(ctx context.Context, r Reader) (k statementKey, err error) {
	err = r.QueryRow(ctx, `SELECT pos_commit, pos_prepare FROM journal_postings WHERE merchant_id = $1
		ORDER BY pos_commit DESC, pos_prepare DESC LIMIT 1`, f.MerchantID).Scan(&k.Head[0], &k.Head[1])
	if errors.Is(err, ErrNoRows) {
		return k, nil
	}
	if err != nil || f.OccurredFrom.IsZero() {
		return k, err
	}
	w := f.where(k.Head)
	w.between("occurred_at", time.Time{}, f.OccurredFrom)
	err = r.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(debit - credit), 0) AS bigint) FROM journal_postings `+w.String(), w.args...).
		Scan(&k.Opening)
	k.Balance = k.Opening
	return k, err
}

// read reads the lines from a place on, of the whole period or only those behind it.
func (f StatementFilter) read(ctx context.Context, r Reader, from statementKey, behind bool, limit int) ([]statementRow, error) {
	w := f.where(from.Head)
	w.between("occurred_at", f.OccurredFrom, f.OccurredTo)
	if behind {
		w.and("(occurred_at, pos_commit, pos_prepare, entry_id, line) > (%s, %s, %s, %s, %s)",
			from.At, from.Commit, from.Prepare, from.Entry, from.Line)
	}
	rows, err := r.Query(ctx, `SELECT entry_id, line, occurred_at, pos_commit, pos_prepare, event_type, subscription_id, order_id, debit, credit
		FROM journal_postings `+w.String()+` ORDER BY occurred_at, pos_commit, pos_prepare, entry_id, line LIMIT `+w.arg(int64(limit)), w.args...)
	balance := from.Balance
	return collect(rows, err, func(row Row) (statementRow, error) {
		var (
			l             ledgerv1.StatementLine
			debit, credit int64
		)
		k := statementKey{Opening: from.Opening, Head: from.Head}
		err := row.Scan(&k.Entry, &k.Line, &k.At, &k.Commit, &k.Prepare, &l.EventType, &l.SubscriptionId, &l.OrderId, &debit, &credit)
		balance += debit - credit
		k.Balance, l.EntryId = balance, k.Entry
		l.OccurredAt = timestamp(&k.At)
		l.Debit, l.Credit, l.Balance = side(f.Currency, debit), side(f.Currency, credit), money.New(f.Currency, balance)
		return statementRow{key: k, line: &l}, err
	})
}
