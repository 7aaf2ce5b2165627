package esdbtest

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Delete implements the call.
func (s *service) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	p, err := s.remove(ctx, o.GetStreamIdentifier(), o, (*Store).Delete)
	if err != nil {
		return nil, answerError(ctx, err)
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{Position: &streams.DeleteResp_Position{
		CommitPosition: p, PreparePosition: p,
	}}}, nil
}

// Tombstone implements the call.
func (s *service) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	p, err := s.remove(ctx, o.GetStreamIdentifier(), o, (*Store).Tombstone)
	if err != nil {
		return nil, answerError(ctx, err)
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{Position: &streams.TombstoneResp_Position{
		CommitPosition: p, PreparePosition: p,
	}}}, nil
}

func (s *service) remove(ctx context.Context, id *shared.StreamIdentifier, o expecting, do func(*Store, string, Expected) (Outcome, error)) (uint64, error) {
	stream := string(id.GetStreamName())
	expected, err := readExpected(o)
	if err != nil {
		return 0, err
	}
	if err := s.node.canWrite(ctx, stream); err != nil {
		return 0, err
	}
	if stream == "" || stream == "$$" {
		return 0, errThrown()
	}
	out, err := s.write(ctx, func(log *Store) (Outcome, error) { return do(log, stream, expected) })
	var w *WrongVersionError
	switch {
	case errors.As(err, &w):
		return 0, errWrongVersion("Delete", stream, w) // so for both
	case errors.Is(err, ErrStreamDeleted):
		return 0, errDeleted(stream)
	}
	return uint64(out.Position), err
}
