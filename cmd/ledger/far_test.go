package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
)

// farLog is a log that is elsewhere, as far as a ledger can tell: it is shared, it outlives whoever opens it, its
// positions are none of an embedded log, and it can be away. Its followers then get an error at once, which is ruder
// than a log has to be.
type farLog struct {
	kept *memory.Log

	mu      sync.Mutex
	why     error         // it is away
	gone    chan struct{} // closed when it goes away
	refuses error         // what Check says for good
	watched int           // how many Watches there were
	asked   int           // how often its head was asked for
}

func newFarLog() *farLog { return &farLog{kept: memory.New(), gone: make(chan struct{})} }

// dial opens the log, whatever the URL says.
func (f *farLog) dial(esdb.Settings, *slog.Logger) (remoteLog, error) { return farOpened{f}, nil }

var errRefused = errors.New("connection refused")

func (f *farLog) goAway() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = fmt.Errorf("%w: %w", event.ErrUnavailable, errRefused)
	close(f.gone)
}

func (f *farLog) comeBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why, f.gone = nil, make(chan struct{})
}

// there is nil if the log answers; gone is closed when it no longer does.
func (f *farLog) there() (gone <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone, f.why
}

// far and near turn the positions of the embedded log into others, and back.
func far(p event.Position) event.Position {
	if p.IsZero() {
		return p
	}
	return event.Position{Commit: 1000 + 40*p.Commit, Prepare: 1000 + 40*p.Commit - 7}
}

func near(p event.Position) (event.Position, error) {
	if p.IsZero() {
		return p, nil
	}
	n := (p.Commit - 1000) / 40
	if q := (event.Position{Commit: n, Prepare: n}); far(q) == p {
		return q, nil
	}
	return p, fmt.Errorf("%w: %s is no place in this log", event.ErrInvalidArgument, p)
}

// farOpened is a farLog that somebody has opened.
type farOpened struct{ *farLog }

func (f farOpened) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	if _, err := f.there(); err != nil {
		return event.Position{}, err
	}
	p, err := f.kept.Append(ctx, stream, at, e...)
	return far(p), err
}

func (f farOpened) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	return func(yield func(event.RawRecorded, error) bool) {
		if _, err := f.there(); err != nil {
			yield(event.RawRecorded{}, err)
			return
		}
		for e, err := range f.kept.Read(ctx, stream, from) {
			e.Position = far(e.Position)
			if !yield(e, err) {
				return
			}
		}
	}
}

func (f farOpened) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	gone, err := f.there()
	if err != nil {
		return err
	}
	if after.Position, err = near(after.Position); err != nil {
		return err
	}
	if after.LastPosition, err = near(after.LastPosition); err != nil {
		return err
	}
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-gone:
			stop(event.ErrUnavailable)
		case <-following.Done():
		}
	}()
	err = f.kept.Follow(following, categories, after, func(_ context.Context, m event.Message) error {
		m.Position, m.Event.Position = far(m.Position), far(m.Event.Position)
		return h(ctx, m)
	})
	if ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return context.Cause(following)
	}
	return err
}

func (f farOpened) Head(ctx context.Context) (event.Position, error) {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	if _, err := f.there(); err != nil {
		return event.Position{}, err
	}
	p, err := f.kept.Head(ctx)
	return far(p), err
}

func (f farOpened) Close() error { return nil }

func (f farOpened) Check(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses != nil {
		return f.refuses
	}
	return f.why
}

func (f farOpened) Watch(ctx context.Context) error {
	f.mu.Lock()
	f.watched++
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}
