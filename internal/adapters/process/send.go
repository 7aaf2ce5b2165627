package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/event"
)

// sent remembers when this run has last sent a key, from before the call until what became of it is known, by the time
// that has really passed: a clock that is set forward must neither make a key old nor prove that it never arrived.
type sent struct {
	mu sync.Mutex
	at map[string]sending
}

// sending is the last time, and the one before it if there was one.
type sending struct {
	last, before time.Duration
	again        bool
}

func (s *sent) note(key string, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]sending{}
	}
	known, again := s.at[key]
	s.at[key] = sending{last: at, before: known.last, again: again}
}

// takeBack undoes the last note: what it was made for surely did not go out. What went out before it did.
func (s *sent) takeBack(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.at[key]; known.again {
		s.at[key] = sending{last: known.before}
	} else {
		delete(s.at, key)
	}
}

func (s *sent) last(key string) (at time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.at[key]
	return known.last, ok
}

func (s *sent) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, key)
}

// send makes the call that an intent asks for, or looks its key up where an earlier run may have made it. sentAt is
// when it went out, at the latest. The error is that nothing was learned: the event is to be handled again.
func (p *Process) send(
	ctx context.Context, gw gateway.Gateway, conn gateway.Connection, key string, intent event.Recorded, find finder, call func() gateway.Result,
) (res gateway.Result, sentAt time.Time, err error) {
	sentAt = p.Clock.Now()
	if p.maySend(gw.Traits(), key, intent) {
		res = call()
	} else {
		res = lookBeforeRepeating(ctx, find, intent.Metadata.RecordedAt.AsTime())
	}
	switch {
	case ctx.Err() != nil:
		return res, sentAt, ctx.Err() // stopped: the next run does it again, under the same key
	case res.Class == gateway.NotSent:
		return res, sentAt, p.notSent(key, res)
	}
	return res, sentAt, nil
}

// lookBeforeRepeating is what stands in for sending a key that may have been sent before, at `asked` or later. If the
// gateway does not know it yet, that proves nothing: it is in doubt.
func lookBeforeRepeating(ctx context.Context, find finder, asked time.Time) gateway.Result {
	res, found, err := find(ctx, asked)
	switch {
	case err != nil:
		return gateway.Result{Class: gateway.Unknown, Why: "an earlier run may have sent it, and the look-up was not answered: " + err.Error()}
	case !found || res.Class == gateway.NotSent:
		return gateway.Result{Class: gateway.Unknown, Why: "an earlier run may have sent it"}
	}
	return res
}

// sendUntilDecided makes the call that an intent asks for if a look-up finds nothing of an earlier one: for what is
// repeated under one key until the gateway has decided. A key that is answered with its first answer would not do, for
// that one may be that nothing is decided yet.
func (p *Process) sendUntilDecided(
	ctx context.Context, gw gateway.Gateway, conn gateway.Connection, key string, intent event.Recorded, find finder, call func() gateway.Result,
) (gateway.Result, error) {
	res, found, err := find(ctx, intent.Metadata.RecordedAt.AsTime())
	if err != nil {
		return res, fmt.Errorf("look up %s: %w", key, err)
	}
	if !found {
		if !p.mayRepeat(gw.Traits(), key, intent) {
			return res, bus.RetryAfter(fmt.Errorf("%s may have been sent and is not known yet", key), horizon(gw.Traits()))
		}
		res = call()
	}
	switch {
	case ctx.Err() != nil:
		return res, ctx.Err()
	case res.Class == gateway.NotSent:
		return res, p.notSent(key, res)
	}
	return res, nil
}

// maySend decides whether the key of an intent may go out without a look-up first, and notes that it does. It may if
// nobody can have sent it before, or if the gateway still answers a repeated key with its first answer.
func (p *Process) maySend(t gateway.Traits, key string, intent event.Recorded) bool {
	if p.maybeSent(key, intent) && !p.answeredAgain(t, intent) {
		return false
	}
	p.sent.note(key, p.Clock.Elapsed())
	return true
}

// mayRepeat decides whether a key that a look-up has not found may go out, and notes that it does: as maySend, or if
// whatever was sent cannot turn up any more.
func (p *Process) mayRepeat(t gateway.Traits, key string, intent event.Recorded) bool {
	if p.maybeSent(key, intent) && !p.answeredAgain(t, intent) && p.sinceSent(key) < horizon(t) {
		return false
	}
	p.sent.note(key, p.Clock.Elapsed())
	return true
}

// maybeSent reports whether a key may have been sent before: by this run, or by an earlier one.
func (p *Process) maybeSent(key string, intent event.Recorded) bool {
	_, ok := p.sent.last(key)
	return ok || intent.Position.Compare(p.Head) <= 0
}

// sinceSent is for how long a key has surely not been sent: an earlier run has sent nothing since this one began.
func (p *Process) sinceSent(key string) time.Duration {
	at, ok := p.sent.last(key)
	if !ok {
		at = p.began
	}
	return p.Clock.Elapsed() - at
}

// answeredAgain reports whether the gateway surely remembers the key of an intent, if it ever got it. Half of the time
// is left out: ours or the gateway's clock may have been set meanwhile, and a look-up costs little.
func (p *Process) answeredAgain(t gateway.Traits, intent event.Recorded) bool {
	return t.KeyLifetime > 0 && p.Clock.Now().Sub(intent.Metadata.RecordedAt.AsTime()) < t.KeyLifetime/2
}

// horizon is how long after it was sent a key can still turn up.
func horizon(t gateway.Traits) time.Duration { return max(t.Horizon, 10*time.Minute) }

// notSent is the error that has the same key sent again later.
func (p *Process) notSent(key string, r gateway.Result) error {
	p.sent.takeBack(key)
	err := fmt.Errorf("gateway call %s was not sent: %s", key, r.Why)
	if r.RetryAfter > 0 {
		return bus.RetryAfter(err, r.RetryAfter)
	}
	return err
}
