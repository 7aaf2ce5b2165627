package money

import (
	"strconv"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// minDecimals is how many decimals are written at least, whatever the currency: receivers of notifications expect
// "500.00" for 500 yen.
const minDecimals = 2

// Format writes an amount as plain decimal text with at least two decimals and no separators: "47.00", "500.00" for
// 500 yen, "1.234" for 1234 fils. An absent amount is "0.00".
func Format(m *ledgerv1.Money) string {
	decimals := Decimals(m.GetCurrencyCode())
	digits := strconv.FormatInt(m.GetMinorUnits(), 10)
	digits, negative := strings.CutPrefix(digits, "-")
	if len(digits) <= decimals {
		digits = strings.Repeat("0", decimals+1-len(digits)) + digits
	}
	point := len(digits) - decimals
	text := digits[:point] + "." + digits[point:] + strings.Repeat("0", max(0, minDecimals-decimals))
	if negative {
		return "-" + text
	}
	return text
}

// Parse reads what Format writes, with or without the decimals: "47.00", "47.5", "47". Signs, exponents, separators,
// spaces, leading zeros and digits that the currency does not have are AMOUNT_FORMAT; what Check refuses is refused
// in the same way.
func Parse(code, text string) (*ledgerv1.Money, error) {
	if err := Check("amount", New(code, 0)); err != nil {
		return nil, err
	}
	decimals := Decimals(code)
	whole, fraction, point := strings.Cut(text, ".")
	leadingZero := len(whole) > 1 && whole[0] == '0'
	if !allDigits(whole) || leadingZero || point && !allDigits(fraction) || len(fraction) > max(minDecimals, decimals) {
		return nil, badFormat(text)
	}
	if len(fraction) < decimals {
		fraction += strings.Repeat("0", decimals-len(fraction))
	}
	if strings.Trim(fraction[decimals:], "0") != "" {
		return nil, badFormat(text) // half a yen
	}
	minor, err := strconv.ParseInt(whole+fraction[:decimals], 10, 64)
	if err != nil || minor >= Limit {
		return nil, outOfRange()
	}
	return New(code, minor), nil
}

func badFormat(text string) error {
	return &aggregate.Error{
		Kind:    aggregate.Invalid,
		Reason:  "AMOUNT_FORMAT",
		Message: "not an amount like 47.00: " + strconv.Quote(shorten(text)),
	}
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
