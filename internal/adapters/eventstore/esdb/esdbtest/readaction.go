package esdbtest

import (
	"context"
	"errors"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The actions below happen to the answers of reads and subscriptions. A message is any answer, the confirmation of a
// subscription included; events are counted alone. Both are counted from 1, per call.

var errEnough = errors.New("esdbtest: the fault has what it wants")

// cutAfter serves n messages, then ends by end.
func cutAfter(n int, end func(*call) error) Action {
	return func(c *call) error {
		ctx, cancel := context.WithCancel(c.ctx)
		defer cancel()
		sent, cut := 0, n == 0
		if cut {
			return end(c)
		}
		err := c.serve(ctx, func(m proto.Message) error {
			if err := c.send(m); err != nil {
				return err
			}
			if sent++; sent < n {
				return nil
			}
			cut = true
			cancel()
			return errEnough
		})
		if cut {
			return end(c)
		}
		return err
	}
}

// DropAfter resets the stream after n messages; the connection stays.
func DropAfter(n int) Action { return cutAfter(n, func(*call) error { return errCut }) }

// ResetAfter resets the connection after n messages, of which the last ones may be lost with it.
func ResetAfter(n int) Action {
	return cutAfter(n, func(c *call) error {
		c.reset()
		return errLost
	})
}

// CloseAfter ends the call with OK after n messages. For a subscription that is what some proxies do when they shut
// down; for a read it is a lie that no server tells, a truncation that a client cannot see from the protocol alone.
func CloseAfter(n int) Action { return cutAfter(n, func(*call) error { return nil }) }

// StallAfter sends nothing more after n messages, until the client gives up: a queue of the server is stuck while its
// connections live.
func StallAfter(n int) Action { return cutAfter(n, (*call).hang) }

// UnavailableAfter ends a read or subscription by an error after n messages, as a node does that shuts down.
func UnavailableAfter(n int) Action { return cutAfter(n, NotReady) }

// DeniedAfter ends a subscription after n messages as the real server does when rights are taken away.
func DeniedAfter(n int) Action { return cutAfter(n, Denied) }

// Slow waits before each message: a disk that is read from cold, or a thin line.
func Slow(d time.Duration) Action {
	return func(c *call) error {
		return c.serve(c.ctx, func(m proto.Message) error {
			wait := time.NewTimer(d)
			defer wait.Stop()
			select {
			case <-wait.C:
				return c.send(m)
			case <-c.ctx.Done():
				return c.ctx.Err()
			case <-c.dead:
				return errLost
			}
		})
	}
}

// changeEvent serves, with f in the place of sending the n-th event. The service makes its messages anew for each call,
// and so they may be changed.
func changeEvent(n int, f func(c *call, m *streams.ReadResp, e *streams.ReadResp_ReadEvent_RecordedEvent) error) Action {
	return func(c *call) error {
		events := 0
		return c.serve(c.ctx, func(m proto.Message) error {
			if r, ok := m.(*streams.ReadResp); ok && r.GetEvent() != nil {
				if events++; events == n {
					return f(c, r, r.GetEvent().GetEvent())
				}
			}
			return c.send(m)
		})
	}
}

// Duplicate sends the n-th event twice. The real server does not within one subscription; a consumer that resumes
// from an older checkpoint sees the like.
func Duplicate(n int) Action {
	return changeEvent(n, func(c *call, m *streams.ReadResp, _ *streams.ReadResp_ReadEvent_RecordedEvent) error {
		if err := c.send(m); err != nil {
			return err
		}
		return c.send(m)
	})
}

// Gap leaves the n-th event out: a lie, and the worst one.
func Gap(n int) Action {
	return changeEvent(n, func(*call, *streams.ReadResp, *streams.ReadResp_ReadEvent_RecordedEvent) error { return nil })
}

// OtherID gives the n-th event another id: what a client sees of a log that was restored from a backup and written on.
func OtherID(n int) Action {
	return changeEvent(n, func(c *call, m *streams.ReadResp, e *streams.ReadResp_ReadEvent_RecordedEvent) error {
		e.Id = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
			MostSignificantBits: 0x0ddba11, LeastSignificantBits: int64(n),
		}}}
		return c.send(m)
	})
}

// WrongRevision gives the n-th event the revision after its own: a lie.
func WrongRevision(n int) Action {
	return changeEvent(n, func(c *call, m *streams.ReadResp, e *streams.ReadResp_ReadEvent_RecordedEvent) error {
		e.StreamRevision++
		return c.send(m)
	})
}

// OtherVersion answers GetSupportedMethods with another version: "25.0.0-prerelease" is what builds between releases
// say.
func OtherVersion(version string) Action {
	return func(c *call) error {
		return c.serve(c.ctx, func(m proto.Message) error {
			if r, ok := m.(*serverfeatures.SupportedMethods); ok {
				r.EventStoreServerVersion = version
			}
			return c.send(m)
		})
	}
}

// Earlier starts a subscription up to k events before the place that was asked for: what a client sees that is sent
// to a log whose positions moved, and a test that it tells what it has already had.
func Earlier(k int) Action {
	return func(c *call) error {
		req, ok := c.request.(*streams.ReadReq)
		if !ok {
			return status.Error(codes.Internal, "esdbtest: Earlier is for reads")
		}
		after, given := asked(req)
		if !given || c.wire == nil {
			return c.serve(c.ctx, c.send)
		}
		c.wire.ahead[0] = fromTheFirst(req)
		r := rewound{after: after, keep: k, send: c.send}
		return c.serve(c.ctx, r.pass)
	}
}

// A mark is what a subscription starts after: a position of $all, or a revision of a stream in commit alone.
type mark struct {
	all             bool
	commit, prepare uint64
}

func asked(req *streams.ReadReq) (mark, bool) {
	if p := req.GetOptions().GetAll().GetPosition(); p != nil {
		return mark{all: true, commit: p.GetCommitPosition(), prepare: p.GetPreparePosition()}, true
	}
	if r, ok := req.GetOptions().GetStream().GetRevisionOption().(*streams.ReadReq_Options_StreamOptions_Revision); ok {
		return mark{commit: r.Revision}, true
	}
	return mark{}, false
}

func fromTheFirst(req *streams.ReadReq) *streams.ReadReq {
	req = proto.Clone(req).(*streams.ReadReq)
	if all := req.GetOptions().GetAll(); all != nil {
		all.AllOption = &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}
	} else {
		req.GetOptions().GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}
	}
	return req
}

// rewound passes on what comes after a mark, and the last few events before it.
type rewound struct {
	after  mark
	keep   int
	send   func(proto.Message) error
	recent []proto.Message
	there  bool
}

func (r *rewound) pass(m proto.Message) error {
	resp, ok := m.(*streams.ReadResp)
	if !ok || r.there || resp.GetConfirmation() != nil {
		return r.send(m)
	}
	if e := resp.GetEvent().GetEvent(); e != nil && !r.after.before(e) {
		r.recent = append(r.recent, m)
		r.recent = r.recent[max(0, len(r.recent)-r.keep):]
		return nil
	}
	if p := resp.GetCheckpoint(); p != nil && !r.after.beforePosition(p.GetCommitPosition(), p.GetPreparePosition()) {
		return nil
	}
	r.there = true
	for _, old := range r.recent {
		if err := r.send(old); err != nil {
			return err
		}
	}
	r.recent = nil
	return r.send(m)
}

func (p mark) before(e *streams.ReadResp_ReadEvent_RecordedEvent) bool {
	if p.all {
		return p.beforePosition(e.GetCommitPosition(), e.GetPreparePosition())
	}
	return p.commit < e.GetStreamRevision()
}

func (p mark) beforePosition(commit, prepare uint64) bool {
	return p.commit < commit || p.commit == commit && p.prepare < prepare
}
