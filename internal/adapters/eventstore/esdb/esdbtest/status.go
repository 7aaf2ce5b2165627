package esdbtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// refused is an answer of the server that trailers explain.
//
// EventStoreDB: RpcExceptions, Constants.Exceptions.
type refused struct {
	*status.Status
	trailer metadata.MD
}

func (e *refused) Error() string              { return e.Err().Error() }
func (e *refused) GRPCStatus() *status.Status { return e.Status }

// refuse makes an answer of the kind that the trailer "exception" names; pairs are its other trailers.
func refuse(code codes.Code, exception, text string, pairs ...string) error {
	return &refused{status.New(code, text), metadata.Pairs(append([]string{"exception", exception}, pairs...)...)}
}

// answerError sends the trailers that explain err, and makes a status of it.
func answerError(ctx context.Context, err error) error {
	var r *refused
	if errors.As(err, &r) {
		_ = grpc.SetTrailer(ctx, r.trailer)
		return r.Err()
	}
	return err
}

// errThrown is what a client hears of an exception that the server did not foresee.
func errThrown() error { return status.Error(codes.Unknown, "Exception was thrown by handler.") }

// errUnknownResult is what a client hears of a read that went wrong in a way that the call does not foresee.
func errUnknownResult(kind, result string) error {
	return status.Errorf(codes.Unknown, "Unexpected %s: %s", kind, result)
}

func errInvalidPositionAnswer() error {
	return status.Error(codes.InvalidArgument, "Trying to read from an invalid position.")
}

func errTimeout(text string) error { return status.Error(codes.Aborted, "Operation timed out: "+text) }

func errNotReady() error { return status.Error(codes.Unavailable, "Server Is Not Ready") }

func errAccessDenied() error {
	return refuse(codes.PermissionDenied, "access-denied", "Access Denied")
}

func errNotLeader(host string, port int) error {
	return refuse(codes.NotFound, "not-leader", "Leader info available",
		"leader-endpoint-host", host, "leader-endpoint-port", strconv.Itoa(port))
}

func errNoLeader() error { return status.Error(codes.Unknown, "No leader info available in response") }

func errDeleted(stream string) error {
	return refuse(codes.FailedPrecondition, "stream-deleted", fmt.Sprintf("Event stream '%s' is deleted.", stream), "stream-name", stream)
}

// errWrongVersion is the answer to deletions; that to appends is no error.
func errWrongVersion(operation, stream string, e *WrongVersionError) error {
	return refuse(codes.FailedPrecondition, "wrong-expected-version",
		fmt.Sprintf("%s failed due to WrongExpectedVersion. Stream: %s, Expected version: %d, Actual version: %d", operation, stream, e.Expected, e.Current),
		"stream-name", stream, "expected-version", strconv.FormatInt(int64(e.Expected), 10), "actual-version", strconv.FormatInt(e.Current, 10))
}

func errAppendTooLarge(most int) error {
	return refuse(codes.InvalidArgument, "maximum-append-size-exceeded", fmt.Sprintf("Maximum Append Size of %d Exceeded.", most),
		"maximum-append-size", strconv.Itoa(most))
}

func errEventTooLarge(id string, size, most int) error {
	return refuse(codes.InvalidArgument, "maximum-append-event-size-exceeded",
		fmt.Sprintf("Event with Id: %s, Size: %d, exceeds Maximum Append Event Size of %d.", id, size, most),
		"maximum-append-event-size", strconv.Itoa(most), "event-id", id, "proposed-append-event-size", strconv.Itoa(size))
}

func errPropertyMissing(property string) error {
	return refuse(codes.InvalidArgument, "missing-required-metadata-property",
		fmt.Sprintf("Required Metadata Property '%s' is missing", property), "required-metadata-properties", "type,content-type")
}
