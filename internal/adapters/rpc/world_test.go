package rpc_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/adapters/seal"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/numbers"
	"ledger.internal/ledger/internal/aggregate/reservation"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// world is a ledger in miniature: the real server, log, runners and views, and a gateway that does as its tokens say.
type world struct {
	t       testing.TB
	log     event.Log
	clock   *clock.Stepped
	conn    *grpc.ClientConn
	http    *httptest.Server
	gateway *fakeGateway
	logged  *lines
	views   *db.DB
	store   *work.Work

	ctx     context.Context // of everything that runs
	running sync.WaitGroup
	stop    func() // ends it; may be called twice

	subscriptions *aggregate.Runner[subscription.State]
	followers     map[string]*projection.Follower
	config        rpc.Config
}

// start is when every world begins.
var start = time.Date(2030, 1, 31, 10, 0, 0, 0, time.UTC)

// newWorld makes a world with a merchant acme and his connection main.
func newWorld(t testing.TB, change ...func(*rpc.Config)) *world {
	t.Helper()
	w := bareWorld(t, memory.New(), change...)
	w.populate()
	return w
}

// populate adds the merchant acme and his connection main.
func (w *world) populate() {
	w.t.Helper()
	w.must("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "m", MerchantId: "acme", Name: "Acme"}, &ledgerv1.MerchantResponse{})
	w.must("ConnectionService/CreateConnection", &ledgerv1.CreateConnectionRequest{
		RequestId: "c", MerchantId: "acme", ConnectionId: "main", Gateway: "sandbox", WebhookSecret: webhookSecret,
	}, &ledgerv1.ConnectionResponse{})
}

func bareWorld(t testing.TB, log event.Log, change ...func(*rpc.Config)) *world {
	t.Helper()
	w := quietWorld(t, log, change...)
	w.follow(w.views, projection.Views()...)
	w.follow(w.store, projection.Deliveries(), projection.Connections())
	w.running.Go(func() { w.work(w.ctx) })
	return w
}

// quietWorld is a world in which nobody follows the log.
func quietWorld(t testing.TB, log event.Log, change ...func(*rpc.Config)) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{
		t: t, ctx: ctx, log: log, clock: clock.NewStepped(start),
		gateway: &fakeGateway{}, logged: &lines{}, followers: map[string]*projection.Follower{},
		subscriptions: aggregate.NewRunner(log, subscription.Type()),
	}
	w.stop = func() { cancel(); w.running.Wait() }
	t.Cleanup(func() { w.stop(); _ = log.Close() })

	var err error
	w.views, err = db.Open(filepath.Join(t.TempDir(), "views.db"), db.Options{Synchronous: "NORMAL", Version: 1})
	w.ok(err)
	t.Cleanup(func() { _ = w.views.Close() })
	w.store, err = work.Open(filepath.Join(t.TempDir(), "work.db"))
	w.ok(err)
	t.Cleanup(func() { _ = w.store.Close() })
	w.config = w.newConfig()
	for _, c := range change {
		c(&w.config)
	}
	w.serve()
	return w
}

func (w *world) follow(store projection.Store, all ...projection.Projection) {
	for _, p := range all {
		f := projection.NewFollower(w.log, store, p)
		w.ok(f.Prepare(w.ctx))
		w.followers[p.Name] = f
		w.running.Go(func() { _ = f.Run(w.ctx) })
	}
}

func (w *world) newConfig() rpc.Config {
	blocks := aggregate.NewRunner(w.log, numbers.Type())
	allocator := numbers.NewAllocator(func(ctx context.Context) (int64, int64, error) {
		res, err := blocks.Do(ctx, numbers.Stream(), aggregate.Request{ID: "ledger:block/" + fmt.Sprint(time.Now().UnixNano()), At: w.clock.Now()}, numbers.Reserve{})
		if err != nil {
			return 0, 0, err
		}
		r := res.Events[0].GetNumbersReserved()
		return r.GetFirst(), r.GetCount(), nil
	})
	return rpc.Config{
		Log: w.log, Clock: w.clock, Views: w.views, Work: w.store,
		Subscriptions: w.subscriptions,
		Merchants:     aggregate.NewRunner(w.log, merchant.Type()),
		Connections: connect.New(connect.Config{
			Runner: aggregate.NewRunner(w.log, connection.Type()), Gateways: map[string]gateway.Gateway{"sandbox": w.gateway},
			Sealer: newSealer(w.t), BaseURL: "http://ledger.test", Known: w.known, Clock: w.clock, Logger: slog.New(slog.NewJSONHandler(w.logged, nil)),
		}),
		Endpoints:    aggregate.NewRunner(w.log, endpoint.Type()),
		Reservations: aggregate.NewRunner(w.log, reservation.Type()),
		Circumstances: func(ctx context.Context, merchantID, id string) (subscription.Circumstances, error) {
			c, err := w.config.Connections.Load(ctx, merchantID, id)
			return subscription.Circumstances{Blocked: c.Held() != ""}, err
		},
		NextNumber:     allocator.Next,
		CountEndpoints: func(context.Context, string) (int, error) { return 0, nil },
		DeliveryBody:   func(context.Context, *ledgerv1.Delivery) (string, error) { return "", nil },
		SaveWebhook:    w.store.SaveWebhook,
		WaitFor: func(ctx context.Context, follower string, p event.Position) error {
			return w.followers[follower].WaitFor(ctx, p)
		},
		Operator: noOperator{},
		Version:  "test",
		Logger:   slog.New(slog.NewJSONHandler(w.logged, nil)),
		Grace:    10 * time.Second,
	}
}

// newSealer seals under a key that nobody else has.
func newSealer(t testing.TB) *seal.Sealer {
	t.Helper()
	s, err := seal.OpenFile(context.Background(), seal.Options{Path: filepath.Join(t.TempDir(), "master.key"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// known lists the connections that the projection has seen, once it has seen all.
func (w *world) known(ctx context.Context, gatewayName, account string) (all []connect.Ref, err error) {
	head, err := w.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.followers[projection.Connections().Name].WaitFor(ctx, head); err != nil {
		return nil, err
	}
	found, err := projection.FindConnections(ctx, w.store, gatewayName, account)
	for _, c := range found {
		all = append(all, connect.Ref{Merchant: c.Merchant, ID: c.ID})
	}
	return all, err
}

func (w *world) serve() {
	server, err := rpc.NewServer(w.config)
	w.ok(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	w.running.Go(func() {
		if err := server.Run(w.ctx, l); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", server.Webhooks())
	mux.Handle("/connect/", server.Consents())
	mux.Handle("/", server.REST())
	w.http = httptest.NewUnstartedServer(nil)
	w.http.Config = rpc.HTTPServer(mux)
	w.http.Start()
	w.t.Cleanup(w.http.Close)
	w.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	w.ok(err)
	w.t.Cleanup(func() { _ = w.conn.Close() })
}

// work does what the handlers do: it charges what is asked for, as the token says.
func (w *world) work(ctx context.Context) {
	_ = w.log.Follow(ctx, []string{subscription.Category}, event.Cursor{}, func(ctx context.Context, m event.Message) error {
		if m.Kind != event.KindEvent {
			return nil
		}
		e, err := event.Decode(m.Event)
		if err != nil {
			return err
		}
		c, err := w.react(ctx, e)
		if err != nil || c == nil {
			return err
		}
		_, err = w.subscriptions.Do(ctx, e.Stream, aggregate.Request{ID: "ledger:test/" + e.ID.String(), Actor: "test", At: w.clock.Now()}, c)
		return err
	})
}

func (w *world) react(ctx context.Context, e event.Recorded) (aggregate.Command[subscription.State], error) {
	if r := e.GetRefundRequested(); r != nil {
		return subscription.SettleRefund{Now: w.clock.Now(), ID: r.GetRefundId(), Reference: "re_1"}, nil
	}
	r := e.GetPaymentRequested()
	if r == nil {
		return nil, nil
	}
	s, _, err := w.subscriptions.Load(ctx, e.Stream)
	if err != nil {
		return nil, err
	}
	switch cmp.Or(s.Token, s.Method.GetReference()) { // a token, or the stored method of an import
	case "tok_silent":
		return nil, nil
	case "tok_unknown":
		return subscription.DoubtPayment{Now: w.clock.Now(), Number: r.GetPayNumber(), Attempt: r.GetAttempt(), Why: "timeout", SentAt: w.clock.Now()}, nil
	case "tok_declined":
		return subscription.DeclinePayment{Now: w.clock.Now(), Number: r.GetPayNumber(), Attempt: r.GetAttempt(),
			Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, Code: "stolen_card"}, nil
	case "tok_soft":
		return subscription.DeclinePayment{Now: w.clock.Now(), Number: r.GetPayNumber(), Attempt: r.GetAttempt(),
			Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, Code: "insufficient_funds"}, nil
	case "tok_mismatch":
		return subscription.SettlePayment{Now: w.clock.Now(), Number: r.GetPayNumber(), Attempt: r.GetAttempt(), Reference: "ch_1", Amount: usd(1)}, nil
	case "tok_pending":
		return subscription.PendPayment{Now: w.clock.Now(), Number: r.GetPayNumber(), Attempt: r.GetAttempt(), Reference: "pi_1",
			NextAction: &ledgerv1.NextAction{RedirectUrl: "https://bank.example/3ds", ClientSecret: clientSecret}}, nil
	}
	return subscription.SettlePayment{Now: w.clock.Now(), Number: r.GetPayNumber(), Attempt: r.GetAttempt(), Reference: "ch_1",
		Amount: r.GetAmounts().GetFull(), Method: &ledgerv1.PaymentMethod{Reference: "pm_1", Brand: "visa", Last4: "4242"}}, nil
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// call makes a gRPC call; method is "Service/Method".
func (w *world) call(method string, req, answer proto.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return w.conn.Invoke(ctx, "/ledger.v1."+method, req, answer)
}

func (w *world) must(method string, req, answer proto.Message) {
	w.t.Helper()
	if err := w.call(method, req, answer); err != nil {
		w.t.Fatalf("%s: %v", method, err)
	}
}

// do makes a REST request with a JSON body ("" for none).
func (w *world) do(verb, path, body string, header ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), verb, w.http.URL+path, strings.NewReader(body))
	w.ok(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return w.send(req)
}

func (w *world) send(req *http.Request) answer {
	w.t.Helper()
	res, err := http.DefaultClient.Do(req)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	w.ok(err)
	return answer{status: res.StatusCode, header: res.Header, body: text}
}

// answer is what REST answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// refusal is the google.rpc.Status in an answer.
func (a answer) refusal(t testing.TB) *status.Status {
	t.Helper()
	var s spb.Status
	if err := protojson.Unmarshal(a.body, &s); err != nil {
		t.Fatalf("answer is no google.rpc.Status: %v\n%s", err, a.body)
	}
	return status.FromProto(&s)
}

// info is a refusal's ErrorInfo; empty if it has none.
func info(s *status.Status) *errdetails.ErrorInfo {
	for _, d := range s.Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i
		}
	}
	return &errdetails.ErrorInfo{}
}

// field is the path of the field that a refusal is about.
func field(s *status.Status) string {
	for _, d := range s.Details() {
		if b, ok := d.(*errdetails.BadRequest); ok {
			return b.GetFieldViolations()[0].GetField()
		}
	}
	return ""
}

func (w *world) head() event.Position {
	w.t.Helper()
	p, err := w.log.Head(context.Background())
	w.ok(err)
	return p
}

const (
	webhookSecret = "whs_canary_1"
	clientSecret  = "cs_canary_2"
)

// fakeGateway verifies webhooks and remembers what it was connected to.
type fakeGateway struct {
	gateway.Gateway
	mu        sync.Mutex
	connected []gateway.Connection
	down      bool
}

// Connect implements gateway.Connector.
func (g *fakeGateway) Traits() gateway.Traits { return gateway.Traits{} }

func (g *fakeGateway) Connect(_ context.Context, c gateway.Connection) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		return errors.New("connection refused")
	}
	g.connected = append(g.connected, c)
	return nil
}

// Verify implements gateway.Notifier: the signature is the secret itself.
func (g *fakeGateway) Verify(c gateway.Connection, header http.Header, body []byte, _ time.Time) (gateway.Notice, error) {
	if header.Get("X-Signature") != c.WebhookSecret {
		return gateway.Notice{}, errors.New("bad signature")
	}
	return g.Read(c, body)
}

// Read implements gateway.Notifier.
func (g *fakeGateway) Read(_ gateway.Connection, body []byte) (gateway.Notice, error) {
	var n gateway.Notice
	if err := json.Unmarshal(body, &n); err != nil {
		return n, fmt.Errorf("%w: %w", gateway.ErrUnreadable, err)
	}
	return n, nil
}

type noOperator struct{}

func (noOperator) Followers(context.Context) ([]*ledgerv1.Follower, error) {
	return []*ledgerv1.Follower{{Name: "orders", Position: "1-1", Parked: 2}}, nil
}

func (noOperator) Parked(_ context.Context, p projection.Page) ([]*ledgerv1.Parked, string, error) {
	return []*ledgerv1.Parked{{Follower: "charge", Stream: "subscription-acme.s1", Reason: p.Token}}, "next", nil
}

func (noOperator) ReplayParked(_ context.Context, follower, stream string) (bool, string, error) {
	return follower == "charge", stream, nil
}

func (noOperator) Webhooks(_ context.Context, r *ledgerv1.ListWebhooksRequest) ([]*ledgerv1.InboundWebhook, string, error) {
	return []*ledgerv1.InboundWebhook{{WebhookId: 7, MessageId: r.PageToken, State: r.State}}, "next", nil
}

func (noOperator) RetryWebhook(_ context.Context, id int64) error {
	if id != 7 {
		return aggregate.ErrNotFound("webhook", "7")
	}
	return nil
}

func (noOperator) ResolveInDoubt(_ context.Context, r *ledgerv1.ResolveInDoubtRequest) (*ledgerv1.GatewayAnswer, error) {
	return &ledgerv1.GatewayAnswer{Outcome: "charged", Reference: r.Reference}, nil
}

// lines is a log that a test can read, and wait for.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	awaited string
	came    chan struct{}
}

// wait returns a channel that is closed once a line with this text is logged.
func (l *lines) wait(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaited, l.came = text, make(chan struct{})
	return l.came
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awaited != "" && bytes.Contains(b, []byte(l.awaited)) {
		close(l.came)
		l.awaited = ""
	}
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startRequest is a start of a monthly subscription of 47.00 USD, charged by token.
func startRequest(id, token string) *ledgerv1.StartRequest {
	return &ledgerv1.StartRequest{
		SubscriptionId: id,
		Buyer:          &ledgerv1.Buyer{Id: "buyer of " + id, FirstName: "Ada", Email: "ada@example.com"},
		Terms: &ledgerv1.Terms{
			ProductId: "p1", ProductName: "Course", PricePoint: 1,
			Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING, Period: ledgerv1.Period_PERIOD_MONTHLY,
			Regular: &ledgerv1.Amounts{Base: usd(4700)},
		},
		ConnectionId: "main", PaymentMethodToken: token,
	}
}

func usd(minor int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor}
}
