package country

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ alpha2, name, alpha3 string }{
		{"AF", "Afghanistan", "AFG"},
		{"DE", "Germany", "DEU"},
		{"US", "United States", "USA"},
		{"GB", "United Kingdom", "GBR"},
		{"KR", "South Korea", "KOR"},
		{"CI", "Côte d'Ivoire", "CIV"},
		{"CD", "Democratic Republic of the Congo", "COD"},
		{"BQ", "Bonaire, Sint Eustatius and Saba", "BES"},
		{"ZW", "Zimbabwe", "ZWE"},
	} {
		name, alpha3, ok := Lookup(c.alpha2)
		if !ok || name != c.name || alpha3 != c.alpha3 {
			t.Errorf("%s: got %q, %q, %v; want %q, %q, true", c.alpha2, name, alpha3, ok, c.name, c.alpha3)
		}
	}
	for _, unknown := range []string{"", "de", "DEU", "XX", "UK", "EU", "D ", "Ｄ"} {
		if name, alpha3, ok := Lookup(unknown); ok || name != "" || alpha3 != "" {
			t.Errorf("%q: got %q, %q, %v; want nothing", unknown, name, alpha3, ok)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	t.Parallel()
	if got := len(countries); got != 249 {
		t.Errorf("got %d countries, want 249", got)
	}
	names, codes := map[string]string{}, map[string]string{}
	for alpha2, c := range countries {
		if !letters(alpha2, 2) || !letters(c.alpha3, 3) || c.name != strings.TrimSpace(c.name) || c.name == "" {
			t.Errorf("%q: got %+v, want codes of two and three letters and a name", alpha2, c)
		}
		if other, twice := names[c.name]; twice {
			t.Errorf("%s and %s are both %q", alpha2, other, c.name)
		}
		if other, twice := codes[c.alpha3]; twice {
			t.Errorf("%s and %s are both %s", alpha2, other, c.alpha3)
		}
		names[c.name], codes[c.alpha3] = alpha2, alpha2
	}
}

func letters(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
