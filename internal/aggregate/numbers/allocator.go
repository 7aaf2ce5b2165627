package numbers

import (
	"context"
	"fmt"
)

// Allocator hands out numbers, each once. It is safe for concurrent use.
type Allocator struct {
	reserve func(context.Context) (first, count int64, err error)
	turn    chan struct{} // holds one token; a channel, so that waiting for it ends with a context
	next    int64
	left    int64
}

// NewAllocator returns an Allocator that takes blocks from reserve: Reserve, carried out, and the event it made.
// Whatever reserve answers with an error is not used.
func NewAllocator(reserve func(context.Context) (first, count int64, err error)) *Allocator {
	return &Allocator{reserve: reserve, turn: make(chan struct{}, 1)}
}

// Next is a number that was never given out before.
func (a *Allocator) Next(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if a.left == 0 {
		first, count, err := a.reserve(ctx)
		if err != nil {
			return 0, fmt.Errorf("reserve numbers: %w", err)
		}
		if first < 1 || count < 1 {
			return 0, fmt.Errorf("reserve numbers: a block of %d from %d", count, first)
		}
		a.next, a.left = first, count
	}
	n := a.next
	a.next, a.left = n+1, a.left-1
	return n, nil
}
