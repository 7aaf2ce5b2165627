// Package invariant checks what the ledger promises, on any log and the rows made from it: in tests, after a crash,
// in the demo, and on production data by "ledger verify". What it finds is a defect of the ledger, never of its use.
package invariant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// World is what is checked. Views and Work must have seen the whole log, and nobody may append meanwhile.
type World struct {
	Log   event.Log
	Views projection.Reader // orders, pay numbers, subscriptions and the journal; nil leaves them out
	Work  projection.Reader // deliveries; nil leaves them out
	// Captures are the successful charges that the gateways' own books hold; nil leaves the comparison out.
	Captures []Capture
}

// Capture is a successful charge as a gateway's own book has it.
type Capture struct {
	Merchant, Subscription string
	PayNumber              uint32
	Reference              string
	Currency               string
	Minor                  int64
	Key, Connection        string
	At                     time.Time
	AfterDecline           bool // the gateway had told that it was declined
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

func (r *Report) violation(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// Check looks at everything once. The error is only for what could not be read.
func Check(ctx context.Context, w World) (*Report, error) {
	r := &Report{Violations: []string{}}
	h := newHistory(r)
	done := errors.New("read to the end")
	err := w.Log.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		switch m.Kind {
		case event.KindEvent:
			h.read(m.Event)
		case event.KindCaughtUp:
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	h.finish()
	if w.Views != nil {
		if err := checkOrders(ctx, r, h, w.Views); err != nil {
			return nil, err
		}
		if err := checkPayNumbers(ctx, r, h, w.Views); err != nil {
			return nil, err
		}
		if err := checkSubscriptions(ctx, r, h, w.Views); err != nil {
			return nil, err
		}
		if err := checkJournal(ctx, r, h, w.Views); err != nil {
			return nil, err
		}
	}
	if w.Work != nil {
		if err := checkDeliveries(ctx, r, h, w.Work); err != nil {
			return nil, err
		}
	}
	if w.Captures != nil {
		checkCaptures(r, h, w.Captures)
	}
	return r, nil
}
