package esdbtest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Types of the server's own events.
const (
	typeMetadata  = "$metadata"
	typeTombstone = "$streamDeleted"
	typeLink      = "$>"
)

func isMeta(stream string) bool       { return strings.HasPrefix(stream, "$$") }
func metaOf(stream string) string     { return "$$" + stream }
func originalOf(stream string) string { return strings.TrimPrefix(stream, "$$") }

// streamMetadata is what the last event of a stream's metadata stream says, as far as it changes what readers of the stream
// see. Readers of $all see everything until somebody scavenges, which nobody does here.
type streamMetadata struct {
	maxCount int64 // the last so many; 0: no bound
	maxAge   time.Duration
	before   int64 // truncate before this number
}

// parseMetadata is of the server's leniency: what cannot be read says nothing.
func parseMetadata(data []byte) streamMetadata {
	var m struct {
		MaxCount int64 `json:"$maxCount"`
		MaxAge   int64 `json:"$maxAge"`
		Before   int64 `json:"$tb"`
	}
	if json.Unmarshal(data, &m) != nil {
		return streamMetadata{}
	}
	age := min(m.MaxAge, math.MaxInt64/int64(time.Second))
	return streamMetadata{maxCount: max(m.MaxCount, 0), maxAge: time.Duration(max(age, 0)) * time.Second, before: max(m.Before, 0)}
}

// metadataAt returns a stream's metadata by those of its places that count. Of a metadata stream only the last event
// is ever shown.
func (s *Store) metadataAt(stream string, of func(string) []int) streamMetadata {
	if isMeta(stream) {
		return streamMetadata{maxCount: 1}
	}
	places := of(metaOf(stream))
	if len(places) == 0 {
		return streamMetadata{}
	}
	return parseMetadata(s.log[places[len(places)-1]].Data)
}

func (s *Store) written(stream string) []int { return s.streams[stream] }

// softDeleted says whether whoever writes finds the stream deleted.
func (s *Store) softDeleted(stream string) bool {
	return s.metadataAt(stream, s.written).before == deletedNumber
}

// metaOfDeleted says whether stream is the metadata stream of one that is softly deleted: writing to it brings back
// the other.
func (s *Store) metaOfDeleted(stream string) bool {
	return isMeta(stream) && s.softDeleted(originalOf(stream))
}

// undelete rewrites the stream's metadata so that it begins at a number. What else they say stays.
//
// EventStoreDB: StorageWriterService.SoftUndeleteStream.
func (s *Store) undelete(stream string, from int64) {
	places := s.streams[metaOf(stream)]
	var fields map[string]json.RawMessage
	if len(places) == 0 || json.Unmarshal(s.log[places[len(places)-1]].Data, &fields) != nil || fields == nil {
		return
	}
	fields["$tb"] = fmt.Appendf(nil, "%d", from)
	data, err := json.Marshal(fields)
	if err != nil {
		return
	}
	s.put(metaOf(stream), Proposed{ID: uuid.New(), Type: typeMetadata, ContentType: contentJSON, Data: data})
}

// SetMetadata appends metadata to a stream, whatever they were.
func (s *Store) SetMetadata(stream, json string) error {
	_, err := s.Append(metaOf(stream), Any, []Proposed{{ID: uuid.New(), Type: typeMetadata, ContentType: contentJSON, Data: []byte(json)}})
	return err
}

// Delete deletes a stream softly: it reads as if it did not exist, until somebody appends to it. What was in it stays
// in $all, and its numbers go on.
func (s *Store) Delete(stream string, expected Expected) (Outcome, error) {
	return s.remove(stream, expected, func() (Outcome, error) {
		if s.last(stream) < 0 && s.last(metaOf(stream)) < 0 {
			return Outcome{}, &WrongVersionError{Expected: expected, Current: -1}
		}
		meta := metaOf(stream)
		data := fmt.Appendf(nil, `{"$tb":%d}`, int64(deletedNumber))
		return s.putOwn(meta, s.last(meta)+1, Proposed{Type: typeMetadata, ContentType: contentJSON, Data: data}), nil
	})
}

// Tombstone deletes a stream for ever.
func (s *Store) Tombstone(stream string, expected Expected) (Outcome, error) {
	return s.remove(stream, expected, func() (Outcome, error) {
		return s.putOwn(stream, deletedNumber, Proposed{Type: typeTombstone}), nil
	})
}

// remove checks as for an append of an event that nobody wrote before.
func (s *Store) remove(stream string, expected Expected, put func() (Outcome, error)) (Outcome, error) {
	return s.commit(func() (Outcome, error) {
		v := s.check(stream, expected, []uuid.UUID{uuid.New()})
		switch v.decision {
		case accepted:
			return put()
		case deleted:
			return Outcome{}, ErrStreamDeleted
		}
		return Outcome{}, &WrongVersionError{Expected: expected, Current: v.current}
	})
}

// putOwn adds an event of the server's own.
func (s *Store) putOwn(stream string, number int64, e Proposed) Outcome {
	e.ID = uuid.New()
	out := Outcome{Revision: number, Position: int64(s.end), last: e.ID}
	s.putAt(stream, number, e)
	return out
}

// replicated says whether readers see what the append wrote.
func (s *Store) replicated(out Outcome) (yes bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearchFunc(s.log[:s.shown], uint64(out.Position), byPosition)
	return found && s.log[i].ID == out.last, s.changed
}
