package esdbtest

import (
	"context"
	"errors"
	"io"
	"math"
	"time"
	"unicode/utf16"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// largestRecord is the most that the log takes of one event, whatever the options say.
//
// EventStoreDB: TFConsts.EffectiveMaxLogRecordSize.
const largestRecord = 16<<20 - 10_000

// Append implements the call. The server reads all events before it writes any, and refuses what it must not write
// before it reads them.
func (s *service) Append(call streams.Streams_AppendServer) error {
	answer, err := s.append(call)
	if err != nil {
		return answerError(call.Context(), err)
	}
	return call.SendAndClose(answer)
}

func (s *service) append(call streams.Streams_AppendServer) (*streams.AppendResp, error) {
	first, err := call.Recv()
	if err != nil || first.GetOptions() == nil {
		return nil, errThrown()
	}
	stream := string(first.GetOptions().GetStreamIdentifier().GetStreamName())
	expected, err := readExpected(first.GetOptions())
	if err != nil {
		return nil, err
	}
	if err := s.node.canWrite(call.Context(), stream); err != nil {
		return nil, err
	}
	events, err := s.proposed(call)
	if err != nil {
		return nil, err
	}
	if stream == "" || stream == "$$" {
		return nil, errThrown()
	}
	out, err := s.write(call.Context(), func(log *Store) (Outcome, error) { return log.Append(stream, expected, events) })
	var w *WrongVersionError
	switch {
	case errors.As(err, &w):
		return wrongVersion(first.GetOptions(), w), nil
	case errors.Is(err, ErrStreamDeleted):
		return nil, errDeleted(stream)
	case err != nil:
		return nil, err
	}
	return success(out), nil
}

// expecting are the options of the three calls that expect something of a stream.
type expecting interface {
	GetRevision() uint64
	GetNoStream() *shared.Empty
	GetAny() *shared.Empty
	GetStreamExists() *shared.Empty
}

func readExpected(o expecting) (Expected, error) {
	switch {
	case o.GetNoStream() != nil:
		return NoStream, nil
	case o.GetAny() != nil:
		return Any, nil
	case o.GetStreamExists() != nil:
		return StreamExists, nil
	}
	revision, set := o.GetRevision(), true
	switch o := o.(type) {
	case *streams.AppendReq_Options:
		_, set = o.ExpectedStreamRevision.(*streams.AppendReq_Options_Revision)
	case *streams.DeleteReq_Options:
		_, set = o.ExpectedStreamRevision.(*streams.DeleteReq_Options_Revision)
	case *streams.TombstoneReq_Options:
		_, set = o.ExpectedStreamRevision.(*streams.TombstoneReq_Options_Revision)
	}
	n, ok := number(revision)
	switch {
	case !set:
		return 0, status.Error(codes.InvalidArgument, "'None' is not a valid expected revision")
	case !ok:
		return 0, errThrown()
	}
	return Expected(n), nil
}

// proposed reads the events of an append.
func (s *service) proposed(call streams.Streams_AppendServer) ([]Proposed, error) {
	var events []Proposed
	size := 0
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		m := req.GetProposedMessage()
		if m == nil {
			return nil, errThrown()
		}
		e, n, err := s.proposal(m)
		if err != nil {
			return nil, err
		}
		if size += n; size > s.store.MaxAppend {
			return nil, errAppendTooLarge(s.store.MaxAppend)
		}
		if e.Type == "" || n > largestRecord {
			return nil, errThrown()
		}
		var ok bool
		if e.ID, ok = readID(m.GetId()); !ok {
			return nil, errThrown()
		}
		events = append(events, e)
	}
}

// proposal reads an event but for its id, and says how large the server takes it to be.
func (s *service) proposal(m *streams.AppendReq_ProposedMessage) (Proposed, int, error) {
	e := Proposed{Data: m.GetData(), Metadata: m.GetCustomMetadata()}
	var ok bool
	if e.Type, ok = m.GetMetadata()["type"]; !ok {
		return e, 0, errPropertyMissing("type")
	}
	if e.ContentType, ok = m.GetMetadata()["content-type"]; !ok {
		return e, 0, errPropertyMissing("content-type")
	}
	size := len(e.Data) + len(e.Metadata) + 2*len(utf16.Encode([]rune(e.Type)))
	if size > s.store.MaxAppendEvent {
		id, _ := readID(m.GetId())
		return e, 0, errEventTooLarge(id.String(), size, s.store.MaxAppendEvent)
	}
	return e, size, nil
}

// write does something to the log that takes what is written to this node. What no quorum has is not answered: until
// it has one, or the server gives up.
func (s *service) write(ctx context.Context, do func(*Store) (Outcome, error)) (Outcome, error) {
	log, err := s.writable(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if ctx.Err() != nil { // the server looks for the last time before it writes
		return Outcome{}, status.FromContextError(ctx.Err()).Err()
	}
	out, err := do(log)
	if !errors.Is(err, ErrNotReplicated) {
		return out, err
	}
	timeout := time.NewTimer(log.CommitTimeout)
	defer timeout.Stop()
	for {
		yes, changed := log.replicated(out)
		if yes {
			return out, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return out, errTimeout("Commit phase timeout.")
		case <-ctx.Done():
			return out, status.FromContextError(ctx.Err()).Err()
		case <-s.node.done():
			return out, stopped()
		}
	}
}

// wait lets a time pass in which nothing is answered.
func (s *service) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.node.done():
		return stopped()
	}
}

func success(out Outcome) *streams.AppendResp {
	ok := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(out.Revision)},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: uint64(out.Position), PreparePosition: uint64(out.Position),
		}},
	}
	if out.Revision < 0 {
		ok.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}
	}
	if out.Position < 0 {
		ok.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: ok}}
}

// wrongVersion is an answer like success, and no error. Clients of before 20.6.1 read other fields of it.
func wrongVersion(o *streams.AppendReq_Options, e *WrongVersionError) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{
		CurrentRevisionOption:        &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(e.Current)},
		CurrentRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(e.Current)},
	}
	if e.Current == -1 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: &shared.Empty{}}
	}
	switch o.ExpectedStreamRevision.(type) {
	case *streams.AppendReq_Options_Any:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: &shared.Empty{}}
	case *streams.AppendReq_Options_StreamExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: &shared.Empty{}}
	case *streams.AppendReq_Options_NoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(e.Expected)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(e.Expected)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}
