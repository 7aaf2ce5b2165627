package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// CheckAddress refuses an address at which a secret would reach somebody else than the gateway it is for. It has to be
// the gateway's own, which is HTTPS at its domain or below; where no money moves it may also be on this machine. Who
// names a connection's address need not be who owns the secret.
func CheckAddress(address, domain string, live bool) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return errors.New("the connection's URL is not an address")
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme == "https" && (host == domain || strings.HasSuffix(host, "."+domain)):
		return nil
	case !live && isLoopback(host):
		return nil
	}
	return fmt.Errorf("the connection's URL is not an address of %s over https", domain)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
