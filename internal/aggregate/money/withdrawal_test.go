package money_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

func usdAmounts(t *testing.T, base, discount, shipping, tax int64) *ledgerv1.Amounts {
	t.Helper()
	usd := func(minor int64) *ledgerv1.Money { return money.New("USD", minor) }
	a, err := money.NormalizeAmounts("a", &ledgerv1.Amounts{
		Base: usd(base), Discount: usd(discount), Shipping: usd(shipping), Tax: usd(tax),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSplitWithdrawal(t *testing.T) {
	t.Parallel()
	captured, left := usdAmounts(t, 8000, 0, 1000, 1000), usdAmounts(t, 4000, 0, 500, 500)
	for name, c := range map[string]struct {
		amount *ledgerv1.Money
		want   *ledgerv1.Amounts
		reason string
		field  string
	}{
		"some of what is left":       {money.New("USD", 1000), usdAmounts(t, 800, 0, 100, 100), "", ""},
		"all that is left":           {money.New("USD", 5000), left, "", ""},
		"more than is left":          {money.New("USD", 6000), usdAmounts(t, 4800, 0, 600, 600), "", ""},
		"all that was captured":      {money.New("USD", 10000), captured, "", ""},
		"more than was captured":     {money.New("USD", 10500), usdAmounts(t, 8500, 0, 1000, 1000), "", ""},
		"another currency":           {money.New("EUR", 1000), nil, "CURRENCY_MISMATCH", ""},
		"much of another currency":   {money.New("EUR", 20000), nil, "CURRENCY_MISMATCH", ""},
		"nothing that can be":        {money.New("USD", money.Limit), nil, "AMOUNT_RANGE", "amount.minor_units"},
		"less than nothing":          {money.New("USD", -1), nil, "AMOUNT_RANGE", "amount.minor_units"},
		"the largest that there are": {money.New("USD", money.Limit-1), usdAmounts(t, money.Limit-2001, 0, 1000, 1000), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := money.SplitWithdrawal(captured, left, c.amount)
			wantError(t, err, c.reason, c.field)
			if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWithdrawalIsToldInFull(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		captured := amounts(t)
		code := captured.Full.CurrencyCode
		left := captured
		for range 3 { // a withdrawal may take more than is left, and the next one still more
			amount := money.New(code, rapid.Int64Range(0, money.Limit-1).Draw(t, "withdrawn"))
			got, err := money.SplitWithdrawal(captured, left, amount)
			if err != nil {
				t.Fatalf("got error %v, want the parts of %d", err, amount.MinorUnits)
			}
			if !money.Equal(got.Full, amount) || !balanced(got) {
				t.Fatalf("got %v, want balanced parts of %d", got, amount.MinorUnits)
			}
			for _, part := range parts(got) {
				if part.MinorUnits < 0 {
					t.Fatalf("got %v, want no part below zero", got)
				}
			}
			left = money.SubAmounts(left, got)
		}
	})
}

func TestSplittable(t *testing.T) {
	t.Parallel()
	whole := usdAmounts(t, 80, 10, 10, 10)
	if got := money.Splittable(whole); got != whole {
		t.Errorf("got %v, want it as it is", got)
	}
	usd := func(minor int64) *ledgerv1.Money { return money.New("USD", minor) }
	overdrawn := &ledgerv1.Amounts{Full: usd(4), Base: usd(5), Discount: usd(0), Shipping: usd(0), Tax: usd(-1)}
	if diff := cmp.Diff(usdAmounts(t, 4, 0, 0, 0), money.Splittable(overdrawn), protocmp.Transform()); diff != "" {
		t.Errorf("with a part below zero (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(usdAmounts(t, 0, 0, 0, 0), money.Zero(overdrawn), protocmp.Transform()); diff != "" {
		t.Errorf("zero (-want +got):\n%s", diff)
	}
}
