package money_test

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/bojanz/currency"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

// TestEveryCurrencyThereAndBack writes and reads amounts around every power of ten, in every currency of ISO 4217.
func TestEveryCurrencyThereAndBack(t *testing.T) {
	t.Parallel()
	exponents := map[int]int{}
	for _, code := range currency.GetCurrencyCodes() {
		decimals := money.Decimals(code)
		exponents[decimals]++
		for power := int64(1); power <= money.Limit; power *= 10 {
			for _, minor := range []int64{power - 1, power, power + 1} {
				if minor >= money.Limit {
					continue
				}
				m := money.New(code, minor)
				text := money.Format(m)
				_, fraction, _ := strings.Cut(text, ".")
				if len(fraction) != max(2, decimals) {
					t.Fatalf("%d %s is written %q, want %d decimals", minor, code, text, max(2, decimals))
				}
				if back, err := money.Parse(code, text); err != nil || !money.Equal(back, m) {
					t.Fatalf("%d %s: got %v and %v from %q", minor, code, back, err, text)
				}
				if _, err := money.Parse(code, text+"0"); err == nil {
					t.Fatalf("%s: %q is taken, with a decimal too many", code, text+"0")
				}
				if _, err := money.Parse(code, "-"+text); err == nil {
					t.Fatalf("%s: %q is taken", code, "-"+text)
				}
			}
		}
		if zero, err := money.Sub(money.New(code, 5), money.New(code, 5)); err != nil || strings.Contains(money.Format(zero), "-") {
			t.Fatalf("5 - 5 %s is %q, %v", code, money.Format(zero), err)
		}
	}
	// No currency divides by ten alone any more; ISO 4217 and its units of account have all others.
	for _, decimals := range []int{0, 2, 3, 4} {
		if exponents[decimals] == 0 {
			t.Errorf("no currency has %d decimals", decimals)
		}
	}
}

// TestEqualShares: what is split evenly differs by a unit at most, and the larger shares come first.
func TestEqualShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "total")
		weight := rapid.Int64Range(1, math.MaxInt64/60).Draw(t, "weight")
		weights := slices.Repeat([]int64{weight}, rapid.IntRange(1, 60).Draw(t, "shares"))
		shares := money.Prorate(total, weights...)
		var sum int64
		for i, s := range shares {
			sum += s
			if i > 0 && s > shares[i-1] {
				t.Fatalf("share %d of %v is larger than the one before", i, shares)
			}
		}
		if sum != total || shares[0]-shares[len(shares)-1] > 1 {
			t.Fatalf("%d is split into %v", total, shares)
		}
	})
}

// TestArithmeticIsChecked compares sums and differences of any two integers with those of integers without an end.
func TestArithmeticIsChecked(t *testing.T) {
	t.Parallel()
	limit := big.NewInt(money.Limit)
	fits := func(n *big.Int) bool { return new(big.Int).Abs(n).Cmp(limit) < 0 }
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-money.Limit-2, -money.Limit+2), rapid.Int64Range(money.Limit-2, money.Limit+2),
			rapid.Int64Range(-5, 5), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64}))
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, y := big.NewInt(a), big.NewInt(b)
		for _, c := range []struct {
			name string
			do   func(a, b *ledgerv1.Money) (*ledgerv1.Money, error)
			want *big.Int
		}{
			{"sum", money.Add, new(big.Int).Add(x, y)},
			{"difference", money.Sub, new(big.Int).Sub(x, y)},
		} {
			got, err := c.do(money.New("USD", a), money.New("USD", b))
			if ok := fits(x) && fits(y) && fits(c.want); ok != (err == nil) || ok && got.MinorUnits != c.want.Int64() {
				t.Fatalf("%s of %d and %d: got %v and %v, want %v", c.name, a, b, got, err, c.want)
			}
		}
	})
}

// TestAmountsAreCheckedExactly sends any parts, a full amount beside them now and then, and takes exactly those that
// fit together.
func TestAmountsAreCheckedExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom(currency.GetCurrencyCodes()).Draw(t, "currency")
		part := rapid.OneOf(rapid.Int64Range(-1, 9), rapid.Int64Range(0, 100_000), rapid.Int64Range(money.Limit-3, money.Limit), rapid.Int64())
		sent := &ledgerv1.Amounts{}
		full, good := new(big.Int), true
		for _, p := range []struct {
			name string
			to   **ledgerv1.Money
			sign int64
		}{{"base", &sent.Base, 1}, {"discount", &sent.Discount, -1}, {"shipping", &sent.Shipping, 1}, {"tax", &sent.Tax, 1}} {
			if p.name != "base" && !rapid.Bool().Draw(t, p.name+" is given") {
				continue
			}
			minor := part.Draw(t, p.name)
			*p.to = money.New(code, minor)
			good = good && minor >= 0 && minor < money.Limit
			full.Add(full, new(big.Int).Mul(big.NewInt(p.sign), big.NewInt(minor)))
		}
		good = good && sent.Discount.GetMinorUnits() <= sent.Base.MinorUnits
		good = good && full.Cmp(big.NewInt(money.Limit)) < 0
		if off := rapid.Int64Range(-1, 1).Draw(t, "off"); full.IsInt64() && rapid.Bool().Draw(t, "full is given") {
			sent.Full = money.New(code, full.Int64()+off)
			good = good && off == 0
		}
		got, err := money.NormalizeAmounts("amounts", sent)
		if good != (err == nil) {
			t.Fatalf("%v: got %v and %v, want it taken: %v", sent, got, err, good)
		}
		if good && (got.Full.MinorUnits != full.Int64() || !balanced(got)) {
			t.Fatalf("got %v, want %v in full", got, full)
		}
	})
}
