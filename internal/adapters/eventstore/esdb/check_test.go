package esdb

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

// TestCheckRefuses: what somebody has to change is told in one sentence, which says what.
func TestCheckRefuses(t *testing.T) {
	needsDouble(t)
	authority, err := esdbtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *esdbtest.Authority, change ...func(*x509.Certificate)) func(*esdbtest.Config) {
		issued, err := a.Issue(change...)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *esdbtest.Config) { c.TLS = issued }
	}
	plain := func(*esdbtest.Config) {}
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)
	as := func(s string) func(string) string {
		return func(url string) string { return strings.Replace(url, "admin:changeit", s, 1) }
	}
	for name, tt := range map[string]struct {
		server func(*esdbtest.Config)
		url    func(string) string
		want   string
	}{
		"wrong password":      {issue(authority), as("admin:s3cret"), "the user name or the password is wrong"},
		"nobody we know":      {issue(authority), as("nobody:s3cret"), "the user name or the password is wrong"},
		"no credentials":      {issue(authority), func(u string) string { return strings.Replace(u, "admin:changeit@", "", 1) }, "write user:password@ before the host"},
		"not enough rights":   {issue(authority), as("ops:changeit"), "rights of $admins"},
		"expired":             {issue(authority, esdbtest.Expired), nil, "its certificate is not valid now"},
		"another name":        {issue(authority, esdbtest.ForHost("other.example")), nil, "its certificate is for another name"},
		"unknown authority":   {issue(authority), func(u string) string { return u[:strings.IndexByte(u, '?')] }, "tlsCaFile"},
		"plain to TLS":        {issue(authority), func(u string) string { return "esdb://" + after(u, "@", "?") + "?tls=false" }, "it speaks TLS; leave out tls=false"},
		"TLS to plain":        {plain, func(u string) string { return "esdb://" + after(u, "//", "?") }, "add tls=false"},
		"too old":             {func(c *esdbtest.Config) { c.Version = "21.10.9" }, nil, "it is version 21.10.9; the ledger needs 22.6"},
		"much too old":        {func(c *esdbtest.Config) { c.NoFeatures = true }, nil, "does not answer as EventStoreDB"},
		"no EventStoreDB":     {plain, func(string) string { return "esdb://" + web.Listener.Addr().String() + "?tls=false" }, ""},
		"a stream that ends":  {plain, nil, "$maxCount is 3"},
		"a stream that ended": {plain, nil, "it was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := esdbtest.Start(t, tt.server)
			switch name {
			case "a stream that ends":
				setMetadata(t, server, stream, `{"$maxCount":3}`)
			case "a stream that ended":
				fill(t, open(t, server.URL()), stream, event.NoStream, 1)
				deleteStream(t, server, stream)
			}
			url := server.URL()
			if tt.url != nil {
				url = tt.url(url)
			}
			err := open(t, url).Check(soon(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%s: got error %v, want one with %q", url, err, tt.want)
			}
			if tt.want != "" && !errors.Is(err, ErrRefused) {
				t.Errorf("%v: want that it is refused", err)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "changeit") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is no sentence to show: %q", err)
			}
		})
	}
}

// after is what stands in s between two texts.
func after(s, begin, end string) string {
	_, s, _ = strings.Cut(s, begin)
	s, _, _ = strings.Cut(s, end)
	return s
}

// TestCheckUnreachable: what may pass by itself is no refusal.
func TestCheckUnreachable(t *testing.T) {
	needsDouble(t)
	stopped := esdbtest.Start(t) // which keeps others from its port
	stopped.Stop()
	nobody := stopped.Addr()
	garbage := esdbtest.Start(t, func(c *esdbtest.Config) { c.Version = "soon" })
	for url, want := range map[string]string{
		"esdb://" + nobody + "?tls=false":                "connection refused",
		"esdb://" + nobody:                               "connection refused",
		"esdb://no-such-host.invalid?tls=false":          "lookup no-such-host.invalid",
		"esdb+discover://" + nobody + "?tls=false":       "connection refused",
		"esdb://" + nobody + "," + nobody + "?tls=false": "; ",
		garbage.URL(): `its version is "soon"`,
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			err := open(t, url).Check(soon(t))
			if err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one with %q that is no refusal", err, want)
			}
		})
	}
}

// TestVersions that serve.
func TestVersions(t *testing.T) {
	needsDouble(t)
	for _, version := range []string{"22.6.0", "24.10.4", "25.0.0-prerelease", "26.1.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := esdbtest.Start(t, func(c *esdbtest.Config) { c.Version = version; c.NoCaughtUp = version < "23.10" })
			l := open(t, server.URL())
			if err := l.Check(soon(t)); err != nil {
				t.Fatal(err)
			}
			f := follow(t, l, event.Cursor{})
			if m := <-f.messages; m.Kind != event.KindCaughtUp {
				t.Errorf("got %+v, want that it is caught up", m)
			}
			events := fill(t, l, stream, event.NoStream, 2)
			wantIDs(t, f.events(t, 2), events...)
		})
	}
}

// TestSecure: with TLS and a name, everything works as without.
func TestSecure(t *testing.T) {
	needsDouble(t)
	authority, err := esdbtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue()
	if err != nil {
		t.Fatal(err)
	}
	secure := func(c *esdbtest.Config) { c.TLS = issued }
	for name, url := range map[string]string{
		"one node":    esdbtest.Start(t, secure).URL(),
		"three nodes": esdbtest.StartCluster(t, 3, secure).URL(),
		"unverified":  strings.Replace(esdbtest.Start(t, secure).URL(), "?", "?tlsVerifyCert=false&", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, url)
			if err := l.Check(soon(t)); err != nil {
				t.Fatal(err)
			}
			events := fill(t, l, stream, event.NoStream, 3)
			wantIDs(t, follow(t, l, event.Cursor{}).events(t, 3), events...)
			if got, err := read(t.Context(), l, stream, 0); err != nil || len(got) != 3 {
				t.Errorf("read %d events, %v; want 3", len(got), err)
			}
		})
	}
}

// TestWatch finds metadata that is set while the ledger runs, the next time it looks; and no more once it is taken back.
func TestWatch(t *testing.T) {
	server, _ := double(t)
	var out syncBuffer
	settings, err := Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Settings: settings, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	look := func() error {
		if err := l.retention.look(soon(t), l); err != nil {
			t.Fatal(err)
		}
		return l.retention.alarm()
	}
	fill(t, l, stream, event.NoStream, 2)
	setMetadata(t, server, stream, `{"$acl":{"$r":["$admins"]}}`)
	setMetadata(t, server, "$stats", `{"$maxCount":3}`)
	if err := look(); err != nil {
		t.Errorf("harmless metadata: %v", err)
	}
	setMetadata(t, server, stream, `{"$maxAge":3600}`)
	if err := look(); err == nil || !strings.Contains(err.Error(), "$maxAge is 3600") {
		t.Errorf("got %v, want that the stream forgets", err)
	}
	if !strings.Contains(out.String(), "may forget events") {
		t.Errorf("nothing was logged: %s", out.String())
	}
	setMetadata(t, server, stream, `{}`)
	if err := look(); err != nil {
		t.Errorf("metadata that was taken back: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- l.Watch(ctx) }()
	setMetadata(t, server, "subscription-m.2", `{"$tb":7}`)
	cancel()
	wantIs(t, <-watched, context.Canceled)
}

// TestStartWithoutAServer: a log can be opened long before its server is there.
func TestStartWithoutAServer(t *testing.T) {
	server, l := double(t)
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := l.Append(ctx, stream, event.NoStream, raw(1)...)
	wantIs(t, err, event.ErrUnavailable, context.DeadlineExceeded)
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got error %v, want one that says why", err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	fill(t, l, stream, event.NoStream, 1)
}

// syncBuffer is a buffer that several goroutines write to.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
