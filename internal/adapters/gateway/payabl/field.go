package payabl

import (
	"fmt"
	"strings"
	"unicode/utf8"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// limits are the most characters that a parameter may have: https://docs.payabl.com/docs/paypal,
// https://docs.payabl.com/docs/refund-1, https://docs.payabl.com/docs/diagnose-interface. An order id may have 40 where
// nothing recurs, but those that are derived have 30 everywhere. No limit of custom1 is published; that of external_id,
// another field of the merchant's own, is taken.
var limits = map[string]int{
	"merchantid": 40, "orderid": 30, "transactionid": 50, "recurring_id": 50, "external_id": 255, "custom1": 255,
	"accountname": 100, "email": 50, "firstname": 50, "lastname": 50, "country": 3, "language": 2, "customerip": 39,
	"url_return": 255, "url_success": 255, "url_failed": 255, "notification_url": 255,
}

// recurringNames is what the first and last names may have in a recurring call. The vendor's pages disagree: PayPal's says
// 50, that of the web SDK (under https://docs.payabl.com/docs) 30, and the smaller one is safe with both.
const recurringNames = 30

func (p params) check(name string) error {
	value, most := p[name], limits[name]
	if _, recurs := p["recurring_id"]; recurs && (name == "firstname" || name == "lastname") {
		most = recurringNames
	}
	if n := utf8.RuneCountInString(value); most > 0 && n > most {
		return &fieldError{name, fmt.Sprintf("%d characters, of at most %d", n, most)}
	}
	if isURL(name) && !strings.HasPrefix(value, "http://") && !strings.HasPrefix(value, "https://") {
		return &fieldError{name, "it does not begin with http"}
	}
	return nil
}

func isURL(name string) bool {
	return strings.HasPrefix(name, "url_") || name == "notification_url"
}

// result is what a call amounts to whose request was never signed. What stands in the connection, somebody has to
// change there, and until then nothing will go out. What came with one payment, say a name that ISO-8859-1 has no letters
// for, is refused for that payment alone: called NotSent it would be tried for ever, and as a fault of the connection it
// would hold up everybody else's payments.
func (e *fieldError) result() gateway.Result {
	switch e.field {
	case "merchantid", "secret", "notification_url":
		return gateway.Result{Class: gateway.NotSent, Config: true, Why: "the connection's " + e.Error()}
	case "amount", "currency":
		return refused("invalid_"+e.field, e.Error())
	}
	r := refused("invalid_"+e.field, e.Error())
	r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
	return r
}

// refused is the Result of what payabl. was not asked for, or of what it has no code for.
func refused(code, message string) gateway.Result {
	return gateway.Result{
		Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, Code: code, Message: message,
	}
}
