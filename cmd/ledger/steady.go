package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
)

// followPause is how long a follower leaves a log alone that could not be read.
const followPause = time.Second

// steadyLog is a log whose followers outlast that it cannot be read: they go on behind the last event that they were
// given. That a log is not the one that was followed does not pass, and ends them.
type steadyLog struct {
	event.Log
	logger *slog.Logger
}

// aloneLog is one that no other process can append to.
type aloneLog struct{ steadyLog }

// Exclusive implements event.Exclusive.
func (aloneLog) Exclusive() {}

// steady makes the followers of a log outlast its failures. The log is event.Exclusive if it was.
func steady(log event.Log, logger *slog.Logger) event.Log {
	s := steadyLog{log, logger}
	if _, alone := log.(event.Exclusive); alone {
		return aloneLog{s}
	}
	return s
}

// Follow implements event.Log.
func (l steadyLog) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	var ended error // by the handler
	var told murmur
	for {
		err := l.Log.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
			if ended = h(ctx, m); ended != nil {
				return ended
			}
			told = murmur{}
			after.Position = m.Position
			if m.Kind == event.KindEvent {
				after.LastPosition, after.LastID = m.Position, m.Event.ID
			}
			return nil
		})
		if ended != nil || ctx.Err() != nil || !errors.Is(err, event.ErrUnavailable) {
			return err
		}
		if told.due() {
			l.logger.Warn("the log cannot be followed; trying again", "error", err)
		}
		if !rest(ctx, followPause) {
			return ctx.Err()
		}
	}
}

// murmur says when to tell of something that lasts: at once, and then at growing intervals.
type murmur struct {
	next  time.Time
	pause time.Duration
}

const (
	firstMurmur   = 10 * time.Second
	longestMurmur = 10 * time.Minute
)

// due reports whether it is time to tell of it.
func (m *murmur) due() bool {
	now := time.Now()
	if now.Before(m.next) {
		return false
	}
	m.pause = min(max(2*m.pause, firstMurmur), longestMurmur)
	m.next = now.Add(m.pause)
	return true
}

// rest waits; false if ctx ends first.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
