package esdbtest

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The answers below end a call before the service saw it: nothing was written.

// NotReady is the answer of a node that starts, or that is between two roles.
func NotReady(*call) error { return errNotReady() }

// TooBusy is the answer of a node whose queues are full.
func TooBusy(*call) error { return status.Error(codes.Unavailable, "Server Is Too Busy") }

// UsersNotLoaded is the answer of a node that has not read its users yet, for its first seconds. It asks clients not
// to retry by themselves.
func UsersNotLoaded(c *call) error {
	_ = grpc.SetTrailer(c.ctx, grpcmetadata.Pairs("grpc-retry-pushback-ms", "-1")) // fails only outside a call
	return status.Error(codes.Unavailable, "Server not ready")
}

// AbortBefore is the answer to an append that did not reach a majority in time and never will: the leader was cut off
// while it wrote, and its tail is truncated when it returns.
func AbortBefore(*call) error { return errTimeout(prepareTimeout) }

// NotLeader is the answer of a follower to a call that requires the leader, with the leader's address.
func NotLeader(host string, port int) Action {
	return func(c *call) error { return answerError(c.ctx, errNotLeader(host, port)) }
}

// NoLeader is the answer to a call that requires the leader while one is being elected.
func NoLeader(*call) error { return errNoLeader() }

// Denied is the answer to a user without rights. As in the real server it comes before an append's events are read,
// and a client that is still sending them learns of it by EOF.
func Denied(c *call) error { return answerError(c.ctx, errAccessDenied()) }

// Unauthenticated is the answer to a wrong name or password.
func Unauthenticated(*call) error { return errUnauthenticated() }

// NoAnswer leaves the call unserved and unanswered until its client gives up: a request lost in a queue of a server
// that was paused too long.
func NoAnswer(c *call) error { return c.hang() }

// The answers below come after the service has done its work: an append that it took is written.

// The texts of timeouts say which phase of the write was not over in time, which tells a client nothing about
// whether it will be.
const (
	prepareTimeout = "Prepare phase timeout."
	commitTimeout  = "Commit phase timeout."
)

// AbortAfter is the answer to an append that was committed too late for its caller.
func AbortAfter(c *call) error {
	if err := c.serve(c.ctx, discard); err != nil {
		return err
	}
	return errTimeout(commitTimeout)
}

// AnswerLost resets the connection once the service has answered: a crash, or a cut cable, just after the write.
func AnswerLost(c *call) error {
	err := c.serve(c.ctx, discard)
	c.reset()
	if err != nil {
		return err
	}
	return errLost
}

// AnswerCut ends the stream alone once the service has answered, and leaves the connection to the other calls: what
// Kestrel does to a call whose handler it gave up.
func AnswerCut(c *call) error {
	if err := c.serve(c.ctx, discard); err != nil {
		return err
	}
	return errCut
}

// errCut is the status that grpc-go gives a client for a stream that was reset. The frame itself cannot be sent from
// a handler; no caller can tell the difference.
var errCut = status.Error(codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR")

// NoAnswerAfter serves the call, and keeps the answer until its client gives up.
func NoAnswerAfter(c *call) error {
	if err := c.serve(c.ctx, discard); err != nil {
		return err
	}
	return c.hang()
}

func discard(proto.Message) error { return nil }

func (c *call) hang() error {
	select {
	case <-c.ctx.Done():
		return status.FromContextError(c.ctx.Err()).Err()
	case <-c.dead:
		return errLost
	}
}

// A Gate holds calls until it is opened, for tests that need something to happen meanwhile. Its methods Before, After
// and Late are Actions.
type Gate struct {
	arrived chan struct{}
	opened  chan struct{}
	once    sync.Once
}

// NewGate is a closed gate.
func NewGate() *Gate {
	return &Gate{arrived: make(chan struct{}, 1024), opened: make(chan struct{})}
}

// Arrived carries a value for each call that came to the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Open lets all calls pass, also those to come.
func (g *Gate) Open() { g.once.Do(func() { close(g.opened) }) }

// Before holds a call before it is served. It is dropped if its client gives up meanwhile, as the real server drops a
// request that its writer has not picked up.
func (g *Gate) Before(c *call) error {
	if err := g.wait(c, c.ctx.Done()); err != nil {
		return err
	}
	return c.serve(c.ctx, c.send)
}

// After serves the call and holds the answer.
func (g *Gate) After(c *call) error {
	var answers []proto.Message
	err := c.serve(c.ctx, func(m proto.Message) error {
		answers = append(answers, m)
		return nil
	})
	if err != nil {
		return err
	}
	if err := g.wait(c, c.ctx.Done()); err != nil {
		return err
	}
	for _, m := range answers {
		if err := c.send(m); err != nil {
			return err
		}
	}
	return nil
}

// Late holds a call that has come in whole and then serves it whether or not its client still waits: a write that was
// queued when its caller gave up, and is written after that.
func (g *Gate) Late(c *call) error {
	if c.wire != nil && c.method == "Append" {
		if err := c.wire.fetchAll(); err != nil {
			return err
		}
	}
	if err := g.wait(c, nil); err != nil {
		return err
	}
	return c.serve(context.WithoutCancel(c.ctx), c.send)
}

func (g *Gate) wait(c *call, gone <-chan struct{}) error {
	select {
	case g.arrived <- struct{}{}:
	default: // nobody counts so far
	}
	select {
	case <-g.opened:
		return nil
	case <-gone:
		return status.FromContextError(c.ctx.Err()).Err()
	case <-c.dead:
		return errLost
	}
}
