package rpc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/rpc"
)

// TestRefusedByREST is what only HTTP and JSON can get wrong.
func TestRefusedByREST(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	const startPath = "/v1/merchants/acme/subscriptions:start"
	amount := func(value string) string {
		return `{"request_id":"r","start":{"terms":{"regular":{"base":{"currency_code":"USD","minor_units":` + value + `}}}}}`
	}
	const minorUnits = "start.terms.regular.base.minor_units"
	type h = []string
	for name, c := range map[string]struct {
		verb, path, body string
		header           h
		status           int
		code             codes.Code
		reason, about    string
	}{
		"1e3":                     {"POST", startPath, amount(`1e3`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"12.345":                  {"POST", startPath, amount(`12.345`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"12,50":                   {"POST", startPath, amount(`"12,50"`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"1e3 as text":             {"POST", startPath, amount(`"1e3"`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"NaN":                     {"POST", startPath, amount(`NaN`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"NaN as text":             {"POST", startPath, amount(`"NaN"`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"1.0":                     {"POST", startPath, amount(`1.0`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"1.0000000000000001":      {"POST", startPath, amount(`1.0000000000000001`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"2^53+1":                  {"POST", startPath, amount(`9007199254740993`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"2^63 as text":            {"POST", startPath, amount(`"9223372036854775808"`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"true":                    {"POST", startPath, amount(`true`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"an amount in brackets":   {"POST", startPath, amount(`[1]`), nil, 400, codes.InvalidArgument, "AMOUNT_FORMAT", minorUnits},
		"quantity 1.5":            {"POST", startPath, `{"request_id":"r","start":{"quantity":1.5}}`, nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "start.quantity"},
		"quantity -1":             {"POST", startPath, `{"request_id":"r","start":{"quantity":-1}}`, nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "start.quantity"},
		"unknown field":           {"POST", startPath, `{"request_id":"r","start":{"state":"PAID"}}`, nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", "start.state"},
		"a card number for name":  {"POST", startPath, `{"` + pan + `":1}`, nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", ""},
		"duplicate key":           {"POST", startPath, `{"request_id":"a","request_id":"b"}`, nil, 400, codes.InvalidArgument, "JSON_DUPLICATE_KEY", "request_id"},
		"duplicate by two names":  {"POST", startPath, `{"request_id":"a","requestId":"b"}`, nil, 400, codes.InvalidArgument, "JSON_DUPLICATE_KEY", "request_id"},
		"duplicate deep down":     {"POST", startPath, `{"request_id":"r","start":{"terms":{"regular":{"base":{"minor_units":1,"minor_units":100}}}}}`, nil, 400, codes.InvalidArgument, "JSON_DUPLICATE_KEY", minorUnits},
		"unknown enum":            {"POST", startPath, `{"request_id":"r","start":{"terms":{"kind":"FREE"}}}`, nil, 400, codes.InvalidArgument, "ENUM_UNKNOWN", "start.terms.kind"},
		"not JSON":                {"POST", startPath, `{"request_id":`, nil, 400, codes.InvalidArgument, "JSON_INVALID", "request_id"},
		"two bodies":              {"POST", startPath, `{}{}`, nil, 400, codes.InvalidArgument, "JSON_INVALID", ""},
		"a list":                  {"POST", startPath, `[]`, nil, 400, codes.InvalidArgument, "JSON_INVALID", ""},
		"a million brackets":      {"POST", startPath, `{"start":` + strings.Repeat("[", 200_000), nil, 400, codes.InvalidArgument, "JSON_INVALID", "start"},
		"lone surrogate":          {"POST", startPath, `{"request_id":"r","start":{"external_ref":"\ud800"}}`, nil, 400, codes.InvalidArgument, "JSON_INVALID", ""},
		"invalid UTF-8":           {"POST", startPath, "{\"request_id\":\"\xff\"}", nil, 400, codes.InvalidArgument, "UTF8_INVALID", ""},
		"UTF-8 in the path":       {"GET", "/v1/merchants/%ff", "", nil, 400, codes.InvalidArgument, "UTF8_INVALID", ""},
		"leap second":             {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T23:59:60Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"no zone":                 {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T23:59:59"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"year 0":                  {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"0000-06-30T23:59:59Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"year 0 in UTC":           {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"0001-01-01T00:00:00+01:00"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"year 10000":              {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"10000-01-01T00:00:00Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"year 10000 in UTC":       {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"9999-12-31T23:59:59-01:00"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"30 February":             {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-02-30T00:00:00Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"24 o'clock":              {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T24:00:00Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"a zone by name":          {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T00:00:00 EST"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"a zone of 25 hours":      {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T00:00:00+25:00"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"a blank for the T":       {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30 00:00:00Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"a decimal comma":         {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T00:00:00,5Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"picoseconds":             {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":"2030-06-30T00:00:00.123456789012Z"}`, nil, 400, codes.InvalidArgument, "TIME_INVALID", "occurred_at"},
		"seconds since 1970":      {"POST", "/v1/merchants/acme/subscriptions/s1:chargeback", `{"occurred_at":1909000000}`, nil, 400, codes.InvalidArgument, "JSON_INVALID", "occurred_at"},
		"a wait of 31,000 years":  {"POST", startPath, `{"wait":"999999999999s"}`, nil, 400, codes.InvalidArgument, "DURATION_INVALID", "wait"},
		"metadata in metadata":    {"POST", startPath, `{"start":{"metadata":{"a":{"b":"c"}}}}`, nil, 400, codes.InvalidArgument, "METADATA_LIMIT", "start.metadata"},
		"a number as metadata":    {"POST", startPath, `{"start":{"metadata":{"a":1}}}`, nil, 400, codes.InvalidArgument, "METADATA_LIMIT", "start.metadata"},
		"a card number in it":     {"POST", startPath, `{"start":{"metadata":{"a":` + pan + `}}}`, nil, 400, codes.InvalidArgument, "METADATA_LIMIT", "start.metadata"},
		"null as metadata":        {"POST", startPath, `{"start":{"metadata":{"a":null}}}`, nil, 400, codes.InvalidArgument, "METADATA_LIMIT", "start.metadata"},
		"a list as metadata":      {"POST", startPath, `{"start":{"metadata":["a"]}}`, nil, 400, codes.InvalidArgument, "JSON_INVALID", "start.metadata"},
		"a metadata key twice":    {"POST", startPath, `{"start":{"metadata":{"a":"1","a":"2"}}}`, nil, 400, codes.InvalidArgument, "JSON_DUPLICATE_KEY", "start.metadata"},
		"metadata cut short":      {"POST", startPath, `{"start":{"metadata":{"a":"1"`, nil, 400, codes.InvalidArgument, "JSON_INVALID", "start.metadata"},
		"a card number as text":   {"POST", startPath, `{"start":{"external_ref":` + pan + `}}`, nil, 400, codes.InvalidArgument, "JSON_INVALID", "start.external_ref"},
		"a card number as kind":   {"POST", startPath, `{"start":{"terms":{"kind":"` + pan + `"}}}`, nil, 400, codes.InvalidArgument, "ENUM_UNKNOWN", "start.terms.kind"},
		"yes as truth":            {"POST", startPath, `{"validate_only":"true"}`, nil, 400, codes.InvalidArgument, "JSON_INVALID", "validate_only"},
		"a revision of 1.5":       {"POST", "/v1/merchants/acme/subscriptions/s1:pause", `{"expected_revision":1.5}`, nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "expected_revision"},
		"wait in minutes":         {"POST", startPath, `{"wait":"1m"}`, nil, 400, codes.InvalidArgument, "DURATION_INVALID", "wait"},
		"another tenant":          {"POST", startPath, `{"merchant_id":"other"}`, nil, 400, codes.InvalidArgument, "TENANT_MISMATCH", "merchant_id"},
		"another subscription":    {"POST", "/v1/merchants/acme/subscriptions/s1:rebill", `{"subscription_id":"s2"}`, nil, 400, codes.InvalidArgument, "ID_INVALID", "subscription_id"},
		"no Content-Type":         {"POST", startPath, "", nil, 415, codes.InvalidArgument, "MEDIA_TYPE", ""},
		"a form":                  {"POST", startPath, "request_id=r", h{"Content-Type", "application/x-www-form-urlencoded"}, 415, codes.InvalidArgument, "MEDIA_TYPE", ""},
		"Latin 1":                 {"POST", startPath, "{}", h{"Content-Type", "application/json; charset=latin1"}, 415, codes.InvalidArgument, "MEDIA_TYPE", ""},
		"gzip":                    {"POST", startPath, "{}", h{"Content-Encoding", "gzip"}, 415, codes.InvalidArgument, "ENCODING_UNSUPPORTED", ""},
		"br":                      {"POST", startPath, "{}", h{"Content-Encoding", "br"}, 415, codes.InvalidArgument, "ENCODING_UNSUPPORTED", ""},
		"gzip after identity":     {"POST", startPath, "{}", h{"Content-Encoding", "identity, gzip"}, 415, codes.InvalidArgument, "ENCODING_UNSUPPORTED", ""},
		"multipart":               {"POST", startPath, "{}", h{"Content-Type", "multipart/form-data; boundary=x"}, 415, codes.InvalidArgument, "MEDIA_TYPE", ""},
		"text":                    {"POST", startPath, "{}", h{"Content-Type", "text/plain"}, 415, codes.InvalidArgument, "MEDIA_TYPE", ""},
		"two types":               {"POST", startPath, "{}", h{"Content-Type", "application/json, text/plain"}, 415, codes.InvalidArgument, "MEDIA_TYPE", ""},
		"257 KiB":                 {"POST", startPath, `{"request_id":"` + strings.Repeat("x", 257<<10) + `"}`, nil, 413, codes.ResourceExhausted, "MESSAGE_TOO_LARGE", ""},
		"DELETE on a command":     {"DELETE", startPath, "", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"PUT on a command":        {"PUT", startPath, "{}", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"PATCH on a command":      {"PATCH", startPath, "{}", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"TRACE on a command":      {"TRACE", startPath, "", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"OPTIONS on a command":    {"OPTIONS", startPath, "", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"DELETE on a thing":       {"DELETE", "/v1/merchants/acme/subscriptions/s1", "", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"GET on a command":        {"GET", "/v1/merchants/acme/subscriptions/s1:cancel", "", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"a form as long query":    {"POST", "/v1/merchants/acme/orders", "page_size=1", h{"Content-Type", "application/x-www-form-urlencoded"}, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"method override":         {"POST", "/v1/merchants/acme/orders", "", h{"X-HTTP-Method-Override", "GET"}, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"nowhere":                 {"GET", "/v1/nowhere", "", nil, 404, codes.NotFound, "METHOD_UNKNOWN", ""},
		"the root":                {"GET", "/", "", nil, 404, codes.NotFound, "METHOD_UNKNOWN", ""},
		"slash in an id":          {"GET", "/v1/merchants/acme/subscriptions/a%2Fb", "", nil, 404, codes.NotFound, "METHOD_UNKNOWN", ""},
		"newline in an id":        {"GET", "/v1/merchants/a%0Ab", "", nil, 400, codes.InvalidArgument, "ID_INVALID", "merchant_id"},
		"empty id":                {"GET", "/v1/merchants/acme/subscriptions/", "", nil, 400, codes.InvalidArgument, "ID_INVALID", "subscription_id"},
		"card number in a path":   {"GET", "/v1/merchants/acme/subscriptions/" + pan, "", nil, 400, codes.InvalidArgument, "PAN_REJECTED", "subscription_id"},
		"unknown parameter":       {"GET", "/v1/merchants/acme/orders?state=paid", "", nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", "state"},
		"parameter of the path":   {"GET", "/v1/merchants/acme/orders?merchant_id=other", "", nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", "merchant_id"},
		"parameter twice":         {"GET", "/v1/merchants/acme/orders?page_size=1&page_size=2", "", nil, 400, codes.InvalidArgument, "JSON_DUPLICATE_KEY", "page_size"},
		"page size -1":            {"GET", "/v1/merchants/acme/orders?page_size=-1", "", nil, 400, codes.InvalidArgument, "PAGE_SIZE", "page_size"},
		"page size abc":           {"GET", "/v1/merchants/acme/orders?page_size=abc", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "page_size"},
		"order 12x":               {"GET", "/v1/merchants/acme/orders/12x", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "order_id"},
		"order 0x2711":            {"GET", "/v1/merchants/acme/orders/0x2711", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "order_id"},
		"order 1e4":               {"GET", "/v1/merchants/acme/orders/1e4", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "order_id"},
		"order 2^63":              {"GET", "/v1/merchants/acme/orders/9223372036854775808", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "order_id"},
		"a delivery in two lines": {"GET", "/v1/merchants/acme/deliveries/a%0Ab", "", nil, 400, codes.InvalidArgument, "CONTROL_CHARACTER", "delivery_id"},
		"a command on nothing":    {"POST", "/v1/merchants/acme/subscriptions/:cancel", "{}", nil, 400, codes.InvalidArgument, "ID_INVALID", "subscription_id"},
		"an id with a colon":      {"GET", "/v1/merchants/acme/subscriptions/a::b", "", nil, 400, codes.InvalidArgument, "ID_INVALID", "subscription_id"},
		"a hidden verb":           {"GET", "/v1/merchants/acme/subscriptions/s1%3Acancel", "", nil, 405, codes.Unimplemented, "METHOD_NOT_ALLOWED", ""},
		"a command in the query":  {"POST", startPath + "?validate_only=true", `{"request_id":"r"}`, nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", ""},
		"a key in the query":      {"POST", startPath + "?request_id=r", `{}`, nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", ""},
		"as of local time":        {"GET", "/v1/merchants/acme/journal/entries?as_of=2030-01-01T00:00:00", "", nil, 400, codes.InvalidArgument, "TIME_INVALID", "as_of"},
		"as of a date":            {"GET", "/v1/merchants/acme/journal/entries?as_of=2030-01-01", "", nil, 400, codes.InvalidArgument, "TIME_INVALID", "as_of"},
		"as of nothing":           {"GET", "/v1/merchants/acme/journal/entries?as_of=", "", nil, 400, codes.InvalidArgument, "TIME_INVALID", "as_of"},
		"as of a plus":            {"GET", "/v1/merchants/acme/journal/entries?as_of=2030-01-01T00:00:00+01:00", "", nil, 400, codes.InvalidArgument, "TIME_INVALID", "as_of"},
		"a card number filtered":  {"GET", "/v1/merchants/acme/orders?buyer_id=" + pan, "", nil, 400, codes.InvalidArgument, "PAN_REJECTED", "buyer_id"},
		"a card as parameter":     {"GET", "/v1/merchants/acme/orders?" + pan + "=1", "", nil, 400, codes.InvalidArgument, "FIELD_UNKNOWN", ""},
		"a type that is none":     {"GET", "/v1/merchants/acme/orders?types=ORDER_TYPE_SALE&types=GIFT", "", nil, 400, codes.InvalidArgument, "ENUM_UNKNOWN", "types[1]"},
		"page size 2^31":          {"GET", "/v1/merchants/acme/orders?page_size=2147483648", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "page_size"},
		"page size 1e1":           {"GET", "/v1/merchants/acme/orders?page_size=1e1", "", nil, 400, codes.InvalidArgument, "NUMBER_FORMAT", "page_size"},
		"broken query":            {"GET", "/v1/merchants/acme/orders?page_size=%zz", "", nil, 400, codes.InvalidArgument, "ARGUMENT_INVALID", ""},
		"key differs from body":   {"POST", startPath, `{"request_id":"a"}`, h{"Idempotency-Key", "b"}, 400, codes.InvalidArgument, "IDEMPOTENCY_KEY_MISMATCH", "request_id"},
		"key in German":           {"POST", startPath, `{}`, h{"Idempotency-Key", "prüf"}, 400, codes.InvalidArgument, "IDEMPOTENCY_KEY_INVALID", "request_id"},
		"no key":                  {"POST", startPath, `{}`, nil, 400, codes.InvalidArgument, "IDEMPOTENCY_KEY_REQUIRED", "request_id"},
		"a card number as key":    {"POST", startPath, `{}`, h{"Idempotency-Key", pan}, 400, codes.InvalidArgument, "PAN_REJECTED", "request_id"},
		"empty key":               {"POST", startPath, `{}`, h{"Idempotency-Key", ""}, 400, codes.InvalidArgument, "IDEMPOTENCY_KEY_REQUIRED", "request_id"},
		"key by gRPC's metadata":  {"POST", startPath, `{}`, h{"Grpc-Metadata-Idempotency-Key", "k"}, 400, codes.InvalidArgument, "IDEMPOTENCY_KEY_REQUIRED", "request_id"},
		"waits for a minute":      {"POST", startPath, `{"request_id":"r"}`, h{"Prefer", "wait=60"}, 400, codes.InvalidArgument, "WAIT_RANGE", "wait"},
		"waits for a while":       {"POST", startPath, `{"request_id":"r"}`, h{"Prefer", "wait=long"}, 400, codes.InvalidArgument, "WAIT_RANGE", "wait"},
		"deadline by gRPC header": {"GET", "/v1/merchants/nobody", "", h{"Grpc-Timeout", "garbage"}, 404, codes.NotFound, "NOT_FOUND", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.head()
			got := w.do(c.verb, c.path, c.body, c.header...)
			s := got.refusal(t)
			if got.status != c.status || s.Code() != c.code || info(s).GetReason() != c.reason || field(s) != c.about {
				t.Errorf("got %d %v %s about %q, want %d %v %s about %q\n%s", got.status, s.Code(), info(s).GetReason(), field(s), c.status, c.code, c.reason, c.about, got.body)
			}
			if strings.Contains(string(got.body), "4242") {
				t.Errorf("the answer repeats the card number: %s", got.body)
			}
			if got.status == 405 && got.header.Get("Allow") == "" {
				t.Error("405 does not say what is allowed")
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("got Content-Type %q, want application/json", ct)
			}
			if after := w.head(); after != before {
				t.Errorf("the log's head moved from %v to %v", before, after)
			}
		})
	}
}

func TestHeadersThatMeanNothingAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.do("GET", "/v1/merchants/acme", "", "X-HTTP-Method-Override", "DELETE", "X-Forwarded-For", "10.0.0.1",
		"Grpc-Metadata-Authorization", "x", "Grpc-Metadata-X-Bin", "!!", "Grpc-Timeout", "1n", "Accept", "text/html")
	if got.status != 200 {
		t.Errorf("got %d %s, want 200", got.status, got.body)
	}
}

func TestNumbersMayBeTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, amount := range []string{`4700`, `"4700"`} {
		body := fmt.Sprintf(`{"request_id":"r%d","start":{"connection_id":"main","buyer":{"id":"b%d"},"payment_method_token":"tok_ok","terms":{"product_id":"p",
			"product_name":"P","price_point":1,"kind":"PRICE_KIND_ONE_TIME","regular":{"base":{"currencyCode":"USD","minorUnits":%s}}}}}`, i, i, amount)
		if got := w.do("POST", "/v1/merchants/acme/subscriptions:start", body); got.status != 200 || !strings.Contains(string(got.body), `"4700"`) {
			t.Errorf("amount %s: got %d %s, want 200 and \"4700\"", amount, got.status, got.body)
		}
	}
}

// TestWaitingOutlastsTheTimeToRead waits for longer than a request may take to arrive.
func TestWaitingOutlastsTheTimeToRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	front := httptest.NewUnstartedServer(nil)
	front.Config = rpc.HTTPServer(w.http.Config.Handler)
	front.Config.ReadTimeout = 100 * time.Millisecond
	front.Start()
	defer front.Close()
	start, err := protojson.Marshal(startRequest("s1", "tok_silent"))
	w.ok(err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/v1/merchants/acme/subscriptions:start",
		strings.NewReader(`{"request_id":"r","wait":"0.4s","start":`+string(start)+`}`))
	w.ok(err)
	req.Header.Set("Content-Type", "application/json")
	if got := w.send(req); got.status != 200 {
		t.Errorf("got %d %s, want 200", got.status, got.body)
	}
}

// TestMalformedHTTP is what net/http itself must refuse, or make harmless: what one reader of a request takes for its
// body must never be the next request to another.
func TestMalformedHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const hidden = "GET /v1/merchants/acme HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		head, body string
		status     int
	}{
		"two lengths":            {"Content-Length: 2\r\nContent-Length: 3\r\n", "{}", 400},
		"two lengths in one":     {"Content-Length: 2, 3\r\n", "{}", 400},
		"a length of -1":         {"Content-Length: -1\r\n", "{}", 400},
		"a length of +2":         {"Content-Length: +2\r\n", "{}", 400},
		"a length of 0x2":        {"Content-Length: 0x2\r\n", "{}", 400},
		"a space in a header":    {"Content-Length : 2\r\n", "{}", 400},
		"a header of no name":    {": 2\r\n", "{}", 400},
		"a NUL in a header":      {"Idempotency-Key: a\x00b\r\nContent-Length: 2\r\n", "{}", 400},
		"another encoding":       {"Transfer-Encoding: gzip\r\n", "{}", 501},
		"two encodings":          {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n", 501},
		"chunks that are none":   {"Transfer-Encoding: chunked\r\n", "xyz\r\n{}\r\n0\r\n\r\n", 400},
		"a second Host":          {"Host: y\r\nContent-Length: 2\r\n", "{}", 400},
		"a body that ends early": {"Content-Length: 3\r\n", "{}", 400},
		"32 KiB of headers":      {"X-A: " + strings.Repeat("a", 64<<10) + "\r\n", "{}", 431},
		// RFC 9112, 6.1, lets a server go by the chunks alone, if it closes the connection behind them. net/http hides
		// from every handler that there was a length, so it is closed behind all chunks.
		"a length beside chunks": {"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n" + hidden, 400},
		"chunks beside a length": {"Transfer-Encoding: chunked\r\nContent-Length: 99\r\n", "2\r\n{}\r\n0\r\n\r\n" + hidden, 400},
		"chunks, then a request": {"Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n" + hidden, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
			w.ok(err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "POST /v1/merchants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n%s", c.head, c.body)
			w.ok(err)
			if name == "a body that ends early" {
				w.ok(conn.(*net.TCPConn).CloseWrite())
			}
			w.ok(conn.SetReadDeadline(time.Now().Add(10 * time.Second)))
			reader := bufio.NewReader(conn)
			res, err := http.ReadResponse(reader, nil)
			w.ok(err)
			_, err = io.Copy(io.Discard, res.Body)
			w.ok(errors.Join(err, res.Body.Close()))
			more, err := io.ReadAll(reader)
			if res.StatusCode != c.status || err != nil || len(more) > 0 {
				t.Errorf("got %d, then %q, %v; want %d and the connection closed", res.StatusCode, more, err, c.status)
			}
		})
	}
}

// TestFoldedHeaders: a header over two lines is read as one line, as RFC 9112, 5.2, has it.
func TestFoldedHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
	w.ok(err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprint(conn, "POST /v1/merchants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\n b\r\nContent-Length: 12\r\n\r\n"+`{"name":"A"}`)
	w.ok(err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	var got ledgerv1.MerchantResponse
	body, err := io.ReadAll(res.Body)
	w.ok(err)
	w.ok(protojson.Unmarshal(body, &got))
	w.must("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "a b", Name: "A"}, &got)
	if !got.Replayed {
		t.Error("the key over two lines was not the key in one")
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func TestRequestsThatDoNotDecode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := func(n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), s)
	}
	for name, c := range map[string]struct {
		body         []byte
		code, reason string
	}{
		"invalid UTF-8":           {text(1, "\xff"), "InvalidArgument", "UTF8_INVALID"},
		"invalid UTF-8 deep down": {text(3, string(text(2, string(text(2, "\xff"))))), "InvalidArgument", "UTF8_INVALID"},
		"garbage":                 {[]byte("\x07garbage"), "InvalidArgument", "MESSAGE_INVALID"},
		"257 KiB":                 {text(2, strings.Repeat("x", 257<<10)), "ResourceExhausted", "MESSAGE_TOO_LARGE"},
		"a MiB":                   {text(2, strings.Repeat("x", 1<<20-10)), "ResourceExhausted", "MESSAGE_TOO_LARGE"},
	} {
		for _, method := range []string{startMethod, "SubscriptionService/WatchEvents"} {
			if strings.Contains(name, "deep") && method != startMethod {
				continue // it nests nothing
			}
			t.Run(name+" to "+method, func(t *testing.T) {
				var got ledgerv1.CommandResponse
				err := w.conn.Invoke(t.Context(), "/ledger.v1."+method, c.body, &got, grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")}))
				check(t, err, c.code, c.reason)
			})
		}
	}
}

// TestGzip also sends what gRPC refuses by itself: the code is right, but a reason it has none.
func TestGzip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got ledgerv1.Merchant
	if err := w.conn.Invoke(t.Context(), "/ledger.v1.MerchantService/GetMerchant", &ledgerv1.GetMerchantRequest{MerchantId: "acme"}, &got, grpc.UseCompressor(grpcgzip.Name)); err != nil {
		t.Errorf("a compressed request: %v", err)
	}
	for name, option := range map[string]grpc.CallOption{"a bomb": grpc.UseCompressor(grpcgzip.Name), "plain": grpc.EmptyCallOption{}} {
		large := &ledgerv1.GetMerchantRequest{MerchantId: strings.Repeat("x", 20<<20)}
		err := w.conn.Invoke(t.Context(), "/ledger.v1.MerchantService/GetMerchant", large, &got, option)
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s, 20 MiB: got %v, want ResourceExhausted", name, err)
		}
	}
}

func TestUnknownMethodsHealthAndReflection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rpc.Config) { c.Reflection = true })
	check(t, w.call("SubscriptionService/Nothing", &ledgerv1.GetStatusRequest{}, &ledgerv1.GetStatusResponse{}), "Unimplemented", "METHOD_UNKNOWN")
	check(t, w.call("NoService/Nothing", &ledgerv1.GetStatusRequest{}, &ledgerv1.GetStatusResponse{}), "Unimplemented", "METHOD_UNKNOWN")
	health := grpc_health_v1.NewHealthClient(w.conn)
	for _, service := range []string{"", "ledger.v1.SubscriptionService", "ledger.v1.OperationService"} {
		got, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: got %v, %v; want SERVING", service, got, err)
		}
	}
}

// TestRESTWithoutAServer lets a REST call find the server gone.
func TestRESTWithoutAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server, err := rpc.NewServer(w.config)
	w.ok(err)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	w.ok(err)
	defer func() { _ = conn.Close() }()
	w.ok(conn.Invoke(ctx, "/ledger.v1.OperationService/GetStatus", &ledgerv1.GetStatusRequest{}, &ledgerv1.GetStatusResponse{}))
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Run: %v", err)
	}
	w.http.Config.Handler = server.REST()
	got := w.do("GET", "/v1/merchants/acme", "")
	if s := got.refusal(t); got.status != 503 && got.status != 499 {
		t.Errorf("got %d %v, want 503", got.status, s)
	}
}
