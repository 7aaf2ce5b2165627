package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"ledger.internal/ledger/internal/aggregate/event"
)

// following is a Follow that runs beside the test and hands over its messages.
type following struct {
	w          *world
	categories []string
	at         event.Cursor // how far it has come
	messages   chan event.Message
	done       chan error
	stop       context.CancelFunc
}

// following starts to follow what comes after a cursor; without categories that is the whole log.
func (w *world) following(t *testing.T, after event.Cursor, categories ...string) *following {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.Patience)
	f := &following{w: w, categories: categories, at: after,
		messages: make(chan event.Message), done: make(chan error, 1), stop: cancel}
	l := w.Log
	go func() {
		f.done <- l.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
			select {
			case f.messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(f.messages)
	}()
	t.Cleanup(f.end)
	return f
}

// handle follows with a handler of the test's own, which must come to an end.
func (w *world) handle(t *testing.T, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.Patience)
	defer cancel()
	return w.Follow(ctx, categories, after, h)
}

// end stops it and waits until it has ended.
func (f *following) end() {
	f.stop()
	for range f.messages {
		continue
	}
}

// take is the next message. Whatever a test is about, the message must fit those before it.
func (f *following) take() (event.Message, error) {
	m, ok := <-f.messages
	if !ok {
		return m, fmt.Errorf("follow ended at %s: %w", f.at.Position, <-f.done)
	}
	back := m.Position.Compare(f.at.Position)
	switch {
	case back < 0, back == 0 && m.Kind == event.KindEvent:
		return m, fmt.Errorf("a message of kind %d at %s after one at %s", m.Kind, m.Position, f.at.Position)
	case m.Kind == event.KindEvent && m.Event.Position != m.Position:
		return m, fmt.Errorf("the event at %s came as one at %s", m.Event.Position, m.Position)
	case m.Kind == event.KindEvent && len(f.categories) > 0 && !slices.Contains(f.categories, event.Category(m.Event.Stream)):
		return m, fmt.Errorf("an event of %s came to a follower of %v", m.Event.Stream, f.categories)
	}
	f.at = advance(f.at, m)
	return m, nil
}

// advance is the cursor behind a message.
func advance(c event.Cursor, m event.Message) event.Cursor {
	c.Position = m.Position
	if m.Kind == event.KindEvent {
		c.LastPosition, c.LastID = m.Position, m.Event.ID
	}
	return c
}

// behind is the cursor of a follower to which e was the last that came.
func behind(e event.RawRecorded) event.Cursor {
	return event.Cursor{Position: e.Position, LastPosition: e.Position, LastID: e.ID}
}

func (f *following) next(t *testing.T) event.Message {
	t.Helper()
	m, err := f.take()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// until takes messages up to one that says that it is caught up at pos or behind, and returns the test's own events.
func (f *following) until(t *testing.T, pos event.Position) []event.RawRecorded {
	t.Helper()
	var events []event.RawRecorded
	for {
		m := f.next(t)
		if m.Kind == event.KindEvent {
			events = append(events, m.Event)
		}
		if m.Kind == event.KindCaughtUp && m.Position.Compare(pos) >= 0 {
			return f.w.mine(events)
		}
	}
}

// collect takes messages until n events of the test have come.
func (f *following) collect(t *testing.T, n int) (events []event.RawRecorded) {
	t.Helper()
	for len(events) < n {
		if m := f.next(t); m.Kind == event.KindEvent && f.w.owns(m.Event.Stream) {
			events = append(events, m.Event)
		}
	}
	return events
}

// followed are the test's own events after a cursor, up to the last that it appended.
func (w *world) followed(t *testing.T, after event.Cursor, categories ...string) []event.RawRecorded {
	t.Helper()
	events, _ := w.passed(t, after, categories...)
	return events
}

// passed is followed, with a cursor for each message. It does not wait until it is caught up, which can take its time
// in a log that others fill: any message behind a place says that everything before it was delivered.
func (w *world) passed(t *testing.T, after event.Cursor, categories ...string) (events []event.RawRecorded, cursors []event.Cursor) {
	t.Helper()
	f := w.following(t, after, categories...)
	defer f.end()
	for len(cursors) == 0 || f.at.Position.Compare(w.last) < 0 {
		m := f.next(t)
		cursors = append(cursors, f.at)
		if m.Kind == event.KindEvent {
			events = append(events, m.Event)
		}
	}
	return w.mine(events), cursors
}

// later are the events behind a position.
func later(events []event.RawRecorded, p event.Position) []event.RawRecorded {
	i := slices.IndexFunc(events, func(e event.RawRecorded) bool { return e.Position.Compare(p) > 0 })
	if i < 0 {
		return nil
	}
	return events[i:]
}
