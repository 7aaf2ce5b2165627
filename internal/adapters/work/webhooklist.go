package work

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// ErrWebhookDone means that a message is not there, or that nothing is left to be done about it.
var ErrWebhookDone = errors.New("no such webhook is open")

// WebhookState is what becomes of a message that is not done.
type WebhookState string

// The states of messages.
const (
	WebhookWaiting   WebhookState = "waiting"   // it is tried by itself
	WebhookAside     WebhookState = "set_aside" // it is kept for a person to look at
	WebhookUnmatched WebhookState = "unmatched" // it speaks of nothing of ours
)

// WebhookStates are all of them.
func WebhookStates() []WebhookState {
	return []WebhookState{WebhookWaiting, WebhookAside, WebhookUnmatched}
}

// WebhookFilter says which messages are listed. What is empty does not filter.
type WebhookFilter struct {
	State                WebhookState
	Merchant, Connection string
}

// ListedWebhook is a message that is not done.
type ListedWebhook struct {
	Webhook
	State   WebhookState
	RetryAt time.Time // zero unless it waits
}

// stateOf tells a state from the columns: the clause and its meaning stand in one place.
const stateOf = `CASE WHEN retry_at IS NOT NULL THEN 'waiting'
	WHEN EXISTS (SELECT 1 FROM webhooks_unmatched u WHERE u.id = webhooks.id) THEN 'unmatched' ELSE 'set_aside' END`

// ListWebhooks lists what is not done by id, behind one; nil: from the start. Headers are left out.
func (w *Work) ListWebhooks(ctx context.Context, f WebhookFilter, behind *int64, limit int) ([]ListedWebhook, error) {
	query := `SELECT id, merchant, connection, gateway, message_id, received_at, body, tries, reason, retry_at, ` + stateOf + `
FROM webhooks WHERE (reason <> '' OR retry_at IS NOT NULL)`
	var args []any
	and := func(clause string, arg any) {
		args = append(args, arg)
		query += fmt.Sprintf(" AND "+clause, len(args))
	}
	if f.State != "" {
		and(stateOf+" = $%d", string(f.State))
	}
	if f.Merchant != "" {
		and("merchant = $%d", f.Merchant)
	}
	if f.Connection != "" {
		and("connection = $%d", f.Connection)
	}
	if behind != nil {
		and("id > $%d", *behind)
	}
	args = append(args, limit)
	rows, err := w.Query(ctx, query+fmt.Sprintf(" ORDER BY id LIMIT $%d", len(args)), args...)
	return collect(rows, err, func(r projection.Row) (l ListedWebhook, err error) {
		var received int64
		var retry *int64
		var state string
		err = r.Scan(&l.ID, &l.Merchant, &l.Connection, &l.Gateway, &l.MessageID, &received, &l.Body, &l.Tries, &l.Reason, &retry, &state)
		if l.ReceivedAt, l.State = at(received), WebhookState(state); retry != nil {
			l.RetryAt = at(*retry)
		}
		return l, err
	})
}

// RetryWebhook has a message that is not done tried from now on, as if it had just come.
func (w *Work) RetryWebhook(ctx context.Context, id int64, now time.Time) error {
	return w.Update(ctx, func(tx projection.Tx) error {
		n, err := tx.Exec(`UPDATE webhooks SET retry_at = $2, tries = 0 WHERE id = $1 AND (reason <> '' OR retry_at IS NOT NULL)`,
			id, now.UnixMicro())
		if err == nil && n == 0 {
			err = ErrWebhookDone
		}
		if err == nil {
			_, err = tx.Exec(`DELETE FROM webhooks_unmatched WHERE id = $1`, id)
		}
		if err != nil {
			return fmt.Errorf("webhook %d: %w", id, err)
		}
		return nil
	})
}

// WebhookUnmatched says that a message speaks of nothing of ours. It is kept as one that is set aside, until
// DropUnmatched. One that is done stays so.
func (w *Work) WebhookUnmatched(ctx context.Context, id int64, why string, now time.Time) error {
	err := w.Update(ctx, func(tx projection.Tx) error {
		n, err := tx.Exec(`UPDATE webhooks SET tries = tries + 1, retry_at = NULL, reason = $2 WHERE id = $1 AND retry_at IS NOT NULL`,
			id, cutReason(why))
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(`INSERT INTO webhooks_unmatched (id, since) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, now.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("webhook %d: %w", id, err)
	}
	return nil
}

// DropUnmatched is done with the messages that were unmatched before an instant. That they came is remembered.
func (w *Work) DropUnmatched(ctx context.Context, before time.Time) (dropped int64, err error) {
	err = w.Update(ctx, func(tx projection.Tx) error {
		dropped, err = tx.Exec(`UPDATE webhooks SET reason = '', header = 'null', body = $2
WHERE retry_at IS NULL AND id IN (SELECT id FROM webhooks_unmatched WHERE since < $1)`, before.UnixMicro(), []byte{})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM webhooks_unmatched WHERE since < $1`, before.UnixMicro())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("drop unmatched webhooks: %w", err)
	}
	return dropped, nil
}

// Valid reports whether there is such a state.
func (s WebhookState) Valid() bool { return slices.Contains(WebhookStates(), s) }
