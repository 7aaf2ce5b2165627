package connection_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

const (
	pending      = ledgerv1.ConnectionState_CONNECTION_STATE_PENDING
	active       = ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE
	needsUpdate  = ledgerv1.ConnectionState_CONNECTION_STATE_NEEDS_UPDATE
	expired      = ledgerv1.ConnectionState_CONNECTION_STATE_EXPIRED
	disconnected = ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
	refused      = ledgerv1.ConnectionState_CONNECTION_STATE_REFUSED
)

var (
	noon    = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	lastDay = noon.Add(100 * 24 * time.Hour)
)

// life is a connection to which one command after the other is given.
type life struct {
	t     *testing.T
	state connection.State
	last  []*ledgerv1.Event
}

// do gives a command under a request id, and applies its events.
func (l *life) do(id string, c aggregate.Command[connection.State]) *life {
	l.t.Helper()
	if err := l.try(id, c); err != nil {
		l.t.Fatalf("%s: %v", id, err)
	}
	return l
}

func (l *life) try(id string, c aggregate.Command[connection.State]) error {
	events, err := c.Decide(l.state)
	l.last = events
	for _, e := range events {
		e.Metadata = &ledgerv1.Metadata{RequestId: id}
		l.state = connection.Evolve(l.state, e)
	}
	return err
}

func (l *life) want(status ledgerv1.ConnectionState, held bool) *life {
	l.t.Helper()
	if l.state.Status != status || (l.state.Held() != "") != held {
		l.t.Errorf("state %v, held %q; want %v, held %v", l.state.Status, l.state.Held(), status, held)
	}
	return l
}

func (l *life) wantRefused(id string, c aggregate.Command[connection.State], reason string) *life {
	l.t.Helper()
	err := l.try(id, c)
	var e *aggregate.Error
	if !errors.As(err, &e) || e.Reason != reason {
		l.t.Errorf("%s: got %v, want %s", id, err, reason)
	}
	return l
}

// unproved begins with credentials that nobody has tried yet.
func unproved() connection.Create {
	return connection.Create{
		Merchant: "acme", ID: "main", Gateway: "payabl", Processor: "payabl", Mode: ledgerv1.Mode_MODE_LIVE, Account: "m1",
		Credentials: []byte("one"), Unproved: true, Now: noon,
	}
}

// byKeys is an account that was connected by its keys, and is known by its publishable key alone.
func byKeys() connection.Create {
	return connection.Create{
		Merchant: "acme", ID: "main", Gateway: "stripe", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_LIVE, PublishableKey: "pk_1",
		Credentials: []byte("keys"), UpdateBy: lastDay, Now: noon,
	}
}

func consent() connection.RequestConsent {
	return connection.RequestConsent{
		Create: connection.Create{Merchant: "acme", ID: "main", Gateway: "stripe", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_LIVE, Now: noon},
		Token:  []byte("token"), ExpiresAt: noon.Add(time.Hour), ReturnURL: "https://shop.example/back",
	}
}

func account(id, consent string) connection.Activate {
	return connection.Activate{Account: id, Name: "A shop", PublishableKey: "pk_1", Live: true, Consent: consent}
}

func TestProvedByCredentials(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("create", unproved()).want(pending, true)
	l.do("prove", connection.Activate{Account: "m1", Live: true, First: true}).want(active, false)
	if l.do("prove twice", connection.Activate{Account: "m1", Live: true, First: true}); len(l.last) != 0 {
		t.Errorf("proved twice: %v", l.last)
	}
	l.do("again", connection.Activate{Account: "m1", Live: true, Credentials: []byte("two")}).want(active, false)
	if string(l.state.Credentials) != "two" {
		t.Errorf("credentials %q, want the new ones", l.state.Credentials)
	}
	l.wantRefused("another", connection.Activate{Account: "m2", Live: true}, "ACCOUNT_MISMATCH")
	l.wantRefused("test", connection.Activate{Account: "m1"}, "CONNECTION_MODE_MISMATCH")
}

func TestRefusedAndThenProved(t *testing.T) {
	t.Parallel()
	why := connection.Refusal{Reason: "CREDENTIALS_REFUSED", Message: "the gateway does not know them"}
	l := (&life{t: t}).do("create", unproved()).do("refuse", connection.Refuse{Refusal: why}).want(refused, true)
	if d := cmp.Diff(&why, l.state.Refusal); d != "" {
		t.Errorf("refusal (-want +got):\n%s", d)
	}
	l.do("prove", connection.Activate{Account: "m1", Live: true}).want(active, false)
	if l.state.Refusal != nil {
		t.Errorf("refused for %+v after it was proved", l.state.Refusal)
	}
	l.do("other credentials", connection.Refuse{Refusal: why}).want(active, false) // the ones in use are as good as before
}

func TestConnectedByConsent(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("ask", consent()).want(pending, true)
	if c := l.state.Consent; c == nil || c.Request != "ask" || string(c.Token) != "token" || c.ReturnURL != "https://shop.example/back" {
		t.Fatalf("consent %+v, want the one that was asked for", l.state.Consent)
	}
	l.wantRefused("of nobody", account("acct_1", "other"), "CONSENT_CODE_INVALID")
	l.do("consent", account("acct_1", "ask")).want(active, false)
	l.wantRefused("twice", account("acct_1", "ask"), "CONSENT_CODE_INVALID")
	l.wantRefused("denied, too late", connection.Refuse{Consent: "ask"}, "CONSENT_CODE_INVALID")
	if l.state.Account != "acct_1" || l.state.AccountName != "A shop" {
		t.Errorf("account %q, %q", l.state.Account, l.state.AccountName)
	}
	l.do("ask again", consent()).want(active, false)
	l.wantRefused("another account", account("acct_2", "ask again"), "ACCOUNT_MISMATCH")
}

func TestDeniedAndAskedAgain(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("ask", consent())
	l.do("deny", connection.Refuse{Refusal: connection.Refusal{Reason: "CONSENT_DENIED"}, Consent: "ask"}).want(refused, true)
	l.do("ask again", consent()).want(pending, true)
	l.do("ask once more", consent())
	l.wantRefused("the former", account("acct_1", "ask again"), "CONSENT_CODE_INVALID")
	l.do("the last", account("acct_1", "ask once more")).want(active, false)
}

// What was connected by keys is charged through until its last day, announced 60 days before, and goes on by consent.
func TestKeysHaveALastDay(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("create", byKeys()).want(active, false)
	notice := lastDay.Add(-connection.Notice)
	wantDue := func(want time.Time) {
		t.Helper()
		if got := l.state.Due(noon); !got.Equal(want) {
			t.Errorf("due %v, want %v", got, want)
		}
	}
	wantDue(notice)
	if l.do("early", connection.Wake{Now: notice.Add(-time.Second)}); len(l.last) != 0 {
		t.Errorf("a day too early: %v", l.last)
	}
	l.do("notice", connection.Wake{Now: notice}).want(needsUpdate, false)
	wantDue(lastDay)
	l.do("not yet", connection.Wake{Now: lastDay.Add(-time.Second)}).want(needsUpdate, false)
	l.do("last day", connection.Wake{Now: lastDay}).want(expired, true)
	wantDue(time.Time{})
	l.do("ask", consent()).want(expired, true)
	l.do("consent", account("acct_1", "ask")).want(active, false)
	wantDue(time.Time{})
	if l.state.Credentials != nil {
		t.Error("the keys are kept, want none: the platform's own are used")
	}
}

func TestKeysWithLittleTimeLeft(t *testing.T) {
	t.Parallel()
	soon := byKeys()
	soon.UpdateBy = noon.Add(24 * time.Hour)
	l := (&life{t: t}).do("create", soon).want(needsUpdate, false)
	want := []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionUpdateNeeded{ConnectionUpdateNeeded: &ledgerv1.ConnectionUpdateNeeded{
		MerchantId: "acme", ConnectionId: "main", UpdateBy: timestamppb.New(soon.UpdateBy),
	}}}}
	if d := cmp.Diff(want, l.last[1:], protocmp.Transform(), protocmp.IgnoreFields(&ledgerv1.Event{}, "metadata")); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if l.do("both at once", connection.Wake{Now: soon.UpdateBy}).want(expired, true); len(l.last) != 1 {
		t.Errorf("%d events, want the end alone", len(l.last))
	}
}

// An account that is known by its publishable key alone is the same if that is.
func TestUpgradeComparesThePublishableKey(t *testing.T) {
	t.Parallel()
	other := account("acct_1", "ask")
	other.PublishableKey = "pk_2"
	l := (&life{t: t}).do("create", byKeys()).do("ask", consent())
	l.wantRefused("another", other, "ACCOUNT_MISMATCH")
	l.do("the same", account("acct_1", "ask")).want(active, false)
}

// A gateway that is asked with the account's secret key need not tell its publishable one. Who consents is told by it.
func TestProvedByTheSecretOfAPublishableKey(t *testing.T) {
	t.Parallel()
	silent := account("acct_1", "")
	silent.PublishableKey = ""
	create := byKeys()
	create.Unproved = true
	l := (&life{t: t}).do("create", create).do("prove", silent).want(active, false)
	if l.state.Account != "acct_1" || l.state.PublishableKey != "pk_1" {
		t.Errorf("account %q, publishable key %q", l.state.Account, l.state.PublishableKey)
	}
	other := account("acct_1", "")
	other.PublishableKey = "pk_2"
	(&life{t: t}).do("create", create).wantRefused("another", other, "ACCOUNT_MISMATCH")
	silent.Consent = "ask"
	(&life{t: t}).do("create", create).do("ask", consent()).wantRefused("by consent", silent, "ACCOUNT_MISMATCH")
}

func TestDisconnectedAndBack(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("create", unproved()).do("prove", connection.Activate{Account: "m1", Live: true})
	l.wantRefused("without a word", connection.Disconnect{ID: "main", Reason: " "}, "REASON_REQUIRED")
	l.do("disconnect", connection.Disconnect{ID: "main", Reason: "sold"}).want(disconnected, true)
	l.wantRefused("twice", connection.Disconnect{ID: "main", Reason: "sold"}, "CONNECTION_DISCONNECTED")
	l.do("proved too late", connection.Activate{Account: "m1", Live: true, First: true}).want(disconnected, true)
	l.do("back", connection.Activate{Account: "m1", Live: true, Credentials: []byte("two")}).want(active, false)
}

// A block and the state hold, each by itself.
func TestBlockedBesides(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("create", unproved()).do("block", connection.Block{ID: "main", Reason: "suspended"}).want(pending, true)
	l.do("prove", connection.Activate{Account: "m1", Live: true}).want(active, true)
	l.do("unblock", connection.Unblock{ID: "main"}).want(active, false)
}

func TestConsentFitsTheConnection(t *testing.T) {
	t.Parallel()
	other, test, nowhere := consent(), consent(), consent()
	other.Gateway, test.Mode, nowhere.ReturnURL = "paypal", ledgerv1.Mode_MODE_TEST, "javascript:alert(1)"
	l := (&life{t: t}).do("create", byKeys())
	l.wantRefused("another gateway", other, "GATEWAY_MISMATCH")
	l.wantRefused("another mode", test, "CONNECTION_MODE_MISMATCH")
	l.wantRefused("back to nowhere", nowhere, "URL_INVALID")
	(&life{t: t}).wantRefused("an id that is none", connection.RequestConsent{Create: connection.Create{Merchant: "acme", ID: "a.b", Gateway: "stripe"}}, "ID_INVALID")
}

func TestReseal(t *testing.T) {
	t.Parallel()
	l := (&life{t: t}).do("create", unproved())
	l.do("reseal", connection.Reseal{From: []byte("one"), Credentials: []byte("uno")})
	if string(l.state.Credentials) != "uno" {
		t.Errorf("credentials %q, want the resealed ones", l.state.Credentials)
	}
	if l.do("too late", connection.Reseal{From: []byte("one"), Credentials: []byte("eins")}); len(l.last) != 0 {
		t.Errorf("credentials that were replaced came back: %v", l.last)
	}
}

func TestNothingIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]aggregate.Command[connection.State]{
		"activate": connection.Activate{}, "refuse": connection.Refuse{}, "disconnect": connection.Disconnect{ID: "main", Reason: "r"},
	} {
		(&life{t: t}).wantRefused(name, c, "NOT_FOUND")
	}
	if events, err := (connection.Wake{Now: noon}).Decide(connection.State{}); err != nil || len(events) != 0 {
		t.Errorf("wake: %v, %v", events, err)
	}
}
