package journal_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/journal"
	"ledger.internal/ledger/internal/aggregate/money"
)

func usd(minor int64) *ledgerv1.Money { return money.New("USD", minor) }

func parts(full, base, discount, shipping, tax int64) *ledgerv1.Amounts {
	return &ledgerv1.Amounts{Full: usd(full), Base: usd(base), Discount: usd(discount), Shipping: usd(shipping), Tax: usd(tax)}
}

// lines writes postings in short: "dr sales 47.00 USD #10001".
func lines(postings []*ledgerv1.Posting) []string {
	all := []string{}
	for _, p := range postings {
		side, m := "dr", p.GetDebit()
		if p.GetCredit() != nil {
			side, m = "cr", p.GetCredit()
		}
		all = append(all, fmt.Sprintf("%s %s %s %s #%d", side, p.GetAccount(), money.Format(m), m.GetCurrencyCode(), p.GetOrderId()))
	}
	return all
}

// TestEntries has the rules' table, row by row.
func TestEntries(t *testing.T) {
	t.Parallel()
	// 50.00 - 7.00 + 5.00 + 4.80
	sold := parts(5280, 5000, 700, 500, 480)
	for _, c := range []struct {
		name  string
		event *ledgerv1.Event
		want  []string
	}{
		{"payment", &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
			OrderId: 10001, Amounts: sold, ConnectionId: "second"}}}, []string{
			"dr gateway:second 52.80 USD #10001",
			"dr discounts 7.00 USD #10001",
			"cr sales 50.00 USD #10001",
			"cr shipping 5.00 USD #10001",
			"cr tax_payable 4.80 USD #10001",
		}},
		{"payment before connections were named", &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
			OrderId: 10001, Amounts: parts(100, 100, 0, 0, 0)}}}, []string{
			"dr gateway:main 1.00 USD #10001",
			"cr sales 1.00 USD #10001",
		}},
		{"payment with a fee", &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
			OrderId: 10001, Amounts: parts(100, 100, 0, 0, 0), Fee: usd(33)}}}, []string{
			"dr gateway:main 1.00 USD #10001",
			"cr sales 1.00 USD #10001",
			"dr gateway_fees 0.33 USD #10001",
			"cr gateway:main 0.33 USD #10001",
		}},
		{"payment settled in another currency", &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
			OrderId: 10001, Amounts: parts(100, 100, 0, 0, 0), Settled: money.New("EUR", 92), Fee: money.New("EUR", 3)}}}, []string{
			"dr gateway:main 1.00 USD #10001",
			"cr sales 1.00 USD #10001",
			"dr gateway_fees 0.03 EUR #10001",
			"cr gateway:main 0.03 EUR #10001",
		}},
		{"payment of nothing", &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
			OrderId: 10001, Amounts: parts(0, 5000, 5000, 0, 0)}}}, []string{}},
		{"late charge", &ledgerv1.Event{Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
			OrderId: 10002, Amounts: parts(580, 100, 0, 0, 480), Fee: usd(33), ConnectionId: "second"}}}, []string{
			"dr gateway:second 5.80 USD #10002",
			"cr sales 1.00 USD #10002",
			"cr tax_payable 4.80 USD #10002",
			"dr gateway_fees 0.33 USD #10002",
			"cr gateway:second 0.33 USD #10002",
		}},
		{"observed payment", &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
			OrderId: 10002, Amounts: parts(100, 100, 0, 0, 0), Fee: usd(33), ConnectionId: "second"}}}, []string{
			"dr gateway:second 1.00 USD #10002",
			"cr sales 1.00 USD #10002",
			"dr gateway_fees 0.33 USD #10002",
			"cr gateway:second 0.33 USD #10002",
		}},
		{"refund", &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
			OrderId: 10003, Amounts: sold}}}, []string{
			"dr refunds 43.00 USD #10003",
			"dr shipping 5.00 USD #10003",
			"dr tax_payable 4.80 USD #10003",
			"cr gateway:main 52.80 USD #10003",
		}},
		// A quarter of 52.80 is too much: 10.75 of the goods, 1.25 of the shipping, 1.20 of the tax.
		{"refund of more than was left", &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
			OrderId: 10003, Amounts: sold, OverReturned: true, Excess: usd(1320)}}}, []string{
			"dr refunds 32.25 USD #10003",
			"dr shipping 3.75 USD #10003",
			"dr tax_payable 3.60 USD #10003",
			"dr losses 13.20 USD #10003",
			"cr gateway:main 52.80 USD #10003",
		}},
		// Of two cents too much, shipping and tax have the larger remainders.
		{"refund, the excess rounded", &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
			OrderId: 10003, Amounts: parts(5, 1, 0, 2, 2), OverReturned: true, Excess: usd(2)}}}, []string{
			"dr refunds 0.01 USD #10003",
			"dr shipping 0.01 USD #10003",
			"dr tax_payable 0.01 USD #10003",
			"dr losses 0.02 USD #10003",
			"cr gateway:main 0.05 USD #10003",
		}},
		{"refund of what was gone", &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
			OrderId: 10003, Amounts: sold, OverReturned: true, Excess: usd(5280)}}}, []string{
			"dr losses 52.80 USD #10003",
			"cr gateway:main 52.80 USD #10003",
		}},
		{"observed refund", &ledgerv1.Event{Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
			OrderId: 10003, Amounts: parts(100, 100, 0, 0, 0), ConnectionId: "second", OverReturned: true, Excess: usd(40)}}}, []string{
			"dr refunds 0.60 USD #10003",
			"dr losses 0.40 USD #10003",
			"cr gateway:second 1.00 USD #10003",
		}},
		{"refund that came back", &ledgerv1.Event{Kind: &ledgerv1.Event_RefundReversed{RefundReversed: &ledgerv1.RefundReversed{
			OrderId: 10004, Amounts: sold, Excess: usd(1320)}}}, []string{
			"cr refunds 32.25 USD #10004",
			"cr shipping 3.75 USD #10004",
			"cr tax_payable 3.60 USD #10004",
			"cr losses 13.20 USD #10004",
			"dr gateway:main 52.80 USD #10004",
		}},
		{"funds withdrawn", &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
			OrderId: 10005, Amounts: sold, Fee: usd(1500)}}}, []string{
			"dr chargebacks 52.80 USD #10005",
			"cr gateway:main 52.80 USD #10005",
			"dr gateway_fees 15.00 USD #10005",
			"cr gateway:main 15.00 USD #10005",
		}},
		{"more funds withdrawn than were left", &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
			OrderId: 10005, Amounts: sold, OverReturned: true, Excess: usd(280)}}}, []string{
			"dr chargebacks 50.00 USD #10005",
			"dr losses 2.80 USD #10005",
			"cr gateway:main 52.80 USD #10005",
		}},
		{"funds reinstated", &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsReinstated{DisputeFundsReinstated: &ledgerv1.DisputeFundsReinstated{
			OrderId: 10006, Amounts: sold, Excess: usd(280)}}}, []string{
			"cr chargebacks 50.00 USD #10006",
			"cr losses 2.80 USD #10006",
			"dr gateway:main 52.80 USD #10006",
		}},
		{"charge of another amount", &ledgerv1.Event{Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
			Expected: usd(5280), Charged: money.New("JPY", 500), Fee: money.New("JPY", 15), ConnectionId: "second"}}}, []string{
			"dr gateway:second 500.00 JPY #0",
			"cr suspense:second 500.00 JPY #0",
			"dr gateway_fees 15.00 JPY #0",
			"cr gateway:second 15.00 JPY #0",
		}},
		{"charge of another amount, given back", &ledgerv1.Event{Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: &ledgerv1.MismatchResolved{
			Amount: money.New("JPY", 500), ConnectionId: "second"}}}, []string{
			"cr gateway:second 500.00 JPY #0",
			"dr suspense:second 500.00 JPY #0",
		}},
		{"charged twice", &ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{
			Amount: usd(5280), Fee: usd(33), ConnectionId: "second"}}}, []string{
			"dr gateway:second 52.80 USD #0",
			"cr suspense:second 52.80 USD #0",
			"dr gateway_fees 0.33 USD #0",
			"cr gateway:second 0.33 USD #0",
		}},
		{"charged twice, given back", &ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeReturned{DuplicateChargeReturned: &ledgerv1.DuplicateChargeReturned{
			Amount: usd(5280)}}}, []string{
			"cr gateway:main 52.80 USD #0",
			"dr suspense:main 52.80 USD #0",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, known := journal.Entry(c.event, "main")
			if !known {
				t.Fatal("the kind is not known")
			}
			if d := gocmp.Diff(c.want, lines(got)); d != "" {
				t.Errorf("postings (-want +got):\n%s", d)
			}
		})
	}
}

// posts are the kinds of events that post, each with the most that it can say; parts and excess are the draw's.
func posts(a *ledgerv1.Amounts, excess, fee *ledgerv1.Money, connection string) map[string]*ledgerv1.Event {
	const order = 10001
	return map[string]*ledgerv1.Event{
		"payment_succeeded": {Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
			OrderId: order, Amounts: a, Fee: fee, Settled: money.New("CHF", 17), ConnectionId: connection}}},
		"late_charge_observed": {Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
			OrderId: order, Amounts: a, Fee: fee, Settled: money.New("CHF", 17), ConnectionId: connection}}},
		"payment_observed": {Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
			OrderId: order, Amounts: a, Fee: fee, Settled: money.New("CHF", 17), ConnectionId: connection}}},
		"refund_succeeded": {Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
			OrderId: order, Amounts: a, Excess: excess, ConnectionId: connection}}},
		"refund_observed": {Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
			OrderId: order, Amounts: a, Excess: excess, ConnectionId: connection}}},
		"refund_reversed": {Kind: &ledgerv1.Event_RefundReversed{RefundReversed: &ledgerv1.RefundReversed{
			OrderId: order, Amounts: a, Excess: excess, ConnectionId: connection}}},
		"dispute_funds_withdrawn": {Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
			OrderId: order, Amounts: a, Excess: excess, Fee: fee, ConnectionId: connection}}},
		"dispute_funds_reinstated": {Kind: &ledgerv1.Event_DisputeFundsReinstated{DisputeFundsReinstated: &ledgerv1.DisputeFundsReinstated{
			OrderId: order, Amounts: a, Excess: excess, ConnectionId: connection}}},
		"amount_mismatch_observed": {Kind: &ledgerv1.Event_AmountMismatchObserved{AmountMismatchObserved: &ledgerv1.AmountMismatchObserved{
			Charged: a.GetFull(), Fee: fee, ConnectionId: connection}}},
		"mismatch_resolved": {Kind: &ledgerv1.Event_MismatchResolved{MismatchResolved: &ledgerv1.MismatchResolved{
			Amount: a.GetFull(), ConnectionId: connection}}},
		"duplicate_charge_observed": {Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{
			Amount: a.GetFull(), Fee: fee, ConnectionId: connection}}},
		"duplicate_charge_returned": {Kind: &ledgerv1.Event_DuplicateChargeReturned{DuplicateChargeReturned: &ledgerv1.DuplicateChargeReturned{
			Amount: a.GetFull(), ConnectionId: connection}}},
	}
}

// TestEveryKindPostsOrIsSilent walks the oneof: a kind is posted, or listed as silent, and never both.
func TestEveryKindPostsOrIsSilent(t *testing.T) {
	t.Parallel()
	full := posts(parts(100, 100, 0, 0, 0), nil, nil, "main")
	kinds := (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		kind := kinds.Get(i)
		e, moves := full[string(kind.Name())]
		if !moves {
			e = &ledgerv1.Event{}
			e.ProtoReflect().Set(kind, e.ProtoReflect().NewField(kind))
		}
		postings, known := journal.Entry(e, "main")
		if !known {
			t.Errorf("%s neither posts nor is listed as silent", kind.Name())
		}
		if moves != (len(postings) > 0) {
			t.Errorf("%s has %d postings; moves money: %v", kind.Name(), len(postings), moves)
		}
		if money := kind.Message().Fields().ByName("connection_id"); moves && money == nil {
			t.Errorf("%s moves money and does not say through which connection", kind.Name())
		}
	}
	if _, known := journal.Entry(&ledgerv1.Event{}, "main"); known {
		t.Error("an event of no kind is known")
	}
}

// drawn is what a draw makes an event of.
type drawn struct {
	amounts     *ledgerv1.Amounts
	excess, fee *ledgerv1.Money
	connection  string
}

func draw(t *rapid.T) drawn {
	code := rapid.SampledFrom([]string{"USD", "EUR", "JPY", "KWD"}).Draw(t, "currency")
	part := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, 100_000), rapid.Int64Range(0, money.Limit/4))
	base := part.Draw(t, "base")
	a, err := money.NormalizeAmounts("amounts", &ledgerv1.Amounts{
		Base:     money.New(code, base),
		Discount: money.New(code, rapid.Int64Range(0, base).Draw(t, "discount")),
		Shipping: money.New(code, part.Draw(t, "shipping")),
		Tax:      money.New(code, part.Draw(t, "tax")),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := drawn{amounts: a, connection: rapid.SampledFrom([]string{"", "second"}).Draw(t, "connection")}
	if rapid.Bool().Draw(t, "over returned") {
		d.excess = money.New(code, rapid.Int64Range(0, a.Full.MinorUnits).Draw(t, "excess"))
	}
	if rapid.Bool().Draw(t, "with a fee") {
		d.fee = money.New(rapid.SampledFrom([]string{code, "CHF"}).Draw(t, "fee in"), part.Draw(t, "fee"))
	}
	return d
}

// sums adds up debits less credits, in each account or over all of them.
func sums(postings []*ledgerv1.Posting, by func(account string) string) map[string]int64 {
	all := map[string]int64{}
	for _, p := range postings {
		m := p.GetDebit()
		if m == nil {
			m = p.GetCredit()
		}
		all[by(p.GetAccount())+" "+m.GetCurrencyCode()] += p.GetDebit().GetMinorUnits() - p.GetCredit().GetMinorUnits()
	}
	return all
}

func account(a string) string { return a }

func book(string) string { return "" }

func nonzero(t interface{ Errorf(string, ...any) }, what string, sums map[string]int64) {
	for of, sum := range sums {
		if sum != 0 {
			t.Errorf("%s: %s is left with %d, want 0", what, of, sum)
		}
	}
}

func TestEntriesBalance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		for kind, e := range posts(d.amounts, d.excess, d.fee, d.connection) {
			before := proto.CloneOf(e)
			got, _ := journal.Entry(e, "main")
			nonzero(t, kind, sums(got, book))
			for _, p := range got {
				if !journal.ValidAccount(p.GetAccount()) {
					t.Errorf("%s posts on %q, which is no account", kind, p.GetAccount())
				}
				if debit, credit := p.GetDebit().GetMinorUnits(), p.GetCredit().GetMinorUnits(); debit < 0 || credit < 0 || (debit == 0) == (credit == 0) {
					t.Errorf("%s has a line that is not one of debit and credit: %v", kind, p)
				}
				if connection, at := strings.CutPrefix(p.GetAccount(), "gateway:"); at && connection != cmp.Or(d.connection, "main") {
					t.Errorf("%s by connection %q posts on %s", kind, d.connection, p.GetAccount())
				}
			}
			if !proto.Equal(before, e) {
				t.Errorf("%s was changed", kind)
			}
		}
	})
}

// TestReversalsCancelOut posts what went out and then what came back: of a refund nothing is left, of a dispute and
// of money in suspense only the gateway's fee.
func TestReversalsCancelOut(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{
		"refund_succeeded":          "refund_reversed",
		"refund_observed":           "refund_reversed",
		"dispute_funds_withdrawn":   "dispute_funds_reinstated",
		"amount_mismatch_observed":  "mismatch_resolved",
		"duplicate_charge_observed": "duplicate_charge_returned",
	}
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		all := posts(d.amounts, d.excess, nil, d.connection)
		for there, back := range pairs {
			out, _ := journal.Entry(all[there], "main")
			in, _ := journal.Entry(all[back], "main")
			nonzero(t, there+" and "+back, sums(append(out, in...), account))
		}
	})
}

// TestHistories posts whole lives. What the orders did to the merchant's money is what lies at the gateway, plus what
// the gateway kept for itself, less what nobody could place.
func TestHistories(t *testing.T) {
	t.Parallel()
	entries := 0
	for _, h := range aggregatetest.Histories() {
		var all []*ledgerv1.Posting
		cash := int64(0)
		for _, e := range h.Events {
			got, known := journal.Entry(e.Event, aggregatetest.Connection)
			if !known {
				t.Errorf("%s: %T is not known", h.Name, e.GetKind())
			}
			nonzero(t, h.Name, sums(got, book))
			if len(got) > 0 {
				entries++
			}
			all = append(all, got...)
			cash += cashEffect(e.Event)
		}
		for of, sum := range sums(all, account) {
			kind, _, _ := strings.Cut(strings.Fields(of)[0], ":")
			if kind == "gateway" || kind == "gateway_fees" || kind == "suspense" {
				cash -= sum // suspense is a credit, and so less than 0
			}
		}
		if cash != 0 {
			t.Errorf("%s: the orders' cash and the books differ by %d:\n%s", h.Name, cash, strings.Join(lines(all), "\n"))
		}
	}
	if entries == 0 {
		t.Error("no history posts anything")
	}
}

// cashEffect is what the order of an event did to the merchant's money.
func cashEffect(e *ledgerv1.Event) int64 {
	type told interface{ GetAmounts() *ledgerv1.Amounts }
	signs := map[string]int64{
		"PaymentSucceeded": 1, "LateChargeObserved": 1, "PaymentObserved": 1, "RefundReversed": 1, "DisputeFundsReinstated": 1,
		"RefundSucceeded": -1, "RefundObserved": -1, "DisputeFundsWithdrawn": -1,
	}
	m := e.ProtoReflect()
	kind := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message()
	if t, ok := kind.Interface().(told); ok {
		return signs[string(kind.Descriptor().Name())] * t.GetAmounts().GetFull().GetMinorUnits()
	}
	return 0
}

func TestValidAccount(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"sales": true, "losses": true, "gateway:main": true, "suspense:c_1": true,
		"": false, "Sales": false, "sales ": false, "cash": false, "gateway": false, "gateway:": false, "gateway:a b": false,
		"suspense:": false, "gateway:main:x": false, "gateway_fees:main": false, "gateway:" + strings.Repeat("x", 41): false,
	} {
		if got := journal.ValidAccount(name); got != want {
			t.Errorf("ValidAccount(%q) = %v, want %v", name, got, want)
		}
	}
}
