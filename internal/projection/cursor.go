package projection

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// CursorSchema creates the table that every store with followers has: how far each of them has come, and who may
// move it. The cursor stands in the store of the follower's effects, so that one transaction writes both.
const CursorSchema = `
CREATE TABLE IF NOT EXISTS cursors (
    follower     text   PRIMARY KEY,
    version      bigint NOT NULL,
    commit_pos   bigint NOT NULL,
    prepare_pos  bigint NOT NULL,
    last_commit  bigint NOT NULL,
    last_prepare bigint NOT NULL,
    last_id      text   NOT NULL,
    known_at     bigint NOT NULL,
    owner        text   NOT NULL,
    epoch        bigint NOT NULL
)`

// ErrFenced means that somebody else has taken a follower over. The write that it answers was not made.
var ErrFenced = errors.New("follower was taken over")

// Seat is the right to write for one follower. There is one at a time: taking it ends the right of whoever had it.
type Seat struct {
	follower string
	epoch    int64
}

// Saved is what a cursor row says.
type Saved struct {
	Cursor event.Cursor
	Known  time.Time // zero if nothing was applied yet
}

// TakeSeat takes a follower over. fresh means that it stands at the beginning, because nothing was saved or what was
// saved is of another version.
func TakeSeat(tx Tx, follower string, version int) (seat Seat, saved Saved, fresh bool, err error) {
	if _, err := tx.Exec(CursorSchema); err != nil {
		return Seat{}, Saved{}, false, fmt.Errorf("cursors: %w", err)
	}
	stored, epoch, saved, err := readCursor(tx, follower)
	fresh = errors.Is(err, ErrNoRows)
	if err != nil && !fresh {
		return Seat{}, Saved{}, false, fmt.Errorf("cursor of %s: %w", follower, err)
	}
	if fresh || stored != version {
		fresh, saved = true, Saved{}
	}
	seat = Seat{follower: follower, epoch: epoch + 1}
	_, err = tx.Exec(`INSERT INTO cursors (follower, version, commit_pos, prepare_pos, last_commit, last_prepare, last_id,
	known_at, owner, epoch) VALUES ($1, $2, 0, 0, 0, 0, '', 0, $3, $4)
ON CONFLICT (follower) DO UPDATE SET version = excluded.version, owner = excluded.owner, epoch = excluded.epoch`,
		follower, version, owner(), seat.epoch)
	if err == nil {
		err = seat.Save(tx, saved)
	}
	if err != nil {
		return Seat{}, Saved{}, false, fmt.Errorf("take over %s: %w", follower, err)
	}
	return seat, saved, fresh, nil
}

// storedVersion is the version of the follower that wrote the cursor; 0 if there is none.
func storedVersion(tx Tx, follower string) (version int, err error) {
	if _, err := tx.Exec(CursorSchema); err != nil {
		return 0, fmt.Errorf("cursors: %w", err)
	}
	version, _, _, err = readCursor(tx, follower)
	if errors.Is(err, ErrNoRows) {
		return 0, nil
	}
	return version, err
}

func readCursor(tx Tx, follower string) (version int, epoch int64, s Saved, err error) {
	var known int64
	var id string
	var position, last [2]int64 // a log's positions stay far below 2^63
	err = tx.QueryRow(`SELECT version, epoch, commit_pos, prepare_pos, last_commit, last_prepare, last_id, known_at
FROM cursors WHERE follower = $1`, follower).
		Scan(&version, &epoch, &position[0], &position[1], &last[0], &last[1], &id, &known)
	if err != nil {
		return 0, 0, Saved{}, err
	}
	if id != "" {
		if s.Cursor.LastID, err = uuid.Parse(id); err != nil {
			return 0, 0, Saved{}, err
		}
	}
	if known != 0 {
		s.Known = time.UnixMicro(known).UTC()
	}
	s.Cursor.Position = event.Position{Commit: uint64(position[0]), Prepare: uint64(position[1])}
	s.Cursor.LastPosition = event.Position{Commit: uint64(last[0]), Prepare: uint64(last[1])}
	return version, epoch, s, nil
}

// Save moves the cursor. It answers ErrFenced if the seat was taken by somebody else.
func (s Seat) Save(tx Tx, to Saved) error {
	var known int64
	if !to.Known.IsZero() {
		known = to.Known.UnixMicro()
	}
	var id string
	if to.Cursor.LastID != uuid.Nil {
		id = to.Cursor.LastID.String()
	}
	position, last := to.Cursor.Position, to.Cursor.LastPosition
	n, err := tx.Exec(`UPDATE cursors SET commit_pos = $1, prepare_pos = $2, last_commit = $3, last_prepare = $4,
	last_id = $5, known_at = $6 WHERE follower = $7 AND epoch = $8`,
		int64(position.Commit), int64(position.Prepare), int64(last.Commit), int64(last.Prepare), id, known, s.follower, s.epoch)
	return s.fenced(n, err)
}

// Check answers ErrFenced if the seat was taken by somebody else. A transaction that writes for the follower without
// moving its cursor begins with it.
func (s Seat) Check(tx Tx) error {
	// An update and not a read, so that a database with many writers keeps the row until the transaction ends.
	n, err := tx.Exec(`UPDATE cursors SET epoch = epoch WHERE follower = $1 AND epoch = $2`, s.follower, s.epoch)
	return s.fenced(n, err)
}

func (s Seat) fenced(rows int64, err error) error {
	if err != nil {
		return fmt.Errorf("cursor of %s: %w", s.follower, err)
	}
	if rows == 0 {
		return fmt.Errorf("%s: %w", s.follower, ErrFenced)
	}
	return nil
}

// owner names this process to somebody who reads the table; nothing depends on it.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + strconv.Itoa(os.Getpid())
}
