package event

import (
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// namespace makes the ids of events; it must never change.
var namespace = uuid.MustParse("5f0c7d5e-3f53-4d51-8f5f-6f1f0f2c9a6b")

// ID is the id of the n-th event that a request makes in a stream: the same request makes the same ids.
func ID(stream, requestID string, n int) uuid.UUID {
	name := make([]byte, 0, len(stream)+len(requestID)+8)
	name = append(name, stream...)
	name = append(name, 0)
	name = append(name, requestID...)
	name = append(name, 0)
	name = strconv.AppendInt(name, int64(n), 10)
	return uuid.NewSHA1(namespace, name)
}

// Encode makes the stored form of the event that follows, in its stream, the one whose hash is prev (nil for the
// first), and sets e.Metadata.Hash. It refuses what could not be read again as it was meant: no kind, no metadata,
// an enum left unspecified.
func Encode(prev []byte, stream string, rev Revision, id uuid.UUID, e *ledgerv1.Event) (Raw, error) {
	typ := TypeName(e)
	kind, ok := kinds[typ]
	if !ok {
		return Raw{}, fmt.Errorf("encode: %w: event has no kind", ErrInvalidArgument)
	}
	if e.Metadata == nil {
		return Raw{}, fmt.Errorf("encode %s: %w: event has no metadata", typ, ErrInvalidArgument)
	}
	data, err := appendJSON(nil, e.ProtoReflect().Get(kind.desc).Message(), kind.shape)
	if err != nil {
		return Raw{}, fmt.Errorf("encode %s: %w: %w", typ, ErrInvalidArgument, err)
	}
	e.Metadata.Hash = nil
	metadata, err := appendJSON(nil, e.Metadata.ProtoReflect(), metadataShape)
	if err != nil {
		return Raw{}, fmt.Errorf("encode metadata of %s: %w: %w", typ, ErrInvalidArgument, err)
	}
	r := RawRecorded{Stream: stream, Revision: rev, Raw: Raw{ID: id, Type: typ, Data: data, Metadata: metadata}}
	hash := chain(prev, r)
	e.Metadata.Hash = hash[:]
	r.Metadata = withHash(metadata, hash)
	return r.Raw, nil
}

// withHash adds the hash as the last key, so that the bytes it covers are found by cutting a suffix.
func withHash(metadata []byte, hash [32]byte) []byte {
	metadata = metadata[:len(metadata)-1]
	key := hashKey
	if len(metadata) == 1 {
		key = hashKey[1:] // no comma in front of the only key
	}
	metadata = append(metadata, key...)
	metadata = base64.StdEncoding.AppendEncode(metadata, hash[:])
	return append(metadata, `"}`...)
}
