package projection_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/projection"
)

// entryLines lists entries in short, page by page of the given size: "12:01:50 payment_succeeded: gateway:main +4700,
// sales -4500, shipping -200"; a debit is positive.
func entryLines(t *testing.T, r projection.Reader, f projection.EntryFilter, size int32) []string {
	t.Helper()
	lines := []string{}
	for p := (projection.Page{Size: size}); ; {
		list, next, err := projection.ListEntries(context.Background(), r, f, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			var postings []string
			for _, p := range e.GetPostings() {
				postings = append(postings, fmt.Sprintf("%s %+d", p.GetAccount(), p.GetDebit().GetMinorUnits()-p.GetCredit().GetMinorUnits()))
			}
			lines = append(lines, fmt.Sprintf("%s %s: %s", e.GetOccurredAt().AsTime().Format("15:04:05"), e.GetEventType(), strings.Join(postings, ", ")))
		}
		if p.Token = next; next == "" {
			return lines
		}
	}
}

// The entries of a payment and of a refund of 17.00, as entryLines has them.
const (
	saleEntry   = " payment_succeeded: gateway:main +4700, sales -4500, shipping -200"
	refundEntry = " refund_succeeded: refunds +1500, shipping +200, gateway:main -1700"
)

func TestEntries(t *testing.T) {
	t.Parallel()
	second := succeeded(10002, 2, 1, 0)
	second.GetPaymentSucceeded().ConnectionId = "second"
	second.GetPaymentSucceeded().Fee = usd(33)
	for _, tt := range []struct {
		name string
		past *past
		want []string
	}{
		{"nothing moved", newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, declined(10001, 1, 1, 0, 0)), []string{}},
		{"sold and part refunded", newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, succeeded(10001, 1, 1, 0)).
			at(3, refunded(10002, "a", 10001, 1700, false)), []string{"12:01:50" + saleEntry, "12:02:50" + refundEntry}},
		{"another connection, and a fee", newPast("s1").at(1, started()).at(2, succeeded(10001, 1, 1, 0)).at(3, second), []string{
			"12:01:50" + saleEntry,
			"12:02:50 payment_succeeded: gateway:second +4700, sales -4500, shipping -200, gateway_fees +33, gateway:second -33",
		}},
		{"taken over", newPast("s1").at(1, imported()).at(2, observed(10001, 4)), []string{
			"12:01:50 payment_observed: gateway:main +4700, sales -4500, shipping -200"}},
		{"another amount", newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, mismatched(1, 1)).at(3, resolved(1, 1)), []string{
			"12:01:50 amount_mismatch_observed: gateway:main +4800, suspense:main -4800",
			"12:02:50 mismatch_resolved: gateway:main -4800, suspense:main +4800"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.Journal())
			v.apply(tt.past.events...)
			v.apply(tt.past.events...) // heard again
			for size := range int32(3) {
				if d := cmp.Diff(tt.want, entryLines(t, v.store, projection.EntryFilter{MerchantID: "acme"}, size)); d != "" {
					t.Errorf("entries, pages of %d (-want +got):\n%s", size, d)
				}
			}
		})
	}
}

// TestEntry looks at every field of one.
func TestEntry(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Journal())
	p := newPast("s1").at(1, started(), succeeded(10001, 1, 1, 0))
	v.apply(p.events...)
	got, _, err := projection.ListEntries(context.Background(), v.store, projection.EntryFilter{MerchantID: "acme"}, projection.Page{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*ledgerv1.Entry{{
		EntryId: p.events[1].ID.String(), MerchantId: "acme", SubscriptionId: "s1", EventType: "payment_succeeded",
		OccurredAt: timestamppb.New(minute(1).Add(-10 * time.Second)), RecordedAt: timestamppb.New(minute(1)),
		Mode: ledgerv1.Mode_MODE_LIVE,
		Postings: []*ledgerv1.Posting{
			{Account: "gateway:main", Debit: usd(4700), OrderId: 10001},
			{Account: "sales", Credit: usd(4500), OrderId: 10001},
			{Account: "shipping", Credit: usd(200), OrderId: 10001},
		},
	}}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("entries (-want +got):\n%s", d)
	}
}

func TestEntryOfWhatWasNeverStarted(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Journal())
	if err := v.try(newPast("s1").at(1, succeeded(10001, 1, 1, 0)).events...); err == nil || !strings.Contains(err.Error(), "never started") {
		t.Errorf("got %v, want an error that says that it was never started", err)
	}
}

// inTest is a start in test mode.
func inTest() *ledgerv1.Event {
	s := started()
	s.GetSubscriptionStarted().Mode = ledgerv1.Mode_MODE_TEST
	return s
}

func TestListEntriesFilters(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Journal())
	foreign := newPast("s1")
	foreign.merchant = "zeta"
	v.apply(newPast("s1").at(1, started()).at(2, succeeded(10001, 1, 1, 0)).at(3, refunded(10002, "a", 10001, 1700, false)).events...)
	v.apply(newPast("s2").at(1, inTest()).at(4, succeeded(20001, 1, 1, 0)).events...)
	v.apply(foreign.at(1, started()).at(5, succeeded(30001, 1, 1, 0)).events...)
	const sale, refund, test = "12:01:50" + saleEntry, "12:02:50" + refundEntry, "12:03:50" + saleEntry
	for _, tt := range []struct {
		name   string
		filter projection.EntryFilter
		want   []string
	}{
		{"merchant", projection.EntryFilter{}, []string{sale, refund, test}},
		{"order", projection.EntryFilter{OrderID: 10002}, []string{refund}},
		{"another merchant's order", projection.EntryFilter{OrderID: 30001}, []string{}},
		{"subscription", projection.EntryFilter{SubscriptionID: "s2"}, []string{test}},
		{"account", projection.EntryFilter{Account: "refunds"}, []string{refund}},
		{"an account that every entry has", projection.EntryFilter{Account: "gateway:main"}, []string{sale, refund, test}},
		{"an account that none has", projection.EntryFilter{Account: "losses"}, []string{}},
		{"live", projection.EntryFilter{Mode: ledgerv1.Mode_MODE_LIVE}, []string{sale, refund}},
		{"test", projection.EntryFilter{Mode: ledgerv1.Mode_MODE_TEST}, []string{test}},
		{"from", projection.EntryFilter{OccurredFrom: minute(3).Add(-10 * time.Second)}, []string{refund, test}},
		{"to", projection.EntryFilter{OccurredTo: minute(3).Add(-10 * time.Second)}, []string{sale}},
		{"as of", projection.EntryFilter{AsOf: minute(3)}, []string{sale, refund}},
		{"as of just before", projection.EntryFilter{AsOf: minute(3).Add(-time.Microsecond)}, []string{sale}},
		{"all at once", projection.EntryFilter{OrderID: 10001, SubscriptionID: "s1", Account: "sales", Mode: ledgerv1.Mode_MODE_LIVE,
			OccurredFrom: minute(0), OccurredTo: minute(9), AsOf: minute(9)}, []string{sale}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.filter.MerchantID = "acme"
			if d := cmp.Diff(tt.want, entryLines(t, v.store, tt.filter, 0)); d != "" {
				t.Errorf("entries (-want +got):\n%s", d)
			}
		})
	}
}

// balances writes a trial balance in short: "USD live 4700=4700: gateway:main +4700, sales -4500, shipping -200".
func balances(t *testing.T, r projection.Reader, f projection.PeriodFilter) []string {
	t.Helper()
	books, err := projection.TrialBalance(context.Background(), r, f)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, b := range books {
		var accounts []string
		for _, a := range b.GetAccounts() {
			if a.GetBalance().GetMinorUnits() != a.GetDebits().GetMinorUnits()-a.GetCredits().GetMinorUnits() {
				t.Errorf("%s: %v is not debits less credits", a.GetAccount(), a)
			}
			accounts = append(accounts, fmt.Sprintf("%s %+d", a.GetAccount(), a.GetBalance().GetMinorUnits()))
		}
		out = append(out, fmt.Sprintf("%s %s %d=%d: %s", b.GetCurrencyCode(), strings.ToLower(strings.TrimPrefix(b.GetMode().String(), "MODE_")),
			b.GetDebits().GetMinorUnits(), b.GetCredits().GetMinorUnits(), strings.Join(accounts, ", ")))
	}
	return out
}

func TestTrialBalance(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Journal())
	feed := succeeded(10001, 1, 1, 0)
	feed.GetPaymentSucceeded().Fee = &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 33}
	v.apply(newPast("s1").at(1, started()).at(2, feed).at(3, refunded(10002, "a", 10001, 1700, false)).events...)
	v.apply(newPast("s2").at(1, inTest()).at(4, succeeded(20001, 1, 1, 0)).events...)
	foreign := newPast("s1")
	foreign.merchant = "zeta"
	v.apply(foreign.at(1, started()).at(2, succeeded(30001, 1, 1, 0)).events...)

	const (
		test     = "USD test 4700=4700: gateway:main +4700, sales -4500, shipping -200"
		fee      = "EUR live 33=33: gateway:main -33, gateway_fees +33"
		sold     = "USD live 4700=4700: gateway:main +4700, sales -4500, shipping -200"
		returned = "USD live 6400=6400: gateway:main +3000, refunds +1500, sales -4500, shipping +0"
	)
	for _, tt := range []struct {
		name   string
		filter projection.PeriodFilter
		want   []string
	}{
		{"all", projection.PeriodFilter{}, []string{test, fee, returned}},
		{"as of", projection.PeriodFilter{AsOf: minute(2)}, []string{fee, sold}},
		{"before anything was known", projection.PeriodFilter{AsOf: minute(1)}, []string{}},
		{"a period", projection.PeriodFilter{OccurredFrom: minute(2).Add(-10 * time.Second), OccurredTo: minute(3).Add(-10 * time.Second)}, []string{fee, sold}},
		{"an empty period", projection.PeriodFilter{OccurredFrom: minute(20)}, []string{}},
	} {
		tt.filter.MerchantID = "acme"
		if d := cmp.Diff(tt.want, balances(t, v.store, tt.filter)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// statement reads a page in short: "12:01:50 payment_succeeded 10001 +4700 = 4700".
func statement(t *testing.T, r projection.Reader, f projection.StatementFilter, p projection.Page) (opening int64, lines []string, next string) {
	t.Helper()
	from, list, next, err := projection.ReadStatement(context.Background(), r, f, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		lines = append(lines, fmt.Sprintf("%s %s %d %+d = %d", l.GetOccurredAt().AsTime().Format("15:04:05"), l.GetEventType(), l.GetOrderId(),
			l.GetDebit().GetMinorUnits()-l.GetCredit().GetMinorUnits(), l.GetBalance().GetMinorUnits()))
	}
	return from.GetMinorUnits(), lines, next
}

// till is the account of the statements.
func till() projection.StatementFilter {
	return projection.StatementFilter{PeriodFilter: projection.PeriodFilter{MerchantID: "acme"},
		Account: "gateway:main", Currency: "USD", Mode: ledgerv1.Mode_MODE_LIVE}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Journal())
	v.apply(newPast("s1").at(1, started()).at(2, succeeded(10001, 1, 1, 0)).at(3, refunded(10002, "a", 10001, 1700, false)).
		at(4, withdrawn(10003, 10001, 3000)).at(5, reinstated(10004, 10001, 3000)).events...)
	v.apply(newPast("s2").at(1, inTest()).at(3, succeeded(20001, 1, 1, 0)).events...)
	all := []string{
		"12:01:50 payment_succeeded 10001 +4700 = 4700",
		"12:02:50 refund_succeeded 10002 -1700 = 3000",
		"12:03:50 dispute_funds_withdrawn 10003 -3000 = 0",
		"12:04:50 dispute_funds_reinstated 10004 +3000 = 3000",
	}
	at := func(n int) time.Time { return minute(n).Add(-10 * time.Second) }
	for _, tt := range []struct {
		name    string
		change  func(*projection.StatementFilter)
		opening int64
		want    []string
	}{
		{"from the beginning", func(*projection.StatementFilter) {}, 0, all},
		{"a period", func(f *projection.StatementFilter) { f.OccurredFrom, f.OccurredTo = at(3), at(5) }, 4700, all[1:3]},
		{"a period without a line", func(f *projection.StatementFilter) { f.OccurredFrom = at(9) }, 3000, nil},
		{"as of", func(f *projection.StatementFilter) { f.OccurredFrom, f.AsOf = at(3), minute(3) }, 4700, all[1:2]},
		{"another mode", func(f *projection.StatementFilter) { f.Mode = ledgerv1.Mode_MODE_TEST }, 0,
			[]string{"12:02:50 payment_succeeded 20001 +4700 = 4700"}},
		{"another currency", func(f *projection.StatementFilter) { f.Currency = "EUR" }, 0, nil},
		{"another merchant", func(f *projection.StatementFilter) { f.MerchantID = "zeta" }, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := till()
			tt.change(&f)
			for _, size := range []int32{0, 1, 3} {
				var got []string
				for p := (projection.Page{Size: size}); ; {
					opening, lines, next := statement(t, v.store, f, p)
					if opening != tt.opening {
						t.Errorf("pages of %d: it opens with %d, want %d", size, opening, tt.opening)
					}
					got = append(got, lines...)
					if p.Token = next; next == "" {
						break
					}
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("lines, pages of %d (-want +got):\n%s", size, d)
				}
			}
		})
	}
}

// TestStatementStandsStill turns its pages while entries turn up that are dated before, at and behind them.
func TestStatementStandsStill(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Journal())
	p := newPast("s1").at(1, started())
	for i := range 12 {
		p.at(10+i/3, succeeded(int64(10001+i), uint32(i+1), 1, 0)) // three at each instant
	}
	v.apply(p.events...)
	f := till()
	f.OccurredFrom = minute(10)
	opening, want, _ := statement(t, v.store, f, projection.Page{})
	if opening != 3*4700 || len(want) != 9 {
		t.Fatalf("it opens with %d and has %d lines, want %d and 9", opening, len(want), 3*4700)
	}
	var got []string
	page := projection.Page{Size: 2}
	for n := 0; ; n++ {
		start, lines, next := statement(t, v.store, f, page)
		if start != opening {
			t.Errorf("page %d opens with %d, want %d", n, start, opening)
		}
		got = append(got, lines...)
		if page.Token = next; next == "" {
			break
		}
		more := newPast(fmt.Sprint("new", n))
		more.at(1, started()).at(9, succeeded(int64(50001+n), 1, 1, 0)).at(11, succeeded(int64(60001+n), 2, 1, 0)).at(40, succeeded(int64(70001+n), 3, 1, 0))
		for i := range more.events {
			more.events[i].Position.Commit += uint64(100 * (n + 1))
		}
		v.apply(more.events...)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("lines (-at once +in pages):\n%s", d)
	}
}

// TestBooksOfHistoriesAgree holds the three ways to read the journal against each other, and against the orders.
func TestBooksOfHistoriesAgree(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders(), projection.Journal())
	v.apply(allHistories(t)...)
	ctx := context.Background()
	books, err := projection.TrialBalance(ctx, v.store, projection.PeriodFilter{MerchantID: aggregatetest.Merchant})
	if err != nil || len(books) < 2 {
		t.Fatalf("%d books (%v), want one for each currency", len(books), err)
	}
	for _, b := range books {
		if b.GetDebits().GetMinorUnits() != b.GetCredits().GetMinorUnits() || b.GetDebits().GetMinorUnits() == 0 {
			t.Errorf("%s: debits are %d and credits %d", b.GetCurrencyCode(), b.GetDebits().GetMinorUnits(), b.GetCredits().GetMinorUnits())
		}
		cash := int64(0)
		for _, a := range b.GetAccounts() {
			f := projection.StatementFilter{PeriodFilter: projection.PeriodFilter{MerchantID: aggregatetest.Merchant},
				Account: a.GetAccount(), Currency: b.GetCurrencyCode(), Mode: b.GetMode()}
			_, lines, _, err := projection.ReadStatement(ctx, v.store, f, projection.Page{Size: projection.MaxPageSize})
			if err != nil || len(lines) == 0 {
				t.Fatalf("statement of %s: %d lines, %v", a.GetAccount(), len(lines), err)
			}
			if last := lines[len(lines)-1].GetBalance(); last.GetMinorUnits() != a.GetBalance().GetMinorUnits() {
				t.Errorf("%s ends with %d in its statement and %d in the trial balance", a.GetAccount(), last.GetMinorUnits(), a.GetBalance().GetMinorUnits())
			}
			if kind, _, _ := strings.Cut(a.GetAccount(), ":"); slices.Contains([]string{"gateway", "gateway_fees", "suspense"}, kind) {
				cash += a.GetBalance().GetMinorUnits()
			}
		}
		var effect int64
		err := v.store.QueryRow(ctx, "SELECT COALESCE(SUM(cash_effect), 0) FROM order_rows WHERE currency = $1 AND mode = $2",
			b.GetCurrencyCode(), strings.ToLower(strings.TrimPrefix(b.GetMode().String(), "MODE_"))).Scan(&effect)
		if err != nil || effect != cash {
			t.Errorf("%s: the orders say %d (%v), the books %d", b.GetCurrencyCode(), effect, err, cash)
		}
	}
}
