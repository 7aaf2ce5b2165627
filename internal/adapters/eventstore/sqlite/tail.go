package sqlite

import (
	"bytes"
	"sync"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// A tail holds between half and all of tailEvents, fewer if they are large.
	tailEvents = 4096
	tailBytes  = 16 << 20
)

// tail is the last part of the log, in memory. It always ends at the head; it wakes those who wait for more.
type tail struct {
	mu     sync.RWMutex
	after  uint64 // the position before the first event here
	events []event.RawRecorded
	bytes  int
	more   chan struct{} // closed, and replaced, when events are added
}

func (t *tail) start(head uint64) {
	t.after, t.more = head, make(chan struct{})
}

// head is the position of the log's last event.
func (t *tail) head() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.after + uint64(len(t.events))
}

// add takes copies: what was appended still belongs to whoever appended it.
func (t *tail) add(events []event.RawRecorded) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range events {
		e.Data, e.Metadata = bytes.Clone(e.Data), bytes.Clone(e.Metadata)
		t.events = append(t.events, e)
		t.bytes += size(e)
	}
	if len(t.events) > tailEvents || t.bytes > tailBytes {
		t.shorten()
	}
	close(t.more)
	t.more = make(chan struct{})
}

// shorten drops the older half, and more if what is left is still too large. The rest is copied, because pages that
// were given out share the old array.
func (t *tail) shorten() {
	drop := 0
	for drop < len(t.events) && (len(t.events)-drop > tailEvents/2 || t.bytes > tailBytes/2) {
		t.bytes -= size(t.events[drop])
		drop++
	}
	t.after += uint64(drop)
	t.events = append(make([]event.RawRecorded, 0, tailEvents), t.events[drop:]...)
}

func size(e event.RawRecorded) int { return len(e.Data) + len(e.Metadata) }

// page gives up to limit events after a position. It does not have them if they are older than the tail. At the
// head the page is empty, and more is closed when there is another event.
func (t *tail) page(after uint64, limit int) (events []event.RawRecorded, more <-chan struct{}, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if after < t.after {
		return nil, nil, false
	}
	events = t.events[after-t.after:]
	return events[:min(limit, len(events)):min(limit, len(events))], t.more, true
}
