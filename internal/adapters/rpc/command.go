package rpc

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
)

// actor is who asks for what comes through this package, until callers have names.
const actor = "api"

// request makes the aggregate's request of an API request at now.
func request(m interface {
	proto.Message
	GetRequestId() string
}, now time.Time) aggregate.Request {
	return aggregate.Request{ID: m.GetRequestId(), Hash: contentHash(m), Actor: actor, At: now, Expected: expected(m)}
}

// expected is the revision that a request names; nil if it names none.
func expected(m proto.Message) *event.Revision {
	fd := m.ProtoReflect().Descriptor().Fields().ByName("expected_revision")
	if fd == nil || !m.ProtoReflect().Has(fd) {
		return nil
	}
	r := event.Revision(m.ProtoReflect().Get(fd).Int())
	return &r
}

// contentHash is the hash of what a request asks for: without its id, how long its caller waits and whether it is only
// a question, and with its name, because two different commands on one subscription can have the same bytes.
func contentHash(m proto.Message) [32]byte {
	c := proto.Clone(m)
	r := c.ProtoReflect()
	for _, name := range []protoreflect.Name{"request_id", "wait", "validate_only"} {
		if fd := r.Descriptor().Fields().ByName(name); fd != nil {
			r.Clear(fd)
		}
	}
	content := aggregate.HashOf(c)
	return sha256.Sum256(append([]byte(r.Descriptor().FullName()), content[:]...))
}

// givenOr is the id that the caller chose, or else one that follows from who asked for what: the same request makes
// the same thing.
func givenOr(given, prefix, merchant, requestID string) string {
	if given != "" {
		return given
	}
	sum := sha256.Sum256([]byte(merchant + "\x00" + requestID))
	return prefix + "_" + hex.EncodeToString(sum[:16])
}
