package esdbtest

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// gossipService tells who is in the cluster, as this node sees it. A single node sees itself, leading.
type gossipService struct {
	gossip.UnimplementedGossipServer
	server *Server
}

func (g *gossipService) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	if m := g.server.machine; m != nil {
		return &gossip.ClusterInfo{Members: m.gossip()}, nil
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{member(g.server, gossip.MemberInfo_Leader, true)}}, nil
}

// member is how s is spoken of.
func member(s *Server, state gossip.MemberInfo_VNodeState, alive bool) *gossip.MemberInfo {
	host, port := s.endpoint()
	return &gossip.MemberInfo{
		InstanceId:   instance(s.Addr()),
		TimeStamp:    time.Now().UnixNano() / 100, // in ticks, like every time of the protocol
		State:        state,
		IsAlive:      alive,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: port},
	}
}

// instance makes an id that a node keeps.
func instance(addr string) *shared.UUID {
	h := fnv.New128a()
	_, _ = h.Write([]byte(addr)) // never fails
	sum := h.Sum(nil)
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(sum[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(sum[8:])),
	}}}
}
