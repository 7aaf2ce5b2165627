package transfer

import (
	"bytes"
	"fmt"

	"ledger.internal/ledger/internal/aggregate/event"
)

// chains are the streams of a log as far as they were read.
type chains map[string]end

// end is a stream's last event.
type end struct {
	revision event.Revision
	hash     []byte
}

// link checks that an event follows from the one before it in its stream.
func (c chains) link(e event.RawRecorded) error {
	last, known := c[e.Stream]
	if !known {
		last.revision = event.NoStream
	}
	if e.Revision != last.revision+1 {
		return fmt.Errorf("%w: %s stands behind revision %d", ErrBroken, place(e), last.revision)
	}
	hash, err := event.VerifyChain(last.hash, e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	c[e.Stream] = end{e.Revision, hash}
	return nil
}

// difference says in what two events differ, whatever their positions; empty if in nothing.
func difference(a, b event.RawRecorded) string {
	switch {
	case a.Stream != b.Stream || a.Revision != b.Revision:
		return "is " + place(a) + " in the one and " + place(b) + " in the other"
	case a.ID != b.ID:
		return "has another id"
	case a.Type != b.Type:
		return "has another type"
	case !bytes.Equal(a.Data, b.Data):
		return "has other data"
	case !bytes.Equal(a.Metadata, b.Metadata):
		return "has other metadata"
	}
	return ""
}

func place(e event.RawRecorded) string { return fmt.Sprintf("%s/%d", e.Stream, e.Revision) }
