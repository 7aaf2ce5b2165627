package esdbtest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A filter says which events of $all are told.
type filter func(Record) bool

// notHidden is the filter of who asks for none: other streams of the server's own are not hidden.
//
// EventStoreDB: EventFilter.DefaultAllFilter.
func notHidden(r Record) bool {
	group := strings.HasPrefix(r.Stream, "$persistentsubscription-$all::") &&
		(strings.HasSuffix(r.Stream, "-checkpoint") || strings.HasSuffix(r.Stream, "-parked"))
	return r.Stream != epochs && !group
}

// newFilter reads a filter of the protocol. It comes on top of notHidden.
func newFilter(f *streams.ReadReq_Options_FilterOptions) (filter, error) {
	switch f.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		return expression(f.GetStreamIdentifier(), func(r Record) string { return r.Stream })
	case *streams.ReadReq_Options_FilterOptions_EventType:
		return expression(f.GetEventType(), func(r Record) string { return r.Type })
	}
	return nil, status.Error(codes.InvalidArgument, "'filter' is not valid")
}

func expression(e *streams.ReadReq_Options_FilterOptions_Expression, of func(Record) string) (filter, error) {
	if e.GetRegex() == "" {
		return func(r Record) bool {
			return notHidden(r) && slices.ContainsFunc(e.GetPrefix(), func(p string) bool { return strings.HasPrefix(of(r), p) })
		}, nil
	}
	re, err := regexp.Compile(e.GetRegex())
	if err != nil {
		// The server's expressions are .NET's: it may know this one.
		return nil, status.Errorf(codes.Unimplemented, "esdbtest knows the expressions of RE2 only: %v", err)
	}
	return func(r Record) bool { return notHidden(r) && re.MatchString(of(r)) }, nil
}

// window is how many events the server considers at a time for a filter.
func window(f *streams.ReadReq_Options_FilterOptions) (int, error) {
	switch f.GetWindow().(type) {
	case *streams.ReadReq_Options_FilterOptions_Count:
		return pageSize, nil
	case *streams.ReadReq_Options_FilterOptions_Max:
		if f.GetMax() == 0 {
			return 0, errThrown() // the server would look at nothing, for ever
		}
		return int(f.GetMax()), nil
	}
	return 0, status.Error(codes.InvalidArgument, "'None' is not a valid window")
}
