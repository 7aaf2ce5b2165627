package projection

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/aggregate"
)

// numbers is a list of 1 to n, with the last one's number as its key.
func numbers(n int) func(*int, int) ([]int, error) {
	return func(behind *int, limit int) ([]int, error) {
		var out []int
		for i := 1; i <= n && len(out) < limit; i++ {
			if behind == nil || i > *behind {
				out = append(out, i)
			}
		}
		return out, nil
	}
}

func itself(i int) int { return i }

func TestReadPage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		rows      int
		size      int32
		wantPages []int // their sizes
	}{
		{"nothing", 0, 10, []int{0}},
		{"less than a page", 9, 10, []int{9}},
		{"exactly a page", 10, 10, []int{10}},
		{"one more", 11, 10, []int{10, 1}},
		{"one by one", 3, 1, []int{1, 1, 1}},
		{"the default", 60, 0, []int{50, 10}},
		{"too many", 600, 501, []int{500, 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var pages, all []int
			for p := (Page{Size: tt.size}); ; {
				rows, next, err := ReadPage(p, "numbers", "odd", numbers(tt.rows), itself)
				if err != nil {
					t.Fatal(err)
				}
				pages, all = append(pages, len(rows)), append(all, rows...)
				if p.Token = next; next == "" {
					break
				}
			}
			if d := cmp.Diff(tt.wantPages, pages); d != "" {
				t.Errorf("sizes of pages (-want +got):\n%s", d)
			}
			if want, _ := numbers(tt.rows)(nil, tt.rows); !slices.Equal(want, all) {
				t.Errorf("rows %v, want %v", all, want)
			}
		})
	}
}

func TestReadPageRefuses(t *testing.T) {
	t.Parallel()
	_, token, err := ReadPage(Page{Size: 1}, "numbers", "odd", numbers(3), itself)
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name, list, filter string
		page               Page
		field, reason      string
	}{
		{"a negative size", "numbers", "odd", Page{Size: -1}, "page_size", "PAGE_SIZE"},
		{"another list's token", "letters", "odd", Page{Token: token}, "page_token", "PAGE_TOKEN_INVALID"},
		{"another filter's token", "numbers", "even", Page{Token: token}, "page_token", "PAGE_TOKEN_INVALID"},
		{"no base64", "numbers", "odd", Page{Token: "%"}, "page_token", "PAGE_TOKEN_INVALID"},
		{"a line break", "numbers", "odd", Page{Token: token + "\n"}, "page_token", "PAGE_TOKEN_INVALID"},
		{"no token", "numbers", "odd", Page{Token: encode("{}")}, "page_token", "PAGE_TOKEN_INVALID"},
		{"cut short", "numbers", "odd", Page{Token: token[:len(token)-2]}, "page_token", "PAGE_TOKEN_INVALID"},
		{"another spelling", "numbers", "odd", Page{Token: encode(" " + string(text))}, "page_token", "PAGE_TOKEN_INVALID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows, _, err := ReadPage(tt.page, tt.list, tt.filter, numbers(3), itself)
			var refusal *aggregate.Error
			if !errors.As(err, &refusal) || refusal.Kind != aggregate.Invalid || refusal.Field != tt.field || refusal.Reason != tt.reason {
				t.Errorf("rows %v, error %v; want %s on %s", rows, err, tt.reason, tt.field)
			}
		})
	}
}

// FuzzDecodeToken says that a token is either refused as invalid or is, byte for byte, one that we would write.
func FuzzDecodeToken(f *testing.F) {
	bound, err := bind("in_doubt", struct{}{})
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range []inDoubtKey{{}, {Since: -1, Merchant: "acme", Subscription: "s1", Intent: "refund:<a>&\x00"}} {
		token, err := encodeToken(k, bound)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add("")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := decodeToken[inDoubtKey](text, bound)
		if err != nil {
			var refusal *aggregate.Error
			if !errors.As(err, &refusal) || refusal.Reason != "PAGE_TOKEN_INVALID" {
				t.Fatalf("decodeToken(%q): %v, want PAGE_TOKEN_INVALID", text, err)
			}
			return
		}
		if text == "" {
			if key != nil {
				t.Fatalf("the empty token has key %v, want none", key)
			}
			return
		}
		if strings.Contains(key.Merchant+key.Subscription+key.Intent, "\x00") {
			t.Fatalf("decodeToken(%q) = %+v, which PostgreSQL cannot be asked for", text, *key)
		}
		if again, err := encodeToken(*key, bound); err != nil || again != text {
			t.Fatalf("decodeToken took %q, which is written %q (%v)", text, again, err)
		}
	})
}
