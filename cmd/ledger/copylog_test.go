package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/esdb"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
)

// counter is a merchant's receiver that counts what it takes, by webhook-id.
type counter struct {
	mu      sync.Mutex
	refuses bool
	taken   map[string]int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuses {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	c.taken[r.Header.Get("webhook-id")]++
}

// busy is a ledger with something left to do: notifications that were refused twice, and a webhook that nobody has read.
func busy(t *testing.T) (*distant, *counter) {
	t.Helper()
	c := &counter{refuses: true, taken: map[string]int{}}
	receiver := httptest.NewServer(c)
	t.Cleanup(receiver.Close)
	d := newDistant(t, newFarLog(), t.TempDir())
	d.cfg.Log = ""
	d.serve()
	d.await(200, "")
	if _, err := ledgerv1.NewEndpointServiceClient(d.conn()).CreateEndpoint(t.Context(), &ledgerv1.CreateEndpointRequest{
		MerchantId: firstMerchant, RequestId: "shop", EndpointId: "shop", Settings: &ledgerv1.EndpointSettings{Url: receiver.URL},
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"alpha", "beta"} {
		if status, body := d.sell(id); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	if err := d.advance(time.Minute); err != nil {
		t.Fatal(err)
	}
	d.end()
	w, err := work.Open(filepath.Join(d.cfg.DataDir, workName))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = w.SaveWebhook(t.Context(), work.Webhook{Merchant: firstMerchant, Connection: firstConnection, Gateway: "sandbox",
		MessageID: "m1", ReceivedAt: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Body: []byte("{}")})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return d, c
}

// tries are how often each notification was sent, and the webhooks that wait.
func tries(t *testing.T, dir string) (lines []string) {
	t.Helper()
	w, err := work.Open(filepath.Join(dir, workName))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rows, err := w.Query(t.Context(), `SELECT delivery_id, state, tries FROM delivery_rows UNION ALL SELECT message_id, 'webhook', tries FROM webhooks ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, state string
		var n int
		if err := rows.Scan(&id, &state, &n); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(id, " ", state, " ", n))
	}
	return lines
}

// copyLog runs copy-log with a far log behind every URL.
func (d *distant) copyLog(from, to, dataDir string) (string, error) {
	d.t.Helper()
	m, err := newMoving(from, to, dataDir)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	m.dial, m.out, m.progress, m.logger = d.log.dial, &out, io.Discard, slog.New(slog.DiscardHandler)
	err = m.run(context.Background())
	return out.String(), errors.Join(err, m.close())
}

func (d *distant) copied(from, to, dataDir string) {
	d.t.Helper()
	if out, err := d.copyLog(from, to, dataDir); err != nil {
		d.t.Fatalf("copy-log %s %s: %v, printed %q", from, to, err, out)
	}
}

// A ledger moves to a log with other positions and back, and nothing of what was left to do is lost or done twice.
func TestCopyLogThereAndBack(t *testing.T) {
	t.Parallel()
	d, c := busy(t)
	dir := d.cfg.DataDir
	before := tries(t, dir)
	d.copied(dir, farURL, "")
	d.copied(dir, farURL, "")
	if d := cmp.Diff(before, tries(t, dir)); d != "" || len(before) != 3 {
		t.Errorf("what is left to do (-before +after):\n%s", d)
	}

	d.serve()
	if err := d.refused(); err == nil || !strings.Contains(err.Error(), "LOG_ELSEWHERE") {
		t.Errorf("the log that was left can be served: %v", err)
	}
	d.end()
	d.cfg.Log = farURL
	d.verify()
	d.serve()
	d.await(200, "")
	c.mu.Lock()
	c.refuses = false
	c.mu.Unlock()
	if err := d.advance(40 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := d.orders(); got != 4 {
		t.Errorf("%d orders, want 4: two sales and two rebills", got)
	}
	d.end()
	c.mu.Lock()
	if len(c.taken) != 4 {
		t.Errorf("the merchant was told of %v, want 4 orders", c.taken)
	}
	for id, n := range c.taken {
		if n != 1 {
			t.Errorf("%s was told %d times", id, n)
		}
	}
	c.mu.Unlock()
	d.verify()

	after := tries(t, dir)
	d.copied(farURL, dir, "")
	d.cfg.Log = ""
	d.verify()
	if d := cmp.Diff(after, tries(t, dir)); d != "" {
		t.Errorf("what is left to do (-there +back):\n%s", d)
	}
	d.serve()
	d.await(200, "")
	if status, body := d.sell("gamma"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if err := d.advance(time.Hour); err != nil {
		t.Fatal(err)
	}
	d.end()
	d.verify()
}

// Under another name the same log is still the one that the stores were carried over to.
func TestCopyLogUnderAnotherName(t *testing.T) {
	t.Parallel()
	d, _ := busy(t)
	dir := d.cfg.DataDir
	d.copied(dir, farURL, "")
	d.copied(dir, "esdb://db2:2113", "")
	d.cfg.Log = farURL
	d.verify()
}

// Of a ledger on several machines each has stores of its own.
func TestCopyLogCarriesOtherStoresOver(t *testing.T) {
	t.Parallel()
	d, _ := busy(t)
	dir, second := d.cfg.DataDir, t.TempDir()
	if err := os.CopyFS(filepath.Join(second, "data"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	second = filepath.Join(second, "data")
	d.copied(dir, farURL, "")
	d.copied(dir, farURL, second)
	d.cfg.Log, d.cfg.DataDir = farURL, second
	d.verify()
	if _, err := d.copyLog(dir, farURL, lived(t)); err == nil || !strings.Contains(err.Error(), "STORE_DIVERGED") {
		t.Errorf("the stores of another ledger: got %v, want STORE_DIVERGED", err)
	}
}

// Interrupted at any append, and whatever has been done to the stores by then, it can be run again.
func TestCopyLogInterrupted(t *testing.T) {
	t.Parallel()
	d, _ := busy(t)
	dir := d.cfg.DataDir
	for at := 1; ; at++ {
		m, err := newMoving(dir, farURL, "")
		if err != nil {
			t.Fatal(err)
		}
		m.out, m.progress, m.logger = io.Discard, io.Discard, slog.New(slog.DiscardHandler)
		m.dial = func(esdb.Settings, *slog.Logger) (remoteLog, error) {
			return &interrupted{farOpened: farOpened{d.log}, at: at, made: at%2 == 0}, nil
		}
		err = errors.Join(m.run(t.Context()), m.close())
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "run it again to go on") || at > 100 {
			t.Fatal(err)
		}
	}
	d.cfg.Log = farURL
	d.verify()
}

// interrupted fails at one append, with or without having made it.
type interrupted struct {
	farOpened
	at   int
	made bool
}

func (i *interrupted) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	if i.at--; i.at != 0 {
		return i.farOpened.Append(ctx, stream, at, e...)
	}
	if i.made {
		if _, err := i.farOpened.Append(ctx, stream, at, e...); err != nil {
			return event.Position{}, err
		}
	}
	return event.Position{}, event.ErrUnknownOutcome
}

func TestCopyLogRefuses(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), t.TempDir())
	one, other, nothing := lived(t), lived(t), t.TempDir()
	d.copied(one, farURL, "")
	for name, c := range map[string]struct {
		from, to, dataDir, says string
		config                  bool
	}{
		"to another ledger's log":    {one, other, "", "LOG_NOT_EMPTY", false},
		"another one to a copy":      {other, farURL, "", "LOG_NOT_EMPTY", false},
		"to itself":                  {one, one, "", "the same log", true},
		"to itself, elsewhere":       {farURL, "esdb://db1:2113", nothing, "the same log", true},
		"from no log":                {nothing, farURL, "", "holds no log", true},
		"from nowhere":               {filepath.Join(nothing, "x"), farURL, "", "no such file", true},
		"with stores that are none":  {one, farURL, filepath.Join(nothing, "x"), "--data-dir", true},
		"to where a ledger has run ": {one, other, one, "LOG_NOT_EMPTY", false},
	} {
		out, err := d.copyLog(c.from, c.to, c.dataDir)
		var config configError
		if err == nil || out != "" || !strings.Contains(err.Error(), c.says) || errors.As(err, &config) != c.config {
			t.Errorf("%s: printed %q, got %v; want %q", name, out, err, c.says)
		}
	}
	d.log.goAway()
	if _, err := d.copyLog(one, farURL, ""); err == nil || !strings.Contains(err.Error(), "is TO right? (LOG_UNREACHABLE)") {
		t.Errorf("a log that is away: got %v, want LOG_UNREACHABLE", err)
	}
}

func TestPlaceNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ledger-data": "ledger-data", "data/": "data", farURL: "esdb://ledger:(secret)@db1:2113",
		"@" + write(t, 0o600, farURL+"\n"): "esdb://ledger:(secret)@db1:2113",
	} {
		if p, err := placeNamed("FROM", text); err != nil || p.String() != want {
			t.Errorf("%s: got %s, %v; want %s", text, p, err, want)
		}
	}
	for text, says := range map[string]string{
		"http://ledger:hush@db1": "FROM: ", "@nowhere": "SECRET_FILE", "@" + write(t, 0o644, farURL): "chmod 600",
		"@" + write(t, 0o600, "hush"): "CONFIG_INVALID",
	} {
		if _, err := placeNamed("FROM", text); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, want %q and no password", text, err, says)
		}
	}
}
