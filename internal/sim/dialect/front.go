package dialect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ledger.internal/ledger/internal/sim/neighbour"
)

// How an exchange ends without an answer.
var (
	errReset   = errors.New("connection reset by peer")
	errTimeout = errors.New("no answer in time")
)

// straggles is how long a request that its caller has given up may be under way: half of the shortest horizon, for it may
// have been held up before it went out, and its horizon counts from then.
const straggles = 5 * time.Minute

// request is one under way.
type request struct {
	*http.Request
	body []byte
	form url.Values
}

// again is the request as a server gets it: once it has left, its caller's end does not end it.
func (r *request) again() *http.Request {
	c := r.Clone(context.WithoutCancel(r.Context()))
	c.Body = io.NopCloser(bytes.NewReader(r.body))
	return c
}

// RoundTrip implements http.RoundTripper: it carries a request to the server of the account at that address, or does not.
func (h *House) RoundTrip(r *http.Request) (*http.Response, error) {
	q := &request{Request: r}
	if r.Body != nil {
		var err error
		if q.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // as a RoundTripper has to
	}
	q.form, _ = url.ParseQuery(string(q.body)) // the server will say what is wrong with it
	type end struct {
		*http.Response
		error
	}
	e := alone(h, func(now time.Time) end {
		h.pass(now)
		for _, a := range h.accounts {
			if a.host == r.URL.Host {
				answer, err := h.carry(a, q, now)
				return end{answer, err}
			}
		}
		return end{nil, errors.New("no such host")}
	})
	return e.Response, e.error
}

// Looks reports whether a request changes nothing.
func (h *House) Looks(r *http.Request) bool { return h.accounts[0].looks(r) }

// About tells requests apart: by where they go, and by the ledger's key if they have one.
func (h *House) About(r *http.Request) string { return h.accounts[0].about(r) }

// carry brings a request to an account's server, well or badly.
func (h *House) carry(a *account, r *request, now time.Time) (*http.Response, error) {
	if answer := h.turnedAway(a, now); answer != nil {
		return answer, nil
	}
	if a.looks(r.Request) {
		if h.chance(h.Mischief.LookupFails) {
			h.hit(neighbour.LookupFailed)
			return plain(http.StatusServiceUnavailable, "text/plain", "Service Unavailable"), nil
		}
		return a.serve(r), nil
	}
	h.changed = true
	switch {
	case h.chance(h.Mischief.LostOnTheWay):
		h.hit(neighbour.CallLostOnTheWay)
		if h.chance(0.5) {
			h.straggle(a, r, now)
		}
		return nil, errReset
	case h.chance(h.Mischief.Broken):
		return h.broken(a, r), nil
	}
	a.decide(h, r)
	h.carryOut(a, r)
	return h.told(a.serve(r))
}

// serve has the server answer.
func (a *account) serve(r *request) *http.Response {
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, r.again())
	return answer.Result()
}

// carryOut notes that a request arrives.
func (h *House) carryOut(a *account, r *request) {
	if key := a.keyOf(r); key != "" {
		h.arrived[key] = true
	}
}

// straggle has a request arrive after its caller has given up.
func (h *House) straggle(a *account, r *request, now time.Time) {
	h.schedule(now.Add(h.within(straggles)), func() {
		h.hit(Straggler)
		a.decide(h, r)
		h.carryOut(a, r)
		_ = a.serve(r).Body.Close() // it is in memory
	})
}

// turnedAway is the answer to a request that is not even looked at; nil if it is.
func (h *House) turnedAway(a *account, now time.Time) *http.Response {
	if !now.Before(a.until) {
		switch {
		case h.chance(h.Mischief.TooMany / calls):
			a.until, a.config = now.Add(h.within(5*time.Minute)), false
		case h.chance(h.Mischief.Unauthorized / calls):
			a.until, a.config = now.Add(h.within(30*time.Minute)), true
		default:
			return nil
		}
	}
	if a.config {
		h.hit(neighbour.CallUnauthorized)
		return plain(http.StatusUnauthorized, "application/json", `{"error":{"type":"invalid_request_error","message":"Invalid API Key provided."}}`)
	}
	h.hit(neighbour.CallTooMany)
	answer := plain(http.StatusTooManyRequests, "text/plain", "Too Many Requests")
	if h.chance(0.5) {
		answer.Header.Set("Retry-After", strconv.Itoa(int(a.until.Sub(now)/time.Second)))
	}
	return answer
}

// calls is how many requests one call of an adapter takes, about: what ends all of them is as much rarer.
const calls = 3

// broken answers with an internal error: of the server, which remembers it, or of what stands before it.
func (h *House) broken(a *account, r *request) *http.Response {
	done := h.chance(0.5)
	if done {
		h.hit(neighbour.CallBrokenDone)
	} else {
		h.hit(neighbour.CallBrokenUndone)
	}
	if h.chance(0.5) && a.breakInside(r, done) {
		h.carryOut(a, r)
		return a.serve(r)
	}
	if done {
		a.decide(h, r)
		h.carryOut(a, r)
		_ = a.serve(r).Body.Close() // it is in memory
	}
	return plain(http.StatusBadGateway, "text/html", "<html><title>502 Bad Gateway</title></html>")
}

// told spoils the answer to what was carried out, or does not.
func (h *House) told(answer *http.Response) (*http.Response, error) {
	if !h.chance(h.Mischief.Untold) {
		return answer, nil
	}
	switch h.Random.IntN(4) {
	case 0:
		h.hit(neighbour.CallTimeoutDone)
		return nil, errTimeout
	case 1:
		h.hit(neighbour.CallResetDone)
		return nil, errReset
	case 2:
		h.hit(HalfAnAnswer)
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), cut{}))
		return answer, nil
	}
	h.hit(neighbour.CallGarbledDone)
	return plain(http.StatusOK, "text/html", "<!doctype html><title>Maintenance</title>"), nil
}

// cut is what is left of a connection.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func plain(status int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}
