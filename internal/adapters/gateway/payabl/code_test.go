package payabl

import (
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

func TestCodes(t *testing.T) {
	t.Parallel()
	const (
		softly = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
		hardly = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
		buyers = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
	)
	tests := []struct {
		codes       []int
		category    ledgerv1.DeclineCategory // of a payment that is there
		lost        bool
		class       gateway.Class // of a request that is answered so
		retry, conf bool
	}{
		{codes: []int{-5002, 101, 51, -9999}, category: softly, class: gateway.Rejected},
		{codes: []int{-2405, -2406, -2454, -2455, -5004, -5007, -6102, -6103}, category: hardly, class: gateway.Rejected},
		{codes: []int{-5003, -5010, -5011, -5012, -6105, -6113, -6121, -1318}, category: buyers, class: gateway.Rejected},
		{codes: []int{145001, 145005}, category: hardly, lost: true, class: gateway.Rejected},
		{codes: []int{-2400, -2402, -2404, -2407}, category: softly, class: gateway.NotSent, retry: true},
		{codes: []int{-999, -6000, -104, -119, -1, -6005}, category: softly, class: gateway.NotSent, conf: true},
		{codes: []int{-998, -1315, -5000}, category: softly, class: gateway.Unknown},
	}
	for _, test := range tests {
		for _, n := range test.codes {
			d := declined("1", n)
			if d.Class != gateway.Rejected || d.Category != test.category || d.AgreementLost != test.lost || d.Code == "" {
				t.Errorf("%d: a payment came to %+v", n, d)
			}
			r, away := turnedAway(n)
			if !away {
				r = d
			}
			if r.Class != test.class || r.RetryAfter > 0 != test.retry || r.Config != test.conf {
				t.Errorf("%d: a request came to %+v", n, r)
			}
		}
	}
	for n, c := range codes {
		if c.text == "" && n != codeApproved {
			t.Errorf("%d has no text", n)
		}
	}
}
