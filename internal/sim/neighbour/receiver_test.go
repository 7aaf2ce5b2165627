package neighbour_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// receivers reports whether a fault is one of theirs.
func receivers(fault string) bool { return strings.HasPrefix(fault, "receiver.") }

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of twenty-four b"))

type receiversWorld struct {
	*neighbour.Receivers
	t    *testing.T
	hits []string
}

func newReceivers(t *testing.T, m neighbour.ReceiverMischief, seed uint64) *receiversWorld {
	w := &receiversWorld{t: t}
	w.Receivers = neighbour.NewReceivers(neighbour.ReceiversConfig{
		Now: func() time.Time { return start }, Random: rand.New(rand.NewPCG(seed, 0)), Mischief: m,
		Hit: func(fault string) { w.hits = append(w.hits, fault) },
	})
	if err := w.Expect("acme", "shop", secret); err != nil {
		t.Fatal(err)
	}
	return w
}

// post sends a notification as the ledger does, signed by the library that the ledger signs with.
func (w *receiversWorld) post(url, id, secret string) (*http.Response, error) {
	w.t.Helper()
	const body = "action=rebill"
	signer, err := webhooks.NewWebhook(secret)
	if err != nil {
		w.t.Fatal(err)
	}
	signature, err := signer.Sign(id, start, []byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set(webhooks.HeaderWebhookID, id)
	req.Header.Set(webhooks.HeaderWebhookTimestamp, strconv.FormatInt(start.Unix(), 10))
	req.Header.Set(webhooks.HeaderWebhookSignature, signature)
	client := &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client.Do(req)
}

func TestReceivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		mischief neighbour.ReceiverMischief
		status   int // 0 for an error
		arrived  bool
		acks     bool
		fault    string
		err      error
	}{
		{name: "good", status: 200, arrived: true, acks: true},
		{name: "error", mischief: neighbour.ReceiverMischief{Error: 1}, status: 500, arrived: true, fault: neighbour.ReceiverError},
		{name: "not found", mischief: neighbour.ReceiverMischief{NotFound: 1}, status: 404, arrived: true, fault: neighbour.ReceiverNotFound},
		{name: "gone", mischief: neighbour.ReceiverMischief{Gone: 1}, status: 410, arrived: true, fault: neighbour.ReceiverGone},
		{name: "huge", mischief: neighbour.ReceiverMischief{Huge: 1}, status: 200, arrived: true, acks: true, fault: neighbour.ReceiverHuge},
		{name: "time-out, unheard", mischief: neighbour.ReceiverMischief{TimeoutUnheard: 1}, fault: neighbour.ReceiverTimeoutUnheard, err: context.DeadlineExceeded},
		{name: "time-out, heard", mischief: neighbour.ReceiverMischief{TimeoutHeard: 1}, arrived: true, fault: neighbour.ReceiverTimeoutHeard, err: context.DeadlineExceeded},
		{name: "reset, heard", mischief: neighbour.ReceiverMischief{ResetHeard: 1}, arrived: true, acks: true, fault: neighbour.ReceiverResetHeard, err: syscall.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newReceivers(t, c.mischief, 1)
			res, err := w.post(neighbour.URL("acme", "shop"), "d1", secret)
			if !errors.Is(err, c.err) || err == nil && res.StatusCode != c.status {
				t.Fatalf("got %v, %v", res, err)
			}
			if err == nil {
				body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
				if err != nil || len(body) == 1<<20 != (c.name == "huge") {
					t.Errorf("got a body of %d bytes, %v", len(body), err)
				}
			}
			want := []invariant.Receipt{{Merchant: "acme", Endpoint: "shop", WebhookID: "d1", Body: "action=rebill", At: start, Genuine: true, Acknowledged: c.acks}}
			if !c.arrived {
				want = nil
			}
			if d := cmp.Diff(want, w.Receipts()); d != "" {
				t.Errorf("receipts (-want +got):\n%s", d)
			}
			if c.fault != "" && (len(w.hits) != 1 || w.hits[0] != c.fault) {
				t.Errorf("got the faults %q, want %s", w.hits, c.fault)
			}
			w.Heal()
			if res, err := w.post(neighbour.URL("acme", "shop"), "d2", secret); err != nil || res.StatusCode != 200 {
				t.Errorf("after Heal: %v, %v", res, err)
			}
		})
	}
}

// What receivers say of when to come again, and where, is sane and senseless.
func TestThrottledAndRedirected(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	for seed := range uint64(60) {
		w := newReceivers(t, neighbour.ReceiverMischief{Throttled: 1}, seed)
		res, err := w.post(neighbour.URL("acme", "shop"), "d1", secret)
		if err != nil || res.StatusCode != 429 && res.StatusCode != 503 {
			t.Fatalf("got %v, %v", res, err)
		}
		said[res.Header.Get("Retry-After")] = true
		said[res.Status] = true
		w = newReceivers(t, neighbour.ReceiverMischief{Redirect: 1}, seed)
		res, err = w.post(neighbour.URL("acme", "shop"), "d1", secret)
		if err != nil || res.Header.Get("Location") == "" {
			t.Fatalf("got %v, %v", res, err)
		}
		said[res.Status] = true
	}
	for _, want := range []string{"120", "-5", "soon", "99999999999999999999", start.Add(10 * time.Minute).Format(http.TimeFormat),
		"429 Too Many Requests", "503 Service Unavailable", "301 Moved Permanently", "307 Temporary Redirect"} {
		if !said[want] {
			t.Errorf("nobody ever said %q", want)
		}
	}
}

// An endpoint that is gone stays gone; the others are as they were.
func TestGone(t *testing.T) {
	t.Parallel()
	w := newReceivers(t, neighbour.ReceiverMischief{Gone: 1}, 1)
	w.Mischief = neighbour.ReceiverMischief{}
	if err := w.Expect("acme", "other", secret); err != nil {
		t.Fatal(err)
	}
	for endpoint, status := range map[string]int{"shop": 410, "other": 200} {
		if res, err := w.post(neighbour.URL("acme", endpoint), "d", secret); err != nil || res.StatusCode != status {
			t.Errorf("%s: got %v, %v, want %d", endpoint, res, err, status)
		}
	}
}

func TestWhoMaySend(t *testing.T) {
	t.Parallel()
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another of twenty-four by"))
	w := newReceivers(t, neighbour.ReceiverMischief{}, 1)
	res, err := w.post(neighbour.URL("acme", "shop"), "d1", other)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("another secret: %v, %v", res, err)
	}
	if got := w.Receipts(); len(got) != 1 || got[0].Genuine || got[0].Acknowledged {
		t.Errorf("got the receipts %+v, want one that is not genuine", got)
	}
	if err := w.Expect("acme", "shop", other); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{other, secret} {
		if res, err := w.post(neighbour.URL("acme", "shop"), "d2", s); err != nil || res.StatusCode != 200 {
			t.Errorf("after a rotation: %v, %v", res, err)
		}
	}
	var dns *net.DNSError
	if _, err := w.post("https://nobody.example/shop", "d3", secret); !errors.As(err, &dns) {
		t.Errorf("an unknown host: %v", err)
	}
	if err := w.Expect("acme", "shop", "whsec_!"); err == nil {
		t.Error("a secret that is none is taken")
	}
}

// The same seed and the same notifications give the same answers and receipts.
func TestReceiversSameSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (said []string, receipts []invariant.Receipt, hits []string) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newReceivers(t, neighbour.DrawReceiverMischief(random), seed)
		for i := range 40 {
			res, err := w.post(neighbour.URL("acme", "shop"), "d"+strconv.Itoa(i), secret)
			if err != nil {
				said = append(said, err.Error())
				continue
			}
			said = append(said, res.Status+res.Header.Get("Retry-After"))
		}
		return said, w.Receipts(), w.hits
	}
	seen := map[string]bool{}
	for seed := range uint64(40) {
		said, receipts, hits := run(seed)
		saidAgain, receiptsAgain, hitsAgain := run(seed)
		if d := cmp.Diff([]any{said, receipts, hits}, []any{saidAgain, receiptsAgain, hitsAgain}); d != "" {
			t.Fatalf("seed %d (-once +again):\n%s", seed, d)
		}
		for _, h := range hits {
			seen[h] = true
		}
	}
	for _, f := range neighbour.Faults() {
		if receivers(f) && !seen[f] {
			t.Errorf("%s never happened", f)
		}
	}
}
