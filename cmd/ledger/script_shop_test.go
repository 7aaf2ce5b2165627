package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// shop is the merchant's side of the notifications.
type shop struct {
	server *httptest.Server
	path   string // where notifications go; what comes elsewhere is for who had the port before
	secret string

	mu     sync.Mutex
	script []int // how it answers the next ones, before it answers with 200
	taken  []notification
	faults []string
}

// notification is one that was taken.
type notification struct {
	id, body string
	form     url.Values
}

// secretKey is what the merchant's endpoint is told in clear.
const secretKey = "known-to-both"

// receive opens the shop and makes it the endpoint "shop" of the merchant default.
func (w *world) receive(ts *testscript.TestScript, args []string) {
	s := &shop{path: "/ipn/" + rand.Text()}
	for _, a := range args {
		status, err := strconv.Atoi(a)
		ts.Check(err)
		s.script = append(s.script, status)
	}
	s.mu.Lock() // until it knows its secret
	defer s.mu.Unlock()
	s.server = httptest.NewServer(s)
	w.shop = s
	r, err := ledgerv1.NewEndpointServiceClient(w.running(ts).conn).CreateEndpoint(context.Background(), &ledgerv1.CreateEndpointRequest{
		MerchantId: firstMerchant, RequestId: "the shop", EndpointId: "shop",
		Settings: &ledgerv1.EndpointSettings{Url: s.server.URL + s.path, SecretKey: secretKey},
	})
	ts.Check(err)
	s.secret = r.Endpoint.SigningSecret
}

// ServeHTTP takes a notification.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != s.path {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.faults = append(s.faults, err.Error())
		return
	}
	if len(s.script) > 0 {
		status := s.script[0]
		s.script = s.script[1:]
		http.Error(w, "not now", status)
		return
	}
	if err := s.take(r.Header, string(body)); err != nil {
		s.faults = append(s.faults, err.Error())
	}
}

// take checks what a careful merchant checks, and forgets what he has already. The ledger's clock is not the
// machine's, so the age of the signature says nothing.
func (s *shop) take(h http.Header, body string) error {
	wh, err := standardwebhooks.NewWebhook(s.secret)
	if err != nil {
		return err
	}
	if err := wh.VerifyIgnoringTimestamp([]byte(body), h); err != nil {
		return err
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		return err
	}
	if got := form.Get("secret_key"); got != secretKey {
		return fmt.Errorf("secret_key is %q", got)
	}
	n := notification{id: h.Get("webhook-id"), body: body, form: form}
	for _, before := range s.taken {
		if before.id == n.id && before.body != n.body {
			return fmt.Errorf("%s came again with another body", n.id)
		}
		if before.id == n.id {
			return nil
		}
	}
	s.taken = append(s.taken, n)
	return nil
}

// notifications are those that were taken once all that can happen now has happened.
func (w *world) notifications(ts *testscript.TestScript) []notification {
	if w.shop == nil {
		ts.Fatalf("there is no receiver")
	}
	w.settled(ts)
	w.shop.mu.Lock()
	defer w.shop.mu.Unlock()
	if len(w.shop.faults) > 0 {
		ts.Fatalf("the merchant got notifications that no careful merchant takes:\n%s", strings.Join(w.shop.faults, "\n"))
	}
	return slices.Clone(w.shop.taken)
}

// ipns prints what the notifications say; "transaction_" is left out of the variables' names.
func (w *world) ipns(ts *testscript.TestScript, args []string) {
	usage(ts, args, "ipns")
	var rows [][]string
	for _, n := range w.notifications(ts) {
		var says []string
		for _, name := range []string{
			"transaction_full_amount", "transaction_base_amount", "transaction_discount", "transaction_shipping", "transaction_tax",
			"transaction_subscription_pay_number", "failed_reattempt_number", "transaction_parent_id", "original_id",
			"trial", "payments_left", "installments", "rebill_circle", "frequency",
		} {
			value := n.form.Get(name)
			switch name {
			case "transaction_parent_id", "transaction_discount", "transaction_shipping", "transaction_tax":
				if strings.Trim(value, "0.") == "" {
					continue
				}
			case "transaction_base_amount":
				if value == n.form.Get("transaction_full_amount") {
					continue
				}
			}
			if !n.form.Has(name) {
				continue
			}
			says = append(says, strings.TrimPrefix(name, "transaction_")+"="+value)
		}
		rows = append(rows, []string{n.form.Get("transaction_id"), n.form.Get("transaction_type"), strings.Join(says, " ")})
	}
	columns(ts.Stdout(), rows)
}

// ipn prints a notification as it was sent, a variable on each line.
func (w *world) ipn(ts *testscript.TestScript, args []string) {
	usage(ts, args, "ipn ORDER")
	for _, n := range w.notifications(ts) {
		if n.form.Get("transaction_id") != args[0] {
			continue
		}
		for _, pair := range strings.Split(n.body, "&") {
			text, err := url.QueryUnescape(pair)
			ts.Check(err)
			fmt.Fprintln(ts.Stdout(), text)
		}
		return
	}
	ts.Fatalf("no notification of order %s came", args[0])
}
