package ipn_test

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

var update = flag.Bool("update", false, "write the golden files anew")

// settings are an endpoint's, with nothing but what every endpoint has.
func settings(changes ...func(*ledgerv1.EndpointSettings)) *ledgerv1.EndpointSettings {
	s := &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn.php", SecretKey: "s3cret & co", DateZone: "EST"}
	for _, change := range changes {
		change(s)
	}
	return s
}

// notices are what is told of a history, in its order.
func notices(h aggregatetest.History) []ipn.Notice {
	var all []ipn.Notice
	var s subscription.State
	for _, e := range h.Events {
		before := s
		s = subscription.Evolve(s, e.Event)
		if _, _, told := projection.IPNType(e.Event); told {
			all = append(all, ipn.Notice{
				Event: e, Before: before, After: s,
				Endpoint:  endpoint.State{Merchant: aggregatetest.Merchant, ID: "shop", Settings: settings()},
				Merchant:  merchant.State{ID: aggregatetest.Merchant},
				Processor: s.Started.Processor,
			})
		}
	}
	return all
}

func typeOf(n ipn.Notice) string {
	t, _, _ := projection.IPNType(n.Event.Event)
	return strings.ToLower(strings.TrimPrefix(t.String(), "IPN_TYPE_"))
}

// kindOf is the number of a notice's kind of price in Kartra's pages; 0 for a plain one-time price.
func kindOf(n ipn.Notice) int {
	t := n.After.Terms()
	if t.Kind == ledgerv1.PriceKind_PRICE_KIND_ONE_TIME && t.Initial == nil {
		return 0
	}
	return int(t.Kind)
}

// golden names a notification of a history, and what is special about its endpoint or merchant.
type golden struct {
	file    string
	history string
	typ     string
	nth     int // of that type, from 0
	change  func(*ipn.Notice)
}

func goldens() []golden {
	const (
		one   = "a full life, one-time with an initial payment"
		month = "a full life, recurring"
		plan  = "a full life, installments"
		cycle = "a full life, recurring installments"
	)
	all := []golden{
		{file: "plain-sale", history: "bought once", typ: "sale"},
		{file: "plain-sale-shipped", history: "bought once, shipped", typ: "sale"},
		{file: "plain-sale-paypal", history: "bought once with PayPal", typ: "sale"},
		{file: "plain-sale-yen", history: "bought for yen", typ: "sale"},
		{file: "plain-sale-for-nothing", history: "bought for nothing", typ: "sale"},
		{file: "plain-failed", history: "bought, declined", typ: "failed"},
		{file: "plain-partial_refund-yen", history: "bought for yen", typ: "partial_refund"},
		{file: "plain-refund", history: "bought, refunded", typ: "refund"},
		{file: "plain-chargeback", history: "bought, part refunded, disputed", typ: "chargeback"},
		{file: "recurring-sale-free-trial", history: "free trial, rebilled", typ: "sale"},
		{file: "recurring-sale-free-trial-shipped", history: "free trial with shipping, coupon, rebilled", typ: "sale"},
		{file: "recurring-rebill-coupon", history: "free trial with shipping, coupon, rebilled", typ: "rebill"},
		{file: "recurring-rebill-moved", history: "monthly, moved, rebilled", typ: "rebill"},
		{file: "recurring-rebill-dinars", history: "monthly in dinars, rebilled", typ: "rebill"},
		{file: "recurring-rebill-paypal", history: "monthly with PayPal, agreement lost", typ: "rebill"},
		{file: "recurring-cancellation-paypal", history: "monthly with PayPal, agreement lost", typ: "cancellation"},
		{file: "recurring-failed-first", history: "first payment declined", typ: "failed"},
		{file: "recurring-failed-last", history: "monthly, declined to the end", typ: "failed", nth: 3},
		{file: "recurring-rebill-late", history: "declined, charged after all", typ: "rebill"},
		{file: "recurring-sale-late", history: "cancelled while in doubt, charged after all", typ: "sale"},
		{file: "one-time-cancellation", history: "trial, cancelled by the buyer", typ: "cancellation"},
		{file: "installments-rebill-last", history: "installments, paid to the end", typ: "rebill", nth: 1},
		{file: "recurring-installments-rebill-second-cycle", history: "recurring installments, second cycle", typ: "rebill", nth: 2},
		{file: "spaced-keys-refund", history: plan, typ: "refund", change: func(n *ipn.Notice) {
			n.Endpoint.Settings.SpacedShippingKeys = true
		}},
		{file: "spaced-keys-sale", history: plan, typ: "sale", change: func(n *ipn.Notice) {
			n.Endpoint.Settings.SpacedShippingKeys = true // only the refund's list is printed with spaces
		}},
		{file: "recurring-rebill-observed", history: "monthly with PayPal, agreement lost", typ: "rebill", change: observePayment},
		{file: "recurring-refund-observed", history: month, typ: "refund", change: observeRefund},
		{file: "zone-and-suffix-sale", history: "bought once", typ: "sale", change: func(n *ipn.Notice) {
			n.Endpoint.Settings.DateZone, n.Endpoint.Settings.DateSuffix = "Europe/Berlin", " CET"
		}},
		{file: "gdpr-off-sale", history: "bought once", typ: "sale", change: func(n *ipn.Notice) { n.Merchant.GDPROff = true }},
		{file: "nothing-known-sale", history: "bought once", typ: "sale", change: func(n *ipn.Notice) {
			n.After.Buyer = nil // erased
			n.After.Started = proto.CloneOf(n.After.Started)
			n.After.Started.Tracking = nil
			n.Endpoint.Settings.SecretKey = ""
		}},
	}
	for name, history := range map[string]string{"one-time": one, "recurring": month, "installments": plan, "recurring-installments": cycle} {
		for _, typ := range []string{"sale", "rebill", "failed", "refund", "partial_refund", "chargeback", "cancellation"} {
			if history == one && typ == "cancellation" {
				continue // it completes before; see one-time-cancellation
			}
			all = append(all, golden{file: name + "-" + typ, history: history, typ: typ})
		}
	}
	return all
}

// observePayment makes a notice one of the same payment, taken by the gateway without being asked.
func observePayment(n *ipn.Notice) {
	p := n.Event.GetPaymentSucceeded()
	n.Event.Event = &ledgerv1.Event{Metadata: n.Event.Metadata, Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
		OrderId: p.OrderId, PayNumber: p.PayNumber, Amounts: p.Amounts, Reference: p.Reference, Method: p.Method,
		OriginalOrderId: p.OriginalOrderId, PaymentsLeft: p.PaymentsLeft, NextDue: p.NextDue, PaidThrough: p.PaidThrough,
	}}}
}

// observeRefund makes a notice one of the same refund, made at the gateway without the ledger.
func observeRefund(n *ipn.Notice) {
	r := n.Event.GetRefundSucceeded()
	n.Event.Event = &ledgerv1.Event{Metadata: n.Event.Metadata, Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
		OrderId: r.OrderId, RefundId: r.RefundId, ParentOrderId: r.ParentOrderId, OriginalOrderId: r.OriginalOrderId,
		PayNumber: r.PayNumber, Amounts: r.Amounts, Reference: r.Reference, Full: r.Full,
	}}}
}

// What nobody asked for is told in the same words.
func TestObservedIsToldAlike(t *testing.T) {
	t.Parallel()
	for typ, observe := range map[string]func(*ipn.Notice){"sale": observePayment, "rebill": observePayment, "refund": observeRefund, "partial_refund": observeRefund} {
		g := golden{history: "a full life, recurring", typ: typ}
		asked, err := ipn.Render(g.notice(t))
		if err != nil {
			t.Fatal(err)
		}
		g.change = observe
		observed, err := ipn.Render(g.notice(t))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines(asked), lines(observed)); diff != "" {
			t.Errorf("%s (-asked for +observed):\n%s", typ, diff)
		}
	}
}

func (g golden) notice(t *testing.T) ipn.Notice {
	t.Helper()
	nth := g.nth
	for _, n := range notices(aggregatetest.Named(g.history)) {
		if typeOf(n) != g.typ {
			continue
		}
		if nth--; nth < 0 {
			if g.change != nil {
				g.change(&n)
			}
			return n
		}
	}
	t.Fatalf("%q has no %s number %d", g.history, g.typ, g.nth)
	return ipn.Notice{}
}

// lines writes a body as it stands in a golden file.
func lines(b ipn.Body) string {
	var text strings.Builder
	for _, p := range b {
		fmt.Fprintf(&text, "%s=%s\n", p.Key, p.Value)
	}
	return text.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	wanted := map[string]bool{}
	for _, g := range goldens() {
		if wanted[g.file] {
			t.Fatalf("two cases have the file %s", g.file)
		}
		wanted[g.file] = true
		t.Run(g.file, func(t *testing.T) {
			t.Parallel()
			body, err := ipn.Render(g.notice(t))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "golden", g.file+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(lines(body)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), lines(body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
	if *update {
		return
	}
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no golden files (%v)", err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".txt"); !wanted[name] {
			t.Errorf("%s belongs to no case", f)
		}
	}
}

// variable is a row of variables.tsv.
type variable struct {
	name  string
	cells map[string]string
}

func variables(t *testing.T) []variable {
	t.Helper()
	file, err := os.ReadFile("testdata/variables.tsv")
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(file))
	r.Comma, r.Comment = '\t', '#'
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 50 {
		t.Fatalf("variables.tsv has %d rows (%v), want more than 50", len(rows), err)
	}
	var all []variable
	for _, row := range rows[1:] {
		v := variable{name: row[0], cells: map[string]string{}}
		for i, cell := range row[1:] {
			v.cells[rows[0][i+1]] = cell
		}
		all = append(all, v)
	}
	return all
}

// column is the list that a notice follows.
func column(n ipn.Notice) string {
	c := typeOf(n)
	if c == "partial_refund" || c == "chargeback" {
		c = "refund"
	}
	if kindOf(n) == 0 {
		c += "1"
	}
	return c
}

// wants reads a cell: whether the variable is there, and with which value if that is fixed.
func wants(cell string, kind int) (there bool, value string) {
	if kinds, ok := strings.CutPrefix(cell, "kinds "); ok {
		return slices.Contains(strings.Fields(kinds), strconv.Itoa(kind)), ""
	}
	switch cell {
	case "x":
		return true, ""
	case "-":
		return false, ""
	}
	return true, cell
}

func TestEveryTypeAndKindHasItsVariables(t *testing.T) {
	t.Parallel()
	table := variables(t)
	seen := map[string]bool{}
	for _, h := range aggregatetest.Histories() {
		for i, n := range notices(h) {
			body, err := ipn.Render(n)
			if err != nil {
				t.Fatalf("%s, notification %d: %v", h.Name, i, err)
			}
			seen[fmt.Sprintf("%s of kind %d", typeOf(n), kindOf(n))] = true
			got := map[string]string{}
			for _, p := range body {
				if _, twice := got[p.Key]; twice {
					t.Errorf("%s, %s: %s stands there twice", h.Name, typeOf(n), p.Key)
				}
				if p.Value == "" {
					t.Errorf("%s, %s: %s is empty, want N/A", h.Name, typeOf(n), p.Key)
				}
				got[p.Key] = p.Value
			}
			for _, v := range table {
				there, value := wants(v.cells[column(n)], kindOf(n))
				has, ok := got[v.name]
				if ok != there {
					t.Errorf("%s, %s of kind %d: %s is there: %v, want %v", h.Name, typeOf(n), kindOf(n), v.name, ok, there)
				}
				if there && value != "" && has != value {
					t.Errorf("%s, %s of kind %d: %s is %q, want %q", h.Name, typeOf(n), kindOf(n), v.name, has, value)
				}
				delete(got, v.name)
			}
			for key := range got {
				t.Errorf("%s, %s: %s is in no list", h.Name, typeOf(n), key)
			}
		}
	}
	for kind := range 5 {
		for _, typ := range []string{"sale", "rebill", "failed", "refund", "partial_refund", "chargeback", "cancellation"} {
			if kind == 0 && (typ == "rebill" || typ == "cancellation") {
				continue // one payment, then complete
			}
			if c := fmt.Sprintf("%s of kind %d", typ, kind); !seen[c] {
				t.Errorf("no history tells a %s", c)
			}
		}
	}
}

// value is a variable of a rendered notice.
func value(t *testing.T, n ipn.Notice, key string) string {
	t.Helper()
	body, err := ipn.Render(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range body {
		if p.Key == key {
			return p.Value
		}
	}
	t.Fatalf("there is no %s in\n%s", key, body)
	return ""
}

func TestDates(t *testing.T) {
	t.Parallel()
	summer := time.Date(2026, time.July, 1, 3, 4, 5, 678, time.UTC)
	for zone, want := range map[string]string{
		"":                 "2026-06-30 22:04:05", // no summer time
		"EST":              "2026-06-30 22:04:05",
		"America/New_York": "2026-06-30 23:04:05",
		"UTC":              "2026-07-01 03:04:05",
		"Asia/Kolkata":     "2026-07-01 08:34:05",
	} {
		n := golden{history: "bought once", typ: "sale"}.notice(t)
		n.Event.Metadata.OccurredAt.Seconds, n.Event.Metadata.OccurredAt.Nanos = summer.Unix(), int32(summer.Nanosecond())
		n.Endpoint.Settings.DateZone = zone
		if got := value(t, n, "transaction_date"); got != want {
			t.Errorf("in zone %q: %s, want %s", zone, got, want)
		}
	}
}

func TestRebillCircle(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		left time.Duration
		want string
	}{
		"to the second":       {30 * day, "30"},
		"a second more":       {30*day + time.Second, "31"},
		"a second less":       {30*day - time.Second, "30"},
		"an hour":             {time.Hour, "1"},
		"now":                 {0, "0"},
		"overdue when it was": {-3 * day, "0"},
	} {
		n := golden{history: "free trial, rebilled", typ: "rebill"}.notice(t)
		at := n.Event.Metadata.OccurredAt
		n.Event.GetPaymentSucceeded().NextDue.Seconds = at.Seconds + int64(c.left/time.Second)
		n.Event.GetPaymentSucceeded().NextDue.Nanos = at.Nanos
		if got := value(t, n, "rebill_circle"); got != c.want {
			t.Errorf("%s: rebill_circle is %s, want %s", name, got, c.want)
		}
	}
}

func TestTheBuyerAndTheCardAreThoseOfTheEvent(t *testing.T) {
	t.Parallel()
	const history = "monthly, moved, rebilled"
	for typ, want := range map[string]string{"sale": "Berlin", "rebill": "Zürich"} {
		if got := value(t, golden{history: history, typ: typ}.notice(t), "lead_city"); got != want {
			t.Errorf("lead_city of the %s is %s, want %s", typ, got, want)
		}
	}
	n := golden{history: history, typ: "rebill"}.notice(t)
	n.Event.GetPaymentSucceeded().Method.Last4 = "1881"
	n.After.Method = &ledgerv1.PaymentMethod{Last4: "0005"} // replaced since
	if got := value(t, n, "transaction_last_4_card_digits"); got != "1881" {
		t.Errorf("transaction_last_4_card_digits is %s, want 1881, which the event charged", got)
	}
}

// TestTextIsToldVerbatim lets a receiver read what is dangerous elsewhere, and only text here.
func TestTextIsToldVerbatim(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"'; DROP TABLE", "<script>alert(1)</script>", "=HYPERLINK(\"x\")", "../../etc", "${jndi:ldap://x}", "%0d%0a", "a&b=c;d+e f", "12345678901234567", "日本 ü \u202e",
	} {
		n := golden{history: "bought once", typ: "sale"}.notice(t)
		n.After.Buyer = proto.CloneOf(n.After.Buyer)
		n.After.Buyer.FirstName = text
		body, err := ipn.Render(n)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := url.ParseQuery(string(body.Encode()))
		if got := sent["lead_first_name"]; err != nil || len(got) != 1 || got[0] != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
		if len(sent) != len(body) {
			t.Errorf("%q: got %d variables, want %d", text, len(sent), len(body))
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	silent := golden{history: "bought once", typ: "sale"}.notice(t)
	silent.Event = aggregatetest.Named("bought once").Events[0]
	zone := golden{history: "bought once", typ: "sale"}.notice(t)
	zone.Endpoint.Settings.DateZone = "Mars/Olympus"
	local := golden{history: "bought once", typ: "sale"}.notice(t)
	local.Endpoint.Settings.DateZone = "Local"
	unknown := golden{history: "bought once", typ: "sale"}.notice(t)
	unknown.After = subscription.State{}
	for name, n := range map[string]ipn.Notice{
		"an event that is silent": silent, "a zone that is not known": zone, "the machine's own zone": local,
		"a subscription that does not exist": unknown,
	} {
		if body, err := ipn.Render(n); err == nil {
			t.Errorf("%s is rendered:\n%s", name, body)
		}
	}
}
