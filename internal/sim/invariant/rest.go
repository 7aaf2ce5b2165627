package invariant

import (
	"context"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// checkMessages checks that every gateway's message that was acknowledged is there, whole until it was read.
func (h *history) checkMessages(ctx context.Context, work projection.Reader) error {
	if len(h.world.Messages) == 0 {
		return nil
	}
	kept := map[Message]bool{} // whether it is whole, or was read
	err := each(ctx, work, `SELECT gateway, merchant, connection, message_id,
		CASE WHEN retry_at IS NULL AND reason = '' OR length(body) > 0 THEN 1 ELSE 0 END FROM webhooks`, func(scan func(...any) error) error {
		var m Message
		var whole bool
		if err := scan(&m.Gateway, &m.Merchant, &m.Connection, &m.ID, &whole); err != nil {
			return err
		}
		kept[m] = whole
		return nil
	})
	for _, m := range h.world.Messages {
		if whole, ok := kept[m]; !ok {
			h.broken("I-25", "message %s of %s at %s of %s was acknowledged and is not kept", m.ID, m.Gateway, m.Connection, m.Merchant)
		} else if !whole {
			h.broken("I-25", "message %s of %s at %s of %s was not read and is empty", m.ID, m.Gateway, m.Connection, m.Merchant)
		}
	}
	return err
}

// queues are the rows that are there only while something remains to be done, with what names one.
var queues = []struct{ what, query string }{
	{"notification %s is waiting or being sent", `SELECT delivery_id FROM delivery_rows WHERE state IN ('pending', 'sending')`},
	{"notification %s is leased", `SELECT delivery_id FROM delivery_rows WHERE lease_owner <> ''`},
	{"%s is parked", `SELECT follower || ': ' || stream FROM parks`},
	{"message %s is not read", `SELECT merchant || '.' || connection || ' ' || message_id FROM webhooks WHERE retry_at IS NOT NULL`},
}

// checkQueues checks that nothing remains to be done at rest, and that what is due later is not forgotten.
func (h *history) checkQueues(ctx context.Context, work projection.Reader) error {
	if !h.world.AtRest {
		return nil
	}
	for _, q := range queues {
		err := each(ctx, work, q.query, func(scan func(...any) error) error {
			var of string
			err := scan(&of)
			h.broken("I-22", q.what, of)
			return err
		})
		if err != nil {
			return err
		}
	}
	if h.world.Now.IsZero() {
		return nil
	}
	return h.checkTimers(ctx, work)
}

// checkTimers checks that no timer's time has passed, and that whatever wants to be woken has one.
func (h *history) checkTimers(ctx context.Context, work projection.Reader) error {
	timers := map[string]bool{}
	err := each(ctx, work, `SELECT stream, due_at FROM timers`, func(scan func(...any) error) error {
		var stream string
		var due int64
		if err := scan(&stream, &due); err != nil {
			return err
		}
		timers[stream] = true
		if at := time.UnixMicro(due).UTC(); !at.After(h.world.Now) {
			h.broken("I-22", "%s was to be woken at %s and was not", stream, at)
		}
		return nil
	})
	for name, l := range h.subscriptions {
		if due := l.state.Due(h.world.Now); !due.IsZero() && !timers[name] {
			h.broken("I-22", "%s wants to be woken at %s, and nothing will", name, due)
		}
	}
	return err
}
