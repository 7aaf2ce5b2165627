package ipn

import (
	"context"

	"ledger.internal/ledger/internal/projection"
)

// writer commits the writes of many deliveries together: each commit costs a disk its time, whatever is in it.
type writer struct {
	store projection.Store
	queue chan write
}

type write struct {
	f    func(projection.Tx) error
	done chan error
}

func newWriter(store projection.Store, size int) *writer {
	return &writer{store: store, queue: make(chan write, size)}
}

// do runs f in a transaction and returns once it is committed. f may be run again if the transaction failed.
func (w *writer) do(f func(projection.Tx) error) error {
	done := make(chan error, 1)
	w.queue <- write{f, done}
	return <-done
}

// run serves until the queue is closed.
func (w *writer) run(ctx context.Context) {
	for first := range w.queue {
		batch := []write{first}
	more:
		for len(batch) < cap(w.queue) {
			select {
			case next, ok := <-w.queue:
				if !ok {
					break more
				}
				batch = append(batch, next)
			default:
				break more
			}
		}
		w.commit(ctx, batch)
	}
}

// commit writes a batch. If that fails, each is written for itself, so that none suffers for another.
func (w *writer) commit(ctx context.Context, batch []write) {
	err := w.store.Update(ctx, func(tx projection.Tx) error {
		for _, one := range batch {
			if err := one.f(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, one := range batch {
		if err != nil && len(batch) > 1 {
			one.done <- w.store.Update(ctx, one.f)
			continue
		}
		one.done <- err
	}
}
