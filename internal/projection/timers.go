package projection

import (
	_ "embed"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed timers.sql
var timersSchema string

// Timers keeps when each subscription and each connection wants attention next. An event says so itself, whatever its kind: the last one
// of a stream is right.
func Timers() Projection {
	return Projection{
		Name:       "timers",
		Version:    2,
		Categories: []string{subscriptions, connections},
		Schema:     timersSchema,
		Tables:     []string{"timers"},
		Apply:      applyTimer,
	}
}

func applyTimer(tx Tx, _ time.Time, e event.Recorded) error {
	due := e.GetMetadata().GetDueAt()
	if due == nil {
		_, err := tx.Exec(`DELETE FROM timers WHERE stream = $1`, e.Stream)
		return err
	}
	_, err := tx.Exec(`INSERT INTO timers (stream, due_at) VALUES ($1, $2)
		ON CONFLICT (stream) DO UPDATE SET due_at = excluded.due_at`, e.Stream, micros(due))
	return err
}
