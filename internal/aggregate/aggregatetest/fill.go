package aggregatetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// filling is how many append at once: a log flushes what waits together.
	filling = 256
	// besides is how many lives of one of those go on side by side, so that a stream's events lie apart.
	besides = 16
)

// Fill appends at least n events of Endless to an empty log, the lives side by side and every event recorded a
// millisecond after the one before. It is made for benchmarks: a million events take less than a gigabyte and a half.
func Fill(ctx context.Context, log event.Log, n int) error {
	lives := make(chan History, filling*besides)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(lives)
		for h := range Endless() {
			select {
			case lives <- h:
			case <-ctx.Done():
				return nil // who ended it says why
			}
			if n -= len(h.Events); n <= 0 {
				break
			}
		}
		return nil
	})
	var recorded atomic.Int64
	for range filling {
		g.Go(func() error {
			for {
				together := take(lives, besides)
				if len(together) == 0 {
					return nil
				}
				if err := interleave(ctx, log, together, &recorded); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// take receives up to n lives; none if there are no more.
func take(from <-chan History, n int) (out []History) {
	for h := range from {
		if out = append(out, h); len(out) == n {
			break
		}
	}
	return out
}

// interleave appends the first events of all lives, then the second ones, …
func interleave(ctx context.Context, log event.Log, lives []History, recorded *atomic.Int64) error {
	hashes := make([][]byte, len(lives))
	for revision, more := 0, true; more; revision++ {
		more = false
		for i, h := range lives {
			if revision >= len(h.Events) {
				continue
			}
			more = true
			e := h.Events[revision]
			e.Metadata.RecordedAt = timestamppb.New(begin().Add(time.Duration(recorded.Add(1)) * time.Millisecond))
			raw, err := event.Encode(hashes[i], e.Stream, e.Revision, e.ID, e.Event)
			if err != nil {
				return fmt.Errorf("%s, event %d: %w", h.Name, revision, err)
			}
			hashes[i] = e.Metadata.Hash
			if _, err := log.Append(ctx, e.Stream, e.Revision-1, raw); err != nil {
				return err
			}
		}
	}
	return nil
}
