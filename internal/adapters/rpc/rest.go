package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Headers of REST requests that mean something to the ledger. No other reaches the gRPC server.
const (
	idempotencyKeyHeader = "Idempotency-Key"
	preferHeader         = "Prefer"
)

// rest stands before grpc-gateway: it knows each request's method, so it can refuse in our own words what the gateway
// would let pass, and hands on a request of which nothing but path, query, body and two headers is left.
type rest struct {
	routes []route
	mux    *runtime.ServeMux
	slow   time.Duration // how long a reader may leave a write standing
}

func newREST(ctx context.Context, all []route, conn *grpc.ClientConn, slow time.Duration) (*rest, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{&runtime.JSONPb{MarshalOptions: answerJSON()}}),
		runtime.WithIncomingHeaderMatcher(func(key string) (string, bool) {
			return strings.ToLower(key), key == idempotencyKeyHeader || key == preferHeader
		}),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(handleError),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		ledgerv1.RegisterSubscriptionServiceHandler,
		ledgerv1.RegisterOrderServiceHandler,
		ledgerv1.RegisterMerchantServiceHandler,
		ledgerv1.RegisterConnectionServiceHandler,
		ledgerv1.RegisterEndpointServiceHandler,
		ledgerv1.RegisterReportServiceHandler,
		ledgerv1.RegisterOperationServiceHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, err
		}
	}
	return &rest{routes: all, mux: mux, slow: slow}, nil
}

// answerJSON is how answers are written: the names of the proto, and every plain field, so that a reader sees
// "replayed": false where a default would have hidden it. What is absent stays absent.
func answerJSON() protojson.MarshalOptions {
	return protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}
}

// ServeHTTP implements http.Handler.
func (h *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, values, verbs := find(h.routes, r.Method, r.URL.Path)
	if found.method == nil {
		refuseRoute(w, verbs)
		return
	}
	inner, refused := h.accept(w, r, found, values)
	if refused != nil {
		refused.write(w)
		return
	}
	h.mux.ServeHTTP(&impatientWriter{ResponseWriter: w, deadline: http.NewResponseController(w), patience: h.slow}, inner)
}

func refuseRoute(w http.ResponseWriter, verbs []string) {
	if len(verbs) == 0 {
		refuse(http.StatusNotFound, codes.NotFound, "METHOD_UNKNOWN", "there is nothing at this address").write(w)
		return
	}
	slices.Sort(verbs)
	w.Header().Set("Allow", strings.Join(slices.Compact(verbs), ", "))
	refuse(http.StatusMethodNotAllowed, codes.Unimplemented, "METHOD_NOT_ALLOWED", "this address takes "+strings.Join(verbs, ", ")).write(w)
}

// accept checks the form of a request and makes the one that the gateway sees.
func (h *rest) accept(w http.ResponseWriter, r *http.Request, to route, values []string) (*http.Request, *refusal) {
	if !utf8.ValidString(r.URL.Path) {
		return nil, refuse(http.StatusBadRequest, codes.InvalidArgument, "UTF8_INVALID", "the path is not valid UTF-8")
	}
	if err := checkPath(to.bound, values); err != nil {
		return nil, refused(err)
	}
	body := &requestBody{route: to, values: values}
	if to.withBody {
		if r.URL.RawQuery != "" {
			return nil, refused(aggregate.InvalidField("", "FIELD_UNKNOWN", "what a command says stands in its body, not behind a question mark"))
		}
		raw, refused := readBody(w, r)
		if refused != nil {
			return nil, refused
		}
		body.raw = raw
	} else if err := checkQuery(r.URL.Query(), to); err != nil {
		return nil, refused(err)
	}
	header, err := acceptHeaders(r.Header)
	if err != nil {
		return nil, refused(err)
	}
	inner := r.Clone(r.Context())
	inner.Header, inner.Body, inner.Form, inner.PostForm = header, body, nil, nil
	return inner, nil
}

// checkPath judges what stands in the path before the gateway does, which takes 0x10 for a number and a colon for the
// beginning of a verb.
func checkPath(bound []protoreflect.FieldDescriptor, values []string) error {
	for i, fd := range bound {
		path, v := string(fd.Name()), values[i]
		if v == "" {
			return required(path)
		}
		check := checkText
		if fd.Kind() == protoreflect.StringKind {
			check = checkString
		}
		if err := check(path, fd, v); err != nil {
			return err
		}
	}
	return nil
}

// acceptHeaders is all of the headers that is handed on.
func acceptHeaders(h http.Header) (http.Header, error) {
	out := http.Header{"Content-Type": {"application/json"}}
	if keys := h.Values(idempotencyKeyHeader); len(keys) > 0 {
		if len(keys) > 1 {
			return nil, aggregate.InvalidField("request_id", "IDEMPOTENCY_KEY_MISMATCH", "more than one Idempotency-Key is given")
		}
		if !validKey(keys[0]) {
			return nil, checkRequestID(keys[0])
		}
		out[idempotencyKeyHeader] = keys
	}
	if prefer := h.Values(preferHeader); len(prefer) > 0 {
		joined := strings.Join(prefer, ", ")
		if validKey(joined) {
			out.Set(preferHeader, joined)
		}
	}
	return out, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	media, params, err := mime.ParseMediaType(strings.Join(r.Header.Values("Content-Type"), ", "))
	if err != nil || media != "application/json" || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return nil, refuse(http.StatusUnsupportedMediaType, codes.InvalidArgument, "MEDIA_TYPE", "send Content-Type: application/json")
	}
	if e := strings.Join(r.Header.Values("Content-Encoding"), ", "); e != "" && !strings.EqualFold(e, "identity") {
		return nil, refuse(http.StatusUnsupportedMediaType, codes.InvalidArgument, "ENCODING_UNSUPPORTED", "send the body as it is, without Content-Encoding")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	var tooMuch *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return nil, &refusal{http: http.StatusRequestEntityTooLarge, status: detailed(codes.ResourceExhausted, errTooLarge())}
	case err != nil:
		return nil, refuse(http.StatusBadRequest, codes.InvalidArgument, "BAD_REQUEST", "the body ended early")
	}
	return raw, nil
}

// checkQuery refuses what the gateway would pass over: parameters that the method does not have, or twice where it
// takes one. A misspelt filter would otherwise answer with everything.
func checkQuery(query url.Values, to route) error {
	for name, values := range query {
		fd := fieldOf(to.method.Input(), name)
		if fd == nil {
			return unknownField("", name, to.method.Input())
		}
		path := string(fd.Name())
		if slices.Contains(to.bound, fd) {
			return aggregate.InvalidField(path, "FIELD_UNKNOWN", "stands in the path")
		}
		if len(values) > 1 && !fd.IsList() {
			return aggregate.InvalidField(path, "JSON_DUPLICATE_KEY", "is given twice")
		}
		for i, v := range values {
			if fd.IsList() {
				path = string(fd.Name()) + "[" + strconv.Itoa(i) + "]"
			}
			if !utf8.ValidString(v) {
				return aggregate.InvalidField(path, "UTF8_INVALID", "is not valid UTF-8")
			}
			if fd.Kind() == protoreflect.BoolKind && (v == "true" || v == "false") {
				continue // a text here only: in a body it is none
			}
			if err := checkText(path, fd, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// requestBody carries a request's JSON to the gateway's decoder, and what was wrong with it back.
type requestBody struct {
	route  route
	values []string // of the fields in the path
	raw    []byte
	err    error
}

// Read implements io.Reader; the decoder takes the bytes at once, so nothing is left to read.
func (*requestBody) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (*requestBody) Close() error { return nil }

// decode reads the body into m.
func (b *requestBody) decode(m proto.Message) error {
	if len(b.raw) == 0 {
		return nil
	}
	if err := checkJSON(b.raw, m.ProtoReflect().Descriptor()); err != nil {
		return err
	}
	if err := protojson.Unmarshal(b.raw, m); err != nil {
		return invalidJSON("")
	}
	for i, fd := range b.route.bound {
		if v := m.ProtoReflect().Get(fd); fd.Kind() == protoreflect.StringKind && v.String() != "" && v.String() != b.values[i] {
			return aggregate.InvalidField(string(fd.Name()), mismatch(fd), "differs from the one in the path")
		}
	}
	return nil
}

func mismatch(fd protoreflect.FieldDescriptor) string {
	if fd.Name() == "merchant_id" {
		return "TENANT_MISMATCH"
	}
	return "ID_INVALID"
}

// marshaler is the gateway's JSON with our decoder.
type marshaler struct{ *runtime.JSONPb }

// NewDecoder implements runtime.Marshaler.
func (m marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		b, isBody := r.(*requestBody)
		msg, isMessage := v.(proto.Message)
		if !isBody || !isMessage {
			return errors.New("rpc: a request that did not come through the front")
		}
		b.err = b.decode(msg)
		return b.err
	})
}

// handleError writes an error of the gateway or of the server behind it.
func handleError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if b, ok := r.Body.(*requestBody); ok && b.err != nil {
		refused(b.err).write(w)
		return
	}
	s := status.Convert(err)
	if len(s.Proto().GetDetails()) == 0 {
		s = undetailed(s)
	}
	(&refusal{http: runtime.HTTPStatusFromCode(s.Code()), status: s}).write(w)
}

// undetailed answers errors that the gateway or gRPC made themselves: their words may repeat what was sent.
func undetailed(s *status.Status) *status.Status {
	switch s.Code() {
	case codes.InvalidArgument:
		return detailed(s.Code(), &aggregate.Error{Reason: "ARGUMENT_INVALID", Message: "the path or the query does not fit the method"})
	case codes.Canceled:
		return detailed(s.Code(), &aggregate.Error{Reason: "CANCELLED", Message: "the caller went away"})
	case codes.DeadlineExceeded:
		return detailed(s.Code(), &aggregate.Error{Reason: "DEADLINE_EXCEEDED", Message: "the caller's deadline passed"})
	}
	return detailed(codes.Unavailable, &aggregate.Error{Reason: "UNAVAILABLE", Message: "the ledger is starting or stopping"})
}

// refusal is an answer that says no: an HTTP status and what is said about it.
type refusal struct {
	http   int
	status *status.Status
}

func refuse(http int, code codes.Code, reason, message string) *refusal {
	return &refusal{http: http, status: detailed(code, &aggregate.Error{Reason: reason, Message: message})}
}

// refused is the refusal of an error about a request's form.
func refused(err error) *refusal {
	var known *aggregate.Error
	if !errors.As(err, &known) {
		return refuse(http.StatusBadRequest, codes.InvalidArgument, "BAD_REQUEST", "the request is malformed")
	}
	code := codeOf(known.Kind)
	return &refusal{http: runtime.HTTPStatusFromCode(code), status: detailed(code, known)}
}

func (f *refusal) write(w http.ResponseWriter) {
	body, err := answerJSON().Marshal(f.status.Proto())
	if err != nil {
		body = json.RawMessage(`{"code":13,"message":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if d := retryDelay(f.status.Code()); d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
	}
	w.WriteHeader(f.http)
	if _, err := w.Write(body); err != nil {
		slog.Debug("answer not written", "error", err)
	}
}

// impatientWriter gives up on a reader that leaves a write standing for too long. A deadline for the whole answer
// would end streams.
type impatientWriter struct {
	http.ResponseWriter
	deadline *http.ResponseController
	patience time.Duration
}

// Write implements io.Writer.
func (w *impatientWriter) Write(b []byte) (int, error) {
	if err := w.deadline.SetWriteDeadline(time.Now().Add(w.patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush.
func (w *impatientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
