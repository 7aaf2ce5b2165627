package connect_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
)

func TestConsentIsGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	state := w.ask("ask", "main")
	w.want("main", pending, "")
	if state == "" || state != w.ask("ask", "main") {
		t.Error("a repeated request is not answered with the same address")
	}
	outcome, err := w.Consented(t.Context(), "consent", w.agree(state, shop))
	w.ok(err)
	if outcome.State.Status != active || outcome.ReturnURL != "https://shop.example/back" {
		t.Errorf("got %+v, want an active connection and the way back", outcome)
	}
	w.want("main", active, "")
	if s := w.state("main"); s.Account != shop.ID || s.AccountName != shop.Name || s.Consent != nil {
		t.Errorf("got %+v, want the account %+v, and no consent to be given", s, shop)
	}
	w.wantGranted([]string{shop.ID}, nil)
	if state != w.ask("ask", "main") {
		t.Error("a request that is repeated late is not answered with the same address")
	}
}

func TestConsentIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("ask", "main", shop)
	former := w.ask("renew", "main")
	last := w.ask("renew again", "main")
	_, err := w.Consented(t.Context(), "consent", w.agree(former, shop))
	if !errors.Is(err, connect.ErrNoSuchConsent) {
		t.Errorf("got %v of a state that another one came after", err)
	}
	// Saying no now changes nothing: what is connected stays so.
	_, err = w.Consented(t.Context(), "consent", url.Values{"state": {last}, "error": {"access_denied"}})
	w.ok(err)
	w.want("main", active, gateway.ConsentDenied)
	w.connect("renew at last", "main", shop)
	w.wantGranted([]string{shop.ID}, nil)
}

func TestConsentCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("bank")
	for name, c := range map[string]struct {
		request connect.Consent
		reason  string
	}{
		"nowhere":      {connect.Consent{ID: "new", Gateway: "nowhere"}, "GATEWAY_UNKNOWN"},
		"at the bank":  {connect.Consent{ID: "new", Gateway: "bank"}, "CONSENT_NOT_OFFERED"},
		"of a secret":  {connect.Consent{ID: "bank", Gateway: "consent"}, "CONSENT_NOT_OFFERED"},
		"with a dot":   {connect.Consent{ID: "a.b", Gateway: "consent"}, "ID_INVALID"},
		"back to code": {connect.Consent{ID: "new", Gateway: "consent", ReturnURL: "javascript:alert(1)"}, "URL_INVALID"},
	} {
		c.request.Merchant = "acme"
		_, _, err := w.RequestConsent(t.Context(), w.request(name), c.request)
		w.wantReason(err, aggregate.Invalid, c.reason)
	}
	// Nobody has set up the platform: that is told, and nothing begins that could not be ended.
	w.consent.client = ""
	_, _, err := w.RequestConsent(t.Context(), w.request("ask"), connect.Consent{Merchant: "acme", ID: "new", Gateway: "consent"})
	w.wantReason(err, aggregate.FailedPrecondition, "GATEWAY_NOT_CONFIGURED")
	if err != nil && !strings.Contains(err.Error(), "no client id is set") {
		t.Errorf("got %v, want what is not set", err)
	}
	if w.state("new").Exists() {
		t.Error("a connection was begun")
	}
	w.consent.client = "ca_1"
	if w.ask("ask", "new") == "" {
		t.Error("the same request does not go on once the platform is set up")
	}
}

func TestConsentIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id, c := range map[string]struct {
		account gateway.Account
		reason  string
	}{
		"other mode": {gateway.Account{ID: "acct_test"}, gateway.ModeMismatch},
		"ineligible": {gateway.Account{ID: "acct_foreign", Live: true}, gateway.AccountIneligible},
	} {
		id = strings.ReplaceAll(id, " ", "_")
		outcome, err := w.Consented(t.Context(), "consent", w.agree(w.ask(id, id), c.account))
		if err != nil || outcome.State.Refusal == nil || outcome.ReturnURL == "" {
			t.Errorf("%s: got %+v, %v; want why, and the way back", id, outcome, err)
		}
		w.want(id, refused, c.reason)
		w.connect("again "+id, id, gateway.Account{ID: "acct_" + id, Live: true})
	}
	w.wantGranted([]string{"acct_ineligible", "acct_other_mode"}, []string{"acct_test"})
}

func TestConsentIsDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	state := w.ask("ask", "main")
	_, err := w.Consented(t.Context(), "consent", url.Values{"state": {state}, "error": {"access_denied"}})
	w.ok(err)
	w.want("main", refused, gateway.ConsentDenied)
	_, err = w.Consented(t.Context(), "consent", w.agree(state, shop))
	if !errors.Is(err, connect.ErrNoSuchConsent) {
		t.Errorf("got %v of a state that was used to say no", err)
	}
	w.ask("ask again", "main")
	w.want("main", pending, gateway.ConsentDenied)
	if conn, _, err := w.Find(t.Context(), "acme", "main"); err != nil || conn.Blocked == "" {
		t.Errorf("%+v, %v: payments are not held meanwhile", conn, err)
	}
}

// What cannot be used is given back, unless somebody else uses it.
func TestConsentToAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("ask", "main", shop)
	other := gateway.Account{ID: "acct_2", Name: "Another shop", Live: true}
	outcome, err := w.Consented(t.Context(), "consent", w.agree(w.ask("renew", "main"), other))
	w.ok(err)
	w.want("main", active, gateway.AccountMismatch)
	if why := outcome.State.Refusal; why.Account != other.ID || why.AccountName != other.Name || !strings.Contains(why.Message, shop.ID) {
		t.Errorf("refused with %+v, want it to name both accounts", why)
	}
	w.wantGranted([]string{shop.ID}, []string{other.ID})

	w.connect("other", "second", other)
	_, err = w.Consented(t.Context(), "consent", w.agree(w.ask("renew again", "main"), other))
	w.ok(err)
	_, err = w.Consented(t.Context(), "consent", w.agree(w.ask("third", "third"), other))
	w.ok(err)
	w.want("third", refused, "ACCOUNT_ALREADY_CONNECTED")
	w.wantGranted([]string{shop.ID, other.ID}, []string{other.ID})

	// A connection that was disconnected uses nothing.
	_, err = w.Disconnect(t.Context(), w.request("gone"), "acme", "second", "sold")
	w.ok(err)
	_, err = w.Consented(t.Context(), "consent", w.agree(w.ask("renew once more", "main"), other))
	w.ok(err)
	w.wantGranted([]string{shop.ID}, []string{other.ID, other.ID, other.ID})

	// Nor is it of use if the gateway itself sees that it is another one.
	third := gateway.Account{ID: "acct_3", Name: "Refused there", Live: true}
	outcome, err = w.Consented(t.Context(), "consent", w.agree(w.ask("renew for the third", "main"), third))
	if err != nil || outcome.State.Refusal == nil || outcome.State.Refusal.Account != third.ID {
		t.Errorf("got %+v, %v; want it to name the account", outcome, err)
	}
	w.wantGranted([]string{shop.ID}, []string{other.ID, other.ID, other.ID, third.ID})
}

func TestConsentIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	state := w.ask("ask", "main")
	back := w.agree(state, shop)
	w.consent.setDown(true)
	outcome, err := w.Consented(t.Context(), "consent", back)
	w.ok(err)
	if outcome.ReturnURL == "" {
		t.Error("the merchant is sent nowhere")
	}
	w.want("main", refused, "GATEWAY_UNREACHABLE")
	w.consent.setDown(false)
	if _, err = w.Consented(t.Context(), "consent", back); !errors.Is(err, connect.ErrNoSuchConsent) {
		t.Errorf("got %v: a code must never be sent twice", err)
	}
	w.connect("again", "main", shop)
}

func TestNoSuchConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	used := w.ask("used", "used")
	_, err := w.Consented(t.Context(), "consent", w.agree(used, shop))
	w.ok(err)
	w.create("bank")
	good := w.ask("ask", "main")
	other := w.ask("other", "other")
	asked := w.consent.wasAsked()
	for name, c := range map[string]struct{ gateway, state string }{
		"none":                  {"consent", ""},
		"used":                  {"consent", used},
		"guessed":               {"consent", "acme.main.AAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"of nothing":            {"consent", "acme.nothing." + strings.Split(good, ".")[2]},
		"of another":            {"consent", "acme.main." + strings.Split(other, ".")[2]},
		"of another merchant":   {"consent", "books.main." + strings.Split(good, ".")[2]},
		"at the bank":           {"bank", good},
		"of the bank":           {"consent", "acme.bank.AAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"nowhere":               {"nowhere", good},
		"with ids that are not": {"consent", "$all.main.x"},
		"longer":                {"consent", good + ".x"},
	} {
		_, err := w.Consented(t.Context(), c.gateway, url.Values{"state": {c.state}, "code": {"code acct_1"}})
		if !errors.Is(err, connect.ErrNoSuchConsent) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	w.clock.Set(noon.Add(time.Hour))
	if _, err := w.Consented(t.Context(), "consent", w.agree(good, shop)); !errors.Is(err, connect.ErrNoSuchConsent) {
		t.Errorf("after an hour: got %v", err)
	}
	if got := w.consent.wasAsked(); got != asked {
		t.Errorf("the gateway was asked %d times, want never", got-asked)
	}
	w.want("main", pending, "")
}

// A browser that loads the page twice must not use the code twice: the gateway would take the consent away again.
// Both pages tell the same.
func TestTwoCallbacksAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.consent.hold, w.consent.holding = make(chan struct{}), make(chan struct{}, 2)
		back := w.agree(w.ask("ask", "main"), shop)
		outcomes := make(chan connect.Outcome, 2)
		for range 2 {
			go func() {
				outcome, err := w.Consented(t.Context(), "consent", back)
				if err != nil {
					t.Error(err)
				}
				outcomes <- outcome
			}()
		}
		synctest.Wait() // the gateway has the first, and the second has come as far as it can
		close(w.consent.hold)
		for range 2 {
			if got := <-outcomes; got.State.Status != active || got.ReturnURL == "" {
				t.Errorf("got %+v, want an active connection and the way back", got)
			}
		}
		w.wantGranted([]string{shop.ID}, nil)
		w.wantEvents("main", "connection_created", "consent_requested", "connection_activated")
	})
}

// A merchant who closes the page has still given his consent.
func TestMerchantGoesAwayMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.consent.hold, w.consent.holding = make(chan struct{}), make(chan struct{}, 1)
	back := w.agree(w.ask("ask", "main"), shop)
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := w.Consented(ctx, "consent", back); ended <- err }()
	<-w.consent.holding
	leave()
	close(w.consent.hold)
	w.ok(<-ended)
	w.want("main", active, "")
}

// A consent that is asked for while the former one is being taken in wins; he who comes with the former is told.
func TestAskedAgainMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.consent.hold, w.consent.holding = make(chan struct{}), make(chan struct{}, 2)
	former := w.agree(w.ask("ask", "main"), shop)
	ended := make(chan error, 1)
	go func() { _, err := w.Consented(t.Context(), "consent", former); ended <- err }()
	<-w.consent.holding
	last := w.ask("ask again", "main")
	close(w.consent.hold)
	if err := <-ended; !errors.Is(err, connect.ErrNoSuchConsent) {
		t.Errorf("got %v, want %v", err, connect.ErrNoSuchConsent)
	}
	w.want("main", pending, "")
	_, err := w.Consented(t.Context(), "consent", w.agree(last, shop))
	w.ok(err)
	w.want("main", active, "")
}

// Whatever ends the ledger between the answer and the log, the merchant begins again.
func TestConsentIsNotWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	back := w.agree(w.ask("ask", "main"), shop)
	w.log.set(true)
	if _, err := w.Consented(t.Context(), "consent", back); err == nil || errors.Is(err, connect.ErrNoSuchConsent) {
		t.Errorf("got %v, want that the log is away", err)
	}
	w.log.set(false)
	w.want("main", pending, "")
	_, err := w.Consented(t.Context(), "consent", back) // the page loaded again: the code is used up
	w.ok(err)
	w.want("main", refused, gateway.ConsentCodeInvalid)
	w.connect("begin again", "main", shop)
	w.wantGranted([]string{shop.ID}, nil)
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("ask", "main", shop)
	w.consent.setDown(true)
	_, err := w.Disconnect(t.Context(), w.request("gone"), "acme", "main", "sold")
	w.wantReason(err, aggregate.Unavailable, "GATEWAY_UNREACHABLE")
	w.want("main", disconnected, "")
	w.consent.setDown(false)
	res, err := w.Disconnect(t.Context(), w.request("gone"), "acme", "main", "sold")
	if err != nil || !res.Replayed {
		t.Errorf("repeated: %+v, %v", res, err)
	}
	w.wantGranted(nil, []string{shop.ID})
	_, err = w.Disconnect(t.Context(), w.request("twice"), "acme", "main", "sold")
	w.wantReason(err, aggregate.FailedPrecondition, "CONNECTION_DISCONNECTED")
	if got := w.logged.count("it was disconnected"); got != 1 {
		t.Errorf("told %d times, want once", got)
	}
	// A repetition that comes after the merchant has come back takes nothing from him.
	w.connect("back", "main", shop)
	_, err = w.Disconnect(t.Context(), w.request("gone"), "acme", "main", "sold")
	w.ok(err)
	w.want("main", active, "")
	w.wantGranted([]string{shop.ID}, []string{shop.ID})
	_, err = w.Disconnect(t.Context(), w.request("of nothing"), "acme", "nothing", "sold")
	w.wantReason(err, aggregate.NotFound, "NOT_FOUND")
}

// The gateway knows one consent, however many connections live on it.
func TestDisconnectWithdrawsWhatNobodyUses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("ask", "main", shop)
	for _, merchant := range []string{"books", "clothes"} { // others of the same owner
		_, address, err := w.RequestConsent(t.Context(), w.request("ask"), connect.Consent{Merchant: merchant, ID: "main", Gateway: "consent", Mode: ledgerv1.Mode_MODE_LIVE})
		w.ok(err)
		u, err := url.Parse(address)
		w.ok(err)
		_, err = w.Consented(t.Context(), "consent", w.agree(u.Query().Get("state"), shop))
		w.ok(err)
	}
	for i, merchant := range []string{"books", "acme", "clothes"} {
		w.wantGranted([]string{shop.ID}, nil)
		_, err := w.Disconnect(t.Context(), w.request("gone"), merchant, "main", "sold")
		if err != nil {
			t.Errorf("the %d. time: %v", i+1, err)
		}
	}
	w.wantGranted(nil, []string{shop.ID})
}

// What has a key of its own was never consented to.
func TestDisconnectOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("bank")
	w.consent.open("sk_1", shop)
	_, err := w.Create(t.Context(), w.request("keys"), connect.Account{
		Merchant: "acme", ID: "keys", Gateway: "consent", Mode: ledgerv1.Mode_MODE_LIVE, Secret: "sk_1", UpdateBy: noon.Add(time.Hour),
	})
	w.ok(err)
	w.ask("ask", "asked")
	for _, id := range []string{"bank", "keys", "asked"} {
		_, err := w.Disconnect(t.Context(), w.request("gone"), "acme", id, "sold")
		w.ok(err)
		w.want(id, disconnected, "")
	}
	w.wantGranted(nil, nil)
}

func TestDisconnectedAtTheGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("ask", "main", shop)
	for range 2 {
		w.ok(w.Disconnected(t.Context(), "acme", "main", "taken away"))
	}
	w.ok(w.Disconnected(t.Context(), "acme", "nothing", "taken away"))
	w.want("main", disconnected, "")
	w.wantGranted([]string{shop.ID}, nil) // there is nothing to give back: the merchant has taken it
	w.wantEvents("main", "connection_created", "consent_requested", "connection_activated", "connection_disconnected")
	if got := w.logged.count("it was disconnected"); got != 1 {
		t.Errorf("told %d times, want once", got)
	}
	w.connect("back", "main", shop)
	w.ok(w.Disconnected(t.Context(), "acme", "main", "taken away again"))
	w.want("main", disconnected, "")
}

// Of many who tell the same at once, one is right, and the others are no error.
func TestDisconnectedByManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("ask", "main", shop)
	ended := make(chan error)
	for range 8 {
		go func() { ended <- w.Disconnected(t.Context(), "acme", "main", "taken away") }()
	}
	for range 8 {
		w.ok(<-ended)
	}
	w.wantEvents("main", "connection_created", "consent_requested", "connection_activated", "connection_disconnected")
}
