package gatewaytest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// elsewhere is a path that no adapter asks for by itself.
const elsewhere = "/elsewhere"

// testRefused: where nobody listens, nothing was sent; a look-up has no answer.
func testRefused(t *testing.T, w World) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn := w.Connection
	conn.URL = "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "charge", w.Gateway.Charge(t.Context(), conn, payment("k", "tok")), gateway.NotSent)
	refund := gateway.Refund{Key: "r", ChargeReference: "ch", Amount: usd(1)}
	wantClass(t, "refund", w.Gateway.Refund(t.Context(), conn, refund), gateway.NotSent)
	if _, found, err := w.Gateway.Lookup(t.Context(), conn, "k", w.Now()); err == nil || found {
		t.Errorf("look-up: found %v, error %v, want an error", found, err)
	}
	conn.URL = "https://" + l.Addr().String()
	wantClass(t, "over TLS", w.Gateway.Charge(t.Context(), conn, payment("k", "tok")), gateway.NotSent)
}

// testNonsense: an answer that cannot be the gateway's proves nothing, neither that money moved nor that it did not.
func testNonsense(t *testing.T, w World) {
	body := func(status int, contentType, text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, text) // the client may have hung up
		}
	}
	const js = "application/json"
	tests := map[string]http.HandlerFunc{
		"web page":           body(200, "text/html", "<html>Maintenance</html>"),
		"empty":              body(200, js, ""),
		"no content":         body(204, js, ""),
		"empty object":       body(200, js, "{}"),
		"null":               body(200, js, "null"),
		"array":              body(200, js, "[]"),
		"truncated":          body(200, js, `{"id":"ch_1","status":"succ`),
		"two values":         body(200, js, `{} {}`),
		"binary":             body(200, js, "\x00\xff\xfe"),
		"created, empty":     body(201, js, "{}"),
		"bad request page":   body(400, "text/html", "<html>Bad request</html>"),
		"bad request, empty": body(400, js, "{}"),
		"forbidden page":     body(403, "text/html", "<html>Blocked</html>"),
		"not found page":     body(404, "text/plain", "404 page not found"),
		"conflict":           body(409, js, `{"error":{}}`),
		"internal error":     body(500, js, `{"error":{"code":"internal"}}`),
		"bad gateway":        body(502, "text/html", "<html>Bad gateway</html>"),
		"unavailable":        body(503, "text/plain", ""),
		"huge":               body(200, js, `{"id":"`+strings.Repeat("x", 4*gateway.MaxAnswer)+`"}`),
		"connection cut":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"found elsewhere":    func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, elsewhere, http.StatusFound) },
		"redirected elsewhere": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, elsewhere, http.StatusTemporaryRedirect)
		},
		"shorter than announced": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "{}")
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) { wantNoClaim(t, w, w.Gateway, answer) })
	}
	t.Run("slow body", func(t *testing.T) {
		wantNoClaim(t, w, w.Impatient, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the client hangs up
			_, _ = io.WriteString(rw, `{"id":`)
			_ = http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		})
	})
}

// wantNoClaim calls g against a server with one answer to everything. Each call may ask once: a look-up after a
// strange answer is fine, a second charge is not.
func wantNoClaim(t *testing.T, w World, g gateway.Gateway, answer http.HandlerFunc) {
	t.Helper()
	var posts atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			posts.Add(1)
		}
		if r.URL.Path == elsewhere {
			t.Error("the adapter followed a redirect")
		}
		answer(rw, r)
	}))
	srv.Start()
	defer srv.Close()
	conn := w.Connection
	conn.URL = srv.URL
	c := payment("k", "tok")
	if w.Method != "" {
		c.Token, c.Method = "", &ledgerv1.PaymentMethod{Reference: w.Method}
	}
	calls := []struct {
		name string
		call func(context.Context) gateway.Result
	}{
		{"charge", func(ctx context.Context) gateway.Result { return g.Charge(ctx, conn, c) }},
		{"refund", func(ctx context.Context) gateway.Result {
			return g.Refund(ctx, conn, gateway.Refund{Key: "r", ChargeReference: "ch", Amount: usd(1)})
		}},
	}
	for _, c := range calls {
		posts.Store(0)
		wantClass(t, c.name, c.call(t.Context()), gateway.Unknown)
		if n := posts.Load(); n != 1 {
			t.Errorf("%s: the server was asked %d times, want once", c.name, n)
		}
	}
	if r, found, err := g.Lookup(t.Context(), conn, "k", w.Now()); err == nil {
		t.Errorf("look-up: found %v, %+v, want an error", found, r)
	}
}
