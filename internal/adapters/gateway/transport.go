package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// MaxAnswer is how much of a gateway's answer is read; no real one comes near.
const MaxAnswer = 1 << 20

// maxRetryAfter caps how long a gateway may ask us to wait.
const maxRetryAfter = time.Hour

// NewHTTPClient returns the client that adapters use: it follows no redirect (a moved payment API is an answer to
// be judged, not an address to send a charge to) and drops idle connections before servers usually do, so that a
// charge rarely meets a connection that the other side has just closed.
func NewHTTPClient() *http.Client {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       20 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reply is a gateway's whole answer.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// SendError is why a request has no whole answer.
type SendError struct {
	// Sent tells whether the gateway may have got the request.
	Sent bool
	Err  error
}

func (e *SendError) Error() string {
	if e.Sent {
		return "no answer: " + e.Err.Error()
	}
	return "not sent: " + e.Err.Error()
}

func (e *SendError) Unwrap() error { return e.Err }

// Failed is the Result of a request that Exchange returned err for.
func Failed(err error) Result {
	var e *SendError
	if errors.As(err, &e) && !e.Sent {
		return Result{Class: NotSent, Why: e.Error()}
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
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, maxRetryAfter)
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
		return Reply{}, &SendError{Sent: t.maySent(), Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return Reply{}, &SendError{Sent: true, Err: fmt.Errorf("answer with status %d: %w", resp.StatusCode, err)}
	}
	if len(body) > MaxAnswer {
		return Reply{}, &SendError{Sent: true, Err: fmt.Errorf("answer with status %d is longer than %d bytes", resp.StatusCode, MaxAnswer)}
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
