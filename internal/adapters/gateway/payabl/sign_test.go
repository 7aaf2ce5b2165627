package payabl

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// The vendor's own vectors: https://docs.payabl.com/docs/signature-calculation, https://docs.payabl.com/docs/resend-notification.
func TestRequestSignature(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, secret, want string
		params             params
	}{
		{"a payment with an empty value", "VeryGoodSecret", "00f05286b075aecf621b5c3db67eb5d4f612e855", params{
			"merchantid": "gateway_test", "amount": "1.23", "currency": "EUR", "orderid": "1234-123456789-4321", "language": "de",
			"gender": "", "lastname": "Mustermann", "street": "Hanauer Landstrasse", "zip": "60322", "city": "Frankfurt",
			"country": "DEU", "firstname": "Max", "company": "Powerpay21", "email": "tech.support@powerpay21.com",
			"customerip": "127.1.1.1", "payment_method": "1", "ccn": "4242424242424242", "cvc_code": "123",
			"cardholder_name": "Max Mustermann", "exp_month": "01", "exp_year": "2015",
		}},
		{"a notification sent again", "b185", "dee444019deb527d82b1d21bf5d0a866a2ac7d25", params{
			"merchantid": "gateway_test3d", "transactionid": "104837645",
		}},
	}
	for _, test := range tests {
		body, err := test.params.seal(test.secret)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		v, err := url.ParseQuery(body)
		if err != nil || v.Get("signature") != test.want || len(v) != len(test.params)+1 {
			t.Errorf("%s: got %s, %v, want the signature %s", test.name, body, err, test.want)
		}
	}
}

// https://docs.payabl.com/docs/signature-calculation2, https://docs.payabl.com/docs/paypal.
func TestNoticeSignature(t *testing.T) {
	t.Parallel()
	tests := []struct{ transaction, kind, code, timestamp, secret, want string }{
		{"118656640", "capture", "0", "1610018172", "goodsecret", "1f67d79aa5e2a4070b2091837fefae84cd15f08370de0cee4bf9ea75951e047b"},
		{"105108236", "order", "145006", "1680525177", "b185", "b23a9680dbce751785d650346576cb3c1575c95f9cd56144478141df3714915d"},
	}
	for _, test := range tests {
		if got := noticeSignature(test.transaction, test.kind, test.code, test.timestamp, test.secret); got != test.want {
			t.Errorf("%s: got %s, want %s", test.transaction, got, test.want)
		}
	}
}

// The published notification, as it is printed.
func TestVerifyPublished(t *testing.T) {
	t.Parallel()
	const body = "security=b23a9680dbce751785d650346576cb3c1575c95f9cd56144478141df3714915d&errorcode=145006&timestamp=1680525177" +
		"&transactionid=105108236&type=order&errormessage=Billing+Agreement+has+been+activated&orderid=Payabl-Test"
	sent := time.Unix(1680525177, 0)
	conn := gateway.Connection{Secret: "b185"}
	n, err := new(Gateway).Verify(conn, nil, []byte(body), sent)
	if err != nil || n.Kind != gateway.NoticeCharge || n.Reference != "105108236" || n.ID != "105108236.order.145006.1680525177" {
		t.Errorf("got %+v, %v, want a notice about the charge", n, err)
	}
	if n.Key != "" || n.Subscription != "" {
		t.Errorf("got %+v, want nothing of what is not signed", n)
	}
	tests := []struct {
		name, body string
		now        time.Time
		want       error
	}{
		{"an unsigned field more", body + "&amount=19.99", sent, nil},
		{"an unsigned field edited", strings.Replace(body, "Payabl-Test", "Other", 1), sent, nil},
		{"another code", strings.Replace(body, "145006", "145005", 1), sent, ErrBadSignature},
		{"a digit of the code is the time's", strings.NewReplacer("145006", "14500", "1680525177", "61680525177").Replace(body), sent, ErrBadSignature},
		{"a letter of the type is the transaction's", strings.NewReplacer("105108236", "105108236o", "=order", "=rder").Replace(body), sent, ErrBadSignature},
		{"a digit of the transaction is the type's", strings.NewReplacer("105108236", "10510823", "=order", "=6order").Replace(body), sent, ErrBadSignature},
		{"the code twice", body + "&errorcode=0", sent, ErrBadSignature},
		{"no pairs", "%zz", sent, ErrBadSignature},
		{"as old as may be", body, sent.Add(tolerance), nil},
		{"too old", body, sent.Add(tolerance + time.Second), ErrOldSignature},
		{"of the future", body, sent.Add(-tolerance - time.Second), ErrOldSignature},
	}
	for _, test := range tests {
		if _, err := new(Gateway).Verify(conn, nil, []byte(test.body), test.now); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	const unsent, rejected = gateway.NotSent, gateway.Rejected
	tests := []struct {
		name   string
		params params
		secret string
		field  string // empty if nothing is wrong
		class  gateway.Class
	}{
		{"Latin-1 to its last letter", params{"firstname": "Jörg ÿ\u00a0½"}, "s\u00e9cret", "", 0},
		{"a letter that it has not", params{"firstname": "Łukasz"}, "s", "firstname", rejected},
		{"the sign of the euro", params{"lastname": "€"}, "s", "lastname", rejected},
		{"a line break", params{"lastname": "a\nb"}, "s", "lastname", rejected},
		{"a control character of Latin-1", params{"lastname": "a\u0085b"}, "s", "lastname", rejected},
		{"no text", params{"email": "a\xffb"}, "s", "email", rejected},
		{"a secret in Greek", params{"firstname": "a"}, "σ", "secret", unsent},
		{"an account in Greek", params{"merchantid": "σ"}, "s", "merchantid", unsent},
		{"a long account", params{"merchantid": strings.Repeat("m", 41)}, "s", "merchantid", unsent},
		{"a long order id", params{"orderid": strings.Repeat("1", 31)}, "s", "orderid", rejected},
		{"50 letters of a name", params{"firstname": strings.Repeat("ö", 50)}, "s", "", 0},
		{"51 letters of a name", params{"firstname": strings.Repeat("ö", 51)}, "s", "firstname", rejected},
		{"31 letters in a recurring call", params{"lastname": strings.Repeat("ö", 31), "recurring_id": "INIT"}, "s", "lastname", rejected},
		{"a long email", params{"email": strings.Repeat("e", 51)}, "s", "email", rejected},
		{"a long address", params{"url_return": "https://" + strings.Repeat("a", 248)}, "s", "url_return", rejected},
		{"an address of something else", params{"url_return": "ftp://shop.example"}, "s", "url_return", rejected},
		{"a notification to nowhere", params{"notification_url": "/webhooks"}, "s", "notification_url", unsent},
	}
	for _, test := range tests {
		_, err := test.params.seal(test.secret)
		var field *fieldError
		switch {
		case test.field == "":
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		case !errors.As(err, &field) || field.field != test.field:
			t.Errorf("%s: got %v, want an error about %s", test.name, err, test.field)
		default:
			r := failed(err)
			if r.Class != test.class || r.Config != (test.class == unsent) || !strings.Contains(r.Why+r.Message, test.field) {
				t.Errorf("%s: got %+v, want class %d, naming the field", test.name, r, test.class)
			}
		}
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		currency string
		minor    int64
		text     string // empty if it cannot be written
	}{
		{"USD", 4700, "47.00"},
		{"USD", 5, "0.05"},
		{"USD", 0, "0.00"},
		{"USD", 9_999_999_999, "99999999.99"},
		{"USD", 10_000_000_000, ""},
		{"USD", -1, ""},
		{"JPY", 500, "500"},
		{"JPY", 100_000_000, ""},
		{"KWD", 1234, ""},
	}
	for _, test := range tests {
		p := params{}
		err := p.setAmount(&ledgerv1.Money{CurrencyCode: test.currency, MinorUnits: test.minor})
		if (err == nil) != (test.text != "") || err == nil && p["amount"] != test.text {
			t.Errorf("%d %s: got %q, %v, want %q", test.minor, test.currency, p["amount"], err, test.text)
			continue
		}
		if err != nil {
			if r := failed(err); r.Class != gateway.Rejected || r.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD {
				t.Errorf("%d %s: got %+v, want a hard refusal", test.minor, test.currency, r)
			}
			continue
		}
		if m, err := parseAmount(test.text, test.currency); err != nil || m.MinorUnits != test.minor || m.CurrencyCode != test.currency {
			t.Errorf("%s %s: read as %v, %v", test.text, test.currency, m, err)
		}
	}
	for text, want := range map[string]int64{"8": 800, "8.50": 850, "19.99": 1999, "8.5": -1, "8.": -1, ".50": -1, "-1.00": -1, "1e3": -1, "8.500": -1, "123456789": -1, "": -1} {
		m, err := parseAmount(text, "EUR")
		if (err == nil) != (want >= 0) || err == nil && m.MinorUnits != want {
			t.Errorf("%q: got %v, %v, want %d", text, m, err, want)
		}
	}
	for text, want := range map[string]bool{"500.00": true, "500.50": false} {
		if m, err := parseAmount(text, "JPY"); (err == nil) != want || want && m.MinorUnits != 500 {
			t.Errorf("%s JPY: got %v, %v", text, m, err)
		}
	}
}

// An answer that broke off is not believed to say anything else than the whole one.
func TestAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	const whole = "transactionid=105108251&transid=105108251&status=2000&errormessage=pending&errmsg=pending&amount=19.99&price=19.99" +
		"&currency=EUR&orderid=Payabl-Test2&user_id=504459"
	for n := range len(whole) + 1 {
		a, err := parseAnswer([]byte(whole[:n]))
		if err == nil && (a.code != 2000 || a.transaction != "105108251") {
			t.Errorf("%q is read as %+v", whole[:n], a)
		}
		if err == nil && n < len(whole)-len("&user_id=504459") && a.about("Payabl-Test2") {
			t.Errorf("%q is taken for an answer about the order", whole[:n])
		}
	}
	a, err := parseAnswer([]byte(whole))
	if err != nil || !a.about("Payabl-Test2") || a.amount.GetMinorUnits() != 1999 {
		t.Errorf("got %+v, %v, want the whole answer", a, err)
	}
	for _, body := range []string{
		"", "{}", "status=&errormessage=", "status=0", "errormessage=&status=0", "xstatus=0&status=20", "status=00&errormessage=", "status=+0&errormessage=", "status=0&errormessage=&status=1",
		"transactionid=1&transid=2&status=0&errormessage=", "status=0;errormessage=", "status=%zz&errormessage=",
	} {
		if a, err := parseAnswer([]byte(body)); err == nil {
			t.Errorf("%q is read as %+v", body, a)
		}
	}
}
