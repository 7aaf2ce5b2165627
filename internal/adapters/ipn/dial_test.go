package ipn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"testing"
	"time"

	"ledger.internal/ledger/internal/aggregate/text"
)

// FuzzDial says that an endpoint whose address is taken and names a place inside is not dialled, however it writes it.
// Names are left out: they are resolved before the guard is asked, and it is asked with what they resolve to.
func FuzzDial(f *testing.F) {
	errReached := errors.New("reached")
	f.Fuzz(func(t *testing.T, address string) {
		if !text.ValidURL(address) {
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatalf("%q is taken and is no address: %v", address, err)
		}
		ip, err := netip.ParseAddr(u.Hostname())
		if err != nil {
			return
		}
		port := u.Port()
		if port == "" {
			port = "443"
		}
		safe := guard(nil)
		dialer := &net.Dialer{Timeout: time.Second, Control: func(network, address string, c syscall.RawConn) error {
			if err := safe(network, address, c); err != nil {
				return err
			}
			return errReached // nothing leaves a test
		}}
		conn, err := dialer.DialContext(context.Background(), "tcp", net.JoinHostPort(u.Hostname(), port))
		if err == nil {
			t.Fatalf("%q was dialled: %v", address, conn.RemoteAddr())
		}
		if errors.Is(err, errReached) && inside(ip) {
			t.Fatalf("%q would be dialled", address)
		}
	})
}

// inside reports whether an address is none of the public internet's, as far as the standard library knows.
func inside(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() ||
		azureHost.Contains(ip) || ip.Is4() && ip.As4()[0] == 0
}
