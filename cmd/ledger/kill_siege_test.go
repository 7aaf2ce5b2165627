package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

const (
	killMerchant   = "acme"
	killConnection = "main"
	killEndpoint   = "shop"
	killDrivers    = 8
)

// siege is a ledger that is ended again and again, and everybody around it.
type siege struct {
	*harness
	t      *testing.T
	ctx    context.Context
	random *rand.Rand // of the killing; each driver has its own
	dir    string
	data   string
	server *logServer // nil if the log lies in data
	logged *programLog

	sandbox  string
	receiver *program
	ipn      string // where the receiver listens
	hearing  *hearing
	manual   bool // which clock the next ledger has
	ledger   *program
	launches int
	kills    int
	long     bool // one of its ledgers is still to be stopped for longer than anybody waits

	calls  sync.RWMutex // read-held by calls; days pass when nobody calls
	passed atomic.Int64 // by how much the manual clock may be ahead of the machine's, at most

	mu       sync.Mutex
	to       address       // of the ledger that runs now, or of the last one
	launched chan struct{} // closed and replaced at each launch
	callers  callers
	answered chan struct{} // closed and replaced at each answer

	most    int // subscriptions that one driver starts
	drivers []*driver
	driving sync.WaitGroup
	stop    chan struct{}
}

// address is how a ledger is reached.
type address struct{ grpc, rest grpc.ClientConnInterface }

// callers counts what the drivers heard.
type callers struct{ done, full, failed int }

// newSiege makes a world. Its number makes it differ from the other ones of the same seed.
func (h *harness) newSiege(t *testing.T, number uint64, most time.Duration, data string) *siege {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	s := &siege{
		harness: h, t: t, ctx: ctx, random: rand.New(rand.NewPCG(h.seed, number<<8)), dir: t.TempDir(), data: filepath.Join(data, "data"),
		logged: &programLog{}, hearing: newHearing(), most: 40,
		launched: make(chan struct{}), answered: make(chan struct{}), stop: make(chan struct{}),
	}
	s.server = s.newLogServer(number)
	t.Cleanup(func() {
		cancel()
		s.driving.Wait()
		if t.Failed() {
			t.Logf("the ledgers logged, at the end:\n%s", s.logged.end())
		}
	})
	s.receiver = s.start(s.hearing.line, nil, receiverCommand)
	s.ipn = s.firstLine(s.receiver) + "/ipn"
	sandbox := s.start(nil, nil, h.release, "sandbox", "--http=127.0.0.1:0", "--data-dir="+filepath.Join(s.dir, "gateway"))
	s.sandbox = regexp.MustCompile(`http://\S+\d`).FindString(s.firstLine(sandbox))
	return s
}

func (s *siege) firstLine(p *program) string {
	s.t.Helper()
	select {
	case text := <-p.first:
		return text
	case <-p.ended:
		s.t.Fatalf("a process ended without a word: %v", p.err)
	case <-s.ctx.Done():
		s.t.Fatal("a process did not say where it listens")
	}
	return ""
}

// serve starts a ledger on the data directory and does not wait for it.
func (s *siege) serve(environment []string, command ...string) {
	s.t.Helper()
	clock := "wall"
	if s.manual {
		clock = "manual"
	}
	args := append(command[1:len(command):len(command)], "serve", "--clock="+clock, "--data-dir="+s.data, "--log="+s.server.url(), "--gateway-timeout=5s",
		"--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0")
	s.ledger = s.start(nil, environment, command[0], args...)
}

// launch runs a release until it is ready.
func (s *siege) launch() {
	s.t.Helper()
	s.serve(nil, s.release)
	s.ready(s.firstLine(s.ledger))
}

// ready lets the drivers know where the ledger is that has just said so.
func (s *siege) ready(line string) {
	s.t.Helper()
	at := regexp.MustCompile(`gRPC (\S+), REST (\S+),`).FindStringSubmatch(line)
	if at == nil {
		s.t.Fatalf("a ledger says %q", line)
	}
	conn, err := grpc.NewClient(at[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.ok(err)
	s.t.Cleanup(func() { conn.Close() })
	transport := &http.Transport{MaxIdleConnsPerHost: killDrivers}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.launches++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = address{grpc: conn, rest: &restConn{base: at[2], client: &http.Client{Transport: transport}}}
	close(s.launched)
	s.launched = make(chan struct{})
}

// current is how the ledger that was launched last is reached, and a channel that is closed by the next launch.
func (s *siege) current() (address, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to, s.launched
}

// heard counts an answer.
func (s *siege) heard(of func(*callers) *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*of(&s.callers)++
	close(s.answered)
	s.answered = make(chan struct{})
}

// until waits until the drivers have heard what is to be heard, and reports whether they have before the ledger ended.
func (s *siege) until(what string, enough func(callers) bool) bool {
	s.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		got, answered := s.callers, s.answered
		s.mu.Unlock()
		if enough(got) {
			return true
		}
		select {
		case <-answered:
		case <-s.ledger.ended:
			return false
		case <-deadline:
			s.t.Fatalf("for half a minute callers did not find %s; they heard %+v", what, got)
		case <-s.ctx.Done():
			s.t.Fatalf("out of time while callers wait for %s", what)
		}
	}
}

// more is when the drivers have been told n times more that something was done.
func (s *siege) more(n int) func(callers) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	enough := s.callers.done + n
	return func(a callers) bool { return a.done >= enough }
}

// between draws a while of from to to milliseconds.
func (s *siege) between(from, to int) time.Duration {
	return time.Duration(from+s.random.IntN(to-from)) * time.Millisecond
}

// letIn has a call wait while the ledger turns callers away: one whose log is elsewhere says where it is before it lets
// them in.
var letIn = grpc.WaitForReady(true)

// settleIn makes the merchant, his connection and his endpoint.
func (s *siege) settleIn() {
	s.t.Helper()
	to, _ := s.current()
	_, err := ledgerv1.NewMerchantServiceClient(to.grpc).CreateMerchant(s.ctx, &ledgerv1.CreateMerchantRequest{
		RequestId: "m", MerchantId: killMerchant, Name: "Acme",
	}, letIn)
	s.ok(err)
	_, err = ledgerv1.NewConnectionServiceClient(to.grpc).CreateConnection(s.ctx, &ledgerv1.CreateConnectionRequest{
		RequestId: "c", MerchantId: killMerchant, ConnectionId: killConnection, Gateway: "sandbox", Url: s.sandbox,
	})
	s.ok(err)
	e, err := ledgerv1.NewEndpointServiceClient(to.grpc).CreateEndpoint(s.ctx, &ledgerv1.CreateEndpointRequest{
		RequestId: "e", MerchantId: killMerchant, EndpointId: killEndpoint,
		Settings: &ledgerv1.EndpointSettings{Url: s.ipn, SecretKey: "shared-" + killMerchant},
	})
	s.ok(err)
	s.hearing.merchant.expect(killMerchant, e.Endpoint.SigningSecret)
}

// passDays begins to move the manual clock, while nobody calls; the next kill may come in the middle of it.
func (s *siege) passDays() {
	if !s.manual {
		return
	}
	to, _ := s.current()
	by := time.Duration(1+s.random.IntN(72)) * time.Hour
	s.passed.Add(int64(by))
	s.driving.Go(func() {
		s.calls.Lock()
		defer s.calls.Unlock()
		_, _ = ledgerv1.NewOperationServiceClient(to.grpc).AdvanceClock(s.ctx, &ledgerv1.AdvanceClockRequest{By: durationpb.New(by)})
	})
}

// now is not before what the ledger's clock says.
func (s *siege) now() time.Time { return time.Now().Add(time.Duration(s.passed.Load())) }

// comeToRest lets time pass until nothing is in doubt, parked or waiting to be told.
func (s *siege) comeToRest() {
	s.t.Helper()
	to, _ := s.current()
	operations := ledgerv1.NewOperationServiceClient(to.grpc)
	var left string
	for range 8 {
		_, err := operations.AdvanceClock(s.ctx, &ledgerv1.AdvanceClockRequest{By: durationpb.New(2 * time.Hour)}, letIn)
		s.ok(err)
		doubt, err := operations.ListInDoubt(s.ctx, &ledgerv1.ListInDoubtRequest{})
		s.ok(err)
		parked, err := operations.ListParked(s.ctx, &ledgerv1.ListParkedRequest{})
		s.ok(err)
		waiting, err := ledgerv1.NewEndpointServiceClient(to.grpc).ListDeliveries(s.ctx, &ledgerv1.ListDeliveriesRequest{
			MerchantId: killMerchant, States: []string{"pending", "sending"},
		})
		s.ok(err)
		if len(doubt.InDoubt)+len(parked.Parked)+len(waiting.Deliveries) == 0 {
			return
		}
		left = fmt.Sprintf("in doubt %v\nparked %v\nnot told %v", doubt.InDoubt, parked.Parked, waiting.Deliveries)
	}
	s.violated("after 16 hours of peace not all has come to rest:\n%s", left)
}

// shutDown ends the ledger as an operator does.
func (s *siege) shutDown() {
	s.t.Helper()
	s.ledger.signal(syscall.SIGTERM)
	select {
	case <-s.ledger.ended:
		s.ok(s.ledger.err)
	case <-s.ctx.Done():
		s.t.Fatal("the ledger does not stop")
	}
	for _, line := range s.logged.faults() {
		s.violated("a ledger logged %s", line)
	}
}
