package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
)

const (
	// MaxAnswer is how much of a gateway's answer is read; no real one comes near.
	MaxAnswer = 1 << 20
	// maxAnswerHeader is the same of its header. net/http would take 10 MB.
	maxAnswerHeader = 64 << 10
	// maxRetryAfter caps how long a gateway may ask us to wait.
	maxRetryAfter = time.Hour
)

// NewHTTPClient returns the client that adapters use: it follows no redirect (a moved payment API is an answer to
// be judged, not an address to send a charge to), unpacks nothing (no gateway needs to pack its answers, and a small one
// may unpack to a huge one), and drops idle connections before servers usually do, so that a charge rarely meets a
// connection that the other side has just closed.
func NewHTTPClient() *http.Client { return NewHTTPClientBy(clock.Wall{}) }

// NewHTTPClientBy returns a client whose pauses go by a clock of the caller's: where time is moved by hand, a gateway that
// was away for days is not away for seconds more.
func NewHTTPClientBy(c clock.Clock) *http.Client {
	return &http.Client{
		Transport: NewTransport(&http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        20 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ExpectContinueTimeout:  time.Second,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswerHeader,
		}, c),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport is an http.RoundTripper that spares a gateway: it sends an account's requests no faster than the gateway
// takes them, and none while it does not answer. What it keeps back is a *SendError that says so and for how long. It
// reads answers whole, so that one which breaks off counts as none.
//
// Its pauses go by a clock, and requests in a second are counted by the machine's: each waits for its turn in real time.
type Transport struct {
	next  http.RoundTripper
	now   func() time.Time
	mu    sync.Mutex
	lines map[party]*line
}

// NewTransport returns a Transport that sends through next.
func NewTransport(next http.RoundTripper, c clock.Clock) *Transport {
	return &Transport{next: next, now: c.Now, lines: map[party]*line{}}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	l := t.line(callerOf(req.Context()), req.URL.Host)
	circuit := l.moves
	if req.Method == http.MethodGet || looks(req.Context()) {
		circuit = l.looks
	}
	resp, err := circuit.do(req.Context(), func() (*http.Response, error) {
		if err := l.pace.wait(req.Context()); err != nil {
			return nil, err
		}
		resp, err := t.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		l.pace.heed(resp)
		return whole(resp)
	})
	if err != nil && req.Body != nil {
		req.Body.Close() // as a RoundTripper has to; closing it twice does no harm
	}
	return resp, err
}

// CloseIdleConnections is what http.Client's method of that name asks for.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// whole is resp with its body in memory.
func whole(resp *http.Response) (*http.Response, error) {
	body, err := readAnswer(resp)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// readAnswer reads and closes the body of resp. Its error is a *SendError.
func readAnswer(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return nil, &SendError{Sent: true, Err: fmt.Errorf("answer with status %d: %w", resp.StatusCode, plain(err))}
	}
	if len(body) > MaxAnswer {
		return nil, &SendError{Sent: true, Err: fmt.Errorf("answer with status %d is longer than %d bytes", resp.StatusCode, MaxAnswer)}
	}
	return body, nil
}

// Reply is a gateway's whole answer.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// SendError is why a request has no whole answer. Of Exchange's, nothing quotes the request or the answer.
type SendError struct {
	// Sent tells whether the gateway may have got the request.
	Sent bool
	// RetryAfter is when it is worth trying again what was kept back; 0 if nobody knows.
	RetryAfter time.Duration
	Err        error
}

func (e *SendError) Error() string {
	if e.Sent {
		return "no answer: " + e.Err.Error()
	}
	return "not sent: " + e.Err.Error()
}

func (e *SendError) Unwrap() error { return e.Err }

// ErrAddress is the error of a request whose address makes no URL. The one that net/http has for it quotes the address.
var ErrAddress = errors.New("the gateway's address makes no URL")

// Failed is the Result of a request that Exchange returned err for.
func Failed(err error) Result {
	var e *SendError
	if errors.As(err, &e) && !e.Sent {
		return Result{Class: NotSent, RetryAfter: e.RetryAfter, Why: e.Error()}
	}
	return Result{Class: Unknown, Why: err.Error()}
}

// Refused is the Result of an answer that by its status alone says that the gateway did not look at the request:
// it knew nobody (401) or was asked too often (429). ok is false for any other.
func Refused(r Reply, now time.Time) (res Result, ok bool) {
	switch r.Status {
	case http.StatusUnauthorized:
		return Result{Class: NotSent, Config: true, Why: "the gateway does not accept the connection's credentials"}, true
	case http.StatusTooManyRequests:
		return Result{Class: NotSent, RetryAfter: retryAfter(r.Header, now), Why: "the gateway asks to slow down"}, true
	}
	return Result{}, false
}

func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	s, err := strconv.ParseUint(v, 10, 31)
	switch {
	case err == nil:
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	case errors.Is(err, strconv.ErrRange): // a number, if not one that can be counted with
		return maxRetryAfter
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// Exchange sends req once and reads the whole answer within timeout. Every error is a *SendError.
//
// net/http resends a request by itself when a connection dies, if the method is safe or an Idempotency-Key is set
// and the body can be had again; so for anything but GET the second body is taken away: whoever asked for a charge
// decides about repeating it.
func Exchange(client *http.Client, req *http.Request, timeout time.Duration) (Reply, error) {
	ctx, cancel := context.WithTimeout(req.Context(), timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return Reply{}, &SendError{Err: err}
	}
	var t sendTrace
	req = req.WithContext(httptrace.WithClientTrace(ctx, t.hooks()))
	if req.Method != http.MethodGet {
		req.GetBody = nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return Reply{}, t.failed(err)
	}
	body, err := readAnswer(resp)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// sendTrace watches how far a request got. WroteHeaders would be later than GotConn, but too late: a client whose
// context ends returns while its connection may still be writing. Before GotConn nothing can have been written.
// A transport that reports nothing is taken to have sent.
type sendTrace struct{ wanted, got atomic.Bool }

func (t *sendTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.got.Store(true) },
	}
}

func (t *sendTrace) maySent() bool { return t.got.Load() || !t.wanted.Load() }

// failed is the SendError of what http.Client returned.
func (t *sendTrace) failed(err error) *SendError {
	var known *SendError // a Transport knows better
	if errors.As(err, &known) {
		return known
	}
	return &SendError{Sent: t.maySent(), Err: plain(err)}
}
