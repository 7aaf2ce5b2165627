package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/dialect"
	"ledger.internal/ledger/internal/sim/door"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// exercised is how many seeds meet everything that wanted lists at least once.
const exercised = 5000

// wanted lists what a run of many seeds has to meet: each fault in each place where it matters, each event, and the
// situations that are hard. What was never met was not tested.
func wanted() []string {
	all := []string{
		"crash", "crash while starting", "the process was stopped as an operator stops it", "the process ended by itself",
		"a caller repeated a command", "a caller hung up", "a repeated command was answered as done before",
		"a stream was parked", "a parked stream was replayed", "a webhook came again that was acknowledged",
		"the clock jumped back", "the clock jumped forward", "the ledger was away for days",
	}
	all = append(all, quarrels...)
	var apis []string
	for _, k := range dialect.Kinds() {
		apis = append(apis, door.Gateway+"."+string(k))
	}
	for _, point := range append(door.Points(), apis...) {
		all = append(all, "crash before "+point, "held up: "+point, "cut off: "+point)
		if point != "log.follow" {
			all = append(all, "failed before "+point)
		}
	}
	for _, point := range append(apis, "log.append", "gateway.charge", "gateway.refund", "receiver.post", "caller.call", "caller.webhook") {
		all = append(all, "lost the answer of "+point)
	}
	for _, point := range append(apis, "log.append", "work.update", "views.update", "gateway.charge", "gateway.refund", "receiver.post") {
		all = append(all, "crash after "+point)
	}
	for _, fault := range neighbour.Faults() {
		if fault != neighbour.KeyDuplicate { // only a ledger that repeats a key without looking it up meets that
			all = append(all, fault)
		}
	}
	all = append(all, dialect.Faults()...)
	for _, kind := range kinds() {
		if !slices.Contains(elsewhere, kind) {
			all = append(all, "event "+kind)
		}
	}
	for _, s := range situations {
		all = append(all, s.name)
	}
	return all
}

// quarrels are what comes of a log that several servers keep.
var quarrels = []string{
	"an append was dropped", "an append was dropped again", "an append that was dropped went through",
	"a repetition of what most servers do not have was dropped", "an append took effect late",
	"a delayed append came in time", "a delayed append came too late", "a delayed append was repeated before it came",
	"another server led", "the tail of a deposed leader was lost", "an event was delivered again",
	"a tail was lost that subscriptions had shown", "another ledger appended", "an operator had all built anew",
}

// kinds are the names of all events.
func kinds() (names []string) {
	fields := (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range fields.Len() {
		names = append(names, string(fields.Get(i).Name()))
	}
	return names
}

// elsewhere are the events that no run of the simulation can have: the merchants change nothing of them, and their
// connections are proved before a world begins.
var elsewhere = []string{
	"endpoint_changed", "endpoint_created", "merchant_created", "connection_created", "consent_requested", "connection_activated",
	"connection_refused", "connection_update_needed", "connection_expired", "connection_disconnected", "connection_resealed",
}

// situation is something hard that a subscription can be in when the next event comes.
type situation struct {
	name string
	is   func(before subscription.State, e *ledgerv1.Event) bool
}

var situations = []situation{
	{"a doubt ended with the charge", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetPaymentSucceeded() != nil && s.InDoubt()
	}},
	{"a doubt ended with a decline", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetPaymentDeclined() != nil && s.InDoubt()
	}},
	{"a charge turned up after the end", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetLateChargeObserved() != nil && s.Ended()
	}},
	{"a charge turned up after its decline", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetLateChargeObserved() != nil && !s.Ended()
	}},
	{"a chargeback came while a refund was open", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetDisputeFundsWithdrawn() != nil && openRefunds(s) > 0
	}},
	{"more went back than came in", func(_ subscription.State, e *ledgerv1.Event) bool {
		return e.GetDisputeFundsWithdrawn().GetExcess() != nil || e.GetRefundObserved().GetExcess() != nil
	}},
	{"two refunds were open at once", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetRefundRequested() != nil && openRefunds(s) > 0
	}},
	{"it was cancelled while a charge was open", func(s subscription.State, e *ledgerv1.Event) bool {
		_, open := s.OpenAttempt()
		return e.GetSubscriptionCancelled() != nil && open
	}},
	{"it was paused while a charge was open", func(s subscription.State, e *ledgerv1.Event) bool {
		_, open := s.OpenAttempt()
		return e.GetSubscriptionPaused() != nil && open
	}},
	{"the method was replaced while past due", func(s subscription.State, e *ledgerv1.Event) bool {
		return e.GetPaymentMethodReplaced() != nil && s.Status == subscription.PastDue
	}},
}

func openRefunds(s subscription.State) (n int) {
	for _, r := range s.Refunds {
		if r.Open() {
			n++
		}
	}
	return n
}

// review notes what the log tells of events and situations that were met.
func (w *world) review() {
	states := map[string]subscription.State{}
	end := errors.New("end")
	err := w.log.Follow(context.Background(), nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind != event.KindEvent {
			return end
		}
		e, err := event.Decode(m.Event)
		if err != nil {
			return err
		}
		w.hit("event " + kindOf(e.Event))
		if event.Category(e.Stream) != subscription.Category {
			return nil
		}
		s := states[e.Stream]
		w.lookAtLateCharge(e.Stream, s, e.GetLateChargeObserved())
		for _, hard := range situations {
			if hard.is(s, e.Event) {
				w.hit(hard.name)
			}
		}
		states[e.Stream] = subscription.Evolve(s, e.Event)
		return nil
	})
	if !errors.Is(err, end) {
		w.violation("I-14: the log cannot be folded: %v", fmt.Errorf("%w", err))
	}
}

func kindOf(e *ledgerv1.Event) string {
	m := e.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName(protoreflect.Name("kind"))); f != nil {
		return string(f.Name())
	}
	return ""
}
