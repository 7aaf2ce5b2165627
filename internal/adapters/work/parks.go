package work

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// maxReason is how many bytes of a reason are kept; a panic's stack can be long.
const maxReason = 4000

// Park is a stream that is set aside for one follower.
type Park struct {
	Follower string
	Stream   string
	From     event.Revision // the first event that is not done
	Reason   string
	Tries    int // how often the event at From was given up
	ParkedAt time.Time
	RetryAt  time.Time // when it is tried again without being asked
}

// ParkKey names a park; lists go on behind one.
type ParkKey struct{ Follower, Stream string }

// Key is p's.
func (p Park) Key() ParkKey { return ParkKey{p.Follower, p.Stream} }

// Park writes a park, in place of the one that the stream may have. seat is the follower's.
func (w *Work) Park(ctx context.Context, seat projection.Seat, p Park) error {
	if len(p.Reason) > maxReason {
		p.Reason = strings.ToValidUTF8(p.Reason[:maxReason], "")
	}
	err := w.Update(ctx, func(tx projection.Tx) error {
		if err := seat.Check(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO parks (follower, stream, from_revision, reason, tries, parked_at, retry_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (follower, stream) DO UPDATE SET from_revision = excluded.from_revision, reason = excluded.reason,
	tries = excluded.tries, parked_at = excluded.parked_at, retry_at = excluded.retry_at`,
			p.Follower, p.Stream, int64(p.From), p.Reason, p.Tries, p.ParkedAt.UnixMicro(), p.RetryAt.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("park %s for %s: %w", p.Stream, p.Follower, err)
	}
	return nil
}

// ClearPark ends a park. seat is the follower's.
func (w *Work) ClearPark(ctx context.Context, seat projection.Seat, k ParkKey) error {
	err := w.Update(ctx, func(tx projection.Tx) error {
		if err := seat.Check(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM parks WHERE follower = $1 AND stream = $2`, k.Follower, k.Stream)
		return err
	})
	if err != nil {
		return fmt.Errorf("clear park of %s for %s: %w", k.Stream, k.Follower, err)
	}
	return nil
}

// ParksOf lists every park of a follower.
func (w *Work) ParksOf(ctx context.Context, follower string) ([]Park, error) {
	return w.parks(ctx, `WHERE follower = $1 ORDER BY stream`, follower)
}

// ListParks lists parks by follower and stream, behind a key; nil: from the start.
func (w *Work) ListParks(ctx context.Context, behind *ParkKey, limit int) ([]Park, error) {
	if behind == nil {
		behind = &ParkKey{}
	}
	return w.parks(ctx, `WHERE (follower, stream) > ($1, $2) ORDER BY follower, stream LIMIT $3`,
		behind.Follower, behind.Stream, limit)
}

// DueParks lists parks whose time has come, the longest due first.
func (w *Work) DueParks(ctx context.Context, now time.Time, limit int) ([]Park, error) {
	return w.parks(ctx, `WHERE retry_at <= $1 ORDER BY retry_at, follower, stream LIMIT $2`, now.UnixMicro(), limit)
}

// NextParkAt is when the next park is due; false if there is none.
func (w *Work) NextParkAt(ctx context.Context) (time.Time, bool, error) {
	return w.earliest(ctx, `SELECT min(retry_at) FROM parks`)
}

func (w *Work) parks(ctx context.Context, where string, args ...any) ([]Park, error) {
	rows, err := w.Query(ctx, `SELECT follower, stream, from_revision, reason, tries, parked_at, retry_at
FROM parks `+where, args...)
	return collect(rows, err, func(r projection.Row) (p Park, err error) {
		var parked, retry int64
		err = r.Scan(&p.Follower, &p.Stream, &p.From, &p.Reason, &p.Tries, &parked, &retry)
		p.ParkedAt, p.RetryAt = at(parked), at(retry)
		return p, err
	})
}
