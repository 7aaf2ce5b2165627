package projection

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"ledger.internal/ledger/internal/aggregate/money"
)

// View is what analysts open in place of a projection's tables: the rows as they stand, times as text, amounts beside
// their decimal text, words for states, so that a plain SELECT SUM(…) is right. It is an SQL view of the same
// database, and the text of an export.
//
// Its SELECT reads from "known", which stands for the rows of Table that are known: those of now in the view, those
// of another time in an export of then. It may say utc(column) for an instant and decimal(column, currency) for an
// amount.
type View struct {
	Name    string
	About   string // one sentence
	Select  string
	Columns []Column // of Select, in order: the one place where they are described
	Key     []string // of Columns: what an export is sorted by, without two rows of the same
	Table   string
	History History
}

// Column describes a column of a View.
type Column struct {
	Name string
	Kind ColumnKind
	Doc  string
}

// ColumnKind is what a column holds.
type ColumnKind int

// The kinds of columns. Each may be NULL, for absent.
const (
	Text    ColumnKind = iota
	Integer            // counts, ids, minor units
	Decimal            // an amount as text: "47.00"
	Instant            // RFC 3339 in UTC, with microseconds: it sorts, and its first 7 characters are the month
)

func (k ColumnKind) String() string { return [...]string{"text", "integer", "decimal", "instant"}[k] }

// History is how a table keeps what was known before.
type History int

const (
	// Insertions only: a row is known from known_at on.
	Insertions History = iota
	// Versions: a row is known from known_from until known_to.
	Versions
	// NoHistory: there are only the rows of now.
	NoHistory
)

// AnalystViews lists all views for analysts: those of the views' database, and those of the work store's.
func AnalystViews() (views, work []View) {
	for _, p := range Views() {
		views = append(views, p.Views...)
	}
	for _, p := range Work() {
		work = append(work, p.Views...)
	}
	return views, work
}

// Now is the query of the rows as they stand.
func (v View) Now() string {
	if v.History == Versions {
		return v.query("WHERE known_to IS NULL")
	}
	return v.query("")
}

// Then is the query of the rows as they were known at $1, in microseconds since 1970. There is none without History.
func (v View) Then() string {
	if v.History == Versions {
		return v.query("WHERE known_from <= $1 AND (known_to IS NULL OR known_to > $1)")
	}
	return v.query("WHERE known_at <= $1")
}

// Export is the query of all rows, in the order of Key: as known at asOf, or of now if that is zero, and of one
// merchant, or of all if that is empty.
func (v View) Export(asOf time.Time, merchant string) (query string, args []any) {
	w := where{}
	query = v.Now()
	if !asOf.IsZero() {
		query = v.Then()
		w.args = append(w.args, asOf.UnixMicro())
	}
	query = "SELECT * FROM (" + query + ")"
	if merchant != "" {
		w.and("merchant_id = %s", merchant)
		query += " " + w.String()
	}
	return query + " ORDER BY " + strings.Join(v.Key, ", "), w.args
}

func (v View) query(known string) string {
	// NOT MATERIALIZED lets a condition on the view use the table's indexes.
	return "WITH known AS NOT MATERIALIZED (SELECT * FROM " + v.Table + " " + known + ")\n" + expand(v.Select)
}

// create makes the view anew: its text may be another one than that of the program that was here before.
func (v View) create(tx Tx) error {
	for _, s := range []string{"DROP VIEW IF EXISTS " + v.Name, "CREATE VIEW " + v.Name + " AS\n" + v.Now()} {
		if _, err := tx.Exec(s); err != nil {
			return fmt.Errorf("view %s: %w", v.Name, err)
		}
	}
	return nil
}

var (
	utcCall     = regexp.MustCompile(`\butc\(([\w.]+)\)`)
	decimalCall = regexp.MustCompile(`\bdecimal\(([\w.]+), ([\w.]+)\)`)
)

// expand writes utc and decimal out, in the words of SQLite.
func expand(query string) string {
	query = utcCall.ReplaceAllString(query,
		`(strftime('%Y-%m-%dT%H:%M:%S', $1 / 1000000, 'unixepoch') || printf('.%06dZ', $1 % 1000000))`)
	return decimalCall.ReplaceAllStringFunc(query, func(call string) string {
		args := decimalCall.FindStringSubmatch(call)
		return decimalSQL(args[1], args[2])
	})
}

// decimalSQL writes an amount as money.Format does. Amounts below money.Limit have at most 15 digits, which a double
// holds exactly enough to be rounded to the digit that is meant.
func decimalSQL(amount, currency string) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "(CASE WHEN %s IS NULL THEN NULL", amount)
	for decimals, divisor := range []string{0: "1", 3: "1000", 4: "10000"} {
		codes := money.CodesOf(decimals)
		if divisor == "" || len(codes) == 0 {
			continue
		}
		fmt.Fprintf(b, " WHEN %s IN ('%s') THEN printf('%%.%df', %s / %s.0)",
			currency, strings.Join(codes, "', '"), max(decimals, 2), amount, divisor)
	}
	fmt.Fprintf(b, " ELSE printf('%%.2f', %s / 100.0) END)", amount)
	return b.String()
}

// Find returns the view of a name.
func Find(views []View, name string) (View, bool) {
	i := slices.IndexFunc(views, func(v View) bool { return v.Name == name })
	if i < 0 {
		return View{}, false
	}
	return views[i], true
}
