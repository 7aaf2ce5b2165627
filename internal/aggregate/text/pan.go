package text

import (
	"strings"
	"unicode"
)

const (
	minPAN = 13
	maxPAN = 19
	// maxGap is how many separators may stand between two digits of one number: "4242 - 4242".
	maxGap = 3
	// maxPhone is the longest telephone number (ITU-T E.164).
	maxPhone = 15
)

// FindPAN reports whether s holds what looks like a card number: 13 to 19 digits of any script, with or without
// spaces, dashes and the like between them, that begin as an issuer's numbers of that length do and pass the Luhn
// check. A number counts whole: a card number's digits in the midst of a longer one are none. UUIDs, and telephone
// numbers that begin with a plus sign, are not searched; by chance many would look like one.
func FindPAN(s string) bool {
	var (
		digits []digit
		gap    int
		prev   rune
	)
	for i, r := range s {
		v, ok := digitValue(r)
		switch {
		case ok:
			joins := len(digits) > 0 && gap == 0
			digits = append(digits, digit{value: v, at: i, first: !joins, plus: prev == '+'})
			gap = 0
		case isSeparator(r) && gap < maxGap:
			gap++
		default:
			if anyPAN(s, digits) {
				return true
			}
			digits, gap = digits[:0], 0
		}
		prev = r
	}
	return anyPAN(s, digits)
}

// digit is one digit of a text.
type digit struct {
	value byte
	at    int  // where in the text, in bytes
	first bool // no other digit stands directly before it
	plus  bool // a plus sign does
}

// anyPAN searches digits with nothing but separators between them. A number begins and ends where a group does.
func anyPAN(s string, digits []digit) bool {
	for i, d := range digits {
		if !d.first || len(digits)-i < minPAN || inUUID(s, d.at) {
			continue
		}
		for n := minPAN; n <= min(maxPAN, len(digits)-i); n++ {
			ends := i+n == len(digits) || digits[i+n].first
			if ends && !(d.plus && n <= maxPhone) && isPAN(digits[i:i+n]) {
				return true
			}
		}
	}
	return false
}

func isPAN(digits []digit) bool {
	return luhn(digits) && issued(digits)
}

// luhn is the check digit's rule (ISO/IEC 7812-1, annex B).
func luhn(digits []digit) bool {
	sum := 0
	for i := range digits {
		v := int(digits[len(digits)-1-i].value)
		if i%2 == 1 {
			v *= 2
		}
		sum += v/10 + v%10
	}
	return sum%10 == 0
}

// issuers are the ranges of first four digits that card schemes give out, and how long their numbers are
// (https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)).
var issuers = []struct {
	from, to int
	lengths  []int
}{
	{4000, 4999, []int{13, 16, 19}},                 // Visa
	{5100, 5599, []int{16}},                         // Mastercard
	{2221, 2720, []int{16}},                         // Mastercard
	{3400, 3499, []int{15}},                         // American Express
	{3700, 3799, []int{15}},                         // American Express
	{6011, 6011, []int{16, 17, 18, 19}},             // Discover
	{6440, 6599, []int{16, 17, 18, 19}},             // Discover
	{3000, 3059, []int{14, 15, 16, 17, 18, 19}},     // Diners Club
	{3600, 3699, []int{14, 15, 16, 17, 18, 19}},     // Diners Club
	{3800, 3899, []int{14, 15, 16, 17, 18, 19}},     // Diners Club
	{3528, 3589, []int{16, 17, 18, 19}},             // JCB
	{6200, 6299, []int{16, 17, 18, 19}},             // UnionPay
	{5000, 5099, []int{13, 14, 15, 16, 17, 18, 19}}, // Maestro
	{5600, 5899, []int{13, 14, 15, 16, 17, 18, 19}}, // Maestro
	{6300, 6399, []int{13, 14, 15, 16, 17, 18, 19}}, // Maestro
	{6700, 6799, []int{13, 14, 15, 16, 17, 18, 19}}, // Maestro
}

func issued(digits []digit) bool {
	prefix := 0
	for _, d := range digits[:4] {
		prefix = prefix*10 + int(d.value)
	}
	for _, is := range issuers {
		if is.from <= prefix && prefix <= is.to {
			for _, n := range is.lengths {
				if n == len(digits) {
					return true
				}
			}
		}
	}
	return false
}

// digitValue is the value of a decimal digit of any script. Unicode keeps each script's ten together and in order,
// and every range of its table begins with a zero.
func digitValue(r rune) (byte, bool) {
	if r < 0x80 {
		return byte(r - '0'), '0' <= r && r <= '9'
	}
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10), true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10), true
		}
	}
	return 0, false
}

// isSeparator reports whether people, or those who want to slip a number through, write r between digits: spaces,
// dashes, dots, underscores, slashes, and what cannot be seen.
func isSeparator(r rune) bool {
	return strings.ContainsRune("._/·,", r) || unicode.IsSpace(r) || unicode.In(r, unicode.Zs, unicode.Pd, unicode.Cf)
}

// uuidShape is a UUID as it is written; x is a hexadecimal digit.
const uuidShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

// inUUID reports whether the byte at stands in a UUID that has at least one letter.
func inUUID(s string, at int) bool {
	for begin := max(0, at-len(uuidShape)+1); begin <= at && begin+len(uuidShape) <= len(s); begin++ {
		if isUUID(s[begin : begin+len(uuidShape)]) {
			return true
		}
	}
	return false
}

func isUUID(s string) bool {
	letters := false
	for i := range len(s) {
		letter := 'a' <= s[i] && s[i] <= 'f' || 'A' <= s[i] && s[i] <= 'F'
		hex := letter || '0' <= s[i] && s[i] <= '9'
		if hex != (uuidShape[i] == 'x') || !hex && s[i] != '-' {
			return false
		}
		letters = letters || letter
	}
	return letters
}
