package sandbox_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// listed is what the gateway lists of a time.
func (w *world) listed(t *testing.T, from, to time.Time) (list []gateway.Message) {
	t.Helper()
	for m, err := range w.gateway.List(t.Context(), w.conn, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

func TestListTellsWhatWebhooksTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.charge(t, "k1", "tok_pending_ok", nil)
	w.advance(t, 5*time.Minute)
	_, told := w.webhook(t)
	w.post(t, w.account()+"/faults", map[string]any{"operation": "webhook", "step": "lost"}, http.StatusOK)
	w.charge(t, "k2", "tok_pending_ok", nil)
	w.advance(t, 5*time.Minute)
	w.noMore(t) // it is lost
	w.charge(t, "k3", "tok_webhook_twice", nil)
	w.webhook(t)

	list := w.listed(t, start, w.clock.Now().Add(time.Microsecond))
	if len(list) != 3 {
		t.Fatalf("listed %d messages, want three", len(list))
	}
	if d := cmp.Diff(string(told), string(list[0].Body)); d != "" {
		t.Errorf("the body (-webhook +list):\n%s", d)
	}
	for i, key := range []string{"k1", "k2", "k3"} {
		n, err := w.gateway.Read(w.conn, list[i].Body)
		if err != nil || n.Key != key || n.ID != list[i].ID {
			t.Errorf("read %+v, %v, want message %s about %s", n, err, list[i].ID, key)
		}
	}
	if want := start.Add(5 * time.Minute); !list[0].At.Equal(want) || !list[1].At.Equal(want.Add(5*time.Minute)) {
		t.Errorf("at %s and %s, want 5 and 10 minutes after the start", list[0].At, list[1].At)
	}
	for name, got := range map[string][]gateway.Message{
		"before it": w.listed(t, start, list[0].At), "after it": w.listed(t, list[2].At.Add(time.Microsecond), w.clock.Now().Add(time.Hour)),
	} {
		if len(got) != 0 {
			t.Errorf("%s: listed %+v, want nothing", name, got)
		}
	}
	if got := w.listed(t, list[0].At, list[1].At); len(got) != 1 || got[0].ID != list[0].ID {
		t.Errorf("listed %+v, want the first alone", got)
	}
}

func TestListHasPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	const n = 205
	w.post(t, w.account()+"/faults", map[string]any{"operation": "webhook", "step": "lost", "times": -1}, http.StatusOK)
	var want, got []string
	for i := range n {
		subscription := fmt.Sprintf("s%d", i)
		w.made(t, "/payments", map[string]any{"amount": bookMoney{"USD", 1000}, "metadata": map[string]any{"subscription": subscription}})
		want = append(want, subscription)
	}
	for _, m := range w.listed(t, start, start.Add(time.Hour)) {
		notice, err := w.gateway.Read(w.conn, m.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, notice.Subscription)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
}

func TestListThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"unavailable", "html", "truncated", "500_charged"} {
		w := newWorld(t, false)
		w.post(t, w.account()+"/faults", map[string]any{"operation": "list", "step": step}, http.StatusOK)
		failed := false
		for m, err := range w.gateway.List(t.Context(), w.conn, start, start.Add(time.Hour)) {
			failed = err != nil
			if !failed {
				t.Errorf("%s: listed %+v", step, m)
			}
		}
		if !failed {
			t.Errorf("%s: no error", step)
		}
	}
	w := newWorld(t, false)
	w.post(t, w.account()+"/faults", map[string]any{"operation": "webhook", "step": "unavailable"}, http.StatusBadRequest)
}
