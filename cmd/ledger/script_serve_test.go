package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
)

// patience is how long a story waits for what has to happen before it calls it a fault.
const patience = time.Minute

// clockStart is what a story's clock shows at first.
const clockStart = "2026-03-02T09:00:00Z"

// world is what a story happens in.
type world struct {
	data, logged string // the data directory; where the ledger's log goes
	server       *server
	shop         *shop
	esdb         *esdbtest.Server
	atStripe     *stripeWorld
	backup       []esdbtest.Record // of esdb
	release      func()            // ends what esdb holds
	posts        int               // counts the commands that were sent
	sentTo       map[string]string // where the gateway has sent the buyers of subscriptions
	payabl       *payabltest.Server
}

// server is a ledger that runs as a process of its own.
type server struct {
	cmd     *exec.Cmd
	line    *firstLine
	ended   chan error
	conn    *grpc.ClientConn // nil until it serves
	admin   string
	sandbox string
}

// firstLine is the output of a process of which the first line is waited for.
type firstLine struct {
	mu      sync.Mutex
	text    []byte
	arrived chan struct{}
}

// Write implements io.Writer.
func (l *firstLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := bytes.IndexByte(l.text, '\n') >= 0
	l.text = append(l.text, b...)
	if !before && bytes.IndexByte(l.text, '\n') >= 0 {
		close(l.arrived)
	}
	return len(b), nil
}

// String is all that was written.
func (l *firstLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// start runs a ledger, and tells the story where it listens.
func (w *world) start(ts *testscript.TestScript, flags []string) {
	w.launch(ts, flags)
	w.listening(ts)
}

// launch runs a ledger.
func (w *world) launch(ts *testscript.TestScript, flags []string) {
	if w.server != nil {
		ts.Fatalf("the ledger is running")
	}
	logged, err := os.OpenFile(w.logged, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer logged.Close()
	w.data = ts.Getenv("LEDGER_DATA_DIR")
	s := &server{line: &firstLine{arrived: make(chan struct{})}, ended: make(chan error, 1)}
	s.cmd = exec.Command("ledger", slices.Concat([]string{
		"serve", "--data-dir=" + w.data, "--clock=manual", "--clock-start=" + clockStart,
		"--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0",
	}, flags)...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + ts.Getenv("TMPDIR"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"), "GORACE=" + gorace,
		"LEDGER_LOG=" + ts.Getenv("LEDGER_LOG")}
	s.cmd.Env = append(s.cmd.Env, w.settingsOfGateways(ts)...)
	s.cmd.Stdout, s.cmd.Stderr = s.line, logged
	ts.Check(s.cmd.Start())
	w.server = s
	go func() { s.ended <- s.cmd.Wait() }()
}

// listening waits until the ledger serves, and tells the story where it listens.
func (w *world) listening(ts *testscript.TestScript) {
	s := w.running(ts)
	select {
	case <-s.line.arrived:
	case err := <-s.ended:
		w.server = nil
		ts.Fatalf("the ledger ended (%v), and logged:\n%s", err, ts.ReadFile(w.logged))
	}
	at := regexp.MustCompile(`gRPC (\S+), REST (\S+), admin (\S+), sandbox (\S+),`).FindStringSubmatch(s.line.String())
	if at == nil {
		ts.Fatalf("serve did not say where it listens, but: %s", s.line)
	}
	s.admin, s.sandbox = at[3], at[4]
	ts.Setenv("LEDGER_GRPC", at[1])
	ts.Setenv("HTTP_URL", at[2])
	conn, err := grpc.NewClient(at[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	ts.Check(err)
	s.conn = conn
}

// running is the ledger, which has to run.
func (w *world) running(ts *testscript.TestScript) *server {
	if w.server == nil {
		ts.Fatalf("the ledger is not running")
	}
	return w.server
}

// shutdown ends the ledger as an operator does.
func (w *world) shutdown(ts *testscript.TestScript, args []string) {
	usage(ts, args, "shutdown")
	if err := w.end(ts, syscall.SIGTERM); err != nil {
		ts.Fatalf("the ledger ended with %v, and logged:\n%s", err, ts.ReadFile(w.logged))
	}
	if log := ts.ReadFile(w.logged); regexp.MustCompile(`"level":"ERROR"`).MatchString(log) {
		ts.Fatalf("the ledger logged an error:\n%s", log)
	}
}

// kill9 ends the ledger as a power cut does.
func (w *world) kill9(ts *testscript.TestScript, args []string) {
	usage(ts, args, "kill9")
	var ended *exec.ExitError
	if err := w.end(ts, syscall.SIGKILL); !errors.As(err, &ended) {
		ts.Fatalf("the ledger was killed and ended with %v", err)
	}
}

// end sends the ledger a signal and waits for its end.
func (w *world) end(ts *testscript.TestScript, with syscall.Signal) error {
	s := w.running(ts)
	w.server = nil
	if s.conn != nil {
		defer s.conn.Close()
	}
	ts.Check(s.cmd.Process.Signal(with))
	late := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
	defer late.Stop()
	return <-s.ended
}

// close ends what a story left running.
func (w *world) close() {
	if s := w.server; s != nil {
		s.cmd.Process.Kill()
		<-s.ended
		if s.conn != nil {
			s.conn.Close()
		}
	}
	if w.shop != nil {
		w.shop.server.Close()
	}
	if w.payabl != nil {
		w.payabl.Close()
	}
	if w.atStripe != nil {
		w.atStripe.close()
	}
	if w.esdb != nil {
		w.esdb.Close() // which may be for the second time
	}
}

// settled is the ledger once all that can happen now has happened. There is no command that only waits for that, so
// it lets a microsecond pass, which no story shows; another one if a gateway outside of the ledger had something to tell.
func (w *world) settled(ts *testscript.TestScript) *server {
	s := w.running(ts)
	moment := func() {
		_, err := ledgerv1.NewOperationServiceClient(s.conn).AdvanceClock(context.Background(),
			&ledgerv1.AdvanceClockRequest{By: durationpb.New(time.Microsecond)})
		ts.Check(err)
	}
	moment()
	if w.payabl != nil {
		w.payabl.Told()
		moment()
	}
	return s
}

// exits runs a command that has to end with a certain exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ended *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != code {
		ts.Fatalf("%s ended with exit code %d, want %d", args[1], got, code)
	}
}

// mode checks who may do what with a file.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode MODE FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has the mode %s, want %s", args[1], got, args[0])
	}
}
