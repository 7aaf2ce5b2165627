package gatewaytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// canary stands in every part of a request, and must not be found in anything that is said about it.
const canary = "c4n4ry"

// testQuotes: what is said for an operator, which ends in logs and in events, holds nothing of a request but its key,
// whatever goes wrong with it. The worst servers send back what they were sent.
func testQuotes(t *testing.T, w World) {
	echoes := map[string]func(request string) string{
		"not HTTP":               func(r string) string { return r },
		"as a status":            func(r string) string { return "HTTP/1.1 " + r },
		"as a header":            func(r string) string { return "HTTP/1.1 200 OK\r\n" + strings.ReplaceAll(r, ":", "") + "\r\n\r\n" },
		"as a length":            func(r string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + firstLine(r) + "\r\n\r\n" },
		"as an encoding":         func(r string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + firstLine(r) + "\r\n\r\n" },
		"as a chunk":             func(r string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + r },
		"as where to go":         func(r string) string { return "HTTP/1.1 302 Found\r\nLocation: http://" + firstLine(r) + "\r\n\r\n" },
		"as half a body":         func(r string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + r },
		"as a body":              func(r string) string { return "HTTP/1.1 200 OK\r\n\r\n" + r },
		"as a bad request":       func(r string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" + r },
		"as an internal error":   func(r string) string { return "HTTP/1.1 500 Internal Server Error\r\n\r\n" + r },
		"as a header without an": func(r string) string { return "HTTP/1.1 200 OK\r\nX: " + firstLine(r) },
	}
	for name, echo := range echoes {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				request, err := httputil.DumpRequest(r, true)
				conn, _, hijackErr := http.NewResponseController(rw).Hijack()
				if err != nil || hijackErr != nil {
					t.Error(err, hijackErr)
					return
				}
				defer conn.Close()
				_, _ = conn.Write([]byte(echo(string(request)))) // the client may have hung up
			}))
			defer srv.Close()
			wantNoQuote(t, w, srv.URL)
		})
	}
	srv := httptest.NewServer(http.NotFoundHandler())
	host := strings.TrimPrefix(srv.URL, "http://")
	srv.Close()
	for name, url := range map[string]string{
		"nobody there":      "http://" + canary + ":" + canary + "@" + host + "/" + canary,
		"no address":        "http://" + canary + " /",
		"no port":           "http://127.0.0.1:" + canary,
		"no such transport": canary + "://127.0.0.1",
	} {
		t.Run(name, func(t *testing.T) { wantNoQuote(t, w, url) })
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\r\n")
	return line
}

// wantNoQuote calls a server by all that an adapter can, and reads what is said of it.
func wantNoQuote(t *testing.T, w World, url string) {
	t.Helper()
	conn := w.Connection
	conn.URL, conn.Account, conn.NotifyURL = url, "acct_"+canary, "https://"+canary+".example/"
	if conn.Secret == "" {
		conn.Secret = "sk_test_" + canary
	}
	c := payment("k-"+canary, "tok_"+canary)
	c.Merchant, c.Subscription, c.ReturnURL = "m"+canary, "s"+canary, "https://shop.example/?"+canary
	c.Buyer = &ledgerv1.Buyer{Id: canary, FirstName: canary, LastName: canary, Email: canary + "@example.com"}
	stored := c
	stored.Token, stored.Method = "", &ledgerv1.PaymentMethod{Reference: "cus_1/pm_" + canary}
	away := c
	away.Token = ""
	refund := gateway.Refund{Key: c.Key, ChargeReference: "ch_" + canary, Amount: usd(1)}
	ctx, g := t.Context(), w.Impatient
	_, _, lookup := g.Lookup(ctx, conn, c.Key, w.Now())
	_, _, charge := gateway.FindCharge(ctx, g, conn, stored, w.Now())
	_, _, back := gateway.FindRefund(ctx, g, conn, refund, w.Now())
	for what, said := range map[string]any{
		"charge": g.Charge(ctx, conn, c).Why, "charge of a stored method": g.Charge(ctx, conn, stored).Why,
		"redirect": g.Charge(ctx, conn, away).Why, "refund": g.Refund(ctx, conn, refund).Why,
		"look-up": lookup, "finding a charge": charge, "finding a refund": back,
	} {
		text := fmt.Sprintf("%+v", said)
		if strings.Contains(strings.ReplaceAll(text, c.Key, ""), canary) || strings.Contains(text, "key=") {
			t.Errorf("%s: it is said: %s", what, text)
		}
	}
}
