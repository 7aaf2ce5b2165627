package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		status     int
		retryAfter string
		ok, config bool
		wait       time.Duration
	}{
		{status: 401, ok: true, config: true},
		{status: 429, ok: true},
		{status: 429, retryAfter: "7", ok: true, wait: 7 * time.Second},
		{status: 429, retryAfter: "soon", ok: true},
		{status: 429, retryAfter: "-7", ok: true},
		{status: 429, retryAfter: "999999999999", ok: true, wait: time.Hour},
		{status: 429, retryAfter: "99999999999999999999", ok: true, wait: time.Hour},
		{status: 429, retryAfter: "86400", ok: true, wait: time.Hour},
		{status: 429, retryAfter: now.Add(time.Minute).Format(http.TimeFormat), ok: true, wait: time.Minute},
		{status: 429, retryAfter: now.Add(-time.Minute).Format(http.TimeFormat), ok: true},
		{status: 403}, {status: 500}, {status: 200},
	}
	for _, test := range tests {
		r, ok := gateway.Refused(gateway.Reply{Status: test.status, Header: http.Header{"Retry-After": {test.retryAfter}}}, now)
		if ok != test.ok || r.Config != test.config || r.RetryAfter != test.wait {
			t.Errorf("status %d, retry after %q: got %v, %+v", test.status, test.retryAfter, ok, r)
		}
		if ok && r.Class != gateway.NotSent {
			t.Errorf("status %d: got class %d, want NotSent", test.status, r.Class)
		}
	}
}

type deaf struct{}

func (deaf) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("lost") }

func TestSent(t *testing.T) {
	t.Parallel()
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	plain := httptest.NewUnstartedServer(http.NotFoundHandler()) // its certificate is trusted by nobody
	plain.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	plain.StartTLS()
	t.Cleanup(plain.Close)
	tests := []struct {
		name   string
		ctx    context.Context
		client *http.Client
		url    string
		sent   bool
	}{
		{"a dead context", dead, gateway.NewHTTPClient(), cut.URL, false},
		{"an unknown certificate", t.Context(), gateway.NewHTTPClient(), plain.URL, false},
		{"a connection cut after the request", t.Context(), gateway.NewHTTPClient(), cut.URL, true},
		{"a transport that tells nothing", t.Context(), &http.Client{Transport: deaf{}}, cut.URL, true},
	}
	for _, test := range tests {
		req, err := http.NewRequestWithContext(test.ctx, http.MethodPost, test.url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = gateway.Exchange(test.client, req, 20*time.Second)
		var e *gateway.SendError
		if !errors.As(err, &e) || e.Sent != test.sent {
			t.Errorf("%s: got %v, want sent %v", test.name, err, test.sent)
		}
	}
}

// A kept connection that dies under a request is not replaced by net/http's own repeat.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	calls := 0 // the server handles one request at a time here
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if calls++; calls > 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	client := gateway.NewHTTPClient()
	var last error
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k")
		_, last = gateway.Exchange(client, req, 20*time.Second)
	}
	srv.Close()
	if last == nil || calls != 2 {
		t.Errorf("the server was asked %d times (%v), want twice and an error", calls, last)
	}
}

// A client offers no TLS that is broken, and asks for nothing packed.
func TestClientIsCareful(t *testing.T) {
	t.Parallel()
	offered := make(chan []uint16, 1)
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	srv.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered <- hello.SupportedVersions
		return nil, nil
	}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	if _, err := get(t, srv.URL); err == nil {
		t.Error("it trusts a certificate that nobody vouches for")
	}
	if least := slices.Min(<-offered); least < tls.VersionTLS12 {
		t.Errorf("it offers TLS %#x", least)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if packed := r.Header.Get("Accept-Encoding"); packed != "" {
			t.Errorf("it asks for %q", packed)
		}
		rw.Header().Set("X-Much", strings.Repeat("x", 1<<16))
	}))
	t.Cleanup(plain.Close)
	if _, err := get(t, plain.URL); err == nil {
		t.Error("it reads a header of any size")
	}
}

func get(t *testing.T, url string) (gateway.Reply, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Exchange(gateway.NewHTTPClient(), req, 20*time.Second)
}
