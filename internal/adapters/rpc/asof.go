package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"ledger.internal/ledger/internal/aggregate"
)

// asOf reads the instant as of which a view is asked for; zero, for a field that is left out, is now. What will be
// known in the future nobody can say: the answer would change until then, and so it is refused. Views know whole
// microseconds.
func (s *Server) asOf(field *timestamppb.Timestamp) (time.Time, error) {
	if field == nil {
		return time.Time{}, nil
	}
	at := instant(field).Truncate(time.Microsecond)
	if at.After(s.Clock.Now()) {
		return time.Time{}, aggregate.InvalidField("as_of", "AS_OF_IN_FUTURE", "is in the future; leave it out for now")
	}
	return at, nil
}
