package payabl

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// domain is what payabl.'s addresses end in: https://docs.payabl.com/docs/paypal. Those of its tests have sandbox in them.
const (
	domain  = "payabl.com"
	sandbox = "sandbox"
)

// Why nothing is sent to where a connection's URL says.
var (
	errOtherHost = errors.New("the secret is sent to payabl. alone")
	errOtherMode = errors.New("the connection's URL is of the other mode")
)

// checkAddress refuses a URL that is not payabl.'s, and one where money moves for a connection that moves none, or the
// other way round. In place of the sandbox there may be a server on this machine.
func checkAddress(conn gateway.Connection) error {
	if conn.URL == "" {
		return nil
	}
	if err := gateway.CheckAddress(conn.URL, domain, false); err != nil {
		return fmt.Errorf("%w: %w", errOtherHost, err)
	}
	if movesMoney(conn.URL) != conn.Live {
		return errOtherMode
	}
	return nil
}

// movesMoney tells payabl.'s own addresses from those of its sandbox and of this machine.
func movesMoney(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	labels := strings.Split(strings.ToLower(u.Hostname()), ".")
	return gateway.CheckAddress(address, domain, true) == nil && !slices.Contains(labels, sandbox)
}
