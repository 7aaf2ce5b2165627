package gatewaytest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// line is the way between an adapter and its gateway, whatever language the two speak: it carries a request on or loses
// it, and spoils the answer. So every gateway meets the same accidents, and its own server need not know of them.
type line struct {
	near, far *url.URL
	client    *http.Client
	// counts picks the requests that something happens to; the others pass.
	counts func(*http.Request) bool

	hits     atomic.Int32 // requests that something happened to
	followed atomic.Bool  // a redirect was taken for an address

	mu     sync.Mutex
	fault  *fault
	told   map[string]*reply // what was answered while nothing happened to anything, by request
	latest *reply
	asked  []string          // what was asked, each request once, where the answers are cut
	whole  map[string]*reply // what was answered
	cut    struct{ of, at int }

	spoilt   chan struct{} // closed once a request has met the fault
	spoiling sync.Once
	stopping chan struct{}
}

// reply is a gateway's true answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// newLine is a line to the gateway at address.
func newLine(t testing.TB, address string, counts func(*http.Request) bool) *line {
	t.Helper()
	far, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{
		far: far, client: gateway.NewHTTPClient(), counts: counts, told: map[string]*reply{}, whole: map[string]*reply{},
		spoilt: make(chan struct{}), stopping: make(chan struct{}),
	}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	t.Cleanup(l.client.CloseIdleConnections)
	t.Cleanup(func() { close(l.stopping) }) // first, so that nobody waits
	l.near, err = url.Parse(srv.URL + far.Path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// meets has every request that counts meet f from now on.
func (l *line) meets(f *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.tell != nil {
		l.fault = f
	}
}

// ServeHTTP implements http.Handler.
func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // the whole, so that the server notices when the caller hangs up
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path == elsewhere {
		l.followed.Store(true)
	}
	l.mu.Lock()
	f := l.fault
	l.mu.Unlock()
	x := &exchange{line: l, w: w, r: r, body: body, fault: f}
	if !l.counts(r) {
		x.give(x.carry())
		return
	}
	if f == nil {
		a := x.carry()
		l.remember(r, a)
		x.give(a)
		return
	}
	l.hits.Add(1)
	var a *reply
	switch {
	case f.cuts:
		a = x.carryOnce()
	case f.happens:
		a = x.carry()
	}
	f.tell(x, a)
	l.met()
}

// met says that a request has met the fault: what was to happen at the gateway has happened.
func (l *line) met() { l.spoiling.Do(func() { close(l.spoilt) }) }

func (l *line) remember(r *http.Request, a *reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[r.Method+r.URL.Path] = a
	l.latest = a
}

// other is what somebody else was answered who asked the same, or asked last.
func (l *line) other(r *http.Request) *reply {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.told[r.Method+r.URL.Path]; a != nil {
		return a
	}
	return l.latest
}

// exchange is one request on the line.
type exchange struct {
	*line
	w     http.ResponseWriter
	r     *http.Request
	body  []byte
	fault *fault
}

// carry carries the request on and comes back with the true answer. It does so even if the caller is gone by now.
func (x *exchange) carry() *reply {
	to := *x.far
	to.Path, to.RawQuery = x.r.URL.Path, x.r.URL.RawQuery
	req, err := http.NewRequest(x.r.Method, to.String(), bytes.NewReader(x.body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = x.r.Header.Clone()
	resp, err := x.client.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: body}
}

// carryOnce carries the request on, and later ones like it no more: they get the first one's answer.
func (x *exchange) carryOnce() *reply {
	print := x.print()
	x.mu.Lock()
	defer x.mu.Unlock() // throughout, so that none is carried on twice
	if x.whole[print] == nil {
		x.asked, x.whole[print] = append(x.asked, print), x.carry()
	}
	return x.whole[print]
}

// print is what makes two requests the same.
func (x *exchange) print() string { return x.r.Method + x.r.URL.RequestURI() + string(x.body) }

// give answers with a, edited.
func (x *exchange) give(a *reply, edits ...func(*reply)) {
	told := &reply{status: a.status, header: a.header.Clone(), body: slices.Clone(a.body)}
	told.header.Del("Content-Length")
	for _, edit := range edits {
		edit(told)
	}
	for name, values := range told.header {
		x.w.Header()[name] = values
	}
	x.w.WriteHeader(told.status)
	_, _ = x.w.Write(told.body) // the caller may have heard enough
}

// say answers with something that no gateway has said.
func (x *exchange) say(status int, contentType, text string) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, text) // the caller may be gone
}

// wait lasts until the caller hangs up. It does not return.
func (x *exchange) wait() {
	select {
	case <-x.r.Context().Done():
	case <-x.stopping:
	}
	panic(http.ErrAbortHandler)
}

// The ways to spoil an answer. Each gets the true one, or nil if the request was lost.

func silent(x *exchange, _ *reply) {
	x.met()
	x.wait()
}

// reset cuts the connection the hard way.
func reset(x *exchange, _ *reply) {
	if conn, _, err := http.NewResponseController(x.w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // else it is a clean end, which is another row
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

func closed(*exchange, *reply) { panic(http.ErrAbortHandler) }

func says(status int, contentType, text string) func(*exchange, *reply) {
	return func(x *exchange, _ *reply) { x.say(status, contentType, text) }
}

func saysLater(status int, after func() string) func(*exchange, *reply) {
	return func(x *exchange, _ *reply) {
		x.w.Header().Set("Retry-After", after())
		x.say(status, "text/plain", "Later.\n")
	}
}

func redirects(status int) func(*exchange, *reply) {
	return func(x *exchange, _ *reply) { http.Redirect(x.w, x.r, elsewhere, status) }
}

// half stops in the middle of what was announced.
func half(x *exchange, a *reply) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	x.give(a, func(a *reply) { a.body = a.body[:len(a.body)/2] })
	_ = http.NewResponseController(x.w).Flush() // the half that is meant to arrive
	panic(http.ErrAbortHandler)
}

// dripEvery is how long a dripping answer takes for a byte: every time-out between two bytes is longer.
const dripEvery = 5 * time.Millisecond

// drip tells the answer a byte at a time, and never its last one.
func drip(x *exchange, a *reply) {
	body := []byte(strings.Repeat(" ", 64))
	if a != nil {
		body = a.body
	}
	x.w.WriteHeader(http.StatusOK)
	tick := time.NewTicker(dripEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		if i < len(body)-1 {
			_, _ = x.w.Write(body[i : i+1])
		}
		_ = http.NewResponseController(x.w).Flush()
		x.met()
		select {
		case <-tick.C:
		case <-x.r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-x.stopping:
			panic(http.ErrAbortHandler)
		}
	}
}

// cutShort tells only the first bytes of an answer, and that there are no more.
func cutShort(x *exchange, a *reply) {
	x.mu.Lock()
	n := len(a.body)
	if x.cut.of < len(x.asked) && x.asked[x.cut.of] == x.print() {
		n = min(n, x.cut.at)
	}
	x.mu.Unlock()
	x.give(a, func(a *reply) { a.body = a.body[:n] })
}

// cutAt cuts the answer to the request of that number, in the order in which they came, after so many bytes.
func (l *line) cutAt(of, at int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut.of, l.cut.at = of, at
}

// size is how long the answer to the request of that number is; ok is false if there was none.
func (l *line) size(of int) (n int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of >= len(l.asked) {
		return 0, false
	}
	return len(l.whole[l.asked[of]].body), true
}

func huge(x *exchange, a *reply) {
	x.give(a, func(a *reply) { a.body = append(a.body, bytes.Repeat([]byte(" "), 2*gateway.MaxAnswer)...) })
}

func twice(x *exchange, a *reply) {
	x.give(a, func(a *reply) { a.body = append(a.body, a.body...) })
}

// carriedTwice is a way on which the request was repeated: the second answer is told.
func carriedTwice(x *exchange, _ *reply) { x.give(x.carry()) }

func labelled(contentType string) func(*exchange, *reply) {
	return func(x *exchange, a *reply) {
		x.give(a, func(a *reply) { a.header.Set("Content-Type", contentType) })
	}
}

func zipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

func packed(x *exchange, a *reply) {
	x.give(a, func(a *reply) { a.body = zipped(a.body); a.header.Set("Content-Encoding", "gzip") })
}

func packedSilently(x *exchange, a *reply) {
	x.give(a, func(a *reply) { a.body = zipped(a.body) })
}

// bomb is small on the line and huge once it is unpacked.
func bomb(x *exchange, a *reply) {
	x.give(a, func(a *reply) {
		a.body = zipped(append(a.body, bytes.Repeat([]byte(" "), 4*gateway.MaxAnswer)...))
		a.header.Set("Content-Encoding", "gzip")
	})
}

// ofAnother tells what somebody else was told.
func ofAnother(x *exchange, _ *reply) { x.give(x.other(x.r)) }
