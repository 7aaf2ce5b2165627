package payabl

import (
	"context"
	"errors"
	"strconv"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// meaning is what a status or an error code says of a payment.
type meaning int

const (
	soft        meaning = iota // declined; may be tried again. Also what no list has, as issuers' own codes.
	hard                       // declined; never again with this method
	buyerAction                // declined; the buyer has to act
	lost                       // the agreement is gone
	approved
	pending
	activated // the agreement stands, and nothing was charged
	// What follows refuses a request rather than a payment. Said of a payment that is there, it is a soft decline.
	later  // turned away unseen, for a minute
	again  // taken for a repeat: look the first one up
	config // nothing will be taken before somebody changes the account
	doubt  // payabl. does not know itself
)

// The codes that the flows turn on.
const (
	codeApproved  = 0
	codePending   = 2000
	codeCancelled = 145005
	codeActivated = 145006
	codeAborted   = -5003 // the buyer has turned back
	codeFields    = -6000 // wrong fields, or a wrong signature
)

// blocked is how long later lasts: "within 1 minute".
const blocked = time.Minute

type code struct {
	means meaning
	text  string
}

// codes are the published ones. Texts and remarks: https://docs.payabl.com/docs/error-codes and
// https://docs.payabl.com/docs/response-codes-detailed; the positive six-digit ones: https://docs.payabl.com/docs/paypal.
// What to do about each is our reading of them. Issuers' positive codes are passed through and listed nowhere.
var codes = map[int]code{
	codeApproved: {approved, ""},
	codePending:  {pending, "pending"},

	-1:   {config, "unknown config setting"},
	-104: {config, "illegal command"},
	-119: {config, "no permission"},
	-998: {doubt, "unknown error"},
	-999: {config, "unknown error: credentials, environment or signature"},

	-1311: {buyerAction, "account name wrong or missing"},
	-1313: {buyerAction, "bank number wrong or missing"},
	-1314: {buyerAction, "bank country wrong or missing"},
	-1315: {doubt, "response failed: timeout, or the buyer aborted"},
	-1316: {config, "payment method wrong or missing"},
	-1318: {buyerAction, "IBAN wrong or missing"},
	-1319: {buyerAction, "BIC wrong or missing"},

	-2400: {later, "too many retries"},
	-2402: {later, "blocked for a minute after a payment that succeeded"},
	-2404: {later, "blocked for a minute after a payment that failed"},
	-2405: {hard, "blocked due to previous fraud"},
	-2406: {hard, "blocked due to a previous chargeback"},
	// "Duplicate attempts were blocked": the first of them may have been ours.
	-2407: {again, "blocked due to a transaction that is active"},
	-2454: {hard, "reattempt not permitted with this card"},
	-2455: {hard, "decline limit exceeded for the card"},

	-5000:       {doubt, "internal error"},
	-5002:       {soft, "payment failed"},
	codeAborted: {buyerAction, "aborted by the customer"},
	-5004:       {hard, "cancelled by risk management"},
	-5007:       {hard, "refund aborted"},
	-5010:       {buyerAction, "3-D Secure downgraded or not verified"},
	-5011:       {buyerAction, "3-D Secure downgraded or an invalid attempt"},
	-5012:       {buyerAction, "incorrect ECI data"},

	codeFields: {config, "wrong or missing fields, a wrong signature, or a currency that is not enabled"},
	-6005:      {config, "preauthorisation is disabled"},
	-6102:      {hard, "wrong price"},
	-6103:      {hard, "wrong currency"},
	-6105:      {buyerAction, "wrong last name"},
	-6106:      {buyerAction, "wrong street"},
	-6107:      {buyerAction, "wrong zip"},
	-6108:      {buyerAction, "wrong city"},
	-6109:      {buyerAction, "wrong language"},
	-6110:      {buyerAction, "wrong salutation"},
	-6111:      {buyerAction, "wrong title"},
	-6112:      {buyerAction, "wrong gender"},
	-6113:      {buyerAction, "wrong first name"},
	-6114:      {buyerAction, "wrong company"},
	-6115:      {buyerAction, "wrong birthday"},
	-6116:      {buyerAction, "wrong house"},
	-6117:      {buyerAction, "wrong postbox"},
	-6118:      {buyerAction, "wrong state"},
	-6119:      {buyerAction, "wrong email"},
	-6120:      {buyerAction, "wrong phone"},
	-6121:      {buyerAction, "wrong fax"},

	145001:        {lost, "billing agreement not active"},
	codeCancelled: {lost, "billing agreement cancelled by the buyer"},
	codeActivated: {activated, "billing agreement activated"},
}

// declined is the Result of a payment or refund that is there and has failed.
func declined(reference string, n int) gateway.Result {
	c := codes[n]
	r := gateway.Result{Class: gateway.Rejected, Reference: reference, Code: strconv.Itoa(n), Message: c.text}
	switch c.means {
	case hard:
		r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	case buyerAction:
		r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
	case lost:
		r.Category, r.AgreementLost = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, true
	default:
		r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	}
	return r
}

// turnedAway is the Result of a request that payabl. refused by c without making a payment of it, or of one whose fate it
// does not know; ok is false for every other code.
func turnedAway(n int) (r gateway.Result, ok bool) {
	c := codes[n]
	why := "payabl. answers " + strconv.Itoa(n) + ", " + c.text
	switch c.means {
	case later, again:
		return gateway.Result{Class: gateway.NotSent, RetryAfter: blocked, Why: why}, true
	case config:
		return gateway.Result{Class: gateway.NotSent, Config: true, Why: why}, true
	case doubt:
		return gateway.Result{Class: gateway.Unknown, Why: why}, true
	}
	return gateway.Result{}, false
}

// turnedAway is what the function of that name says, once it is known whose fault codeFields is: a signature that is wrong
// is so in every request, and a field of this payment is nobody else's. What is refused for its fields would be refused
// for ever, so it is a decline, and a soft one: until it is due again, the merchant can mend the buyer's data, or have the
// currency enabled.
func (g *Gateway) turnedAway(ctx context.Context, conn gateway.Connection, n int) (r gateway.Result, ok bool) {
	if r, ok = turnedAway(n); n != codeFields {
		return r, ok
	}
	var refusal *gateway.Refusal
	switch _, err := g.Prove(ctx, conn); {
	case errors.As(err, &refusal):
		r.Why = "payabl. answers " + strconv.Itoa(n) + ": " + refusal.Message
		return r, ok
	case err != nil:
		return gateway.Result{Class: gateway.NotSent, Why: r.Why + "; whether it accepts the account at all was not found out: " + err.Error()}, ok
	}
	return gateway.Result{
		Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, Code: strconv.Itoa(n),
		Message: "wrong or missing fields of this payment, or a currency that is not enabled; the account itself is accepted",
	}, ok
}
