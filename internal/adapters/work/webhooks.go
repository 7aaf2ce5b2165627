package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// ErrWebhookDiffers means that a message came again with another body. The first one is kept.
var ErrWebhookDiffers = errors.New("webhook came again with another body")

// Webhook is a message of a gateway as it was received.
type Webhook struct {
	ID         int64 // given by SaveWebhook
	Merchant   string
	Connection string
	Gateway    string
	MessageID  string // the gateway's name for the message, unique in the connection
	ReceivedAt time.Time
	Header     http.Header // only what reading the message needs
	Body       []byte
	Fetched    bool   // we asked for it
	Tries      int    // how often reading it failed
	Reason     string // of the last failure
}

// SaveWebhook keeps a message durably. The first one with its message id wins: a redelivery is not fresh and has the
// first one's id, with ErrWebhookDiffers if the body is another. One that was fetched may be written differently from the
// same one that was sent, so that its body is not compared.
func (w *Work) SaveWebhook(ctx context.Context, h Webhook) (id int64, fresh bool, err error) {
	header, err := json.Marshal(h.Header)
	if err != nil {
		return 0, false, fmt.Errorf("save webhook: %w", err)
	}
	if h.Body == nil {
		h.Body = []byte{} // the column is not null
	}
	digest := sha256.Sum256(h.Body)
	sum := hex.EncodeToString(digest[:])
	if h.Fetched {
		sum = ""
	}
	var kept string
	err = w.Update(ctx, func(tx projection.Tx) error {
		// Rows are never deleted, so the largest id is the last one given out.
		n, err := tx.Exec(`INSERT INTO webhooks (id, merchant, connection, gateway, message_id, received_at, header, body,
	body_sha256, tries, reason, retry_at)
SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, 0, '', $5 FROM webhooks WHERE true
ON CONFLICT (merchant, connection, message_id) DO NOTHING`,
			h.Merchant, h.Connection, h.Gateway, h.MessageID, h.ReceivedAt.UnixMicro(), string(header), h.Body, sum)
		if err != nil {
			return err
		}
		fresh = n == 1
		return tx.QueryRow(`SELECT id, body_sha256 FROM webhooks
WHERE merchant = $1 AND connection = $2 AND message_id = $3`, h.Merchant, h.Connection, h.MessageID).Scan(&id, &kept)
	})
	if err != nil {
		return 0, false, fmt.Errorf("save webhook %s: %w", h.MessageID, err)
	}
	if kept != sum && kept != "" && sum != "" {
		return id, false, fmt.Errorf("%w: %s of connection %s", ErrWebhookDiffers, h.MessageID, h.Connection)
	}
	return id, fresh, nil
}

// PendingWebhooks lists messages that are not done and whose time has come, the longest due first.
func (w *Work) PendingWebhooks(ctx context.Context, now time.Time, limit int) ([]Webhook, error) {
	rows, err := w.Query(ctx, `SELECT id, merchant, connection, gateway, message_id, received_at, header, body, tries, reason
FROM webhooks WHERE retry_at <= $1 ORDER BY retry_at, id LIMIT $2`, now.UnixMicro(), limit)
	return collect(rows, err, func(r projection.Row) (h Webhook, err error) {
		var received int64
		var header string
		err = r.Scan(&h.ID, &h.Merchant, &h.Connection, &h.Gateway, &h.MessageID, &received, &header, &h.Body, &h.Tries, &h.Reason)
		if err != nil {
			return Webhook{}, err
		}
		h.ReceivedAt = at(received)
		return h, json.Unmarshal([]byte(header), &h.Header)
	})
}

// WebhookDone says that what a message told is in the log. Its header and body, which may tell of people, are
// dropped.
func (w *Work) WebhookDone(ctx context.Context, id int64) error {
	return w.changeWebhook(ctx, `UPDATE webhooks SET retry_at = NULL, reason = '', header = 'null', body = $2
WHERE id = $1`, id, []byte{})
}

// WebhookFailed says that a message could not be dealt with, why, and when it is tried again. One that is done
// stays so.
func (w *Work) WebhookFailed(ctx context.Context, id int64, why string, retryAt time.Time) error {
	return w.changeWebhook(ctx, `UPDATE webhooks SET tries = tries + 1, reason = CASE WHEN retry_at IS NULL THEN reason ELSE $2 END,
	retry_at = CASE WHEN retry_at IS NULL THEN NULL ELSE $3 END WHERE id = $1`, id, cutReason(why), retryAt.UnixMicro())
}

// WebhookSetAside says that a message could not be dealt with, why, and that it is not tried again. Unlike one that is
// done it is kept whole: ListWebhooks finds it, and RetryWebhook has it tried again. One that is done stays so.
func (w *Work) WebhookSetAside(ctx context.Context, id int64, why string) error {
	return w.changeWebhook(ctx, `UPDATE webhooks SET tries = tries + 1, retry_at = NULL,
	reason = CASE WHEN retry_at IS NULL THEN reason ELSE $2 END WHERE id = $1`, id, cutReason(why))
}

func cutReason(why string) string {
	if len(why) > maxReason {
		return strings.ToValidUTF8(why[:maxReason], "")
	}
	return why
}

func (w *Work) changeWebhook(ctx context.Context, query string, id int64, args ...any) error {
	err := w.Update(ctx, func(tx projection.Tx) error {
		n, err := tx.Exec(query, append([]any{id}, args...)...)
		if err == nil && n == 0 {
			err = projection.ErrNoRows
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("webhook %d: %w", id, err)
	}
	return nil
}

// NextWebhookAt is when the next message is due; false if all are done.
func (w *Work) NextWebhookAt(ctx context.Context) (time.Time, bool, error) {
	return w.earliest(ctx, `SELECT min(retry_at) FROM webhooks WHERE retry_at IS NOT NULL`)
}
