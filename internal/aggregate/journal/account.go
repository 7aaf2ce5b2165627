package journal

import (
	"strings"

	"ledger.internal/ledger/internal/aggregate/text"
)

// The accounts that every book has once.
const (
	Sales       = "sales"
	Shipping    = "shipping"
	TaxPayable  = "tax_payable"
	Discounts   = "discounts"
	Refunds     = "refunds"
	Chargebacks = "chargebacks"
	GatewayFees = "gateway_fees"
	Losses      = "losses"
)

// The accounts that every book has once for each connection begin so.
const (
	gatewayPrefix  = "gateway:"
	suspensePrefix = "suspense:"
)

// Gateway is the account of the money that lies at a connection's gateway.
func Gateway(connection string) string { return gatewayPrefix + connection }

// Suspense is the account of the money at a connection's gateway that nobody could place yet.
func Suspense(connection string) string { return suspensePrefix + connection }

// ValidAccount reports whether there can be an account of this name.
func ValidAccount(name string) bool {
	switch name {
	case Sales, Shipping, TaxPayable, Discounts, Refunds, Chargebacks, GatewayFees, Losses:
		return true
	}
	for _, prefix := range []string{gatewayPrefix, suspensePrefix} {
		if connection, ok := strings.CutPrefix(name, prefix); ok {
			return text.ValidID(connection)
		}
	}
	return false
}
