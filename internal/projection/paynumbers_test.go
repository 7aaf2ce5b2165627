package projection_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/projection"
)

// payNumberLines lists pay numbers in short: "2 declined attempts 1 reattempt 0 code no_funds next 12:06".
func payNumberLines(t *testing.T, r projection.Reader, f projection.PayNumberFilter) []string {
	t.Helper()
	list, next, err := projection.ListPayNumbers(context.Background(), r, f, projection.Page{Size: projection.MaxPageSize})
	if err != nil || next != "" {
		t.Fatalf("ListPayNumbers: next page %q, error %v; want one page", next, err)
	}
	lines := make([]string, len(list))
	for i, n := range list {
		lines[i] = fmt.Sprintf("%d %s attempts %d reattempt %d", n.GetPayNumber(),
			strings.ToLower(strings.TrimPrefix(n.GetState().String(), "PAY_NUMBER_STATE_")), n.GetAttempts(), n.GetReattempt())
		if n.GetDeclineCode() != "" {
			lines[i] += " code " + n.GetDeclineCode()
		}
		if n.GetNextAttemptAt() != nil {
			lines[i] += " next " + n.GetNextAttemptAt().AsTime().Format("15:04")
		}
		if n.GetOrderId() != 0 {
			lines[i] += fmt.Sprintf(" order %d paid %s", n.GetOrderId(), n.GetPaidAt().AsTime().Format("15:04:05"))
		}
	}
	return lines
}

func TestPayNumbers(t *testing.T) {
	t.Parallel()
	asked := func() *past { return newPast("s1").at(1, started(), requested(1, 1, 0)) }
	sold := func() *past { return asked().at(2, succeeded(10001, 1, 1, 0)) }
	const one = "1 paid attempts 1 reattempt 0 order 10001 paid 12:01:50"
	tests := []struct {
		name string
		past *past
		want []string
	}{
		{"asked for", asked(), []string{"1 requested attempts 1 reattempt 0"}},
		{"pending", asked().at(2, pending(1, 1)), []string{"1 pending attempts 1 reattempt 0"}},
		{"in doubt", asked().at(2, unknown(1, 1)), []string{"1 in_doubt attempts 1 reattempt 0"}},
		{"in doubt, then found", asked().at(2, unknown(1, 1)).at(3, succeeded(10001, 1, 1, 0)),
			[]string{"1 paid attempts 1 reattempt 0 order 10001 paid 12:02:50"}},
		{"proven absent", asked().at(2, unknown(1, 1)).at(3, notCharged(1, 1)), []string{"1 not_charged attempts 1 reattempt 0"}},
		{"another amount", asked().at(2, mismatched(1, 1)), []string{"1 mismatch attempts 1 reattempt 0"}},
		{"paid and the next", sold().at(3, requested(2, 1, 0)), []string{one, "2 requested attempts 1 reattempt 0"}},
		{"declined", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds next 12:06"}},
		{"tried again", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(6, requested(2, 2, 1)),
			[]string{one, "2 requested attempts 2 reattempt 1"}},
		{"failed twice, then paid", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(6, requested(2, 2, 1)).
			at(7, declined(10003, 2, 2, 1, 9)).at(9, requested(2, 3, 2)).at(10, succeeded(10004, 2, 3, 2)),
			[]string{one, "2 paid attempts 3 reattempt 2 order 10004 paid 12:09:50"}},
		{"cancelled while past due", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(5, cancelled(10003)),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds"}},
		{"cancelled while asked for", sold().at(3, requested(2, 1, 0)).at(4, cancelled(10002)),
			[]string{one, "2 in_doubt attempts 1 reattempt 0"}},
		{"charged after it was cancelled", sold().at(3, requested(2, 1, 0)).at(4, cancelled(10002)).at(5, late(10003, 2, 1)),
			[]string{one, "2 paid attempts 1 reattempt 0 order 10003 paid 12:04:50"}},
		{"paid by an earlier attempt", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(6, requested(2, 2, 1)).
			at(7, late(10003, 2, 1)).at(8, notCharged(2, 2)),
			[]string{one, "2 paid attempts 2 reattempt 0 order 10003 paid 12:06:50"}},
		{"paid by an earlier attempt, the other ended at that instant", asked().at(2, declined(10001, 1, 1, 0, 3)).at(3, requested(1, 2, 1)).
			at(4, late(10002, 1, 1), notCharged(1, 2)),
			[]string{"1 paid attempts 2 reattempt 0 order 10002 paid 12:03:50"}},
		{"paid at the gateway", newPast("s1").at(1, imported()).at(2, observed(10001, 4)),
			[]string{"4 paid attempts 0 reattempt 0 order 10001 paid 12:01:50"}},
		{"paid at the gateway, heard twice", newPast("s1").at(1, imported()).at(2, observed(10001, 4)).at(3, observed(10001, 4)),
			[]string{"4 paid attempts 0 reattempt 0 order 10001 paid 12:01:50"}},
		{"declined, then paid at the gateway", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(5, observed(10003, 2)),
			[]string{one, "2 paid attempts 1 reattempt 0 order 10003 paid 12:04:50"}},
		{"another amount, given back", asked().at(2, mismatched(1, 1)).at(3, resolved(1, 1)), []string{"1 not_charged attempts 1 reattempt 0"}},
		{"paused while past due", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(5, paused()),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds"}},
		{"paused while past due, resumed", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(5, paused()).at(9, resumed(2, 9)),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds next 12:09"}},
		{"paused and resumed at once", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(5, paused(), resumed(30, 9)),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds next 12:09"}},
		{"paused while asked for, resumed", sold().at(3, requested(2, 1, 0)).at(4, paused()).at(5, resumed(30, 30)),
			[]string{one, "2 in_doubt attempts 1 reattempt 0"}},
		{"paused while pending", sold().at(3, requested(2, 1, 0), pending(2, 1)).at(4, paused()), []string{one, "2 pending attempts 1 reattempt 0"}},
		{"paused while asked for, never charged, resumed", sold().at(3, requested(2, 1, 0)).at(4, paused()).at(5, notCharged(2, 1)).at(6, resumed(30, 30)),
			[]string{one, "2 not_charged attempts 1 reattempt 0 next 12:30"}},
		{"paused between payments, resumed", sold().at(3, paused()).at(4, resumed(30, 30)), []string{one}},
		{"past due, rescheduled", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(5, rescheduled(20)),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds next 12:20"}},
		{"past due without another try, rescheduled", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 0)).at(5, rescheduled(20)),
			[]string{one, "2 declined attempts 1 reattempt 0 code no_funds"}},
		{"all at one instant", newPast("s1").at(1, started(), requested(1, 1, 0), pending(1, 1), unknown(1, 1), succeeded(10001, 1, 1, 0)),
			[]string{"1 paid attempts 1 reattempt 0 order 10001 paid 12:00:50"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.PayNumbers())
			v.apply(tt.past.events...)
			if d := cmp.Diff(tt.want, payNumberLines(t, v.store, projection.PayNumberFilter{MerchantID: "acme"})); d != "" {
				t.Errorf("pay numbers (-want +got):\n%s", d)
			}
		})
	}
}

func TestPayNumberFields(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.PayNumbers())
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, succeeded(10001, 1, 1, 0)).events...)
	got, _, err := projection.ListPayNumbers(context.Background(), v.store, projection.PayNumberFilter{MerchantID: "acme"}, projection.Page{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*ledgerv1.PayNumber{{
		MerchantId: "acme", SubscriptionId: "s1", PayNumber: 1, State: ledgerv1.PayNumberState_PAY_NUMBER_STATE_PAID,
		Attempts: 1, Amounts: amounts(4700), DueAt: timestamppb.New(minute(1)),
		PaidAt: timestamppb.New(minute(2).Add(-10 * time.Second)), OrderId: 10001,
	}}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("pay numbers (-want +got):\n%s", d)
	}
}

// TestPayNumberMoves looks at when an open payment is due after it was moved, and what it was known to be before.
func TestPayNumberMoves(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.PayNumbers())
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0)).at(2, declined(10001, 1, 1, 0, 6)).
		at(3, rescheduled(20)).at(4, paused()).at(5, rescheduled(30)).at(6, resumed(40, 6)).events...)
	for _, c := range []struct{ at, due, next int }{{2, 1, 6}, {3, 20, 20}, {4, 20, 0}, {5, 30, 0}, {6, 40, 6}} {
		list, _, err := projection.ListPayNumbers(context.Background(), v.store,
			projection.PayNumberFilter{MerchantID: "acme", AsOf: minute(c.at)}, projection.Page{})
		if err != nil || len(list) != 1 {
			t.Fatalf("as of %d: %v (%v), want one pay number", c.at, list, err)
		}
		n := list[0]
		if !n.GetDueAt().AsTime().Equal(minute(c.due)) {
			t.Errorf("as of %d it is due at %v, want minute %d", c.at, n.GetDueAt().AsTime(), c.due)
		}
		if (n.GetNextAttemptAt() == nil) != (c.next == 0) || c.next != 0 && !n.GetNextAttemptAt().AsTime().Equal(minute(c.next)) {
			t.Errorf("as of %d it is tried at %v, want minute %d", c.at, n.GetNextAttemptAt(), c.next)
		}
	}
}

func TestPayNumbersAsOf(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.PayNumbers())
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0)).
		at(3, pending(1, 1), unknown(1, 1)). // one instant: the later one is what was known
		at(5, unknown(1, 1)).                // nothing new
		at(7, succeeded(10001, 1, 1, 0)).events...)
	tests := []struct {
		at   time.Time
		want []string
	}{
		{minute(1).Add(-time.Microsecond), []string{}},
		{minute(1), []string{"1 requested attempts 1 reattempt 0"}},
		{minute(3).Add(-time.Microsecond), []string{"1 requested attempts 1 reattempt 0"}},
		{minute(3), []string{"1 in_doubt attempts 1 reattempt 0"}},
		{minute(6), []string{"1 in_doubt attempts 1 reattempt 0"}},
		{minute(7), []string{"1 paid attempts 1 reattempt 0 order 10001 paid 12:06:50"}},
		{minute(59), []string{"1 paid attempts 1 reattempt 0 order 10001 paid 12:06:50"}},
	}
	for _, tt := range tests {
		got := payNumberLines(t, v.store, projection.PayNumberFilter{MerchantID: "acme", AsOf: tt.at})
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("pay numbers as of %s (-want +got):\n%s", tt.at, d)
		}
	}
	var versions int
	if err := v.store.QueryRow(context.Background(), "SELECT count(*) FROM pay_number_versions").Scan(&versions); err != nil {
		t.Fatal(err)
	}
	if versions != 3 {
		t.Errorf("there are %d versions, want 3: requested, in doubt, paid", versions)
	}
}

func TestListPayNumbersFiltersAndPages(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.PayNumbers())
	for _, id := range []string{"s2", "s1", "s3"} {
		p := newPast(id).at(1, started())
		for n := range uint32(3) {
			p.at(2, requested(n+1, 1, 0)).at(3, succeeded(int64(n), n+1, 1, 0))
		}
		v.apply(p.at(4, requested(4, 1, 0), unknown(4, 1)).events...)
	}
	foreign := newPast("s1")
	foreign.merchant = "zeta"
	v.apply(foreign.at(1, started(), requested(1, 1, 0)).events...)

	paid := []ledgerv1.PayNumberState{ledgerv1.PayNumberState_PAY_NUMBER_STATE_PAID}
	doubt := []ledgerv1.PayNumberState{ledgerv1.PayNumberState_PAY_NUMBER_STATE_IN_DOUBT}
	tests := []struct {
		name   string
		filter projection.PayNumberFilter
		want   []string
	}{
		{"all", projection.PayNumberFilter{}, []string{"s1/1", "s1/2", "s1/3", "s1/4", "s2/1", "s2/2", "s2/3", "s2/4", "s3/1", "s3/2", "s3/3", "s3/4"}},
		{"subscription", projection.PayNumberFilter{SubscriptionID: "s2"}, []string{"s2/1", "s2/2", "s2/3", "s2/4"}},
		{"one state", projection.PayNumberFilter{States: doubt}, []string{"s1/4", "s2/4", "s3/4"}},
		{"two states", projection.PayNumberFilter{States: append(doubt, paid...), SubscriptionID: "s3"}, []string{"s3/1", "s3/2", "s3/3", "s3/4"}},
		{"due", projection.PayNumberFilter{DueFrom: minute(2), DueTo: minute(4)}, []string{"s1/2", "s1/3", "s2/2", "s2/3", "s3/2", "s3/3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.filter.MerchantID = "acme"
			var got []string
			for p := (projection.Page{Size: 2}); ; {
				list, next, err := projection.ListPayNumbers(context.Background(), v.store, tt.filter, p)
				if err != nil {
					t.Fatal(err)
				}
				if len(list) > 2 {
					t.Errorf("a page has %d rows, want at most 2", len(list))
				}
				for _, n := range list {
					got = append(got, fmt.Sprintf("%s/%d", n.GetSubscriptionId(), n.GetPayNumber()))
				}
				if p.Token = next; next == "" {
					break
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("pay numbers (-want +got):\n%s", d)
			}
		})
	}
}

func TestOutcomeOfANumberThatWasNeverRequested(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.PayNumbers())
	err := v.try(newPast("s1").at(1, started(), succeeded(10001, 1, 1, 0)).events...)
	if err == nil || !strings.Contains(err.Error(), "never requested") {
		t.Errorf("error %v, want one that says that pay number 1 was never requested", err)
	}
}
