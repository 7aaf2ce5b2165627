package subscription

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Circumstances are what other aggregates say that a decision may depend on.
type Circumstances struct {
	Policies *ledgerv1.Policies // the merchant's; nil for the defaults
	Blocked  bool               // nothing can be charged through the connection in use
}

// decision collects the events of one command. Each is folded at once, so that the next one is decided on the state
// that the ones before it made.
type decision struct {
	State
	now    time.Time // when the ledger decides
	at     time.Time // when it happened in the world, never after now
	events []*ledgerv1.Event
}

// decide begins a decision at now on what happened at `at`; a zero `at` means now. A gateway's clock that runs
// ahead must not move due instants into the future, so `at` is never after now. Both are whole microseconds, as
// they are stored: what is computed from them here must be what is computed from them when they are read again.
func (s State) decide(now, at time.Time) *decision {
	if at.IsZero() || at.After(now) {
		at = now
	}
	return &decision{State: s, now: now.UTC().Truncate(time.Microsecond), at: at.UTC().Truncate(time.Microsecond)}
}

func (d *decision) emit(e *ledgerv1.Event) {
	e.Metadata = &ledgerv1.Metadata{OccurredAt: timestamppb.New(d.at), RecordedAt: timestamppb.New(d.now)}
	d.State = Evolve(d.State, e)
	d.events = append(d.events, e)
}

// done is what the command answers. Nothing is decided that would make an order past the last ordinal: its id would
// be another subscription's.
func (d *decision) done() ([]*ledgerv1.Event, error) {
	if d.Ordinal >= ordersPerSubscription {
		return nil, orderLimit()
	}
	return d.events, nil
}

// nextOrder is the id of the next order.
func (d *decision) nextOrder() int64 { return d.orderID(d.Ordinal + 1) }

const (
	// ordersPerSubscription is how far apart the order ids of two subscriptions are.
	ordersPerSubscription = 10_000
	// reservedOrders are kept for outcomes: nothing new begins when only they are left.
	reservedOrders = 100
)

func (s State) orderID(ordinal int64) int64 {
	return s.Started.GetNumber()*ordersPerSubscription + ordinal
}

// ordersExhausted reports whether nothing new may begin. A refund that is under way has its order promised to it.
func (s State) ordersExhausted() bool {
	promised := s.Ordinal
	for _, r := range s.Refunds {
		if r.Open() {
			promised++
		}
	}
	return promised >= ordersPerSubscription-1-reservedOrders
}

// exists refuses a command on a subscription that was never started.
func (s State) exists() error {
	if !s.Exists() {
		return &aggregate.Error{Kind: aggregate.NotFound, Reason: "NOT_FOUND", Message: "there is no such subscription"}
	}
	return nil
}

// stamp is t on the wire; a zero time is absent.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// micros is a time of a request as it is stored: in whole microseconds.
func micros(t *timestamppb.Timestamp) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(t.AsTime().Truncate(time.Microsecond))
}

// toldOr is the next attempt as an event tells it. One that tells none, from before events did, meant at once: when it
// was recorded. The two can differ: the clock may have gone back since the event before.
func toldOr(told, recorded *timestamppb.Timestamp) time.Time {
	if told != nil {
		return instant(told)
	}
	return instant(recorded)
}

// instant is the reverse of stamp.
func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
