package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// firstLog is where a story has its log from the beginning; empty if it is embedded.
func (w *world) firstLog() (url string, err error) {
	if url = os.Getenv("LEDGER_TEST_LOG"); url != "double" {
		return url, nil
	}
	if w.esdb, err = esdbtest.New(esdbtest.Config{}); err != nil {
		return "", err
	}
	return w.esdb.URL(), nil
}

// database is what a story does with an EventStoreDB, by the first argument of the command esdb.
func (w *world) database(ts *testscript.TestScript, args []string) {
	what := strings.Join(args[:min(1, len(args))], "")
	if what == "start" {
		w.startDatabase(ts, args[1:])
		return
	}
	if w.esdb == nil {
		ts.Fatalf("there is no EventStoreDB")
	}
	switch what {
	case "stop":
		w.esdb.Stop()
	case "hold":
		usage(ts, args, "esdb hold STREAM")
		w.release = w.esdb.Inject(esdbtest.Fault{Method: "Append", Stream: args[1], Skip: 1, Do: esdbtest.NoAnswer})
	case "restart":
		w.release()
		ts.Check(w.esdb.Restart())
	case "backup":
		w.backup = w.esdb.Store().Records()
	case "restore":
		w.esdb.Stop()
		w.esdb.Store().Replace(w.backup)
		ts.Check(w.esdb.Restart())
	case "metadata":
		usage(ts, args, "esdb metadata STREAM JSON")
		ts.Check(w.esdb.Store().SetMetadata(args[1], args[2]))
	default:
		ts.Fatalf("usage: esdb start|stop|restart|hold|backup|restore|metadata")
	}
}

// startDatabase leaves the one that was there alone, which ends with the story.
func (w *world) startDatabase(ts *testscript.TestScript, manners []string) {
	var cfg esdbtest.Config
	for _, m := range manners {
		version, is := strings.CutPrefix(m, "version=")
		switch {
		case is:
			cfg.Version = version
		case m == "tls":
			cfg.TLS = w.issue(ts)
		case m == "expired":
			cfg.TLS = w.issue(ts, esdbtest.Expired)
		case m == "misnamed":
			cfg.TLS = w.issue(ts, esdbtest.ForHost("db1.example"))
		default:
			ts.Fatalf("there is no EventStoreDB that is %s", m)
		}
	}
	s, err := esdbtest.New(cfg)
	ts.Check(err)
	ts.Defer(s.Close)
	w.esdb, w.backup, w.release = s, nil, func() {}
	ts.Setenv("ESDB", s.URL())
	ts.Setenv("ESDB_HOST", s.Addr())
}

// issue makes a certificate, and tells the story which authority signed it.
func (w *world) issue(ts *testscript.TestScript, change ...func(*x509.Certificate)) *esdbtest.TLS {
	authority, err := esdbtest.NewAuthority(ts.MkAbs("."))
	ts.Check(err)
	issued, err := authority.Issue(change...)
	ts.Check(err)
	ts.Setenv("ESDB_CA", issued.CAFile)
	return issued
}

// begin runs a ledger that cannot serve yet.
func (w *world) begin(ts *testscript.TestScript, flags []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	w.launch(ts, append(flags, "--admin="+l.Addr().String()))
	w.server.admin = "http://" + l.Addr().String()
}

// ready waits until the ledger says with a status and a text whether it is ready, and prints that.
func (w *world) ready(ts *testscript.TestScript, args []string) {
	usage(ts, args, "ready STATUS TEXT")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := w.running(ts)
	for begun, said := time.Now(), false; !said; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-s.ended:
			w.server = nil
			ts.Fatalf("the ledger ended (%v), and logged:\n%s", err, ts.ReadFile(w.logged))
		default:
		}
		got, body := s.readiness()
		if said = got == want && strings.Contains(body, args[1]); said {
			fmt.Fprint(ts.Stdout(), body)
		} else if time.Since(begun) > patience {
			ts.Fatalf("readyz answers %d %s, want %d and %q", got, body, want, args[1])
		}
	}
	if want == http.StatusOK && s.conn == nil {
		w.listening(ts)
	}
}

// readiness is what the ledger answers to those who ask whether it is ready; 0 if it does not.
func (s *server) readiness() (status int, body string) {
	resp, err := http.Get(s.admin + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// TestDemoElsewhere lives the demo's fourteen months with the log in an EventStoreDB that is a process of its own, or
// rather the double of one.
func TestDemoElsewhere(t *testing.T) {
	if os.Getenv("LEDGER_TEST_LOG") != "double" {
		t.Skip("LEDGER_TEST_LOG=double lives the demo with its log elsewhere; that takes half a minute")
	}
	t.Parallel()
	url, _ := esdbtest.StartProcess(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	demo := func() (code int, said string) {
		out, err := exec.CommandContext(ctx, "ledger", "demo", "--log", url).CombinedOutput()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
		if ended != nil {
			code = ended.ExitCode()
		}
		return code, string(out)
	}
	if code, said := demo(); code != 0 || !strings.Contains(said, "no promise was broken") {
		t.Fatalf("it ended with %d, and said:\n%s", code, said)
	}
	if code, said := demo(); code != exitConfig || !strings.Contains(said, "LOG_NOT_EMPTY") {
		t.Errorf("on the same log again it ended with %d, and said:\n%s", code, said)
	}
}
