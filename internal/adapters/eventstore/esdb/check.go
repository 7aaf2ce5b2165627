package esdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// daily is how often the metadata of streams is looked through.
	daily = 24 * time.Hour
	// glance is how long a start waits for the look through the metadata; the rest is done beside the ledger.
	glance = time.Second
)

// Check reaches the log once: it finds a node, and reads with the user's rights. ErrRefused says what somebody has to
// change; any other error, that the log cannot be reached now.
func (l *Log) Check(ctx context.Context) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	bound, cancel := l.bind(ctx)
	defer cancel()
	if f := l.once(bound, func(c *call) error {
		_, _, err := c.event(readHead())
		return err
	}); f != nil {
		if status.Code(f) == codes.PermissionDenied && l.cluster.settings.user == "" {
			return refuse(f, "the log is not open to everybody; write user:password@ before the host")
		}
		return f.error
	}
	short, done := context.WithTimeout(bound, glance)
	defer done()
	if err := l.retention.look(short, l); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return l.retention.alarm()
}

// Watch looks through the metadata of streams, at once and then daily, and tells what it finds. It ends with ctx.
func (l *Log) Watch(ctx context.Context) error {
	bound, cancel := l.bind(ctx)
	defer cancel()
	for failures := 0; bound.Err() == nil; {
		pause := daily
		if err := l.retention.look(bound, l); err != nil {
			pause = backOff(failures, l.cluster.pace.first, time.Minute)
			failures++
		} else {
			failures = 0
		}
		if sleep(bound, pause) != nil {
			break
		}
	}
	return l.usable(ctx)
}

// retention knows the streams that the server may forget events of. The log is for ever: nothing of what it holds may
// be deleted, and nothing have an end.
//
// Metadata of streams: https://docs.kurrent.io/server/v24.10/features/streams.html#metadata-and-reserved-names
type retention struct {
	mu      sync.Mutex
	at      event.Position    // how far the log was looked through
	streams map[string]string // and why
}

// look goes on from where it was to the end of the log, however long that takes.
func (r *retention) look(ctx context.Context, l *Log) error {
	var head event.RawRecorded
	if f := l.once(ctx, func(c *call) (err error) {
		head, _, err = c.event(readHead())
		return err
	}); f != nil {
		return f
	}
	r.mu.Lock()
	at := r.at
	r.mu.Unlock()
	if f := l.unlimited(ctx, func(c *call) error {
		return c.collect(subscribe(at, typeFilter("$metadata", "$streamDeleted")), func(m *streams.ReadResp) (bool, error) {
			return r.hear(l, m, head.Position)
		})
	}); f != nil {
		return f
	}
	return nil
}

// hear takes down what a message says, up to the log's end.
func (r *retention) hear(l *Log, m *streams.ReadResp, end event.Position) (more bool, err error) {
	switch {
	case m.GetEvent() != nil:
		e, err := recorded(m.GetEvent())
		if err != nil {
			return false, err
		}
		r.note(l, e)
		return true, nil
	case m.GetCheckpoint() != nil:
		p := position(m.GetCheckpoint())
		r.passed(p)
		return p.Compare(end) < 0, nil
	}
	return m.GetCaughtUp() == nil, nil
}

func (r *retention) passed(p event.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Compare(r.at) > 0 {
		r.at = p
	}
}

// note takes down what an event says about the stream that it is about: the last one counts.
func (r *retention) note(l *Log, e event.RawRecorded) {
	r.passed(e.Position)
	stream, why := e.Stream, "it was deleted"
	if e.Type == "$metadata" {
		var is bool
		if stream, is = strings.CutPrefix(e.Stream, "$$"); !is {
			return
		}
		why = forgets(e.Data)
	}
	if strings.HasPrefix(stream, "$") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if why == "" {
		delete(r.streams, stream)
		return
	}
	if r.streams == nil {
		r.streams = map[string]string{}
	}
	r.streams[stream] = why
	l.logger.Error("the log may forget events of a stream", "stream", stream, "why", why)
}

// forgets says which part of a stream's metadata ends events.
func forgets(metadata []byte) string {
	var m struct {
		MaxCount       *json.Number `json:"$maxCount"`
		MaxAge         *json.Number `json:"$maxAge"`
		TruncateBefore *json.Number `json:"$tb"`
	}
	err := json.Unmarshal(metadata, &m)
	switch {
	case err != nil:
		return "its metadata cannot be read"
	case m.TruncateBefore != nil:
		return "it was deleted, or truncated before revision " + m.TruncateBefore.String()
	case m.MaxCount != nil:
		return "$maxCount is " + m.MaxCount.String()
	case m.MaxAge != nil:
		return "$maxAge is " + m.MaxAge.String() + " seconds"
	}
	return ""
}

// alarm is an ErrRefused if a stream of the ledger's was deleted, or has metadata by which the server forgets events.
func (r *retention) alarm() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.streams) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(r.streams)))
	more := ""
	if n := len(r.streams) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return refuse(nil, "the log may forget events of stream %s%s: %s; restore what is gone, and take the metadata out", first, more, r.streams[first])
}
