package esdbtest

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

// encoder writes records as a reader asked for them.
type encoder struct {
	log       *Store
	stringIDs bool
	resolve   bool // links
}

func (e encoder) event(r Record) *streams.ReadResp {
	read := &streams.ReadResp_ReadEvent{
		Event:    e.recorded(r),
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: r.Position},
	}
	if n, stream, ok := link(r); ok && e.resolve {
		read.Event, read.Link = nil, read.Event
		if target, ok := e.log.target(stream, n); ok {
			read.Event = e.recorded(target)
		}
	}
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: read}}
}

// link reads what a link points at, "<number>@<stream>".
func link(r Record) (n int64, stream string, ok bool) {
	before, stream, _ := strings.Cut(string(r.Data), "@")
	n, err := strconv.ParseInt(before, 10, 64)
	return n, stream, r.Type == typeLink && err == nil && n >= 0
}

func (e encoder) recorded(r Record) *streams.ReadResp_ReadEvent_RecordedEvent {
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               e.id(r.ID),
		StreamIdentifier: streamName(r.Stream),
		StreamRevision:   r.Number,
		PreparePosition:  r.Position,
		CommitPosition:   r.Position,
		Metadata: map[string]string{
			"type":         r.Type,
			"created":      strconv.FormatInt(r.Created.UnixNano()/100, 10), // .NET's ticks, since 1970
			"content-type": r.ContentType,
		},
		CustomMetadata: r.Metadata,
		Data:           r.Data,
	}
}

func (e encoder) id(id uuid.UUID) *shared.UUID {
	if e.stringIDs {
		return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// readID reads an event's id. The nil id is none.
func readID(wire *shared.UUID) (uuid.UUID, bool) {
	var id uuid.UUID
	switch v := wire.GetValue().(type) {
	case *shared.UUID_Structured_:
		binary.BigEndian.PutUint64(id[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(v.Structured.GetLeastSignificantBits()))
	case *shared.UUID_String_:
		id, _ = uuid.Parse(v.String_)
	}
	return id, id != uuid.Nil
}

func streamName(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}
