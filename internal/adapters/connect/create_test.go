package connect_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

func TestCreateIsProved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	w.wantSecrets("main", "sk_1", "whsec_sk_1")
	if s := w.state("main"); s.Account != "m1" || s.AccountName != "A shop" {
		t.Errorf("account %q (%q), want m1 (A shop)", s.Account, s.AccountName)
	}
	again, err := w.Create(t.Context(), w.request("create main"), byKey("main", "sk_1"))
	if err != nil || !again.Replayed || again.State.Status != active || w.bank.wasAsked() != 1 {
		t.Errorf("repeated: %+v, %v after %d questions; want it as before and the bank asked once", again.State, err, w.bank.wasAsked())
	}
	w.wantEvents("main", "connection_created", "connection_activated")
}

func TestCreateIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res, err := w.Create(t.Context(), w.request("create"), byKey("main", "sk_wrong"))
	if err != nil || res.State.Status != refused || res.State.Refusal.Reason != gateway.CredentialsRefused {
		t.Errorf("got %+v, %v; want it refused", res.State, err)
	}
	w.want("main", refused, gateway.CredentialsRefused)
	conn, _, err := w.Find(t.Context(), "acme", "main")
	if err != nil || conn.Blocked == "" {
		t.Errorf("%+v, %v: payments are not held through what was refused", conn, err)
	}
	again, err := w.Create(t.Context(), w.request("create"), byKey("main", "sk_wrong"))
	if err != nil || again.State.Status != refused || w.bank.wasAsked() != 1 {
		t.Errorf("repeated: %+v, %v after %d questions; want it as before and the bank asked once", again.State, err, w.bank.wasAsked())
	}
	w.bank.open("sk_1", gateway.Account{ID: "m1", Live: true})
	_, err = w.ReplaceCredentials(t.Context(), w.request("good ones"), "acme", "main", "sk_1", "")
	w.ok(err)
	w.want("main", active, "")
}

// A request that comes twice at once is proved twice and done once.
func TestCreateTwiceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.open("sk_1", gateway.Account{ID: "m1", Live: true})
	create := func() {
		t.Helper()
		res, err := w.Create(t.Context(), w.request("create"), byKey("main", "sk_1"))
		if err != nil || res.State.Status != active || len(res.Events) == 0 {
			t.Errorf("got %+v, %v; want it active, and where in the log", res, err)
		}
	}
	w.bank.during = create
	create()
	w.wantEvents("main", "connection_created", "connection_activated")
}

// What has happened while the gateway was asked counts: nobody connects what was given back meanwhile.
func TestDisconnectedWhileItIsProved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.open("sk_1", gateway.Account{ID: "m1", Live: true})
	w.bank.during = func() {
		_, err := w.Disconnect(t.Context(), w.request("gone"), "acme", "main", "a mistake")
		w.ok(err)
	}
	res, err := w.Create(t.Context(), w.request("create"), byKey("main", "sk_1"))
	if err != nil || res.State.Status != disconnected {
		t.Errorf("got %+v, %v; want it disconnected", res.State, err)
	}
	w.want("main", disconnected, "")
}

// The connection is written down first; the same request goes on from there.
func TestCreateIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.open("sk_1", gateway.Account{ID: "m1", Live: true})
	w.bank.setDown(true)
	_, err := w.Create(t.Context(), w.request("create"), byKey("main", "sk_1"))
	w.wantReason(err, aggregate.Unavailable, "GATEWAY_UNREACHABLE")
	w.want("main", pending, "")
	w.bank.setDown(false)
	res, err := w.Create(t.Context(), w.request("create"), byKey("main", "sk_1"))
	if err != nil || !res.Replayed || res.State.Status != active {
		t.Errorf("repeated: %+v, %v; want it active", res, err)
	}
	w.wantEvents("main", "connection_created", "connection_activated")
}

// The ledger refuses what the bank does not: an account of the other mode, another one, or one that is connected already.
func TestCreateOfAnAccountThatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.open("sk_test", gateway.Account{ID: "m1"})
	w.bank.open("sk_other", gateway.Account{ID: "m2", Live: true})
	for id, c := range map[string]struct{ secret, reason string }{
		"test": {"sk_test", "CONNECTION_MODE_MISMATCH"}, "other": {"sk_other", "ACCOUNT_MISMATCH"},
	} {
		_, err := w.Create(t.Context(), w.request(id), byKey(id, c.secret))
		w.ok(err)
		w.want(id, refused, c.reason)
	}
	w.create("main")
	_, err := w.Create(t.Context(), w.request("second"), byKey("second", "sk_1"))
	w.ok(err)
	w.want("second", refused, "ACCOUNT_ALREADY_CONNECTED")
	if why := w.state("second").Refusal; !strings.Contains(why.Message, "main") || why.Account != "m1" || why.AccountName != "A shop" {
		t.Errorf("refused with %+v, want it to name the account and the connection main", why)
	}
	// Another merchant may have the same account.
	a := byKey("main", "sk_1")
	a.Merchant = "books"
	res, err := w.Create(t.Context(), w.request("books"), a)
	if err != nil || res.State.Status != active {
		t.Errorf("another merchant's: %+v, %v", res.State, err)
	}
	// And what was given back may be connected again.
	_, err = w.Disconnect(t.Context(), w.request("gone"), "acme", "main", "sold")
	w.ok(err)
	_, err = w.ReplaceCredentials(t.Context(), w.request("again"), "acme", "second", "sk_1", "")
	w.ok(err)
	w.want("second", active, "")
}

func TestWhatAMerchantSaysOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(*connect.Account)
		reason string
	}{
		"no gateway":        {func(a *connect.Account) { a.Gateway = "nowhere" }, "GATEWAY_UNKNOWN"},
		"no secret":         {func(a *connect.Account) { a.Secret = "" }, "SECRET_REQUIRED"},
		"no account":        {func(a *connect.Account) { a.Account = "" }, "ACCOUNT_REQUIRED"},
		"a toy, for money":  {func(a *connect.Account) { a.Gateway = "toy" }, "CONNECTION_MODE_MISMATCH"},
		"consent by nobody": {func(a *connect.Account) { a.Gateway, a.Secret = "consent", "" }, "CONNECT_BY_CONSENT"},
		"keys for ever":     {func(a *connect.Account) { a.Gateway = "consent" }, "UPDATE_BY_REQUIRED"},
		"keys of yesterday": {func(a *connect.Account) { a.Gateway, a.UpdateBy = "consent", noon.Add(-24*time.Hour) }, "UPDATE_BY_PAST"},
	} {
		a := byKey("main", "sk_1")
		c.change(&a)
		_, err := w.Create(t.Context(), w.request(name), a)
		w.wantReason(err, aggregate.Invalid, c.reason)
	}
	if w.state("main").Exists() || w.bank.wasAsked() != 0 {
		t.Error("something was written, or the bank was asked")
	}
}

func TestRecordAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Record(t.Context(), w.request("record"), byKey("main", "sk_1"))
	w.ok(err)
	_, err = w.Record(t.Context(), w.request("toy"), connect.Account{Merchant: "acme", ID: "toy", Gateway: "toy", WebhookSecret: "whsec"})
	w.ok(err)
	w.want("main", pending, "")
	w.want("toy", active, "")
	if w.bank.wasAsked() != 0 || len(w.toy.told) != 0 {
		t.Error("a gateway was asked")
	}
	w.ok(w.Introduce(t.Context(), "acme", "toy"))
	w.ok(w.Introduce(t.Context(), "acme", "main"))
	w.ok(w.Introduce(t.Context(), "acme", "nothing"))
	w.wantTold("whsec")
}

// The request that made a connection tells its gateway what is true now, however late it is repeated.
func TestCreateIsRepeatedAfterOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := connect.Account{Merchant: "acme", ID: "main", Gateway: "toy", WebhookSecret: "first"}
	_, err := w.Create(t.Context(), w.request("create"), create)
	w.ok(err)
	for _, secret := range []string{"second", "third"} {
		_, err = w.ReplaceCredentials(t.Context(), w.request(secret), "acme", "main", "", secret)
		w.ok(err)
	}
	_, err = w.Create(t.Context(), w.request("create"), create)
	w.ok(err)
	w.wantTold("first", "second", "third", "third")
	res, err := w.ReplaceCredentials(t.Context(), w.request("second"), "acme", "main", "", "second")
	if err != nil || !res.Replayed {
		t.Errorf("repeated: %+v, %v", res, err)
	}
	w.wantTold("first", "second", "third", "third")
	w.wantSecrets("main", "", "third")
}

func TestSecretsAreOfOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	s := w.state("main")
	for name, stream := range map[string]struct{ merchant, id string }{"another connection": {"acme", "thief"}, "another merchant": {"books", "main"}} {
		s.Merchant, s.ID = stream.merchant, stream.id
		if conn, err := w.Opened(s); err == nil || conn.Secret != "" || strings.Contains(err.Error(), "sk_1") {
			t.Errorf("%s opens %q, %v", name, conn.Secret, err)
		}
	}
}

func TestReplaceCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	w.bank.open("sk_2", gateway.Account{ID: "m1", Live: true})
	w.bank.open("sk_other", gateway.Account{ID: "m2", Live: true})

	_, err := w.ReplaceCredentials(t.Context(), w.request("wrong"), "acme", "main", "sk_wrong", "")
	w.wantReason(err, aggregate.FailedPrecondition, gateway.CredentialsRefused)
	w.want("main", active, gateway.CredentialsRefused) // why is told, and what is used is as good as before
	w.wantSecrets("main", "sk_1", "whsec_sk_1")

	_, err = w.ReplaceCredentials(t.Context(), w.request("other"), "acme", "main", "sk_other", "")
	w.wantReason(err, aggregate.FailedPrecondition, gateway.AccountMismatch)
	_, err = w.ReplaceCredentials(t.Context(), w.request("none"), "acme", "main", "", "whsec_2")
	w.wantReason(err, aggregate.Invalid, "SECRET_REQUIRED")
	_, err = w.ReplaceCredentials(t.Context(), w.request("of nothing"), "acme", "nothing", "sk_2", "")
	w.wantReason(err, aggregate.NotFound, "NOT_FOUND")
	w.wantSecrets("main", "sk_1", "whsec_sk_1")

	w.bank.setDown(true)
	_, err = w.ReplaceCredentials(t.Context(), w.request("good"), "acme", "main", "sk_2", "")
	w.wantReason(err, aggregate.Unavailable, "GATEWAY_UNREACHABLE")
	w.wantSecrets("main", "sk_1", "whsec_sk_1")
	w.bank.setDown(false)
	_, err = w.ReplaceCredentials(t.Context(), w.request("good"), "acme", "main", "sk_2", "")
	w.ok(err)
	w.want("main", active, "")
	w.wantSecrets("main", "sk_2", "whsec_sk_1")

	// A repeated request asks nobody: the bank may not know these any more.
	_, err = w.ReplaceCredentials(t.Context(), w.request("better"), "acme", "main", "sk_1", "whsec_3")
	w.ok(err)
	asked := w.bank.wasAsked()
	res, err := w.ReplaceCredentials(t.Context(), w.request("good"), "acme", "main", "sk_2", "")
	if err != nil || !res.Replayed || w.bank.wasAsked() != asked {
		t.Errorf("repeated: replayed %v, %v after %d questions, want %d", res.Replayed, err, w.bank.wasAsked(), asked)
	}
	w.wantSecrets("main", "sk_1", "whsec_3")
}

func TestReplaceCredentialsOfAToy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Create(t.Context(), w.request("create"), connect.Account{Merchant: "acme", ID: "main", Gateway: "toy", Account: "t1", WebhookSecret: "first"})
	w.ok(err)
	w.toy.down = true
	_, err = w.ReplaceCredentials(t.Context(), w.request("replace"), "acme", "main", "", "second")
	w.wantReason(err, aggregate.Unavailable, "GATEWAY_UNREACHABLE")
	w.wantSecrets("main", "", "first")
	w.toy.down = false
	_, err = w.ReplaceCredentials(t.Context(), w.request("replace"), "acme", "main", "", "second")
	w.ok(err)
	w.wantSecrets("main", "", "second")
	w.wantTold("first", "second")

	// Two may say that they are the same: it believes whatever it is told.
	_, err = w.Create(t.Context(), w.request("another"), connect.Account{Merchant: "acme", ID: "another", Gateway: "toy", Account: "t1", WebhookSecret: "first"})
	w.ok(err)
	_, err = w.ReplaceCredentials(t.Context(), w.request("replace again"), "acme", "another", "", "third")
	w.ok(err)
	w.wantSecrets("another", "", "third")
}

// Keys are for a while at a gateway that asks for consent: they neither outlive their last day nor take a consent's place.
func TestKeysAreNoWayAroundConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.consent.open("sk_1", shop)
	w.consent.open("sk_2", shop)
	keys := connect.Account{Merchant: "acme", ID: "keys", Gateway: "consent", Mode: ledgerv1.Mode_MODE_LIVE, Secret: "sk_1", UpdateBy: noon.Add(24 * time.Hour)}
	_, err := w.Create(t.Context(), w.request("create"), keys)
	w.ok(err)
	_, err = w.ReplaceCredentials(t.Context(), w.request("in time"), "acme", "keys", "sk_2", "")
	w.ok(err)
	w.wantSecrets("keys", "sk_2", "")
	w.clock.Set(keys.UpdateBy)
	_, err = w.ReplaceCredentials(t.Context(), w.request("too late"), "acme", "keys", "sk_1", "")
	w.wantReason(err, aggregate.Invalid, "CONNECT_BY_CONSENT")
	w.connect("ask", "keys", shop)
	_, err = w.ReplaceCredentials(t.Context(), w.request("back to keys"), "acme", "keys", "sk_1", "")
	w.wantReason(err, aggregate.Invalid, "CONNECT_BY_CONSENT")
	w.wantSecrets("keys", "", "")
}

func TestWake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.consent.open("sk_1", shop)
	lastDay := noon.Add(100 * 24 * time.Hour)
	_, err := w.Create(t.Context(), w.request("create"), connect.Account{
		Merchant: "acme", ID: "main", Gateway: "consent", Mode: ledgerv1.Mode_MODE_LIVE, Secret: "sk_1", UpdateBy: lastDay,
	})
	w.ok(err)
	notice := lastDay.Add(-connection.Notice)
	for _, step := range []struct {
		at, next time.Time
		status   ledgerv1.ConnectionState
		needed   int // lines that tell of the update
		expired  int
	}{
		{noon, notice, active, 0, 0},
		{notice, lastDay, needsUpdate, 1, 0},
		{notice, lastDay, needsUpdate, 1, 0},
		{lastDay, time.Time{}, expired, 1, 1},
		{lastDay.Add(time.Hour), time.Time{}, expired, 1, 1},
	} {
		w.clock.Set(step.at)
		next, err := w.Wake(t.Context(), connection.Stream("acme", "main"))
		if err != nil || !next.Equal(step.next) {
			t.Errorf("at %v: next %v, %v; want %v", step.at, next, err, step.next)
		}
		w.want("main", step.status, "")
		if needed, over := w.logged.count("has to connect his account anew"), w.logged.count("has not connected his account anew"); needed != step.needed || over != step.expired {
			t.Errorf("at %v: told %d times of the update and %d times of the end, want %d and %d", step.at, needed, over, step.needed, step.expired)
		}
	}
}

// failing is a Sealer that has lost its master key.
type failing struct{ connect.Sealer }

var errLost = errors.New("the file with the master key is missing")

func (failing) Open([]byte, string) ([]byte, error) { return nil, errLost }

func TestMasterKeyIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	config := w.Config
	config.Sealer = failing{config.Sealer}
	blind := connect.New(config)
	_, err := blind.Opened(w.state("main"))
	if !errors.Is(err, errLost) || !strings.Contains(err.Error(), "acme.main") {
		t.Errorf("got %v, want which connection's credentials cannot be read, and why", err)
	}
	_, _, err = blind.Find(t.Context(), "acme", "main")
	if !errors.Is(err, errLost) {
		t.Errorf("got %v, want %v", err, errLost)
	}
	_, err = blind.Create(t.Context(), w.request("another"), byKey("another", "sk_canary"))
	if !errors.Is(err, errLost) || strings.Contains(err.Error()+w.logged.String(), "sk_canary") {
		t.Errorf("got %v, want it without the secret", err)
	}
}
