package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// plain is an error of net/http in words that quote nothing. Its own hold the address with its query, and whatever of the
// answer it could not read; a server may well send back what it was sent. So only what is known to be harmless is told.
func plain(err error) error {
	var (
		lookup *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		errno  syscall.Errno
	)
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("it took too long")
	case errors.As(err, &lookup):
		return errors.New("the gateway's host name cannot be looked up")
	case errors.As(err, &cert):
		return fmt.Errorf("the gateway's certificate is not accepted: %T", cert.Err)
	case errors.As(err, &record):
		return errors.New("the gateway does not speak TLS")
	case errors.As(err, &alert):
		return fmt.Errorf("the gateway refuses the TLS handshake: %w", alert)
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was cut")
	}
	return errors.New("the connection broke, or carried no HTTP")
}
