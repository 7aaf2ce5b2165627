package invariant

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// checkCursors checks that no follower has come further than the log, and that what each has read last was there.
func (h *history) checkCursors(ctx context.Context, store projection.Reader) error {
	head, err := h.world.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("the log's head: %w", err)
	}
	return each(ctx, store, `SELECT follower, commit_pos, prepare_pos, last_id FROM cursors`, func(scan func(...any) error) error {
		var follower, last string
		var at [2]int64
		if err := scan(&follower, &at[0], &at[1], &last); err != nil {
			return err
		}
		if p := (event.Position{Commit: uint64(at[0]), Prepare: uint64(at[1])}); p.Compare(head) > 0 {
			h.broken("I-13", "%s has come to %s, and the log ends at %s", follower, p, head)
		}
		if last == "" {
			return nil
		}
		id, err := uuid.Parse(last)
		if _, known := h.ids[id]; err != nil || !known {
			h.broken("I-13", "%s has read event %s last, which is not in the log", follower, last)
		}
		return nil
	})
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
