package payabl

import (
	"net/url"
	"slices"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// invented is the buyer that payabl.'s public sandbox is told of. Its accounts are known to everybody, and so everybody
// can see what was sent there: no buyer who exists may be among it. https://docs.payabl.com/docs/help
func invented() *ledgerv1.Buyer {
	return &ledgerv1.Buyer{
		FirstName: "Test", LastName: "Buyer", Email: "buyer@example.com", Ip: "192.0.2.1", // for documentation: RFC 2606, RFC 5737
		Language: "en", Address: &ledgerv1.Address{CountryCode: "DE"},
	}
}

// buyerFor is the buyer whom a connection's back office may know of.
func buyerFor(conn gateway.Connection, b *ledgerv1.Buyer) *ledgerv1.Buyer {
	if b == nil || !isPublic(backOffice(conn)) {
		return b
	}
	return invented()
}

// isPublic reports whether an address is one of payabl.'s sandbox.
func isPublic(address string) bool {
	u, err := url.Parse(address)
	return err == nil && gateway.CheckAddress(address, domain, true) == nil &&
		slices.Contains(strings.Split(strings.ToLower(u.Hostname()), "."), sandbox)
}
