package esdbtest

import (
	"context"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A node is what the service asks of the server around it.
type node interface {
	// leader says whether this node leads, and else where the one does that it follows, if it knows of one.
	leader() (isLeader bool, host string, port int, known bool)
	canRead(ctx context.Context, stream string) error  // "$all" for the whole log
	canWrite(ctx context.Context, stream string) error // deletions too
	done() <-chan struct{}                             // the node stops
}

// A forwarder is a node that passes on to its leader what is written to it. Another one that does not lead answers as
// if the leader did not.
type forwarder interface {
	forward() *Store // the leader's; nil if it cannot be reached
}

// alone is a node without a cluster, to which everything is allowed.
type alone struct{}

func (alone) leader() (bool, string, int, bool)      { return true, "", 0, true }
func (alone) canRead(context.Context, string) error  { return nil }
func (alone) canWrite(context.Context, string) error { return nil }
func (alone) done() <-chan struct{}                  { return nil }

// service answers the calls of Streams. BatchAppend is not built.
type service struct {
	streams.UnimplementedStreamsServer
	store *Store
	node  node
}

func registerStreams(r grpc.ServiceRegistrar, s *Store, n node) {
	streams.RegisterStreamsServer(r, &service{store: s, node: n})
}

// requireLeader refuses a call that only the leader may answer, by its header, where this node is none.
func (s *service) requireLeader(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	required := false
	if v := md.Get("requires-leader"); len(v) > 0 {
		required, _ = strconv.ParseBool(v[0])
	}
	isLeader, host, port, known := s.node.leader()
	switch {
	case !required || isLeader:
		return nil
	case !known:
		return errNoLeader()
	}
	return errNotLeader(host, port)
}

// writable returns the log that takes what is written to this node.
func (s *service) writable(ctx context.Context) (*Store, error) {
	if err := s.requireLeader(ctx); err != nil {
		return nil, err
	}
	isLeader, _, _, known := s.node.leader()
	if isLeader {
		return s.store, nil
	}
	if !known {
		return nil, errNotReady()
	}
	if f, ok := s.node.(forwarder); ok {
		if leader := f.forward(); leader != nil {
			return leader, nil
		}
	}
	if err := s.wait(ctx, s.store.CommitTimeout); err != nil {
		return nil, err
	}
	return nil, errTimeout("Forward timeout")
}

// stopped is what a call hears that is under way when the node stops.
func stopped() error { return status.Error(codes.Unavailable, "the server shuts down") }
