package text_test

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"ledger.internal/ledger/internal/aggregate/text"
)

// The card numbers that processors publish for tests, one of each kind and length.
var cards = []string{
	"4242424242424242", "4111111111111111", "4222222222222", "4000000000000000006", // Visa
	"5555555555554444", "5105105105105100", "2223003122003222", "2720994326581252", // Mastercard
	"378282246310005", "341111111111111", // American Express
	"6011111111111117", "6445644564456445", "6500000000000002", // Discover
	"30569309025904", "36227206271667", "38520000023237", "3056930009020004", // Diners Club
	"3530111333300000", "3566002020360505", // JCB
	"6200000000000005", "6205500000000000004", // UnionPay
	"5018000000000009", "6759649826438453", "6304000000000000", "6799990100000000019", // Maestro
}

func TestFindPANFinds(t *testing.T) {
	t.Parallel()
	for _, pan := range cards {
		groups := strings.Join([]string{pan[:4], pan[4:8], pan[8:12], pan[12:]}, " ")
		for name, s := range map[string]string{
			"alone":         pan,
			"spaces":        groups,
			"dashes":        strings.ReplaceAll(groups, " ", "-"),
			"dots":          strings.ReplaceAll(groups, " ", "."),
			"en dashes":     strings.ReplaceAll(groups, " ", " – "),
			"line breaks":   strings.ReplaceAll(groups, " ", "\r\n"),
			"hard spaces":   strings.ReplaceAll(groups, " ", "\u00a0"),
			"zero width":    strings.ReplaceAll(groups, " ", "\u200b"),
			"digit by one":  strings.Join(strings.Split(pan, ""), " "),
			"full width":    inScript(pan, '０'),
			"Arabic":        inScript(pan, '٠'),
			"Devanagari":    inScript(pan, '०'),
			"bold":          inScript(pan, '𝟎'),
			"monospace":     inScript(pan, '𝟶'),
			"mixed scripts": pan[:5] + inScript(pan[5:], '０'),
			"in a sentence": "my card is " + groups + ", valid until 12/30",
			"in JSON":       `{"card":"` + pan + `"}`,
			"in letters":    "tok_" + pan + "x",
			"after numbers": "12 - 7 " + groups,
			"with expiry":   groups + " 12 30 123",
			"broken UTF-8":  "\xff" + pan + "\xff",
		} {
			if !text.FindPAN(s) {
				t.Errorf("%s: %q is taken for no card number, want one", name, s)
			}
		}
	}
}

func TestFindPANIsNotFooledByTheShapeOfAUUID(t *testing.T) {
	t.Parallel()
	if s := "42424242-4242-4242-4242-424242424242"; !text.FindPAN(s) {
		t.Errorf("%q is taken for no card number, want one", s)
	}
}

func TestFindPANLeavesTheRest(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"empty":                         "",
		"words":                         "The quick brown fox",
		"wrong check digit":             "4242424242424241",
		"12 digits":                     "424242424242",
		"20 digits":                     "42424242424242424242",
		"order number, fails Luhn":      "42424242424242424",
		"order number, another's range": "91000000000000009",
		"order number, no such length":  "42424242424242426",
		"hidden in a longer number":     "142424242424242421",
		"phone number":                  "+4917112345674",
		"phone number with spaces":      "+49 171 1234 5674",
		"date and time":                 "2026-11-21T06:07:00.123456Z",
		"microseconds":                  "1795241220000000",
		"uuid":                          "4a424242-4242-4242-4242-424242424242",
		"uuid that ends in a card":      "0000000a-0000-4242-4242-424242424242",
		"IBAN":                          "DE89 3704 0044 0532 0130 00",
		"amounts":                       "47.00; 12.50; 1,000.00",
		"IP address":                    "192.168.100.200",
		"separated too far":             "4242 4242 4242    4242",
		"divided by a letter":           "42424242x42424242",
	} {
		if text.FindPAN(s) {
			t.Errorf("%s: %q is taken for a card number, want none", name, s)
		}
	}
}

// Each script's ten digits stand together and in order, and begin where a range of Unicode's table does. Should an
// edition of the table break that, digits would be read wrongly.
func TestDigitsOfAllScripts(t *testing.T) {
	t.Parallel()
	scripts := 0
	check := func(lo, hi rune, stride uint32) {
		if stride != 1 || (hi-lo+1)%10 != 0 {
			t.Errorf("range %U to %U by %d, want whole sets of ten", lo, hi, stride)
		}
		for zero := lo; zero+9 <= hi; zero += 10 {
			scripts++
			if s := inScript("4242424242424242", zero); !text.FindPAN(s) {
				t.Errorf("%q is taken for no card number, want one", s)
			}
			if s := inScript("4242424242424241", zero); text.FindPAN(s) {
				t.Errorf("%q is taken for a card number, want none", s)
			}
		}
	}
	for _, r := range unicode.Nd.R16 {
		check(rune(r.Lo), rune(r.Hi), uint32(r.Stride))
	}
	for _, r := range unicode.Nd.R32 {
		check(rune(r.Lo), rune(r.Hi), r.Stride)
	}
	if scripts < 60 {
		t.Errorf("got %d sets of digits, want Unicode's", scripts)
	}
}

func TestFindPANInAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pan := rapid.SampledFrom(cards).Draw(t, "card")
		separator := rapid.SampledFrom([]string{"", " ", "-", ".", " - "}).Draw(t, "separator")
		var spread strings.Builder
		for i, r := range pan {
			if i > 0 && rapid.Bool().Draw(t, "separated") {
				spread.WriteString(separator)
			}
			spread.WriteRune(r)
		}
		notDigit := rapid.StringMatching(`[a-z€日;:]{1,5}`)
		s := rapid.String().Draw(t, "before") + notDigit.Draw(t, "then") + spread.String() + notDigit.Draw(t, "and") + rapid.String().Draw(t, "after")
		if !text.FindPAN(s) {
			t.Fatalf("%q is taken for no card number, want one", s)
		}
	})
}

// inScript writes ASCII digits with those of a script whose zero is given.
func inScript(digits string, zero rune) string {
	return strings.Map(func(r rune) rune { return zero + r - '0' }, digits)
}

func FuzzFindPAN(f *testing.F) {
	f.Add("my card is 4242-4242 4242.4242")
	f.Add("0000000a-0000-4242-4242-424242424242")
	f.Fuzz(func(t *testing.T, s string) {
		if !text.FindPAN(s + "; 4242 4242 4242 4242") {
			t.Fatalf("a card number after %q is not found", s)
		}
	})
}
