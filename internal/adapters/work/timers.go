package work

import (
	"context"
	"fmt"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// Timer says that a stream wants attention at an instant. The rows are made by the timers projection, which must have
// been prepared before they are read.
type Timer struct {
	Stream string
	Due    time.Time
}

// DueTimers lists timers whose time has come, the longest due first.
func (w *Work) DueTimers(ctx context.Context, now time.Time, limit int) ([]Timer, error) {
	rows, err := w.Query(ctx, `SELECT stream, due_at FROM timers WHERE due_at <= $1 ORDER BY due_at, stream LIMIT $2`,
		now.UnixMicro(), limit)
	return collect(rows, err, func(r projection.Row) (Timer, error) {
		var t Timer
		var due int64
		err := r.Scan(&t.Stream, &due)
		t.Due = at(due)
		return t, err
	})
}

// NextTimerAt is when the next timer is due; false if there is none.
func (w *Work) NextTimerAt(ctx context.Context) (time.Time, bool, error) {
	return w.earliest(ctx, `SELECT min(due_at) FROM timers`)
}

// MoveTimer moves a stream's timer, or removes it if `to` is zero. Nothing happens if the row no longer says what the
// caller has seen: the projection knows of newer events then.
func (w *Work) MoveTimer(ctx context.Context, stream string, seen, to time.Time) error {
	err := w.Update(ctx, func(tx projection.Tx) (err error) {
		if to.IsZero() {
			_, err = tx.Exec(`DELETE FROM timers WHERE stream = $1 AND due_at = $2`, stream, seen.UnixMicro())
		} else {
			_, err = tx.Exec(`UPDATE timers SET due_at = $3 WHERE stream = $1 AND due_at = $2`,
				stream, seen.UnixMicro(), to.UnixMicro())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("move timer of %s: %w", stream, err)
	}
	return nil
}
