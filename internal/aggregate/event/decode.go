package event

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Decode reads a stored event, whichever version of the program stored it. A type that it does not know is
// ErrUnknownKind; a field that it does not know is an error too, for skipping it could skip money.
func Decode(r RawRecorded) (Recorded, error) { return decode(r, upcast) }

func decode(r RawRecorded, up func(typ string, data []byte) (string, []byte, error)) (Recorded, error) {
	typ, data, err := up(r.Type, r.Data)
	if err != nil {
		return Recorded{}, fmt.Errorf("upcast %s at revision %d of %s: %w", r.Type, r.Revision, r.Stream, err)
	}
	kind, ok := kinds[typ]
	if !ok {
		return Recorded{}, fmt.Errorf("%w: %q at revision %d of %s", ErrUnknownKind, typ, r.Revision, r.Stream)
	}
	e := &ledgerv1.Event{Metadata: &ledgerv1.Metadata{}}
	if err := unmarshal(data, e.ProtoReflect().Mutable(kind.desc).Message(), kind.shape); err != nil {
		return Recorded{}, fmt.Errorf("decode %s at revision %d of %s: %w", typ, r.Revision, r.Stream, err)
	}
	if err := unmarshal(r.Metadata, e.Metadata.ProtoReflect(), metadataShape); err != nil {
		return Recorded{}, fmt.Errorf("decode metadata at revision %d of %s: %w", r.Revision, r.Stream, err)
	}
	return Recorded{Stream: r.Stream, Revision: r.Revision, Position: r.Position, ID: r.ID, Event: e}, nil
}

// unmarshal reads protobuf JSON into an empty message. What Encode writes is read fast; anything else, and all that
// is wrong, is left to protojson, whose word is final.
func unmarshal(data []byte, m protoreflect.Message, s *shape) error {
	if readJSON(data, m, s) {
		return nil
	}
	proto.Reset(m.Interface())
	return protojson.Unmarshal(data, m.Interface())
}
