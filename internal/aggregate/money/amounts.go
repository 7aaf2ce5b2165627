package money

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// NormalizeAmounts checks the parts of a payment that somebody sent, and returns them with all five set: a part
// that is left out is 0, full is computed. Base is required. A full that is given has to be right
// (AMOUNTS_UNBALANCED), a discount is at most the base (DISCOUNT_EXCEEDS_BASE), there is one currency
// (CURRENCY_MISMATCH). Errors name the part under field.
func NormalizeAmounts(field string, a *ledgerv1.Amounts) (*ledgerv1.Amounts, error) {
	if err := Check(field+".base", a.GetBase()); err != nil {
		return nil, err
	}
	code := a.Base.CurrencyCode
	out := of(code, a.Base.MinorUnits, 0, 0, 0)
	for _, part := range []struct {
		name string
		sent *ledgerv1.Money
		out  *ledgerv1.Money
	}{
		{"discount", a.Discount, out.Discount},
		{"shipping", a.Shipping, out.Shipping},
		{"tax", a.Tax, out.Tax},
		{"full", a.Full, out.Full},
	} {
		if part.sent == nil {
			continue
		}
		if err := checkIn(code, field+"."+part.name, part.sent); err != nil {
			return nil, err
		}
		part.out.MinorUnits = part.sent.MinorUnits
	}
	if out.Discount.MinorUnits > out.Base.MinorUnits {
		return nil, aggregate.InvalidField(field+".discount", "DISCOUNT_EXCEEDS_BASE", "the discount is more than the base")
	}
	full := fullOf(out)
	if full >= Limit {
		return nil, aggregate.InvalidField(field+".full", "AMOUNT_RANGE", "the parts come to 10^15 minor units or more")
	}
	if a.Full != nil && a.Full.MinorUnits != full {
		return nil, aggregate.InvalidField(field+".full", "AMOUNTS_UNBALANCED",
			"full is %d, but base - discount + shipping + tax is %d", a.Full.MinorUnits, full)
	}
	out.Full.MinorUnits = full
	return out, nil
}

func checkIn(code, field string, m *ledgerv1.Money) error {
	if err := Check(field, m); err != nil {
		return err
	}
	if m.CurrencyCode != code {
		return aggregate.InvalidField(field+".currency_code", "CURRENCY_MISMATCH", "%s beside a base in %s", m.CurrencyCode, code)
	}
	return nil
}

// of makes Amounts from their parts; full is what they come to.
func of(code string, base, discount, shipping, tax int64) *ledgerv1.Amounts {
	a := &ledgerv1.Amounts{
		Base:     New(code, base),
		Discount: New(code, discount),
		Shipping: New(code, shipping),
		Tax:      New(code, tax),
	}
	a.Full = New(code, fullOf(a))
	return a
}

// fullOf is base - discount + shipping + tax. It does not overflow: every part is about Limit at most.
func fullOf(a *ledgerv1.Amounts) int64 {
	return a.GetBase().GetMinorUnits() - a.GetDiscount().GetMinorUnits() +
		a.GetShipping().GetMinorUnits() + a.GetTax().GetMinorUnits()
}

// AddAmounts is a + b, part by part; nil is nothing. It is for amounts that were checked when they were decided, so
// two currencies are a bug, and it panics. Sums may pass Limit: it takes thousands of the largest to overflow.
func AddAmounts(a, b *ledgerv1.Amounts) *ledgerv1.Amounts {
	return combine(a, b, func(x, y int64) (int64, bool) { return x + y, (x+y > x) == (y > 0) })
}

// SubAmounts is a - b, part by part; nil is nothing. Parts may become negative. It panics where AddAmounts does.
func SubAmounts(a, b *ledgerv1.Amounts) *ledgerv1.Amounts {
	return combine(a, b, func(x, y int64) (int64, bool) { return x - y, (x-y < x) == (y > 0) })
}

func combine(a, b *ledgerv1.Amounts, op func(x, y int64) (result int64, exact bool)) *ledgerv1.Amounts {
	if a == nil && b == nil {
		return nil
	}
	code := cmp.Or(a.GetBase().GetCurrencyCode(), b.GetBase().GetCurrencyCode())
	part := func(get func(*ledgerv1.Amounts) *ledgerv1.Money) *ledgerv1.Money {
		x, y := cmp.Or(get(a), New(code, 0)), cmp.Or(get(b), New(code, 0))
		result, exact := op(x.MinorUnits, y.MinorUnits)
		if err := sameCurrency(x, y); err != nil || !exact {
			panic(fmt.Sprintf("money: amounts that were never checked: %v and %v", a, b))
		}
		return New(code, result)
	}
	return &ledgerv1.Amounts{
		Full:     part((*ledgerv1.Amounts).GetFull),
		Base:     part((*ledgerv1.Amounts).GetBase),
		Discount: part((*ledgerv1.Amounts).GetDiscount),
		Shipping: part((*ledgerv1.Amounts).GetShipping),
		Tax:      part((*ledgerv1.Amounts).GetTax),
	}
}

// SplitRefund tells which parts an amount that goes back consists of. Every part gives in proportion to what is left
// of it and never more than that, full = base - discount + shipping + tax holds for the result and for the rest, and
// an amount that is all that is left gives exactly left. It refuses another currency (CURRENCY_MISMATCH) and more
// than is left (REFUND_EXCEEDS_CAPTURED).
func SplitRefund(left *ledgerv1.Amounts, amount *ledgerv1.Money) (*ledgerv1.Amounts, error) {
	if err := Check("amount", amount); err != nil {
		return nil, err
	}
	if err := sameCurrency(amount, left.GetFull()); err != nil {
		return nil, err
	}
	all, take := left.Full.MinorUnits, amount.MinorUnits
	if take > all {
		return nil, aggregate.Refuse("REFUND_EXCEEDS_CAPTURED", "%s %s is more than the %s that is left",
			Format(amount), amount.CurrencyCode, Format(left.Full))
	}
	left = Splittable(left)
	// The base and its discount move together: splitting what is left of both as one part keeps the discount from
	// ever exceeding the base, on either side.
	discount := left.Discount.GetMinorUnits()
	parts := Prorate(take, left.Base.GetMinorUnits()-discount, left.Shipping.GetMinorUnits(), left.Tax.GetMinorUnits())
	back := Prorate(discount, take, all-take)[0]
	return of(amount.CurrencyCode, parts[0]+back, back, parts[1], parts[2]), nil
}

// Prorate splits total in proportion to the weights, by largest remainder: the shares sum to total, each is the exact
// one rounded up or down, and of equal remainders the earlier is rounded up. If all weights are 0 the first takes
// everything. A negative total or weight is a bug, and it panics.
func Prorate(total int64, weights ...int64) []int64 {
	sum := sumOf(total, weights)
	shares := make([]int64, len(weights))
	if sum == 0 {
		shares[0] = total
		return shares
	}
	remainders := make([]uint64, len(weights))
	order := make([]int, len(weights))
	rest := total
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(total), uint64(w))
		share, remainder := bits.Div64(hi, lo, sum) // total*w/sum <= total, so it fits
		shares[i], remainders[i], order[i] = int64(share), remainder, i
		rest -= shares[i]
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(remainders[j], remainders[i]) })
	for _, i := range order[:rest] {
		shares[i]++
	}
	return shares
}

func sumOf(total int64, weights []int64) uint64 {
	if total < 0 || len(weights) == 0 {
		panic("money: nothing to prorate over, or a negative total")
	}
	var sum uint64
	for _, w := range weights {
		var carry uint64
		sum, carry = bits.Add64(sum, uint64(w), 0)
		if w < 0 || carry != 0 {
			panic("money: a negative weight, or weights that overflow")
		}
	}
	return sum
}
