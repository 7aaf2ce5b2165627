// Package event is the ledger's memory as the rest of the program sees it: a log of events in streams.
//
// Log is the contract that every store keeps; its conformance suite is storetest. A Log carries raw bytes, so that
// encoding, the hash chain and upcasting stand above it once, in this package: Encode and Decode turn a
// ledgerv1.Event into what is stored and back.
package event

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Revision is the place of an event in its stream, counted from 0. NoStream stands before the first.
type Revision int64

// NoStream is the revision at which the first event of a stream is appended.
const NoStream Revision = -1

// Position is the place of an event in the whole log. Positions are totally ordered by Commit, then Prepare; they
// need not be contiguous. The zero Position is before everything.
type Position struct{ Commit, Prepare uint64 }

// Compare orders positions.
func (p Position) Compare(q Position) int {
	switch {
	case p.Commit != q.Commit:
		if p.Commit < q.Commit {
			return -1
		}
		return 1
	case p.Prepare < q.Prepare:
		return -1
	case p.Prepare > q.Prepare:
		return 1
	}
	return 0
}

// IsZero reports whether p is before everything.
func (p Position) IsZero() bool { return p == Position{} }

// String writes p as the opaque text that answers carry; ParsePosition reads it.
func (p Position) String() string {
	return strconv.FormatUint(p.Commit, 10) + "-" + strconv.FormatUint(p.Prepare, 10)
}

// ParsePosition reads what String wrote. The empty text is the zero Position; anything else is ErrInvalidArgument.
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	c, p, ok := strings.Cut(s, "-")
	commit, err1 := strconv.ParseUint(c, 10, 64)
	prepare, err2 := strconv.ParseUint(p, 10, 64)
	read := Position{Commit: commit, Prepare: prepare}
	if !ok || err1 != nil || err2 != nil || read.String() != s {
		return Position{}, fmt.Errorf("%w: position %q", ErrInvalidArgument, s)
	}
	return read, nil
}

// Raw is an event as it is stored.
type Raw struct {
	ID       uuid.UUID // chosen by the writer; makes a repeated append recognisable
	Type     string
	Data     []byte
	Metadata []byte
}

// RawRecorded is a stored event and its place.
type RawRecorded struct {
	Stream   string
	Revision Revision
	Position Position
	Raw
}

// Recorded is a decoded event and its place.
type Recorded struct {
	Stream   string
	Revision Revision
	Position Position
	ID       uuid.UUID
	*ledgerv1.Event
}

// Cursor is how far a follower has come: a position, and the last event that was delivered to it. The two differ
// where the log told of a stretch without matching events.
type Cursor struct {
	Position, LastPosition Position
	LastID                 uuid.UUID // zero if nothing was ever delivered
}

// Kind says what a Message is.
type Kind int

// The kinds of Message.
const (
	KindEvent      Kind = iota // Event is set
	KindCheckpoint             // nothing that matches stands between the last message and Position
	KindCaughtUp               // everything up to Position was delivered; comes again after each return to live
)

// Message is what Follow delivers.
type Message struct {
	Kind     Kind
	Position Position
	Event    RawRecorded
}

// Log is an append-only log of events in streams. Implementations pass storetest.
//
// A stream's name is "<category>-<id>"; the category ends at the first "-". Names match
// [A-Za-z0-9_.:-]{1,200} and do not begin with "$".
type Log interface {
	// Append adds events at the exact revision `at` (the last one known, NoStream for none), all or none, and
	// returns the last one's position. It is durable when it returns nil. The same call with the same ids may be
	// repeated for ever and gives the first one's answer. Errors: *WrongRevisionError, ErrInvalidArgument,
	// ErrTooLarge, ErrUnavailable (nothing was written), ErrUnknownOutcome (it may have been written), ErrClosed.
	Append(ctx context.Context, stream string, at Revision, e ...Raw) (Position, error)
	// Read iterates the stream's events from a revision on. A stream that does not exist gives ErrStreamNotFound,
	// a revision past its end nothing.
	Read(ctx context.Context, stream string, from Revision) iter.Seq2[RawRecorded, error]
	// Follow calls h with every event after `after` whose stream is of one of the categories (none: of any), in
	// log order, then goes on live. It ends when ctx does, when h returns an error (returned unchanged), or with
	// ErrPositionAhead or ErrDiverged if `after` is not of this log's past.
	Follow(ctx context.Context, categories []string, after Cursor, h func(context.Context, Message) error) error
	// Head returns the position of the last event.
	Head(ctx context.Context) (Position, error)
	Close() error
}

// Exclusive is a Log that no other process can append to. As long as no append's outcome stayed unknown, a yes then
// means that these very events were written, and not others of the same ids for the same request.
type Exclusive interface{ Exclusive() }

// Category is the part of a stream's name before the first "-".
func Category(stream string) string {
	c, _, _ := strings.Cut(stream, "-")
	return c
}
