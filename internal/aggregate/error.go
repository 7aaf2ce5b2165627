package aggregate

import "fmt"

// Kind sorts errors by what the caller can do about them. The rpc package maps each kind to a gRPC code.
type Kind int

// The kinds of Error.
const (
	Invalid            Kind = iota + 1 // the request itself is wrong
	NotFound                           // there is no such thing, or not for this caller
	Exists                             // it is there already
	FailedPrecondition                 // not in this state
	Aborted                            // others were faster; try again
	Exhausted                          // a limit is reached
	Unavailable                        // try again later
)

// Error is an error that a caller may see: a kind, a stable reason in UPPER_SNAKE, and a sentence.
// Everything else is internal and reaches nobody outside.
type Error struct {
	Kind     Kind
	Reason   string
	Message  string
	Field    string            // path of the field that is wrong, if one is
	Metadata map[string]string // machine-readable details of the reason
}

func (e *Error) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("%s: %s (%s)", e.Field, e.Message, e.Reason)
	}
	return fmt.Sprintf("%s (%s)", e.Message, e.Reason)
}

// Is makes errors.Is match another *Error of the same reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// InvalidField says that one field of a request is wrong.
func InvalidField(field, reason, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Reason: reason, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Refuse says that a request does not fit the state of things.
func Refuse(reason, format string, args ...any) *Error {
	return &Error{Kind: FailedPrecondition, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// With adds a machine-readable detail.
func (e *Error) With(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[key] = value
	return e
}
