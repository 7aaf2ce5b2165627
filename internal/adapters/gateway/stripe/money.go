package stripe

import (
	"fmt"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

// Stripe counts in minor units as ISO 4217 does, but for these. https://docs.stripe.com/currencies#special-cases
var (
	// stripeDecimals are the decimals of currencies that Stripe counts otherwise: the krona and the Ugandan shilling have
	// lost theirs, and Stripe goes on writing them; the ariary's fifths are not written.
	stripeDecimals = map[string]int{"ISK": 2, "UGX": 2, "MGA": 0}
	// roundedTo is what an amount in Stripe's units has to be a multiple of.
	roundedTo = map[string]int64{"ISK": 100, "UGX": 100, "BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
)

// inUnits is an amount as Stripe writes it. The error is that it cannot.
func inUnits(m *ledgerv1.Money) (int64, error) {
	code, n := m.GetCurrencyCode(), m.GetMinorUnits()
	for d := decimalsOver(code); d != 0; {
		switch {
		case d > 0:
			n, d = n*10, d-1
		case n%10 != 0:
			return 0, fmt.Errorf("%s %s cannot be written in units of Stripe's", money.Format(m), code)
		default:
			n, d = n/10, d+1
		}
	}
	if to := roundedTo[code]; to != 0 && n%to != 0 {
		return 0, fmt.Errorf("%s %s is no multiple of %d of Stripe's units", money.Format(m), code, to)
	}
	return n, nil
}

// inMoney is an amount that Stripe wrote. Fractions that the ledger does not count cannot be charged, and are cut off.
func inMoney(currency string, units int64) *ledgerv1.Money {
	code := strings.ToUpper(currency)
	for d := decimalsOver(code); d != 0; {
		if d > 0 {
			units, d = units/10, d-1
		} else {
			units, d = units*10, d+1
		}
	}
	return money.New(code, units)
}

// decimalsOver is how many more decimals Stripe writes than the ledger.
func decimalsOver(code string) int {
	theirs, ok := stripeDecimals[code]
	if !ok {
		return 0
	}
	return theirs - money.Decimals(code)
}
