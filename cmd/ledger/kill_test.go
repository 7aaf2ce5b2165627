package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

const (
	killMerchant = "acme"
	killDrivers  = 8
)

// TestKill ends the ledger with SIGKILL again and again while callers use it, and lets each next one go on from what
// lies in the data directory. The gateway is a process of its own that is not killed, so its book is the truth about
// the money; the merchant's receiver is the truth about what was told.
//
// The first half runs on the machine's clock. The second half runs on a manual one that is moved by days, so that
// rebills, dunning and look-ups happen and are killed too. LEDGER_TEST_KILLS sets how many kills there are,
// LEDGER_TEST_SEED what is drawn; when exactly a signal meets the process is not drawn, so a seed repeats a run only
// roughly.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for half a minute")
	}
	t.Parallel()
	kills := int(environment(t, "LEDGER_TEST_KILLS", 20))
	seed := environment(t, "LEDGER_TEST_SEED", uint64(time.Now().UnixNano()))
	t.Logf("LEDGER_TEST_KILLS=%d LEDGER_TEST_SEED=%d", kills, seed)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(kills)*1500*time.Millisecond)
	defer cancel()

	s := newSiege(ctx, t, seed)
	s.most = 10 + kills*boughtPerKill
	s.launch()
	s.settleIn()
	for range killDrivers {
		s.drive()
	}
	for i := range kills {
		s.kill(i)
		s.manual = i >= kills/2
		s.launch()
		if s.manual {
			s.passDays()
		}
	}
	s.kill(-1)
	s.manual = true
	s.launch()
	s.stopDriving()
	s.comeToRest()
	s.shutDown()
	s.check()
}

// environment reads a number that a run may be given.
func environment(t *testing.T, name string, without uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// siege is a ledger that is killed again and again, and everybody around it.
type siege struct {
	t       *testing.T
	ctx     context.Context
	random  *rand.Rand // of the killing; each driver has its own
	seed    uint64
	program string
	dir     string
	logged  *os.File // what all ledgers log

	sandbox  string
	receiver *receiver
	manual   bool // which clock the next ledger has
	ledger   *exec.Cmd

	calls sync.RWMutex // read-held by calls; days pass when nobody calls

	mu       sync.Mutex
	conn     *grpc.ClientConn // to the ledger that runs now, or to the last one
	launches int
	launched chan struct{} // closed and replaced at each launch

	most    int // subscriptions that one driver starts
	drivers []*driver
	driving sync.WaitGroup
	stop    chan struct{}
}

func newSiege(ctx context.Context, t *testing.T, seed uint64) *siege {
	t.Helper()
	s := &siege{
		t: t, ctx: ctx, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(),
		launched: make(chan struct{}), stop: make(chan struct{}),
	}
	s.program = filepath.Join(s.dir, "ledger")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var err error
	s.logged, err = os.Create(filepath.Join(s.dir, "log"))
	s.ok(err)
	t.Cleanup(func() {
		s.logged.Close()
		if t.Failed() {
			s.tellLog()
		}
	})
	s.receiver, err = newReceiver("")
	s.ok(err)
	t.Cleanup(s.receiver.close)
	_, line := s.start("sandbox", "--http=127.0.0.1:0", "--data-dir="+filepath.Join(s.dir, "gateway"))
	s.sandbox = regexp.MustCompile(`http://\S+\d`).FindString(s.firstLine(line))
	return s
}

// tellLog shows the end of what the ledgers logged.
func (s *siege) tellLog() {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Log(err)
	}
	const most = 4000
	s.t.Logf("the ledgers logged, at the end:\n%s", text[max(0, len(text)-most):])
}

func (s *siege) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// start runs the program until the test ends at the latest. Its first line comes on the channel; an empty one if it
// ended without.
func (s *siege) start(args ...string) (*exec.Cmd, <-chan string) {
	s.t.Helper()
	cmd := exec.Command(s.program, args...)
	cmd.Env = []string{"HOME=" + s.dir, "TMPDIR=" + s.dir}
	cmd.Stderr = s.logged
	out, err := cmd.StdoutPipe()
	s.ok(err)
	s.ok(cmd.Start())
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	line := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		text, _ := r.ReadString('\n') // without one it was killed first
		line <- text
		_, _ = io.Copy(io.Discard, r)
	}()
	return cmd, line
}

func (s *siege) firstLine(line <-chan string) string {
	s.t.Helper()
	select {
	case text := <-line:
		if text == "" {
			s.t.Fatal("a process ended without a word")
		}
		return text
	case <-s.ctx.Done():
		s.t.Fatal("a process did not say where it listens")
	}
	return ""
}

// launch runs a ledger on the data directory. Every fifth one, or so, is killed before it is ready.
func (s *siege) launch() {
	s.t.Helper()
	clock := "wall"
	if s.manual {
		clock = "manual"
	}
	args := []string{"serve", "--clock=" + clock, "--data-dir=" + filepath.Join(s.dir, "data"), "--gateway-timeout=5s",
		"--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0"}
	for s.launches > 0 && s.random.IntN(5) == 0 {
		s.ledger, _ = s.start(args...)
		s.killAfter(s.between(0, 60))
	}
	cmd, line := s.start(args...)
	address := regexp.MustCompile(`gRPC (\S+),`).FindStringSubmatch(s.firstLine(line))
	conn, err := grpc.NewClient(address[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.ok(err)
	s.t.Cleanup(func() { conn.Close() })
	s.ledger = cmd
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	s.launches++
	close(s.launched)
	s.launched = make(chan struct{})
}

// current is the connection to the ledger that was launched last, and a channel that is closed by the next launch.
func (s *siege) current() (*grpc.ClientConn, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn, s.launched
}

// between draws a pause of from to to milliseconds.
func (s *siege) between(from, to int) time.Duration {
	return time.Duration(from+s.random.IntN(to-from)) * time.Millisecond
}

// kill ends the ledger after a while.
func (s *siege) kill(i int) {
	s.t.Helper()
	after := s.between(50, 900)
	s.killAfter(after)
	s.t.Logf("kill %d after %v", i+1, after)
}

func (s *siege) killAfter(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
		s.t.Fatal("out of time")
	}
	s.ok(s.ledger.Process.Signal(syscall.SIGKILL))
	var killed *exec.ExitError
	if err := s.ledger.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		s.t.Fatalf("the ledger ended by itself: %v", err)
	}
}

// settleIn makes the merchant, his connection and his endpoint.
func (s *siege) settleIn() {
	s.t.Helper()
	conn, _ := s.current()
	_, err := ledgerv1.NewMerchantServiceClient(conn).CreateMerchant(s.ctx, &ledgerv1.CreateMerchantRequest{
		RequestId: "m", MerchantId: killMerchant, Name: "Acme",
	})
	s.ok(err)
	_, err = ledgerv1.NewConnectionServiceClient(conn).CreateConnection(s.ctx, &ledgerv1.CreateConnectionRequest{
		RequestId: "c", MerchantId: killMerchant, ConnectionId: "main", Gateway: "sandbox", Url: s.sandbox,
	})
	s.ok(err)
	e, err := ledgerv1.NewEndpointServiceClient(conn).CreateEndpoint(s.ctx, &ledgerv1.CreateEndpointRequest{
		RequestId: "e", MerchantId: killMerchant, EndpointId: "shop",
		Settings: &ledgerv1.EndpointSettings{Url: s.receiver.url(killMerchant), SecretKey: "shared-" + killMerchant},
	})
	s.ok(err)
	s.receiver.expect(killMerchant, e.Endpoint.SigningSecret)
}

// passDays begins to move the manual clock, while nobody calls; the next kill may come in the middle of it.
func (s *siege) passDays() {
	conn, _ := s.current()
	by := time.Duration(1+s.random.IntN(72)) * time.Hour
	s.driving.Go(func() {
		s.calls.Lock()
		defer s.calls.Unlock()
		_, _ = ledgerv1.NewOperationServiceClient(conn).AdvanceClock(s.ctx, &ledgerv1.AdvanceClockRequest{By: durationpb.New(by)})
	})
}

// comeToRest lets time pass until nothing is in doubt, parked or waiting to be told.
func (s *siege) comeToRest() {
	s.t.Helper()
	conn, _ := s.current()
	operations := ledgerv1.NewOperationServiceClient(conn)
	var left string
	for range 8 {
		_, err := operations.AdvanceClock(s.ctx, &ledgerv1.AdvanceClockRequest{By: durationpb.New(2 * time.Hour)})
		s.ok(err)
		doubt, err := operations.ListInDoubt(s.ctx, &ledgerv1.ListInDoubtRequest{})
		s.ok(err)
		parked, err := operations.ListParked(s.ctx, &ledgerv1.ListParkedRequest{})
		s.ok(err)
		waiting, err := ledgerv1.NewEndpointServiceClient(conn).ListDeliveries(s.ctx, &ledgerv1.ListDeliveriesRequest{
			MerchantId: killMerchant, States: []string{"pending", "sending"},
		})
		s.ok(err)
		if len(doubt.InDoubt)+len(parked.Parked)+len(waiting.Deliveries) == 0 {
			return
		}
		left = fmt.Sprintf("in doubt %v\nparked %v\nnot told %v", doubt.InDoubt, parked.Parked, waiting.Deliveries)
	}
	s.t.Fatalf("after 16 hours of peace not all has come to rest:\n%s", left)
}

// shutDown ends the ledger as an operator does.
func (s *siege) shutDown() {
	s.t.Helper()
	s.ok(s.ledger.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- s.ledger.Wait() }()
	select {
	case err := <-ended:
		s.ok(err)
	case <-s.ctx.Done():
		_ = s.ledger.Process.Kill()
		<-ended
		s.t.Fatal("the ledger does not stop")
	}
	for _, line := range strings.Split(s.log(), "\n") {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic") {
			s.t.Errorf("a ledger logged %s", line)
		}
	}
}

func (s *siege) log() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	s.ok(err)
	return string(text)
}
