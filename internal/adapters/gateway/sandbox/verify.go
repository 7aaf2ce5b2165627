package sandbox

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	ErrBadBody      = errors.New("the webhook is signed and cannot be read")
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
	n := gateway.Notice{ID: m.ID, Subscription: m.Subscription, Key: m.Key, Code: m.Code}
	switch m.Type {
	case "charge.updated":
		n.Kind = gateway.NoticeCharge
	case "refund.updated":
		n.Kind = gateway.NoticeRefund
	case "agreement.ended":
		n.Kind = gateway.NoticeAgreement
	case "dispute.updated":
		n.Kind = gateway.NoticeDispute
		if m.Dispute == nil {
			return gateway.Notice{}, ErrBadBody
		}
		n.Dispute = m.Dispute.notice()
	}
	return n, nil
}

func (d *dispute) notice() *gateway.Dispute {
	return &gateway.Dispute{
		ID: d.ID, ChargeKey: d.ChargeKey, Stage: stageOf(d.Stage), Outcome: outcomeOf(d.Outcome),
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
