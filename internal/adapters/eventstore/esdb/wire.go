package esdb

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// What an event carries beside its bodies: https://docs.kurrent.io/server/v24.10/features/streams.html
const (
	metaType        = "type"
	metaContentType = "content-type"
	// Events are JSON. The server does not look at that; its own page and its projections do.
	contentType = "application/json"
)

// ours matches the names of all streams that are not the server's own. Those begin with "$", and metadata streams with
// "$$". Names of events are not asked: a link that a projection of the server makes lies in a stream of the server's.
const ours = `^[^\$].*`

// Filtered reads and subscriptions look through this many records at a time, and tell how far they have come each
// `checkpoints` windows: a stretch of some thousand records that belong to the server itself.
const (
	searchWindow = 256
	checkpoints  = 16
)

func appendHeader(stream string, at event.Revision) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: identifier(stream)}
	if at == event.NoStream {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
	} else {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(at)}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func proposed(e event.Raw) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id:             toUUID(e.ID),
		Metadata:       map[string]string{metaType: e.Type, metaContentType: contentType},
		CustomMetadata: e.Metadata,
		Data:           e.Data,
	}}}
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// options are what all reads have in common.
func options() *streams.ReadReq_Options {
	return &streams.ReadReq_Options{
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
		},
	}
}

func readStream(stream string, from event.Revision, count uint64) *streams.ReadReq {
	o := options()
	o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
		StreamIdentifier: identifier(stream),
		RevisionOption:   &streams.ReadReq_Options_StreamOptions_Revision{Revision: uint64(from)},
	}}
	o.CountOption = &streams.ReadReq_Options_Count{Count: count}
	return &streams.ReadReq{Options: o}
}

// readHead asks for the last event of a stream of ours.
func readHead() *streams.ReadReq {
	o := options()
	o.ReadDirection = streams.ReadReq_Options_Backwards
	o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
		AllOption: &streams.ReadReq_Options_AllOptions_End{End: &shared.Empty{}},
	}}
	o.CountOption = &streams.ReadReq_Options_Count{Count: 1}
	o.FilterOption = streamFilter()
	return &streams.ReadReq{Options: o}
}

// readAt asks for the event at a position, or the first one behind it.
func readAt(p event.Position) *streams.ReadReq {
	o := options()
	o.StreamOption = all(p)
	o.CountOption = &streams.ReadReq_Options_Count{Count: 1}
	return &streams.ReadReq{Options: o}
}

// subscribe asks for everything behind a position, and for what is still to come.
func subscribe(after event.Position, filter *streams.ReadReq_Options_Filter) *streams.ReadReq {
	o := options()
	o.StreamOption = all(after)
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	o.FilterOption = filter
	return &streams.ReadReq{Options: o}
}

func all(p event.Position) *streams.ReadReq_Options_All {
	if p.IsZero() {
		return &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}}
	}
	return &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
		AllOption: &streams.ReadReq_Options_AllOptions_Position{
			Position: &streams.ReadReq_Options_Position{CommitPosition: p.Commit, PreparePosition: p.Prepare},
		},
	}}
}

func streamFilter() *streams.ReadReq_Options_Filter {
	return filter(&streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Regex: ours},
		},
	})
}

func typeFilter(prefixes ...string) *streams.ReadReq_Options_Filter {
	return filter(&streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_EventType{
			EventType: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: prefixes},
		},
	})
}

func filter(o *streams.ReadReq_Options_FilterOptions) *streams.ReadReq_Options_Filter {
	o.Window = &streams.ReadReq_Options_FilterOptions_Max{Max: searchWindow}
	o.CheckpointIntervalMultiplier = checkpoints
	return &streams.ReadReq_Options_Filter{Filter: o}
}

// recorded reads an event. Links are not followed, so a link is an event of its own.
func recorded(m *streams.ReadResp_ReadEvent) (event.RawRecorded, error) {
	r := m.GetEvent()
	if r == nil {
		r = m.GetLink()
	}
	id, err := fromUUID(r.GetId())
	if err != nil || r.GetCommitPosition() == math.MaxUint64 {
		return event.RawRecorded{}, fmt.Errorf("an event of %s without an id or a position: %w", r.GetStreamIdentifier().GetStreamName(), errNonsense)
	}
	return event.RawRecorded{
		Stream:   string(r.GetStreamIdentifier().GetStreamName()),
		Revision: event.Revision(r.GetStreamRevision()),
		Position: position(r),
		Raw:      event.Raw{ID: id, Type: r.GetMetadata()[metaType], Data: r.GetData(), Metadata: r.GetCustomMetadata()},
	}, nil
}

// position is where an answer says that something stands.
func position(at interface {
	GetCommitPosition() uint64
	GetPreparePosition() uint64
}) event.Position {
	return event.Position{Commit: at.GetCommitPosition(), Prepare: at.GetPreparePosition()}
}

// toUUID writes an id as two halves, the most significant byte first.
func toUUID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func fromUUID(u *shared.UUID) (id uuid.UUID, err error) {
	switch v := u.GetValue().(type) {
	case *shared.UUID_Structured_:
		binary.BigEndian.PutUint64(id[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return id, nil
	case *shared.UUID_String_:
		return uuid.Parse(v.String_)
	}
	return id, errNonsense
}
