package projection

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// movesSchema pairs where events stand in a log and in a copy of it. It lives as long as a Move. The first row stands
// for before everything.
const movesSchema = `
CREATE TABLE moves (
    commit_from  bigint NOT NULL,
    prepare_from bigint NOT NULL,
    commit_to    bigint NOT NULL,
    prepare_to   bigint NOT NULL,
    id           text   NOT NULL,
    PRIMARY KEY (commit_from, prepare_from)
);
INSERT INTO moves VALUES (0, 0, 0, 0, '')`

// ErrOtherLog means that the positions in a store are not of the log that was copied.
var ErrOtherLog = errors.New("the store's positions are of another log")

// Move carries the positions that a store keeps over to a copy of its log, in which every event has another one. All
// of it happens in one transaction.
type Move struct {
	tx Tx
	// deliveries are there, in the form that this program knows.
	deliveries bool
}

// NewMove begins a Move of what stands in tx's store.
func NewMove(tx Tx) (*Move, error) {
	d := Deliveries()
	version, err := storedVersion(tx, d.Name)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(movesSchema); err != nil {
		return nil, fmt.Errorf("moves: %w", err)
	}
	// Tables of another version are made anew by whoever starts next.
	return &Move{tx: tx, deliveries: version == d.Version}, nil
}

// Event says where an event stood and where it stands now. All events are told of, in the log's order.
func (m *Move) Event(id uuid.UUID, from, to event.Position) error {
	_, err := m.tx.Exec(`INSERT INTO moves VALUES ($1, $2, $3, $4, $5)`,
		int64(from.Commit), int64(from.Prepare), int64(to.Commit), int64(to.Prepare), id.String())
	return err
}

// Finish moves the positions. A position between two events becomes that of the one before it: a follower that stands
// there has seen it, and not the next one. What was moved before is left as it is; what is neither of the one log nor
// of the other is ErrOtherLog.
func (m *Move) Finish() error {
	strangers, err := m.count(`SELECT count(*) FROM cursors WHERE last_id <> '' AND NOT EXISTS (SELECT 1 FROM moves
	WHERE commit_from = last_commit AND prepare_from = last_prepare AND id = last_id)`)
	if err != nil {
		return err
	}
	if strangers > 0 {
		if err := m.movedBefore(); err != nil {
			return err
		}
	} else if err := m.move(); err != nil {
		return err
	}
	_, err = m.tx.Exec(`DROP TABLE moves`)
	return err
}

// movedBefore reports with nil that every cursor is of the copy already.
func (m *Move) movedBefore() error {
	strangers, err := m.count(`SELECT count(*) FROM cursors WHERE last_id <> '' AND NOT EXISTS (SELECT 1 FROM moves
	WHERE commit_to = last_commit AND prepare_to = last_prepare AND id = last_id)`)
	if err == nil && strangers > 0 {
		err = fmt.Errorf("%w: %d cursors have seen other events", ErrOtherLog, strangers)
	}
	return err
}

func (m *Move) move() error {
	if err := m.column("cursors", "commit_pos", "prepare_pos"); err != nil {
		return err
	}
	if err := m.column("cursors", "last_commit", "last_prepare"); err != nil || !m.deliveries {
		return err
	}
	strangers, err := m.count(`SELECT count(*) FROM delivery_rows WHERE NOT EXISTS (SELECT 1 FROM moves
	WHERE commit_from = pos_commit AND prepare_from = pos_prepare AND id = event_id)`)
	if err != nil {
		return err
	}
	if strangers > 0 {
		return fmt.Errorf("%w: %d notifications are of other events", ErrOtherLog, strangers)
	}
	for _, at := range [][3]string{
		{"delivery_endpoints", "born_commit", "born_prepare"}, {"delivery_endpoints", "pos_commit", "pos_prepare"},
		{"delivery_rows", "pos_commit", "pos_prepare"}, {"delivery_rows", "endpoint_commit", "endpoint_prepare"},
	} {
		if err := m.column(at[0], at[1], at[2]); err != nil {
			return err
		}
	}
	return nil
}

// column moves the positions in a pair of columns.
func (m *Move) column(table, commit, prepare string) error {
	_, err := m.tx.Exec(fmt.Sprintf(`UPDATE %s SET (%[2]s, %[3]s) = (SELECT commit_to, prepare_to FROM moves
	WHERE (commit_from, prepare_from) <= (%[2]s, %[3]s) ORDER BY commit_from DESC, prepare_from DESC LIMIT 1)`, table, commit, prepare))
	if err != nil {
		return fmt.Errorf("move %s of %s: %w", commit, table, err)
	}
	return nil
}

func (m *Move) count(query string) (n int, err error) {
	err = m.tx.QueryRow(query).Scan(&n)
	return n, err
}

// StartOver has every projection of a store begin anew: its positions are of a log that is left.
func StartOver(tx Tx) error {
	if _, err := tx.Exec(CursorSchema); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM cursors`)
	return err
}
