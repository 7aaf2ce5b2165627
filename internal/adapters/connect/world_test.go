package connect_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/seal"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	pending      = ledgerv1.ConnectionState_CONNECTION_STATE_PENDING
	active       = ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE
	needsUpdate  = ledgerv1.ConnectionState_CONNECTION_STATE_NEEDS_UPDATE
	expired      = ledgerv1.ConnectionState_CONNECTION_STATE_EXPIRED
	disconnected = ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
	refused      = ledgerv1.ConnectionState_CONNECTION_STATE_REFUSED
)

var noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

// world has connections whose every part is real but for the gateways: bank knows accounts by their secrets, consent
// connects them by consent and takes keys for a while, toy is told of them.
type world struct {
	*connect.Connections
	t       *testing.T
	log     *switchable
	clock   *clock.Stepped
	keyFile string
	logged  *lines
	bank    *bank
	consent *consenting
	toy     *toy
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, log: &switchable{Log: memory.New()}, clock: clock.NewStepped(noon), keyFile: filepath.Join(t.TempDir(), "master.key"), logged: &lines{},
		bank: newBank(), toy: &toy{},
	}
	w.consent = &consenting{bank: newBank(), client: "ca_1", codes: map[string]gateway.Account{}, granted: map[string]bool{}}
	store, err := work.Open(filepath.Join(t.TempDir(), "work.db"))
	w.ok(err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait(); w.ok(errors.Join(store.Close(), w.log.Log.Close())) })
	known := projection.NewFollower(w.log.Log, store, projection.Connections())
	w.ok(known.Prepare(ctx))
	running.Go(func() { _ = known.Run(ctx) })

	w.Connections = connect.New(connect.Config{
		Runner:   aggregate.NewRunner(w.log, connection.Type()),
		Gateways: map[string]gateway.Gateway{"bank": w.bank, "consent": w.consent, "toy": w.toy},
		Sealer:   w.sealer(), BaseURL: "https://ledger.test", Clock: w.clock, Logger: slog.New(slog.NewTextHandler(w.logged, nil)),
		Known: func(ctx context.Context, gatewayName, account string) (all []connect.Ref, err error) {
			head, err := w.log.Log.Head(ctx)
			if err == nil {
				err = known.WaitFor(ctx, head)
			}
			if err != nil {
				return nil, err
			}
			found, err := projection.FindConnections(ctx, store, gatewayName, account)
			for _, c := range found {
				all = append(all, connect.Ref{Merchant: c.Merchant, ID: c.ID})
			}
			return all, err
		},
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// sealer opens the master key, as a ledger that starts does.
func (w *world) sealer() *seal.Sealer {
	w.t.Helper()
	s, err := seal.OpenFile(context.Background(), seal.Options{Path: w.keyFile, Create: true})
	w.ok(err)
	return s
}

// request is one of a caller's.
func (w *world) request(id string) aggregate.Request {
	return aggregate.Request{ID: id, Hash: [32]byte{1}, Actor: "test", At: w.clock.Now()}
}

func (w *world) state(id string) connection.State {
	w.t.Helper()
	s, err := w.Load(w.t.Context(), "acme", id)
	w.ok(err)
	return s
}

// want checks what a connection is, and why it was refused last.
func (w *world) want(id string, status ledgerv1.ConnectionState, refusal string) {
	w.t.Helper()
	s := w.state(id)
	var why string
	if s.Refusal != nil {
		why = s.Refusal.Reason
	}
	if s.Status != status || why != refusal {
		w.t.Errorf("%s: %v, refused for %q; want %v, refused for %q", id, s.Status, why, status, refusal)
	}
}

// wantSecrets checks what the gateway of a connection would be called with.
func (w *world) wantSecrets(id, secret, webhookSecret string) {
	w.t.Helper()
	conn, _, err := w.Find(w.t.Context(), "acme", id)
	w.ok(err)
	if conn.Secret != secret || conn.WebhookSecret != webhookSecret {
		w.t.Errorf("%s is used with %q and %q, want %q and %q", id, conn.Secret, conn.WebhookSecret, secret, webhookSecret)
	}
}

// wantReason checks that a caller is told a reason.
func (w *world) wantReason(err error, kind aggregate.Kind, reason string) {
	w.t.Helper()
	var e *aggregate.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Reason != reason {
		w.t.Errorf("got %v, want %s of kind %d", err, reason, kind)
	}
}

// events are the kinds of events of a connection.
func (w *world) events(id string) (kinds []string) {
	w.t.Helper()
	for raw, err := range w.log.Read(w.t.Context(), connection.Stream("acme", id), 0) {
		w.ok(err)
		e, err := event.Decode(raw)
		w.ok(err)
		m := e.ProtoReflect()
		kinds = append(kinds, string(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")).Name()))
	}
	return kinds
}

func (w *world) wantEvents(id string, want ...string) {
	w.t.Helper()
	if got := w.events(id); !slices.Equal(got, want) {
		w.t.Errorf("%s lived through %v, want %v", id, got, want)
	}
}

// byKey is an account at the bank.
func byKey(id, secret string) connect.Account {
	return connect.Account{Merchant: "acme", ID: id, Gateway: "bank", Mode: ledgerv1.Mode_MODE_LIVE, Account: "m1", Secret: secret, WebhookSecret: "whsec_" + secret}
}

// create connects the bank's account m1 by its secret.
func (w *world) create(id string) {
	w.t.Helper()
	w.bank.open("sk_1", gateway.Account{ID: "m1", Name: "A shop", Live: true})
	_, err := w.Create(w.t.Context(), w.request("create "+id), byKey(id, "sk_1"))
	w.ok(err)
	w.want(id, active, "")
}

// ask asks for a merchant's consent and returns the state that he comes back with.
func (w *world) ask(request, id string) (state string) {
	w.t.Helper()
	_, address, err := w.RequestConsent(w.t.Context(), w.request(request), connect.Consent{
		Merchant: "acme", ID: id, Gateway: "consent", Mode: ledgerv1.Mode_MODE_LIVE, ReturnURL: "https://shop.example/back",
	})
	w.ok(err)
	u, err := url.Parse(address)
	w.ok(err)
	return u.Query().Get("state")
}

// agree is what a merchant comes back with who has agreed for an account.
func (w *world) agree(state string, a gateway.Account) url.Values {
	return url.Values{"state": {state}, "code": {w.consent.agree(a)}}
}

var shop = gateway.Account{ID: "acct_1", Name: "A shop", Live: true}

// connect connects an account by consent.
func (w *world) connect(request, id string, a gateway.Account) {
	w.t.Helper()
	_, err := w.Consented(w.t.Context(), "consent", w.agree(w.ask(request, id), a))
	w.ok(err)
	w.want(id, active, "")
}

var errDown = errors.New("connection refused")

// bank is a gateway that knows accounts by their secrets.
type bank struct {
	gateway.Gateway
	mu       sync.Mutex
	accounts map[string]gateway.Account
	down     bool
	asked    int
	during   func() // happens while it is asked
}

func newBank() *bank { return &bank{accounts: map[string]gateway.Account{}} }

func (b *bank) Traits() gateway.Traits { return gateway.Traits{} }

func (b *bank) open(secret string, a gateway.Account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[secret] = a
}

func (b *bank) setDown(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

func (b *bank) wasAsked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// Prove implements gateway.Prover.
func (b *bank) Prove(_ context.Context, conn gateway.Connection) (gateway.Account, error) {
	if during := b.during; during != nil {
		b.during = nil
		during()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.down {
		return gateway.Account{}, errDown
	}
	a, ok := b.accounts[conn.Secret]
	if !ok {
		return a, &gateway.Refusal{Reason: gateway.CredentialsRefused, Message: "The bank does not know this secret."}
	}
	return a, nil
}

// consenting is a gateway that connects accounts by consent. A code that comes twice takes the consent away again, as
// Stripe does.
type consenting struct {
	*bank
	client    string // without it nobody can be sent there
	codes     map[string]gateway.Account
	used      []string
	granted   map[string]bool
	withdrawn []string
	hold      chan struct{} // if not nil, an exchange waits for it
	holding   chan struct{}
}

func (c *consenting) agree(a gateway.Account) (code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code = "code " + a.ID + strings.Repeat("'", len(c.codes))
	c.codes[code] = a
	return code
}

func (c *consenting) ConsentURL(conn gateway.Connection, state, callback string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == "" {
		return "", errors.New("no client id is set")
	}
	return "https://consent.example/?" + url.Values{"state": {state}, "to": {callback}}.Encode(), nil
}

func (c *consenting) Consented(ctx context.Context, conn gateway.Connection, query url.Values) (gateway.Account, error) {
	if c.hold != nil {
		c.holding <- struct{}{}
		<-c.hold
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	code := query.Get("code")
	a, ok := c.codes[code]
	switch {
	case c.down:
		return gateway.Account{}, errDown
	case ctx.Err() != nil:
		return gateway.Account{}, ctx.Err()
	case code == "":
		return gateway.Account{}, &gateway.Refusal{Reason: gateway.ConsentDenied, Message: "You said no."}
	case slices.Contains(c.used, code):
		delete(c.granted, a.ID)
		fallthrough
	case !ok:
		return gateway.Account{}, &gateway.Refusal{Reason: gateway.ConsentCodeInvalid, Message: "Begin again."}
	case a.ID == "acct_foreign":
		return gateway.Account{}, &gateway.Refusal{Reason: gateway.AccountIneligible, Message: "Another platform's."}
	}
	c.used, c.granted[a.ID] = append(c.used, code), true
	if conn.Account != "" && conn.Account != a.ID && a.Name == "Refused there" {
		return a, &gateway.Refusal{Reason: gateway.AccountMismatch, Message: "Another account."}
	}
	return a, nil
}

func (c *consenting) Withdraw(_ context.Context, conn gateway.Connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return errDown
	}
	c.withdrawn = append(c.withdrawn, conn.Account)
	delete(c.granted, conn.Account)
	return nil
}

// wantGranted checks which accounts may be used, and which were given back.
func (w *world) wantGranted(granted, withdrawn []string) {
	w.t.Helper()
	w.consent.mu.Lock()
	defer w.consent.mu.Unlock()
	var got []string
	for a := range w.consent.granted {
		got = append(got, a)
	}
	if slices.Sort(got); !slices.Equal(got, granted) || !slices.Equal(w.consent.withdrawn, withdrawn) {
		w.t.Errorf("granted %v, withdrawn %v; want %v, %v", got, w.consent.withdrawn, granted, withdrawn)
	}
}

// toy is a gateway that is told of its connections, and wants no proof.
type toy struct {
	gateway.Gateway
	told []gateway.Connection
	down bool
}

func (g *toy) Traits() gateway.Traits { return gateway.Traits{Processor: "Stripe"} }

func (g *toy) Connect(_ context.Context, c gateway.Connection) error {
	if g.down {
		return errDown
	}
	g.told = append(g.told, c)
	return nil
}

// wantTold checks what the toy signs with, as far as it was told.
func (w *world) wantTold(webhookSecrets ...string) {
	w.t.Helper()
	var got []string
	for _, c := range w.toy.told {
		got = append(got, c.WebhookSecret)
	}
	if !slices.Equal(got, webhookSecrets) {
		w.t.Errorf("the gateway was told %q, want %q", got, webhookSecrets)
	}
}

// switchable is a log that can be switched off for whoever writes.
type switchable struct {
	event.Log
	mu  sync.Mutex
	off bool
}

func (l *switchable) set(off bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = off
}

// Append implements event.Log.
func (l *switchable) Append(ctx context.Context, stream string, at event.Revision, events ...event.Raw) (event.Position, error) {
	l.mu.Lock()
	off := l.off
	l.mu.Unlock()
	if off {
		return event.Position{}, event.ErrUnavailable
	}
	return l.Log.Append(ctx, stream, at, events...)
}

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count counts the lines with a text.
func (l *lines) count(text string) int { return strings.Count(l.String(), text) }
