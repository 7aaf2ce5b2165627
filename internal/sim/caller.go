package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/door"
	"ledger.internal/ledger/internal/sim/invariant"
)

// customer gives commands, one after the other, and repeats each under the same id until he has an answer.
type customer struct {
	world    *world
	name     string
	merchant string
	random   *rand.Rand
	hangUp   atomic.Pointer[context.CancelFunc] // ends the call that he makes now; nil if he makes none
	started  int
}

// command is a request to the ledger, and the stream that it is about.
type command struct {
	method  string
	request proto.Message
	stream  string // empty if it is not about a subscription
}

// live gives a customer's commands until he is done or the world heals.
func (c *customer) live(commands int) {
	for i := 0; i < commands && !c.world.healing.Load(); i++ {
		pause := time.Duration(0)
		if c.random.IntN(3) > 0 {
			pause = time.Duration(c.random.Int64N(int64(8 * 24 * time.Hour)))
		}
		_ = c.world.clock.WaitUntil(c.world.troubled, c.world.clock.Now().Add(pause))
		if c.world.scheduler.stand(&waiting{actor: c.name, call: door.Call{Neighbour: caller, Name: "choose"}}) != nil || c.world.healing.Load() {
			return
		}
		if cmd, ok := c.choose(fmt.Sprintf("%s-%d", c.name, i)); ok {
			c.give(cmd)
		}
	}
}

// tidy opens every connection again that is blocked.
func (c *customer) tidy() {
	for _, account := range c.world.accounts {
		c.give(command{connections + "UnblockConnection", &ledgerv1.UnblockConnectionRequest{
			MerchantId: c.merchant, RequestId: c.name + "-tidy", ConnectionId: account,
		}, ""})
	}
}

// give repeats a command until it is answered.
func (c *customer) give(cmd command) {
	for try := 1; !c.world.abandoned.Load(); try++ {
		answer, err := c.call(cmd)
		switch status.Code(err) {
		case codes.OK:
			if a, ok := answer.(*ledgerv1.CommandResponse); ok && cmd.stream != "" {
				c.world.acked(cmd, a)
				if c.random.IntN(8) == 0 {
					c.reuse(cmd, a.GetSubscription().GetSubscriptionId())
				}
			}
			return
		case codes.Unavailable, codes.Aborted, codes.Canceled, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
			if try > 1 {
				c.world.hit("a caller repeated a command")
			}
			pause := time.Duration(1+c.random.IntN(120)) * time.Second
			_ = c.world.clock.WaitUntil(c.world.troubled, c.world.clock.Now().Add(pause))
		default:
			c.world.refused(cmd, err)
			return
		}
	}
}

// reuse gives another command under the id of one that was done. It has to be refused.
func (c *customer) reuse(cmd command, sub string) {
	id := requestOf(cmd.request)
	other := command{subscriptions + "Cancel", &ledgerv1.CancelRequest{MerchantId: c.merchant, RequestId: id, SubscriptionId: sub,
		Reason: ledgerv1.CancelReason_CANCEL_REASON_FRAUD}, cmd.stream}
	if cmd.method == other.method {
		return
	}
	_ = c.world.clock.WaitUntil(context.Background(), c.world.clock.Now().Add(time.Duration(c.random.IntN(60))*time.Second))
	if _, err := c.call(other); err == nil {
		c.world.violation("I-16: request %s of %s was answered as done for two commands", id, cmd.stream)
	}
}

// errLine is what a caller sees of a ledger that died, and of a line that broke.
var errLine = status.Error(codes.Unavailable, "the line is dead")

// call makes one call. The line may break on the way there and on the way back.
func (c *customer) call(cmd command) (answer proto.Message, err error) {
	line := door.Call{Neighbour: caller, Name: "call", Of: cmd.method}
	l, err := c.world.reach(c.name, line)
	if err != nil {
		return nil, err
	}
	ctx, hangUp := context.WithCancel(withActor(l.ctx, c.name))
	defer hangUp()
	c.hangUp.Store(&hangUp)
	answer = responseTo(cmd.method)
	err = l.api.Invoke(ctx, cmd.method, cmd.request, answer)
	c.hangUp.Store(nil)
	back := &waiting{actor: c.name, call: line, stage: after}
	if l.dead.Load() || c.world.scheduler.stand(back) != nil {
		return nil, errLine
	}
	if ctx.Err() != nil {
		return nil, errLine
	}
	return answer, err
}

// reach waits for a ledger that serves, and then at its door: who else waited comes one after the other. The line may
// break on the way.
func (w *world) reach(actor string, line door.Call) (*ledger, error) {
	for {
		l := w.up()
		if err := w.scheduler.stand(&waiting{actor: actor, call: line, stage: before}); err != nil || w.abandoned.Load() {
			return nil, errLine
		}
		if l == w.current() && l.ctx.Err() == nil {
			return l, nil
		}
	}
}

const (
	subscriptions = "/ledger.v1.SubscriptionService/"
	merchants     = "/ledger.v1.MerchantService/"
	connections   = "/ledger.v1.ConnectionService/"
	endpoints     = "/ledger.v1.EndpointService/"
	orders        = "/ledger.v1.OrderService/"
)

func responseTo(method string) proto.Message {
	switch method {
	case merchants + "UpdateMerchant":
		return &ledgerv1.MerchantResponse{}
	case connections + "BlockConnection", connections + "UnblockConnection":
		return &ledgerv1.ConnectionResponse{}
	case orders + "ListOrders":
		return &ledgerv1.ListOrdersResponse{}
	case endpoints + "UpdateEndpoint":
		return &ledgerv1.EndpointResponse{}
	}
	return &ledgerv1.CommandResponse{}
}

// acked notes an answer.
func (w *world) acked(cmd command, a *ledgerv1.CommandResponse) {
	w.evidence.Acks = append(w.evidence.Acks, invariant.Ack{
		Stream: cmd.stream, RequestID: requestOf(cmd.request), Revision: a.GetSubscription().GetRevision(),
		Position: a.GetPosition(), Replayed: a.GetReplayed(),
	})
	if a.GetReplayed() {
		w.hit("a repeated command was answered as done before")
	}
	w.trace.say("answered %s %s at %d, replayed %v", requestOf(cmd.request), cmd.method, a.GetSubscription().GetRevision(), a.GetReplayed())
}

// refused notes a refusal; which ones there are is for the ledger's tests, not for the simulation.
func (w *world) refused(cmd command, err error) {
	w.trace.say("refused %s %s: %v", requestOf(cmd.request), cmd.method, status.Convert(err).Message())
}

// requestOf is a command's request id; what only looks has none.
func requestOf(m proto.Message) string {
	r, _ := m.(interface{ GetRequestId() string })
	if r == nil {
		return ""
	}
	return r.GetRequestId()
}

// peek folds a subscription from the log as it is now: what a caller could know if he knew everything.
func (w *world) peek(stream string) subscription.State {
	s := subscription.Type().New()
	for e := range w.read(stream) {
		s = subscription.Evolve(s, e.Event)
	}
	return s
}
