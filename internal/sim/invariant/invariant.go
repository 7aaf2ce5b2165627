// Package invariant checks what the ledger promises, on any log, the rows made from it and what others saw: in tests,
// in the simulation, after a crash, in the demo, and on production data by "ledger verify". What it finds is a defect of
// the ledger, never of its use.
//
// All lists the promises, I-01 to I-26. Every violation begins with the number of the one that was broken. They lie in
// files by topic: stream (the log itself), step (what may happen to a subscription), money, journal, rows and summary
// (the views), told (notifications), request (callers), rest, canary; compare, cursors and snapshot hold what is not one
// look at a world but a comparison of two.
//
// It shares the decisions' folds and the rows' names with the ledger, and no rule: what may be charged, told or returned
// is said here a second time.
package invariant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// World is what is checked. Views and Work must have seen the whole log, and nobody may append meanwhile.
type World struct {
	Log   event.Log
	Views projection.Reader // the rows of projection.Views; nil leaves them out
	Work  projection.Reader // those of projection.Work, and what else remains to be done; nil leaves them out
	Evidence
	// AtRest says that whatever failed has healed, that all messages have arrived, and that nobody had anything left to
	// do at Now. What is open then stays open for ever.
	AtRest bool
	Now    time.Time // by the ledger's clock; zero leaves out what depends on it
	// Skew is how far the clock may have jumped back at any time.
	Skew time.Duration
	// Canaries are texts that were planted where the ledger must not keep them.
	Canaries []string
}

// Report is what was looked at, and what was wrong.
type Report struct {
	Streams       int      `json:"streams"`
	Events        int      `json:"events"`
	Subscriptions int      `json:"subscriptions"`
	Orders        int      `json:"orders"`
	Entries       int      `json:"entries"`
	Notifications int      `json:"notifications"`
	Captures      int      `json:"captures"`
	Violations    []string `json:"violations"`
}

func (r *Report) broken(promise, format string, args ...any) {
	r.Violations = append(r.Violations, promise+": "+fmt.Sprintf(format, args...))
}

// errEnd ends the reading of a log that has no more.
var errEnd = errors.New("read to the end")

// Check looks at everything once. The error is only for what could not be read.
func Check(ctx context.Context, w World) (*Report, error) {
	h := newHistory(w)
	if err := readAll(ctx, w.Log, func(raw event.RawRecorded) error { h.read(raw); return nil }); err != nil {
		return nil, err
	}
	h.finish()
	h.checkMoney()
	h.checkAcks()
	h.checkReceipts()
	if w.Views != nil {
		if err := h.checkViews(ctx); err != nil {
			return nil, err
		}
	}
	if w.Work != nil {
		if err := h.checkWork(ctx); err != nil {
			return nil, err
		}
	}
	slices.Sort(h.report.Violations) // the same world gives the same report
	return h.report, nil
}

// readAll calls f with every event of a log.
func readAll(ctx context.Context, log event.Log, f func(event.RawRecorded) error) error {
	err := log.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		switch m.Kind {
		case event.KindEvent:
			return f(m.Event)
		case event.KindCaughtUp:
			return errEnd
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		return fmt.Errorf("read the log: %w", err)
	}
	return nil
}

func (h *history) checkViews(ctx context.Context) error {
	for _, look := range []func(context.Context, projection.Reader) error{
		h.checkOrders, h.checkPayNumbers, h.checkSubscriptions, h.checkJournal, h.checkCursors, h.checkCanaries,
	} {
		if err := look(ctx, h.world.Views); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) checkWork(ctx context.Context) error {
	for _, look := range []func(context.Context, projection.Reader) error{
		h.checkDeliveries, h.checkMessages, h.checkQueues, h.checkCursors, h.checkCanaries,
	} {
		if err := look(ctx, h.world.Work); err != nil {
			return err
		}
	}
	return nil
}
