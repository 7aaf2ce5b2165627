package aggregatetest

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

const day = 24 * time.Hour

// begin is when every life begins: a winter evening on which it is another day in UTC than where Kartra keeps time.
func begin() time.Time { return time.Date(2026, time.January, 31, 2, 30, 0, 0, time.UTC) }

// life writes down a history. Its methods are the events in the order in which they come; each fills in what
// follows from the ones before it: ids, numbers, instants.
type life struct {
	history History
	id      string
	number  int64
	ordinal int64
	first   int64 // the first order

	at      time.Time // when the next event happens
	due     time.Time // when the stream wants attention
	request string    // the request that the next event belongs to
	actor   string
	n       int // how many events of the request there are

	terms     *ledgerv1.Terms
	processor string
	method    *ledgerv1.PaymentMethod
	paid      uint32
	over      bool // nothing will ever be due again

	connection string    // told by every event that can; empty in lives from before events did
	unstored   bool      // the gateway has not stored the method yet
	anchor     time.Time // from which due instants count, if that is not the start
	anchored   int       // the number that was due then
	skipped    int       // periods that passed since
	price      *ledgerv1.Amounts
	priced     uint32 // the number from which the price counts, if it was changed
}

func newLife(i int, name string) *life {
	id := fmt.Sprintf("s%02d", i+1)
	return &life{
		history:   History{Name: name, Stream: "subscription-" + Merchant + "." + id},
		id:        id,
		number:    int64(101 + i),
		at:        begin(),
		processor: "Stripe",
		method:    &ledgerv1.PaymentMethod{Reference: "pm_" + id, Brand: "visa", Last4: "4242"},
	}
}

// asked begins a request of a caller, outcome one of the ledger's own.
func (l *life) asked(request string) { l.request, l.actor, l.n = request, "api", 0 }

func (l *life) outcome(format string, args ...any) {
	l.request, l.actor, l.n = "ledger:"+fmt.Sprintf(format, args...), "gateway:sandbox", 0
}

func (l *life) wake() {
	l.request, l.actor, l.n = fmt.Sprintf("ledger:wake/%d", len(l.history.Events)-1), "schedule", 0
}

// later lets time pass.
func (l *life) later(d time.Duration) { l.at = l.at.Add(d) }

// add appends an event. The gateway's clock runs a second before ours, so that the two times can be told apart.
func (l *life) add(e *ledgerv1.Event) {
	revision := event.Revision(len(l.history.Events))
	e.Metadata = &ledgerv1.Metadata{
		OccurredAt: timestamppb.New(l.at),
		RecordedAt: timestamppb.New(l.at),
		Actor:      l.actor,
		RequestId:  l.request,
	}
	if l.actor == "gateway:sandbox" {
		e.Metadata.RecordedAt = timestamppb.New(l.at.Add(time.Second))
	}
	if !l.due.IsZero() {
		e.Metadata.DueAt = timestamppb.New(l.due)
	}
	l.tellConnection(e)
	l.history.Events = append(l.history.Events, event.Recorded{
		Stream:   l.history.Stream,
		Revision: revision,
		Position: event.Position{Commit: uint64(revision) + 1, Prepare: uint64(revision) + 1},
		ID:       event.ID(l.history.Stream, l.request, l.n),
		Event:    e,
	})
	l.n++
	l.at = l.at.Add(2 * time.Second) // the next one is recorded after this one
}

// tellConnection names the connection in an event that can.
func (l *life) tellConnection(e *ledgerv1.Event) {
	kind := e.ProtoReflect().Descriptor().Oneofs().ByName("kind")
	m := e.ProtoReflect().Mutable(e.ProtoReflect().WhichOneof(kind)).Message()
	if f := m.Descriptor().Fields().ByName("connection_id"); f != nil && l.connection != "" {
		m.Set(f, protoreflect.ValueOfString(l.connection))
	}
}

// order gives the next order id.
func (l *life) order() int64 {
	l.ordinal++
	id := l.number*10_000 + l.ordinal
	if l.first == 0 {
		l.first = id
	}
	return id
}

// last is the id of the order that was made last.
func (l *life) last() int64 { return l.number*10_000 + l.ordinal }

func (l *life) start(t *ledgerv1.Terms, changes ...func(*ledgerv1.SubscriptionStarted)) {
	l.terms = t
	s := &ledgerv1.SubscriptionStarted{
		MerchantId:         Merchant,
		SubscriptionId:     l.id,
		Number:             l.number,
		Buyer:              buyer(),
		Terms:              t,
		ConnectionId:       Connection,
		Gateway:            "sandbox",
		Mode:               ledgerv1.Mode_MODE_TEST,
		PaymentMethodToken: "tok_" + l.id,
		Quantity:           1,
		Urls:               &ledgerv1.Urls{Success: "https://shop.example/thanks", Failure: "https://shop.example/sorry"},
		Tracking:           &ledgerv1.Tracking{Id_1: "spring", Id_2: "banner-7", Link: "newsletter", Affiliate: "partner-3"},
	}
	for _, change := range changes {
		change(s)
	}
	// The id stands beside the buyer, in clear: it is not sealed with the rest.
	s.BuyerId, s.Buyer.Id = s.Buyer.Id, ""
	s.Processor = l.processor
	l.asked("start")
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: s}})
}

// stored is the method as it stands at the gateway, nil before the first success.
func (l *life) stored() *ledgerv1.PaymentMethod {
	if l.paid == 0 || l.unstored {
		return nil
	}
	return proto.CloneOf(l.method)
}

func (l *life) requested(number, attempt, reattempt uint32) {
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber:    number,
		Attempt:      attempt,
		Reattempt:    reattempt,
		Amounts:      l.amounts(number),
		Due:          timestamppb.New(l.at),
		Key:          fmt.Sprintf("%s-%s-charge-%d-%d", Merchant, l.id, number, attempt),
		ConnectionId: Connection,
		Method:       l.stored(),
	}}})
}

func (l *life) reference(number, attempt uint32) string {
	if l.amounts(number).Full.MinorUnits == 0 {
		return "" // nothing was charged
	}
	return fmt.Sprintf("ch_%s_%d_%d", l.id, number, attempt)
}

// succeeded makes a sale or a rebill; the outcome comes from the gateway.
func (l *life) succeeded(number, attempt, reattempt uint32) int64 {
	l.outcome("charge/%d.%d/succeeded", number, attempt)
	l.settle(number)
	l.unstored = false
	id := l.order()
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
		OrderId:         id,
		PayNumber:       number,
		Attempt:         attempt,
		Reattempt:       reattempt,
		Amounts:         l.amounts(number),
		Reference:       l.reference(number, attempt),
		Method:          proto.CloneOf(l.method),
		OriginalOrderId: l.first,
		PaymentsLeft:    l.left(),
		NextDue:         stamp(l.due),
		PaidThrough:     stamp(l.due),
	}}})
	return id
}

// charged is a payment from its intent to its success.
func (l *life) charged(number uint32) int64 {
	if number > 1 {
		l.wake()
	}
	l.requested(number, 1, 0)
	return l.succeeded(number, 1, 0)
}

func (l *life) declined(number, attempt, reattempt uint32, category ledgerv1.DeclineCategory, next time.Duration) int64 {
	l.outcome("charge/%d.%d/declined", number, attempt)
	l.due = time.Time{}
	if next > 0 {
		l.due = l.at.Add(next)
	}
	id := l.order()
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
		OrderId:         id,
		PayNumber:       number,
		Attempt:         attempt,
		Reattempt:       reattempt,
		Amounts:         l.amounts(number),
		Category:        category,
		Code:            "insufficient_funds",
		Message:         "The card has insufficient funds.",
		Reference:       l.reference(number, attempt),
		OriginalOrderId: l.first,
		NextAttemptAt:   stamp(l.due),
		Method:          l.stored(),
	}}})
	return id
}

// late is a charge that turned up when nobody waited for it any more.
func (l *life) late(number, attempt uint32) int64 {
	l.outcome("charge/%d.%d/late", number, attempt)
	l.settle(number)
	through := l.due
	if l.over {
		l.due = time.Time{}
	}
	id := l.order()
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
		OrderId:         id,
		PayNumber:       number,
		Attempt:         attempt,
		Amounts:         l.amounts(number),
		Reference:       l.reference(number, attempt),
		Method:          proto.CloneOf(l.method),
		OriginalOrderId: l.first,
		PaymentsLeft:    l.left(),
		NextDue:         stamp(l.due),
		PaidThrough:     stamp(through),
	}}})
	return id
}

func (l *life) unknown(number, attempt uint32) {
	l.outcome("charge/%d.%d/unknown", number, attempt)
	l.due = l.at.Add(30 * time.Second)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentUnknown{PaymentUnknown: &ledgerv1.PaymentUnknown{
		PayNumber: number, Attempt: attempt, Why: "timeout", SentAt: timestamppb.New(l.at.Add(-15 * time.Second)),
	}}})
}

func (l *life) notCharged(number, attempt uint32, proof string) {
	l.outcome("charge/%d.%d/not-charged", number, attempt)
	l.due = time.Time{}
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: &ledgerv1.PaymentNotCharged{
		PayNumber: number, Attempt: attempt, Proof: proof,
	}}})
}

func (l *life) completed() {
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCompleted{SubscriptionCompleted: &ledgerv1.SubscriptionCompleted{
		Payments: l.paid,
	}}})
}

// cancelled ends the subscription; it makes an order if anything was sold.
func (l *life) cancelled(reason ledgerv1.CancelReason) {
	l.due, l.over = time.Time{}, true
	c := &ledgerv1.SubscriptionCancelled{Reason: reason, Method: l.stored()}
	if l.paid > 0 {
		c.OrderId = l.order()
		c.OriginalOrderId = l.first
	}
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCancelled{SubscriptionCancelled: c}})
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
