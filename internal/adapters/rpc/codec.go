package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"ledger.internal/ledger/internal/aggregate"
)

// maxMessage is the size of the largest request.
const maxMessage = 256 << 10

// maxFrame is what gRPC itself refuses, in its own words and without a reason: its stream sends that status off before
// any handler, codec or interceptor hears of it. So maxFrame lies above maxMessage, and a request that is a little too
// large is refused in our words; compressed ones are cut off here while they unfold. Higher than this it must not be:
// so much memory any caller can have us fill for each of his calls.
const maxFrame = 4 * maxMessage

// codec is gRPC's codec for protobuf, except that a request that cannot be decoded is not the end: gRPC would answer
// INTERNAL before any interceptor could say what is wrong. decoded carries the message in and the error out.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// decoded is a message to decode into, and how that went.
type decoded struct {
	into any
	err  error
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	d, ok := v.(*decoded)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if data.Len() > maxMessage {
		d.err = errTooLarge()
		return nil
	}
	d.err = decodeError(c.CodecV2.Unmarshal(data, d.into))
	return nil
}

// decodeError says what is wrong with bytes that are not the message they should be.
func decodeError(err error) error {
	var invalid interface{ InvalidUTF8() bool }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return &aggregate.Error{Kind: aggregate.Invalid, Reason: "UTF8_INVALID", Message: "a text is not valid UTF-8"}
	case errors.Is(err, proto.Error):
		return &aggregate.Error{Kind: aggregate.Invalid, Reason: "MESSAGE_INVALID", Message: "the request is not the message it should be"}
	}
	return err
}

// decodingServices registers services whose unary methods learn why a request could not be decoded. It goes around
// the generated handlers, because they decode before any interceptor is called; streams decode inside of theirs.
type decodingServices struct {
	grpc.ServiceRegistrar
	answer func(ctx context.Context, err error) error
}

// RegisterService implements grpc.ServiceRegistrar.
func (s decodingServices) RegisterService(desc *grpc.ServiceDesc, impl any) {
	wrapped := *desc
	wrapped.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		wrapped.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName, Handler: s.unary(m.Handler)}
	}
	s.ServiceRegistrar.RegisterService(&wrapped, impl)
}

func (s decodingServices) unary(handle grpc.MethodHandler) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		return handle(srv, ctx, func(m any) error {
			d := &decoded{into: m}
			if err := decode(d); err != nil {
				return err
			}
			if d.err != nil {
				return s.answer(ctx, d.err)
			}
			return nil
		}, i)
	}
}
