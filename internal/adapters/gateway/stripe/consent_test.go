package stripe_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

const (
	clientID      = "ca_test"
	otherClientID = "ca_live"
	callback      = "https://ledger.example/connect/stripe"
)

// newPlatform is a Stripe where no account is connected yet, and a connection that begins.
func newPlatform(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.server = stripetest.New(stripetest.Config{
		Key: secretKey, ClientID: clientID, OtherClientID: otherClientID, WebhookSecret: webhookSecret, Now: w.clock.Now,
	})
	srv := httptest.NewServer(w.server)
	t.Cleanup(srv.Close)
	t.Cleanup(w.server.Close)
	w.server.AddAccount(stripetest.Account{ID: "acct_1", Name: "Ada's Courses", Business: "Ada Ltd", Email: "ada@shop.example", PublishableKey: "pk_test_ada"})
	w.server.AddAccount(stripetest.Account{ID: "acct_2", Business: "Bob Ltd", Email: "bob@shop.example"})
	w.server.AddAccount(stripetest.Account{ID: "acct_3", Email: "cid@shop.example", PublishableKey: "pk_live_cid"})
	w.server.AddAccount(stripetest.Account{ID: "acct_4"})
	w.server.AddAccount(stripetest.Account{ID: "acct_taken", Controlled: true})
	w.url, w.gateway = srv.URL, stripe.New(platform(srv.URL))
	w.conn = gateway.Connection{Merchant: "m1", ID: "c1", Gateway: "stripe", Processor: "Stripe"}
	return w
}

func platform(url string) stripe.Config {
	return stripe.Config{
		TestKey: secretKey, TestClientID: clientID, WebhookSecrets: []string{"whsec_old", webhookSecret}, URL: url, ConnectURL: url + "/",
	}
}

// page is where the merchant is sent for his consent.
func (w *world) page(t *testing.T) string {
	t.Helper()
	page, err := w.gateway.ConsentURL(w.conn, "state1", callback)
	must(t, err)
	return page
}

// approved is what an account's owner comes back with.
func (w *world) approved(t *testing.T, account string) url.Values {
	t.Helper()
	back, err := w.server.Approve(w.page(t), account)
	must(t, err)
	return queryOf(t, back)
}

func queryOf(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u.Query()
}

// connect gives an account's consent and takes it.
func (w *world) connect(t *testing.T, account string) gateway.Account {
	t.Helper()
	a, err := w.gateway.Consented(t.Context(), w.conn, w.approved(t, account))
	must(t, err)
	return a
}

// count is how often a path was asked for.
func (w *world) count(path string) (n int) {
	for _, r := range w.server.Requests() {
		if r.Path == path {
			n++
		}
	}
	return n
}

// wantRefusal compares a refusal's reason, and reads its sentence as a merchant would.
func wantRefusal(t *testing.T, name string, err error, reason string) {
	t.Helper()
	var refused *gateway.Refusal
	if !errors.As(err, &refused) || refused.Reason != reason {
		t.Errorf("%s: got %v, want %s", name, err, reason)
		return
	}
	m := refused.Message
	if !strings.HasSuffix(m, ".") || strings.Count(m, ".") < 2 || strings.Contains(m, reason) || strings.Contains(m, "invalid_") {
		t.Errorf("%s: got %q, want what happened and what helps, in sentences", name, m)
	}
}

func TestTheConsentPage(t *testing.T) {
	t.Parallel()
	page, err := stripe.New(stripe.Config{LiveKey: "sk_live_1", LiveClientID: "ca_1"}).ConsentURL(gateway.Connection{Live: true}, "a&b=c", callback+"?x=1")
	must(t, err)
	address, _, _ := strings.Cut(page, "?")
	equal(t, "address", address, "https://connect.stripe.com/oauth/authorize")
	equal(t, "parameters", queryOf(t, page), url.Values{
		"response_type": {"code"}, "client_id": {"ca_1"}, "scope": {"read_write"}, "redirect_uri": {callback + "?x=1"}, "state": {"a&b=c"},
	})
}

// What the platform lacks is said before anybody is sent away.
func TestAPlatformThatIsNotSetUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config stripe.Config
		live   bool
		want   string
	}{
		"no client id":                {config: stripe.Config{TestKey: secretKey}, want: "no client id of Stripe's for test mode"},
		"only one of the other mode":  {config: stripe.Config{LiveKey: "sk_live_1", TestClientID: clientID}, live: true, want: "no client id of Stripe's for live mode"},
		"no key":                      {config: stripe.Config{TestClientID: clientID}, want: "no secret key of its mode"},
		"a key of the other mode":     {config: stripe.Config{TestClientID: clientID, TestKey: "sk_live_1"}, want: "of the other mode"},
		"the connection's own is not": {config: stripe.Config{TestClientID: clientID, LiveKey: "sk_live_1"}, want: "no secret key of its mode"},
	} {
		conn := gateway.Connection{Live: test.live, Secret: "sk_test_own"}
		page, err := stripe.New(test.config).ConsentURL(conn, "s", callback)
		if err == nil || !strings.Contains(err.Error(), test.want) || page != "" {
			t.Errorf("%s: got %q, %v, want %q", name, page, err, test.want)
		}
	}
	q := url.Values{"code": {"ac_1"}}
	if _, err := stripe.New(stripe.Config{}).Consented(t.Context(), gateway.Connection{}, q); err == nil {
		t.Error("a consent was taken without a key")
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	for id, want := range map[string]gateway.Account{
		"acct_1": {ID: "acct_1", Name: "Ada's Courses", PublishableKey: "pk_test_ada"},
		"acct_2": {ID: "acct_2", Name: "Bob Ltd"},
		"acct_3": {ID: "acct_3", Name: "cid@shop.example"}, // its key is of the other mode
		"acct_4": {ID: "acct_4"},
	} {
		q := w.approved(t, id)
		equal(t, "state", q.Get("state"), "state1")
		got, err := w.gateway.Consented(t.Context(), w.conn, q)
		must(t, err)
		equal(t, id, got, want)
		conn := w.conn
		conn.Account = id
		if r := w.gateway.Charge(t.Context(), conn, first("k"+id, "pm_card_visa")); r.Class != gateway.Accepted {
			t.Errorf("%s: got %+v, want a payment", id, r)
		}
		// A key is looked for in its own account.
		if _, found, err := w.gateway.Lookup(t.Context(), conn, "kacct_1", start); err != nil || found != (id == "acct_1") {
			t.Errorf("%s: found %v, %v", id, found, err)
		}
	}
	sent := w.server.Requests()[0]
	form := url.Values{"grant_type": {"authorization_code"}, "code": sent.Form["code"], "client_secret": {secretKey}}
	equal(t, "the first request", sent.Path, "/oauth/token")
	equal(t, "parameters", sent.Form, form)
	if sent.Header.Get("Stripe-Account") != "" || sent.Header.Get("X-Stripe-Client-User-Agent") != "" {
		t.Errorf("got %v, want neither an account nor this machine named", sent.Header)
	}
}

// An account is connected, whether its name can be read or not.
func TestConsentWithoutAName(t *testing.T) {
	t.Parallel()
	for _, step := range []stripetest.Step{stripetest.ErrorUncharged, stripetest.Page, stripetest.Half, stripetest.RateLimited} {
		w := newPlatform(t)
		w.server.Spoil("/v1/accounts/", step)
		equal(t, string(step), w.connect(t, "acct_1"), gateway.Account{ID: "acct_1", PublishableKey: "pk_test_ada"})
	}
}

func TestConsentRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		query  func(t *testing.T, w *world) url.Values
		reason string
		asked  int // requests to /oauth/token
	}{
		"he said no": {func(t *testing.T, w *world) url.Values {
			back, err := w.server.Deny(w.page(t))
			must(t, err)
			return queryOf(t, back)
		}, gateway.ConsentDenied, 0},
		"his account is another platform's": {func(t *testing.T, w *world) url.Values { return w.approved(t, "acct_taken") }, gateway.AccountIneligible, 1},
		"he comes back saying so": {func(*testing.T, *world) url.Values {
			return url.Values{"error": {"access_denied"}, "error_description": {"This account is connected to another platform."}}
		}, gateway.AccountIneligible, 0},
		"the code is too old": {func(t *testing.T, w *world) url.Values {
			q := w.approved(t, "acct_1")
			w.clock.Set(start.Add(5*time.Minute + time.Second))
			return q
		}, gateway.ConsentCodeInvalid, 1},
		"the code is nobody's":    {func(*testing.T, *world) url.Values { return url.Values{"code": {"ac_0"}} }, gateway.ConsentCodeInvalid, 1},
		"there is no code":        {func(*testing.T, *world) url.Values { return url.Values{"state": {"state1"}} }, gateway.ConsentCodeInvalid, 0},
		"the code is empty":       {func(*testing.T, *world) url.Values { return url.Values{"code": {""}} }, gateway.ConsentCodeInvalid, 0},
		"there are several codes": {func(*testing.T, *world) url.Values { return url.Values{"code": {"ac_1", "ac_2"}} }, gateway.ConsentCodeInvalid, 0},
		"it was given in the other mode": {func(t *testing.T, w *world) url.Values {
			back, err := w.server.Approve(strings.Replace(w.page(t), clientID, otherClientID, 1), "acct_1")
			must(t, err)
			return queryOf(t, back)
		}, gateway.ModeMismatch, 1},
	} {
		w := newPlatform(t)
		q := test.query(t, w)
		a, err := w.gateway.Consented(t.Context(), w.conn, q)
		wantRefusal(t, name, err, test.reason)
		equal(t, name+": account", a, gateway.Account{})
		equal(t, name+": requests", w.count("/oauth/token"), test.asked)
	}
}

// Stripe takes the connection away when a code comes twice, so whoever is asked twice is told, and nothing is sent twice
// for one answer that was lost.
func TestACodeIsSentOnce(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	q := w.approved(t, "acct_1")
	_, err := w.gateway.Consented(t.Context(), w.conn, q)
	must(t, err)
	_, err = w.gateway.Consented(t.Context(), w.conn, q)
	wantRefusal(t, "twice", err, gateway.ConsentCodeInvalid)
	for _, step := range []stripetest.Step{
		stripetest.ResetCharged, stripetest.ResetUncharged, stripetest.ErrorCharged, stripetest.ErrorUncharged, stripetest.Page, stripetest.Half,
		stripetest.Huge, stripetest.RateLimited, stripetest.Unauthorized,
	} {
		w := newPlatform(t)
		w.server.Spoil("/oauth/token", step)
		a, err := w.gateway.Consented(t.Context(), w.conn, w.approved(t, "acct_1"))
		if refused := (*gateway.Refusal)(nil); err == nil || errors.As(err, &refused) || a != (gateway.Account{}) {
			t.Errorf("%s: got %+v, %v, want no answer", step, a, err)
		}
		equal(t, string(step)+": requests", w.count("/oauth/token"), 1)
		if again := w.connect(t, "acct_1"); again.ID != "acct_1" {
			t.Errorf("%s: begun again: got %+v", step, again)
		}
	}
}

// oauthAnswering is a platform whose Stripe answers this to everything.
func oauthAnswering(t *testing.T, status int, body string) *stripe.Gateway {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body) // the caller notices
	}))
	t.Cleanup(srv.Close)
	return stripe.New(platform(srv.URL))
}

func TestAnswersToACode(t *testing.T) {
	t.Parallel()
	const account = `"stripe_user_id": "acct_1"`
	for name, test := range map[string]struct {
		status int
		body   string
		reason string // empty if it is no answer
	}{
		"no mode":                  {200, `{` + account + `, "scope": "read_write"}`, ""},
		"no account":               {200, `{"livemode": false}`, ""},
		"an account of other kind": {200, `{"stripe_user_id": "cus_1", "livemode": false}`, ""},
		"an error with 200":        {200, `{"error": "invalid_grant"}`, ""},
		"an array":                 {200, `[]`, ""},
		"nothing":                  {200, ``, ""},
		"a redirect":               {302, `{` + account + `, "livemode": false}`, ""},
		"used up":                  {400, `{"error": "invalid_grant", "error_description": "Authorization code expired"}`, gateway.ConsentCodeInvalid},
		"used up, without a word":  {400, `{"error": "invalid_grant"}`, gateway.ConsentCodeInvalid},
		"of test mode": {400, `{"error": "invalid_grant", "error_description": "Passed in livemode API key but authorization code only supports returning test keys"}`,
			gateway.ModeMismatch},
		"controlled":                  {400, `{"error": "invalid_request", "error_description": "controlled by another platform"}`, gateway.AccountIneligible},
		"a platform that is unknown":  {401, `{"error": "invalid_client", "error_description": "No such API key: ` + secretKey + `"}`, ""},
		"an error that is new":        {400, `{"error": "` + secretKey + `", "error_description": "ac_1"}`, ""},
		"an error as the API's":       {401, `{"error": {"type": "invalid_request_error", "message": "Invalid API Key provided: ` + secretKey + `"}}`, ""},
		"used up, and too often":      {429, `{"error": "invalid_grant"}`, ""},
		"used up, and an inner error": {500, `{"error": "invalid_grant"}`, ""},
		"a web page":                  {502, `<html>` + secretKey + `</html>`, ""},
	} {
		a, err := oauthAnswering(t, test.status, test.body).Consented(t.Context(), gateway.Connection{Merchant: "m1"}, url.Values{"code": {"ac_1"}})
		if refused := (*gateway.Refusal)(nil); test.reason == "" {
			if err == nil || errors.As(err, &refused) {
				t.Errorf("%s: got %v, want no answer", name, err)
			}
		} else {
			wantRefusal(t, name, err, test.reason)
		}
		wantNoSecret(t, name, err, "ac_1")
		equal(t, name, a, gateway.Account{})
	}
}

// A consent that is of no use was given all the same: whose it is is told, so that it can be given back.
func TestAConsentOfNoUse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body, reason string
		account      gateway.Account
	}{
		"a live account": {`{"stripe_user_id": "acct_1", "livemode": true, "scope": "read_write", "stripe_publishable_key": "pk_live_1"}`,
			gateway.ModeMismatch, gateway.Account{ID: "acct_1", Live: true, PublishableKey: "pk_live_1"}},
		"for looking only": {`{"stripe_user_id": "acct_1", "livemode": false, "scope": "read_only"}`,
			gateway.ConsentDenied, gateway.Account{ID: "acct_1"}},
	} {
		a, err := oauthAnswering(t, 200, test.body).Consented(t.Context(), gateway.Connection{Merchant: "m1"}, url.Values{"code": {"ac_1"}})
		wantRefusal(t, name, err, test.reason)
		equal(t, name, a, test.account)
	}
}

// Another account than the connection's is told by its name, for whoever asked to compare.
func TestAConsentToAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	w.conn.Account = "acct_1"
	a, err := w.gateway.Consented(t.Context(), w.conn, w.approved(t, "acct_2"))
	must(t, err)
	equal(t, "account", a, gateway.Account{ID: "acct_2", Name: "Bob Ltd"})
}

// wantNoSecret says that an error repeats nothing that opens anything.
func wantNoSecret(t *testing.T, name string, err error, more ...string) {
	t.Helper()
	for _, secret := range append(more, secretKey, webhookSecret) {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q tells %s", name, err, secret)
		}
	}
}

// Neither addresses nor errors hold what opens anything, whatever goes wrong.
func TestSecretsOfAConsent(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	page := w.page(t)
	wantNoSecret(t, "the page", errors.New(page))
	q := w.approved(t, "acct_1")
	down := stripe.New(platform("http://127.0.0.1:1"))
	for name, g := range map[string]*stripe.Gateway{"nobody there": down, "an address that is none": stripe.New(platform("http://[::1"))} {
		_, err := g.Consented(t.Context(), w.conn, q)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		wantNoSecret(t, name, err, q.Get("code"))
		conn := gateway.Connection{Merchant: "m1", Account: "acct_1"}
		wantNoSecret(t, name, g.Withdraw(t.Context(), conn))
		conn.Secret = "sk_test_own"
		_, err = g.Prove(t.Context(), conn)
		wantNoSecret(t, name, err, conn.Secret)
	}
	_, err := w.gateway.Consented(t.Context(), w.conn, url.Values{"error": {secretKey}, "error_description": {secretKey}, "code": q["code"]})
	if err == nil {
		t.Error("an error of the page was taken for a consent")
	}
	wantNoSecret(t, "an error of the page", err, q.Get("code"))
	w.connect(t, "acct_1")
	for _, r := range w.server.Requests() {
		wantNoSecret(t, "the address of a request", errors.New(r.Path+"?"+r.Header.Get("Referer")), q.Get("code"))
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	w.connect(t, "acct_1")
	w.connect(t, "acct_2")
	conn := w.conn
	conn.Account = "acct_1"
	before := len(w.server.Events())
	for range 2 { // what is withdrawn already is no error
		must(t, w.gateway.Withdraw(t.Context(), conn))
	}
	if events := w.server.Events()[before:]; len(events) != 1 || events[0].Type != "account.application.deauthorized" {
		t.Errorf("got %v, want one disconnection", events)
	}
	other := w.conn
	other.Account = "acct_2"
	if r := w.gateway.Charge(t.Context(), other, first("k", "pm_card_visa")); r.Class != gateway.Accepted {
		t.Errorf("another account: got %+v", r)
	}
	n := len(w.server.Requests())
	other.Secret = "sk_test_own"
	must(t, w.gateway.Withdraw(t.Context(), other))  // nobody has consented to anything
	must(t, w.gateway.Withdraw(t.Context(), w.conn)) // nothing is connected
	equal(t, "requests", len(w.server.Requests()), n)
}

// Only what is surely withdrawn counts as withdrawn.
func TestWithdrawFails(t *testing.T) {
	t.Parallel()
	for _, step := range []stripetest.Step{
		stripetest.ResetCharged, stripetest.ResetUncharged, stripetest.ErrorCharged, stripetest.Page, stripetest.Half, stripetest.RateLimited,
		stripetest.Unauthorized,
	} {
		w := newPlatform(t)
		w.connect(t, "acct_1")
		w.conn.Account = "acct_1"
		w.server.Spoil("/oauth/deauthorize", step)
		if err := w.gateway.Withdraw(t.Context(), w.conn); err == nil {
			t.Errorf("%s: got no error", step)
		}
		if err := w.gateway.Withdraw(t.Context(), w.conn); err != nil {
			t.Errorf("%s: again: got %v", step, err)
		}
	}
	w := newPlatform(t)
	w.connect(t, "acct_1")
	w.conn.Account = "acct_1"
	c := platform(w.url)
	c.TestClientID = "ca_of_somebody"
	if err := stripe.New(c).Withdraw(t.Context(), w.conn); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("a platform that is another: got %v", err)
	}
	if err := stripe.New(stripe.Config{TestKey: secretKey}).Withdraw(t.Context(), w.conn); err == nil || !strings.Contains(err.Error(), "client id") {
		t.Errorf("a platform without a client id: got %v", err)
	}
	// Another account was withdrawn from.
	if err := oauthAnswering(t, 200, `{"stripe_user_id": "acct_2"}`).Withdraw(t.Context(), w.conn); err == nil {
		t.Error("the answer about another account was taken")
	}
}

// A notice that comes late says nothing of a consent that was given again.
func TestADisconnectionOfBefore(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	w.connect(t, "acct_1")
	w.conn.Account = "acct_1"
	must(t, w.server.Disconnect("acct_1"))
	events := w.server.Events()
	body := events[len(events)-1].Body
	read := func() gateway.Notice {
		n, err := w.gateway.Verify(w.conn, stripetest.Sign(start, body, webhookSecret), body, start)
		must(t, err)
		equal(t, "read", n.Kind, gateway.NoticeDisconnected)
		return n
	}
	n, err := w.gateway.Complete(t.Context(), w.conn, read())
	must(t, err)
	equal(t, "at once", n.Kind, gateway.NoticeDisconnected)
	for status, body := range map[int]string{
		500: `{"error": {"type": "api_error", "code": "account_invalid"}}`,
		401: `{"error": {"type": "invalid_request_error"}}`,
		403: `{"error": {"type": "invalid_request_error", "message": "Only Stripe Connect platforms can work with other accounts."}}`,
		200: `{"object": "customer", "id": "cus_1"}`,
	} {
		if n, err := oauthAnswering(t, status, body).Complete(t.Context(), w.conn, read()); err == nil {
			t.Errorf("unanswered, with %d: got %+v", status, n)
		}
	}
	w.connect(t, "acct_1")
	n, err = w.gateway.Complete(t.Context(), w.conn, read())
	must(t, err)
	equal(t, "connected again", n, gateway.Notice{ID: n.ID})
	own := w.conn
	own.Secret = "sk_test_own"
	n, err = w.gateway.Complete(t.Context(), own, read())
	must(t, err)
	equal(t, "an account with a key of its own", n, gateway.Notice{ID: n.ID})
	none := w.conn
	none.Account = ""
	n, err = w.gateway.Complete(t.Context(), none, read())
	must(t, err)
	equal(t, "no account", n, gateway.Notice{ID: n.ID})
}
