package ipn_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/projection"
)

// signingSecret is the one of all endpoints.
var signingSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of twenty-four b"))

// today is when the tests begin, some time after the histories.
func today() time.Time { return time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC) }

// world is a log, a store that follows it, and a sender, all real and small.
type world struct {
	t        *testing.T
	ctx      context.Context
	log      *memory.Log
	store    *db.DB
	clock    *clock.Stepped
	config   ipn.Config
	sender   *ipn.Sender
	notified atomic.Pointer[ipn.Sender] // hears of new rows
	follower *projection.Follower

	stopFollower, stopSender func()
	cancelSender             func() // stopSender without waiting
}

func newWorld(t *testing.T, changes ...func(*ipn.Config)) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	store, err := db.Open(filepath.Join(t.TempDir(), "work.db"), db.Options{Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: ctx, log: memory.New(), store: store, clock: clock.NewStepped(today())}
	t.Cleanup(func() {
		w.stopSender()
		w.stopFollower()
		cancel()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Update(ctx, func(tx projection.Tx) error {
		_, err := tx.Exec(projection.CursorSchema)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.config = ipn.Config{
		Store: store,
		Source: ipn.Source{
			Log:       w.log,
			Endpoints: aggregate.NewRunner(w.log, endpoint.Type()),
			Merchants: aggregate.NewRunner(w.log, merchant.Type()),
		},
		Deliveries:   aggregate.NewRunner(w.log, delivery.Type()),
		Clock:        w.clock,
		Logger:       slog.New(slog.NewTextHandler(t.Output(), nil)),
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	for _, change := range changes {
		change(&w.config)
	}
	w.startFollower()
	w.startSender()
	return w
}

// running starts f and returns what tells it to stop, and what waits for that, too.
func (w *world) running(f func(context.Context) error) (cancel, stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var done sync.WaitGroup
	done.Go(func() {
		if err := f(ctx); err != nil {
			w.t.Error(err)
		}
	})
	return cancel, func() {
		cancel()
		done.Wait()
	}
}

func (w *world) startFollower() {
	w.t.Helper()
	w.follower = projection.NewFollower(w.log, w.store, projection.Deliveries())
	if err := w.follower.Prepare(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	w.follower.OnCommit(func() {
		if s := w.notified.Load(); s != nil {
			s.Notify()
		}
	})
	_, w.stopFollower = w.running(w.follower.Run)
}

// startSender starts a sender; what is left of an earlier one is what a crash would leave, too.
func (w *world) startSender() {
	w.sender = ipn.NewSender(w.config)
	w.notified.Store(w.sender)
	w.cancelSender, w.stopSender = w.running(w.sender.Run)
}

// settle waits until everything that is due by the clock has been sent and recorded.
func (w *world) settle() {
	w.t.Helper()
	for {
		head, err := w.log.Head(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.follower.WaitFor(w.ctx, head); err != nil {
			w.t.Fatal(err)
		}
		if err := w.sender.Idle(w.ctx); err != nil {
			w.t.Fatal(err)
		}
		if now, err := w.log.Head(w.ctx); err == nil && now == head {
			return
		}
	}
}

// sleep moves the clock to the next try and settles.
func (w *world) sleep() {
	w.t.Helper()
	at, err := w.sender.NextAt(w.ctx)
	if err != nil || at.IsZero() {
		w.t.Fatalf("nothing is to be sent later (%v)", err)
	}
	w.clock.Set(at)
	w.settle()
}

// endpoint adds an endpoint of the histories' merchant.
func (w *world) endpoint(id string, s *ledgerv1.EndpointSettings) {
	w.t.Helper()
	_, err := w.config.Endpoints.Do(w.ctx, endpoint.Stream(aggregatetest.Merchant, id), w.request("create-"+id), endpoint.Create{
		Merchant: aggregatetest.Merchant, ID: id, Settings: s, ZoneKnown: true, SigningSecret: signingSecret,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) request(id string) aggregate.Request {
	return aggregate.Request{ID: id, Actor: "api", At: w.clock.Now()}
}

// happened appends histories to the log.
func (w *world) happened(names ...string) {
	w.t.Helper()
	for _, name := range names {
		h := aggregatetest.Named(name)
		raws, err := h.Raws()
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.log.Append(w.ctx, h.Stream, event.NoStream, raws...); err != nil {
			w.t.Fatal(err)
		}
	}
}

// rows are all notifications in short, the oldest first: "shop 1010001 delivered 1".
func (w *world) rows() []string {
	w.t.Helper()
	var out []string
	for _, d := range w.deliveries() {
		out = append(out, fmt.Sprintf("%s %d %s %d", d.EndpointId, d.OrderId, d.State, d.Tries))
	}
	return out
}

func (w *world) deliveries() []*ledgerv1.Delivery {
	w.t.Helper()
	all, _, err := projection.ListDeliveries(w.ctx, w.store, projection.DeliveryFilter{MerchantID: aggregatetest.Merchant},
		projection.Page{Size: projection.MaxPageSize})
	if err != nil {
		w.t.Fatal(err)
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// concluded counts the conclusions in the log.
func (w *world) concluded(endpoint string, h aggregatetest.History) (all []*ledgerv1.DeliveryConcluded) {
	w.t.Helper()
	stream := delivery.Stream(aggregatetest.Merchant, endpoint, strings.TrimPrefix(h.Stream, "subscription-"+aggregatetest.Merchant+"."))
	for raw, err := range w.log.Read(w.ctx, stream, 0) {
		if err != nil {
			return all
		}
		e, err := event.Decode(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, e.GetDeliveryConcluded())
	}
	return all
}

// got is what a receiver got.
type got struct {
	path   string
	header http.Header
	body   []byte
}

func (g got) id() string { return g.header.Get("webhook-id") }

// variable reads a variable of the body.
func (g got) variable(t *testing.T, key string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(g.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	return r.PostForm.Get(key)
}

// receiver is a merchant's server: it writes down what it gets and answers as it is told.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	all []got
}

// newReceiver answers the n-th request, from 1, with answer; nil answers 200.
func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	v := &receiver{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		v.mu.Lock()
		v.all = append(v.all, got{r.URL.Path, r.Header.Clone(), body})
		n := len(v.all)
		v.mu.Unlock()
		if answer != nil {
			answer(n, w, r)
		}
	}))
	t.Cleanup(v.Close)
	return v
}

// answering answers the n-th request with the n-th status, and all later ones with the last.
func answering(t *testing.T, statuses ...int) *receiver {
	t.Helper()
	return newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[min(n, len(statuses))-1])
	})
}

func (v *receiver) got() []got {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]got(nil), v.all...)
}

// orders are the order ids that were received.
func (v *receiver) orders(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, g := range v.got() {
		ids = append(ids, g.variable(t, "transaction_id"))
	}
	return ids
}

// at sends an endpoint's notifications to a receiver.
func (v *receiver) at(path string) func(*ledgerv1.EndpointSettings) {
	return func(s *ledgerv1.EndpointSettings) { s.Url = v.URL + path }
}
