package rpc_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"ledger.internal/ledger/api/openapi"
)

// TestRESTServesWhatIsDescribed asks for every operation of the published document: the answer may be a refusal, but
// not of the address.
func TestRESTServesWhatIsDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := described(t)
	for path, item := range doc.Paths.Map() {
		for verb, o := range item.Operations() {
			if o.OperationID == "SubscriptionService_WatchEvents" {
				continue // it does not end: TestWatchIsAsDescribed
			}
			address := strings.NewReplacer("{merchant_id}", "acme", "{order_id}", "1", "{", "", "}", "").Replace(path)
			body := ""
			if o.RequestBody != nil {
				body = "{}"
			}
			got := w.do(verb, address, body)
			if got.status == http.StatusOK {
				continue
			}
			if reason := info(got.refusal(t)).GetReason(); reason == "METHOD_UNKNOWN" || reason == "METHOD_NOT_ALLOWED" {
				t.Errorf("%s %s is described as %s and answers %s", verb, address, o.OperationID, reason)
			}
		}
	}
}

// TestRESTIsAsDescribed leads a life through REST and holds every request and every answer against the document, in
// which nothing may stand that is not described.
func TestRESTIsAsDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := described(t)
	trial := doc.Paths.Find("/v1/merchants/{merchant_id}/subscriptions:startTrial").Post.RequestBody.Value.Content.Get("application/json").Example
	raw, err := json.Marshal(trial)
	w.ok(err)
	start := strings.NewReplacer(`"sandbox"`, `"main"`).Replace(string(raw))
	const refund = `{"order_id":"10001","amount":{"currency_code":"USD","minor_units":"1"}}`
	wait := "Prefer"
	for _, step := range []struct {
		operation, query, body string
		path                   map[string]string
		header                 []string
		status                 int
	}{
		{operation: "MerchantService_CreateMerchant", body: `{"merchant_id":"shop","name":"A shop"}`, header: []string{"Idempotency-Key", "m"}, status: 200},
		{operation: "MerchantService_CreateMerchant", body: `{"merchant_id":"shop","name":"A shop"}`, header: []string{"Idempotency-Key", "m2"}, status: 409},
		{operation: "EndpointService_CreateEndpoint", body: `{"settings":{"url":"https://shop.example/ipn"}}`, header: []string{"Idempotency-Key", "e"}, status: 200},
		{operation: "SubscriptionService_StartTrial", body: start, header: []string{"Idempotency-Key", "s", wait, "wait=20"}, status: 200},
		{operation: "SubscriptionService_StartTrial", body: start, header: []string{"Idempotency-Key", "s"}, status: 200},
		{operation: "SubscriptionService_StartTrial", body: start, header: []string{"Idempotency-Key", "s3"}, status: 409},
		{operation: "SubscriptionService_StartTrial", body: `{}`, header: []string{"Idempotency-Key", "s4"}, status: 400},
		{operation: "SubscriptionService_GetSubscription", status: 200},
		{operation: "SubscriptionService_ListEvents", query: "page_size=2", status: 200},
		{operation: "SubscriptionService_Rebill", body: `{}`, header: []string{"Idempotency-Key", "r"}, status: 400},
		{operation: "SubscriptionService_Refund", body: refund, header: []string{"Idempotency-Key", "f"}, status: 400},
		{operation: "SubscriptionService_Cancel", body: `{"reason":"CANCEL_REASON_BUYER"}`, header: []string{"Idempotency-Key", "c"}, status: 200},
		{operation: "SubscriptionService_GetSubscription", path: map[string]string{"subscription_id": "nobody"}, status: 404},
		{operation: "OrderService_ListOrders", query: "types=ORDER_TYPE_SALE&types=ORDER_TYPE_REFUND&subscription_id=alpha", status: 200},
		{operation: "OrderService_ListOrders", query: "page_token=x", status: 400},
		{operation: "OrderService_GetOrder", path: map[string]string{"order_id": "77"}, status: 404},
		{operation: "OrderService_ListPayNumbers", status: 200},
		{operation: "OperationService_GetStatus", status: 200},
		{operation: "OperationService_ListInDoubt", status: 200},
	} {
		call := asDescribed{w: w, doc: doc, parameters: map[string]string{"merchant_id": "acme", "subscription_id": "alpha"}}
		maps.Copy(call.parameters, step.path)
		if got := call.do(step.operation, step.query, step.body, step.header...); got.status != step.status {
			t.Errorf("%s %s: got %d %s, want %d", step.operation, step.body, got.status, got.body, step.status)
		}
	}
}

func TestWatchIsAsDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	res, err := http.Get(w.http.URL + "/v1/merchants/acme/events:watch")
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	good := asDescribed{w: w, doc: described(t)}.find("SubscriptionService_WatchEvents").Operation.Responses.Status(http.StatusOK)
	lines := json.NewDecoder(res.Body)
	for caughtUp := false; !caughtUp; {
		var line map[string]any
		w.ok(lines.Decode(&line))
		if err := good.Value.Content.Get("application/json").Schema.Value.VisitJSON(line, openapi3.EnableJSONSchema2020()); err != nil {
			t.Fatal(err)
		}
		caughtUp = line["result"].(map[string]any)["caught_up"].(bool)
	}
}

// asDescribed makes requests that the document allows and checks that it allows the answers.
type asDescribed struct {
	w          *world
	doc        *openapi3.T
	parameters map[string]string // of paths
}

func (d asDescribed) do(operation, query, body string, header ...string) answer {
	d.w.t.Helper()
	route := d.find(operation)
	path := route.Path
	for name, value := range d.parameters {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	if query != "" {
		path += "?" + query
	}
	request, err := http.NewRequestWithContext(context.Background(), route.Method, d.w.http.URL+path, strings.NewReader(body))
	d.w.ok(err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true}
	input := &openapi3filter.RequestValidationInput{Request: request, PathParams: d.parameters, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		d.w.t.Errorf("%s: the document does not allow the request: %v", operation, err)
	}
	got := d.w.do(route.Method, path, body, header...)
	response := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: got.status, Header: got.header, Options: options}
	response.SetBodyBytes(got.body)
	if err := openapi3filter.ValidateResponse(context.Background(), response); err != nil {
		d.w.t.Errorf("%s: the document does not allow the answer: %v", operation, err)
	}
	return got
}

func (d asDescribed) find(operation string) *routers.Route {
	d.w.t.Helper()
	for path, item := range d.doc.Paths.Map() {
		for verb, o := range item.Operations() {
			if o.OperationID == operation {
				return &routers.Route{Spec: d.doc, Path: path, PathItem: item, Method: verb, Operation: o}
			}
		}
	}
	d.w.t.Fatalf("the document has no operation %s", operation)
	return nil
}

// described is the published document, with every message closed: what is not described is then an error.
func described(t testing.TB) *openapi3.T {
	t.Helper()
	var open any
	if err := json.Unmarshal(openapi.Document, &open); err != nil {
		t.Fatal(err)
	}
	closeObjects(open)
	closed, err := json.Marshal(open)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(closed)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, isMap := v["additionalProperties"]; v["type"] == "object" && v["properties"] != nil && !isMap {
			v["additionalProperties"] = false
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			closeObjects(v[name])
		}
	case []any:
		for _, e := range v {
			closeObjects(e)
		}
	}
}
