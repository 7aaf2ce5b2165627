package projection_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/projection"
)

var update = flag.Bool("update", false, "write docs/views.md anew")

// allViews are the views of both databases.
func allViews() []projection.View { return slices.Concat(projection.AnalystViews()) }

// newAnalysed is a store that followers made, with everything that analysts can open in it.
func newAnalysed(t *testing.T) *views {
	t.Helper()
	v := newViews(t, append(projection.Views(), projection.Work()...)...)
	v.update(func(tx projection.Tx) error {
		for _, view := range allViews() {
			for _, s := range []string{"DROP VIEW IF EXISTS " + view.Name, "CREATE VIEW " + view.Name + " AS " + view.Now()} {
				if _, err := tx.Exec(s); err != nil {
					return fmt.Errorf("%s: %w", view.Name, err)
				}
			}
		}
		return nil
	})
	return v
}

// select reads a query's rows as maps.
func (v *views) query(columns []string, query string, args ...any) (out []map[string]any) {
	v.t.Helper()
	rows, err := v.store.Query(v.t.Context(), query, args...)
	if err != nil {
		v.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			v.t.Fatal(err)
		}
		row := map[string]any{}
		for i, c := range columns {
			row[c] = values[i]
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		v.t.Fatal(err)
	}
	return out
}

func columnNames(v projection.View) (names []string) {
	for _, c := range v.Columns {
		names = append(names, c.Name)
	}
	return names
}

// TestViewsAreDocumented: every column of a view is described, in the view's order, and docs/views.md says the same.
func TestViewsAreDocumented(t *testing.T) {
	t.Parallel()
	w := newAnalysed(t)
	page := &strings.Builder{}
	page.WriteString(viewsPage)
	for _, v := range allViews() {
		var columns []string
		for _, row := range w.query([]string{"name"}, "SELECT name FROM pragma_table_info($1) ORDER BY cid", v.Name) {
			columns = append(columns, row["name"].(string))
		}
		if d := cmp.Diff(columns, columnNames(v)); d != "" {
			t.Errorf("%s: columns (-SQL +described):\n%s", v.Name, d)
		}
		fmt.Fprintf(page, "\n## %s\n\n%s\n\n| column | kind | what it says |\n|---|---|---|\n", v.Name, v.About)
		for _, c := range v.Columns {
			if !strings.HasSuffix(c.Doc, ".") {
				t.Errorf("%s.%s is described as %q, want a sentence", v.Name, c.Name, c.Doc)
			}
			fmt.Fprintf(page, "| `%s` | %s | %s |\n", c.Name, c.Kind, c.Doc)
		}
		for _, k := range v.Key {
			if !slices.Contains(columns, k) {
				t.Errorf("%s has no column %s of its key", v.Name, k)
			}
		}
	}
	const file = "../../docs/views.md"
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(page.String(), string(written)); d != "" {
		t.Errorf("docs/views.md is not what the views are; go test ./internal/projection -run TestViewsAreDocumented -update writes it (-views +page):\n%s", d)
	}
}

const viewsPage = `# The views for analysts

Plain SQL on what the ledger knows now. The views stand in the data directory: ` + "`orders`" + ` and ` + "`pay_numbers`" + ` in
` + "`views.db`, `deliveries` in `work.db`" + `. Open them read-only, also while the ledger serves:

` + "```" + `
sqlite3 'file:ledger-data/views.db?mode=ro'
` + "```" + `

Everything else in those files is the ledger's own and changes without notice. Absent is NULL. Kinds: *integer* for
counts, ids and minor units; *decimal* for amounts as text like 47.00; *instant* for times in UTC like
2026-01-31T09:00:00.000000Z, which sort as text and whose first seven characters are the month. ` + "`ledger export`" + ` writes
the same columns to CSV, Parquet and XLSX, also as of an earlier time.

This page is written by a test from the descriptions beside the SQL, ` + "`internal/projection/viewdocs.go`" + `.
`

// TestColumnsAreOfTheirKind reads every value of every view.
func TestColumnsAreOfTheirKind(t *testing.T) {
	t.Parallel()
	w := newAnalysed(t)
	w.apply(newTold().endpoint("shop").events...)
	w.apply(allHistories(t)...)
	w.apply(newPast("waits").at(0, started(), requested(1, 1, 0), declined(990_001, 1, 1, 0, 9)).events...)
	w.apply(newPast("leaves").at(0, started(), scheduled(9)).events...)
	for _, v := range allViews() {
		rows := w.query(columnNames(v), "SELECT * FROM "+v.Name)
		if len(rows) == 0 {
			t.Errorf("%s has no rows", v.Name)
		}
		for _, c := range v.Columns {
			seen := false
			for _, row := range rows {
				seen = seen || row[c.Name] != nil
				if problem := kindProblem(c.Kind, row[c.Name]); problem != "" {
					t.Fatalf("%s.%s is %v: %s", v.Name, c.Name, row[c.Name], problem)
				}
			}
			if !seen && c.Name != "concluded_at" && c.Name != "last_error" && c.Name != "last_http_status" {
				t.Errorf("%s.%s is never anything, so this test says nothing about it", v.Name, c.Name)
			}
		}
	}
}

func kindProblem(kind projection.ColumnKind, value any) string {
	if value == nil {
		return ""
	}
	text, isText := value.(string)
	_, isInteger := value.(int64)
	switch kind {
	case projection.Integer:
		if !isInteger {
			return fmt.Sprintf("want an integer, got %T", value)
		}
		return ""
	case projection.Instant:
		if _, err := time.Parse("2006-01-02T15:04:05.000000Z", text); err != nil {
			return err.Error()
		}
	}
	if !isText || text == "" {
		return fmt.Sprintf("want text, got %T", value)
	}
	return ""
}

// TestOrdersViewAgreesWithTheAPI compares what an analyst sees with what a caller gets.
func TestOrdersViewAgreesWithTheAPI(t *testing.T) {
	t.Parallel()
	w := newAnalysed(t)
	w.apply(allHistories(t)...)
	view, _ := projection.Find(allViews(), "orders")
	for _, row := range w.query(columnNames(view), "SELECT * FROM orders") {
		o, err := projection.GetOrder(t.Context(), w.store, row["merchant_id"].(string), row["order_id"].(int64), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		text := func(m *ledgerv1.Money) any {
			if m == nil {
				return nil
			}
			return money.Format(m)
		}
		want := map[string]any{
			"type":            strings.ToLower(strings.TrimPrefix(o.Type.String(), "ORDER_TYPE_")),
			"status":          strings.ToLower(strings.TrimPrefix(o.Status.String(), "ORDER_STATUS_")),
			"cash_effect":     text(o.CashEffect),
			"full_amount":     text(o.Amounts.GetFull()),
			"shipping_amount": text(o.Amounts.GetShipping()),
			"returned":        text(o.Returned),
			"occurred_at":     o.OccurredAt.AsTime().Format("2006-01-02T15:04:05.000000Z"),
		}
		got := map[string]any{}
		for name := range want {
			got[name] = row[name]
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("order %d (-API +view):\n%s", o.OrderId, d)
		}
	}
}

// TestViewsThenAreThePast compares what a view says of each instant with the view of then.
func TestViewsThenAreThePast(t *testing.T) {
	t.Parallel()
	whole, growing := newAnalysed(t), newAnalysed(t)
	events := allHistories(t)
	whole.apply(events...)
	compared := 0
	for i, e := range events {
		growing.apply(e)
		if i+1 < len(events) && !events[i+1].GetMetadata().GetRecordedAt().AsTime().After(growing.known) {
			continue // more became known at this instant
		}
		if compared++; compared%5 != 0 {
			continue // it takes its time
		}
		for _, v := range allViews() {
			if v.History == projection.NoHistory {
				continue
			}
			order := " ORDER BY " + strings.Join(v.Key, ", ")
			want := growing.query(columnNames(v), "SELECT * FROM "+v.Name+order)
			got := whole.query(columnNames(v), "SELECT * FROM ("+v.Then()+")"+order, growing.known.UnixMicro())
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s as of %s (-then +as of):\n%s", v.Name, growing.known, d)
			}
		}
	}
	if compared < 50 {
		t.Errorf("%d instants, want many", compared)
	}
}

// TestDecimalIsFormat: the views write an amount as everything else does.
func TestDecimalIsFormat(t *testing.T) {
	t.Parallel()
	w := newAnalysed(t)
	codes := slices.Concat(money.CodesOf(0), money.CodesOf(2), money.CodesOf(3), money.CodesOf(4), []string{"DEM"})
	v := projection.View{Select: "SELECT decimal(minor, code) FROM known", Table: "(SELECT $1 AS minor, $2 AS code)"}
	rapid.Check(t, func(t *rapid.T) {
		m := money.New(rapid.SampledFrom(codes).Draw(t, "code"), rapid.Int64Range(-money.Limit+1, money.Limit-1).Draw(t, "minor"))
		var got string
		if err := w.store.QueryRow(w.t.Context(), v.Now(), m.MinorUnits, m.CurrencyCode).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := money.Format(m); got != want {
			t.Errorf("%d %s is %s in SQL, want %s", m.MinorUnits, m.CurrencyCode, got, want)
		}
	})
}

// TestViewsUseIndexes: a view of a merchant's rows does not read those of everybody.
func TestViewsUseIndexes(t *testing.T) {
	t.Parallel()
	w := newAnalysed(t)
	for query, index := range map[string]string{
		"SELECT SUM(cash_effect_minor) FROM orders WHERE merchant_id = 'a' AND type = 'sale'":   "orders_by_type",
		"SELECT status, full_amount FROM orders WHERE order_id = 7":                             "orders_by_parent",
		"SELECT * FROM pay_numbers WHERE merchant_id = 'a' AND state = 'declined'":              "pay_numbers_by_state",
		"SELECT * FROM deliveries WHERE merchant_id = 'a' AND order_id = 7 ORDER BY created_at": "deliveries_by_order",
	} {
		var plan []string
		for _, row := range w.query([]string{"id", "parent", "unused", "detail"}, "EXPLAIN QUERY PLAN "+query) {
			plan = append(plan, row["detail"].(string))
		}
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, index) || strings.Contains(text, "SCAN ") || strings.Contains(text, "MATERIALIZE") {
			t.Errorf("%s\nis done by\n%s\nwant index %s and no scan", query, text, index)
		}
	}
}

// TestPlainSumIsRevenue sums without conditions.
func TestPlainSumIsRevenue(t *testing.T) {
	t.Parallel()
	w := newAnalysed(t)
	w.apply(allHistories(t)...)
	var got, want int64
	if err := w.store.QueryRow(t.Context(), "SELECT SUM(cash_effect_minor) FROM orders WHERE merchant_id = $1", aggregatetest.Merchant).Scan(&got); err != nil {
		t.Fatal(err)
	}
	orders := orderPages(t, w)
	for _, o := range orders {
		want += o.CashEffect.MinorUnits
	}
	if got != want || got == 0 || want > math.MaxInt32 {
		t.Errorf("the view sums up to %d, the API to %d", got, want)
	}
	var paid int
	if err := w.store.QueryRow(t.Context(), "SELECT COUNT(*) FROM pay_numbers WHERE state = 'paid'").Scan(&paid); err != nil || paid == 0 {
		t.Errorf("%d pay numbers are paid (%v)", paid, err)
	}
	var numbers int
	if err := w.store.QueryRow(t.Context(), "SELECT COUNT(*) - COUNT(DISTINCT merchant_id || '/' || subscription_id || '/' || pay_number) FROM pay_numbers").Scan(&numbers); err != nil || numbers != 0 {
		t.Errorf("%d pay numbers are there twice (%v)", numbers, err)
	}
}

func orderPages(t *testing.T, w *views) (all []*ledgerv1.Order) {
	t.Helper()
	for token := ""; ; {
		page, next, err := projection.ListOrders(t.Context(), w.store, projection.OrderFilter{MerchantID: aggregatetest.Merchant},
			projection.Page{Size: 500, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if all, token = append(all, page...), next; next == "" {
			return all
		}
	}
}

// TestViewsTakeTheNamesOfFormerTables brings a store of the first version up to date, by followers and by a rebuild.
func TestViewsTakeTheNamesOfFormerTables(t *testing.T) {
	t.Parallel()
	former := []string{projection.CursorSchema}
	for _, name := range []string{"orders", "pay_numbers"} {
		former = append(former, "CREATE TABLE "+name+" (id bigint PRIMARY KEY)",
			"INSERT INTO cursors VALUES ('"+name+"', 1, 0, 0, 0, 0, '', 0, '', 1)")
	}
	for name, renew := range map[string]func(*rebuilding) error{
		"by followers": func(w *rebuilding) error { w.follow(); return nil },
		"by a rebuild": func(w *rebuilding) error { _, err := w.rebuild().Run(t.Context()); return err },
	} {
		w := &rebuilding{views: newViews(t), log: memory.New()}
		w.projections = projection.Views()
		w.append(aggregatetest.Named("a full life, recurring"))
		w.update(func(tx projection.Tx) error {
			for _, s := range former {
				if _, err := tx.Exec(s); err != nil {
					return err
				}
			}
			return nil
		})
		if err := renew(w); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, query := range []string{"SELECT COUNT(cash_effect_minor) FROM orders", "SELECT COUNT(full_amount_minor) FROM pay_numbers"} {
			var n int
			if err := w.store.QueryRow(t.Context(), query).Scan(&n); err != nil || n == 0 {
				t.Errorf("%s: %s gives %d (%v), want some", name, query, n, err)
			}
		}
	}
}
