package esdbtest

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
)

// Conflict answers an append that its stream is at another revision, whatever is true: what a repeated append meets
// whose first try was written, at a server that can no longer compare it with what stands there.
func Conflict(current uint64) Action {
	return func(c *call) error {
		return c.send(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{
			WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{
				CurrentRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: current},
				CurrentRevisionOption:        &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: current},
				ExpectedRevisionOption:       &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}},
			},
		}})
	}
}

// WrongAppended says of an append that its last event got the revision after its own: a lie.
func WrongAppended(c *call) error {
	return c.serve(c.ctx, func(m proto.Message) error {
		if r, ok := m.(*streams.AppendResp); ok {
			if s, ok := r.GetSuccess().GetCurrentRevisionOption().(*streams.AppendResp_Success_CurrentRevision); ok {
				s.CurrentRevision++
			}
		}
		return c.send(m)
	})
}
