package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/merchant"
)

// inMemory is how run is tried: its exit code and what it printed.
func inMemory(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// ports are flags for free loopback ports.
func ports(args ...string) []string {
	return append(args, "--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0")
}

func TestRunRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	locked := t.TempDir()
	unlock, err := db.LockDir(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	tooNew := newerStore(t, "views.db")

	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no command", nil, 64, "name a command"},
		{"an unknown command", []string{"frobnicate"}, 64, `no command "frobnicate"`},
		{"a misspelt command", []string{"parkd"}, 64, "did you mean parked?"},
		{"a misspelt command below", []string{"parked", "repaly"}, 64, "did you mean replay?"},
		{"no command below", []string{"config"}, 64, "name a command"},
		{"help of nothing", []string{"help", "serv"}, 64, "did you mean serve?"},
		{"an unknown flag", []string{"serve", "--frobnicate"}, 64, "--frobnicate"},
		{"a misspelt flag", []string{"serve", "--data_dir=x"}, 64, "did you mean --data-dir?"},
		{"a flag of another command", []string{"version", "--grpc=x"}, 64, "--grpc"},
		{"no duration for a flag", []string{"serve", "--gateway-timeout=soon"}, 64, `--gateway-timeout: "soon" is not a duration`},
		{"a missing value", []string{"serve", "--data-dir"}, 64, "needs an argument"},
		{"a missing argument", []string{"clock", "advance"}, 64, "accepts 1 arg"},
		{"an argument too many", []string{"serve", "now"}, 64, `"now"`},
		{"no duration", []string{"clock", "advance", "soon"}, 64, `"soon" is no duration`},
		{"an address for others", []string{"serve", "--http", "0.0.0.0:8080"}, 2, "only loopback"},
		{"no address", []string{"serve", "--grpc", "here"}, 2, "host:port"},
		{"no such clock", []string{"serve", "--clock", "sundial"}, 2, "sundial"},
		{"a start for the wall clock", []string{"serve", "--clock-start", "2026-01-01T00:00:00Z"}, 2, "--clock-start"},
		{"no time", []string{"serve", "--clock=manual", "--clock-start", "yesterday"}, 2, "yesterday"},
		{"a negative time-out", []string{"serve", "--gateway-timeout", "-1s"}, 2, "--gateway-timeout"},
		{"no data", []string{"verify", "--data-dir", filepath.Join(t.TempDir(), "nothing")}, 2, "--data-dir"},
		{"a port in use", []string{"serve", "--data-dir", t.TempDir(), "--grpc", taken.Addr().String(), "--http=127.0.0.1:0", "--admin=127.0.0.1:0"}, 1, "(LISTEN)"},
		{"the sandbox on a port in use", []string{"sandbox", "--data-dir", t.TempDir(), "--http", taken.Addr().String()}, 1, "(LISTEN)"},
		{"a second process", ports("serve", "--data-dir", locked), 1, "(STORE_LOCKED)"},
		{"data of a newer program", ports("serve", "--data-dir", tooNew), 1, "(STORE_TOO_NEW)"},
		{"the demo in a directory that is not empty", []string{"demo", "--keep", tooNew}, 2, "not empty"},
		{"nobody to talk to", []string{"in-doubt", "--grpc", "127.0.0.1:1"}, 1, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			code, out, errs := inMemory(c.args...)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v to say no, want less than 2s", took)
			}
			if (code == 64) != strings.Contains(errs, "Usage:") {
				t.Errorf("exit %d, stderr %q; the usage is told when it is the usage that is wrong", code, errs)
			}
			if code != c.code || !strings.Contains(errs, c.says) || out != "" {
				t.Errorf("ledger %s\nexit %d, want %d\nstdout %q, want nothing\nstderr %q, want it to say %q",
					strings.Join(c.args, " "), code, c.code, out, errs, c.says)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LEDGER_CLOCK", "sundial")
	if code, _, errs := inMemory("serve"); code != 2 || !strings.Contains(errs, "sundial") {
		t.Errorf("exit %d, stderr %q: the environment was not heard", code, errs)
	}
	if code, _, errs := inMemory("serve", "--clock=wall", "--grpc=here"); code != 2 || !strings.Contains(errs, "here") {
		t.Errorf("exit %d, stderr %q: the command line comes before the environment", code, errs)
	}
	t.Setenv("LEDGER_GATEWAY_TIMEOUT", "soon")
	if code, _, errs := inMemory("serve", "--clock=wall"); code != 2 || !strings.Contains(errs, "LEDGER_GATEWAY_TIMEOUT") {
		t.Errorf("exit %d, stderr %q: want the variable's name", code, errs)
	}
}

// newerStore is a data directory in which a newer program has written one of the files.
func newerStore(t *testing.T, file string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	newer, err := db.Open(filepath.Join(dir, file), db.Options{Version: 99})
	if err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whatever file is too new, none is changed and none is made.
func TestTooNewIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"log.db", "work.db", "views.db"} {
		dir := newerStore(t, file)
		before, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if code, out, errs := inMemory(ports("serve", "--data-dir", dir)...); code != 1 || out != "" || !strings.Contains(errs, "(STORE_TOO_NEW)") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want 1, nothing and STORE_TOO_NEW", file, code, out, errs)
		}
		after, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was changed (%v)", file, err)
		}
		stores, err := filepath.Glob(filepath.Join(dir, "*.db"))
		if err != nil || len(stores) != 1 {
			t.Errorf("%s: got the stores %q, %v; want none beside it", file, stores, err)
		}
	}
}

// A log that is not the one the other stores were made from is refused before anything is done: nothing may be
// charged from it.
func TestDivergedStore(t *testing.T) {
	t.Parallel()
	for name, merchants := range map[string]int{"shorter": 1, "another": 9} {
		dir := lived(t)
		replaceLog(t, dir, merchants)
		if s, err := open(t.Context(), config{DataDir: dir, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"}, slog.New(slog.DiscardHandler)); err == nil {
			s.close()
			t.Fatalf("%s: it was opened", name)
		}
		began := time.Now()
		code, out, errs := inMemory(ports("serve", "--data-dir", dir)...)
		if code != 1 || out != "" || !strings.Contains(errs, "STORE_DIVERGED") || !strings.Contains(errs, "rebuild") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want 1, nothing, STORE_DIVERGED and the way out", name, code, out, errs)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		// The way out that the message names keeps what a gateway was told is safe with us.
		if code, _, errs := inMemory("rebuild", "--work", "--data-dir", dir); code != 0 {
			t.Fatalf("%s: rebuild ends with %d: %s", name, code, errs)
		}
		s, err := open(t.Context(), config{DataDir: dir, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("%s, built anew: %v", name, err)
		}
		if kept, err := s.work.PendingWebhooks(t.Context(), time.Now(), 10); err != nil || len(kept) != 1 {
			t.Errorf("%s: messages of gateways %v, %v; want the one that was not read", name, kept, err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// lived is the data directory of a ledger that has seen something.
func lived(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := open(t.Context(), config{DataDir: dir, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		createMerchant(t, s.merchants, fmt.Sprint("m", i))
	}
	_, err = s.endpoints.Do(t.Context(), endpoint.Stream("m0", "shop"), aggregate.Request{ID: "create", At: time.Now()}, endpoint.Create{
		Merchant: "m0", ID: "shop", Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn"}, SigningSecret: "whsec_c2VjcmV0",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	if err := s.idle(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.work.SaveWebhook(t.Context(), work.Webhook{Merchant: "m0", Connection: "c", MessageID: "1", ReceivedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// replaceLog puts another log, of so many merchants, in the place of a ledger's.
func replaceLog(t *testing.T, dir string, merchants int) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(dir, "log.db*"))
	if err != nil || len(old) == 0 {
		t.Fatalf("no log in %s: %v", dir, err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	log, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for i := range merchants {
		createMerchant(t, aggregate.NewRunner(log, merchant.Type()), fmt.Sprint("other", i))
	}
}

func createMerchant(t *testing.T, r *aggregate.Runner[merchant.State], id string) {
	t.Helper()
	_, err := r.Do(t.Context(), merchant.Stream(id), aggregate.Request{ID: "create", At: time.Now()},
		merchant.Create{ID: id, Settings: merchant.Settings{Name: id}, ZoneKnown: true})
	if err != nil {
		t.Fatal(err)
	}
}

// The handlers that follow the log are these, and no other: a name is a cursor.
func TestHandlers(t *testing.T) {
	var got []string
	for _, h := range (&process.Process{}).All() {
		got = append(got, h.Name)
	}
	if want := "charge refund method unblock"; strings.Join(got, " ") != want {
		t.Errorf("handlers %q, want %q", got, want)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "0s": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "30", "-3h", "1d-3h", "99999999d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", text, got)
		}
	}
}
