package money

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Zero is nothing, in a's currency.
func Zero(a *ledgerv1.Amounts) *ledgerv1.Amounts {
	return of(a.GetFull().GetCurrencyCode(), 0, 0, 0, 0)
}

// SplitWithdrawal tells which parts an amount that a bank took back consists of: of what is left of the payment, or,
// if the bank took more than that, of what was captured; what exceeds even that counts as base. A bank asks nobody,
// so no amount is refused but one in another currency (CURRENCY_MISMATCH) and what is none (see Check).
func SplitWithdrawal(captured, left *ledgerv1.Amounts, amount *ledgerv1.Money) (*ledgerv1.Amounts, error) {
	if err := Check("amount", amount); err != nil {
		return nil, err
	}
	take := amount.MinorUnits
	switch {
	case take <= left.GetFull().GetMinorUnits():
		return SplitRefund(left, amount)
	case take <= captured.GetFull().GetMinorUnits():
		return SplitRefund(captured, amount)
	}
	if err := sameCurrency(amount, captured.GetFull()); err != nil {
		return nil, err
	}
	excess := take - captured.Full.MinorUnits
	return AddAmounts(captured, of(amount.CurrencyCode, excess, 0, 0, 0)), nil
}

// Splittable is a with no negative part. Parts that went out by two ways at once, a refund on its way and a
// withdrawal, can overdraw one by a rounded unit; what is left is then counted as base.
func Splittable(a *ledgerv1.Amounts) *ledgerv1.Amounts {
	net := a.GetBase().GetMinorUnits() - a.GetDiscount().GetMinorUnits()
	for _, part := range []int64{net, a.GetDiscount().GetMinorUnits(), a.GetShipping().GetMinorUnits(), a.GetTax().GetMinorUnits()} {
		if part < 0 {
			return of(a.GetFull().GetCurrencyCode(), a.GetFull().GetMinorUnits(), 0, 0, 0)
		}
	}
	return a
}
