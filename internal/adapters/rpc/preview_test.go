package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// TestPreviewIsWhatHappens asks what a command would do and then has it done, for commands of every kind in every
// situation: both are refused alike, or what was promised is what was appended. Asking appends nothing and takes no
// number.
func TestPreviewIsWhatHappens(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	orders := base.lives()
	base.stop()
	lines := map[string][]refusalLine{}
	for _, c := range refusalLines(t) {
		lines[c.method] = append(lines[c.method], c)
	}
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := &previews{lines: lines, orders: orders}
		p.world(base)
		defer p.w.stop()
		for range 10 {
			p.w.clock.Set(p.w.clock.Now().Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour))
			if c := p.anyCommand(t); p.try(t, c) {
				done[c.method]++
			}
		}
	})
	for _, method := range previewed() {
		if done[method] == 0 {
			t.Errorf("%s was never done, want all of %v", method, done)
		}
	}
}

// previewed are the commands that can be asked about.
func previewed() (names []string) {
	for _, m := range methods() {
		if m.Input().Fields().ByName("validate_only") != nil {
			names = append(names, string(m.Name()))
		}
	}
	return names
}

// previews is a world in which nobody but the test changes anything.
type previews struct {
	w       *world
	numbers atomic.Int64 // how many were taken
	lines   map[string][]refusalLine
	orders  map[string]int64
	next    int
}

// world begins where another world has ended. Its views it does not follow.
func (p *previews) world(base *world) {
	log := memory.New()
	err := base.log.Follow(context.Background(), nil, event.Cursor{}, func(ctx context.Context, m event.Message) error {
		if m.Kind != event.KindEvent {
			return errSeen
		}
		_, err := log.Append(ctx, m.Event.Stream, m.Event.Revision-1, m.Event.Raw)
		return err
	})
	if !errors.Is(err, errSeen) {
		base.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: base.t, ctx: ctx, log: log, clock: clock.NewStepped(start), views: base.views, store: base.store,
		gateway: &fakeGateway{}, logged: &lines{}, subscriptions: aggregate.NewRunner(log, subscription.Type())}
	w.stop = func() { cancel(); w.running.Wait() }
	w.config = w.newConfig()
	next := w.config.NextNumber
	w.config.NextNumber = func(ctx context.Context) (int64, error) { p.numbers.Add(1); return next(ctx) }
	w.serve()
	p.w = w
}

// apt are subscriptions with which a command may well be done.
var apt = map[string][]string{
	"Rebill": {"past_due"}, "Refund": {"paid", "once", "disputed"}, "Chargeback": {"paid", "once", "refunded", "disputed"},
	"Cancel": {"paid", "past_due", "paused", "silent"}, "UpdateBuyer": {"paid", "failed"}, "Pause": {"paid", "past_due", "sent"}, "Resume": {"paused"},
	"Reschedule": {"paid", "paused", "free"}, "ReplacePaymentMethod": {"paid", "past_due", "stopped", "worn"}, "ChangeTerms": {"paid", "past_due", "free"},
	"WithdrawCancellation": {"ending"}, "ObservePayment": {"gateway"}, "ObserveRefund": {"paid", "once"}, "ResolveMismatch": {"mismatch"},
}

// others are all other subscriptions, and one that is not there.
var others = []string{"cancelled", "ending", "doubt", "failed", "silent", "mismatch", "free", "gateway", "held", "stopped", "worn", "sent", "lost", "other", "last", "nobody"}

// command is a command of any kind.
type command struct {
	method  string
	request proto.Message
}

func (c command) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	return c.request.ProtoReflect().Descriptor().Fields().ByName(name)
}

func (c command) set(name protoreflect.Name, v any) {
	if fd := c.field(name); fd != nil {
		c.request.ProtoReflect().Set(fd, protoreflect.ValueOf(v))
	}
}

// anyCommand is a good request or one of those that are refused, about any subscription.
func (p *previews) anyCommand(t *rapid.T) command {
	c := command{method: rapid.SampledFrom(previewed()).Draw(t, "method")}
	line := refusalLine{method: c.method}
	if lines := p.lines[c.method]; rapid.IntRange(0, 3).Draw(t, "wrong") == 0 && len(lines) > 0 {
		line = rapid.SampledFrom(lines).Draw(t, "line")
	}
	c.request = p.w.requestOf(line, p.orders)
	if c.request.ProtoReflect().Get(c.field("request_id")).String() == "new" {
		p.next++
		c.set("request_id", fmt.Sprint("preview ", p.next-rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 2}).Draw(t, "again")))
	}
	if line.name != "" {
		return c
	}
	id := fmt.Sprint("new_", rapid.IntRange(1, 20).Draw(t, "new"))
	if apt[c.method] != nil {
		id = rapid.OneOf(rapid.SampledFrom(apt[c.method]), rapid.SampledFrom(others)).Draw(t, "subscription")
	}
	c.set("subscription_id", id)
	if order, ok := p.orders[id]; ok {
		c.set("order_id", order)
	}
	if rapid.IntRange(0, 5).Draw(t, "expecting") == 0 {
		c.set("expected_revision", int64(rapid.IntRange(0, 4).Draw(t, "revision")))
	}
	c.set("allow_duplicate", rapid.Bool().Draw(t, "duplicate"))
	c.set("at_period_end", rapid.Bool().Draw(t, "at period end"))
	c.set("also_cancel", rapid.Bool().Draw(t, "also cancel"))
	buyer := fmt.Sprint("buyer ", rapid.IntRange(0, 30).Draw(t, "buyer"))
	connection := rapid.SampledFrom([]string{"main", "main", "blocked"}).Draw(t, "connection")
	switch r := c.request.(type) {
	case interface{ GetStart() *ledgerv1.StartRequest }:
		r.GetStart().SubscriptionId, r.GetStart().Buyer.Id, r.GetStart().ConnectionId = id, buyer, connection
	case *ledgerv1.ImportSubscriptionRequest:
		r.Import.SubscriptionId, r.Import.ConnectionId = id, connection
	case *ledgerv1.ReplacePaymentMethodRequest:
		r.ConnectionId = connection
	case *ledgerv1.RescheduleRequest:
		r.NextDueAt.Seconds += rapid.Int64Range(0, 1e8).Draw(t, "later")
	case *ledgerv1.ChargebackRequest:
		r.Stage = ledgerv1.DisputeStage(rapid.IntRange(1, 5).Draw(t, "stage"))
		r.Outcome = ledgerv1.DisputeOutcome(rapid.IntRange(0, 3).Draw(t, "outcome"))
	}
	return c
}

// try asks, then does, and reports whether it was done.
func (p *previews) try(t *rapid.T, c command) bool {
	only := command{c.method, proto.Clone(c.request)}
	only.set("validate_only", true)
	before, numbers := p.w.head(), p.numbers.Load()
	var promised, got ledgerv1.CommandResponse
	refusal := p.w.call("SubscriptionService/"+c.method, only.request, &promised)
	if after := p.w.head(); after != before || p.numbers.Load() != numbers {
		t.Fatalf("%s %v: asking moved the log's head from %v to %v and took %d numbers", c.method, c.request, before, after, p.numbers.Load()-numbers)
	}
	err := p.w.call("SubscriptionService/"+c.method, c.request, &got)
	if diff := cmp.Diff(status.Convert(refusal).Proto(), status.Convert(err).Proto(), protocmp.Transform()); diff != "" {
		t.Fatalf("%s %v is refused in another way than promised (-promised +was):\n%s", c.method, c.request, diff)
	}
	if err != nil {
		return false
	}
	if got.Replayed || promised.Replayed {
		if diff := cmp.Diff(&got, &promised, protocmp.Transform(), protocmp.IgnoreFields(&ledgerv1.CommandResponse{}, "position")); diff != "" {
			t.Fatalf("%s %v was done before, and is told in another way (-done +promised):\n%s", c.method, c.request, diff)
		}
		return true
	}
	want := &ledgerv1.Preview{Events: p.appended(before), Subscription: got.Subscription}
	for _, e := range want.Events {
		unnumber(e)
	}
	for _, e := range promised.Preview.GetEvents() {
		unnumber(e)
	}
	numbered := protocmp.IgnoreFields(&ledgerv1.Subscription{}, "number", "first_order_id", "last_order_id")
	if diff := cmp.Diff(want, promised.Preview, protocmp.Transform(), numbered, protocmp.IgnoreFields(&ledgerv1.Preview{}, "entries"),
		protocmp.IgnoreFields(&ledgerv1.Metadata{}, "hash")); diff != "" {
		t.Fatalf("%s %v did what was not promised (-done +promised):\n%s", c.method, c.request, diff)
	}
	return true
}

var errSeen = errors.New("seen all")

// appended are the subscriptions' events behind a position.
func (p *previews) appended(behind event.Position) (all []*ledgerv1.Event) {
	err := p.w.log.Follow(context.Background(), []string{subscription.Category}, event.Cursor{Position: behind}, func(_ context.Context, m event.Message) error {
		if m.Kind != event.KindEvent {
			return errSeen
		}
		e, err := event.Decode(m.Event)
		all = append(all, e.Event)
		return err
	})
	if !errors.Is(err, errSeen) {
		p.w.t.Fatal(err)
	}
	return all
}

// unnumber takes out what is only given when a thing is done, and the secrets that no preview shows.
func unnumber(e *ledgerv1.Event) {
	e.ProtoReflect().Range(func(_ protoreflect.FieldDescriptor, kind protoreflect.Value) bool {
		m := kind.Message()
		fields := m.Descriptor().Fields()
		if made, original := fields.ByName("order_id"), fields.ByName("original_order_id"); made != nil && original != nil && m.Get(made).Int() == m.Get(original).Int() {
			m.Clear(original)
		}
		for _, name := range []protoreflect.Name{"order_id", "number"} {
			if fd := fields.ByName(name); fd != nil {
				m.Clear(fd)
			}
		}
		for i := range fields.Len() {
			if secret, _ := proto.GetExtension(fields.Get(i).Options(), ledgerv1.E_Secret).(bool); secret {
				m.Clear(fields.Get(i))
			}
		}
		return true
	})
}

func TestRevisionConflictTellsTheCurrentOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s1", "tok_ok", wait)
	current := w.subscription("s1").GetRevision()
	stale := current - 1
	r := &ledgerv1.PauseRequest{MerchantId: "acme", SubscriptionId: "s1", RequestId: "p", ExpectedRevision: &stale}
	err := w.call("SubscriptionService/Pause", r, &ledgerv1.CommandResponse{})
	check(t, err, "Aborted", "REVISION_CONFLICT")
	if got := info(status.Convert(err)).GetMetadata()["current"]; got != fmt.Sprint(current) {
		t.Errorf("the current revision is told as %q, want %d", got, current)
	}
	r.ExpectedRevision = &current
	w.must("SubscriptionService/Pause", r, &ledgerv1.CommandResponse{})
	var again ledgerv1.CommandResponse
	w.must("SubscriptionService/Pause", r, &again) // it is stale by now, but done
	if !again.Replayed {
		t.Error("the same request was not answered again")
	}
}
