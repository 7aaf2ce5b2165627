package storetest_test

import (
	"context"
	"errors"
	"iter"

	"ledger.internal/ledger/internal/aggregate/event"
)

// With these a fault says in few lines what a log does wrong.

type (
	appendFunc func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error)
	followFunc func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error
	readFunc   func(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error]
	handleFunc = func(context.Context, event.Message) error
)

// changed is a log of which some calls are others.
type changed struct {
	event.Log
	append appendFunc
	read   readFunc
	follow followFunc
	head   func(context.Context) (event.Position, error)
	close  func() error
}

func (c changed) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	if c.append == nil {
		return c.Log.Append(ctx, stream, at, e...)
	}
	return c.append(ctx, stream, at, e...)
}

func (c changed) Follow(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
	if c.follow == nil {
		return c.Log.Follow(ctx, categories, after, h)
	}
	return c.follow(ctx, categories, after, h)
}

func (c changed) Read(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
	if c.read == nil {
		return c.Log.Read(ctx, stream, from)
	}
	return c.read(ctx, stream, from)
}

func (c changed) Head(ctx context.Context) (event.Position, error) {
	if c.head == nil {
		return c.Log.Head(ctx)
	}
	return c.head(ctx)
}

func (c changed) Close() error {
	if c.close == nil {
		return c.Log.Close()
	}
	return c.close()
}

// appends plants another Append.
func appends(f func(l event.Log) appendFunc) func(event.Log) event.Log {
	return func(l event.Log) event.Log { return changed{Log: l, append: f(l)} }
}

// follows plants another Follow.
func follows(f func(l event.Log) followFunc) func(event.Log) event.Log {
	return func(l event.Log) event.Log { return changed{Log: l, follow: f(l)} }
}

// yields is a reader's loop body.
type yields = func(event.RawRecorded, error) bool

// reads plants another way to hand on what a reader is given. It is made anew for each reader.
func reads(f func(yield yields) yields) func(event.Log) event.Log {
	return func(l event.Log) event.Log {
		return changed{Log: l, read: func(ctx context.Context, stream string, from event.Revision) iter.Seq2[event.RawRecorded, error] {
			return func(yield func(event.RawRecorded, error) bool) { l.Read(ctx, stream, from)(f(yield)) }
		}}
	}
}

// answer is an append that was made, and what the log said.
type answer struct {
	stream   string
	at       event.Revision
	events   []event.Raw
	repeated bool // made before
	position event.Position
	err      error
}

// conflict is what the log says if it sees the stream elsewhere.
func (a answer) conflict(actual event.Revision) error {
	return &event.WrongRevisionError{Stream: a.stream, Expected: a.at, Actual: actual}
}

// answers plants another answer to an append.
func answers(f func(l event.Log, a answer) (event.Position, error)) func(event.Log) event.Log {
	return appends(func(l event.Log) appendFunc {
		return func(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
			before, _ := l.Head(context.Background())
			pos, err := l.Append(ctx, stream, at, e...)
			return f(l, answer{stream, at, e, err == nil && pos.Compare(before) <= 0, pos, err})
		}
	})
}

// conflicts plants another answer to an append that conflicts.
func conflicts(f func(l event.Log, a answer, actual event.Revision) (event.Position, error)) func(event.Log) event.Log {
	return answers(func(l event.Log, a answer) (event.Position, error) {
		var wrong *event.WrongRevisionError
		if errors.As(a.err, &wrong) {
			return f(l, a, wrong.Actual)
		}
		return a.position, a.err
	})
}

// repetitions plants another answer to an append that was made before.
func repetitions(f func(l event.Log, a answer) (event.Position, error)) func(event.Log) event.Log {
	return answers(func(l event.Log, a answer) (event.Position, error) {
		if a.repeated {
			return f(l, a)
		}
		return a.position, a.err
	})
}

// tells plants other messages: f hands on to h what a follower hears. It is made anew for each Follow.
func tells(f func(l event.Log, h handleFunc) handleFunc) func(event.Log) event.Log {
	return follows(func(l event.Log) followFunc {
		return func(ctx context.Context, categories []string, after event.Cursor, h handleFunc) error {
			return l.Follow(ctx, categories, after, f(l, h))
		}
	})
}

// stored are the events of a stream, as the sound log has them.
func stored(l event.Log, stream string) (all []event.RawRecorded) {
	for e, err := range l.Read(context.Background(), stream, 0) {
		if err != nil {
			return nil
		}
		all = append(all, e)
	}
	return all
}
