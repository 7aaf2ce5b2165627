package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	// skipped is how many events that do not match may pass before a follower is told how far it has come.
	skipped = 100
	// livePage is how many events of the tail a follower takes at once.
	livePage = 256
)

// Follow implements event.Log.
func (l *Log) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	if err := l.verify(ctx, after); err != nil {
		return err
	}
	f := &follower{log: l, categories: categories, deliver: h, at: after.Position.Commit, told: after.Position.Commit}
	f.query = columns + inCategories(len(categories))
	for {
		if err := l.usable(ctx); err != nil {
			return err
		}
		events, more, ok := l.tail.page(f.at, livePage)
		var err error
		switch {
		case !ok:
			err = f.catchUp(ctx)
		case len(events) > 0:
			err = f.live(ctx, events)
		default:
			err = f.wait(ctx, more)
		}
		if err != nil {
			return err
		}
	}
}

// follower is one Follow: everything up to at was delivered or does not match, and the handler knows it up to told.
type follower struct {
	log        *Log
	categories []string
	query      string
	deliver    func(context.Context, event.Message) error
	at, told   uint64
}

// catchUp delivers a page from the file: a stretch of positions, of which the database finds those that match.
func (f *follower) catchUp(ctx context.Context) error {
	end := min(f.at+pageEvents, f.log.tail.head())
	args := []any{int64(f.at), int64(end)}
	for _, c := range f.categories {
		args = append(args, c)
	}
	page, full, err := f.log.page(ctx, f.query, args...)
	if err != nil {
		return err
	}
	for _, e := range page {
		if err := f.event(ctx, e); err != nil {
			return err
		}
	}
	if full { // the stretch may go on behind the page
		return nil
	}
	return f.skip(ctx, end)
}

// live delivers a page of the tail.
func (f *follower) live(ctx context.Context, events []event.RawRecorded) error {
	for _, e := range events {
		if len(f.categories) > 0 && !slices.Contains(f.categories, event.Category(e.Stream)) {
			if err := f.skip(ctx, e.Position.Commit); err != nil {
				return err
			}
			continue
		}
		if err := f.event(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) event(ctx context.Context, e event.RawRecorded) error {
	if err := f.skip(ctx, e.Position.Commit-1); err != nil {
		return err
	}
	f.at, f.told = e.Position.Commit, e.Position.Commit
	return f.tell(ctx, event.Message{Kind: event.KindEvent, Position: e.Position, Event: e})
}

// skip moves over events that do not match, telling the handler now and then.
func (f *follower) skip(ctx context.Context, to uint64) error {
	f.at = to
	for f.at-f.told >= skipped {
		f.told += skipped
		if err := f.tell(ctx, event.Message{Kind: event.KindCheckpoint, Position: position(f.told)}); err != nil {
			return err
		}
	}
	return nil
}

// wait says that everything was delivered, and waits until that is no longer so.
func (f *follower) wait(ctx context.Context, more <-chan struct{}) error {
	f.told = f.at
	if err := f.tell(ctx, event.Message{Kind: event.KindCaughtUp, Position: position(f.at)}); err != nil {
		return err
	}
	select {
	case <-more:
	case <-f.log.closed:
	case <-ctx.Done():
	}
	return nil
}

// tell calls the handler, unless it is time to stop.
func (f *follower) tell(ctx context.Context, m event.Message) error {
	if err := f.log.usable(ctx); err != nil {
		return err
	}
	return f.deliver(ctx, m)
}

// verify refuses a cursor that is not of this log's past. That the log is long enough is not proof: an older log may
// have been restored and then written to, so the last event that the cursor saw must stand where it saw it.
func (l *Log) verify(ctx context.Context, c event.Cursor) error {
	if err := event.CheckCursor(c); err != nil {
		return err
	}
	if err := l.usable(ctx); err != nil {
		return err
	}
	if c.Position != position(c.Position.Commit) || c.LastPosition != position(c.LastPosition.Commit) {
		return fmt.Errorf("%w: cursor %s, %s is of another kind of log", event.ErrInvalidArgument, c.Position, c.LastPosition)
	}
	if head := l.tail.head(); c.Position.Commit > head {
		return fmt.Errorf("%w: it is at %d, the log ends at %d", event.ErrPositionAhead, c.Position.Commit, head)
	}
	if c.LastID == uuid.Nil {
		return nil
	}
	var stored []byte
	err := l.db.QueryRow(ctx, "SELECT id FROM events WHERE position = $1", int64(c.LastPosition.Commit)).Scan(&stored)
	if err != nil && !errors.Is(err, projection.ErrNoRows) {
		return l.failed(ctx, err)
	}
	if string(stored) != string(c.LastID[:]) {
		return fmt.Errorf("%w: event %s does not stand at %d", event.ErrDiverged, c.LastID, c.LastPosition.Commit)
	}
	return nil
}
