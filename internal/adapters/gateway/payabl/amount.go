package payabl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

// amountLimit is the first amount in whole units that has too many digits: the format is 8.2
// (https://docs.payabl.com/docs/refund-1).
const amountLimit = 100_000_000

// setAmount writes an amount with no decimals or with two, which is all that payabl. reads: a currency with three cannot
// be charged here.
func (p params) setAmount(m *ledgerv1.Money) error {
	p["currency"] = m.GetCurrencyCode()
	decimals, n := money.Decimals(m.GetCurrencyCode()), m.GetMinorUnits()
	whole := n
	switch decimals {
	case 0:
		p["amount"] = strconv.FormatInt(n, 10)
	case 2:
		whole = n / 100
		p["amount"] = fmt.Sprintf("%d.%02d", whole, n%100)
	default:
		return &fieldError{"currency", "payabl. writes no amounts with " + strconv.Itoa(decimals) + " decimals"}
	}
	if n < 0 || whole >= amountLimit {
		return &fieldError{"amount", "it does not have 1 to 8 digits before the decimal point"}
	}
	return nil
}

// parseAmount reads what setAmount writes; a currency without decimals may have two noughts.
func parseAmount(text, currency string) (*ledgerv1.Money, error) {
	if !money.Known(currency) {
		return nil, fmt.Errorf("no currency: %.10q", currency)
	}
	whole, fraction, dotted := strings.Cut(strings.TrimSpace(text), ".")
	if !digits(whole) || len(whole) > 8 || dotted && (!digits(fraction) || len(fraction) != 2) {
		return nil, fmt.Errorf("no amount: %.20q", text)
	}
	n, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	if err != nil {
		return nil, err
	}
	switch money.Decimals(currency) {
	case 0:
		if n%100 != 0 {
			return nil, fmt.Errorf("%s has no decimals: %.20q", currency, text)
		}
		n /= 100
	case 2:
	default:
		return nil, errors.New("an amount with three decimals")
	}
	return money.New(currency, n), nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
