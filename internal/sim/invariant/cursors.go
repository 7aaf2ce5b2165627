package invariant

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// checkCursors checks that no follower has come further than the log, and that what each has read last stands where it
// read it. It is the log that says so: a position need not be an event's, and one behind the last event need not be one
// that the log has not come to.
func (h *history) checkCursors(ctx context.Context, store projection.Reader) error {
	return each(ctx, store, `SELECT follower, commit_pos, prepare_pos, last_commit, last_prepare, last_id FROM cursors`, func(scan func(...any) error) error {
		var follower, last string
		var at, read [2]int64
		if err := scan(&follower, &at[0], &at[1], &read[0], &read[1], &last); err != nil {
			return err
		}
		c := event.Cursor{
			Position:     event.Position{Commit: uint64(at[0]), Prepare: uint64(at[1])},
			LastPosition: event.Position{Commit: uint64(read[0]), Prepare: uint64(read[1])},
		}
		if last != "" {
			id, err := uuid.Parse(last)
			if _, known := h.ids[id]; err != nil || !known {
				h.broken("I-13", "%s has read event %s last, which is not in the log", follower, last)
				return nil
			}
			c.LastID = id
		}
		return h.checkCursor(ctx, follower, c)
	})
}

func (h *history) checkCursor(ctx context.Context, follower string, c event.Cursor) error {
	err := h.world.Log.Follow(ctx, nil, c, func(context.Context, event.Message) error { return errEnd })
	switch {
	case errors.Is(err, event.ErrPositionAhead), errors.Is(err, event.ErrInvalidArgument):
		h.broken("I-13", "%s has come to %s, and the log has not: %v", follower, c.Position, err)
	case errors.Is(err, event.ErrDiverged):
		h.broken("I-13", "%s has read event %s at %s last, where another one stands", follower, c.LastID, c.LastPosition)
	case !errors.Is(err, errEnd):
		return fmt.Errorf("cursor of %s: %w", follower, err)
	}
	return nil
}

// Cursors watches how followers come along. The zero Cursors has seen nobody. Its methods may be called from several
// goroutines.
type Cursors struct {
	mu    sync.Mutex
	at    map[string]event.Position
	found []string
}

// Saw notes that a follower stands at a position. A follower that starts over on purpose is to be forgotten first.
func (c *Cursors) Saw(follower string, at event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[string]event.Position{}
	}
	if before := c.at[follower]; at.Compare(before) < 0 {
		c.found = append(c.found, fmt.Sprintf("I-13: %s went back from %s to %s", follower, before, at))
	}
	c.at[follower] = at
}

// Forget lets a follower begin anew.
func (c *Cursors) Forget(follower string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.at, follower)
}

// Look notes where all followers of a store stand.
func (c *Cursors) Look(ctx context.Context, store projection.Reader) error {
	return each(ctx, store, `SELECT follower, commit_pos, prepare_pos FROM cursors`, func(scan func(...any) error) error {
		var follower string
		var at [2]int64
		if err := scan(&follower, &at[0], &at[1]); err != nil {
			return err
		}
		c.Saw(follower, event.Position{Commit: uint64(at[0]), Prepare: uint64(at[1])})
		return nil
	})
}

// Violations are the steps back that were seen, and who stands behind the log's head.
func (c *Cursors) Violations(head event.Position) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := append([]string(nil), c.found...)
	for follower, at := range c.at {
		if at.Compare(head) > 0 {
			found = append(found, fmt.Sprintf("I-13: %s has come to %s, and the log ends at %s", follower, at, head))
		}
	}
	return found
}
