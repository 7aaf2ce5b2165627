package work_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, path string) *work.Work {
	t.Helper()
	w, err := work.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func newWork(t *testing.T) *work.Work { return open(t, filepath.Join(t.TempDir(), "work.db")) }

func seat(t *testing.T, w *work.Work, follower string) (s projection.Seat) {
	t.Helper()
	err := w.Update(t.Context(), func(tx projection.Tx) (err error) {
		s, _, _, err = projection.TakeSeat(tx, follower, 1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantAt(t *testing.T, next func(context.Context) (time.Time, bool, error), want time.Time) {
	t.Helper()
	got, ok, err := next(t.Context())
	if err != nil || ok == want.IsZero() || !got.Equal(want) {
		t.Errorf("next at %v, %t, %v; want %v", got, ok, err, want)
	}
}

func TestParks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "work.db")
	w := open(t, path)
	charge, refund := seat(t, w, "charge"), seat(t, w, "refund")
	wantAt(t, w.NextParkAt, time.Time{})
	a := work.Park{Follower: "charge", Stream: "s-a", From: 3, Reason: "no", Tries: 1, ParkedAt: noon, RetryAt: noon.Add(time.Minute)}
	b := work.Park{Follower: "charge", Stream: "s-b", From: 0, Reason: "no", Tries: 1, ParkedAt: noon, RetryAt: noon.Add(time.Second)}
	c := work.Park{Follower: "refund", Stream: "s-a", From: 7, Reason: "no", Tries: 2, ParkedAt: noon, RetryAt: noon.Add(time.Hour)}
	check(t, w.Park(t.Context(), charge, a))
	check(t, w.Park(t.Context(), charge, b))
	check(t, w.Park(t.Context(), refund, c))
	a.From, a.Tries, a.Reason = 5, 4, "still no"
	check(t, w.Park(t.Context(), charge, a))

	for name, l := range map[string]struct {
		list func() ([]work.Park, error)
		want []work.Park
	}{
		"all":         {func() ([]work.Park, error) { return w.ListParks(t.Context(), nil, 10) }, []work.Park{a, b, c}},
		"first page":  {func() ([]work.Park, error) { return w.ListParks(t.Context(), nil, 2) }, []work.Park{a, b}},
		"second page": {func() ([]work.Park, error) { k := b.Key(); return w.ListParks(t.Context(), &k, 2) }, []work.Park{c}},
		"of one":      {func() ([]work.Park, error) { return w.ParksOf(t.Context(), "charge") }, []work.Park{a, b}},
		"due":         {func() ([]work.Park, error) { return w.DueParks(t.Context(), noon.Add(time.Minute), 10) }, []work.Park{b, a}},
		"most due":    {func() ([]work.Park, error) { return w.DueParks(t.Context(), noon.Add(time.Hour), 1) }, []work.Park{b}},
		"none due":    {func() ([]work.Park, error) { return w.DueParks(t.Context(), noon, 10) }, nil},
	} {
		got, err := l.list()
		if diff := cmp.Diff(l.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	wantAt(t, w.NextParkAt, b.RetryAt)
	check(t, w.ClearPark(t.Context(), charge, b.Key()))
	wantAt(t, w.NextParkAt, a.RetryAt)
}

func TestParkIsFenced(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	old := seat(t, w, "charge")
	now := seat(t, w, "charge")
	p := work.Park{Follower: "charge", Stream: "s-a", ParkedAt: noon, RetryAt: noon}
	if err := w.Park(t.Context(), old, p); !errors.Is(err, projection.ErrFenced) {
		t.Errorf("park from an old seat: %v, want %v", err, projection.ErrFenced)
	}
	p.Reason = strings.Repeat("é", 4000)
	check(t, w.Park(t.Context(), now, p))
	if err := w.ClearPark(t.Context(), old, p.Key()); !errors.Is(err, projection.ErrFenced) {
		t.Errorf("clear from an old seat: %v, want %v", err, projection.ErrFenced)
	}
	got, err := w.ParksOf(t.Context(), "charge")
	if err != nil || len(got) != 1 || got[0].Reason != strings.Repeat("é", 2000) {
		t.Errorf("parks %d, %v; want one with a shortened reason", len(got), err)
	}
}

func webhook() work.Webhook {
	return work.Webhook{
		Merchant: "m", Connection: "c", Gateway: "stripe", MessageID: "evt_1", ReceivedAt: noon,
		Header: http.Header{"Stripe-Signature": {"t=1"}}, Body: []byte("{\"a\":\x00}"),
	}
}

func TestFirstWebhookWins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "work.db")
	w := open(t, path)
	first, fresh, err := w.SaveWebhook(t.Context(), webhook())
	if err != nil || !fresh {
		t.Fatalf("first: fresh %t, %v", fresh, err)
	}
	again := webhook()
	again.ReceivedAt = noon.Add(time.Hour)
	if id, fresh, err := w.SaveWebhook(t.Context(), again); id != first || fresh || err != nil {
		t.Errorf("again: %d, fresh %t, %v; want %d, not fresh", id, fresh, err, first)
	}
	again.Body = []byte("{}")
	if id, fresh, err := w.SaveWebhook(t.Context(), again); id != first || fresh || !errors.Is(err, work.ErrWebhookDiffers) {
		t.Errorf("another body: %d, fresh %t, %v; want %d and %v", id, fresh, err, first, work.ErrWebhookDiffers)
	}
	for _, other := range []func(*work.Webhook){
		func(h *work.Webhook) { h.Merchant = "m2" },
		func(h *work.Webhook) { h.Connection = "c2" },
		func(h *work.Webhook) { h.MessageID = "evt_2"; h.Body, h.Header = nil, nil },
	} {
		h := webhook()
		other(&h)
		if id, fresh, err := w.SaveWebhook(t.Context(), h); id == first || !fresh || err != nil {
			t.Errorf("another message %+v: %d, fresh %t, %v", h, id, fresh, err)
		}
	}
	check(t, w.Close())

	w = open(t, path)
	got, err := w.PendingWebhooks(t.Context(), noon, 1)
	want := webhook()
	want.ID = first
	if diff := cmp.Diff([]work.Webhook{want}, got); err != nil || diff != "" {
		t.Errorf("pending: %v (-want +got):\n%s", err, diff)
	}
}

func TestWebhookUntilDone(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	wantAt(t, w.NextWebhookAt, time.Time{})
	id, _, err := w.SaveWebhook(t.Context(), webhook())
	check(t, err)
	wantAt(t, w.NextWebhookAt, noon)
	check(t, w.WebhookFailed(t.Context(), id, "no such charge", noon.Add(time.Minute)))
	wantAt(t, w.NextWebhookAt, noon.Add(time.Minute))
	if got, err := w.PendingWebhooks(t.Context(), noon, 10); err != nil || len(got) != 0 {
		t.Errorf("pending too early: %+v, %v", got, err)
	}
	got, err := w.PendingWebhooks(t.Context(), noon.Add(time.Minute), 10)
	if err != nil || len(got) != 1 || got[0].Tries != 1 || got[0].Reason != "no such charge" {
		t.Errorf("pending: %+v, %v; want one after one try", got, err)
	}
	check(t, w.WebhookDone(t.Context(), id))
	check(t, w.WebhookFailed(t.Context(), id, "too late", noon))
	wantAt(t, w.NextWebhookAt, time.Time{})
	if again, fresh, err := w.SaveWebhook(t.Context(), webhook()); again != id || fresh || err != nil {
		t.Errorf("redelivered after it is done: %d, fresh %t, %v", again, fresh, err)
	}
	var body []byte
	check(t, w.QueryRow(t.Context(), `SELECT body FROM webhooks WHERE id = $1`, id).Scan(&body))
	if len(body) != 0 {
		t.Errorf("body %q is kept, want none", body)
	}
	if err := w.WebhookDone(t.Context(), 999); !errors.Is(err, projection.ErrNoRows) {
		t.Errorf("done with what is not there: %v, want %v", err, projection.ErrNoRows)
	}
}

// A webhook that is set aside is not tried again, and is there whole for whoever looks into it.
func TestWebhookSetAside(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	id, _, err := w.SaveWebhook(t.Context(), webhook())
	check(t, err)
	check(t, w.WebhookSetAside(t.Context(), id, "nobody can place it"))
	wantAt(t, w.NextWebhookAt, time.Time{})
	if again, fresh, err := w.SaveWebhook(t.Context(), webhook()); again != id || fresh || err != nil {
		t.Errorf("redelivered: %d, fresh %t, %v; want it known", again, fresh, err)
	}
	kept := func() (reason string, body []byte) {
		check(t, w.QueryRow(t.Context(), `SELECT reason, body FROM webhooks WHERE id = $1`, id).Scan(&reason, &body))
		return reason, body
	}
	if reason, body := kept(); reason != "nobody can place it" || string(body) != string(webhook().Body) {
		t.Errorf("kept %q and %q, want the reason and %q", reason, body, webhook().Body)
	}
	check(t, w.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(`UPDATE webhooks SET retry_at = received_at, tries = 0 WHERE id = $1`, id)
		return err
	}))
	if got, err := w.PendingWebhooks(t.Context(), noon, 10); err != nil || len(got) != 1 || got[0].Tries != 0 {
		t.Errorf("pending: %+v, %v; want it again", got, err)
	}
	check(t, w.WebhookDone(t.Context(), id))
	check(t, w.WebhookSetAside(t.Context(), id, "too late"))
	if reason, body := kept(); reason != "" || len(body) != 0 {
		t.Errorf("kept %q and %q of one that is done, want nothing", reason, body)
	}
}

// What is made from the log is made again from its beginning. What gateways have sent stands nowhere else.
func TestStartOver(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	charge := seat(t, w, "charge")
	at := projection.Saved{Cursor: event.Cursor{Position: event.Position{Commit: 7, Prepare: 7}}}
	check(t, w.Update(t.Context(), func(tx projection.Tx) error { return charge.Save(tx, at) }))
	check(t, w.Park(t.Context(), charge, work.Park{Follower: "charge", Stream: "s-a", ParkedAt: noon, RetryAt: noon}))
	_, _, err := w.SaveWebhook(t.Context(), work.Webhook{Merchant: "m", Connection: "c", MessageID: "1", ReceivedAt: noon, Body: []byte("dispute")})
	check(t, err)

	check(t, w.StartOver(t.Context()))
	check(t, w.Update(t.Context(), func(tx projection.Tx) error {
		_, saved, fresh, err := projection.TakeSeat(tx, "charge", 1)
		if !fresh || saved != (projection.Saved{}) {
			t.Errorf("the follower goes on at %v, want it at the beginning", saved)
		}
		return err
	}))
	if parks, err := w.ParksOf(t.Context(), "charge"); err != nil || len(parks) > 0 {
		t.Errorf("parks %v, %v; want none", parks, err)
	}
	kept, err := w.PendingWebhooks(t.Context(), noon, 10)
	if err != nil || len(kept) != 1 || string(kept[0].Body) != "dispute" {
		t.Errorf("messages %v, %v; want the one that was not read", kept, err)
	}
}

func TestTimers(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	set := func(stream string, due time.Time) {
		t.Helper()
		check(t, w.Update(t.Context(), func(tx projection.Tx) error {
			_, err := tx.Exec(`INSERT INTO timers (stream, due_at) VALUES ($1, $2)`, stream, due.UnixMicro())
			return err
		}))
	}
	check(t, w.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(projection.Timers().Schema)
		return err
	}))
	wantAt(t, w.NextTimerAt, time.Time{})
	set("s-late", noon.Add(time.Hour))
	set("s-a", noon)
	set("s-b", noon.Add(-time.Microsecond))
	wantAt(t, w.NextTimerAt, noon.Add(-time.Microsecond))
	due := func(now time.Time, limit int, want ...work.Timer) {
		t.Helper()
		got, err := w.DueTimers(t.Context(), now, limit)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("due at %v: %v (-want +got):\n%s", now, err, diff)
		}
	}
	a, b := work.Timer{Stream: "s-a", Due: noon}, work.Timer{Stream: "s-b", Due: noon.Add(-time.Microsecond)}
	due(noon, 10, b, a)
	due(noon, 1, b)
	due(noon.Add(-time.Second), 10)

	check(t, w.MoveTimer(t.Context(), "s-b", noon, time.Time{})) // it says something else by now
	due(noon, 10, b, a)
	check(t, w.MoveTimer(t.Context(), "s-b", b.Due, time.Time{}))
	due(noon, 10, a)
	check(t, w.MoveTimer(t.Context(), "s-a", b.Due, noon.Add(time.Minute)))
	due(noon, 10, a)
	check(t, w.MoveTimer(t.Context(), "s-a", noon, noon.Add(time.Minute)))
	due(noon, 10)
	wantAt(t, w.NextTimerAt, noon.Add(time.Minute))
}

func TestSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "work.db")
	secret := func(name string) string {
		t.Helper()
		w, err := work.Open(path)
		check(t, err)
		s, err := w.Secret(t.Context(), name)
		check(t, errors.Join(err, w.StartOver(t.Context()), w.Close()))
		return string(s)
	}
	first := secret("return")
	if len(first) != 32 || secret("return") != first {
		t.Error("the secret is not 32 bytes that stay")
	}
	if secret("other") == first {
		t.Error("two names have the same secret")
	}
}
