package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

// What Stripe and the platform know each other by. What is secret has the canary in it, so that a story can look for it
// where it must not be.
const (
	platformKey     = "sk_test_canary_of_the_platform"
	platformClient  = "ca_test_platform"
	liveClient      = "ca_live_platform"
	endpointSecret  = "whsec_canary_of_the_endpoint"
	retiredEndpoint = "whsec_canary_of_the_endpoint_before"
)

// stripeWorld is Stripe, and what the story remembers of it.
type stripeWorld struct {
	server   *stripetest.Server
	web      *httptest.Server
	sent     int                // events that have been dealt with
	lost     []stripetest.Event // those of them that nobody was sent
	redirect string             // where the merchant was sent last
}

// stripeSettings are the settings that a ledger begins with, and that a story may change before.
func stripeSettings() []string {
	return []string{
		"LEDGER_STRIPE_URL", "LEDGER_STRIPE_CONNECT_URL", "LEDGER_STRIPE_TEST_KEY", "LEDGER_STRIPE_LIVE_KEY",
		"LEDGER_STRIPE_TEST_CLIENT_ID", "LEDGER_STRIPE_LIVE_CLIENT_ID", "LEDGER_STRIPE_WEBHOOK_SECRETS",
	}
}

// stripe does what happens at Stripe: to a merchant's account, or to the last payment of a subscription, or the method that
// it stores.
func (w *world) stripe(ts *testscript.TestScript, args []string) {
	acts := map[string]func(*testscript.TestScript, []string){
		"start": w.stripeStart, "account": w.stripeAccount, "approve": w.stripeApprove, "deny": w.stripeDeny, "return": w.stripeReturn,
		"deliver": w.stripeDeliver, "script": w.stripeScript, "dispute": w.stripeDispute, "refund": w.stripeRefund, "detach": w.stripeDetach,
		"disconnect": w.stripeDisconnect, "silent": w.stripeSilent, "authenticate": w.stripeAuthenticate, "book": w.stripeBook,
	}
	if len(args) == 0 || acts[args[0]] == nil {
		ts.Fatalf("nothing like that happens at Stripe: %q", args)
	}
	if w.atStripe == nil && args[0] != "start" {
		ts.Fatalf("there is no Stripe: begin with stripe start")
	}
	acts[args[0]](ts, args)
}

// stripeStart runs Stripe, by the story's manual clock.
func (w *world) stripeStart(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe start")
	file := filepath.Join(ts.Getenv("LEDGER_DATA_DIR"), clockFile)
	began, err := time.Parse(time.RFC3339, clockStart)
	ts.Check(err)
	s := stripetest.New(stripetest.Config{
		Key: platformKey, ClientID: platformClient, OtherClientID: liveClient, WebhookSecret: endpointSecret,
		// The ledger writes down what its clock will show before it shows it.
		Now: func() time.Time {
			now, ok, err := rememberedTime(file)
			if err != nil || !ok {
				return began
			}
			return now
		},
	})
	w.atStripe = &stripeWorld{server: s, web: httptest.NewServer(s)}
	ts.Setenv("LEDGER_STRIPE_URL", w.atStripe.web.URL)
	ts.Setenv("LEDGER_STRIPE_CONNECT_URL", w.atStripe.web.URL)
	ts.Setenv("LEDGER_STRIPE_TEST_KEY", platformKey)
	ts.Setenv("LEDGER_STRIPE_TEST_CLIENT_ID", platformClient)
	ts.Setenv("LEDGER_STRIPE_WEBHOOK_SECRETS", retiredEndpoint+","+endpointSecret)
}

// close ends it, and lets go first of whom it keeps waiting.
func (s *stripeWorld) close() {
	s.server.Close()
	s.web.Close()
}

// settingsOfGateways are what a ledger finds in its environment of the gateways that a story has.
func (w *world) settingsOfGateways(ts *testscript.TestScript) (all []string) {
	if w.atStripe == nil {
		return nil
	}
	for _, name := range stripeSettings() {
		all = append(all, name+"="+ts.Getenv(name))
	}
	return all
}

// stripeAccount makes a merchant's account there, or changes it.
func (w *world) stripeAccount(ts *testscript.TestScript, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: stripe account ID [name=NAME] [email=ADDRESS] [publishable=KEY] [key=KEY] [controlled]")
	}
	a := stripetest.Account{ID: args[1]}
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "name":
			a.Name = value
		case "email":
			a.Email = value
		case "publishable":
			a.PublishableKey = value
		case "key":
			a.Key = value
		case "controlled":
			a.Controlled = true
		default:
			ts.Fatalf("an account has no %s", name)
		}
	}
	w.atStripe.server.AddAccount(a)
}

// consentAddress is where a merchant is sent to, as it was printed.
var consentAddress = regexp.MustCompile(`http://[^\s"]+/oauth/authorize\?[^\s"]+`)

// asked is the consent page whose address was printed last.
func asked(ts *testscript.TestScript) string {
	address := consentAddress.FindString(ts.ReadFile("stdout"))
	if address == "" {
		ts.Fatalf("nobody was sent to Stripe")
	}
	return address
}

// stripeApprove is the merchant who gives his consent, at the page whose address was printed last, and comes back.
func (w *world) stripeApprove(ts *testscript.TestScript, args []string) {
	later := slices.Contains(args, "-later")
	args = slices.DeleteFunc(args, func(a string) bool { return a == "-later" })
	usage(ts, args, "stripe approve ACCOUNT")
	redirect, err := w.atStripe.server.Approve(asked(ts), args[1])
	ts.Check(err)
	w.atStripe.redirect = redirect
	if !later {
		w.comeBack(ts, redirect)
	}
}

// stripeDeny is the one who does not.
func (w *world) stripeDeny(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe deny")
	redirect, err := w.atStripe.server.Deny(asked(ts))
	ts.Check(err)
	w.atStripe.redirect = redirect
	w.comeBack(ts, redirect)
}

// stripeReturn is the merchant who comes back now, or once more; with a parameter of the address changed.
func (w *world) stripeReturn(ts *testscript.TestScript, args []string) {
	redirect := w.atStripe.redirect
	if redirect == "" || len(args) > 2 {
		ts.Fatalf("usage: stripe return [NAME=VALUE], after an approve or a deny")
	}
	if len(args) == 2 {
		name, value, _ := strings.Cut(args[1], "=")
		redirect = regexp.MustCompile(regexp.QuoteMeta(name)+`=[^&]*`).ReplaceAllString(redirect, name+"="+value)
	}
	w.comeBack(ts, redirect)
}

// comeBack opens an address of the ledger's, and prints where that sends the visitor, or what he reads.
func (w *world) comeBack(ts *testscript.TestScript, address string) {
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(address)
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
		fmt.Fprintln(ts.Stdout(), html.UnescapeString(said[1]))
	}
}

// stripeDeliver sends the platform's endpoint the events that have not been dealt with, and prints what was answered.
func (w *world) stripeDeliver(ts *testscript.TestScript, args []string) {
	manner := strings.Join(args[1:], " ")
	s := w.atStripe
	events := s.server.Events()[s.sent:]
	send := func(e stripetest.Event, at time.Time, secret string) { w.sendEvent(ts, e, at, secret) }
	switch now := w.clockNow(ts); manner {
	case "", "twice":
		s.sent += len(events)
		for _, e := range events {
			send(e, now, endpointSecret)
			if manner == "twice" {
				send(e, now, endpointSecret)
			}
		}
	case "none":
		s.sent, s.lost = s.sent+len(events), append(s.lost, events...)
	case "late":
		for _, e := range slices.Backward(s.lost) {
			send(e, now, endpointSecret)
		}
		s.lost = nil
	case "forged":
		for _, e := range events {
			send(e, now, "whsec_of_somebody_else")
		}
	case "old":
		for _, e := range events {
			send(e, now.Add(-6*time.Minute), endpointSecret)
		}
	default:
		ts.Fatalf("usage: stripe deliver [twice|none|late|forged|old]")
	}
	w.settled(ts)
}

// sendEvent sends an event if the platform's endpoint gets it.
func (w *world) sendEvent(ts *testscript.TestScript, e stripetest.Event, at time.Time, secret string) {
	if e.Account == "" {
		fmt.Fprintf(ts.Stdout(), "%s: it is not the platform's\n", e.Type)
		return
	}
	req, err := http.NewRequest(http.MethodPost, ts.Getenv("HTTP_URL")+"/webhooks/stripe", strings.NewReader(string(e.Body)))
	ts.Check(err)
	req.Header = stripetest.Sign(at, e.Body, secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	fmt.Fprintf(ts.Stdout(), "%s %s: %d\n", e.Account, e.Type, resp.StatusCode)
}

// clockNow is what the ledger's clock shows.
func (w *world) clockNow(ts *testscript.TestScript) time.Time {
	s, err := ledgerv1.NewOperationServiceClient(w.running(ts).conn).GetStatus(context.Background(), &ledgerv1.GetStatusRequest{})
	ts.Check(err)
	return s.Now.AsTime()
}

// stored is the method that a subscription stores, as Stripe names it.
func (w *world) stored(ts *testscript.TestScript, id string) string {
	_, method, ok := strings.Cut(w.subscription(ts, id).GetPaymentMethod().GetReference(), "/")
	if !ok {
		ts.Fatalf("%s has stored no method", id)
	}
	return method
}

// stripeScript has the card of a subscription do from now on what Stripe's test method of that name does.
func (w *world) stripeScript(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe script SUB METHOD")
	ts.Check(w.atStripe.server.Becomes(w.stored(ts, args[1]), args[2]))
}

// stripeDispute is the buyer's bank.
func (w *world) stripeDispute(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe dispute SUB inquire|open|win|lose")
	server, intent := w.atStripe.server, w.lastCharge(ts, args[1])
	status := map[string]string{"inquire": "warning_needs_response", "open": "needs_response", "win": "won", "lose": "lost"}[args[2]]
	if status == "" {
		ts.Fatalf("a dispute cannot %s", args[2])
	}
	if of := server.DisputesOf(intent); len(of) > 0 {
		ts.Check(server.DisputeBecomes(of[len(of)-1], status))
		return
	}
	_, err := server.Dispute(intent, status)
	ts.Check(err)
}

// stripeRefund is the merchant who returns money in his Dashboard, in minor units.
func (w *world) stripeRefund(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe refund SUB MINOR")
	minor, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	_, err = w.atStripe.server.RefundAtDesk(w.lastCharge(ts, args[1]), minor)
	ts.Check(err)
}

// stripeDetach takes the stored method away.
func (w *world) stripeDetach(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe detach SUB")
	ts.Check(w.atStripe.server.Detach(w.stored(ts, args[1])))
}

// stripeDisconnect is the merchant who takes his consent back in his Dashboard.
func (w *world) stripeDisconnect(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe disconnect ACCOUNT")
	ts.Check(w.atStripe.server.Disconnect(args[1]))
}

// stripeSilent leaves so many of the next charges, which are carried out or not, or look-ups of charges without an answer.
func (w *world) stripeSilent(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe silent TIMES charged|uncharged|lookups")
	times, err := strconv.Atoi(args[1])
	ts.Check(err)
	path, step := "POST /v1/payment_intents", stripetest.TimeoutCharged
	switch args[2] {
	case "charged":
	case "uncharged":
		step = stripetest.TimeoutUncharged
	case "lookups":
		path = "GET /v1/payment_intents"
	default:
		ts.Fatalf("charged, uncharged or lookups")
	}
	for range times {
		w.atStripe.server.Spoil(path, step)
	}
}

// stripeAuthenticate is the buyer who proves himself to his bank, or does not; he has the client secret from the ledger.
func (w *world) stripeAuthenticate(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe authenticate SUB right|wrong")
	intent, _, ok := strings.Cut(w.subscription(ts, args[1]).GetOpenAttempt().GetNextAction().GetClientSecret(), "_secret_")
	if !ok {
		ts.Fatalf("%s waits for no buyer", args[1])
	}
	ts.Check(w.atStripe.server.Authenticate(intent, args[2] == "right"))
}

// stripeBook prints what truly happened to the money.
func (w *world) stripeBook(ts *testscript.TestScript, args []string) {
	usage(ts, args, "stripe book")
	w.settled(ts)
	var rows [][]string
	for _, e := range w.atStripe.server.Entries() {
		amount := &ledgerv1.Money{CurrencyCode: strings.ToUpper(e.Amount.Currency), MinorUnits: e.Amount.Units}
		of := e.Metadata["ledger_subscription"] + " pay_number=" + e.Metadata["ledger_pay_number"]
		if e.Kind == "charge" {
			of += " attempt=" + e.Metadata["ledger_attempt"]
		}
		rows = append(rows, []string{e.Kind, inWords(amount), e.Status, e.Account, of})
	}
	columns(ts.Stdout(), rows)
}
