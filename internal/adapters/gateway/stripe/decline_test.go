package stripe

import (
	"strings"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

func TestDeclines(t *testing.T) {
	t.Parallel()
	visa := &paymentMethod{Card: &struct {
		Brand string `json:"brand"`
		Last4 string `json:"last4"`
	}{Brand: "visa"}}
	for name, test := range map[string]struct {
		e                apiError
		category         ledgerv1.DeclineCategory
		code, advice     string
		stopOrder, ended bool
	}{
		"a decline code alone":               {e: apiError{DeclineCode: "insufficient_funds"}, category: soft, code: "insufficient_funds"},
		"an error code alone":                {e: apiError{Code: "expired_card"}, category: buyer, code: "expired_card"},
		"a code that nobody knows":           {e: apiError{DeclineCode: "full_moon"}, category: soft, code: "full_moon"},
		"no code":                            {e: apiError{}, category: soft, code: cardError},
		"authentication":                     {e: apiError{Code: "authentication_required", DeclineCode: "authentication_required"}, category: buyer, code: "authentication_required"},
		"advice before the decline code":     {e: apiError{DeclineCode: "generic_decline", AdviceCode: "do_not_try_again"}, category: hard, code: "generic_decline", advice: "do_not_try_again"},
		"and the other way round":            {e: apiError{DeclineCode: "lost_card", AdviceCode: "try_again_later"}, category: soft, code: "lost_card", advice: "try_again_later"},
		"advice to ask for the data":         {e: apiError{DeclineCode: "do_not_honor", AdviceCode: "confirm_card_data"}, category: buyer, code: "do_not_honor", advice: "confirm_card_data"},
		"the network's advice":               {e: apiError{DeclineCode: "generic_decline", NetworkAdviceCode: "01"}, category: buyer, code: "generic_decline", advice: "01"},
		"the network forbids":                {e: apiError{DeclineCode: "generic_decline", AdviceCode: "try_again_later", NetworkAdviceCode: "03"}, category: hard, code: "generic_decline", advice: "03"},
		"Visa forbids":                       {e: apiError{DeclineCode: "do_not_honor", AdviceCode: "try_again_later", NetworkDeclineCode: "15", PaymentMethod: visa}, category: hard, code: "do_not_honor", advice: "try_again_later"},
		"Visa's number on another card":      {e: apiError{DeclineCode: "do_not_honor", NetworkDeclineCode: "15"}, category: soft, code: "do_not_honor"},
		"a stop order":                       {e: apiError{DeclineCode: "revocation_of_authorization"}, category: hard, code: "revocation_of_authorization", stopOrder: true},
		"a stop order by the network":        {e: apiError{DeclineCode: "do_not_honor", NetworkDeclineCode: "R1"}, category: hard, code: "do_not_honor", stopOrder: true},
		"the network forbids it for good":    {e: apiError{DeclineCode: "insufficient_funds", AdviceCode: "try_again_later", NetworkAdviceCode: "99"}, category: hard, code: "insufficient_funds", advice: "99"},
		"a stop order by Mastercard":         {e: apiError{DeclineCode: "generic_decline", NetworkAdviceCode: "21"}, category: hard, code: "generic_decline", advice: "21", stopOrder: true},
		"a request that is not valid":        {e: apiError{Type: invalidRequest, Code: "amount_too_small"}, category: hard, code: "amount_too_small"},
		"the buyer failed to prove himself":  {e: apiError{Type: invalidRequest, Code: "payment_intent_authentication_failure"}, category: buyer, code: "payment_intent_authentication_failure"},
		"the method is gone":                 {e: apiError{Type: invalidRequest, Code: resourceMissing, Param: "payment_method"}, category: hard, code: resourceMissing, ended: true},
		"the customer is gone: our mistake?": {e: apiError{Type: invalidRequest, Code: resourceMissing, Param: "customer"}, category: hard, code: resourceMissing},
		"the mandate is gone":                {e: apiError{Type: invalidRequest, Code: "payment_intent_mandate_invalid"}, category: hard, code: "payment_intent_mandate_invalid", ended: true},
	} {
		if test.e.Type == "" {
			test.e.Type = cardError
		}
		r := test.e.result("pi_1")
		want := gateway.Result{
			Class: gateway.Rejected, Reference: "pi_1", Category: test.category, Code: test.code, Advice: test.advice,
			StopOrder: test.stopOrder, AgreementLost: test.ended,
		}
		if r != want {
			t.Errorf("%s: got %+v, want %+v", name, r, want)
		}
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code         string
		minor, units int64
		refused      bool
	}{
		{"USD", 4700, 4700, false}, {"JPY", 500, 500, false},
		{"ISK", 500, 50000, false}, {"UGX", 7, 700, false}, // counted without decimals, written with two
		{"MGA", 4700, 47, false}, {"MGA", 4720, 0, true}, // the other way round
		{"KWD", 1230, 1230, false}, {"KWD", 1234, 0, true}, // the last of three decimals is 0
		{"USD", 0, 0, false},
	} {
		m := &ledgerv1.Money{CurrencyCode: test.code, MinorUnits: test.minor}
		units, err := inUnits(m)
		if (err != nil) != test.refused || units != test.units {
			t.Errorf("%v: got %d, %v, want %d", m, units, err, test.units)
		}
		if err != nil {
			if r := new(Gateway).Charge(t.Context(), gateway.Connection{}, gateway.Charge{Amount: m}); r.Class != gateway.Rejected || r.Code == "" {
				t.Errorf("%v: got %+v, want Rejected", m, r)
			}
			continue
		}
		if back := inMoney(strings.ToLower(test.code), units); back.MinorUnits != test.minor || back.CurrencyCode != test.code {
			t.Errorf("%v comes back as %v", m, back)
		}
	}
}
