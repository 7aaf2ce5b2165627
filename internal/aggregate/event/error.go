package event

import (
	"errors"
	"fmt"
)

// What a Log can answer; ask with errors.Is.
var (
	ErrStreamNotFound  = errors.New("stream not found")
	ErrInvalidArgument = errors.New("invalid argument")
	ErrTooLarge        = errors.New("append too large")
	// ErrUnavailable means that nothing was written.
	ErrUnavailable = errors.New("log unavailable")
	// ErrUnknownOutcome means that an append may or may not be durable; repeating it identically is safe.
	ErrUnknownOutcome = errors.New("append outcome unknown")
	// ErrPositionAhead means that a cursor has seen more than this log holds: an older log was restored.
	ErrPositionAhead = errors.New("cursor is ahead of the log")
	// ErrDiverged means that another event stands where the cursor saw its last one.
	ErrDiverged = errors.New("log differs from what the cursor saw")
	ErrClosed   = errors.New("log closed")
	// ErrStoreFull means that the disk is full; nothing was written.
	ErrStoreFull = errors.New("store full")
	// ErrUnknownKind means that a stored event is of a kind this program does not know: never skip it.
	ErrUnknownKind = errors.New("unknown kind of event")
	// ErrChain means that a stored event's hash does not follow from the ones before it.
	ErrChain = errors.New("hash chain broken")
)

// WrongRevisionError says that a stream was not where an append expected it.
type WrongRevisionError struct {
	Stream   string
	Expected Revision
	Actual   Revision // NoStream if there is none
}

func (e *WrongRevisionError) Error() string {
	return fmt.Sprintf("stream %s is at revision %d, not %d", e.Stream, e.Actual, e.Expected)
}
