package rpc_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/adapters/work"
)

const hookPath = "/webhooks/sandbox/acme/main"

func (w *world) hook(verb, path, signature, body string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), verb, w.http.URL+path, strings.NewReader(body))
	w.ok(err)
	req.Header.Set("X-Signature", signature)
	req.Header.Set("Authorization", "Bearer hush")
	return w.send(req)
}

func TestWebhookIsKeptBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const body = `{"ID":"evt_1", "Kind":1,  "Key":"k"}`
	for range 2 { // a redelivery changes nothing
		if got := w.hook("POST", hookPath, webhookSecret, body); got.status != 200 {
			t.Fatalf("got %d, want 200", got.status)
		}
	}
	kept, err := w.store.PendingWebhooks(t.Context(), start, 10)
	w.ok(err)
	if len(kept) != 1 {
		t.Fatalf("%d webhooks are kept, want 1", len(kept))
	}
	k := kept[0]
	if string(k.Body) != body || k.MessageID != "evt_1" || k.Merchant != "acme" || k.Connection != "main" || k.Gateway != "sandbox" || !k.ReceivedAt.Equal(start) {
		t.Errorf("kept %+v, want the body byte by byte, evt_1 of acme's main", k)
	}
	if k.Header.Get("X-Signature") != webhookSecret || k.Header.Get("Authorization") != "" {
		t.Errorf("kept headers %v, want the signature and no credentials", k.Header)
	}
	// Another body under the same id: the first one counts, and somebody is told.
	if got := w.hook("POST", hookPath, webhookSecret, `{"ID":"evt_1","Kind":2}`); got.status != 200 {
		t.Errorf("the same id with another body: got %d, want 200", got.status)
	}
	if !strings.Contains(w.logged.String(), "another body") {
		t.Error("nobody is told of the other body")
	}
}

func TestWebhooksThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		verb, path, signature, body string
		want                        int
	}{
		"bad signature":     {"POST", hookPath, "wrong", `{"ID":"1"}`, 401},
		"no signature":      {"POST", hookPath, "", `{"ID":"1"}`, 401},
		"other merchant":    {"POST", "/webhooks/sandbox/other/main", webhookSecret, `{"ID":"1"}`, 404},
		"other connection":  {"POST", "/webhooks/sandbox/acme/other", webhookSecret, `{"ID":"1"}`, 404},
		"other gateway":     {"POST", "/webhooks/stripe/acme/main", webhookSecret, `{"ID":"1"}`, 404},
		"id that is none":   {"POST", "/webhooks/sandbox/acme/$all", webhookSecret, `{"ID":"1"}`, 404},
		"short path":        {"POST", "/webhooks/sandbox", webhookSecret, `{"ID":"1"}`, 404},
		"GET":               {"GET", hookPath, webhookSecret, ``, 405},
		"PUT":               {"PUT", hookPath, webhookSecret, `{"ID":"1"}`, 405},
		"HEAD":              {"HEAD", hookPath, webhookSecret, ``, 405},
		"DELETE":            {"DELETE", hookPath, webhookSecret, ``, 405},
		"id of a card":      {"POST", "/webhooks/sandbox/acme/" + pan, webhookSecret, `{"ID":"1"}`, 404},
		"longer path":       {"POST", hookPath + "/more", webhookSecret, `{"ID":"1"}`, 404},
		"not parsed":        {"POST", hookPath, "wrong", `{"ID":`, 401},
		"a tower, unsigned": {"POST", hookPath, "", strings.Repeat("[", 1<<20), 401},
		"more than a MiB":   {"POST", hookPath, webhookSecret, strings.Repeat("x", 1<<20+1), 413},
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.hook(c.verb, c.path, c.signature, c.body); got.status != c.want {
				t.Errorf("got %d, want %d", got.status, c.want)
			}
		})
	}
	kept, err := w.store.PendingWebhooks(t.Context(), start, 10)
	w.ok(err)
	if len(kept) != 0 {
		t.Errorf("kept %v, want nothing", kept)
	}
}

// TestWebhooksThatCannotBeRead: what is authentic is kept and acknowledged, whatever it says; the gateway would send the
// same again for days. The last two are no JSON at all.
func TestWebhooksThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := []string{
		`{"ID":`, strings.Repeat("[", 1<<20), `{"ID":"1","Kind":NaN}`, `{"ID":7}`, "",
		`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`, "\xff\xfe",
	}
	for range 2 { // a redelivery changes nothing
		for _, body := range bodies {
			if got := w.hook("POST", hookPath, webhookSecret, body); got.status != 200 {
				t.Errorf("%.20q: got %d, want 200", body, got.status)
			}
		}
	}
	kept, err := w.store.PendingWebhooks(t.Context(), start, 100)
	w.ok(err)
	got := []string{}
	for _, k := range kept {
		got = append(got, string(k.Body))
	}
	if diff := cmp.Diff(bodies, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func TestWebhookThatCannotBeKeptIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rpc.Config) {
		c.SaveWebhook = func(context.Context, work.Webhook) (int64, bool, error) { return 0, false, errors.New("disk full") }
	})
	got := w.hook("POST", hookPath, webhookSecret, `{"ID":"evt_1"}`)
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q; want 503 and when to try again", got.status, got.header.Get("Retry-After"))
	}
}

func TestCardNumbersInWebhooksAreBlottedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id, c := range map[string]struct{ body, want string }{
		"plain":      {`{"ID":"plain","Code":"4242424242424242"}`, `{"ID":"plain","Code":"************4242"}`},
		"dashes":     {`{"ID":"dashes","Code":"4242-4242-4242-4242"}`, `{"ID":"dashes","Code":"****-****-****-4242"}`},
		"full width": {`{"ID":"full width","Code":"４２４２４２４２４２４２４２４２"}`, `{"ID":"full width","Code":"************４２４２"}`},
		"no card":    {`{"ID":"no card","Code":"4242424242424241"}`, `{"ID":"no card","Code":"4242424242424241"}`},
		"no JSON":    {`no JSON: 4242 4242 4242 4242`, `no JSON: **** **** **** 4242`},
		"as its id":  {`{"ID":"` + pan + `","Code":"as its id"}`, `{"ID":"************4242","Code":"as its id"}`},
	} {
		if got := w.hook("POST", hookPath, webhookSecret, c.body); got.status != 200 {
			t.Errorf("%s: got %d, want 200", id, got.status)
		}
		kept, err := w.store.PendingWebhooks(t.Context(), start.Add(time.Second), 10)
		w.ok(err)
		about := slices.DeleteFunc(kept, func(k work.Webhook) bool { return !strings.Contains(string(k.Body), id) })
		if len(about) != 1 || string(about[0].Body) != c.want || strings.Contains(about[0].MessageID, pan) {
			t.Errorf("%s: kept %+v, want one with %s", id, about, c.want)
		}
	}
	if strings.Contains(w.logged.String(), "42424242") {
		t.Errorf("the log has a card number:\n%s", w.logged)
	}
}
