package event

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	// MaxAppend is the most that one append may hold, counted as EventStoreDB counts: data, metadata, and the type
	// name as UTF-16.
	MaxAppend = 1 << 20
	// maxName is the longest name of a stream or a type.
	maxName = 200
)

// CheckAppend refuses what no log may take, before any I/O: ErrInvalidArgument or ErrTooLarge.
func CheckAppend(stream string, at Revision, events []Raw) error {
	if err := CheckStream(stream); err != nil {
		return err
	}
	if at < NoStream {
		return fmt.Errorf("%w: revision %d", ErrInvalidArgument, at)
	}
	if len(events) == 0 {
		return fmt.Errorf("%w: nothing to append to %s", ErrInvalidArgument, stream)
	}
	size := 0
	for i, e := range events {
		switch {
		case e.ID == uuid.Nil:
			return fmt.Errorf("%w: event %d for %s has no id", ErrInvalidArgument, i, stream)
		case e.Type == "" || len(e.Type) > maxName || strings.HasPrefix(e.Type, "$") || !utf8.ValidString(e.Type):
			return fmt.Errorf("%w: type %q", ErrInvalidArgument, e.Type)
		case repeated(events[:i], e.ID):
			return fmt.Errorf("%w: id %s twice in one append to %s", ErrInvalidArgument, e.ID, stream)
		}
		size += e.Size()
	}
	if size > MaxAppend {
		return fmt.Errorf("%w: %d bytes for %s, at most %d", ErrTooLarge, size, stream, MaxAppend)
	}
	return nil
}

// Size is what an event counts for in MaxAppend.
func (r Raw) Size() int { return len(r.Data) + len(r.Metadata) + 2*len(r.Type) }

// repeated is a search, not a map: most appends hold one to three events.
func repeated(events []Raw, id uuid.UUID) bool {
	for i := range events {
		if events[i].ID == id {
			return true
		}
	}
	return false
}

// CheckStream refuses a name that no stream may have with ErrInvalidArgument.
func CheckStream(name string) error {
	ok := name != "" && len(name) <= maxName
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '_' || c == '.' || c == ':' || c == '-'
	}
	if !ok {
		return fmt.Errorf("%w: stream name %q", ErrInvalidArgument, name)
	}
	return nil
}

// CheckCursor refuses a cursor that no log can have given: ErrInvalidArgument.
func CheckCursor(c Cursor) error {
	if c.LastPosition.Compare(c.Position) > 0 {
		return fmt.Errorf("%w: cursor at %s has seen an event at %s", ErrInvalidArgument, c.Position, c.LastPosition)
	}
	if c.LastPosition.IsZero() != (c.LastID == uuid.Nil) {
		return fmt.Errorf("%w: cursor names its last event by halves: %s, %s", ErrInvalidArgument, c.LastPosition, c.LastID)
	}
	return nil
}

// CheckRead refuses a stream or a revision that cannot be: ErrInvalidArgument.
func CheckRead(stream string, from Revision) error {
	if from < 0 {
		return fmt.Errorf("%w: read from revision %d", ErrInvalidArgument, from)
	}
	return CheckStream(stream)
}
