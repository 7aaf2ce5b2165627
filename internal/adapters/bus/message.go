package bus

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// The keys of a message's metadata. A message is one stored event: its UUID is the event's id, its payload the stored
// data.
const (
	streamKey   = "stream"
	revisionKey = "revision"
	positionKey = "position"
	typeKey     = "type"
	storedKey   = "stored_metadata" // the event's own metadata, as it is stored
	// retryAfterKey is set where a handler's error says when to try again.
	retryAfterKey = "retry_after"
)

func newMessage(ctx context.Context, e event.RawRecorded) *message.Message {
	m := message.NewMessageWithContext(ctx, e.ID.String(), e.Data)
	m.Metadata[streamKey] = e.Stream
	m.Metadata[revisionKey] = strconv.FormatInt(int64(e.Revision), 10)
	m.Metadata[positionKey] = e.Position.String()
	m.Metadata[typeKey] = e.Type
	m.Metadata[storedKey] = string(e.Metadata)
	return m
}

// rawEvent reads what newMessage wrote.
func rawEvent(m *message.Message) (event.RawRecorded, error) {
	id, err := uuid.Parse(m.UUID)
	if err != nil {
		return event.RawRecorded{}, fmt.Errorf("message %q: %w", m.UUID, err)
	}
	revision, err := strconv.ParseInt(m.Metadata[revisionKey], 10, 64)
	if err != nil {
		return event.RawRecorded{}, fmt.Errorf("message %s: %w", m.UUID, err)
	}
	position, err := event.ParsePosition(m.Metadata[positionKey])
	if err != nil {
		return event.RawRecorded{}, fmt.Errorf("message %s: %w", m.UUID, err)
	}
	return event.RawRecorded{
		Stream:   m.Metadata[streamKey],
		Revision: event.Revision(revision),
		Position: position,
		Raw:      event.Raw{ID: id, Type: m.Metadata[typeKey], Data: m.Payload, Metadata: []byte(m.Metadata[storedKey])},
	}, nil
}
