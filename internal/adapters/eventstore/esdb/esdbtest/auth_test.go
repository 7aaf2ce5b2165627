package esdbtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"os"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// secure is a change to a node with a certificate of its own authority.
func secure(t *testing.T, change ...func(*x509.Certificate)) func(*esdbtest.Config) {
	t.Helper()
	ca, err := esdbtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(change...)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *esdbtest.Config) {
		c.TLS = cert
		c.Users = esdbtest.DefaultUsers()
		c.Users["clerk"] = esdbtest.User{Password: "secret"}
		c.Users["auditor"] = esdbtest.User{Password: "secret", Groups: []string{"auditors"}}
	}
}

// dialTLS trusts the authority in a file.
func dialTLS(t *testing.T, addr, file string) *wire {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", file)
	}
	return dial(t, addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})))
}

// as calls in somebody's name.
func (w *wire) as(user, password string) *wire {
	if user == "" {
		return w
	}
	return w.with("authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// TestURL: the connection string has what a client needs.
func TestURL(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	if got, want := s.URL(), "esdb://"+s.Addr()+"?tls=false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	safe := esdbtest.Start(t, secure(t))
	u, err := url.Parse(safe.URL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	if u.Host != safe.Addr() || u.Query().Get("tls") != "true" {
		t.Errorf("got %s, want the address and tls", u)
	}
	w := dialTLS(t, u.Host, u.Query().Get("tlsCaFile")).as(u.User.Username(), password)
	if _, err := w.messages(wholeLog()); err != nil {
		t.Errorf("reading everything with what %s says: %v", u, err)
	}
}

// TestCertificates: the handshake goes well only with the right one.
func TestCertificates(t *testing.T) {
	t.Parallel()
	other, err := esdbtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change []func(*x509.Certificate)
		file   string // the node's own if empty
		want   codes.Code
	}{
		"valid":             {nil, "", codes.OK},
		"expired":           {[]func(*x509.Certificate){esdbtest.Expired}, "", codes.Unavailable},
		"another host":      {[]func(*x509.Certificate){esdbtest.ForHost("db.example")}, "", codes.Unavailable},
		"another authority": {nil, other.File, codes.Unavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := secure(t, test.change...)
			s := esdbtest.Start(t, change)
			file := test.file
			if file == "" {
				var c esdbtest.Config
				change(&c)
				file = c.TLS.CAFile
			}
			w := dialTLS(t, s.Addr(), file)
			_, err := gossip.NewGossipClient(w.conn).Read(w.ctx, &shared.Empty{})
			wantCode(t, "gossip", err, test.want)
		})
	}
	t.Run("plain client", func(t *testing.T) {
		t.Parallel()
		w := dial(t, esdbtest.Start(t, secure(t)).Addr())
		_, err := w.append("a", -1, 0)
		wantCode(t, "append", err, codes.Unavailable)
	})
}

// TestRights: who may do what on a secure node. The stream "closed" is the auditors', "$settings" is the system's.
func TestRights(t *testing.T) {
	t.Parallel()
	change := secure(t)
	var cfg esdbtest.Config
	change(&cfg)
	s := esdbtest.Start(t, change)
	for stream, acl := range map[string]string{
		"closed": `{"$acl":{"$r":["auditors"],"$w":"clerk"}}`,
		"$all":   `{"$acl":{"$r":"auditors"}}`,
		"broken": `{"$acl":`,
	} {
		if err := s.Store().SetMetadata(stream, acl); err != nil {
			t.Fatal(err)
		}
	}
	base := dialTLS(t, s.Addr(), cfg.TLS.CAFile)
	read := func(stream string) func(*wire) error {
		return func(w *wire) error {
			_, err := w.messages(wholeStream(stream))
			return err
		}
	}
	write := func(stream string) func(*wire) error {
		return func(w *wire) error {
			call, err := w.raw.Append(w.ctx)
			if err != nil {
				return err
			}
			o := appendOptions(stream, -1)
			o.GetOptions().ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
			_ = call.Send(o) // the answer says why not
			_, err = call.CloseAndRecv()
			return err
		}
	}
	calls := map[string]func(*wire) error{
		"features": func(w *wire) error {
			_, err := serverfeatures.NewServerFeaturesClient(w.conn).GetSupportedMethods(w.ctx, &shared.Empty{})
			return err
		},
		"gossip": func(w *wire) error {
			_, err := gossip.NewGossipClient(w.conn).Read(w.ctx, &shared.Empty{})
			return err
		},
		"read":            read("open"),
		"write":           write("open"),
		"read closed":     read("closed"),
		"write closed":    write("closed"),
		"read system":     read("$settings"),
		"read broken":     read("broken"),
		"read metadata":   read("$$open"),
		"read everything": func(w *wire) error { _, err := w.messages(wholeLog()); return err },
	}
	const (
		ok     = codes.OK
		denied = codes.PermissionDenied
		who    = codes.Unauthenticated
	)
	tests := map[string]struct {
		user, password string
		want           map[string]codes.Code // PermissionDenied, where nothing is said
	}{
		"nobody": {"", "", map[string]codes.Code{"features": ok, "gossip": ok}},
		"wrong password": {"admin", "admin", map[string]codes.Code{
			"features": ok, "gossip": ok, "read": who, "write": who, "read closed": who, "write closed": who, "read system": who,
			"read broken": who, "read metadata": who, "read everything": who,
		}},
		"unknown": {"somebody", "secret", map[string]codes.Code{
			"features": ok, "gossip": ok, "read": who, "write": who, "read closed": who, "write closed": who, "read system": who,
			"read broken": who, "read metadata": who, "read everything": who,
		}},
		"admin": {"admin", "changeit", map[string]codes.Code{
			"features": ok, "gossip": ok, "read": ok, "write": ok, "read closed": ok, "write closed": ok, "read system": ok,
			"read broken": ok, "read metadata": ok, "read everything": ok,
		}},
		"ops":     {"ops", "changeit", map[string]codes.Code{"features": ok, "gossip": ok, "read": ok, "write": ok, "read broken": ok, "read metadata": ok}},
		"clerk":   {"clerk", "secret", map[string]codes.Code{"features": ok, "gossip": ok, "read": ok, "write": ok, "write closed": ok, "read broken": ok, "read metadata": ok}},
		"auditor": {"auditor", "secret", map[string]codes.Code{"features": ok, "gossip": ok, "read": ok, "write": ok, "read closed": ok, "read broken": ok, "read metadata": ok, "read everything": ok}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, call := range calls {
				want, said := test.want[what]
				if !said {
					want = denied
				}
				wantCode(t, what, call(base.as(test.user, test.password)), want)
			}
		})
	}
	t.Run("garbage", func(t *testing.T) {
		t.Parallel()
		for _, header := range []string{"Bearer abc", "Basic !", "Basic"} {
			wantCode(t, header, read("open")(base.with("authorization", header)), codes.Unauthenticated)
		}
	})
}

// TestRevoke: what runs in a user's name ends, and what comes later is refused, until the rights are back.
func TestRevoke(t *testing.T) {
	t.Parallel()
	change := secure(t)
	var cfg esdbtest.Config
	change(&cfg)
	s := esdbtest.Start(t, change)
	base := dialTLS(t, s.Addr(), cfg.TLS.CAFile)
	clerk, ops := base.as("clerk", "secret"), base.as("ops", "changeit")
	hers, theirs := clerk.follow(subscription("a")), ops.follow(subscription("a"))
	for _, c := range []streams.Streams_ReadClient{hers, theirs} {
		if _, err := c.Recv(); err != nil { // caught up
			t.Fatal(err)
		}
	}
	s.Revoke("clerk")
	_, err := hers.Recv()
	wantCode(t, "the clerk's subscription", err, codes.PermissionDenied)
	_, err = clerk.append("b", -1, 0)
	wantCode(t, "the clerk's append", err, codes.PermissionDenied)
	ops.fill("a", 1)
	if m, err := theirs.Recv(); m.GetEvent() == nil {
		t.Errorf("the other subscription got %v, %v, want the event", m, err)
	}
	s.Grant("clerk")
	clerk.fill("b", 1)
}

// TestAccessListChanges: a subscription ends when its stream is closed to its reader.
func TestAccessListChanges(t *testing.T) {
	t.Parallel()
	change := secure(t)
	var cfg esdbtest.Config
	change(&cfg)
	s := esdbtest.Start(t, change)
	clerk := dialTLS(t, s.Addr(), cfg.TLS.CAFile).as("clerk", "secret")
	call := clerk.follow(subscription("a"))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	must(t, s.Store().SetMetadata("a", `{"$acl":{"$r":["auditors"]}}`))
	_, err := call.Recv()
	wantCode(t, "subscription", err, codes.PermissionDenied)
}
