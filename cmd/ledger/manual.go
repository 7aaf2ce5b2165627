package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
)

// clockFile is where a data directory remembers what a manual clock shows.
const clockFile = "clock"

// manualClock is a stepped clock that a restart finds where it stood.
type manualClock struct {
	*clock.Stepped
	file string
}

// openManualClock shows what the data directory remembers, else start (RFC 3339), else now.
func openManualClock(dir, start string) (*manualClock, error) {
	file := filepath.Join(dir, clockFile)
	now, ok, err := rememberedTime(file)
	switch {
	case err != nil:
		return nil, err
	case ok:
	case start == "":
		now = time.Now().UTC().Truncate(time.Second)
	default:
		if now, err = time.Parse(time.RFC3339Nano, start); err != nil {
			return nil, fmt.Errorf("%q is no time: %w", start, err)
		}
	}
	c := &manualClock{Stepped: clock.NewStepped(now), file: file}
	return c, c.move(now)
}

// rememberedTime is what a manual clock showed last; ok is false if there is none.
func rememberedTime(file string) (at time.Time, ok bool, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	if at, err = time.Parse(time.RFC3339Nano, strings.TrimSpace(string(text))); err != nil {
		return time.Time{}, false, fmt.Errorf("%s holds no time: %w", file, err)
	}
	return at, true, nil
}

// move sets the clock, after the new time is remembered: a restart must not go back behind events of that time.
func (c *manualClock) move(to time.Time) error {
	next := c.file + ".new"
	if err := os.WriteFile(next, []byte(to.UTC().Format(time.RFC3339Nano)+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, c.file); err != nil {
		return err
	}
	c.Set(to)
	return nil
}

// idle returns once everything that can happen now has happened: every follower has seen the whole log, nothing is
// in flight, and nothing is due.
func (s *service) idle(ctx context.Context) error {
	for {
		head, err := s.log.Head(ctx)
		if err != nil {
			return err
		}
		for _, f := range s.followers {
			if err := f.WaitFor(ctx, head); err != nil {
				return err
			}
		}
		for _, idle := range []func(context.Context) error{
			s.bus.Idle, s.sandbox.Idle, s.lists.Idle, s.inbound.Idle, s.wake.Idle, s.sender.Idle,
		} {
			if err := idle(ctx); err != nil {
				return err
			}
		}
		if now, err := s.log.Head(ctx); err != nil || now == head {
			return err
		}
	}
}

// advance moves the manual clock, stopping at every instant at which something is due.
func (s *service) advance(ctx context.Context, by time.Duration) (now time.Time, stops int64, err error) {
	target := s.clock.Now().Add(by)
	for {
		if err := s.idle(ctx); err != nil {
			return s.clock.Now(), stops, err
		}
		next, ok, err := s.nextInstant(ctx)
		if err != nil {
			return s.clock.Now(), stops, err
		}
		if !ok || next.After(target) {
			break
		}
		if now := s.clock.Now(); !next.After(now) {
			// Something that is due keeps failing; time goes on all the same.
			if next = now.Add(time.Second); next.After(target) {
				break
			}
		}
		if err := s.manual.move(next); err != nil {
			return s.clock.Now(), stops, err
		}
		stops++
	}
	if err := s.manual.move(target); err != nil {
		return s.clock.Now(), stops, err
	}
	return s.clock.Now(), stops, s.idle(ctx)
}

// nextInstant is the next instant at which anything is due. Asking gateways what has happened is no such thing: it is
// done on the way, whenever it is time to, and nothing waits for it.
func (s *service) nextInstant(ctx context.Context) (first time.Time, ok bool, err error) {
	consider := func(t time.Time, known bool) {
		if known && (!ok || t.Before(first)) {
			first, ok = t, true
		}
	}
	for _, next := range []func(context.Context) (time.Time, bool, error){
		s.work.NextTimerAt, s.work.NextParkAt, s.work.NextWebhookAt,
	} {
		t, known, err := next(ctx)
		if err != nil {
			return time.Time{}, false, err
		}
		consider(t, known)
	}
	send, err := s.sender.NextAt(ctx)
	if err != nil {
		return time.Time{}, false, err
	}
	consider(send, !send.IsZero())
	consider(s.sandbox.NextAt())
	return first, ok, nil
}
