package payabl

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ledger.internal/ledger/internal/adapters/gateway"
)

func TestProve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct {
		change func(*gateway.Connection)
		reason string // of the refusal
		asked  int
	}{
		"right":                       {func(*gateway.Connection) {}, "", 1},
		"another's secret":            {func(c *gateway.Connection) { c.Secret = "VeryGoodSecret" }, gateway.CredentialsRefused, 1},
		"an unknown merchant":         {func(c *gateway.Connection) { c.Account = "gateway_nobody" }, gateway.CredentialsRefused, 1},
		"no secret":                   {func(c *gateway.Connection) { c.Secret = "" }, gateway.CredentialsRefused, 0},
		"no merchant":                 {func(c *gateway.Connection) { c.Account = "" }, gateway.CredentialsRefused, 0},
		"a secret in another script":  {func(c *gateway.Connection) { c.Secret = "VeryGoodSecret€" }, gateway.CredentialsRefused, 0},
		"sent to somebody else":       {func(c *gateway.Connection) { c.URL = "https://shop.example/pay/backoffice" }, gateway.CredentialsRefused, 0},
		"sent in the open":            {func(c *gateway.Connection) { c.URL = "http://sandbox.payabl.com/pay/backoffice" }, gateway.CredentialsRefused, 0},
		"a live one at a test server": {func(c *gateway.Connection) { c.Live = true }, gateway.ModeMismatch, 0},
	} {
		conn := w.conn
		test.change(&conn)
		before := len(w.server.Headers())
		a, err := w.gateway.Prove(t.Context(), conn)
		want := gateway.Account{ID: "gateway_test"}
		if test.reason != "" {
			want = gateway.Account{}
			wantRefusal(t, name, err, test.reason, conn.Secret)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a != want {
			t.Errorf("%s: got %+v, want %+v", name, a, want)
		}
		if n := len(w.server.Headers()) - before; n != test.asked {
			t.Errorf("%s: %d requests, want %d", name, n, test.asked)
		}
	}
}

// wantRefusal compares a refusal's reason, and reads its sentences as a merchant would.
func wantRefusal(t *testing.T, name string, err error, reason, secret string) {
	t.Helper()
	var refused *gateway.Refusal
	if !errors.As(err, &refused) || refused.Reason != reason {
		t.Errorf("%s: got %v, want %s", name, err, reason)
		return
	}
	m := refused.Message
	if strings.Count(m, ". ") < 1 || !strings.HasSuffix(m, ".") || strings.Contains(m, "-6000") || secret != "" && strings.Contains(m, secret) {
		t.Errorf("%s: got %q, want what is wrong and what helps, in sentences", name, m)
	}
}

// Only an answer about the account says something about the account.
func TestProveUnanswered(t *testing.T) {
	t.Parallel()
	const answer = `<response><process><error_message>%s</error_message><process_time>31.01.2026 14:00:00</process_time><status>%s</status></process></response>`
	for name, test := range map[string]struct {
		status int
		body   string
		reason string
	}{
		"a wrong signature":        {200, fmt.Sprintf(answer, "wrong signature", "-6000"), gateway.CredentialsRefused},
		"wrong credentials":        {200, fmt.Sprintf(answer, "unknown error", "-999"), gateway.CredentialsRefused},
		"no permission":            {200, fmt.Sprintf(answer, "no permission", " -119 "), gateway.CredentialsRefused},
		"an inner error":           {200, fmt.Sprintf(answer, "internal error", "-5000"), ""},
		"too often":                {200, fmt.Sprintf(answer, "too much retries", "-2400"), ""},
		"a code that nobody knows": {200, fmt.Sprintf(answer, "?", "-424242"), ""},
		"no code":                  {200, fmt.Sprintf(answer, secret, "b185"), ""},
		"a time-out":               {504, "Gateway Time-out", ""},
		"a web page":               {200, "<html>Maintenance</html>", ""},
		"pairs":                    {200, "status=-6000&errormessage=", ""},
		"nothing":                  {200, "", ""},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(test.status)
			_, _ = fmt.Fprint(rw, test.body) // the caller notices
		}))
		t.Cleanup(srv.Close)
		a, err := New(Config{}).Prove(t.Context(), gateway.Connection{URL: srv.URL, Account: "gateway_test", Secret: "VeryGoodSecret"})
		if refused := (*gateway.Refusal)(nil); test.reason != "" {
			wantRefusal(t, name, err, test.reason, "VeryGoodSecret")
		} else if err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), "VeryGoodSecret") {
			t.Errorf("%s: got %v, want no answer", name, err)
		}
		if a != (gateway.Account{}) {
			t.Errorf("%s: got %+v", name, a)
		}
	}
}

// A secret is sent to payabl. alone, and no payment is made where the connection's mode says otherwise.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]struct{ test, live error }{
		"":                                    {nil, nil},
		"https://sandbox.payabl.com/pay":      {nil, errOtherMode},
		"https://pay4.sandbox.payabl.com/pay": {nil, errOtherMode},
		"https://SANDBOX.payabl.com/pay":      {nil, errOtherMode},
		"http://127.0.0.1:8080/pay":           {nil, errOtherMode},
		"https://payabl.com/pay":              {errOtherMode, nil},
		"https://pay4.payabl.com/pay":         {errOtherMode, nil},
		"http://payabl.com/pay":               {errOtherHost, errOtherHost},
		"https://payabl.com.example/pay":      {errOtherHost, errOtherHost},
		"https://sandbox.example/pay":         {errOtherHost, errOtherHost},
		"http://10.0.0.1/pay":                 {errOtherHost, errOtherHost},
	} {
		for live, want := range map[bool]error{false: want.test, true: want.live} {
			conn := gateway.Connection{URL: address, Account: "gateway_test", Secret: secret, Live: live}
			if err := checkAddress(conn); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%q, live %v: got %v, want %v", address, live, err, want)
			}
			if want == nil {
				continue
			}
			g := New(Config{HTTPClient: &http.Client{Transport: nobody{t}}})
			c := firstPayment(100)
			if r := g.Charge(t.Context(), conn, c); r.Class != gateway.NotSent || !r.Config || r.Why == "" {
				t.Errorf("%q, live %v: got %+v, want a connection to change", address, live, r)
			}
			if _, _, err := g.Lookup(t.Context(), conn, c.Key, start); !errors.Is(err, want) {
				t.Errorf("%q, live %v: looked up: got %v", address, live, err)
			}
		}
	}
}

// nobody is to be asked.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(req *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s went out", req.Method, req.URL)
	return nil, http.ErrHandlerTimeout
}
