package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// checkCursors refuses to begin if a follower has seen another log than the one that is there: an older copy, or
// another ledger's. Each follower would find that out by itself, but by then another one may have charged somebody.
func (s *service) checkCursors(ctx context.Context) error {
	for _, store := range []projection.Store{s.work, s.views} {
		cursors, err := readCursors(ctx, store)
		if err != nil {
			return err
		}
		for follower, c := range cursors {
			// Following from a cursor compares it with the log before anything is delivered.
			err := s.log.Follow(ctx, nil, c, func(context.Context, event.Message) error { return errSame })
			if errors.Is(err, event.ErrInvalidArgument) {
				err = fmt.Errorf("%w: %w", event.ErrDiverged, err) // positions of another kind of log
			}
			if !errors.Is(err, errSame) {
				return divergence(fmt.Errorf("%s: %w", follower, err))
			}
		}
	}
	return nil
}

// errSame ends a look at the log that began well.
var errSame = errors.New("the log is the one that the cursor saw")

// readCursors are the cursors in a store, by follower.
func readCursors(ctx context.Context, store projection.Store) (map[string]event.Cursor, error) {
	rows, err := store.Query(ctx, `SELECT follower, commit_pos, prepare_pos, last_commit, last_prepare, last_id FROM cursors`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cursors := map[string]event.Cursor{}
	for rows.Next() {
		var follower, id string
		var position, last [2]int64 // a log's positions stay far below 2^63
		if err := rows.Scan(&follower, &position[0], &position[1], &last[0], &last[1], &id); err != nil {
			return nil, err
		}
		c := event.Cursor{
			Position:     event.Position{Commit: uint64(position[0]), Prepare: uint64(position[1])},
			LastPosition: event.Position{Commit: uint64(last[0]), Prepare: uint64(last[1])},
		}
		if id != "" {
			if c.LastID, err = uuid.Parse(id); err != nil {
				return nil, fmt.Errorf("cursor of %s: %w", follower, err)
			}
		}
		cursors[follower] = c
	}
	return cursors, rows.Err()
}

// divergence says what to do about a follower that has seen another log than the one that is there.
func divergence(err error) error {
	if errors.Is(err, event.ErrPositionAhead) || errors.Is(err, event.ErrDiverged) {
		return fmt.Errorf("%w: the log is not the one that the views and the work store were made from; "+
			"to build them anew from it, run ledger rebuild --work (STORE_DIVERGED)", err)
	}
	return err
}

// checkHome refuses a log that is not the one beside which the stores in the data directory have lived. The cursors
// would tell most of that, too, but not what to do about it.
func (s *service) checkHome(ctx context.Context, workFile string) error {
	known, err := work.HomeOf(ctx, workFile)
	if err != nil {
		return storeError(err)
	}
	dir, home := s.cfg.DataDir, known.Log
	switch elsewhere := s.place.elsewhere(); {
	case !elsewhere && home != "" && home != embedded:
		return fmt.Errorf("the stores in %s belong to the log at %s: give it as --log, or bring the log here with "+
			"ledger copy-log URL %s (LOG_ELSEWHERE)", dir, home, dir)
	case !elsewhere || home != "" && home != embedded:
		return nil
	}
	holds, err := sqlite.Holds(ctx, dir)
	if err != nil {
		return storeError(err)
	}
	if holds {
		return fmt.Errorf("%s holds a log of its own: move it with ledger copy-log %s URL, or choose another "+
			"--data-dir (LOG_ELSEWHERE)", dir, dir)
	}
	return nil
}
