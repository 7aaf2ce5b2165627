package money_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/bojanz/currency"
	"pgregory.net/rapid"

	"ledger.internal/ledger/internal/aggregate/money"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code  string
		minor int64
		want  string
	}{
		{"USD", 4700, "47.00"},
		{"USD", 5, "0.05"},
		{"USD", 0, "0.00"},
		{"USD", -4701, "-47.01"},
		{"USD", -5, "-0.05"},
		{"USD", money.Limit - 1, "9999999999999.99"},
		{"JPY", 500, "500.00"},
		{"JPY", 0, "0.00"},
		{"KWD", 1234, "1.234"},
		{"KWD", 4, "0.004"},
		{"CLF", 12345, "1.2345"},
	} {
		if got := money.Format(money.New(c.code, c.minor)); got != c.want {
			t.Errorf("%d %s: got %q, want %q", c.minor, c.code, got, c.want)
		}
	}
	if got := money.Format(nil); got != "0.00" {
		t.Errorf("absent: got %q, want 0.00", got)
	}
}

func TestFormatIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom(currency.GetCurrencyCodes()).Draw(t, "currency")
		m := money.New(code, rapid.Int64Range(0, money.Limit-1).Draw(t, "minor"))
		text := money.Format(m)
		if _, fraction, ok := strings.Cut(text, "."); !ok || len(fraction) < 2 {
			t.Fatalf("got %q, want at least two decimals", text)
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(money.Decimals(code))), nil)
		want := new(big.Rat).SetFrac(big.NewInt(m.MinorUnits), scale)
		if got, ok := new(big.Rat).SetString(text); !ok || got.Cmp(want) != 0 {
			t.Fatalf("got %q, want a text for %v", text, want)
		}
		back, err := money.Parse(code, text)
		if err != nil || !money.Equal(back, m) {
			t.Fatalf("got %v and %v from %q, want %v", back, err, text, m)
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, text string
		want       int64
		reason     string
	}{
		{"USD", "47.00", 4700, ""},
		{"USD", "47.5", 4750, ""},
		{"USD", "47", 4700, ""},
		{"USD", "0", 0, ""},
		{"JPY", "500.00", 500, ""},
		{"JPY", "500", 500, ""},
		{"KWD", "1.234", 1234, ""},
		{"USD", "9999999999999.99", money.Limit - 1, ""},
		{"USD", "10000000000000.00", 0, "AMOUNT_RANGE"},
		{"USD", "99999999999999999999999", 0, "AMOUNT_RANGE"},
		{"USD", "12.345", 0, "AMOUNT_FORMAT"},
		{"JPY", "500.50", 0, "AMOUNT_FORMAT"},
		{"USD", "1e3", 0, "AMOUNT_FORMAT"},
		{"USD", "12,50", 0, "AMOUNT_FORMAT"},
		{"USD", "1,000.00", 0, "AMOUNT_FORMAT"},
		{"USD", "1 000", 0, "AMOUNT_FORMAT"},
		{"USD", "-1.00", 0, "AMOUNT_FORMAT"},
		{"USD", "+1.00", 0, "AMOUNT_FORMAT"},
		{"USD", "01.00", 0, "AMOUNT_FORMAT"},
		{"USD", ".50", 0, "AMOUNT_FORMAT"},
		{"USD", "1.", 0, "AMOUNT_FORMAT"},
		{"USD", "1.0.0", 0, "AMOUNT_FORMAT"},
		{"USD", "NaN", 0, "AMOUNT_FORMAT"},
		{"USD", "0x10", 0, "AMOUNT_FORMAT"},
		{"USD", "１.00", 0, "AMOUNT_FORMAT"},
		{"USD", "", 0, "AMOUNT_FORMAT"},
	} {
		got, err := money.Parse(c.code, c.text)
		wantError(t, err, c.reason, "")
		if c.reason == "" && !money.Equal(got, money.New(c.code, c.want)) {
			t.Errorf("%s %q: got %v, want %d", c.code, c.text, got, c.want)
		}
	}
	_, err := money.Parse("usd", "1.00")
	wantError(t, err, "CURRENCY_INVALID", "amount.currency_code")
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"47.00", "47.5", "0", "500", "1.234", "1e3", "-1", "", "00.1", "9999999999999.99"} {
		f.Add("USD", text)
		f.Add("JPY", text)
		f.Add("KWD", text)
	}
	f.Fuzz(func(t *testing.T, code, text string) {
		m, err := money.Parse(code, text)
		if err != nil {
			return
		}
		if err := money.Check("parsed", m); err != nil {
			t.Fatalf("%s %q: got %v, which is refused: %v", code, text, m, err)
		}
		want, ok := new(big.Rat).SetString(text)
		got, _ := new(big.Rat).SetString(money.Format(m))
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s %q: got %s, want the same number", code, text, money.Format(m))
		}
	})
}
