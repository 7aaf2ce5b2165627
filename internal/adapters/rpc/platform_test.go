package rpc_test

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway/payabl"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

const (
	platformKey    = "sk_test_canary_platform"
	platformSecret = "whsec_canary_platform"
	clientID       = "ca_test"
)

// platform is a world with Stripe in it, whose merchants connect by consent and whose webhooks come to one address.
type platform struct {
	*world
	stripe *stripetest.Server
}

func newPlatform(t *testing.T, change ...func(*rpc.Config)) *platform {
	t.Helper()
	p := &platform{stripe: stripetest.New(stripetest.Config{
		Key: platformKey, ClientID: clientID, WebhookSecret: platformSecret, Now: func() time.Time { return start },
	})}
	srv := httptest.NewServer(p.stripe)
	t.Cleanup(srv.Close)
	t.Cleanup(p.stripe.Close)
	p.stripe.AddAccount(stripetest.Account{ID: "acct_1", Name: `Ada's <Courses>`})
	p.stripe.AddAccount(stripetest.Account{ID: "acct_2"})
	p.world = newWorld(t, slices.Concat([]func(*rpc.Config){func(c *rpc.Config) {
		c.Connections.Gateways["stripe"] = stripe.New(stripe.Config{
			TestKey: platformKey, TestClientID: clientID, WebhookSecrets: []string{platformSecret}, URL: srv.URL, ConnectURL: srv.URL,
		})
		c.Connections.Gateways["payabl"] = payabl.New(payabl.Config{})
	}}, change)...)
	return p
}

// has writes down that a merchant's connection is to an account.
func (w *world) has(merchant, id, account string, mode ledgerv1.Mode) {
	w.t.Helper()
	_, err := w.config.Connections.Runner.Do(context.Background(), connection.Stream(merchant, id), aggregate.Request{ID: "has", At: start},
		connection.Create{Merchant: merchant, ID: id, Gateway: "stripe", Account: account, Mode: mode, Now: start})
	w.ok(err)
}

// signed sends what Stripe would send to an address.
func (w *world) signed(verb, path, secret, body string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), verb, w.http.URL+path, strings.NewReader(body))
	w.ok(err)
	req.Header = stripetest.Sign(start, []byte(body), secret)
	return w.send(req)
}

// kept are the webhooks that are kept: whose, and under which id.
func (w *world) kept() (all []string) {
	w.t.Helper()
	list, err := w.store.PendingWebhooks(context.Background(), start, 100)
	w.ok(err)
	for _, k := range list {
		all = append(all, k.Merchant+"."+k.Connection+" "+regexp.MustCompile(`/[0-9a-f]{16,}$`).ReplaceAllString(k.MessageID, "/…"))
	}
	slices.Sort(all)
	return all
}

func told(id, rest string) string {
	return `{"id":"` + id + `","object":"event","type":"charge.updated","data":{"object":{}}` + rest + `}`
}

// What comes to a platform's address is kept for every connection to the account that it is about.
func TestWebhooksOfAPlatform(t *testing.T) {
	t.Parallel()
	const test, live = ledgerv1.Mode_MODE_TEST, ledgerv1.Mode_MODE_LIVE
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"one connection":            {told("evt_1", `,"account":"acct_1"`), []string{"acme.one evt_1"}},
		"two merchants":             {told("evt_1", `,"account":"acct_2"`), []string{"acme.two evt_1", "books.two evt_1"}},
		"the test mode of both":     {told("evt_1", `,"account":"acct_3"`), []string{"acme.test evt_1"}},
		"the live mode of both":     {told("evt_1", `,"account":"acct_3","livemode":true`), []string{"acme.live evt_1"}},
		"a mode of which none is":   {told("evt_1", `,"account":"acct_1","livemode":true`), []string{". unrouted/…"}},
		"an account that none is":   {told("evt_1", `,"account":"acct_9"`), []string{". unrouted/…"}},
		"the platform itself":       {told("evt_1", ``), []string{". unrouted/…"}},
		"nothing that can be read":  {`{"id":7}`, []string{". unrouted/…"}},
		"no JSON":                   {`<?xml`, []string{". unrouted/…"}},
		"one with its own secret":   {told("evt_1", `,"account":"acct_4"`), []string{"acme.shared evt_1"}},
		"only with its own secret":  {told("evt_1", `,"account":"acct_5"`), []string{". unrouted/…"}},
		"a card number in its name": {told(pan, `,"account":"acct_1"`), []string{"acme.one ************4242/…"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPlatform(t)
			w.t = t
			w.has("acme", "one", "acct_1", test)
			w.has("acme", "two", "acct_2", test)
			w.has("books", "two", "acct_2", test)
			w.has("acme", "test", "acct_3", test)
			w.has("acme", "live", "acct_3", live)
			w.has("acme", "unproved", "", test) // its account is not known yet
			w.has("acme", "shared", "acct_4", test)
			for id, account := range map[string]string{"own": "acct_4", "alone": "acct_5"} {
				w.has("acme", id, account, test)
				w.sealed(id, "whsec_of_its_own")
			}
			for range 2 { // a redelivery changes nothing
				if got := w.signed("POST", "/webhooks/stripe", platformSecret, c.body); got.status != 200 {
					t.Errorf("got %d, want 200", got.status)
				}
			}
			if diff := cmp.Diff(c.want, w.kept()); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
}

// sealed gives a connection a webhook secret of its own.
func (w *world) sealed(id, secret string) {
	w.t.Helper()
	plain := &ledgerv1.Credentials{WebhookSecret: secret}
	sealed, err := w.config.Connections.Sealer.Seal(marshal(w.t, plain), "connection/acme/"+id)
	w.ok(err)
	_, err = w.config.Connections.Runner.Do(context.Background(), connection.Stream("acme", id), aggregate.Request{ID: "sealed", At: start},
		connection.Reseal{Credentials: sealed})
	w.ok(err)
}

func TestWebhooksOfAPlatformThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	w.has("acme", "one", "acct_1", ledgerv1.Mode_MODE_TEST)
	good := told("evt_1", `,"account":"acct_1"`)
	for name, c := range map[string]struct {
		verb, path, secret, body string
		want                     int
	}{
		"bad signature":        {"POST", "/webhooks/stripe", "whsec_other", good, 401},
		"bad, and no JSON":     {"POST", "/webhooks/stripe", "whsec_other", "<?xml", 401},
		"more than a MiB":      {"POST", "/webhooks/stripe", platformSecret, strings.Repeat("x", 1<<20+1), 413},
		"no platform":          {"POST", "/webhooks/sandbox", platformSecret, good, 404},
		"no gateway":           {"POST", "/webhooks/nowhere", platformSecret, good, 404},
		"nothing":              {"POST", "/webhooks/", platformSecret, good, 404},
		"a slash too many":     {"POST", "/webhooks/stripe/", platformSecret, good, 404},
		"a merchant alone":     {"POST", "/webhooks/stripe/acme", platformSecret, good, 404},
		"a connection in vain": {"POST", "/webhooks/stripe/acme/other", platformSecret, good, 404},
		"GET":                  {"GET", "/webhooks/stripe", platformSecret, "", 405},
		"HEAD":                 {"HEAD", "/webhooks/stripe", platformSecret, "", 405},
	} {
		got := w.signed(c.verb, c.path, c.secret, c.body)
		if got.status != c.want || (got.status == 405) != (got.header.Get("Allow") == "POST") || len(got.body) > 0 {
			t.Errorf("%s: got %d %q, Allow %q; want %d and nothing else", name, got.status, got.body, got.header.Get("Allow"), c.want)
		}
	}
	if got := w.kept(); len(got) > 0 {
		t.Errorf("kept %v, want nothing", got)
	}
}

// What cannot be kept for one is asked for again, and is kept for the others meanwhile.
func TestWebhooksOfAPlatformThatCannotBeKept(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"for one": told("evt_1", `,"account":"acct_1"`), "for nobody": told("evt_1", `,"account":"acct_9"`),
	} {
		var save func(context.Context, work.Webhook) (int64, bool, error)
		w := newPlatform(t, func(c *rpc.Config) {
			save = c.SaveWebhook
			c.SaveWebhook = func(ctx context.Context, h work.Webhook) (int64, bool, error) {
				if h.Merchant == "books" {
					return save(ctx, h)
				}
				return 0, false, errors.New("disk full")
			}
		})
		w.has("acme", "one", "acct_1", ledgerv1.Mode_MODE_TEST)
		w.has("books", "one", "acct_1", ledgerv1.Mode_MODE_TEST)
		got := w.signed("POST", "/webhooks/stripe", platformSecret, body)
		if got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d, Retry-After %q; want 503 and when to try again", name, got.status, got.header.Get("Retry-After"))
		}
		if kept := w.kept(); name == "for one" && !slices.Equal(kept, []string{"books.one evt_1"}) {
			t.Errorf("kept %v, want it for the other", kept)
		}
	}
}

// consent asks for a merchant's consent and returns where he gives it.
func (p *platform) consent(request, id, back string) *ledgerv1.RequestConsentResponse {
	p.t.Helper()
	var got ledgerv1.RequestConsentResponse
	p.must("ConnectionService/RequestConsent", &ledgerv1.RequestConsentRequest{
		MerchantId: "acme", RequestId: request, ConnectionId: id, Gateway: "stripe", ReturnUrl: back,
	}, &got)
	return &got
}

// connected makes a connection for every situation in which something is refused about it.
func (p *platform) connected() {
	p.t.Helper()
	back, err := p.stripe.Approve(p.consent("connect shop", "shop", "").ConsentUrl, "acct_1")
	p.comes("GET", back, err)
	p.must("ConnectionService/CreateConnection", &ledgerv1.CreateConnectionRequest{
		MerchantId: "acme", RequestId: "create gone", ConnectionId: "gone", Gateway: "sandbox"}, &ledgerv1.ConnectionResponse{})
	p.must("ConnectionService/DisconnectConnection", &ledgerv1.DisconnectConnectionRequest{
		MerchantId: "acme", RequestId: "give back", ConnectionId: "gone", Reason: "sold"}, &ledgerv1.ConnectionResponse{})
}

// comes is the merchant's browser on its way back.
func (p *platform) comes(verb, back string, err error) answer {
	p.t.Helper()
	p.ok(err)
	at, ok := strings.CutPrefix(back, "http://ledger.test")
	if !ok {
		p.t.Fatalf("the merchant is sent to %s", back)
	}
	req, err := http.NewRequestWithContext(context.Background(), verb, p.http.URL+at, nil)
	p.ok(err)
	res, err := http.DefaultTransport.RoundTrip(req) // follows nothing
	p.ok(err)
	defer func() { _ = res.Body.Close() }()
	return answer{status: res.StatusCode, header: res.Header, body: []byte(text(p.t, res.Body))}
}

var headings = regexp.MustCompile(`(?s)<h1>(.*?)</h1>\s*<p class="lead">(.*?)</p>(.*)</main>`)

// wantPage checks that a page is one that a browser may be trusted with, and what it says.
func wantPage(t *testing.T, got answer, status int, title, says string) {
	t.Helper()
	m := headings.FindStringSubmatch(string(got.body))
	if got.status != status || m == nil || m[1] != title || !strings.Contains(html.UnescapeString(m[2]+m[3]), says) || strings.Contains(m[2], "<") {
		t.Errorf("got %d:\n%s\nwant %d, %q and %q", got.status, got.body, status, title, says)
	}
	wantPageHeaders(t, got)
	if got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
	}
}

func wantPageHeaders(t *testing.T, got answer) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		if !strings.Contains(got.header.Get(name), want) {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
}

func TestMerchantComesBackToAPage(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	asked := p.consent("ask", "shop", "")
	if !asked.ExpiresAt.AsTime().Equal(start.Add(time.Hour)) || asked.Connection.State != ledgerv1.ConnectionState_CONNECTION_STATE_PENDING || asked.Position == "" {
		t.Errorf("got %v, want it pending for an hour", asked)
	}
	if again := p.consent("ask", "shop", ""); !again.Replayed || again.ConsentUrl != asked.ConsentUrl {
		t.Errorf("repeated: got %v, want the same address", again)
	}
	back, err := p.stripe.Deny(asked.ConsentUrl)
	wantPage(t, p.comes("GET", back, err), 200, "Not connected", "declined on Stripe's page")
	wantPage(t, p.comes("GET", back, err), 400, "Not connected", "begin again")

	asked = p.consent("ask again", "shop", "")
	back, err = p.stripe.Approve(asked.ConsentUrl, "acct_1")
	for _, verb := range []string{"HEAD", "POST"} {
		got := p.comes(verb, back, err)
		if got.status != 405 || got.header.Get("Allow") != "GET" {
			t.Errorf("%s: got %d, Allow %q", verb, got.status, got.header.Get("Allow"))
		}
		wantPageHeaders(t, got)
	}
	wantPage(t, p.comes("GET", back, err), 200, "Connected", "The account Ada's <Courses> (acct_1) is connected.")
	wantPage(t, p.comes("GET", "http://ledger.test/connect/stripe", nil), 400, "Not connected", "begin again")
	wantPage(t, p.comes("GET", "http://ledger.test/connect/stripe/more?state=acme.shop.x", nil), 400, "Not connected", "begin again")
	noCanary(t, p.logged.String())
}

func TestMerchantComesBackToTheShop(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	wantReturn := func(got answer, want url.Values) {
		t.Helper()
		u, err := url.Parse(got.header.Get("Location"))
		p.ok(err)
		if got.status != 303 || u.Host != "shop.example" || u.Path != "/back" {
			t.Errorf("sent to %s with %d", u, got.status)
		}
		if diff := cmp.Diff(want, u.Query()); diff != "" {
			t.Errorf("query (-want +got):\n%s", diff)
		}
		wantPageHeaders(t, got)
	}
	const shop = "https://shop.example/back?step=2&status=old"
	back, err := p.stripe.Deny(p.consent("ask", "shop", shop).ConsentUrl)
	wantReturn(p.comes("GET", back, err), url.Values{"step": {"2"}, "status": {"refused"}, "reason": {"CONSENT_DENIED"}, "connection_id": {"shop"}})
	back, err = p.stripe.Approve(p.consent("ask again", "shop", shop).ConsentUrl, "acct_1")
	wantReturn(p.comes("GET", back, err), url.Values{"step": {"2"}, "status": {"connected"}, "connection_id": {"shop"}})
	back, err = p.stripe.Approve(p.consent("renew", "shop", shop).ConsentUrl, "acct_2")
	wantReturn(p.comes("GET", back, err), url.Values{"step": {"2"}, "status": {"refused"}, "reason": {"ACCOUNT_MISMATCH"}, "connection_id": {"shop"}})
	var now ledgerv1.Connection
	p.must("ConnectionService/GetConnection", &ledgerv1.GetConnectionRequest{MerchantId: "acme", ConnectionId: "shop"}, &now)
	if now.State != ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE || now.Account != "acct_1" || now.Refusal.GetReason() != "ACCOUNT_MISMATCH" {
		t.Errorf("got %v, want it as it was, and why the other was refused", &now)
	}
}

// While the log is away, nobody is told that he is connected, nor that he is not.
func TestMerchantComesBackTooEarly(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	back, err := p.stripe.Approve(p.consent("ask", "shop", "https://shop.example/back").ConsentUrl, "acct_1")
	p.ok(p.log.Close())
	got := p.comes("GET", back, err)
	wantPage(t, got, 503, "Not connected", "Begin again in a moment")
	if got.header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
}
