package gateway_test

import (
	"testing"

	"ledger.internal/ledger/internal/adapters/gateway"
)

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for address, test := range map[string]struct{ test, live bool }{
		"https://payabl.com/pay/backoffice":         {true, true},
		"https://sandbox.payabl.com/pay/backoffice": {true, true},
		"https://PAYABL.com:8443/":                  {true, true},
		"http://127.0.0.1:8080/pay/backoffice":      {test: true},
		"http://localhost:8080":                     {test: true},
		"https://[::1]:8080":                        {test: true},
		"http://payabl.com/pay/backoffice":          {},
		"https://payabl.com.example":                {},
		"https://notpayabl.com":                     {},
		"https://payabl.com@shop.example":           {},
		"https://shop.example/payabl.com":           {},
		"https://shop.example?payabl.com":           {},
		"https://shop.example#.payabl.com":          {},
		"http://127.0.0.1.shop.example":             {},
		"http://10.0.0.1":                           {},
		"http://169.254.169.254/latest/meta-data":   {},
		"payabl.com":                                {},
		"https://":                                  {},
		"":                                          {},
		"%":                                         {},
	} {
		for live, want := range map[bool]bool{false: test.test, true: test.live} {
			if err := gateway.CheckAddress(address, "payabl.com", live); (err == nil) != want {
				t.Errorf("%q, live %v: got %v, want it allowed: %v", address, live, err, want)
			}
		}
	}
}
