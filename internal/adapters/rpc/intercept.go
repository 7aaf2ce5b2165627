package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"ledger.internal/ledger/internal/aggregate"
)

// interceptor is what stands between gRPC and every method of ours.
type interceptor struct {
	routes map[string]route // by full method name
	errors errorMapper
}

func newInterceptor(all []route, log *slog.Logger) interceptor {
	i := interceptor{routes: map[string]route{}, errors: errorMapper{log}}
	for _, r := range all {
		i.routes[r.fullName()] = r
	}
	return i
}

func (i interceptor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			answer, err = nil, i.answer(ctx, info.FullMethod, panicked(cause))
		}
	}()
	if err := i.prepare(ctx, info.FullMethod, req); err != nil {
		return nil, i.answer(ctx, info.FullMethod, err)
	}
	answer, err = handle(ctx, req)
	return answer, i.answer(ctx, info.FullMethod, err)
}

func (i interceptor) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	ctx := stream.Context()
	defer func() {
		if cause := recover(); cause != nil {
			err = i.answer(ctx, info.FullMethod, panicked(cause))
		}
	}()
	return i.answer(ctx, info.FullMethod, handle(srv, preparedStream{stream, i, info.FullMethod}))
}

// answer turns an error into a status; one that is a status already, stays.
func (i interceptor) answer(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); ok { //nolint:errorlint // a wrapped status is not meant for callers
		return err
	}
	return i.errors.status(ctx, method, err).Err()
}

func panicked(cause any) error { return fmt.Errorf("panic: %v\n%s", cause, debug.Stack()) }

// prepare fills in what the headers say and checks the request. Methods that are not ours (health, reflection) pass.
func (i interceptor) prepare(ctx context.Context, method string, req any) error {
	r, ours := i.routes[method]
	m, isMessage := req.(proto.Message)
	if !ours || !isMessage {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if err := fillRequestID(m.ProtoReflect(), md.Get(idempotencyKeyHeader)); err != nil {
		return err
	}
	if err := fillWait(m.ProtoReflect(), md.Get(preferHeader)); err != nil {
		return err
	}
	if err := checkRequest(m); err != nil {
		return err
	}
	return checkBound(m.ProtoReflect(), r.bound)
}

// fillRequestID lets the Idempotency-Key header be the request_id.
func fillRequestID(m protoreflect.Message, header []string) error {
	fd := m.Descriptor().Fields().ByName("request_id")
	if fd == nil {
		return nil
	}
	for _, key := range header {
		given := m.Get(fd).String()
		if given != "" && key != "" && given != key {
			return aggregate.InvalidField("request_id", "IDEMPOTENCY_KEY_MISMATCH", "differs from the Idempotency-Key header")
		}
		if given == "" {
			m.Set(fd, protoreflect.ValueOfString(key))
		}
	}
	return nil
}

// fillWait lets "Prefer: wait=10" (RFC 7240) be the wait of a command that names none. Preferences that we do not
// know are passed over, as the RFC has it.
func fillWait(m protoreflect.Message, header []string) error {
	fd := m.Descriptor().Fields().ByName("wait")
	if fd == nil || m.Has(fd) {
		return nil
	}
	for _, preference := range strings.Split(strings.Join(header, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(preference), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
		if err != nil {
			return aggregate.InvalidField("wait", "WAIT_RANGE", "write Prefer: wait=<seconds>")
		}
		m.Set(fd, protoreflect.ValueOfMessage(durationpb.New(time.Duration(seconds)*time.Second).ProtoReflect()))
		return nil
	}
	return nil
}

// preparedStream checks the requests of a stream.
type preparedStream struct {
	grpc.ServerStream
	interceptor
	method string
}

// RecvMsg implements grpc.ServerStream.
func (s preparedStream) RecvMsg(m any) error {
	if _, ours := s.routes[s.method]; !ours {
		return s.ServerStream.RecvMsg(m)
	}
	d := &decoded{into: m}
	if err := s.ServerStream.RecvMsg(d); err != nil {
		return err
	}
	if d.err != nil {
		return d.err
	}
	return s.prepare(s.Context(), s.method, m)
}
