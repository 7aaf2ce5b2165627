package payabl

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// answer is what payabl. says of a payment: https://docs.payabl.com/docs/paypal, "Response fields reference".
type answer struct {
	transaction, order string
	code               int
	amount             *ledgerv1.Money // nil if there is none that can be read
	redirect           string          // where the buyer is to go; empty if nowhere
}

// parseAnswer reads key=value pairs. An answer that broke off is still made of such pairs, and a number of it may have
// lost its end: 2000 would be a decline called 20. So the status counts only if something follows it, and so does where
// the buyer is sent: in the published answers, both are followed by more.
func parseAnswer(body []byte) (answer, error) {
	v, err := parsePairs(body)
	if err != nil {
		return answer{}, err
	}
	if !strings.Contains("&"+string(body), "&status="+v.Get("status")+"&") {
		return answer{}, errors.New("it has no status, or breaks off")
	}
	code, err := parseCode(v.Get("status"))
	if err != nil {
		return answer{}, err
	}
	a := answer{transaction: v.Get("transactionid"), order: fromLatin1(v.Get("orderid")), code: code}
	if twin := v.Get("transid"); twin != "" && twin != a.transaction {
		return answer{}, errors.New("it names two transactions")
	}
	if amount, err := parseAmount(v.Get("amount"), v.Get("currency")); err == nil {
		a.amount = amount
	}
	last, err := url.ParseQuery(string(body[bytes.LastIndexByte(body, '&')+1:]))
	if err != nil {
		return answer{}, err
	}
	a.redirect = redirectOf(v, last)
	return a, nil
}

// parsePairs reads urlencoded pairs, each key at most once: of two values the wrong one might be believed.
func parsePairs(body []byte) (url.Values, error) {
	v, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("it is not urlencoded")
	}
	for name, values := range v {
		if len(values) > 1 {
			return nil, fmt.Errorf("it has %.40q twice", name)
		}
	}
	return v, nil
}

// parseCode reads a number in its one spelling.
func parseCode(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("no code: %.20q", text)
	}
	return n, nil
}

// redirectOf is where the buyer is sent: to PayPal and the like, or to his bank's 3-D Secure. The last pair may be half a one.
func redirectOf(v, last url.Values) string {
	const longest = 2048 // what a NextAction holds
	for _, name := range []string{"redirect_url", "url_3ds"} {
		to := v.Get(name)
		u, err := url.Parse(to)
		if last.Has(name) {
			continue
		}
		if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(to) <= longest {
			return to
		}
	}
	return ""
}

// about reports whether the answer is about an order of ours. A refusal of the whole request may name none.
func (a answer) about(order string) bool {
	if a.order == "" && a.code < 0 {
		return true
	}
	return a.order == order && a.transaction != ""
}

// pendingResult is the Result of a payment that is not decided.
func (a answer) pendingResult() gateway.Result {
	r := gateway.Result{Class: gateway.Pending, Reference: a.transaction}
	if a.redirect != "" {
		r.NextAction = &ledgerv1.NextAction{RedirectUrl: a.redirect}
	}
	return r
}

// acceptedResult is the Result of a payment that was taken. payabl. gives no time that says its zone, so At stays empty.
func acceptedResult(transaction string, amount *ledgerv1.Money, m *ledgerv1.PaymentMethod) gateway.Result {
	if amount == nil {
		return unknown("the answer names no amount")
	}
	return gateway.Result{Class: gateway.Accepted, Reference: strings.TrimSpace(transaction), Amount: amount, Method: m}
}
