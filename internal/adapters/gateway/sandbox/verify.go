package sandbox

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// tolerance is how far a webhook's time may be from ours, either way.
const tolerance = 5 * time.Minute

// Why Verify refuses a webhook.
var (
	ErrNoSecret     = errors.New("the connection has no webhook secret")
	ErrBadSignature = errors.New("the webhook's signature is missing or wrong")
	ErrOldSignature = errors.New("the webhook's signature is too old or of the future")
	ErrBadBody      = fmt.Errorf("it is signed: %w", gateway.ErrUnreadable)
)

// Verify implements gateway.Notifier.
func (g *Gateway) Verify(conn gateway.Connection, header http.Header, body []byte, now time.Time) (gateway.Notice, error) {
	if conn.WebhookSecret == "" {
		return gateway.Notice{}, ErrNoSecret
	}
	at, ok := signedAt(conn.WebhookSecret, header.Get(signatureHeader), body)
	if !ok {
		return gateway.Notice{}, ErrBadSignature
	}
	if d := now.Sub(at); d > tolerance || d < -tolerance {
		return gateway.Notice{}, ErrOldSignature
	}
	return g.Read(conn, body)
}

// Read implements gateway.Notifier.
func (g *Gateway) Read(conn gateway.Connection, body []byte) (gateway.Notice, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil || m.ID == "" || m.Account != Account(conn) {
		return gateway.Notice{}, ErrBadBody
	}
	return m.notice()
}

// signedAt is the time that a header of the form t=…,v1=… vouches for; ok is false unless its signature is right.
func signedAt(secret, header string, body []byte) (at time.Time, ok bool) {
	stamp, sum, found := strings.Cut(header, ",")
	t, isTime := strings.CutPrefix(stamp, "t=")
	v1, isSum := strings.CutPrefix(sum, "v1=")
	if !found || !isTime || !isSum {
		return time.Time{}, false
	}
	unix, err := strconv.ParseInt(t, 10, 64)
	got, hexErr := hex.DecodeString(v1)
	if err != nil || hexErr != nil || strconv.FormatInt(unix, 10) != t {
		return time.Time{}, false
	}
	return time.Unix(unix, 0).UTC(), hmac.Equal(got, signature(secret, unix, body))
}

func (m message) notice() (gateway.Notice, error) {
	n := gateway.Notice{ID: m.ID, Subscription: m.Subscription, Key: m.Key, Code: m.Code, Method: m.Method}
	whole := true
	switch m.Type {
	case chargeUpdated:
		n.Kind = gateway.NoticeCharge
	case refundUpdated:
		n.Kind = gateway.NoticeRefund
	case agreementEnded:
		n.Kind = gateway.NoticeAgreement
	case disputeUpdated:
		n.Kind, n.Dispute = gateway.NoticeDispute, m.Dispute.notice()
		whole = n.Dispute != nil
	case paymentMade:
		n.Kind, n.Payment = gateway.NoticePayment, m.Payment.observed()
		whole = n.Payment != nil
	case refundMade:
		n.Kind, n.Refund = gateway.NoticeRefundMade, m.Refund.observed()
		whole = n.Refund != nil
	}
	if !whole {
		return gateway.Notice{}, ErrBadBody
	}
	return n, nil
}

// observed is a payment that the sandbox took by itself; nil if c is not whole.
func (c *charge) observed() *gateway.ObservedPayment {
	if c == nil || c.ID == "" || c.Status != succeeded || c.Amount.check(1) != nil {
		return nil
	}
	return &gateway.ObservedPayment{
		Reference: c.ID, Amount: c.Amount.proto(), Fee: c.Fee.proto(), Settled: c.Settled.proto(), Method: c.Method.proto(),
		At: value(c.DecidedAt),
	}
}

// observed is a refund that was made at the sandbox's desk; nil if r is not whole.
func (r *refund) observed() *gateway.ObservedRefund {
	if r == nil || r.ID == "" || r.Charge == "" || r.Status != succeeded || r.Amount.check(1) != nil {
		return nil
	}
	return &gateway.ObservedRefund{
		Reference: r.ID, ChargeKey: r.ChargeKey, ChargeReference: r.Charge, Amount: r.Amount.proto(), Reason: r.Reason,
		At: value(r.DecidedAt),
	}
}

func (d *dispute) notice() *gateway.Dispute {
	if d == nil {
		return nil
	}
	return &gateway.Dispute{
		ID: d.ID, ChargeKey: d.ChargeKey, ChargeReference: d.Charge, Stage: stageOf(d.Stage), Outcome: outcomeOf(d.Outcome),
		Amount: d.Amount.proto(), Fee: d.Fee.proto(), Reason: d.Reason, At: d.At.UTC(),
	}
}

func stageOf(stage string) ledgerv1.DisputeStage {
	switch stage {
	case stageInquiry:
		return ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY
	case stageOpened:
		return ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED
	case stageWithdrawn:
		return ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN
	case stageReinstated:
		return ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED
	case stageClosed:
		return ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED
	}
	return ledgerv1.DisputeStage_DISPUTE_STAGE_UNSPECIFIED
}

func outcomeOf(outcome string) ledgerv1.DisputeOutcome {
	switch outcome {
	case "won":
		return ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON
	case "lost":
		return ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST
	case "inquiry_closed":
		return ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED
	}
	return ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_UNSPECIFIED
}
