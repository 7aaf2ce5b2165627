package esdbtest

import (
	"context"
	"errors"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A reader is one call of Read.
type reader struct {
	*service
	encoder
	ctx  context.Context
	send func(*streams.ReadResp) error
}

// Read implements the call, which is six: of a stream or of all, onwards or back, or onwards without end.
func (s *service) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	o := req.GetOptions()
	r := reader{service: s, ctx: call.Context(), send: call.Send, encoder: encoder{
		log: s.store, stringIDs: o.GetUuidOption().GetString_() != nil, resolve: o.GetResolveLinks(),
	}}
	return answerError(call.Context(), r.read(o))
}

func (r reader) read(o *streams.ReadReq_Options) error {
	if o.GetUuidOption() == nil {
		return status.Error(codes.InvalidArgument, " `uuidOption` is a required argument of type UUIDOption")
	}
	stream := "$all"
	switch of := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		stream = string(of.Stream.GetStreamIdentifier().GetStreamName())
	case nil:
		return status.Error(codes.InvalidArgument, "'None' is not a valid stream option")
	}
	if err := r.node.canRead(r.ctx, stream); err != nil {
		return err
	}
	_, count := o.GetCountOption().(*streams.ReadReq_Options_Count)
	_, unfiltered := o.GetFilterOption().(*streams.ReadReq_Options_NoFilter)
	all, forwards := o.GetAll() != nil, o.GetReadDirection() == streams.ReadReq_Options_Forwards
	switch {
	case o.GetCountOption() == nil, o.GetFilterOption() == nil, !all && !unfiltered, !count && !forwards:
		return status.Errorf(codes.InvalidArgument, "The combination of (%T, %T, %v, %T) is invalid.",
			o.GetStreamOption(), o.GetCountOption(), o.GetReadDirection(), o.GetFilterOption())
	case all && count:
		return r.readAll(o)
	case all:
		return r.subscribeAll(o)
	case count:
		return r.readStream(stream, o)
	}
	return r.subscribeStream(stream, o)
}

// allOptions are where a reader of all begins and what it is to be told.
type allOptions struct {
	from    place // head for the end
	start   bool
	allowed filter
	window  int
	results string // how the server names what comes of it
}

func readAllOptions(o *streams.ReadReq_Options) (allOptions, error) {
	a := allOptions{allowed: notHidden, window: math.MaxInt, results: "ReadAllResult"}
	switch from := o.GetAll().GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
		a.start = true
	case *streams.ReadReq_Options_AllOptions_End:
		a.from = head
	case *streams.ReadReq_Options_AllOptions_Position:
		commit, ok1 := number(from.Position.GetCommitPosition())
		prepare, ok2 := number(from.Position.GetPreparePosition())
		if !ok1 || !ok2 || from.Position.GetCommitPosition() < from.Position.GetPreparePosition() {
			return a, errThrown()
		}
		a.from = place{commit, prepare}
	default:
		return a, errThrown()
	}
	f := o.GetFilter()
	if f == nil {
		return a, nil
	}
	a.results = "FilteredReadAllResult"
	var err error
	if a.allowed, err = newFilter(f); err != nil {
		return a, err
	}
	a.window, err = window(f)
	return a, err
}

func (r reader) readAll(o *streams.ReadReq_Options) error {
	a, err := readAllOptions(o)
	if err != nil {
		return err
	}
	read := r.store.allForwards
	if o.GetReadDirection() == streams.ReadReq_Options_Backwards {
		read = r.store.allBackwards
	}
	left := o.GetCount()
	if left == 0 {
		return errUnknownResult(a.results, "Error")
	}
	for size := int(min(left, pageSize)); ; {
		if err := r.requireLeader(r.ctx); err != nil {
			return err
		}
		page, err := read(a.from, size, a.window, a.allowed)
		switch {
		case errors.Is(err, errInvalidPosition): // a subscription says it better
			return errUnknownResult(a.results, "InvalidPosition")
		case err != nil:
			return errUnknownResult(a.results, "Error")
		}
		for _, e := range page.events {
			if err := r.send(r.event(e)); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		if page.end {
			return nil
		}
		a.from = page.next
	}
}

// revision reads where a reader of a stream begins: -1 for its end.
func revision(o *streams.ReadReq_Options_StreamOptions) (from int64, start bool, err error) {
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Start:
		return 0, true, nil
	case *streams.ReadReq_Options_StreamOptions_End:
		return -1, false, nil
	case *streams.ReadReq_Options_StreamOptions_Revision:
		if n, ok := number(at.Revision); ok {
			return n, false, nil
		}
	}
	return 0, false, errThrown()
}

func (r reader) readStream(stream string, o *streams.ReadReq_Options) error {
	from, _, err := revision(o.GetStream())
	if err != nil {
		return err
	}
	read, forwards := r.store.streamBackwards, o.GetReadDirection() == streams.ReadReq_Options_Forwards
	if forwards {
		read = r.store.streamForwards
	}
	left := o.GetCount()
	if left == 0 || forwards && from < 0 {
		return errUnknownResult("ReadStreamResult", "Error")
	}
	tellEnds := o.GetControlOption().GetCompatibility() >= 1
	for size, first := int(min(left, pageSize)), true; ; first = false {
		if err := r.requireLeader(r.ctx); err != nil {
			return err
		}
		page := read(stream, from, size)
		if page.state == streamTombstoned {
			return errDeleted(stream)
		}
		if page.state == streamNotFound {
			return r.send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
				StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: streamName(stream)},
			}})
		}
		if tellEnds && forwards && first && len(page.events) == 0 && page.next != from {
			if err := r.send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: uint64(page.next)}}); err != nil {
				return err
			}
		}
		for _, e := range page.events[:min(uint64(len(page.events)), left)] {
			if err := r.send(r.event(e)); err != nil {
				return err
			}
			left--
		}
		if !page.end && left > 0 {
			from = page.next
			continue
		}
		if !tellEnds {
			return nil
		}
		return r.send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(page.last)}})
	}
}
