package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begins is when every world begins.
var begins = time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC)

const (
	merchant   = "acme"
	connection = "main"
	secret     = "whsec"
)

// world is all that the handlers touch: a log, a clock, the sandbox gateway over HTTP, the store of timers and of
// webhooks. Nothing in it happens by itself but what the gateway does.
type world struct {
	t     *testing.T
	clock *clock.Stepped
	wrong time.Duration // what the handlers' clock shows beyond that
	log   event.Log
	work  *work.Work

	subscriptions *aggregate.Runner[subscription.State]
	gateway       *sandbox.Gateway
	sandbox       *sandbox.Server
	traffic       *traffic
	down          bool     // the connection names an address where nobody listens
	blocked       string   // why nothing is charged through the connection
	finder        *finding // what stands before the gateway, if anything does

	timers   *projection.Follower
	process  *process.Process
	wake     *process.Wake
	inbound  *process.Inbound
	handled  int // events that the handlers have seen
	failed   []event.Recorded
	failures []error
	requests int
}

// options are what a test may have different. The zero value is a gateway with keys.
type options struct {
	noKeys  bool
	timeout time.Duration
	log     event.Log
	timers  func(process.Timers) process.Timers
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewStepped(begins), log: o.log}
	if w.log == nil {
		w.log = memory.New()
	}
	w.subscriptions = aggregate.NewRunner(w.log, subscription.Type())
	var err error
	w.work, err = work.Open(filepath.Join(t.TempDir(), "work.db"))
	w.ok(err)
	t.Cleanup(func() { w.ok(w.work.Close()) })
	w.openSandbox(o)
	w.openTimers()
	w.restart()
	if o.timers != nil {
		w.wake = process.NewWake(w.process, o.timers(w.work))
	}
	return w
}

func (w *world) openSandbox(o options) {
	w.t.Helper()
	var err error
	w.sandbox, err = sandbox.NewServer(sandbox.ServerConfig{Dir: w.t.TempDir(), Clock: w.clock, NoKeys: o.noKeys})
	w.ok(err)
	w.traffic = &traffic{clock: w.clock, next: w.sandbox}
	server := httptest.NewServer(w.traffic)
	w.traffic.url = server.URL
	client := gateway.NewHTTPClient()
	w.t.Cleanup(func() {
		w.ok(w.sandbox.Close())
		client.CloseIdleConnections()
		server.Close()
	})
	if o.timeout == 0 {
		o.timeout = time.Minute
	}
	w.gateway = sandbox.New(sandbox.Config{URL: server.URL, HTTPClient: client, Timeout: o.timeout, NoKeys: o.noKeys})
	w.ok(w.gateway.Connect(w.t.Context(), w.connection()))
}

func (w *world) openTimers() {
	w.t.Helper()
	w.timers = projection.NewFollower(w.log, w.work, projection.Timers())
	w.ok(w.timers.Prepare(w.t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.timers.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		w.ok(<-ended)
	})
}

// restart begins a new run on what the last one left behind.
func (w *world) restart() {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context())
	w.ok(err)
	w.process = process.New(process.Config{
		Subscriptions: w.subscriptions, Clock: wrongClock{w.clock, &w.wrong}, Logger: slog.New(slog.DiscardHandler), Head: head,
		Connect: func(_ context.Context, _, id string) (gateway.Connection, gateway.Gateway, error) {
			c := w.connection()
			c.ID = id
			if w.finder != nil {
				return c, w.finder, nil
			}
			return c, w.gateway, nil
		},
		Addresses: func(conn gateway.Connection, c gateway.Charge) (back, cancel string) {
			back = "https://ledger.test/" + conn.Gateway + "/" + c.Key
			return back, back + "/cancel"
		},
	})
	w.wake = process.NewWake(w.process, w.work)
	w.inbound = process.NewInbound(w.process, w.work)
}

func (w *world) connection() gateway.Connection {
	c := gateway.Connection{
		Merchant: merchant, ID: connection, Gateway: "sandbox", WebhookSecret: secret, NotifyURL: w.traffic.url + "/hooks",
		Blocked: w.blocked,
	}
	if w.down {
		c.URL = "http://127.0.0.1:1"
	}
	return c
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func stream(id string) string { return subscription.Stream(merchant, id) }

// do carries out a command as an API caller's.
func (w *world) do(id string, c aggregate.Command[subscription.State]) {
	w.t.Helper()
	w.requests++
	_, err := w.subscriptions.Do(w.t.Context(), stream(id), aggregate.Request{
		ID: fmt.Sprintf("r%d", w.requests), Actor: "api", At: w.clock.Now(),
	}, c)
	w.ok(err)
}

// start begins a monthly subscription of 47.00 USD with a trial of ten days for 1.00 USD. The token is the script.
func (w *world) start(id, token string) {
	w.t.Helper()
	w.do(id, subscription.Start{
		Now: w.clock.Now(), Trial: true, Number: 1, Merchant: merchant, ID: id, Gateway: "sandbox",
		Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.StartRequest{
			Buyer: &ledgerv1.Buyer{Id: "b1", Email: "ada@example.com"}, ConnectionId: connection, PaymentMethodToken: token,
			Terms: &ledgerv1.Terms{
				ProductId: "p1", ProductName: "Course", PricePoint: 1,
				Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING, Period: ledgerv1.Period_PERIOD_MONTHLY,
				Initial: &ledgerv1.InitialPayment{Days: 10, Amounts: &ledgerv1.Amounts{Base: usd(100)}},
				Regular: &ledgerv1.Amounts{Base: usd(4700)},
			},
		},
	})
}

func usd(minor int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor}
}

func (w *world) state(id string) subscription.State {
	w.t.Helper()
	s, _, err := w.subscriptions.Load(w.t.Context(), stream(id))
	w.ok(err)
	return s
}

// events are the kinds of a subscription's events, in order.
func (w *world) events(id string) []string {
	w.t.Helper()
	var kinds []string
	for raw, err := range w.log.Read(w.t.Context(), stream(id), 0) {
		w.ok(err)
		kinds = append(kinds, raw.Type)
	}
	return kinds
}

// wantEvents compares a subscription's history behind its first so many events.
func (w *world) wantEvents(id string, behind int, want ...string) {
	w.t.Helper()
	if got := w.events(id)[behind:]; !slices.Equal(got, want) {
		w.t.Errorf("at %s the events of %s are %v, want %v", w.clock.Now().Format(time.RFC3339), id, got, want)
	}
}

// last is the latest event of a kind, as the handlers get it.
func (w *world) last(id string, kind string) event.Recorded {
	w.t.Helper()
	var found event.Recorded
	for raw, err := range w.log.Read(w.t.Context(), stream(id), 0) {
		w.ok(err)
		if raw.Type == kind {
			found, err = event.Decode(raw)
			w.ok(err)
		}
	}
	if found.Event == nil {
		w.t.Fatalf("%s has no %s, want one", id, kind)
	}
	return found
}

// handle gives one event to every handler.
func (w *world) handle(ctx context.Context, e event.Recorded) error {
	var errs []error
	for _, h := range w.process.All() {
		errs = append(errs, h.Handle(ctx, e))
	}
	return errors.Join(errs...)
}

// run gives the handlers what is new in the log, until nothing is. What fails is kept for retry.
func (w *world) run() {
	w.t.Helper()
	for {
		events := w.unhandled()
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if err := w.handle(w.t.Context(), e); err != nil {
				w.failed, w.failures = append(w.failed, e), append(w.failures, err)
			}
		}
	}
	head, err := w.log.Head(w.t.Context())
	w.ok(err)
	w.ok(w.timers.WaitFor(w.t.Context(), head))
}

func (w *world) unhandled() []event.Recorded {
	w.t.Helper()
	done := errors.New("caught up")
	var all []event.Recorded
	err := w.log.Follow(w.t.Context(), []string{subscription.Category}, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind == event.KindCaughtUp {
			return done
		}
		e, err := event.Decode(m.Event)
		all = append(all, e)
		return err
	})
	if !errors.Is(err, done) {
		w.t.Fatal(err)
	}
	all = all[w.handled:]
	w.handled += len(all)
	return all
}

// retry gives the handlers again what failed.
func (w *world) retry() {
	w.t.Helper()
	again := w.failed
	w.failed, w.failures = nil, nil
	for _, e := range again {
		if err := w.handle(w.t.Context(), e); err != nil {
			w.failed, w.failures = append(w.failed, e), append(w.failures, err)
		}
	}
	w.run()
}

// wantNoFailure fails the test if a handler has failed.
func (w *world) wantNoFailure() {
	w.t.Helper()
	if len(w.failures) > 0 {
		w.t.Errorf("handlers failed: %v, want none", w.failures)
	}
}

// advance lets time pass, stopping at each instant at which a timer or the gateway has something to do.
func (w *world) advance(by time.Duration) {
	w.t.Helper()
	target := w.clock.Now().Add(by)
	for {
		w.settle()
		next, ok := w.nextInstant()
		if !ok || next.After(target) {
			break
		}
		w.clock.Set(next)
	}
	w.clock.Set(target)
	w.settle()
}

func (w *world) nextInstant() (first time.Time, ok bool) {
	w.t.Helper()
	timer, isTimer, err := w.work.NextTimerAt(w.t.Context())
	w.ok(err)
	hook, isHook, err := w.work.NextWebhookAt(w.t.Context())
	w.ok(err)
	theirs, isTheirs := w.sandbox.NextAt()
	for _, n := range []struct {
		at time.Time
		ok bool
	}{{timer, isTimer}, {hook, isHook}, {theirs, isTheirs}} {
		if n.ok && n.at.After(w.clock.Now()) && (!ok || n.at.Before(first)) {
			first, ok = n.at, true
		}
	}
	return first, ok
}

// settle does what is due now.
func (w *world) settle() {
	w.t.Helper()
	w.run()
	w.ok(w.sandbox.Idle(w.t.Context()))
	w.ok(w.inbound.Idle(w.t.Context()))
	w.ok(w.wake.Idle(w.t.Context()))
	w.run()
}

// wakeNow has a subscription woken now, whatever its timer says.
func (w *world) wakeNow(id string) {
	w.t.Helper()
	w.run()
	w.ok(w.work.Update(w.t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(`UPDATE timers SET due_at = $1 WHERE stream = $2`, w.clock.Now().UnixMicro(), stream(id))
		return err
	}))
	w.ok(w.wake.Idle(w.t.Context()))
	w.run()
}

// timer is when a subscription is woken next; zero for never.
func (w *world) timer(id string) time.Time {
	w.t.Helper()
	all, err := w.work.DueTimers(w.t.Context(), begins.AddDate(100, 0, 0), 100)
	w.ok(err)
	for _, t := range all {
		if t.Stream == stream(id) {
			return t.Due
		}
	}
	return time.Time{}
}

// take has a webhook saved, as if it had just arrived.
func (w *world) take(h hook) {
	w.t.Helper()
	n, err := w.gateway.Verify(w.connection(), h.header, h.body, w.clock.Now())
	w.ok(err)
	_, _, err = w.work.SaveWebhook(w.t.Context(), work.Webhook{
		Merchant: merchant, Connection: connection, Gateway: "sandbox", MessageID: n.ID, ReceivedAt: w.clock.Now(),
		Body: h.body, // it was verified, so nobody needs its signature any more
	})
	w.ok(err)
	w.ok(w.inbound.Idle(w.t.Context()))
	w.run()
}

// tell makes the gateway do something by itself, and returns the name of what came of it.
func (w *world) tell(verb, path, body string) (id string) {
	w.t.Helper()
	url := w.traffic.url + "/v1/accounts/" + merchant + "." + connection + path
	req, err := http.NewRequestWithContext(w.t.Context(), verb, url, strings.NewReader(body))
	w.ok(err)
	resp, err := http.DefaultClient.Do(req)
	w.ok(err)
	answer, err := io.ReadAll(resp.Body)
	w.ok(errors.Join(err, resp.Body.Close()))
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: %s %s", verb, path, resp.Status, answer)
	}
	w.ok(w.sandbox.Idle(w.t.Context()))
	var made struct{ ID string }
	w.ok(json.Unmarshal(answer, &made))
	return made.ID
}

// book is what really happened to the money.
type book struct {
	Charges []struct {
		ID, Key, Status string
		Metadata        struct {
			PayNumber uint32 `json:"pay_number"`
			Attempt   uint32
		}
		Method *struct{ Reference string }
	}
	Refunds []struct{ ID, Key, Charge, Status string }
}

func (w *world) book() (b book) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.sandbox.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/book", nil))
	w.ok(json.Unmarshal(rec.Body.Bytes(), &b))
	return b
}

// captured counts the charges that took money.
func (b book) captured() (n int) {
	for _, c := range b.Charges {
		if c.Status == "succeeded" {
			n++
		}
	}
	return n
}

// traffic is what goes to the gateway and comes from it.
type traffic struct {
	clock *clock.Stepped
	next  http.Handler
	url   string

	mu      sync.Mutex
	sent    []string        // operations that were asked for
	lookups []time.Duration // when charges were looked up, since the beginning
	hooks   []hook          // webhooks that came
	after   func()          // if not nil, it is told of each request that was carried out, and the answer is kept back
	lose    int             // how many requests for money get lost before anything is carried out
}

// hook is a raw webhook.
type hook struct {
	header http.Header
	body   []byte
}

func (t *traffic) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/hooks" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.hooks = append(t.hooks, hook{r.Header.Clone(), body})
		return
	}
	_, operation, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/accounts/"), "/")
	t.mu.Lock()
	after := t.after
	switch {
	case r.Method == http.MethodPost && (operation == "charges" || operation == "refunds"):
		t.sent = append(t.sent, operation)
		if t.lose > 0 {
			t.lose--
			t.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
	case r.Method == http.MethodGet && operation == "charges":
		t.lookups = append(t.lookups, t.clock.Now().Sub(begins))
	}
	t.mu.Unlock()
	if after == nil {
		t.next.ServeHTTP(rw, r)
		return
	}
	t.next.ServeHTTP(httptest.NewRecorder(), r)
	after()
	panic(http.ErrAbortHandler)
}

// count is how often an operation was asked for.
func (t *traffic) count(operation string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sent {
		if s == operation {
			n++
		}
	}
	return n
}

// keepBack has all answers kept back from now on, after telling f; nil lets them through again.
func (t *traffic) keepBack(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after = f
}

// loseNext has the next request for money get lost on its way.
func (t *traffic) loseNext() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lose++
}

// lookedUpAt is when charges were looked up, since the beginning.
func (t *traffic) lookedUpAt() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lookups)
}

// webhook is the first webhook that has come and that holds a text.
func (w *world) webhook(holds string) hook {
	w.t.Helper()
	w.traffic.mu.Lock()
	defer w.traffic.mu.Unlock()
	for _, h := range w.traffic.hooks {
		if bytes.Contains(h.body, []byte(holds)) {
			return h
		}
	}
	w.t.Fatalf("no webhook holds %s, want one in %d", holds, len(w.traffic.hooks))
	return hook{}
}

// wrongClock is a clock that somebody sets wrong.
type wrongClock struct {
	*clock.Stepped
	by *time.Duration
}

func (c wrongClock) Now() time.Time { return c.Stepped.Now().Add(*c.by) }
