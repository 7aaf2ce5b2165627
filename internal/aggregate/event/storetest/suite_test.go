package storetest_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

// planted names the fault with which TestPlanted runs.
const planted = "STORETEST_FAULT"

// TestSuiteFinds plants each fault in a log that is sound otherwise, and wants the suite to fail. As a failing test fails
// those around it, that is done in a process of its own.
func TestSuiteFinds(t *testing.T) {
	t.Parallel()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, name, f.by)
			var failed *exec.ExitError
			if !errors.As(err, &failed) || strings.Contains(out, "panic: ") {
				t.Fatalf("ended with %v, want that the test fails:\n%s", err, out)
			}
			if want := "--- FAIL: TestPlanted/" + strings.ReplaceAll(f.by, " ", "_") + " "; !strings.Contains(out, want) {
				t.Errorf("want %q in what it says:\n%s", want, out)
			}
		})
	}
}

// TestSuitePasses: what the faults are planted in passes.
func TestSuitePasses(t *testing.T) {
	t.Parallel()
	if out, err := run(t, "none", ""); err != nil || !strings.Contains(out, "PASS") {
		t.Errorf("a sound log: %v\n%s", err, out)
	}
}

// run runs the suite, or one test of it, on a log with a fault.
func run(t *testing.T, fault, test string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pattern := "^TestPlanted$"
	if group, name, ok := strings.Cut(test, "/"); ok {
		pattern += "/^" + group + "$/^" + regexp.QuoteMeta(name) + "$"
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+pattern, "-test.timeout=1m")
	cmd.Env = append(os.Environ(), planted+"="+fault)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPlanted(t *testing.T) {
	name, ok := os.LookupEnv(planted)
	if !ok {
		t.Skip("it is run by TestSuiteFinds, with a fault")
	}
	f, ok := faults[name]
	open := func(l event.Log) event.Log {
		if f.in == nil {
			return l
		}
		return faulty{f.in(l), l}
	}
	opts := storetest.Options{
		Short: true, Shared: f.shared,
		Reopen: func(t *testing.T, l event.Log) event.Log {
			if f, ok := l.(faulty); ok {
				l = f.sound
			}
			if f.reopen == nil {
				return open(l)
			}
			return f.reopen(t, l)
		},
	}
	if ok {
		opts.Patience = time.Second
	}
	storetest.Run(t, func(*testing.T) event.Log { return open(memory.New()) }, opts)
}

// faulty is a log, and what it was before the fault was planted.
type faulty struct {
	event.Log
	sound event.Log
}

// The rest says with few words what a log does wrong.

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
