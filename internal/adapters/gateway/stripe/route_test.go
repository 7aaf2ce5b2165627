package stripe_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

// A platform's endpoint learns from the raw bytes alone which account they are about.
func TestRoute(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	w.connect(t, "acct_1")
	w.conn.Account = "acct_1"
	w.paid(t, "k")
	must(t, w.server.Disconnect("acct_1"))
	events := w.server.Events()
	kinds := []string{}
	for _, e := range events {
		kinds = append(kinds, e.Type)
		id, live, err := w.gateway.Route(stripetest.Sign(start, e.Body, webhookSecret), e.Body, start)
		must(t, err)
		if id != "acct_1" || live {
			t.Errorf("%s: got %q, live %v, want the account and its mode", e.Type, id, live)
		}
	}
	if !slices.Contains(kinds, "account.application.deauthorized") {
		t.Errorf("got only %v", kinds)
	}
	body := events[0].Body
	event := func(rest string) []byte { return []byte(`{"id":"evt_1","object":"event","type":"x"` + rest + `}`) }
	for name, test := range map[string]struct {
		body    []byte
		secret  string
		after   time.Duration
		account string
		live    bool
		want    error
	}{
		"one of the platform's own":  {body: event(``)},
		"a live one":                 {body: event(`,"account":"acct_9","livemode":true`), account: "acct_9", live: true},
		"under the old secret":       {body: body, secret: "whsec_old", account: "acct_1"},
		"under another":              {body: body, secret: "whsec_new", want: stripe.ErrBadSignature},
		"too old":                    {body: body, after: 5*time.Minute + time.Second, want: stripe.ErrOldSignature},
		"of the future":              {body: body, after: -5*time.Minute - time.Second, want: stripe.ErrOldSignature},
		"signed, and no event":       {body: []byte(`{}`), want: stripe.ErrBadBody},
		"signed, and an odd account": {body: event(`,"account":1`), want: stripe.ErrBadBody},
	} {
		if test.secret == "" {
			test.secret = webhookSecret
		}
		id, live, err := w.gateway.Route(stripetest.Sign(start, test.body, test.secret), test.body, start.Add(test.after))
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || id != test.account || live != test.live {
			t.Errorf("%s: got %q, %v, %v, want %q, %v, %v", name, id, live, err, test.account, test.live, test.want)
		}
	}
	if _, _, err := stripe.New(stripe.Config{}).Route(stripetest.Sign(start, body, ""), body, start); !errors.Is(err, stripe.ErrNoSecret) {
		t.Errorf("no secret: got %v", err)
	}
}

// An event of one account does not pass for one of another, whatever connection it is brought to.
func TestAnEventOfAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	w.connect(t, "acct_1")
	w.conn.Account = "acct_1"
	w.paid(t, "k")
	body := w.server.Events()[0].Body
	w.conn.Account = "acct_2"
	if _, err := w.gateway.Verify(w.conn, stripetest.Sign(start, body, webhookSecret), body, start); !errors.Is(err, stripe.ErrOtherAccount) {
		t.Errorf("got %v, want ErrOtherAccount", err)
	}
}
