package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// What stands in the requests and answers of server and adapter alike.
const (
	keyHeader       = "Idempotency-Key"
	signatureHeader = "Sandbox-Signature"
)

// The codes of an error that a caller may want to tell apart.
const (
	codeDuplicate  = "duplicate"
	codeKeyReused  = "key_reused"
	codeInProgress = "in_progress"
	codeInternal   = "internal"

	codeInvalid       = "invalid_request"
	codeUnknownToken  = "unknown_token"
	codeUnknownMethod = "unknown_method"
	codeNoSuchCharge  = "no_such_charge"
)

type money struct {
	CurrencyCode string `json:"currency_code"`
	MinorUnits   int64  `json:"minor_units"`
}

func (m *money) proto() *ledgerv1.Money {
	if m == nil {
		return nil
	}
	return &ledgerv1.Money{CurrencyCode: m.CurrencyCode, MinorUnits: m.MinorUnits}
}

func wireMoney(m *ledgerv1.Money) money {
	return money{CurrencyCode: m.GetCurrencyCode(), MinorUnits: m.GetMinorUnits()}
}

// status is of a charge or a refund.
type status string

const (
	pending   status = "pending"
	succeeded status = "succeeded"
	failed    status = "failed"
	expired   status = "expired"
	reversed  status = "reversed" // a refund that had succeeded
	hidden    status = "hidden"   // charged, but not to be seen yet
)

type accountBody struct {
	WebhookSecret string `json:"webhook_secret"`
	Processor     string `json:"processor"`
	NotifyURL     string `json:"notify_url,omitempty"`
}

// metadata is what the merchant remembers a charge by.
type metadata struct {
	Merchant     string `json:"merchant,omitempty"`
	Subscription string `json:"subscription,omitempty"`
	PayNumber    uint32 `json:"pay_number,omitempty"`
	Attempt      uint32 `json:"attempt,omitempty"`
}

type chargeRequest struct {
	Key       string     `json:"key"`
	Amount    money      `json:"amount"`
	Token     string     `json:"token,omitempty"`
	Method    string     `json:"method,omitempty"`
	NotifyURL string     `json:"notify_url,omitempty"`
	ReturnURL string     `json:"return_url,omitempty"`
	CancelURL string     `json:"cancel_url,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Metadata  metadata   `json:"metadata"`
}

type refundRequest struct {
	Key    string `json:"key"`
	Charge string `json:"charge"`
	Amount money  `json:"amount"`
}

type storedMethod struct {
	Reference   string `json:"reference"`
	Brand       string `json:"brand"`
	Last4       string `json:"last4,omitempty"`
	AgreementID string `json:"agreement_id,omitempty"`
}

type declined struct {
	Category      string `json:"category"`
	Code          string `json:"code"`
	Advice        string `json:"advice,omitempty"`
	Message       string `json:"message,omitempty"`
	StopOrder     bool   `json:"stop_order,omitempty"`
	AgreementLost bool   `json:"agreement_lost,omitempty"`
}

type charge struct {
	ID          string        `json:"id"`
	Account     string        `json:"account"`
	Key         string        `json:"key"` // empty if the sandbox took it by itself
	Status      status        `json:"status"`
	Amount      money         `json:"amount"` // what moved, or would
	Fee         *money        `json:"fee,omitempty"`
	Settled     *money        `json:"settled,omitempty"`
	Method      *storedMethod `json:"method,omitempty"`
	Decline     *declined     `json:"decline,omitempty"`
	RedirectURL string        `json:"redirect_url,omitempty"`
	ExpiresAt   *time.Time    `json:"expires_at,omitempty"`
	CreatedAt   time.Time     `json:"created_at"`
	DecidedAt   *time.Time    `json:"decided_at,omitempty"`
	Returned    int64         `json:"returned"` // by refunds, those not decided yet included
	Withdrawn   int64         `json:"withdrawn"`
	Metadata    metadata      `json:"metadata"`
}

type refund struct {
	ID        string     `json:"id"`
	Account   string     `json:"account"`
	Key       string     `json:"key"` // empty if it was made at the desk
	Charge    string     `json:"charge"`
	ChargeKey string     `json:"charge_key"`
	Status    status     `json:"status"`
	Amount    money      `json:"amount"`
	Reason    string     `json:"reason,omitempty"` // of one made at the desk
	Decline   *declined  `json:"decline,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	Metadata  metadata   `json:"metadata"`
}

type dispute struct {
	ID        string    `json:"id"`
	Charge    string    `json:"charge"`
	ChargeKey string    `json:"charge_key"`
	Stage     string    `json:"stage"` // inquiry, opened, funds_withdrawn, funds_reinstated, closed
	Amount    money     `json:"amount"`
	Fee       *money    `json:"fee,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Outcome   string    `json:"outcome,omitempty"` // won, lost, inquiry_closed
	At        time.Time `json:"at"`
	// What has happened to the money so far.
	Withdrawn  bool `json:"withdrawn"`
	Reinstated bool `json:"reinstated"`
}

// The types of webhooks.
const (
	chargeUpdated  = "charge.updated"
	refundUpdated  = "refund.updated"
	disputeUpdated = "dispute.updated"
	agreementEnded = "agreement.ended"
	paymentMade    = "payment.made" // by the sandbox itself
	refundMade     = "refund.made"  // at its desk
)

// message is the body of a webhook.
type message struct {
	ID           string   `json:"id"`
	Type         string   `json:"type"`
	Account      string   `json:"account"`
	Subscription string   `json:"subscription,omitempty"`
	Key          string   `json:"key,omitempty"`
	Code         string   `json:"code,omitempty"`
	Method       string   `json:"method,omitempty"`
	Dispute      *dispute `json:"dispute,omitempty"`
	Payment      *charge  `json:"payment,omitempty"`
	Refund       *refund  `json:"refund,omitempty"`
}

type wireError struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Original string `json:"original,omitempty"` // with code "duplicate"
}

type errorBody struct {
	Error wireError `json:"error"`
}

type chargeList struct {
	Charges []charge `json:"charges"`
}

type refundList struct {
	Refunds []refund `json:"refunds"`
}

// sign is the value of the signature header for a body sent at t.
func sign(secret string, t time.Time, body []byte) string {
	return "t=" + strconv.FormatInt(t.Unix(), 10) + ",v1=" + hex.EncodeToString(signature(secret, t.Unix(), body))
}

func signature(secret string, unix int64, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(strconv.FormatInt(unix, 10) + "."))
	m.Write(body)
	return m.Sum(nil)
}
