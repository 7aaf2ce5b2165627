package esdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// ErrRefused means that trying again does not help until somebody changes something: credentials, a certificate, the
// server's version, the rights of the user, the metadata of a stream. The error's text says what.
var ErrRefused = errors.New("refused")

var (
	errNonsense = errors.New("the server's answer makes no sense")
	// errBehind means that a node does not hold what a cursor has seen.
	errBehind = errors.New("the node does not hold the event that was seen last")
)

// refusal is an ErrRefused whose text is for those who run the ledger.
type refusal struct {
	text  string
	cause error
}

func refuse(cause error, format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), cause}
}

func (r *refusal) Error() string        { return r.text }
func (r *refusal) Is(target error) bool { return target == ErrRefused }
func (r *refusal) Unwrap() error        { return r.cause }

// fault is why one try of a call did not succeed, and what that means.
type fault struct {
	error
	unsent   bool   // the call cannot have had an effect
	searched bool   // there was no node to make it on
	final    bool   // the next try would fail as this one did
	refused  bool   // the next try would fail until somebody changes something
	moved    bool   // another connection may do better
	leader   string // host:port of the node that does what this one may not
}

func (f *fault) Unwrap() error { return f.error }

// classify reads the status and the trailers that a call ended with. What is not known to have had no effect may have
// had one: of all that can go wrong on the way, a server tells only a part.
//
// Statuses and trailers: EventStoreDB, src/EventStore.Core/Services/Transport/Grpc/RpcExceptions.cs and Constants.cs
func classify(err error, trailer metadata.MD) *fault {
	f := &fault{error: err}
	exception := first(trailer, "exception")
	switch status.Code(err) {
	case codes.NotFound:
		if f.unsent = exception == "not-leader"; f.unsent {
			f.moved = true
			if host, port := first(trailer, "leader-endpoint-host"), first(trailer, "leader-endpoint-port"); host != "" && port != "" {
				f.leader = net.JoinHostPort(host, port)
			}
		} else {
			f.final = true
		}
	case codes.PermissionDenied:
		f.unsent, f.refused = true, true
		f.error = refuse(err, "the user may not read all of the log and write to it; the ledger needs the rights of $admins")
	case codes.Unauthenticated:
		f.unsent, f.refused = true, true
		f.error = refuse(err, "the user name or the password is wrong")
	case codes.FailedPrecondition:
		f.unsent, f.final = true, true
		if exception == "stream-deleted" {
			f.error = fmt.Errorf("stream %s was deleted from the log: %w", first(trailer, "stream-name"), err)
		}
	case codes.InvalidArgument, codes.Unimplemented, codes.OutOfRange:
		f.unsent, f.final = true, true
	case codes.Aborted, codes.ResourceExhausted:
		// Not replicated in time, or too much at once: the same node may do it the next time.
	default:
		f.moved = true
	}
	return f
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// explain says why a node could not be reached: what dialling it came to, if anything did, is nearer the cause than
// what gRPC makes of it.
func explain(err, dialled error) error {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		plain    tls.RecordHeaderError
		dial     *net.OpError
	)
	switch {
	case errors.As(dialled, &unknown):
		return refuse(dialled, "nobody that is known has signed its certificate; name the file of its authority with tlsCaFile")
	case errors.As(dialled, &invalid) && invalid.Reason == x509.Expired:
		return refuse(dialled, "its certificate is not valid now: %s", invalid.Detail)
	case errors.As(dialled, &hostname):
		return refuse(dialled, "its certificate is for another name: %v", hostname)
	case errors.As(dialled, &plain):
		return refuse(dialled, "it does not speak TLS; add tls=false if it is not meant to")
	case errors.Is(dialled, io.EOF):
		return errors.New("it ended the TLS handshake; add tls=false if it is not meant to speak TLS")
	case errors.As(dialled, &dial):
		return dial.Err // whoever asks knows the address
	case dialled != nil:
		return dialled
	case status.Code(err) == codes.Unimplemented, status.Code(err) == codes.NotFound:
		return refuse(err, "it does not answer as EventStoreDB from %s on does", oldest)
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return errors.New("it does not answer")
	}
	if s, ok := status.FromError(err); ok && err != nil {
		return errors.New(strings.ReplaceAll(s.Message(), "\n", " "))
	}
	return err
}
