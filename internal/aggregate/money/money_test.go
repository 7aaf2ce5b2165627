package money_test

import (
	"math"
	"testing"

	"github.com/bojanz/currency"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// wantError checks an error's reason and field; an empty reason wants none.
func wantError(t *testing.T, err error, reason, field string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		return
	}
	e, ok := err.(*aggregate.Error)
	if !ok || e.Reason != reason || e.Field != field || e.Kind != aggregate.Invalid {
		t.Fatalf("got error %#v, want an invalid %s at %q", err, reason, field)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		m             *ledgerv1.Money
		reason, field string
	}{
		"dollars":          {money.New("USD", 4700), "", ""},
		"zero":             {money.New("JPY", 0), "", ""},
		"the largest":      {money.New("KWD", money.Limit-1), "", ""},
		"francs of CFA":    {money.New("XOF", 1), "", ""},
		"absent":           {nil, "AMOUNT_REQUIRED", "x"},
		"no currency":      {money.New("", 1), "CURRENCY_INVALID", "x.currency_code"},
		"lower case":       {money.New("usd", 1), "CURRENCY_INVALID", "x.currency_code"},
		"a sign":           {money.New("€", 1), "CURRENCY_INVALID", "x.currency_code"},
		"with a space":     {money.New("USD ", 1), "CURRENCY_INVALID", "x.currency_code"},
		"XXX":              {money.New("XXX", 1), "CURRENCY_INVALID", "x.currency_code"},
		"testing code":     {money.New("XTS", 1), "CURRENCY_INVALID", "x.currency_code"},
		"gold":             {money.New("XAU", 1), "CURRENCY_INVALID", "x.currency_code"},
		"withdrawn":        {money.New("DEM", 1), "CURRENCY_INVALID", "x.currency_code"},
		"negative":         {money.New("USD", -1), "AMOUNT_RANGE", "x.minor_units"},
		"too large":        {money.New("USD", money.Limit), "AMOUNT_RANGE", "x.minor_units"},
		"largest integer":  {money.New("USD", math.MaxInt64), "AMOUNT_RANGE", "x.minor_units"},
		"smallest integer": {money.New("USD", math.MinInt64), "AMOUNT_RANGE", "x.minor_units"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, money.Check("x", c.m), c.reason, c.field)
		})
	}
}

func TestEveryCurrencyOfISO(t *testing.T) {
	t.Parallel()
	codes := currency.GetCurrencyCodes()
	if len(codes) < 150 {
		t.Fatalf("got %d currencies, want those of ISO 4217", len(codes))
	}
	for _, code := range codes {
		if err := money.Check("x", money.New(code, 1)); err != nil {
			t.Errorf("%s: got %v, want no error", code, err)
		}
		if d := money.Decimals(code); d < 0 || d > 4 {
			t.Errorf("%s: got %d decimals, want 0 to 4", code, d)
		}
	}
	for code, want := range map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3, "CLF": 4, "HUF": 2} {
		if got := money.Decimals(code); got != want {
			t.Errorf("%s: got %d decimals, want %d", code, got, want)
		}
	}
}

func TestAddAndSub(t *testing.T) {
	t.Parallel()
	usd := func(minor int64) *ledgerv1.Money { return money.New("USD", minor) }
	for name, c := range map[string]struct {
		a, b     *ledgerv1.Money
		sum      *ledgerv1.Money
		sumErr   string
		minus    *ledgerv1.Money
		minusErr string
	}{
		"plain":           {usd(4700), usd(300), usd(5000), "", usd(4400), ""},
		"below zero":      {usd(1), usd(3), usd(4), "", usd(-2), ""},
		"two currencies":  {usd(1), money.New("EUR", 1), nil, "CURRENCY_MISMATCH", nil, "CURRENCY_MISMATCH"},
		"at the limit":    {usd(money.Limit - 1), usd(1), nil, "AMOUNT_RANGE", usd(money.Limit - 2), ""},
		"wraps around":    {usd(math.MaxInt64), usd(math.MaxInt64), nil, "AMOUNT_RANGE", nil, "AMOUNT_RANGE"},
		"wraps the other": {usd(math.MinInt64), usd(1), nil, "AMOUNT_RANGE", nil, "AMOUNT_RANGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sum, err := money.Add(c.a, c.b)
			wantError(t, err, c.sumErr, "")
			if diff := cmp.Diff(c.sum, sum, protocmp.Transform()); diff != "" {
				t.Errorf("sum (-want +got):\n%s", diff)
			}
			minus, err := money.Sub(c.a, c.b)
			wantError(t, err, c.minusErr, "")
			if diff := cmp.Diff(c.minus, minus, protocmp.Transform()); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b *ledgerv1.Money
		want bool
	}{
		"the same":        {money.New("USD", 5), money.New("USD", 5), true},
		"other amount":    {money.New("USD", 5), money.New("USD", 6), false},
		"other currency":  {money.New("USD", 5), money.New("EUR", 5), false},
		"absent and zero": {nil, money.New("USD", 0), false},
		"both absent":     {nil, nil, true},
	} {
		if got := money.Equal(c.a, c.b); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// amounts draws the parts of a payment in any currency.
func amounts(t *rapid.T) *ledgerv1.Amounts {
	code := rapid.SampledFrom(currency.GetCurrencyCodes()).Draw(t, "currency")
	part := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, 100_000), rapid.Int64Range(0, money.Limit/4))
	base := part.Draw(t, "base")
	a, err := money.NormalizeAmounts("amounts", &ledgerv1.Amounts{
		Base:     money.New(code, base),
		Discount: money.New(code, rapid.Int64Range(0, base).Draw(t, "discount")),
		Shipping: money.New(code, part.Draw(t, "shipping")),
		Tax:      money.New(code, part.Draw(t, "tax")),
	})
	if err != nil {
		t.Fatalf("got error %v for good amounts, want none", err)
	}
	return a
}

func balanced(a *ledgerv1.Amounts) bool {
	return a.Full.MinorUnits == a.Base.MinorUnits-a.Discount.MinorUnits+a.Shipping.MinorUnits+a.Tax.MinorUnits
}

func parts(a *ledgerv1.Amounts) []*ledgerv1.Money {
	return []*ledgerv1.Money{a.Full, a.Base, a.Discount, a.Shipping, a.Tax}
}

func TestNormalizeAmounts(t *testing.T) {
	t.Parallel()
	usd := func(minor int64) *ledgerv1.Money { return money.New("USD", minor) }
	for name, c := range map[string]struct {
		sent, want    *ledgerv1.Amounts
		reason, field string
	}{
		"base alone": {
			sent: &ledgerv1.Amounts{Base: usd(4700)},
			want: &ledgerv1.Amounts{Full: usd(4700), Base: usd(4700), Discount: usd(0), Shipping: usd(0), Tax: usd(0)},
		},
		"all parts": {
			sent: &ledgerv1.Amounts{Full: usd(5200), Base: usd(4700), Discount: usd(700), Shipping: usd(500), Tax: usd(700)},
			want: &ledgerv1.Amounts{Full: usd(5200), Base: usd(4700), Discount: usd(700), Shipping: usd(500), Tax: usd(700)},
		},
		"free": {
			sent: &ledgerv1.Amounts{Base: usd(4700), Discount: usd(4700)},
			want: &ledgerv1.Amounts{Full: usd(0), Base: usd(4700), Discount: usd(4700), Shipping: usd(0), Tax: usd(0)},
		},
		"absent":                {nil, nil, "AMOUNT_REQUIRED", "a.base"},
		"full alone":            {&ledgerv1.Amounts{Full: usd(1)}, nil, "AMOUNT_REQUIRED", "a.base"},
		"unknown currency":      {&ledgerv1.Amounts{Base: money.New("XXX", 1)}, nil, "CURRENCY_INVALID", "a.base.currency_code"},
		"tax in euros":          {&ledgerv1.Amounts{Base: usd(1), Tax: money.New("EUR", 1)}, nil, "CURRENCY_MISMATCH", "a.tax.currency_code"},
		"full in euros":         {&ledgerv1.Amounts{Base: usd(1), Full: money.New("EUR", 1)}, nil, "CURRENCY_MISMATCH", "a.full.currency_code"},
		"negative shipping":     {&ledgerv1.Amounts{Base: usd(1), Shipping: usd(-1)}, nil, "AMOUNT_RANGE", "a.shipping.minor_units"},
		"discount over base":    {&ledgerv1.Amounts{Base: usd(1), Discount: usd(2), Tax: usd(5)}, nil, "DISCOUNT_EXCEEDS_BASE", "a.discount"},
		"full wrong":            {&ledgerv1.Amounts{Base: usd(100), Full: usd(99)}, nil, "AMOUNTS_UNBALANCED", "a.full"},
		"full given as nothing": {&ledgerv1.Amounts{Base: usd(100), Full: usd(0)}, nil, "AMOUNTS_UNBALANCED", "a.full"},
		"sum out of range": {
			&ledgerv1.Amounts{Base: usd(money.Limit - 1), Tax: usd(money.Limit - 1)}, nil, "AMOUNT_RANGE", "a.full",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := proto.Clone(c.sent)
			got, err := money.NormalizeAmounts("a", c.sent)
			wantError(t, err, c.reason, c.field)
			if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("amounts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, proto.Message(c.sent), protocmp.Transform()); diff != "" {
				t.Errorf("what was sent changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAddAmountsUndoesSubAmounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := amounts(t)
		refund, err := money.SplitRefund(a, money.New(a.Full.CurrencyCode, a.Full.MinorUnits/3))
		if err != nil {
			t.Fatal(err)
		}
		back := money.AddAmounts(money.SubAmounts(a, refund), refund)
		if diff := cmp.Diff(a, back, protocmp.Transform()); diff != "" {
			t.Fatalf("a - b + b (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(a, money.SubAmounts(a, nil), protocmp.Transform()); diff != "" {
			t.Fatalf("a - nothing (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(a, money.AddAmounts(nil, a), protocmp.Transform()); diff != "" {
			t.Fatalf("nothing + a (-want +got):\n%s", diff)
		}
	})
}

func TestAddAmountsPanicsOnWhatWasNeverChecked(t *testing.T) {
	t.Parallel()
	base := func(code string, minor int64) *ledgerv1.Amounts {
		return &ledgerv1.Amounts{Base: money.New(code, minor)}
	}
	for name, f := range map[string]func(){
		"two currencies":     func() { money.AddAmounts(base("USD", 1), base("EUR", 1)) },
		"minus another":      func() { money.SubAmounts(base("USD", 1), base("EUR", 1)) },
		"a sum too large":    func() { money.AddAmounts(base("USD", math.MaxInt64), base("USD", 1)) },
		"a sum too small":    func() { money.AddAmounts(base("USD", math.MinInt64), base("USD", -1)) },
		"a difference large": func() { money.SubAmounts(base("USD", math.MaxInt64), base("USD", -1)) },
		"a difference small": func() { money.SubAmounts(base("USD", -2), base("USD", math.MaxInt64)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got a result, want a panic", name)
				}
			}()
			f()
		}()
	}
}

func TestSumsMayPassTheLimit(t *testing.T) {
	t.Parallel()
	largest := &ledgerv1.Amounts{Full: money.New("USD", money.Limit-1), Base: money.New("USD", money.Limit-1)}
	var sum *ledgerv1.Amounts
	for range 9000 {
		sum = money.AddAmounts(sum, largest)
	}
	if got := sum.Base.MinorUnits; got != 9000*(money.Limit-1) {
		t.Errorf("got %d, want 9000 times the largest amount", got)
	}
}

func TestProrate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total   int64
		weights []int64
		want    []int64
	}{
		"evenly":                {9, []int64{1, 1, 1}, []int64{3, 3, 3}},
		"ties go to the first":  {10, []int64{1, 1, 1}, []int64{4, 3, 3}},
		"larger remainder wins": {10, []int64{1, 2, 4}, []int64{1, 3, 6}},
		"nothing":               {0, []int64{5, 5}, []int64{0, 0}},
		"a weight of nothing":   {7, []int64{0, 3}, []int64{0, 7}},
		"no weights":            {7, []int64{0, 0}, []int64{7, 0}},
		"huge":                  {math.MaxInt64, []int64{math.MaxInt64, math.MaxInt64}, []int64{math.MaxInt64/2 + 1, math.MaxInt64 / 2}},
	} {
		if diff := cmp.Diff(c.want, money.Prorate(c.total, c.weights...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestProrateIsExactAndFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, 1_000_000).Draw(t, "total")
		weights := rapid.SliceOfN(rapid.Int64Range(0, 1_000_000), 1, 6).Draw(t, "weights")
		var sum, weight int64
		shares := money.Prorate(total, weights...)
		for i := range weights {
			sum, weight = sum+shares[i], weight+weights[i]
		}
		if sum != total {
			t.Fatalf("shares %v sum to %d, want %d", shares, sum, total)
		}
		for i, w := range weights {
			if weight == 0 {
				break
			}
			if low := total * w / weight; shares[i] != low && (shares[i] != low+1 || total*w%weight == 0) {
				t.Fatalf("share %d is %d of %d, want %d rounded", i, shares[i], total, low)
			}
		}
	})
}

func TestSplitRefundRefuses(t *testing.T) {
	t.Parallel()
	left, err := money.NormalizeAmounts("a", &ledgerv1.Amounts{Base: money.New("USD", 100)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = money.SplitRefund(left, money.New("EUR", 1))
	wantError(t, err, "CURRENCY_MISMATCH", "")
	_, err = money.SplitRefund(left, money.New("USD", -1))
	wantError(t, err, "AMOUNT_RANGE", "amount.minor_units")
	_, err = money.SplitRefund(left, money.New("USD", 101))
	if e, ok := err.(*aggregate.Error); !ok || e.Reason != "REFUND_EXCEEDS_CAPTURED" || e.Kind != aggregate.FailedPrecondition {
		t.Fatalf("got %#v, want REFUND_EXCEEDS_CAPTURED", err)
	}
	over := money.SubAmounts(left, money.AddAmounts(left, left))
	if _, err := money.SplitRefund(over, money.New("USD", 0)); err == nil {
		t.Fatal("got a refund of what was already returned twice, want REFUND_EXCEEDS_CAPTURED")
	}
}

func TestSplitRefundWhereAPartIsBelowZero(t *testing.T) {
	t.Parallel()
	usd := func(minor int64) *ledgerv1.Money { return money.New("USD", minor) }
	left := &ledgerv1.Amounts{Full: usd(1), Base: usd(2), Discount: usd(0), Shipping: usd(0), Tax: usd(-1)}
	got, err := money.SplitRefund(left, usd(1))
	want := &ledgerv1.Amounts{Full: usd(1), Base: usd(1), Discount: usd(0), Shipping: usd(0), Tax: usd(0)}
	if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
		t.Fatalf("error %v, parts (-want +got):\n%s", err, diff)
	}
}

func TestRefundsGiveBackThePayment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		paid := amounts(t)
		left, returned := paid, (*ledgerv1.Amounts)(nil)
		for i := range 8 {
			take := left.Full.MinorUnits
			if i < 7 {
				take = rapid.Int64Range(0, take).Draw(t, "refund")
			}
			before := proto.Clone(left)
			refund, err := money.SplitRefund(left, money.New(left.Full.CurrencyCode, take))
			if err != nil {
				t.Fatalf("got error %v, want a refund of %d", err, take)
			}
			if diff := cmp.Diff(before, proto.Message(left), protocmp.Transform()); diff != "" {
				t.Fatalf("what was left changed (-before +after):\n%s", diff)
			}
			rest := money.SubAmounts(left, refund)
			if refund.Full.MinorUnits != take || !balanced(refund) || !balanced(rest) {
				t.Fatalf("got refund %v and rest %v, want both balanced and a refund of %d", refund, rest, take)
			}
			for j := range parts(paid) {
				if parts(refund)[j].MinorUnits < 0 || parts(rest)[j].MinorUnits < 0 {
					t.Fatalf("got refund %v and rest %v, want no part below zero", refund, rest)
				}
			}
			if rest.Discount.MinorUnits > rest.Base.MinorUnits || refund.Discount.MinorUnits > refund.Base.MinorUnits {
				t.Fatalf("got refund %v and rest %v, want no discount above its base", refund, rest)
			}
			left, returned = rest, money.AddAmounts(returned, refund)
		}
		if diff := cmp.Diff(paid, returned, protocmp.Transform()); diff != "" {
			t.Fatalf("all refunds together (-payment +refunds):\n%s", diff)
		}
	})
}
