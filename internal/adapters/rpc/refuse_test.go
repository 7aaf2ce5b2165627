package rpc_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// check compares a call's error with what it should be.
func check(t testing.TB, err error, code, reason string) {
	t.Helper()
	s := status.Convert(err)
	if s.Code().String() != code || info(s).GetReason() != reason || info(s).GetDomain() != "ledger" {
		t.Errorf("got %v %s of domain %q (%v), want %s %s", s.Code(), info(s).GetReason(), info(s).GetDomain(), err, code, reason)
	}
}

func retryDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// rest makes the call over REST, as its google.api.http option says.
func (w *world) rest(method string, req proto.Message) answer {
	w.t.Helper()
	d := methodNamed(w.t, method)
	rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	body := proto.Clone(req)
	path := rule.GetGet() + rule.GetPost()
	for i := range d.Input().Fields().Len() {
		fd := d.Input().Fields().Get(i)
		if in := "{" + string(fd.Name()) + "}"; strings.Contains(path, in) {
			path = strings.ReplaceAll(path, in, strings.ReplaceAll(body.ProtoReflect().Get(fd).String(), "\n", "%0A"))
			body.ProtoReflect().Clear(fd)
		}
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(body)
	w.ok(err)
	return w.do("POST", path, string(text))
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

const pan = "4242424242424242"

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := w.start("s1", "tok_ok", 20*time.Second).Outcome.GetOrderId()
	w.start("doubt", "tok_unknown", 20*time.Second)
	w.start("failed", "tok_declined", 20*time.Second)

	begin := func(change func(*ledgerv1.StartSubscriptionRequest)) proto.Message {
		r := &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "new", Start: startRequest("new", "tok_ok")}
		change(r)
		return r
	}
	rebill := func(id string, change func(*ledgerv1.RebillRequest)) proto.Message {
		r := &ledgerv1.RebillRequest{MerchantId: "acme", SubscriptionId: id, RequestId: "new"}
		change(r)
		return r
	}
	refund := func(id string, change func(*ledgerv1.RefundRequest)) proto.Message {
		r := &ledgerv1.RefundRequest{MerchantId: "acme", SubscriptionId: id, RequestId: "new", OrderId: order}
		change(r)
		return r
	}
	chargeback := func(change func(*ledgerv1.ChargebackRequest)) proto.Message {
		r := &ledgerv1.ChargebackRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "new", OrderId: order, DisputeId: "d", Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED}
		change(r)
		return r
	}
	type start = ledgerv1.StartSubscriptionRequest
	for name, c := range map[string]struct {
		method       string
		request      proto.Message
		code, reason string
		field        string
	}{
		"no request id":        {startMethod, begin(func(r *start) { r.RequestId = "" }), "InvalidArgument", "IDEMPOTENCY_KEY_REQUIRED", "request_id"},
		"our own request id":   {startMethod, begin(func(r *start) { r.RequestId = "ledger:pay/1" }), "InvalidArgument", "IDEMPOTENCY_KEY_INVALID", "request_id"},
		"request id in German": {startMethod, begin(func(r *start) { r.RequestId = "prüf" }), "InvalidArgument", "IDEMPOTENCY_KEY_INVALID", "request_id"},
		"request id too long":  {startMethod, begin(func(r *start) { r.RequestId = strings.Repeat("x", 256) }), "InvalidArgument", "IDEMPOTENCY_KEY_INVALID", "request_id"},
		"request id reused":    {startMethod, begin(func(r *start) { r.RequestId, r.Start.SubscriptionId, r.Start.Quantity = "start-s1", "s1", 2 }), "InvalidArgument", "IDEMPOTENCY_KEY_REUSED", "request_id"},
		"exists":               {startMethod, begin(func(r *start) { r.Start.SubscriptionId = "s1" }), "AlreadyExists", "SUBSCRIPTION_EXISTS", ""},
		"connection unknown":   {startMethod, begin(func(r *start) { r.Start.ConnectionId = "other" }), "FailedPrecondition", "GATEWAY_UNKNOWN", ""},
		"no connection":        {startMethod, begin(func(r *start) { r.Start.ConnectionId = "" }), "InvalidArgument", "ID_INVALID", "start.connection_id"},
		"merchant unknown":     {startMethod, begin(func(r *start) { r.MerchantId = "other" }), "NotFound", "NOT_FOUND", ""},
		"nothing to start":     {startMethod, begin(func(r *start) { r.Start = nil }), "InvalidArgument", "START_REQUIRED", "start"},
		"currency XXX":         {startMethod, begin(func(r *start) { r.Start.Terms.Regular.Base.CurrencyCode = "XXX" }), "InvalidArgument", "CURRENCY_INVALID", ""},
		"currency usd":         {startMethod, begin(func(r *start) { r.Start.Terms.Regular.Base.CurrencyCode = "usd" }), "InvalidArgument", "CURRENCY_INVALID", ""},
		"currency €":           {startMethod, begin(func(r *start) { r.Start.Terms.Regular.Base.CurrencyCode = "€" }), "InvalidArgument", "CURRENCY_INVALID", ""},
		"amount 10^15":         {startMethod, begin(func(r *start) { r.Start.Terms.Regular.Base.MinorUnits = 1e15 }), "InvalidArgument", "AMOUNT_RANGE", ""},
		"amount int64 max":     {startMethod, begin(func(r *start) { r.Start.Terms.Regular.Base.MinorUnits = 1<<63 - 1 }), "InvalidArgument", "AMOUNT_RANGE", ""},
		"sum overflows": {startMethod, begin(func(r *start) {
			r.Start.Terms.Regular = &ledgerv1.Amounts{Base: usd(1<<63 - 1), Tax: usd(1<<63 - 1)}
		}), "InvalidArgument", "AMOUNT_RANGE", ""},
		"control character": {startMethod, begin(func(r *start) { r.Start.Buyer.FirstName = "A\tda" }), "InvalidArgument", "CONTROL_CHARACTER", "start.buyer.first_name"},
		"C1 control":        {startMethod, begin(func(r *start) { r.Start.Buyer.FirstName = "A\u0085" }), "InvalidArgument", "CONTROL_CHARACTER", "start.buyer.first_name"},
		"long text":         {startMethod, begin(func(r *start) { r.Start.ExternalRef = strings.Repeat("ä", 256) }), "InvalidArgument", "TEXT_TOO_LONG", "start.external_ref"},
		"card number":       {startMethod, begin(func(r *start) { r.Start.Buyer.Company = pan }), "InvalidArgument", "PAN_REJECTED", "start.buyer.company"},
		"with dashes":       {startMethod, begin(func(r *start) { r.Start.Tracking = &ledgerv1.Tracking{Id_1: "4242-4242-4242-4242"} }), "InvalidArgument", "PAN_REJECTED", "start.tracking.id_1"},
		"full-width digits": {startMethod, begin(func(r *start) { r.Start.Buyer.Company = "４２４２４２４２４２４２４２４２" }), "InvalidArgument", "PAN_REJECTED", "start.buyer.company"},
		"as request id":     {startMethod, begin(func(r *start) { r.RequestId = pan }), "InvalidArgument", "PAN_REJECTED", "request_id"},
		"as token":          {startMethod, begin(func(r *start) { r.Start.PaymentMethodToken = pan }), "InvalidArgument", "PAN_REJECTED", "start.payment_method_token"},
		"as id":             {startMethod, begin(func(r *start) { r.Start.SubscriptionId = pan }), "InvalidArgument", "PAN_REJECTED", "start.subscription_id"},
		"id too long":       {startMethod, begin(func(r *start) { r.Start.SubscriptionId = strings.Repeat("x", 300) }), "InvalidArgument", "ID_INVALID", "start.subscription_id"},
		"id $all":           {startMethod, begin(func(r *start) { r.Start.SubscriptionId = "$all" }), "InvalidArgument", "ID_INVALID", "start.subscription_id"},
		"id a::b":           {startMethod, begin(func(r *start) { r.Start.SubscriptionId = "a::b" }), "InvalidArgument", "ID_INVALID", "start.subscription_id"},
		"merchant $ce-x":    {startMethod, begin(func(r *start) { r.MerchantId = "$ce-x" }), "InvalidArgument", "ID_INVALID", "merchant_id"},
		"merchant newline":  {startMethod, begin(func(r *start) { r.MerchantId = "a\nb" }), "InvalidArgument", "ID_INVALID", "merchant_id"},
		"merchant empty":    {startMethod, begin(func(r *start) { r.MerchantId = "" }), "InvalidArgument", "ID_INVALID", "merchant_id"},
		"enum unknown":      {startMethod, begin(func(r *start) { r.Start.Terms.Kind = 99 }), "InvalidArgument", "ENUM_UNKNOWN", "start.terms.kind"},
		"wait too long":     {startMethod, begin(func(r *start) { r.Wait = durationpb.New(31 * time.Second) }), "InvalidArgument", "WAIT_RANGE", "wait"},
		"wait negative":     {startMethod, begin(func(r *start) { r.Wait = durationpb.New(-1) }), "InvalidArgument", "WAIT_RANGE", "wait"},

		"before due":        {"SubscriptionService/Rebill", rebill("s1", func(*ledgerv1.RebillRequest) {}), "FailedPrecondition", "NOT_DUE", ""},
		"ended":             {"SubscriptionService/Rebill", rebill("failed", func(*ledgerv1.RebillRequest) {}), "FailedPrecondition", "STATE_INVALID", ""},
		"pay number gap":    {"SubscriptionService/Rebill", rebill("s1", func(r *ledgerv1.RebillRequest) { r.PayNumber = 5 }), "FailedPrecondition", "PAY_NUMBER_GAP", ""},
		"in doubt":          {"SubscriptionService/Rebill", rebill("doubt", func(*ledgerv1.RebillRequest) {}), "FailedPrecondition", "PAYMENT_OUTCOME_UNKNOWN", ""},
		"rebill of nothing": {"SubscriptionService/Rebill", rebill("nobody", func(*ledgerv1.RebillRequest) {}), "NotFound", "NOT_FOUND", ""},

		"refund in EUR": {"SubscriptionService/Refund", refund("s1", func(r *ledgerv1.RefundRequest) {
			r.Amount = &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 1}
		}), "InvalidArgument", "CURRENCY_MISMATCH", ""},
		"refund of no order":  {"SubscriptionService/Refund", refund("s1", func(r *ledgerv1.RefundRequest) { r.OrderId = 1 }), "NotFound", "PAYMENT_NOT_FOUND", ""},
		"refund of too much":  {"SubscriptionService/Refund", refund("s1", func(r *ledgerv1.RefundRequest) { r.Amount = usd(4701) }), "FailedPrecondition", "REFUND_EXCEEDS_CAPTURED", ""},
		"refund of a foreign": {"SubscriptionService/Refund", refund("s1", func(r *ledgerv1.RefundRequest) { r.MerchantId = "other" }), "NotFound", "NOT_FOUND", ""},

		"year 10000": {"SubscriptionService/Chargeback", chargeback(func(r *ledgerv1.ChargebackRequest) {
			r.OccurredAt = &timestamppb.Timestamp{Seconds: 253402300800}
		}), "InvalidArgument", "TIME_INVALID", "occurred_at"},
		"year 0": {"SubscriptionService/Chargeback", chargeback(func(r *ledgerv1.ChargebackRequest) {
			r.OccurredAt = &timestamppb.Timestamp{Seconds: -62135596801}
		}), "InvalidArgument", "TIME_INVALID", "occurred_at"},

		"IPN type unknown": {"EndpointService/CreateEndpoint", &ledgerv1.CreateEndpointRequest{MerchantId: "acme", RequestId: "new",
			Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn", Types: []ledgerv1.IpnType{99}}}, "InvalidArgument", "EVENT_TYPE_UNKNOWN", "settings.types[0]"},
		"gateway unknown": {"ConnectionService/CreateConnection", &ledgerv1.CreateConnectionRequest{MerchantId: "acme", RequestId: "new", Gateway: "nowhere"}, "InvalidArgument", "GATEWAY_UNKNOWN", "gateway"},
		"wall clock":      {"OperationService/AdvanceClock", &ledgerv1.AdvanceClockRequest{By: durationpb.New(time.Hour)}, "FailedPrecondition", "CLOCK_NOT_MANUAL", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.head()
			err := w.call(c.method, c.request, &emptypb.Empty{})
			check(t, err, c.code, c.reason)
			s := status.Convert(err)
			if c.field != "" && field(s) != c.field {
				t.Errorf("got field %q, want %q", field(s), c.field)
			}
			if text := s.Proto().String(); strings.Contains(text, "4242") || strings.Contains(text, "４２") {
				t.Errorf("the answer repeats the card number: %s", text)
			}
			w.refusedByREST(c.method, c.request, s)
			if after := w.head(); after != before {
				t.Errorf("the log's head moved from %v to %v", before, after)
			}
		})
	}
	if strings.Contains(w.logged.String(), "4242") {
		t.Errorf("the log has the card number:\n%s", w.logged)
	}
}

// refusedByREST checks that REST refuses as gRPC did. What protobuf's JSON cannot express is left out.
func (w *world) refusedByREST(method string, request proto.Message, want *status.Status) {
	w.t.Helper()
	if _, err := protojson.Marshal(request); err != nil || field(want) == "merchant_id" {
		return
	}
	got := w.rest(method, request)
	s := got.refusal(w.t)
	if got.status != runtime.HTTPStatusFromCode(want.Code()) || s.Code() != want.Code() || info(s).GetReason() != info(want).GetReason() || field(s) != field(want) {
		w.t.Errorf("REST: got %d %v %s about %q, want %d %v %s about %q", got.status, s.Code(), info(s).GetReason(), field(s),
			runtime.HTTPStatusFromCode(want.Code()), want.Code(), info(want).GetReason(), field(want))
	}
	if strings.Contains(string(got.body), "4242") {
		w.t.Errorf("REST repeats the card number: %s", got.body)
	}
}

// TestTextIsKept tries what is dangerous elsewhere, and is only text here.
func TestTextIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, text := range []string{
		"'; DROP TABLE", "<script>", "=HYPERLINK()", "../../etc", "${jndi:…}", "%0d%0a", "12345678901234567", "4242424242424243", strings.Repeat("ä", 255),
	} {
		r := startRequest("t"+string(rune('a'+i)), "tok_ok")
		r.ExternalRef = text
		var got ledgerv1.CommandResponse
		w.must(startMethod, &ledgerv1.StartSubscriptionRequest{MerchantId: "acme", RequestId: "r", Start: r}, &got)
		if got.Subscription.ExternalRef != text {
			t.Errorf("got %q back, want %q", got.Subscription.ExternalRef, text)
		}
	}
}

func TestPageSizes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", 20*time.Second)
	request := &ledgerv1.ListEventsRequest{MerchantId: "acme", SubscriptionId: "s1", PageSize: -1}
	check(t, w.call("SubscriptionService/ListEvents", request, &ledgerv1.ListEventsResponse{}), "InvalidArgument", "PAGE_SIZE")
	request.PageSize = 1e6
	w.must("SubscriptionService/ListEvents", request, &ledgerv1.ListEventsResponse{})
	request.PageToken = "garbage"
	check(t, w.call("SubscriptionService/ListEvents", request, &ledgerv1.ListEventsResponse{}), "InvalidArgument", "PAGE_TOKEN_INVALID")
}
