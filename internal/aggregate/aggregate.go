// Package aggregate makes decisions true.
//
// A noun (subscription, merchant, …) is a pure pair: commands that Decide and a function that Evolves. Runner ties
// the pair to the log: it reads the stream, folds it, lets the command decide, and appends at the exact revision.
// Nothing in a noun's package knows of time, randomness or I/O; what a decision needs comes in as fields.
package aggregate

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

// Command is something that is asked of an aggregate in state S. Decide must not change the state. No events and no
// error mean that there is nothing to do and that this is fine.
type Command[S any] interface {
	Decide(S) ([]*ledgerv1.Event, error)
}

// Type says how a kind of aggregate comes about: the category of its streams, its state before the first event, and
// how an event changes the state. Evolve returns a new state and leaves the old one intact: states are shared.
type Type[S any] struct {
	Category string
	New      func() S
	Evolve   func(S, *ledgerv1.Event) S
	// Due is the first instant after `after` at which the aggregate wants a Wake; zero for never. May be nil.
	Due func(s S, after time.Time) time.Time
}

// Request says who asks, when and why.
type Request struct {
	ID    string   // unique in the stream for ever; see Internal for our own
	Hash  [32]byte // of the request's content; zero is compared with nothing
	Actor string
	At    time.Time
	Cause uuid.UUID // the event that led to this request; zero if a caller did
	// Expected is the revision of the last event that the caller has seen; nil if he does not say.
	Expected *event.Revision
}

// expects refuses a request whose caller has not seen the last event.
func (q Request) expects(at event.Revision) error {
	if q.Expected == nil || *q.Expected == at {
		return nil
	}
	return conflict(at)
}

// conflict says that somebody else was faster.
func conflict(current event.Revision) error {
	return &Error{Kind: Aborted, Reason: "REVISION_CONFLICT", Message: "others changed this meanwhile; look at it and try again",
		Metadata: map[string]string{"current": strconv.FormatInt(int64(current), 10)}}
}

// InternalPrefix begins the ids of requests that the ledger makes itself; callers may not use it.
const InternalPrefix = "ledger:"

// Result is what became of a request.
type Result[S any] struct {
	State    S                // after the request's last event
	Revision event.Revision   // of the request's last event, or of the stream if nothing was to be done
	Events   []event.Recorded // the request's events; none if nothing was to be done
	Replayed bool             // they were there already
}

// Position of the request's last event; zero if there is none.
func (r Result[S]) Position() event.Position {
	if len(r.Events) == 0 {
		return event.Position{}
	}
	return r.Events[len(r.Events)-1].Position
}

// HashOf is the hash of a request's content: of its deterministic bytes, taken after the caller has cleared the
// fields that are not content (request_id, wait).
func HashOf(m proto.Message) [32]byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("aggregate: a request that was just decoded does not encode: " + err.Error())
	}
	return sha256.Sum256(b)
}

// ErrNotFound is the reason-bearing answer for a stream that is not there.
func ErrNotFound(what, id string) *Error {
	return &Error{Kind: NotFound, Reason: "NOT_FOUND", Message: "there is no " + what + " " + id}
}
