package work_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/work"
)

func TestListCursors(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	b := work.ListCursor{Merchant: "acme", Connection: "b", ReadUntil: noon, NextAt: noon.Add(time.Minute)}
	a := work.ListCursor{Merchant: "acme", Connection: "a", ReadUntil: noon, NextAt: noon, Tries: 2, Reason: "away"}
	check(t, w.SaveListCursor(t.Context(), b))
	check(t, w.SaveListCursor(t.Context(), a))
	back := a
	back.ReadUntil, back.Tries, back.Reason = noon.Add(-time.Hour), 3, "still away"
	check(t, w.SaveListCursor(t.Context(), back))
	back.ReadUntil = noon // what was read stays read
	got, err := w.ListCursors(t.Context())
	if d := cmp.Diff([]work.ListCursor{back, b}, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// A message that was fetched and one that was sent are one, however they are written.
func TestFetchedAndSentAreOne(t *testing.T) {
	t.Parallel()
	for name, fetchedFirst := range map[string]bool{"fetched first": true, "sent first": false} {
		w := newWork(t)
		sent := work.Webhook{Merchant: "acme", Connection: "main", MessageID: "m1", ReceivedAt: noon, Body: []byte("{ }")}
		other := sent
		other.Body, other.Fetched = []byte("{}"), true
		if fetchedFirst {
			sent, other = other, sent
		}
		id, fresh, err := w.SaveWebhook(t.Context(), sent)
		if err != nil || !fresh {
			t.Fatalf("%s: %v, fresh %t", name, err, fresh)
		}
		again, fresh, err := w.SaveWebhook(t.Context(), other)
		if err != nil || fresh || again != id {
			t.Errorf("%s: the second is %d, fresh %t, %v; want the first, %d", name, again, fresh, err, id)
		}
		if known, err := w.WebhookKnown(t.Context(), "acme", "main", "m1"); err != nil || !known {
			t.Errorf("%s: known %t, %v", name, known, err)
		}
		if known, err := w.WebhookKnown(t.Context(), "acme", "other", "m1"); err != nil || known {
			t.Errorf("%s: of another connection: known %t, %v", name, known, err)
		}
	}
}

func TestListWebhooks(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	// 1 waits, 2 is set aside, 3 is unmatched, 4 is done, 5 waits for its second try.
	for i := range 5 {
		connection := []string{"a", "b"}[i%2]
		id, _, err := w.SaveWebhook(t.Context(), work.Webhook{
			Merchant: "acme", Connection: connection, Gateway: "g", MessageID: fmt.Sprint("m", i+1), ReceivedAt: noon, Body: []byte("{}"),
		})
		if err != nil || id != int64(i+1) {
			t.Fatal(id, err)
		}
	}
	check(t, w.WebhookSetAside(t.Context(), 2, "no place"))
	check(t, w.WebhookUnmatched(t.Context(), 3, "nothing of ours", noon))
	check(t, w.WebhookDone(t.Context(), 4))
	check(t, w.WebhookUnmatched(t.Context(), 4, "nothing of ours", noon)) // too late
	check(t, w.WebhookFailed(t.Context(), 5, "not yet", noon.Add(time.Hour)))

	two := int64(2)
	for name, c := range map[string]struct {
		filter work.WebhookFilter
		behind *int64
		limit  int
		want   []string
	}{
		"all":           {limit: 9, want: []string{"1 waiting ", "2 set_aside no place", "3 unmatched nothing of ours", "5 waiting not yet"}},
		"a page":        {limit: 2, want: []string{"1 waiting ", "2 set_aside no place"}},
		"the next page": {behind: &two, limit: 9, want: []string{"3 unmatched nothing of ours", "5 waiting not yet"}},
		"set aside":     {filter: work.WebhookFilter{State: work.WebhookAside}, limit: 9, want: []string{"2 set_aside no place"}},
		"unmatched":     {filter: work.WebhookFilter{State: work.WebhookUnmatched}, limit: 9, want: []string{"3 unmatched nothing of ours"}},
		"waiting":       {filter: work.WebhookFilter{State: work.WebhookWaiting}, limit: 1, want: []string{"1 waiting "}},
		"of one":        {filter: work.WebhookFilter{Merchant: "acme", Connection: "b"}, limit: 9, want: []string{"2 set_aside no place"}},
		"of a stranger": {filter: work.WebhookFilter{Merchant: "else"}, limit: 9},
	} {
		var got []string
		list, err := w.ListWebhooks(t.Context(), c.filter, c.behind, c.limit)
		for _, l := range list {
			got = append(got, fmt.Sprintf("%d %s %s", l.ID, l.State, l.Reason))
		}
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, d)
		}
	}
}

func TestRetryWebhook(t *testing.T) {
	t.Parallel()
	w := newWork(t)
	for i := range 3 {
		_, _, err := w.SaveWebhook(t.Context(), work.Webhook{MessageID: fmt.Sprint(i), ReceivedAt: noon, Body: []byte("{}")})
		check(t, err)
	}
	check(t, w.WebhookSetAside(t.Context(), 1, "no place"))
	check(t, w.WebhookUnmatched(t.Context(), 2, "nothing of ours", noon))
	check(t, w.WebhookDone(t.Context(), 3))
	later := noon.Add(time.Hour)
	check(t, w.RetryWebhook(t.Context(), 1, later))
	check(t, w.RetryWebhook(t.Context(), 2, later))
	for _, id := range []int64{3, 4} {
		if err := w.RetryWebhook(t.Context(), id, later); !errors.Is(err, work.ErrWebhookDone) {
			t.Errorf("webhook %d: %v, want ErrWebhookDone", id, err)
		}
	}
	pending, err := w.PendingWebhooks(t.Context(), later, 9)
	if err != nil || len(pending) != 2 || pending[0].Tries != 0 || string(pending[1].Body) != "{}" {
		t.Errorf("%+v, %v; want both, as if they had just come", pending, err)
	}
	// One that is tried again is not dropped with those that were unmatched then.
	if n, err := w.DropUnmatched(t.Context(), later); n != 0 || err != nil {
		t.Errorf("dropped %d, %v; want none", n, err)
	}
}
