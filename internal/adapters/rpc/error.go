package rpc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
)

// domain is ErrorInfo's domain of every reason in this program.
const domain = "ledger"

// codeOf is the one table from what the caller can do about an error to its gRPC code. HTTP follows from the code.
func codeOf(k aggregate.Kind) codes.Code {
	switch k {
	case aggregate.Invalid:
		return codes.InvalidArgument
	case aggregate.NotFound:
		return codes.NotFound
	case aggregate.Exists:
		return codes.AlreadyExists
	case aggregate.FailedPrecondition:
		return codes.FailedPrecondition
	case aggregate.Aborted:
		return codes.Aborted
	case aggregate.Exhausted:
		return codes.ResourceExhausted
	case aggregate.Unavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

// retryDelay is how long a caller should wait before he tries again; 0 if trying again is not the answer. A limit that
// is reached stays reached.
func retryDelay(c codes.Code) time.Duration {
	switch c {
	case codes.Aborted:
		return 100 * time.Millisecond
	case codes.Unavailable:
		return time.Second
	}
	return 0
}

// errorMapper turns errors into what the outside may see of them.
type errorMapper struct{ logger *slog.Logger }

// status answers err, which ended a call of method. What is not meant for callers is logged under a reference id,
// and the id is all of it that goes out.
func (m errorMapper) status(ctx context.Context, method string, err error) *status.Status {
	if s, ok := sentinel(ctx, err); ok {
		return s
	}
	reference := uuid.NewString()
	m.logger.LogAttrs(ctx, slog.LevelError, "request failed",
		slog.String("method", method), slog.String("reference", reference), slog.Any("error", err))
	return detailed(codes.Internal, &aggregate.Error{Reason: "INTERNAL", Message: "an internal error; its reference is " + reference,
		Metadata: map[string]string{"reference": reference}})
}

// sentinel answers the errors that say for themselves what they are.
func sentinel(ctx context.Context, err error) (*status.Status, bool) {
	var known *aggregate.Error
	switch {
	case errors.As(err, &known):
		return detailed(codeOf(known.Kind), known), true
	case errors.Is(err, event.ErrStoreFull):
		return detailed(codes.Unavailable, &aggregate.Error{Reason: "STORAGE_FULL", Message: "the ledger's disk is full; nothing was written"}), true
	case errors.Is(err, event.ErrUnavailable), errors.Is(err, event.ErrClosed), errors.Is(err, event.ErrUnknownOutcome):
		return detailed(codes.Unavailable, &aggregate.Error{Reason: "STORE_UNAVAILABLE",
			Message: "the ledger's store does not answer; repeat the request with the same request id"}), true
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return detailed(codes.DeadlineExceeded, &aggregate.Error{Reason: "DEADLINE_EXCEEDED", Message: "the caller's deadline passed"}), true
		}
		return detailed(codes.Canceled, &aggregate.Error{Reason: "CANCELLED", Message: "the caller went away"}), true
	case errors.Is(err, context.DeadlineExceeded):
		// Not the caller's: one of our own limits on how long the store may take.
		return detailed(codes.Unavailable, &aggregate.Error{Reason: "STORE_UNAVAILABLE", Message: "the ledger's store is too slow"}), true
	}
	return nil, false
}

// detailed writes e as a google.rpc.Status.
func detailed(code codes.Code, e *aggregate.Error) *status.Status {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: e.Reason, Domain: domain, Metadata: e.Metadata}}
	if e.Field != "" {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: e.Field, Reason: e.Reason, Description: e.Message},
		}})
	}
	if d := retryDelay(code); d > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	}
	message := e.Message
	if e.Field != "" {
		message = e.Field + ": " + message
	}
	s, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return status.New(code, message) // only for a code of OK, or details that do not encode
	}
	return s
}

// errTooLarge is said about a request of more than maxMessage bytes.
func errTooLarge() *aggregate.Error {
	return &aggregate.Error{Kind: aggregate.Exhausted, Reason: "MESSAGE_TOO_LARGE", Message: "a request has at most 256 KiB"}
}

// errUnknownMethod answers a call of something that is not there.
func errUnknownMethod() error {
	return detailed(codes.Unimplemented, &aggregate.Error{Reason: "METHOD_UNKNOWN", Message: "there is no such method"}).Err()
}

// errStopping ends calls that would otherwise go on while the server stops.
func errStopping() error {
	return &aggregate.Error{Kind: aggregate.Unavailable, Reason: "STOPPING", Message: "the server is stopping"}
}
