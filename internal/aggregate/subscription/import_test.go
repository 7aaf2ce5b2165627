package subscription_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	importTrialing = ledgerv1.ImportState_IMPORT_STATE_TRIALING
	importActive   = ledgerv1.ImportState_IMPORT_STATE_ACTIVE
	importPastDue  = ledgerv1.ImportState_IMPORT_STATE_PAST_DUE
	importPaused   = ledgerv1.ImportState_IMPORT_STATE_PAUSED
)

// importAt takes over a subscription whose payments up to a number were made elsewhere.
func importAt(now time.Time, t *ledgerv1.Terms, s ledgerv1.ImportState, paid uint32, due time.Time) subscription.Import {
	return subscription.Import{
		Now: now, Number: orders / 10_000, Merchant: "acme", ID: "s1",
		Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.ImportRequest{
			Buyer: &ledgerv1.Buyer{Id: "lead-1", FirstName: "Zoë"}, Terms: t, ConnectionId: "main", PaymentMethod: card(),
			State: s, PaidNumber: paid, NextDueAt: at(due),
		},
	}
}

// anchored is an import with an anchor of its own.
func anchored(c subscription.Import, anchor time.Time) subscription.Import {
	c.Request.AnchorAt = at(anchor)
	return c
}

func TestImport(t *testing.T) {
	t.Parallel()
	c := anchored(importAt(t0.Add(day), terms(recurring, trial(14, 100)), importActive, 7, feb), t0)
	c.Request.ForeignFirstOrderId, c.Request.StartedAt, c.Request.ExternalRef = "tx_1", at(t0.Add(-200*day)), "cart-1"
	c.Request.Metadata = map[string]string{"b": "2", "a": "1"}
	c.Request.Tracking = &ledgerv1.Tracking{Id_1: "spring"}
	c.Request.NextDueAt.Nanos += 999
	got, err := c.Decide(state{})
	if err != nil {
		t.Fatal(err)
	}
	meta := &ledgerv1.Metadata{OccurredAt: at(t0.Add(day)), RecordedAt: at(t0.Add(day))}
	equal(t, "events", got, events{{Metadata: meta, Kind: &ledgerv1.Event_SubscriptionImported{SubscriptionImported: &ledgerv1.SubscriptionImported{
		MerchantId: "acme", SubscriptionId: "s1", Number: 7, BuyerId: "lead-1", Buyer: &ledgerv1.Buyer{FirstName: "Zoë"},
		Terms: terms(recurring, trial(14, 100)), ConnectionId: "main", Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
		Method: card(), Quantity: 1, ExternalRef: "cart-1", Tracking: &ledgerv1.Tracking{Id_1: "spring"},
		Metadata: []*ledgerv1.Pair{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}},
		State:    importActive, PaidNumber: 7, NextDue: at(feb), Anchor: at(t0), ForeignFirstOrderId: "tx_1",
		ChargedBy: ledgerv1.ChargedBy_CHARGED_BY_LEDGER, StartedAt: at(t0.Add(-200 * day)),
	}}}})
	s := after(t, c)
	equal(t, "paid", s.Paid, uint32(7))
	equal(t, "started", s.StartedAt, t0.Add(-200*day))
	equal(t, "orders", s.LastOrder(), int64(0))
	equal(t, "due", s.Due(t0), feb)
	equal(t, "entitled until", s.PaidThrough, feb)
	equal(t, "uses", s.Uses("main"), true)
	equal(t, "method", s.Method, card())
}

func TestImportStates(t *testing.T) {
	t.Parallel()
	trial1 := terms(recurring, trial(14, 100))
	now := feb.Add(time.Hour)
	for _, c := range []struct {
		name            string
		c               subscription.Import
		status, resumes ledgerv1.SubscriptionState
	}{
		{"active", importAt(now, terms(recurring), importActive, 1, mar), subscription.Active, 0},
		{"trialing", importAt(now, trial1, importTrialing, 1, mar), subscription.Trialing, 0},
		{"past due", importAt(now, terms(recurring), importPastDue, 3, feb), subscription.PastDue, 0},
		{"past due after the trial", importAt(now, trial1, importPastDue, 1, feb), subscription.PastDue, 0},
		{"paused", importAt(now, terms(recurring), importPaused, 3, feb), subscription.Paused, subscription.Active},
		{"paused in the trial", importAt(now, trial1, importPaused, 1, mar), subscription.Paused, subscription.Trialing},
	} {
		s := after(t, c.c)
		equal(t, c.name, s.Status, c.status)
		equal(t, c.name+", resumes", s.Resumes, c.resumes)
	}
}

// What an import goes on as.
func TestImported(t *testing.T) {
	t.Parallel()
	active := commands{anchored(importAt(t0.Add(day), terms(recurring), importActive, 7, feb), t0)}
	pastDue := commands{importAt(feb.Add(day), terms(recurring), importPastDue, 7, feb)}
	sleeping := commands{anchored(importAt(t0.Add(day), terms(recurring), importPaused, 7, feb), t0)}
	last := commands{importAt(t0, terms(installments, payments(3)), importActive, 2, feb)}
	rest := commands{importAt(t0, terms(oneTime, trial(14, 100)), importTrialing, 1, feb)}
	rebilled := func(order int64, number, attempt, reattempt uint32, left uint32, next time.Time) *ledgerv1.Event {
		e := succeeded(order, number, attempt, reattempt, 4700, left, next)
		e.GetPaymentSucceeded().OriginalOrderId = orders + 1
		return e
	}
	run(t, []scenario{
		{name: "nothing before it is due", given: active, when: wake(feb.Add(-1)), status: subscription.Active},
		{name: "the first rebill", given: active, when: wake(feb), then: events{requested(8, 1, 0, 4700, feb)}},
		{name: "the first rebill makes the first order", given: with(active, wake(feb)), when: settle(feb, 8, 1, 4700), status: subscription.Active,
			then: events{rebilled(1, 8, 1, 0, 9999, mar)}},
		{name: "the first rebill, two months late", given: with(active, wake(apr)), when: settle(apr, 8, 1, 4700), then: events{rebilled(1, 8, 1, 0, 9999, may), skipped(2, mar, apr, may)}},
		{name: "the first rebill declined", given: with(active, wake(feb)), when: decline(feb, 8, 1, soft), status: subscription.PastDue,
			then: events{{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
				OrderId: orders + 1, PayNumber: 8, Attempt: 1, Amounts: price(4700), Category: soft, OriginalOrderId: orders + 1, NextAttemptAt: at(step(1))}}}}},
		{name: "what is paid is not charged", given: active, when: subscription.Rebill{Now: feb, Number: 7}, refused: "PAY_NUMBER_PAID"},
		{name: "past due: charged at once, as a first attempt", given: pastDue, when: wake(feb.Add(day)), then: events{requested(8, 1, 0, 4700, feb)}},
		{name: "past due: by hand", given: pastDue, when: rebill(feb.Add(day)), then: events{requested(8, 1, 0, 4700, feb)}},
		{name: "past due: its days count from that attempt", given: with(pastDue, wake(feb.Add(day))), when: decline(feb.Add(day), 8, 1, soft), status: subscription.PastDue,
			then: events{{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
				OrderId: orders + 1, PayNumber: 8, Attempt: 1, Amounts: price(4700), Category: soft, OriginalOrderId: orders + 1, NextAttemptAt: at(feb.Add(4 * day))}}}}},
		{name: "past due: another method", given: pastDue, when: replace(feb.Add(day), 1), then: events{replaced(1, true), requested(8, 1, 0, 4700, feb)}},
		{name: "paused", given: sleeping, when: wake(mar), status: subscription.Paused},
		{name: "paused, resumed", given: sleeping, when: resume(feb.Add(day)), status: subscription.Active, then: events{resumed(mar, mar), skipped(1, feb, feb, mar)}},
		{name: "a cancellation is told", given: active, when: cancel(t0.Add(day)), status: subscription.Cancelled, then: events{cancelled(1, byBuyer)}},
		{name: "the last installment completes it", given: with(last, wake(feb)), when: settle(feb, 3, 1, 4700), status: subscription.Completed,
			then: events{rebilled(1, 3, 1, 0, 0, never), completed(3)}},
		{name: "the rest of a one-time price completes it", given: with(rest, wake(feb)), when: settle(feb, 2, 1, 4700), status: subscription.Completed,
			then: events{rebilled(1, 2, 1, 0, 0, never), completed(2)}},
		{name: "what was paid elsewhere is not refunded here", given: active, when: refund("r1", 0), refused: "PAYMENT_NOT_FOUND"},
		{name: "what the gateway did by itself", given: active, when: observe(feb, "ch_x", 4700), refused: "LEDGER_SCHEDULE"},
		{name: "moved", given: active, when: move(t0.Add(day), mar), then: events{moved(feb, mar, mar, never)}},
		{name: "twice", given: active, when: importAt(t0, terms(recurring), importActive, 7, feb), refused: "SUBSCRIPTION_EXISTS"},
		{name: "started too", given: active, when: start(terms(recurring)), refused: "SUBSCRIPTION_EXISTS"},
	})
}

// Recurring installments are taken over in the middle of a cycle, and at its end.
func TestImportedCycles(t *testing.T) {
	t.Parallel()
	three := terms(recurringInstallments, yearly(3))
	for _, c := range []struct {
		name string
		c    subscription.Import
		left uint32
		want []time.Time
	}{
		{"one of three is paid", importAt(t0, three, importActive, 1, mar), 2, []time.Time{mar, apr, date(2027, time.February, 28), date(2027, time.March, 31)}},
		{"two of three are paid", anchored(importAt(feb, three, importActive, 2, mar), t0), 1, []time.Time{mar, date(2027, time.January, 31), date(2027, time.February, 28)}},
		{"all three are paid", importAt(t0, three, importActive, 6, mar), 0, []time.Time{mar, apr, may, mar.AddDate(1, 0, 0)}},
		{"after a trial", importAt(t0, terms(recurringInstallments, yearly(3), trial(14, 100)), importTrialing, 1, mar), 3, []time.Time{mar, apr, may, mar.AddDate(1, 0, 0)}},
		{"in weeks", importAt(t0, terms(recurringInstallments, yearly(2), every(weekly)), importActive, 1, t0.Add(7*day)), 1,
			[]time.Time{t0.Add(7 * day), t0.AddDate(1, 0, 0), t0.AddDate(1, 0, 7), t0.AddDate(2, 0, 0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			l.do(c.c)
			equal(t, "left", l.state.PaymentsLeft(), c.left)
			var got []time.Time
			for range c.want {
				now := l.state.NextDue
				got = append(got, now)
				l.do(wake(now))
				a, _ := l.state.OpenAttempt()
				l.do(settle(now, a.Number, 1, 4700))
			}
			equal(t, "instants", got, c.want)
		})
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	good := func() subscription.Import { return importAt(t0, terms(recurring), importActive, 1, feb) }
	trialing := func() subscription.Import {
		return importAt(t0, terms(recurring, trial(14, 100)), importTrialing, 1, feb)
	}
	byGateway := func(s ledgerv1.ImportState) subscription.Import {
		c := good()
		c.Request.State, c.Request.ChargedBy = s, ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
		return c
	}
	from := func(c subscription.Import, change func(*ledgerv1.ImportRequest)) subscription.Import {
		change(c.Request)
		return c
	}
	type request = *ledgerv1.ImportRequest
	for _, c := range []struct {
		name          string
		c             subscription.Import
		reason, field string
	}{
		{"no request", subscription.Import{ID: "s1"}, "TERMS_REQUIRED", "terms"},
		{"id", func() subscription.Import { c := good(); c.ID = "a-b"; return c }(), "ID_INVALID", "subscription_id"},
		{"no buyer", from(good(), func(r request) { r.Buyer = nil }), "BUYER_REQUIRED", "buyer.id"},
		{"country", from(good(), func(r request) { r.Buyer.Address = &ledgerv1.Address{CountryCode: "XX"} }), "COUNTRY_INVALID", "buyer.address.country_code"},
		{"quantity", from(good(), func(r request) { r.Quantity = 1_000_000_001 }), "QUANTITY_INVALID", "quantity"},
		{"metadata", from(good(), func(r request) { r.Metadata = map[string]string{"": "x"} }), "METADATA_LIMIT", "metadata"},
		{"no method", from(good(), func(r request) { r.PaymentMethod = nil }), "METHOD_REQUIRED", "payment_method"},
		{"a method without reference", from(good(), func(r request) { r.PaymentMethod = &ledgerv1.PaymentMethod{Last4: "4242"} }), "METHOD_REQUIRED", "payment_method"},
		{"no state", from(good(), func(r request) { r.State = 0 }), "IMPORT_STATE_INVALID", "state"},
		{"a state that is none", from(good(), func(r request) { r.State = 9 }), "IMPORT_STATE_INVALID", "state"},
		{"trialing without a trial", from(good(), func(r request) { r.State = importTrialing }), "IMPORT_STATE_INVALID", "state"},
		{"trialing after the trial", from(trialing(), func(r request) { r.PaidNumber = 2 }), "IMPORT_STATE_INVALID", "state"},
		{"active in the trial", from(trialing(), func(r request) { r.State = importActive }), "IMPORT_STATE_INVALID", "state"},
		{"the gateway's, past due", byGateway(importPastDue), "IMPORT_STATE_INVALID", "state"},
		{"the gateway's, paused", byGateway(importPaused), "IMPORT_STATE_INVALID", "state"},
		{"nothing paid", from(good(), func(r request) { r.PaidNumber = 0 }), "PAID_NUMBER_RANGE", "paid_number"},
		{"too much paid", from(good(), func(r request) { r.PaidNumber = 10_000 }), "PAID_NUMBER_RANGE", "paid_number"},
		{"all paid", importAt(t0, terms(installments, payments(3)), importActive, 3, feb), "PAID_NUMBER_RANGE", "paid_number"},
		{"a one-time price, paid", importAt(t0, terms(oneTime), importActive, 1, feb), "PAID_NUMBER_RANGE", "paid_number"},
		{"due never", from(good(), func(r request) { r.NextDueAt = nil }), "NEXT_DUE_REQUIRED", "next_due_at"},
		{"due too late", importAt(t0, terms(recurring), importActive, 1, t0.Add(3661*day)), "DUE_RANGE", "next_due_at"},
		{"past due, but not due", importAt(t0, terms(recurring), importPastDue, 1, feb), "DUE_RANGE", "next_due_at"},
		{"beside its anchor", anchored(good(), t0.Add(time.Minute)), "ANCHOR_MISMATCH", "anchor_at"},
		{"before its anchor", anchored(good(), mar), "ANCHOR_MISMATCH", "anchor_at"},
		{"started tomorrow", from(good(), func(r request) { r.StartedAt = at(t0.Add(1000)) }), "TIME_RANGE", "started_at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := c.c.Decide(state{})
			equal(t, "reason", reasonOf(err), c.reason)
			if e, ok := err.(*aggregate.Error); ok {
				equal(t, "field", e.Field, "import."+c.field)
			}
		})
	}
	for name, c := range map[string]subscription.Import{
		"by an agreement":                              from(good(), func(r request) { r.PaymentMethod = &ledgerv1.PaymentMethod{AgreementId: "I-1"} }),
		"the gateway's, without a method":              from(byGateway(importActive), func(r request) { r.PaymentMethod = nil }),
		"past due since now":                           importAt(feb, terms(recurring), importPastDue, 1, feb),
		"the rest of a one-time price, with an anchor": anchored(importAt(t0, terms(oneTime, trial(14, 100)), importTrialing, 1, feb), t0.Add(1)),
		"anchored long ago":                            anchored(good(), date(1999, time.January, 31)),
	} {
		if _, err := c.Decide(state{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A caller's own pairs are kept in the order of their keys, within limits.
func TestMetadata(t *testing.T) {
	t.Parallel()
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("k", i)] = "v"
		}
		return m
	}
	for name, c := range map[string]struct {
		pairs map[string]string
		want  string
	}{
		"none":             {nil, ""},
		"fifty":            {many(50), ""},
		"fifty-one":        {many(51), "METADATA_LIMIT"},
		"no key":           {map[string]string{"": "v"}, "METADATA_LIMIT"},
		"the longest key":  {map[string]string{strings.Repeat("é", 40): "v"}, ""},
		"too long a key":   {map[string]string{strings.Repeat("e", 41): "v"}, "METADATA_LIMIT"},
		"no value":         {map[string]string{"k": ""}, ""},
		"the longest":      {map[string]string{"k": strings.Repeat("é", 500)}, ""},
		"too long a value": {map[string]string{"k": strings.Repeat("e", 501)}, "METADATA_LIMIT"},
	} {
		begun := startAt(t0, terms(recurring))
		begun.Request.Metadata = c.pairs
		es, err := begun.Decide(state{})
		equal(t, name, reasonOf(err), c.want)
		if err == nil {
			equal(t, name+": pairs", len(es[0].GetSubscriptionStarted().Metadata), len(c.pairs))
		}
	}
}
