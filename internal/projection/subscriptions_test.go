package projection_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

// fataler is a test, or an attempt of rapid's.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// row is the one subscription of acme that has a number.
func (v *views) row(t fataler, number int64) *ledgerv1.SubscriptionSummary {
	t.Helper()
	list, next, err := projection.ListSubscriptions(context.Background(), v.store,
		projection.SubscriptionFilter{MerchantID: "acme", OrderID: number*10_000 + 1}, projection.Page{})
	if err != nil || len(list) != 1 || next != "" {
		t.Fatalf("subscription number %d: got %v, next page %q, error %v; want one row", number, list, next, err)
	}
	return list[0]
}

// TestSubscriptionRowIsTheFoldedState holds the row against the aggregate, after each event of each history.
func TestSubscriptionRowIsTheFoldedState(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Subscriptions())
	for _, h := range aggregatetest.Histories() {
		var s subscription.State
		for _, e := range h.Events {
			v.known = time.Time{} // each history is a log of its own
			v.apply(e)
			s = subscription.Evolve(s, e.Event)
			want := invariant.Summary(s, h.Events[0].GetMetadata().GetRecordedAt().AsTime())
			if d := cmp.Diff(want, v.row(t, want.Number), protocmp.Transform()); d != "" {
				t.Fatalf("%s, after event %d, %T (-state +row):\n%s", h.Name, e.Revision, e.GetKind(), d)
			}
		}
	}
}

// TestSubscriptionRowIsTheFoldedStateOfAnyLife does the same with lives that nobody thought of.
func TestSubscriptionRowIsTheFoldedStateOfAnyLife(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Subscriptions())
	rapid.Check(t, func(rt *rapid.T) {
		v.forget()
		l := newRandomLog(rt, 2)
		for range rapid.IntRange(20, 80).Draw(rt, "steps") {
			from := len(l.events)
			s := l.step()
			v.apply(l.events[from:]...)
			if !s.state.Exists() {
				continue
			}
			want := invariant.Summary(s.state, s.created)
			if d := cmp.Diff(want, v.row(rt, want.Number), protocmp.Transform()); d != "" {
				rt.Fatalf("after %v (-state +row):\n%s", l.events[from:], d)
			}
		}
	})
}

// TestSubscriptionsAsOf counts versions, and reads them back.
func TestSubscriptionsAsOf(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Subscriptions())
	v.apply(newPast("s1").at(1, started(), requested(1, 1, 0)).
		at(3, pending(1, 1), unknown(1, 1)). // one instant: the later one is what was known
		at(5, unknown(1, 1)).                // nothing new
		at(7, succeeded(10001, 1, 1, 0)).events...)
	for _, tt := range []struct {
		at   time.Time
		want []string
	}{
		{minute(1).Add(-time.Microsecond), nil},
		{minute(1), []string{"s1 pending"}},
		{minute(3).Add(-time.Microsecond), []string{"s1 pending"}},
		{minute(3), []string{"s1 pending in doubt"}},
		{minute(6), []string{"s1 pending in doubt"}},
		{minute(7), []string{"s1 active"}},
		{minute(59), []string{"s1 active"}},
		{time.Time{}, []string{"s1 active"}},
	} {
		got := subscriptionLines(t, v.store, projection.SubscriptionFilter{MerchantID: "acme", AsOf: tt.at})
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("subscriptions as of %s (-want +got):\n%s", tt.at, d)
		}
	}
	var versions int
	if err := v.store.QueryRow(context.Background(), "SELECT count(*) FROM subscription_versions").Scan(&versions); err != nil {
		t.Fatal(err)
	}
	if versions != 3 {
		t.Errorf("there are %d versions, want 3: pending, in doubt, active", versions)
	}
}

// subscriptionLines lists subscriptions in short: "s1 past_due in doubt disputed".
func subscriptionLines(t *testing.T, r projection.Reader, f projection.SubscriptionFilter) (lines []string) {
	t.Helper()
	for p := (projection.Page{Size: 2}); ; {
		list, next, err := projection.ListSubscriptions(context.Background(), r, f, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 2 {
			t.Errorf("a page has %d rows, want at most 2", len(list))
		}
		for _, s := range list {
			line := s.GetSubscriptionId() + " " + strings.ToLower(strings.TrimPrefix(s.GetState().String(), "SUBSCRIPTION_STATE_"))
			if s.GetInDoubt() {
				line += " in doubt"
			}
			if s.GetDisputed() {
				line += " disputed"
			}
			lines = append(lines, line)
		}
		if p.Token = next; next == "" {
			return lines
		}
	}
}

// startedAs is a start with a number and whatever else is changed.
func startedAs(number int64, change func(*ledgerv1.SubscriptionStarted)) *ledgerv1.Event {
	e := started()
	e.GetSubscriptionStarted().Number = number
	if change != nil {
		change(e.GetSubscriptionStarted())
	}
	return e
}

// inOrder is one log of several pasts.
func inOrder(pasts ...*past) (events []event.Recorded) {
	for _, p := range pasts {
		events = append(events, p.events...)
	}
	slices.SortStableFunc(events, func(a, b event.Recorded) int {
		return a.GetMetadata().GetRecordedAt().AsTime().Compare(b.GetMetadata().GetRecordedAt().AsTime())
	})
	return events
}

func TestListSubscriptionsFiltersAndPages(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Orders(), projection.Subscriptions())
	buyer := func(id, email string) func(*ledgerv1.SubscriptionStarted) {
		return func(s *ledgerv1.SubscriptionStarted) { s.BuyerId, s.Buyer = id, &ledgerv1.Buyer{Email: email} }
	}
	dueAt := func(e *ledgerv1.Event, n int) *ledgerv1.Event {
		e.GetPaymentSucceeded().NextDue = timestamppb.New(minute(n))
		return e
	}
	foreign := newPast("s1")
	foreign.merchant = "zeta"
	v.apply(inOrder(
		newPast("s1").at(1, startedAs(1, buyer("ada", "Ada@Example.com")), requested(1, 1, 0)).
			at(2, dueAt(succeeded(10001, 1, 1, 0), 20)).at(3, refundRequested("rf_1", 10001, 4700)).
			at(4, refunded(10002, "rf_1", 10001, 4700, true)),
		newPast("s2").at(1, startedAs(2, buyer("ada", "ada@example.com")), requested(1, 1, 0)).at(2, unknown(1, 1)),
		newPast("s3").at(1, startedAs(3, func(s *ledgerv1.SubscriptionStarted) {
			s.ConnectionId, s.Terms.ProductId, s.ExternalRef = "second", "course", ""
		}), requested(1, 1, 0)).at(2, dueAt(succeeded(30001, 1, 1, 0), 30)).at(5, withdrawn(30002, 30001, 4700)),
		newPast("s4").at(1, startedAs(4, nil), requested(1, 1, 0)).at(2, declined(40001, 1, 1, 0, 0)).
			at(3, &ledgerv1.Event{Kind: &ledgerv1.Event_BuyerUpdated{BuyerUpdated: &ledgerv1.BuyerUpdated{
				Buyer: &ledgerv1.Buyer{Email: "new@example.com"}}}}),
		foreign.at(1, startedAs(5, nil), requested(1, 1, 0)).at(2, succeeded(50001, 1, 1, 0)),
	)...)

	yes, no := true, false
	const s1, s2, s3, s4 = "s1 active", "s2 pending in doubt", "s3 active disputed", "s4 failed"
	for _, tt := range []struct {
		name   string
		filter projection.SubscriptionFilter
		want   []string
	}{
		{"all, highest number first", projection.SubscriptionFilter{}, []string{s4, s3, s2, s1}},
		{"a state", projection.SubscriptionFilter{States: []ledgerv1.SubscriptionState{subscription.Active}}, []string{s3, s1}},
		{"states", projection.SubscriptionFilter{States: []ledgerv1.SubscriptionState{subscription.Pending, subscription.Failed}}, []string{s4, s2}},
		{"buyer", projection.SubscriptionFilter{BuyerID: "ada"}, []string{s2, s1}},
		{"e-mail, whatever its capitals", projection.SubscriptionFilter{Email: "ADA@example.COM"}, []string{s2, s1}},
		{"a part of an e-mail", projection.SubscriptionFilter{Email: "ada"}, nil},
		{"an e-mail that came later", projection.SubscriptionFilter{Email: "new@example.com"}, []string{s4}},
		{"external reference", projection.SubscriptionFilter{ExternalRef: "cart-7"}, []string{s4, s2, s1}},
		{"connection", projection.SubscriptionFilter{ConnectionID: "second"}, []string{s3}},
		{"product", projection.SubscriptionFilter{ProductID: "book"}, []string{s4, s2, s1}},
		{"order", projection.SubscriptionFilter{OrderID: 30002}, []string{s3}},
		{"another merchant's order", projection.SubscriptionFilter{OrderID: 50001}, nil},
		{"no order of anybody", projection.SubscriptionFilter{OrderID: -10001}, nil},
		{"charge", projection.SubscriptionFilter{GatewayReference: "ch_30001"}, []string{s3}},
		{"refund", projection.SubscriptionFilter{GatewayReference: "re_rf_1"}, []string{s1}},
		{"refund that was not known", projection.SubscriptionFilter{GatewayReference: "re_rf_1", AsOf: minute(3)}, nil},
		{"another merchant's charge", projection.SubscriptionFilter{GatewayReference: "ch_50001"}, nil},
		{"in doubt", projection.SubscriptionFilter{InDoubt: &yes}, []string{s2}},
		{"not in doubt", projection.SubscriptionFilter{InDoubt: &no}, []string{s4, s3, s1}},
		{"disputed", projection.SubscriptionFilter{Disputed: &yes}, []string{s3}},
		{"not disputed", projection.SubscriptionFilter{Disputed: &no}, []string{s4, s2, s1}},
		{"due", projection.SubscriptionFilter{DueFrom: minute(20), DueTo: minute(30)}, []string{s1}},
		{"due from", projection.SubscriptionFilter{DueFrom: minute(30)}, []string{s3}},
		{"of a buyer, and in doubt", projection.SubscriptionFilter{BuyerID: "ada", InDoubt: &yes}, []string{s2}},
		{"as of then", projection.SubscriptionFilter{AsOf: minute(2), States: []ledgerv1.SubscriptionState{subscription.Active}}, []string{"s3 active", s1}},
		{"nothing", projection.SubscriptionFilter{BuyerID: "nobody"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.filter.MerchantID = "acme"
			if d := cmp.Diff(tt.want, subscriptionLines(t, v.store, tt.filter)); d != "" {
				t.Errorf("subscriptions (-want +got):\n%s", d)
			}
		})
	}
}

func TestSubscriptionThatWasNeverStarted(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Subscriptions())
	err := v.try(newPast("s1").at(1, requested(1, 1, 0)).events...)
	if err == nil || !strings.Contains(err.Error(), "never started") {
		t.Errorf("error %v, want one that says that it was never started", err)
	}
}

// TestViewsAsOfAreThoseBuiltUpToThen compares what is known of any instant, of any log, with the views that were built
// from the log up to it.
func TestViewsAsOfAreThoseBuiltUpToThen(t *testing.T) {
	t.Parallel()
	then := newViews(t, projection.Orders(), projection.PayNumbers(), projection.Subscriptions())
	whole := newViews(t, projection.Orders(), projection.PayNumbers(), projection.Subscriptions())
	rapid.Check(t, func(rt *rapid.T) {
		then.forget()
		whole.forget()
		l := newRandomLog(rt, 3)
		for range rapid.IntRange(20, 80).Draw(rt, "steps") {
			l.step()
		}
		if len(l.events) == 0 {
			return // all was refused
		}
		whole.apply(l.events...)
		var at []time.Time
		for range 4 {
			e := l.events[rapid.IntRange(0, len(l.events)-1).Draw(rt, "event")]
			beside := time.Duration(rapid.IntRange(-2, 2).Draw(rt, "beside it")) * time.Microsecond
			at = append(at, e.GetMetadata().GetRecordedAt().AsTime().Add(beside))
		}
		slices.SortFunc(at, time.Time.Compare)
		events := l.events
		for _, t := range at {
			for len(events) > 0 && !events[0].GetMetadata().GetRecordedAt().AsTime().After(t) {
				then.apply(events[0])
				events = events[1:]
			}
			if d := cmp.Diff(then.lists(rt, time.Time{}), whole.lists(rt, t), protocmp.Transform()); d != "" {
				rt.Fatalf("as of %s (-then +as of):\n%s", t, d)
			}
		}
	})
}

// lists are all rows of a merchant, as of then.
func (v *views) lists(t fataler, asOf time.Time) map[string]any {
	t.Helper()
	ctx, all := context.Background(), projection.Page{Size: projection.MaxPageSize}
	orders, _, err := projection.ListOrders(ctx, v.store, projection.OrderFilter{MerchantID: "acme", AsOf: asOf}, all)
	if err != nil {
		t.Fatalf("ListOrders: %v", err)
	}
	for i, o := range orders {
		if orders[i], err = projection.GetOrder(ctx, v.store, "acme", o.GetOrderId(), asOf); err != nil || !cmp.Equal(o, orders[i], protocmp.Transform()) {
			t.Fatalf("GetOrder: %v, %v; want what is listed: %v", orders[i], err, o)
		}
	}
	numbers, _, err := projection.ListPayNumbers(ctx, v.store, projection.PayNumberFilter{MerchantID: "acme", AsOf: asOf}, all)
	if err != nil {
		t.Fatalf("ListPayNumbers: %v", err)
	}
	subscriptions, _, err := projection.ListSubscriptions(ctx, v.store, projection.SubscriptionFilter{MerchantID: "acme", AsOf: asOf}, all)
	if err != nil {
		t.Fatalf("ListSubscriptions: %v", err)
	}
	return map[string]any{"orders": orders, "pay numbers": numbers, "subscriptions": subscriptions}
}
