package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// group is how many appends, and groupBytes about how many bytes, one commit holds at most.
	group      = 512
	groupBytes = 4 << 20
	// cachedHeads is how many streams' last revisions are known without asking. It is more than a group, so that
	// no stream of the group that is being written is forgotten.
	cachedHeads = 1 << 16
)

// writer is the one goroutine that appends, and its state.
type writer struct {
	log      *Log
	table    *table
	heads    *simplelru.LRU[string, event.Revision]
	position uint64 // the last one given out
	taken    []*request
	written  []event.RawRecorded // by the group, in order
}

func newWriter(l *Log) (*writer, error) {
	heads, err := simplelru.NewLRU[string, event.Revision](cachedHeads, nil)
	if err != nil {
		return nil, err
	}
	w := &writer{log: l, heads: heads}
	err = l.db.Raw(context.Background(), func(c driver.Conn) (err error) {
		if w.table, err = prepare(c); err != nil {
			return err
		}
		w.position, err = w.table.last()
		return err
	})
	return w, err
}

// run writes group after group until the log is closed.
func (w *writer) run() {
	defer close(w.log.stopped)
	for {
		select {
		case <-w.log.closed:
			_ = w.log.db.Raw(context.Background(), func(driver.Conn) error { return w.table.close() })
			return
		case r := <-w.log.queue:
			w.collect(r)
		}
		w.commit()
	}
}

// collect takes what waits. Those who were answered by the last commit are on their way back with their next
// append; giving them the processor once makes groups large without making anybody wait for a clock.
func (w *writer) collect(first *request) {
	w.taken = w.taken[:0]
	size := w.take(first)
	for yielded := false; len(w.taken) < group && size < groupBytes; {
		select {
		case r := <-w.log.queue:
			size += w.take(r)
		default:
			if yielded {
				return
			}
			yielded = true
			runtime.Gosched()
		}
	}
}

// take adds a request to the group, if its caller still waits, and tells its size.
func (w *writer) take(r *request) (size int) {
	if !r.take() {
		return 0
	}
	w.taken = append(w.taken, r)
	for i := range r.events {
		size += len(r.events[i].Data) + len(r.events[i].Metadata)
	}
	return size
}

// commit writes the group in one transaction and answers everybody in it.
func (w *writer) commit() {
	before := w.position
	w.written = w.written[:0]
	err := w.transact()
	if err != nil {
		// What was learnt about streams in this transaction is void.
		w.position = before
		w.heads.Purge()
		w.log.heads.Purge()
	} else if len(w.written) > 0 {
		for _, e := range w.written {
			w.log.heads.Add(e.Stream, e.Revision)
		}
		w.log.tail.add(w.written)
	}
	for _, r := range w.taken {
		if err != nil {
			r.position, r.err = event.Position{}, err
		}
		r.answer()
	}
	clear(w.taken)
	clear(w.written)
}

// transact decides each append and makes the group durable. Its error concerns the whole group.
func (w *writer) transact() error {
	committing := false
	err := w.log.db.Raw(context.Background(), func(driver.Conn) error {
		if err := w.table.begin(); err != nil {
			return err
		}
		for _, r := range w.taken {
			if err := w.append(r); err != nil {
				w.table.rollback()
				return err
			}
		}
		committing = true
		if err := w.table.commit(); err != nil {
			w.table.rollback()
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	})
	switch {
	case err == nil, errors.Is(err, event.ErrStoreFull):
		return err // where the disk is full, the commit record, which is written last, is not there
	case committing:
		// The record may have reached the disk before whatever failed.
		return fmt.Errorf("%w: %w", event.ErrUnknownOutcome, err)
	}
	return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
}

// append inserts one request's events if its stream is where the request expects it. A conflict is the request's
// own answer, and an append that was made before is answered as it was then; neither is an error of the group.
func (w *writer) append(r *request) error {
	current, err := w.current(r.stream)
	if err != nil {
		return err
	}
	if r.at < current {
		last, same, err := w.table.compare(r.stream, r.at+1, r.events)
		if err != nil {
			return err
		}
		if same {
			r.position = position(last)
			return nil
		}
	}
	if r.at != current {
		r.err = &event.WrongRevisionError{Stream: r.stream, Expected: r.at, Actual: current}
		return nil
	}
	first := len(w.written)
	for i, e := range r.events {
		w.position++
		w.written = append(w.written, event.RawRecorded{
			Stream: r.stream, Revision: r.at + 1 + event.Revision(i), Position: position(w.position), Raw: e,
		})
	}
	if err := w.table.insert(w.written[first:]); err != nil {
		return err
	}
	w.heads.Add(r.stream, r.at+event.Revision(len(r.events)))
	r.position = position(w.position)
	return nil
}

// current is a stream's last revision.
func (w *writer) current(stream string) (event.Revision, error) {
	if r, ok := w.heads.Get(stream); ok {
		return r, nil
	}
	r, err := w.table.revision(stream)
	if err == nil {
		w.heads.Add(stream, r)
	}
	return r, err
}
