// Package transfer copies a log into another store, event by event and byte for byte, in the log's order.
//
// A copy can end at any point and be begun again: what it finds of itself is compared, and only the rest is written.
// Nothing is written before the source is known to be whole, and before the target is known to hold nothing else. What
// stands beside a log and holds positions of it is not looked at here.
package transfer

import (
	"context"
	"errors"
	"fmt"

	"ledger.internal/ledger/internal/aggregate/event"
)

var (
	// ErrNotEmpty means that the target holds what the source does not. Nothing was written.
	ErrNotEmpty = errors.New("the target holds events that the source does not")
	// ErrBroken means that the source is not whole. Nothing was written.
	ErrBroken = errors.New("the source is not whole")
	// ErrDiffers means that the finished copy is not what the source is: somebody else writes to one of them.
	ErrDiffers = errors.New("the copy differs from its source")
)

// Transfer copies a log. Nobody else may write to either meanwhile.
type Transfer struct {
	From, To event.Log
	// Progress, if not nil, is told after each event how many of how many a step has done; of is 0 where nobody knows.
	Progress func(step Step, done, of int)
}

// Step is what a Transfer is at.
type Step string

// The steps, in their order.
const (
	Checking  Step = "checking"
	Copying   Step = "copying"
	Comparing Step = "comparing"
)

// Summary says what a copy holds, and how much of it is new.
type Summary struct{ Streams, Events, Copied int }

// Copy copies what the target does not have yet. Compare is to follow.
func (t Transfer) Copy(ctx context.Context) (Summary, error) {
	known, err := t.check(ctx)
	if err != nil {
		return Summary{}, err
	}
	if err := t.copy(ctx, known); err != nil {
		return Summary{}, err
	}
	return Summary{Streams: known.streams, Events: known.events, Copied: known.events - known.common}, nil
}

// found is what a first look at both sides tells.
type found struct {
	streams, events int
	end             event.Position // of the source's last event
	common          int            // events that the target has already
	last            event.Cursor   // the last of them, in the source
}

// check reads both logs side by side: the source has to be whole, and the target its beginning.
func (t Transfer) check(ctx context.Context) (found, error) {
	var f found
	chains := chains{}
	from, err := open(ctx, t.From)
	if err != nil {
		return f, fmt.Errorf("source: %w", err)
	}
	defer from.close()
	to, err := open(ctx, t.To)
	if err != nil {
		return f, fmt.Errorf("target: %w", err)
	}
	defer to.close()
	theirs, more, err := to.next()
	for err == nil {
		e, ok, failed := from.next()
		if failed != nil {
			return f, fmt.Errorf("source: %w", failed)
		}
		if !ok {
			break
		}
		if err := chains.link(e); err != nil {
			return f, err
		}
		f.streams, f.events, f.end = len(chains), f.events+1, e.Position
		if more {
			if what := difference(e, theirs); what != "" {
				return f, fmt.Errorf("%w: its event %d, %s, %s", ErrNotEmpty, f.events, place(theirs), what)
			}
			f.common++
			f.last = event.Cursor{Position: e.Position, LastPosition: e.Position, LastID: e.ID}
			theirs, more, err = to.next()
		}
		t.tell(Checking, f.events, 0)
	}
	if err != nil {
		return f, fmt.Errorf("target: %w", err)
	}
	if more {
		return f, fmt.Errorf("%w: it goes on behind the source's last event with %s", ErrNotEmpty, place(theirs))
	}
	return f, nil
}

// copy appends what the target does not have, up to the end that was checked.
func (t Transfer) copy(ctx context.Context, known found) error {
	if known.common == known.events {
		return nil
	}
	from := follow(ctx, t.From, known.last, known.end)
	defer from.close()
	var b batch
	done := known.common
	for {
		e, ok, err := from.next()
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		if !ok || !b.takes(e) {
			if err := b.append(ctx, t.To); err != nil {
				return fmt.Errorf("target: %w", err)
			}
			done += len(b.events)
			t.tell(Copying, done, known.events)
			b = batch{}
		}
		if !ok {
			return nil
		}
		b.add(e)
	}
}

// Compare reads both logs side by side from their beginnings. same, if not nil, is called for every event, in the log's
// order, once both sides are known to be the same up to there.
func (t Transfer) Compare(ctx context.Context, copied Summary, same func(from, to event.RawRecorded) error) error {
	from, err := open(ctx, t.From)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer from.close()
	to, err := open(ctx, t.To)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer to.close()
	for done := 0; ; done++ {
		a, more, err := from.next()
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		b, theirs, err := to.next()
		switch {
		case err != nil:
			return fmt.Errorf("target: %w", err)
		case more != theirs:
			return fmt.Errorf("%w: they do not end together after %d events", ErrDiffers, done)
		case !more:
			return nil
		}
		if what := difference(a, b); what != "" {
			return fmt.Errorf("%w: at event %d, %s, %s", ErrDiffers, done+1, place(a), what)
		}
		if same != nil {
			if err := same(a, b); err != nil {
				return err
			}
		}
		t.tell(Comparing, done+1, copied.Events)
	}
}

func (t Transfer) tell(step Step, done, of int) {
	if t.Progress != nil {
		t.Progress(step, done, of)
	}
}
