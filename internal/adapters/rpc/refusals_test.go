package rpc_test

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// What is refused, and how, stands in testdata/refusals, a file for each kind of request. A line has
//
//	what is wrong   Method   {what the request says}   Code   HTTP   REASON   field
//
// with two spaces or more between the columns; the field may be missing. A request says what differs from the good
// one of its method (goodRequests), as a merge patch (RFC 7396): null takes a field out. <a*300> is 300 times a,
// <pairs*51> are 51 pairs of metadata, <paid> is the first order of the subscription paid.
//
//go:embed testdata/refusals
var refusalFiles embed.FS

// refusal is a line of these files.
type refusalLine struct {
	file, name, method, request string
	code                        string
	http                        int
	reason, field               string
}

var columns = regexp.MustCompile(` {2,}`)

func refusalLines(t *testing.T) []refusalLine {
	t.Helper()
	files, err := fs.Glob(refusalFiles, "testdata/refusals/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of refusals (%v)", err)
	}
	var all []refusalLine
	for _, file := range files {
		text, err := refusalFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			c := append(columns.Split(strings.TrimRight(line, " "), -1), "")
			if len(c) < 7 {
				t.Fatalf("%s:%d has %d columns, want at least 6", file, i+1, len(c)-1)
			}
			status, err := strconv.Atoi(c[4])
			if err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			all = append(all, refusalLine{path.Base(file), c[0], c[1], c[2], c[3], status, c[5], c[6]})
		}
	}
	return all
}

const pan = "4242424242424242"

// goodRequests are requests that their methods accept, or would but for what they name not being there. What is left
// out is filled in: merchant acme, request id "new".
var goodRequests = map[string]string{
	"StartSubscription":    `{"start":` + goodStart + `}`,
	"StartTrial":           `{"start":` + goodTrial + `}`,
	"ImportSubscription":   `{"import":` + goodImport + `}`,
	"Refund":               `{"subscription_id":"paid","order_id":"<paid>"}`,
	"Chargeback":           `{"subscription_id":"paid","order_id":"<paid>","dispute_id":"d1","stage":"DISPUTE_STAGE_OPENED"}`,
	"Cancel":               `{"subscription_id":"paid","reason":"CANCEL_REASON_BUYER"}`,
	"UpdateBuyer":          `{"subscription_id":"paid","buyer":{"first_name":"Grace"}}`,
	"ChangeTerms":          `{"subscription_id":"paid","amounts":{"base":{"currency_code":"USD","minor_units":"100"}},"consent_reference":"mail"}`,
	"Reschedule":           `{"subscription_id":"paid","next_due_at":"2030-03-31T10:00:00Z"}`,
	"ReplacePaymentMethod": `{"subscription_id":"paid","payment_method_token":"tok_canary"}`,
	"ObservePayment":       `{"subscription_id":"gateway","reference":"ch_9","amounts":{"base":{"currency_code":"USD","minor_units":"4700"}}}`,
	"ObserveRefund":        `{"subscription_id":"paid","order_id":"<paid>","reference":"re_9"}`,
	"ResolveMismatch":      `{"subscription_id":"mismatch","pay_number":1,"attempt":1,"reference":"re_9"}`,
	"CreateMerchant":       `{"merchant_id":"shop","name":"A shop"}`,
	"UpdateMerchant":       `{"name":"Acme Ltd"}`,
	"CreateConnection":     `{"gateway":"sandbox","webhook_secret":"canary"}`,
	"RequestConsent":       `{"gateway":"stripe"}`,
	"ReplaceCredentials":   `{"connection_id":"main","secret":"canary","webhook_secret":"canary"}`,
	"DisconnectConnection": `{"connection_id":"main","reason":"sold"}`,
	"BlockConnection":      `{"connection_id":"main","reason":"suspended"}`,
	"UnblockConnection":    `{"connection_id":"blocked"}`,
	"CreateEndpoint":       `{"settings":{"url":"https://shop.example/ipn","secret_key":"canary"}}`,
	"UpdateEndpoint":       `{"endpoint_id":"shop","settings":{"url":"https://shop.example/new","secret_key":"canary"}}`,
	"DisableEndpoint":      `{"endpoint_id":"shop"}`,
	"AdvanceClock":         `{"by":"60s"}`,
	"GetStatement":         `{"account":"sales","currency_code":"USD","mode":"MODE_TEST"}`,
}

const (
	goodTerms = `"product_id":"p1","product_name":"Course","price_point":1,"kind":"PRICE_KIND_RECURRING","period":"PERIOD_MONTHLY",
		"regular":{"base":{"currency_code":"USD","minor_units":"4700"}}`
	goodStart = `{"subscription_id":"new","buyer":{"id":"b1"},"terms":{` + goodTerms + `},"connection_id":"main","payment_method_token":"tok_canary"}`
	goodTrial = `{"subscription_id":"new","buyer":{"id":"b1"},"connection_id":"main","payment_method_token":"tok_canary",
		"terms":{"initial":{"amounts":{"base":{"currency_code":"USD","minor_units":"100"}},"days":14},` + goodTerms + `}}`
	goodImport = `{"subscription_id":"new","buyer":{"id":"b1"},"terms":{` + goodTerms + `},"connection_id":"main","payment_method":{"reference":"pm_1"},
		"state":"IMPORT_STATE_ACTIVE","paid_number":3,"next_due_at":"2030-02-10T00:00:00Z"}`
)

// TestRefusals makes every request over gRPC and REST, and commands of subscriptions also with validate_only. Each time
// the same is refused, nothing is appended, and nothing that must stay secret is in the answer or the log.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newPlatform(t)
	orders := w.lives()
	w.connected()
	for _, c := range refusalLines(t) {
		t.Run(c.file+"/"+c.name, func(t *testing.T) {
			request := w.requestOf(c, orders)
			before := w.head()
			err := w.call(serviceOf(t, c.method)+"/"+c.method, request, &emptypb.Empty{})
			got := status.Convert(err)
			check(t, err, c.code, c.reason)
			if field(got) != c.field {
				t.Errorf("got field %q, want %q", field(got), c.field)
			}
			noCanary(t, got.Proto().String())
			w.refusedByREST(t, c, request)
			if fd := request.ProtoReflect().Descriptor().Fields().ByName("validate_only"); fd != nil {
				w.refusedAsPreview(t, c, request)
			}
			if after := w.head(); after != before {
				t.Errorf("the log's head moved from %v to %v", before, after)
			}
		})
	}
	noCanary(t, w.logged.String())
}

// noCanary looks for what nobody may read: card numbers, tokens, secrets.
func noCanary(t testing.TB, text string) {
	t.Helper()
	for _, canary := range []string{"4242", "４２", "canary"} {
		if strings.Contains(text, canary) {
			t.Errorf("%q is to be read in:\n%s", canary, text)
		}
	}
}

// serviceOf finds the service of a method: no two services have methods of the same name.
func serviceOf(t testing.TB, method string) string {
	t.Helper()
	return string(methodNamed(t, "."+method).Parent().Name())
}

var (
	repeated  = regexp.MustCompile(`<(.)\*(\d+)>`)
	orderName = regexp.MustCompile(`<([a-z]+)>`)
)

// manyPairs is one pair of metadata more than there may be.
var manyPairs = func() string {
	pairs := make([]string, 51)
	for i := range pairs {
		pairs[i] = fmt.Sprintf(`"key%d":"value"`, i)
	}
	return strings.Join(pairs, ",")
}()

// requestOf is what a line asks: the good request of its method, patched.
func (w *world) requestOf(c refusalLine, orders map[string]int64) proto.Message {
	w.t.Helper()
	input := methodNamed(w.t, "."+c.method).Input()
	request := map[string]any{}
	for name, value := range map[string]string{"merchant_id": "acme", "request_id": "new"} {
		if input.Fields().ByName(protoreflect.Name(name)) != nil {
			request[name] = value
		}
	}
	for _, text := range []string{goodRequests[c.method], c.request} {
		text = repeated.ReplaceAllStringFunc(text, func(s string) string {
			m := repeated.FindStringSubmatch(s)
			n, err := strconv.Atoi(m[2])
			w.ok(err)
			return strings.Repeat(m[1], n)
		})
		text = strings.ReplaceAll(text, "<pairs*51>", manyPairs)
		text = orderName.ReplaceAllStringFunc(text, func(s string) string { return fmt.Sprint(orders[s[1:len(s)-1]]) })
		if text == "" {
			continue
		}
		var patch map[string]any
		if err := json.Unmarshal([]byte(text), &patch); err != nil {
			w.t.Fatalf("%s %s: %v in %s", c.file, c.name, err, text)
		}
		mergePatch(request, patch)
	}
	text, err := json.Marshal(request)
	w.ok(err)
	m := newMessage(w.t, input)
	if err := protojson.Unmarshal(text, m); err != nil {
		w.t.Fatalf("%s %s: %v", c.file, c.name, err)
	}
	return m
}

// mergePatch is RFC 7396.
func mergePatch(into, patch map[string]any) {
	for name, value := range patch {
		switch v := value.(type) {
		case nil:
			delete(into, name)
		case map[string]any:
			inner, ok := into[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
			}
			inner = maps.Clone(inner)
			mergePatch(inner, v)
			into[name] = inner
		default:
			into[name] = v
		}
	}
}

// refusedByREST checks that REST refuses as gRPC did. What protobuf's JSON cannot write is left out, and an id in the
// path that is not there: it makes another address.
func (w *world) refusedByREST(t *testing.T, c refusalLine, request proto.Message) {
	t.Helper()
	if _, err := protojson.Marshal(request); err != nil || c.field == "merchant_id" {
		return
	}
	got := w.rest(serviceOf(t, c.method)+"/"+c.method, request)
	s := got.refusal(t)
	if got.status != c.http || s.Code().String() != c.code || info(s).GetReason() != c.reason || field(s) != c.field {
		t.Errorf("REST: got %d %v %s about %q, want %d %s %s about %q", got.status, s.Code(), info(s).GetReason(), field(s), c.http, c.code, c.reason, c.field)
	}
	if got.status != runtime.HTTPStatusFromCode(s.Code()) {
		t.Errorf("got HTTP %d for %v, which is not grpc-gateway's mapping", got.status, s.Code())
	}
	noCanary(t, string(got.body))
}

// refusedAsPreview checks that asking what a request would do is refused as the request is.
func (w *world) refusedAsPreview(t *testing.T, c refusalLine, request proto.Message) {
	t.Helper()
	only := proto.Clone(request)
	fd := only.ProtoReflect().Descriptor().Fields().ByName("validate_only")
	only.ProtoReflect().Set(fd, protoreflect.ValueOfBool(true))
	err := w.call(serviceOf(t, c.method)+"/"+c.method, only, &emptypb.Empty{})
	if s := status.Convert(err); s.Code().String() != c.code || info(s).GetReason() != c.reason || field(s) != c.field {
		t.Errorf("validate_only: got %v %s about %q, want %s %s about %q", s.Code(), info(s).GetReason(), field(s), c.code, c.reason, c.field)
	}
}

// lives makes a subscription for every situation in which something is refused, and returns their first orders.
func (w *world) lives() map[string]int64 {
	w.t.Helper()
	w.must("ConnectionService/CreateConnection", &ledgerv1.CreateConnectionRequest{
		RequestId: "blocked", MerchantId: "acme", ConnectionId: "blocked", Gateway: "sandbox"}, &ledgerv1.ConnectionResponse{})
	w.must("ConnectionService/BlockConnection", &ledgerv1.BlockConnectionRequest{
		RequestId: "block", MerchantId: "acme", ConnectionId: "blocked", Reason: "suspended"}, &ledgerv1.ConnectionResponse{})
	w.must("EndpointService/CreateEndpoint", &ledgerv1.CreateEndpointRequest{RequestId: "shop", MerchantId: "acme", EndpointId: "shop",
		Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn"}}, &ledgerv1.EndpointResponse{})
	w.must("EndpointService/CreateEndpoint", &ledgerv1.CreateEndpointRequest{RequestId: "closed", MerchantId: "acme", EndpointId: "closed",
		Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn"}}, &ledgerv1.EndpointResponse{})
	w.must("EndpointService/DisableEndpoint", &ledgerv1.DisableEndpointRequest{RequestId: "close", MerchantId: "acme", EndpointId: "closed"}, &ledgerv1.EndpointResponse{})
	w.started()
	w.imported()
	w.changed()
	orders := map[string]int64{}
	for _, id := range []string{"paid", "once", "failed", "free", "refunded", "disputed"} {
		s := w.subscription(id)
		orders[id] = cmp.Or(s.GetFirstOrderId(), s.GetLastOrderId())
	}
	return orders
}

func (w *world) subscription(id string) *ledgerv1.Subscription {
	w.t.Helper()
	s := &ledgerv1.Subscription{}
	w.must("SubscriptionService/GetSubscription", &ledgerv1.GetSubscriptionRequest{MerchantId: "acme", SubscriptionId: id}, s)
	return s
}

const wait = 20 * time.Second

// started are the lives that began here.
func (w *world) started() {
	w.t.Helper()
	for id, token := range map[string]string{
		"paid": "tok_ok", "cancelled": "tok_ok", "ending": "tok_ok", "paused": "tok_ok", "refunded": "tok_ok", "disputed": "tok_ok", "new_method": "tok_ok",
		"doubt": "tok_unknown", "failed": "tok_declined", "silent": "tok_silent", "mismatch": "tok_mismatch",
	} {
		patience := wait
		if token == "tok_silent" {
			patience = 0
		}
		w.start(id, token, patience)
	}
	once := startRequest("once", "tok_ok")
	once.Terms.Kind, once.Terms.Period = ledgerv1.PriceKind_PRICE_KIND_ONE_TIME, 0
	w.must(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "once", Start: once, Wait: durationpb.New(wait)}, &ledgerv1.CommandResponse{})
	free := startRequest("free", "tok_ok")
	free.Terms.Initial = &ledgerv1.InitialPayment{Amounts: &ledgerv1.Amounts{Base: usd(0)}, Days: 14}
	w.must("SubscriptionService/StartTrial", &ledgerv1.StartTrialRequest{MerchantId: "acme", RequestId: "free", Start: free, Wait: durationpb.New(wait)}, &ledgerv1.CommandResponse{})
}

// imported are the lives that began elsewhere: only they can be past due when the world begins.
func (w *world) imported() {
	w.t.Helper()
	for id, change := range map[string]string{
		"gateway":  `{"charged_by":"CHARGED_BY_GATEWAY"}`,
		"held":     `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","connection_id":"blocked"}`,
		"stopped":  `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","payment_method":{"reference":"tok_declined"}}`,
		"worn":     `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","payment_method":{"reference":"tok_soft"}}`,
		"sent":     `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","payment_method":{"reference":"tok_silent"}}`,
		"lost":     `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","payment_method":{"reference":"tok_unknown"}}`,
		"other":    `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","payment_method":{"reference":"tok_mismatch"}}`,
		"past_due": `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z"}`,
		"last": `{"state":"IMPORT_STATE_PAST_DUE","next_due_at":"2030-01-30T00:00:00Z","payment_method":{"reference":"tok_silent"},
			"terms":{"kind":"PRICE_KIND_INSTALLMENTS","installments":4}}`,
	} {
		w.must("SubscriptionService/ImportSubscription",
			w.requestOf(refusalLine{name: id, method: "ImportSubscription", request: `{"request_id":"import ` + id + `","import":{"subscription_id":"` + id + `"}}`,
				file: "lives"}.patched(change), nil), &ledgerv1.CommandResponse{})
	}
	for id, times := range map[string]int{"stopped": 1, "worn": 15, "sent": 1, "lost": 1, "other": 1, "last": 1} {
		for i := range times {
			r := &ledgerv1.RebillRequest{MerchantId: "acme", SubscriptionId: id, RequestId: fmt.Sprint("try ", i), Wait: durationpb.New(wait)}
			if id == "sent" || id == "last" {
				r.Wait = nil // nobody answers
			}
			w.must("SubscriptionService/Rebill", r, &ledgerv1.CommandResponse{})
		}
	}
}

// patched is a line whose import is changed further.
func (c refusalLine) patched(change string) refusalLine {
	c.request = strings.TrimSuffix(c.request, "}}") + "," + strings.TrimPrefix(change, "{") + "}"
	return c
}

// changed are the lives that something was done to.
func (w *world) changed() {
	w.t.Helper()
	refunded, disputed := w.subscription("refunded").GetFirstOrderId(), w.subscription("disputed").GetFirstOrderId()
	for method, r := range map[string]proto.Message{
		"Cancel": &ledgerv1.CancelRequest{MerchantId: "acme", SubscriptionId: "cancelled", RequestId: "c", Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER},
		"Pause":  &ledgerv1.PauseRequest{MerchantId: "acme", SubscriptionId: "paused", RequestId: "p"},
		"Refund": &ledgerv1.RefundRequest{MerchantId: "acme", SubscriptionId: "refunded", RequestId: "r", OrderId: refunded, Wait: durationpb.New(wait)},
		"Chargeback": &ledgerv1.ChargebackRequest{MerchantId: "acme", SubscriptionId: "disputed", RequestId: "d", OrderId: disputed,
			DisputeId: "d1", Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED},
	} {
		w.must("SubscriptionService/"+method, r, &ledgerv1.CommandResponse{})
	}
	w.must("SubscriptionService/Cancel", &ledgerv1.CancelRequest{MerchantId: "acme", SubscriptionId: "ending", RequestId: "c",
		Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: true}, &ledgerv1.CommandResponse{})
}

// rest makes the call over REST, as its google.api.http option says.
func (w *world) rest(method string, req proto.Message) answer {
	w.t.Helper()
	d := methodNamed(w.t, method)
	rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	body := proto.Clone(req)
	address := rule.GetGet() + rule.GetPost()
	for i := range d.Input().Fields().Len() {
		fd := d.Input().Fields().Get(i)
		if in := "{" + string(fd.Name()) + "}"; strings.Contains(address, in) {
			address = strings.ReplaceAll(address, in, url.PathEscape(body.ProtoReflect().Get(fd).String()))
			body.ProtoReflect().Clear(fd)
		}
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(body)
	w.ok(err)
	if rule.GetGet() == "" {
		return w.do("POST", address, string(text))
	}
	var fields map[string]any
	w.ok(json.Unmarshal(text, &fields))
	query := url.Values{}
	for name, value := range fields {
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		for _, v := range list {
			query.Add(name, fmt.Sprint(v))
		}
	}
	return w.do("GET", address+"?"+query.Encode(), "")
}

func methodNamed(t testing.TB, name string) protoreflect.MethodDescriptor {
	t.Helper()
	for _, m := range methods() {
		if strings.HasSuffix(string(m.FullName()), strings.ReplaceAll(name, "/", ".")) {
			return m
		}
	}
	t.Fatalf("no method %s", name)
	return nil
}
