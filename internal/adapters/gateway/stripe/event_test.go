package stripe_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

// listed is what the gateway lists of a time.
func (w *world) listed(t *testing.T, from, to time.Time) (list []gateway.Message) {
	t.Helper()
	for m, err := range w.gateway.List(t.Context(), w.conn, from, to) {
		must(t, err)
		list = append(list, m)
	}
	return list
}

// Every webhook is listed, under its id, and means the same.
func TestListTellsWhatWebhooksTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paid := w.paid(t, "k")
	w.clock.Set(start.Add(time.Hour))
	_, err := w.server.RefundAtDesk(paid.Reference, 700)
	must(t, err)
	w.server.Emit("customer.created", map[string]any{"id": "cus_1", "object": "customer"}) // nobody asked for it
	var webhooks []gateway.Notice
	for _, e := range w.server.Events() {
		n, err := w.gateway.Read(w.conn, e.Body)
		must(t, err)
		if slices.Contains(stripe.EventTypes(), e.Type) {
			webhooks = append(webhooks, n)
		}
	}
	var listed []gateway.Notice
	list := w.listed(t, start, w.clock.Now().Add(time.Second))
	for _, m := range list {
		n, err := w.gateway.Read(w.conn, m.Body)
		must(t, err)
		if n.ID != m.ID {
			t.Errorf("message %s reads as %s", m.ID, n.ID)
		}
		listed = append(listed, n)
	}
	equal(t, "notices", listed, webhooks)
	if first, last := list[0], list[len(list)-1]; !first.At.Equal(start) || !last.At.Equal(start.Add(time.Hour)) {
		t.Errorf("from %s to %s, want the payment first and the refund an hour later", first.At, last.At)
	}
	if got := w.listed(t, start, start.Add(time.Hour)); len(got) >= len(list) || !got[len(got)-1].At.Equal(start) {
		t.Errorf("of the first hour %d are listed, want those without the refund", len(got))
	}
	if got := w.listed(t, start, start.Add(time.Millisecond)); len(got) == 0 {
		t.Error("of a part of the first second nothing is listed, want what happened in that second")
	}
	w.clock.Set(start.Add(31 * 24 * time.Hour))
	if got := w.listed(t, start, w.clock.Now()); len(got) != 0 {
		t.Errorf("after 31 days %d are listed, want none", len(got))
	}
}

// More events than are kept in memory at once come in order, each once.
func TestListOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want, got []string
	const n = 4500
	for i := range n {
		w.clock.Set(start.Add(time.Duration(i/10) * time.Second))
		w.server.Emit("payment_intent.succeeded", map[string]any{"id": "pi_1", "object": "payment_intent"})
	}
	for _, e := range w.server.Events() {
		notice, err := w.gateway.Read(w.conn, e.Body)
		must(t, err)
		want = append(want, notice.ID)
	}
	before := len(w.server.Requests())
	for _, m := range w.listed(t, start, w.clock.Now().Add(time.Second)) {
		got = append(got, m.ID)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
	asked := w.server.Requests()[before:]
	if len(asked) > 2*n/100+20 {
		t.Errorf("%d requests for %d events", len(asked), n)
	}
	pages := map[string]int{}
	for _, r := range asked {
		span := r.Form.Get("created[gte]") + " to " + r.Form.Get("created[lt]")
		if pages[span]++; pages[span] > 20 {
			t.Fatalf("more than 20 pages from %s, want it halved", span)
		}
	}
}

func TestListThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, step := range []stripetest.Step{
		stripetest.ErrorUncharged, stripetest.Page, stripetest.Half, stripetest.RateLimited, stripetest.Unauthorized,
	} {
		w := newWorld(t)
		w.paid(t, "k")
		w.server.Spoil("/v1/events", step)
		var failed error
		for m, err := range w.gateway.List(t.Context(), w.conn, start, start.Add(time.Hour)) {
			if failed = err; err == nil {
				t.Errorf("%s: listed %s", step, m.ID)
			}
		}
		if failed == nil {
			t.Errorf("%s: no error", step)
		}
	}
}

// Whoever stops listening is told nothing more.
func TestListIsBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.paid(t, "k1")
	w.paid(t, "k2")
	n := 0
	for _, err := range w.gateway.List(t.Context(), w.conn, start, start.Add(time.Hour)) {
		must(t, err)
		n++
		break
	}
	if n != 1 {
		t.Errorf("listed %d, want one", n)
	}
}

// An event that names another account was not asked for.
func TestListOfAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := w.paidEvent(t)
	if _, err := w.gateway.Read(w.conn, body); err != nil {
		t.Fatal(err)
	}
	w.conn.Account = "acct_other"
	var failed error
	for _, err := range w.gateway.List(t.Context(), w.conn, start, start.Add(time.Hour)) {
		failed = err
	}
	if failed == nil {
		t.Error("no error")
	}
	if _, err := w.gateway.Read(w.conn, body); !errors.Is(err, stripe.ErrOtherAccount) {
		t.Errorf("read: %v, want ErrOtherAccount", err)
	}
}

func (w *world) paidEvent(t *testing.T) []byte {
	t.Helper()
	w.paid(t, "k")
	return w.server.Events()[0].Body
}
