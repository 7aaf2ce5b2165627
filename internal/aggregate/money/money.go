// Package money checks, adds, splits and writes amounts.
//
// Amounts are whole minor units of an ISO 4217 currency: 4700 is 47.00 USD, 500 is 500 JPY. There is one type for
// them everywhere, the contract's own ledgerv1.Money, and ledgerv1.Amounts for the parts of a payment; this package
// is the arithmetic on both. Nothing here changes the values it is given.
package money

import (
	"slices"

	"github.com/bojanz/currency"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Limit is what every amount stays below. Nine thousand such amounts still fit an int64, and one fits the 2^53 that
// JavaScript and spreadsheets count to.
const Limit = 1_000_000_000_000_000

// New is an amount in minor units of a currency.
func New(code string, minor int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: code, MinorUnits: minor}
}

// Check tells what is wrong with an amount that somebody sent: AMOUNT_REQUIRED if it is absent, CURRENCY_INVALID,
// or AMOUNT_RANGE if it is negative or reaches Limit. The error names field and the part of it that is wrong.
func Check(field string, m *ledgerv1.Money) error {
	if m == nil {
		return aggregate.InvalidField(field, "AMOUNT_REQUIRED", "an amount is required")
	}
	if !Known(m.CurrencyCode) {
		return aggregate.InvalidField(field+".currency_code", "CURRENCY_INVALID",
			"not an ISO 4217 currency in upper case: %q", shorten(m.CurrencyCode))
	}
	if m.MinorUnits < 0 || m.MinorUnits >= Limit {
		return aggregate.InvalidField(field+".minor_units", "AMOUNT_RANGE",
			"an amount is at least 0 and less than 10^15 minor units")
	}
	return nil
}

// Known reports whether code is a currency that money can be counted in. Metals, testing codes and "no currency"
// (XAU, XTS, XXX, …) are not.
func Known(code string) bool {
	_, ok := currency.GetDigits(code)
	return ok
}

// Decimals is the number of digits after the decimal point: 2 for USD, 0 for JPY, 3 for KWD. A currency that ISO has
// withdrawn since it was stored counts as having 2.
func Decimals(code string) int {
	digits, ok := currency.GetDigits(code)
	if !ok {
		return 2
	}
	return int(digits)
}

// CodesOf are the known currencies with so many decimals, in alphabetical order.
func CodesOf(decimals int) (codes []string) {
	for _, code := range currency.GetCurrencyCodes() {
		if Known(code) && Decimals(code) == decimals {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes
}

// Add is a + b. It refuses two currencies (CURRENCY_MISMATCH) and results out of range (AMOUNT_RANGE).
func Add(a, b *ledgerv1.Money) (*ledgerv1.Money, error) {
	if err := sameCurrency(a, b); err != nil {
		return nil, err
	}
	sum := a.GetMinorUnits() + b.GetMinorUnits()
	if !inRange(a.GetMinorUnits()) || !inRange(b.GetMinorUnits()) || !inRange(sum) {
		return nil, outOfRange()
	}
	return New(a.GetCurrencyCode(), sum), nil
}

// Sub is a - b, which may be negative. It refuses what Add refuses.
func Sub(a, b *ledgerv1.Money) (*ledgerv1.Money, error) {
	if err := sameCurrency(a, b); err != nil {
		return nil, err
	}
	difference := a.GetMinorUnits() - b.GetMinorUnits()
	if !inRange(a.GetMinorUnits()) || !inRange(b.GetMinorUnits()) || !inRange(difference) {
		return nil, outOfRange()
	}
	return New(a.GetCurrencyCode(), difference), nil
}

// IsZero reports whether m is absent or nothing.
func IsZero(m *ledgerv1.Money) bool { return m.GetMinorUnits() == 0 }

// Equal reports whether both are the same amount of the same currency. An absent amount equals only an absent one.
func Equal(a, b *ledgerv1.Money) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.CurrencyCode == b.CurrencyCode && a.MinorUnits == b.MinorUnits
}

func inRange(minor int64) bool { return minor > -Limit && minor < Limit }

func outOfRange() error {
	return &aggregate.Error{Kind: aggregate.Invalid, Reason: "AMOUNT_RANGE", Message: "an amount reaches 10^15 minor units"}
}

func sameCurrency(a, b *ledgerv1.Money) error {
	if a.GetCurrencyCode() == b.GetCurrencyCode() {
		return nil
	}
	return &aggregate.Error{
		Kind:    aggregate.Invalid,
		Reason:  "CURRENCY_MISMATCH",
		Message: "two currencies: " + shorten(a.GetCurrencyCode()) + " and " + shorten(b.GetCurrencyCode()),
	}
}

// shorten keeps what somebody sent in place of a currency from filling an error message.
func shorten(code string) string {
	const enough = 10
	if r := []rune(code); len(r) > enough {
		return string(r[:enough]) + "…"
	}
	return code
}
