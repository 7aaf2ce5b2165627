package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// sandboxAccount is the account of the connection that an empty ledger begins with.
const sandboxAccount = firstMerchant + "." + firstConnection

// buyer does at the gateway what a buyer does there.
func (w *world) buyer(ts *testscript.TestScript, args []string) {
	usage(ts, args, "buyer approve|decline|cancel|back|revoke SUB")
	if args[0] == "back" {
		w.buyerBack(ts, args[1])
		return
	}
	s := w.subscription(ts, args[1])
	var target string
	switch args[0] {
	case "approve", "decline", "cancel":
		page := s.GetOpenAttempt().GetNextAction().GetRedirectUrl()
		if page == "" {
			ts.Fatalf("the buyer was not sent to the gateway")
		}
		at, err := url.Parse(page)
		ts.Check(err)
		query := at.Query()
		query.Set("result", args[0])
		at.RawQuery = query.Encode()
		target = at.String()
	case "revoke":
		target = w.server.sandbox + "/v1/accounts/" + sandboxAccount + "/methods/" + url.PathEscape(s.GetPaymentMethod().GetReference()) + "/revoke"
	default:
		ts.Fatalf("a buyer cannot %s", args[0])
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Post(target, "", nil)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		ts.Fatalf("the gateway answered %s", resp.Status)
	}
	if w.sentTo == nil {
		w.sentTo = map[string]string{}
	}
	w.sentTo[args[1]] = resp.Header.Get("Location")
	w.toldByPayabl(ts)
}

// words are what a page tells its reader.
var words = regexp.MustCompile(`<(?:h1|p)[^>]*>([^<]+)<`)

// buyerBack opens the page that the gateway sent the buyer to, and prints where he is sent from there, or what he reads.
// The ledger's port is another one after a restart.
func (w *world) buyerBack(ts *testscript.TestScript, id string) {
	u, err := url.Parse(w.sentTo[id])
	ts.Check(err)
	if u.Path == "" {
		ts.Fatalf("the gateway has sent the buyer of %s nowhere", id)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(ts.Getenv("HTTP_URL") + u.RequestURI())
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "HTTP %d\n", resp.StatusCode)
	if to := resp.Header.Get("Location"); to != "" {
		fmt.Fprintln(ts.Stdout(), to)
		return
	}
	for _, said := range words.FindAllStringSubmatch(string(body), -1) {
		fmt.Fprintln(ts.Stdout(), said[1])
	}
}

// gateway does what the gateway does without being asked: it takes a payment by a schedule of its own, returns one at
// its desk, has one disputed, sells something for another shop, loses webhooks, or is away for a while.
func (w *world) gateway(ts *testscript.TestScript, args []string) {
	account := w.running(ts).sandbox + "/v1/accounts/" + sandboxAccount
	method, path, body := http.MethodPost, "/faults", `{"operation": "any", "step": "unavailable", "times": 1000000}`
	switch what := strings.Join(args[:min(1, len(args))], ""); {
	case what == "away" && len(args) == 1:
	case what == "back" && len(args) == 1:
		method, body = http.MethodDelete, ""
	case what == "charges" && len(args) == 3:
		reference := w.subscription(ts, args[1]).GetPaymentMethod().GetReference()
		path, body = "/payments", fmt.Sprintf(`{"amount": {"currency_code": "USD", "minor_units": %s}, "method": %q,
			"metadata": {"merchant": %q, "subscription": %q}}`, args[2], reference, firstMerchant, args[1])
	case what == "returns" && len(args) == 3:
		path, body = "/charges/"+w.lastCharge(ts, args[1])+"/refunds",
			fmt.Sprintf(`{"amount": {"currency_code": "USD", "minor_units": %s}, "reason": "asked by telephone"}`, args[2])
	case what == "disputes" && len(args) == 3:
		path, body = "/charges/"+w.lastCharge(ts, args[1])+"/disputes", fmt.Sprintf(`{"stage": %q}`, args[2])
	case what == "bills" && len(args) == 3:
		path, body = "/payments", fmt.Sprintf(`{"amount": {"currency_code": "USD", "minor_units": %s},
			"metadata": {"merchant": %q, "subscription": %q}}`, args[2], firstMerchant, args[1])
	case what == "sells" && len(args) == 2:
		path, body = "/charges", fmt.Sprintf(`{"key": "order-1", "amount": {"currency_code": "USD", "minor_units": %s},
			"token": "tok_webhook_twice"}`, args[1])
	case what == "loses" && len(args) == 2:
		body = fmt.Sprintf(`{"operation": "webhook", "step": "lost", "times": %s}`, args[1])
	default:
		ts.Fatalf("usage: gateway away|back | gateway charges|returns|bills SUB MINOR | gateway disputes SUB STAGE | gateway sells MINOR | gateway loses TIMES")
	}
	req, err := http.NewRequest(method, account+path, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		ts.Fatalf("the gateway answered %s", resp.Status)
	}
}

// lastCharge is the gateway's id of the charge that a subscription's latest payment was.
func (w *world) lastCharge(ts *testscript.TestScript, id string) string {
	r, err := ledgerv1.NewOrderServiceClient(w.settled(ts).conn).ListOrders(context.Background(),
		&ledgerv1.ListOrdersRequest{MerchantId: firstMerchant, SubscriptionId: id})
	ts.Check(err)
	for _, o := range r.Orders {
		if o.Type == ledgerv1.OrderType_ORDER_TYPE_SALE || o.Type == ledgerv1.OrderType_ORDER_TYPE_REBILL {
			return o.GatewayReference
		}
	}
	ts.Fatalf("%s has paid nothing", id)
	return ""
}

// entry is a line of the gateway's book.
type entry struct {
	Status, Stage string
	Amount        *ledgerv1.Money
	Metadata      struct {
		Subscription string
		PayNumber    int `json:"pay_number"`
		Attempt      int
	}
}

type bookOfAll struct{ Charges, Refunds, Disputes []entry }

// bookAt is what the gateway knows of the money.
func bookAt(ts *testscript.TestScript, s *server) (b bookOfAll) {
	resp, err := http.Get(s.sandbox + "/v1/book?account=" + sandboxAccount)
	ts.Check(err)
	defer resp.Body.Close()
	ts.Check(json.NewDecoder(resp.Body).Decode(&b))
	return b
}

// charged waits until the gateway has charged a subscription, though the ledger may not know it yet.
func (w *world) charged(ts *testscript.TestScript, args []string) {
	usage(ts, args, "charged SUB")
	s := w.running(ts)
	for began := time.Now(); time.Since(began) < patience; {
		for _, c := range bookAt(ts, s).Charges {
			if c.Metadata.Subscription == args[0] && c.Status == "succeeded" {
				return
			}
		}
	}
	ts.Fatalf("%s was not charged", args[0])
}

// book prints it.
func (w *world) book(ts *testscript.TestScript, args []string) {
	usage(ts, args, "book")
	b := bookAt(ts, w.settled(ts))
	var rows [][]string
	for _, c := range b.Charges {
		rows = append(rows, []string{"charge", inWords(c.Amount), c.Status,
			fmt.Sprintf("%s pay_number=%d attempt=%d", c.Metadata.Subscription, c.Metadata.PayNumber, c.Metadata.Attempt)})
	}
	for _, r := range b.Refunds {
		rows = append(rows, []string{"refund", inWords(r.Amount), r.Status,
			fmt.Sprintf("%s pay_number=%d", r.Metadata.Subscription, r.Metadata.PayNumber)})
	}
	for _, d := range b.Disputes {
		rows = append(rows, []string{"dispute", inWords(d.Amount), d.Stage})
	}
	columns(ts.Stdout(), rows)
}
