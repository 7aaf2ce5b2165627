package process_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/work"
)

// reconciler asks the world's own gateway about its one connection, and keeps what it fetches in the world's work store.
func (w *world) reconciler(refs ...process.Ref) *process.Reconciler {
	if refs == nil {
		refs = []process.Ref{{Merchant: merchant, Connection: connection, Since: begins}}
	}
	return process.NewReconciler(w.process, process.Lists{
		Connections: func(context.Context) ([]process.Ref, error) { return refs, nil },
		Cursors:     w.work,
		Save: func(ctx context.Context, conn gateway.Connection, m gateway.Message) error {
			_, _, err := w.work.SaveWebhook(ctx, work.Webhook{
				Merchant: conn.Merchant, Connection: conn.ID, Gateway: conn.Gateway, MessageID: m.ID, Body: m.Body,
				ReceivedAt: w.clock.Now(), Fetched: true,
			})
			return err
		},
	})
}

// cursor is how far the world's connection was read.
func (w *world) cursor() work.ListCursor {
	w.t.Helper()
	all, err := w.work.ListCursors(w.t.Context())
	w.ok(err)
	if len(all) != 1 {
		w.t.Fatalf("%d cursors, want one", len(all))
	}
	return all[0]
}

// A webhook that never came is found by the list, and one that came is not read twice.
func TestLostWebhooksAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	r := w.reconciler()
	w.start("s", "tok_ok")
	w.run()
	w.tell("POST", "/faults", `{"operation": "webhook", "step": "lost", "times": 2}`)
	charge := w.book().Charges[0].ID
	w.tell("POST", "/charges/"+charge+"/disputes", `{"id": "dp1", "stage": "opened"}`)
	w.tell("POST", "/charges/"+charge+"/disputes", `{"id": "dp1", "stage": "funds_withdrawn"}`)
	w.clock.Set(begins.Add(20 * time.Minute))
	w.ok(r.Idle(t.Context()))
	w.ok(w.inbound.Idle(t.Context()))
	want := []string{"dispute_opened", "dispute_funds_withdrawn", "subscription_cancelled"}
	w.wantEvents("s", 3, want...)

	w.tell("POST", "/charges/"+charge+"/disputes", `{"id": "dp1", "stage": "closed", "outcome": "won"}`)
	w.take(w.webhook(`"stage":"closed"`))
	want = append(want, "dispute_closed")
	w.clock.Set(begins.Add(time.Hour))
	w.ok(r.Idle(t.Context())) // the overlap tells all of it again
	w.ok(w.inbound.Idle(t.Context()))
	w.wantEvents("s", 3, want...)
}

// While the gateway is away the cursor stands, and the pauses grow; what happened meanwhile is not lost.
func TestAGatewayThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	r := w.reconciler()
	w.ok(r.Idle(t.Context()))
	w.clock.Set(w.cursor().NextAt)
	w.ok(r.Idle(t.Context()))
	before := w.cursor()
	if before.ReadUntil != w.clock.Now() {
		t.Fatalf("read until %s, want %s", before.ReadUntil, w.clock.Now())
	}
	w.start("s", "tok_ok")
	w.run()
	w.tell("POST", "/faults", `{"operation": "webhook", "step": "lost"}`)
	w.tell("POST", "/methods/"+w.state("s").Method.Reference+"/revoke", "{}")
	w.down = true
	var pauses []time.Duration
	for range 6 {
		w.clock.Set(w.cursor().NextAt)
		w.ok(r.Idle(t.Context()))
		pauses = append(pauses, w.cursor().NextAt.Sub(w.clock.Now()))
	}
	if want := minutes(1, 2, 4, 8, 15, 15); !slices.Equal(pauses, want) {
		t.Errorf("asked again after %v, want %v", pauses, want)
	}
	if c := w.cursor(); !c.ReadUntil.Equal(before.ReadUntil) || c.Tries != 6 || c.Reason == "" {
		t.Errorf("the cursor became %+v, want that it stands", c)
	}
	w.down = false
	w.clock.Set(begins.Add(40 * 24 * time.Hour)) // longer than the overlap
	w.ok(r.Idle(t.Context()))
	w.ok(w.inbound.Idle(t.Context()))
	w.wantEvents("s", 3, "agreement_lost", "subscription_cancelled")
	if c := w.cursor(); c.Tries != 0 || c.Reason != "" || !c.ReadUntil.Equal(w.clock.Now()) {
		t.Errorf("the cursor is %+v, want that all is read", c)
	}
}

// lists is a gateway whose list does as it is told.
type lists struct {
	gateway.Notifier
	gateway.Gateway
	every time.Duration
	list  func(ctx context.Context, conn gateway.Connection, from, to time.Time) iter.Seq2[gateway.Message, error]
}

func (l lists) Traits() gateway.Traits { return gateway.Traits{ListEvery: l.every} }

func (l lists) List(ctx context.Context, conn gateway.Connection, from, to time.Time) iter.Seq2[gateway.Message, error] {
	return l.list(ctx, conn, from, to)
}

// span is what a list was asked for.
type span struct{ from, to time.Duration } // since begins

// listing is a Reconciler over gateways that do as they are told.
func (w *world) listing(l lists, refs ...process.Ref) *process.Reconciler {
	w.process.Config.Connect = func(_ context.Context, m, id string) (gateway.Connection, gateway.Gateway, error) {
		return gateway.Connection{Merchant: m, ID: id, Gateway: "lists"}, l, nil
	}
	return w.reconciler(refs...)
}

func TestWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		since time.Time
		every time.Duration
		want  []span
	}{
		"a connection of today": {begins, 0, []span{{0, 0}, {0, 15 * time.Minute}, {0, 30 * time.Minute}}},
		"an old connection":     {begins.Add(-90 * time.Hour), 0, []span{{-90 * time.Hour, 0}, {-24 * time.Hour, 15 * time.Minute}, {15*time.Minute - 24*time.Hour, 30 * time.Minute}}},
		"nobody knows how old":  {time.Time{}, 0, []span{{-24 * time.Hour, 0}, {-24 * time.Hour, 15 * time.Minute}, {15*time.Minute - 24*time.Hour, 30 * time.Minute}}},
		"asked once a day":      {begins, 24 * time.Hour, []span{{0, 0}, {0, 24 * time.Hour}, {0, 48 * time.Hour}}},
	} {
		w := newWorld(t, options{})
		var got []span
		r := w.listing(lists{every: test.every, list: func(_ context.Context, _ gateway.Connection, from, to time.Time) iter.Seq2[gateway.Message, error] {
			got = append(got, span{from.Sub(begins), to.Sub(begins)})
			return func(func(gateway.Message, error) bool) {}
		}}, process.Ref{Merchant: merchant, Connection: connection, Since: test.since})
		w.ok(r.Idle(t.Context()))
		for i := range 2 {
			every := max(test.every, 15*time.Minute)
			if at := w.cursor().NextAt; at.After(w.clock.Now().Add(every)) || !at.After(w.clock.Now()) {
				t.Errorf("%s: asked next at %s, want within %s", name, at, every)
			}
			w.clock.Set(begins.Add(time.Duration(i+1) * every))
			w.ok(r.Idle(t.Context()))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: asked for %v, want %v", name, got, test.want)
		}
	}
}

// What was kept before a list broke off counts; a message that cannot be kept is asked for again.
func TestAListThatBreaksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	at := func(n int) time.Time { return begins.Add(time.Duration(n) * time.Minute) }
	r := w.listing(lists{list: func(context.Context, gateway.Connection, time.Time, time.Time) iter.Seq2[gateway.Message, error] {
		return func(yield func(gateway.Message, error) bool) {
			_ = yield(gateway.Message{ID: "e1", Body: []byte("{}"), At: at(1)}, nil) &&
				yield(gateway.Message{ID: "e2", Body: []byte("{}"), At: at(2)}, nil) &&
				yield(gateway.Message{}, errors.New("it hung up"))
		}
	}})
	w.clock.Set(at(5))
	w.ok(r.Idle(t.Context()))
	c := w.cursor()
	if !c.ReadUntil.Equal(at(2)) || c.Tries != 1 || !strings.Contains(c.Reason, "it hung up") {
		t.Errorf("the cursor is %+v, want that it stands at the last message", c)
	}
	kept, err := w.work.PendingWebhooks(t.Context(), w.clock.Now(), 10)
	if err != nil || len(kept) != 2 {
		t.Errorf("kept %+v, %v, want both", kept, err)
	}
}

// A merchant whose gateway hangs keeps nobody else waiting, and is asked about once at a time.
func TestOneSlowGatewayDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var mu sync.Mutex
	hanging, others := 0, make(chan string, 200)
	l := lists{list: func(ctx context.Context, conn gateway.Connection, _, _ time.Time) iter.Seq2[gateway.Message, error] {
		return func(yield func(gateway.Message, error) bool) {
			if conn.Merchant != "slow" {
				others <- conn.Merchant
				return
			}
			mu.Lock()
			hanging++
			mu.Unlock()
			<-ctx.Done()
			yield(gateway.Message{}, ctx.Err())
		}
	}}
	var refs []process.Ref
	for i := range 40 {
		refs = append(refs, process.Ref{Merchant: "slow", Connection: fmt.Sprint("c", i), Since: begins})
	}
	for i := range 100 {
		refs = append(refs, process.Ref{Merchant: fmt.Sprint("m", i), Connection: "c", Since: begins})
	}
	r := w.listing(l, refs...)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for range 100 {
		select {
		case <-others:
		case <-ctx.Done():
			t.Fatal("others wait for the slow gateway")
		}
	}
	mu.Lock()
	if hanging != 1 {
		t.Errorf("%d connections of the slow merchant were asked about at once, want one", hanging)
	}
	mu.Unlock()
	stop()
	w.ok(<-ended)
}

// Run asks when the time comes and at a nudge, and stops at once.
func TestRunOfTheReconciler(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	asked := make(chan time.Time, 10)
	r := w.listing(lists{list: func(_ context.Context, _ gateway.Connection, _, to time.Time) iter.Seq2[gateway.Message, error] {
		return func(func(gateway.Message, error) bool) { asked <- to }
	}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if got := <-asked; !got.Equal(begins) {
		t.Errorf("first asked at %s, want at once", got)
	}
	r.Nudge()
	w.clock.Set(begins.Add(15 * time.Minute))
	if got := <-asked; !got.Equal(w.clock.Now()) {
		t.Errorf("then asked at %s, want %s", got, w.clock.Now())
	}
	stop()
	w.ok(<-ended)
}

// Old messages that are none of ours are forgotten once a day; that they came is not.
func TestUnmatchedAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	r := w.reconciler()
	w.ok(r.Idle(t.Context()))
	id, _, err := w.work.SaveWebhook(t.Context(), work.Webhook{
		Merchant: merchant, Connection: connection, Gateway: "sandbox", MessageID: "evt_x", ReceivedAt: begins,
		Body: []byte(`{"id":"evt_x","type":"charge.updated","account":"acme.main","subscription":"nobody","key":"k"}`),
	})
	w.ok(err)
	w.ok(w.inbound.Idle(t.Context()))
	unmatched := func() int {
		list, err := w.work.ListWebhooks(t.Context(), work.WebhookFilter{State: work.WebhookUnmatched}, nil, 10)
		w.ok(err)
		return len(list)
	}
	for _, step := range []struct {
		days, want int
	}{{0, 1}, {30, 1}, {31, 0}} {
		w.clock.Set(begins.Add(time.Duration(step.days) * 24 * time.Hour))
		w.ok(r.Idle(t.Context()))
		if got := unmatched(); got != step.want {
			t.Errorf("after %d days %d are listed, want %d", step.days, got, step.want)
		}
	}
	if known, err := w.work.WebhookKnown(t.Context(), merchant, connection, "evt_x"); !known || err != nil || id == 0 {
		t.Errorf("the message is forgotten (%v), want it known for ever", err)
	}
}
