package esdbtest_test

import (
	"net"
	"testing"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// TestPortIsKept: while nobody listens the port does not become the near end of a connection.
func TestPortIsKept(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t)
	other := esdbtest.Start(t)
	s.Stop()
	addr, err := net.ResolveTCPAddr("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: addr, Timeout: patience}
	if c, err := d.DialContext(t.Context(), "tcp", other.Addr()); err == nil {
		_ = c.Close()
		t.Error("a connection got the port of the stopped server")
	}
}
