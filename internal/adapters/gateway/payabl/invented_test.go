package payabl

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// listener keeps the form that was sent, and answers nothing.
type listener struct{ form url.Values }

func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	l.form, err = url.ParseQuery(string(body))
	return nil, errors.Join(err, errors.New("nobody answers"))
}

// Everybody can look into payabl.'s public sandbox, and nobody into an account of a merchant's.
func TestNobodyRealIsToldToThePublicSandbox(t *testing.T) {
	t.Parallel()
	buyer := &ledgerv1.Buyer{
		FirstName: "Realname", LastName: "Realfamily", Email: "real@shop.example", Ip: "198.51.100.7", Language: "pl",
		Address: &ledgerv1.Address{CountryCode: "PL"},
	}
	for name, c := range map[string]struct {
		conn gateway.Connection
		told bool
	}{
		"the sandbox":         {gateway.Connection{}, false},
		"the sandbox by name": {gateway.Connection{URL: "https://sandbox.payabl.com/pay/backoffice"}, false},
		"another sandbox":     {gateway.Connection{URL: "https://pay4.sandbox.payabl.com/pay/backoffice"}, false},
		"a live account":      {gateway.Connection{Live: true}, true},
		"this machine":        {gateway.Connection{URL: "http://127.0.0.1:1/pay/backoffice"}, true},
	} {
		l := &listener{}
		g := New(Config{HTTPClient: &http.Client{Transport: l}})
		c.conn.Account, c.conn.Secret = "gateway_test", "b185"
		g.Charge(t.Context(), c.conn, gateway.Charge{Key: "k", Amount: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 100}, Buyer: buyer})
		sent := strings.ToLower(l.form.Encode())
		if l.form.Get("firstname") == "" || l.form.Get("email") == "" {
			t.Errorf("%s: nobody was told of: %s", name, sent)
		}
		for _, real := range []string{"realname", "realfamily", "shop.example", "198.51.100.7", "pol"} {
			if strings.Contains(sent, real) != c.told {
				t.Errorf("%s: %q in %s: want %v", name, real, sent, c.told)
			}
		}
	}
}
