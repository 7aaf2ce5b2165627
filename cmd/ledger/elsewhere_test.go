package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/esdb"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
)

const farURL = "esdb://ledger:hush@db1:2113?tls=true"

// shared collects what several goroutines write.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// distant is a ledger with its log elsewhere, that somebody has run "serve" for.
type distant struct {
	t       *testing.T
	log     *farLog
	cfg     config
	service *service
	stop    context.CancelFunc
	ended   chan error
	logged  shared
	printed shared
}

// free is a loopback address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newDistant(t *testing.T, log *farLog, dir string) *distant {
	t.Helper()
	return &distant{t: t, log: log, cfg: config{
		DataDir: dir, Log: farURL, GRPC: free(t), HTTP: free(t), Admin: free(t),
		Clock: "manual", ClockStart: "2026-03-02T09:00:00Z",
	}}
}

// serve runs the ledger until the test ends, or end.
func (d *distant) serve() {
	d.t.Helper()
	d.serveSaying(&d.printed)
}

func (d *distant) serveSaying(out io.Writer) {
	d.t.Helper()
	d.service = newService(d.cfg, slog.New(slog.NewTextHandler(&d.logged, nil)))
	d.service.dial = d.log.dial
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.ended = stop, make(chan error, 1)
	go func() { d.ended <- d.service.serve(ctx, out) }()
	d.t.Cleanup(func() {
		if d.stop != nil {
			d.end()
		}
	})
}

// end stops the ledger, which has to obey.
func (d *distant) end() {
	d.t.Helper()
	d.stop()
	d.stop = nil
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("serve ended with %v, want nil", err)
		}
	case <-time.After(patience):
		d.t.Fatal("serve does not end")
	}
}

// refused is why the ledger did not begin.
func (d *distant) refused() error {
	d.t.Helper()
	select {
	case err := <-d.ended:
		d.ended <- nil
		return err
	case <-time.After(patience):
		d.t.Fatal("serve does not end by itself")
		return nil
	}
}

// get asks the admin listener; 0 if nobody answers.
func (d *distant) get(path string) (status int, body string) {
	resp, err := http.Get("http://" + d.cfg.Admin + path)
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

// await asks whether the ledger is ready until it answers with a status and a text.
func (d *distant) await(status int, says string) {
	d.t.Helper()
	var got int
	var body string
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(10 * time.Millisecond) {
		if got, body = d.get("/readyz"); got == status && strings.Contains(body, says) {
			return
		}
		select {
		case err := <-d.ended:
			d.ended <- nil
			d.t.Fatalf("serve ended with %v; it has logged:\n%s", err, d.logged.String())
		default:
		}
	}
	d.t.Fatalf("readyz answers %d %s; want %d and %q; it has logged:\n%s", got, body, status, says, d.logged.String())
}

func (d *distant) conn() *grpc.ClientConn {
	d.t.Helper()
	conn, err := grpc.NewClient(d.cfg.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	return conn
}

// sell starts a subscription, and answers with the reason if that is refused.
func (d *distant) sell(id string) (status int, body string) {
	d.t.Helper()
	text := fmt.Sprintf(`{"start": {"subscription_id": %[1]q, "connection_id": "sandbox", "payment_method_token": "tok_ok",
		"buyer": {"id": %[1]q}, "terms": {"product_id": "course", "product_name": "A course", "price_point": 1,
		"kind": "PRICE_KIND_RECURRING", "period": "PERIOD_MONTHLY",
		"regular": {"base": {"currency_code": "USD", "minor_units": "4700"}}}}}`, id)
	req, err := http.NewRequest(http.MethodPost, "http://"+d.cfg.HTTP+"/v1/merchants/default/subscriptions:start", strings.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "start "+id)
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// advance moves the clock as an operator does.
func (d *distant) advance(by time.Duration) error {
	_, err := ledgerv1.NewOperationServiceClient(d.conn()).AdvanceClock(d.t.Context(), &ledgerv1.AdvanceClockRequest{By: durationpb.New(by)})
	return err
}

// orders counts what was sold.
func (d *distant) orders() int {
	d.t.Helper()
	r, err := ledgerv1.NewOrderServiceClient(d.conn()).ListOrders(d.t.Context(), &ledgerv1.ListOrdersRequest{MerchantId: firstMerchant})
	if err != nil {
		d.t.Fatal(err)
	}
	return len(r.Orders)
}

// verify checks every promise, with the ledger stopped.
func (d *distant) verify() {
	d.t.Helper()
	cfg := d.cfg
	cfg.GRPC, cfg.HTTP, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s := newService(cfg, slog.New(slog.DiscardHandler))
	s.dial = d.log.dial
	r, err := s.verify(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	if len(r.Violations) > 0 {
		d.t.Errorf("verify found:\n%s", strings.Join(r.Violations, "\n"))
	}
}

// A ledger may be started before its log. It waits, says so, and lets nobody in.
func TestServeWaitsForItsLog(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), t.TempDir())
	d.log.goAway()
	d.serve()
	d.await(503, "the log at esdb://ledger:(secret)@db1:2113 cannot be reached: log unavailable: connection refused; is --log right?")
	if status, body := d.get("/healthz"); status != 200 {
		t.Errorf("healthz answers %d %s, want 200", status, body)
	}
	if status, body := d.sell("early"); status != 0 || strings.Contains(body, "Timeout") {
		t.Errorf("REST answers %d %s, want that nobody is let in, nor kept waiting", status, body)
	}
	d.log.comeBack()
	d.await(200, `"head"`)
	if status, body := d.sell("alpha"); status != 200 {
		t.Errorf("with the log there: %d %s", status, body)
	}
	if err := d.advance(time.Second); err != nil {
		t.Error(err)
	}
	d.end()
	if d.log.watched != 1 {
		t.Errorf("the log was watched %d times, want once", d.log.watched)
	}
	text := d.logged.String() + d.printed.String()
	if strings.Count(text, "waiting for the log") != 1 || !strings.Contains(text, "log at esdb://ledger:(secret)@db1:2113") || strings.Contains(text, "hush") {
		t.Errorf("got %s, want one line that it waits, where the log is, and no password", text)
	}
	d.verify()
}

// doorbell is where a ledger says where it listens: a caller connects in that very moment.
type doorbell struct {
	at   string
	conn net.Conn
	err  error
	rang chan struct{}
}

func (b *doorbell) Write(line []byte) (int, error) {
	b.conn, b.err = net.Dial("tcp", b.at)
	close(b.rang)
	return len(line), nil
}

// Whoever reads where the ledger listens is let in.
func TestServeSaysWhereItListens(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), t.TempDir())
	bell := &doorbell{at: d.cfg.HTTP, rang: make(chan struct{})}
	d.serveSaying(bell)
	select {
	case <-bell.rang:
	case <-time.After(patience):
		t.Fatal("serve says nothing")
	}
	if bell.err != nil {
		t.Fatal(bell.err)
	}
	defer bell.conn.Close()
	answer := make([]byte, len("HTTP/1.1 200"))
	_, err := io.WriteString(bell.conn, "GET /openapi.json HTTP/1.1\r\nHost: ledger\r\n\r\n")
	if err == nil {
		_, err = io.ReadFull(bell.conn, answer)
	}
	if string(answer) != "HTTP/1.1 200" {
		t.Errorf("got %q and %v, want that who connects is let in", answer, err)
	}
}

func TestServeIsEndedWhileItWaits(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), t.TempDir())
	d.log.goAway()
	d.serve()
	d.await(503, "cannot be reached")
	d.end()
	if out := d.printed.String(); out != "" {
		t.Errorf("it printed %q, want nothing", out)
	}
}

func TestServeIsRefused(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), t.TempDir())
	d.log.refuses = fmt.Errorf("%w: the password is wrong; give another one", esdb.ErrRefused)
	d.serve()
	err := d.refused()
	var config configError
	if !errors.As(err, &config) || !strings.HasPrefix(err.Error(), "--log: ") || !strings.Contains(err.Error(), "the password is wrong; give another one (LOG_REFUSED)") {
		t.Errorf("got %v, want a wrong setting with what to change", err)
	}
}

// While the log is away for a month, nothing ends, and callers are told. Then all goes on.
func TestTheLogGoesAway(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), t.TempDir())
	d.serve()
	d.await(200, "")
	if status, body := d.sell("alpha"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if err := d.advance(time.Hour); err != nil {
		t.Fatal(err)
	}

	d.log.goAway()
	if status, body := d.sell("beta"); status != 503 || !strings.Contains(body, "STORE_UNAVAILABLE") {
		t.Errorf("a command is answered with %d %s, want 503 and STORE_UNAVAILABLE", status, body)
	}
	d.await(503, "cannot be read: log unavailable: connection refused")
	for range 40 { // the rebill falls due, and everybody tries what he wants to do
		if err := d.service.manual.move(d.service.clock.Now().Add(24 * time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	d.service.sender.Notify()
	d.service.inbound.Nudge()
	d.service.wake.Nudge()
	select {
	case err := <-d.ended:
		t.Fatalf("serve ended with %v; it has logged:\n%s", err, d.logged.String())
	case <-time.After(2 * followPause): // all have tried more than once
	}

	d.log.comeBack()
	d.await(200, `"head"`)
	if status, body := d.sell("beta"); status != 200 {
		t.Errorf("with the log back: %d %s", status, body)
	}
	if err := d.advance(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := d.orders(); got != 3 {
		t.Errorf("%d orders, want 3: two sales, and the rebill that was due meanwhile", got)
	}
	d.end()
	d.verify()
}

// Who looks how a ledger is does not make a log in trouble work more.
func TestReadyAsksNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFarLog()
		var h health
		for range 100 {
			if _, err := h.look(farOpened{f}); err != nil {
				t.Fatal(err)
			}
		}
		if f.asked != 1 {
			t.Errorf("asked %d times at once, want once", f.asked)
		}
		f.goAway()
		time.Sleep(headAge)
		if _, err := h.look(farOpened{f}); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("a second later: got %v, want ErrUnavailable", err)
		}
		began := time.Now()
		time.Sleep(headAge)
		if _, err := h.look(silentLog{}); !errors.Is(err, event.ErrUnavailable) || time.Since(began) > headAge+headTime {
			t.Errorf("of a log that does not answer: got %v after %v, want ErrUnavailable within %v", err, time.Since(began), headTime)
		}
	})
}

// silentLog does not answer.
type silentLog struct{ event.Log }

func (silentLog) Head(ctx context.Context) (event.Position, error) {
	<-ctx.Done()
	return event.Position{}, ctx.Err()
}

// It is told at growing intervals, and asked every few seconds, that the log is not there.
func TestWaitingIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		s := newService(config{}, slog.New(slog.NewTextHandler(&logged, nil)))
		s.patient = true
		tries := 0
		err := s.persist(t.Context(), func(context.Context) error {
			if tries++; tries < 1000 {
				return event.ErrUnavailable
			}
			return nil
		})
		lines := strings.Count(logged.String(), "waiting for the log")
		if err != nil || lines < 5 || lines > 20 {
			t.Errorf("got %v, and %d lines in more than an hour; want a few", err, lines)
		}
		other := errors.New("another one")
		if err := s.persist(t.Context(), func(context.Context) error { return other }); err != other {
			t.Errorf("got %v, want what is no outage at once", err)
		}
	})
}

// A follower goes on behind what it was given, and does not outlast that the log is another one.
func TestSteady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFarLog()
		log := farOpened{f}
		raw := func(n byte) event.Raw {
			return event.Raw{ID: [16]byte{n}, Type: "t", Data: []byte("{}"), Metadata: []byte("{}")}
		}
		for n := range event.Revision(3) {
			if _, err := log.Append(t.Context(), "merchant-a", n-1, raw(byte(n+1))); err != nil {
				t.Fatal(err)
			}
		}
		var got []event.Revision
		ended := make(chan error, 1)
		full := errors.New("enough")
		go func() {
			ended <- steady(log, slog.New(slog.DiscardHandler)).Follow(t.Context(), nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
				if m.Kind == event.KindEvent {
					got = append(got, m.Event.Revision)
				}
				if len(got) == 5 {
					return full
				}
				return nil
			})
		}()
		synctest.Wait()
		f.goAway()
		time.Sleep(time.Hour)
		f.comeBack()
		for n := range event.Revision(2) {
			if _, err := log.Append(t.Context(), "merchant-a", n+2, raw(byte(n+4))); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != full || fmt.Sprint(got) != "[0 1 2 3 4]" {
			t.Errorf("got %v, %v; want every event once and the handler's error", got, err)
		}
		for _, other := range []error{event.ErrDiverged, event.ErrPositionAhead, event.ErrClosed} {
			if err := steady(endingLog{err: other}, slog.Default()).Follow(t.Context(), nil, event.Cursor{}, nil); err != other {
				t.Errorf("got %v, want %v at once", err, other)
			}
		}
	})
}

// endingLog ends every follower.
type endingLog struct {
	event.Log
	err error
}

func (l endingLog) Follow(context.Context, []string, event.Cursor, func(context.Context, event.Message) error) error {
	return l.err
}

func TestSteadyStaysExclusive(t *testing.T) {
	t.Parallel()
	if _, alone := steady(memory.New(), nil).(event.Exclusive); !alone {
		t.Error("a log that is one process's alone is no longer that")
	}
	if _, alone := steady(farOpened{newFarLog()}, nil).(event.Exclusive); alone {
		t.Error("a log that is shared is said to be one process's alone")
	}
}

// The stores in a data directory belong to one log.
func TestLogElsewhere(t *testing.T) {
	t.Parallel()
	dir := lived(t)
	d := newDistant(t, newFarLog(), dir)
	for name, c := range map[string]struct {
		cfg  config
		dir  string
		says string
	}{
		"a log of its own": {d.cfg, dir, "ledger copy-log " + dir},
		"a log elsewhere":  {config{}, servedFar(t), "esdb://db1:2113: give it as --log"},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.DataDir, c.cfg.GRPC, c.cfg.HTTP, c.cfg.Admin = c.dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
			s := newService(c.cfg, slog.New(slog.DiscardHandler))
			s.dial = d.log.dial
			err := s.serve(t.Context(), io.Discard)
			if err == nil || !strings.Contains(err.Error(), "LOG_ELSEWHERE") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want LOG_ELSEWHERE and %q", err, c.says)
			}
		})
	}
}

// servedFar is the data directory of a ledger that had its log elsewhere.
func servedFar(t *testing.T) (dir string) {
	t.Helper()
	d := newDistant(t, newFarLog(), t.TempDir())
	d.serve()
	d.await(200, "")
	if status, body := d.sell("alpha"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if err := d.advance(time.Second); err != nil { // all have seen it
		t.Fatal(err)
	}
	d.end()
	return d.cfg.DataDir
}

// Cursors of a log are of no use in another one, even if that is of the same kind.
func TestAnotherLogElsewhere(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), servedFar(t))
	d.serve()
	err := d.refused()
	if err == nil || !strings.Contains(err.Error(), "STORE_DIVERGED") {
		t.Errorf("got %v, want STORE_DIVERGED", err)
	}
}

// Positions of an embedded log are of another kind.
func TestPositionsOfAnotherKind(t *testing.T) {
	t.Parallel()
	dir := lived(t)
	old, err := filepath.Glob(filepath.Join(dir, "log.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	d := newDistant(t, newFarLog(), dir)
	d.serve()
	err = d.refused()
	if err == nil || !strings.Contains(err.Error(), "STORE_DIVERGED") {
		t.Errorf("got %v, want STORE_DIVERGED", err)
	}
}

// Who waits in front of a command is told that the log is not there; the demo wants one to itself.
func TestCommandsDoNotWait(t *testing.T) {
	t.Parallel()
	d := newDistant(t, newFarLog(), servedFar(t))
	d.log.goAway()
	s := newService(d.cfg, slog.New(slog.DiscardHandler))
	s.dial = d.log.dial
	if _, err := s.verify(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "is --log right? (LOG_UNREACHABLE)") {
		t.Errorf("verify: got %v, want LOG_UNREACHABLE", err)
	}
	d.log.comeBack()
	s = newService(d.cfg, slog.New(slog.DiscardHandler))
	s.log = farOpened{d.log}
	if err := s.wantEmpty(t.Context()); err != nil {
		t.Errorf("an empty log: %v", err)
	}
	raw := event.Raw{ID: [16]byte{1}, Type: "t", Data: []byte("{}"), Metadata: []byte("{}")}
	if _, err := s.log.Append(t.Context(), "merchant-a", event.NoStream, raw); err != nil {
		t.Fatal(err)
	}
	var config configError
	if err := s.wantEmpty(t.Context()); !errors.As(err, &config) || !strings.Contains(err.Error(), "LOG_NOT_EMPTY") {
		t.Errorf("got %v, want LOG_NOT_EMPTY, as a wrong setting", err)
	}
}
