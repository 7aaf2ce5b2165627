package invariant

import (
	"cmp"
	"strings"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// history is the log as it was read: every stream's chain, every subscription folded, and what follows from it.
type history struct {
	world  World
	report *Report

	streams map[string]*stream
	ids     map[uuid.UUID]struct{}
	head    event.Position
	asked   map[string]bool // Evidence.Asked; nil if that was not seen

	subscriptions map[string]*life
	orders        map[int64]order
	books         books

	hearing
	effects map[effectOf]*effect // of the requests that were acknowledged
}

func newHistory(w World) *history {
	h := &history{
		world: w, report: &Report{Violations: []string{}},
		streams: map[string]*stream{}, ids: map[uuid.UUID]struct{}{},
		subscriptions: map[string]*life{}, orders: map[int64]order{}, books: newBooks(),
		hearing: newHearing(), effects: map[effectOf]*effect{},
	}
	for _, a := range w.Acks {
		h.effects[effectOf{a.Stream, a.RequestID}] = &effect{}
	}
	if w.Asked != nil {
		h.asked = map[string]bool{}
		for _, id := range w.Asked {
			h.asked[id] = true
		}
	}
	return h
}

func (h *history) broken(promise, format string, args ...any) {
	h.report.broken(promise, format, args...)
}

// read takes in one event, in log order.
func (h *history) read(raw event.RawRecorded) {
	h.report.Events++
	s := h.link(raw)
	h.checkRawCanaries(raw)
	defer func() { h.ids[raw.ID] = struct{}{} }()
	e, err := event.Decode(raw)
	if err != nil {
		h.broken("I-14", "%s/%d: %v", raw.Stream, raw.Revision, err)
		return
	}
	h.stamp(s, e)
	h.cause(s, e)
	h.hear(e)
	if event.Category(e.Stream) == subscription.Category {
		h.live(e)
	} else {
		s.fold(e.Event)
	}
}

// life is a subscription as of its last event.
type life struct {
	twice[subscription.State]
	imported uint32 // pay numbers that were paid before the ledger took over
	ended    event.Revision
	over     map[int64]bool // payments of which the gateway may have returned more than we asked for
}

// live takes in an event of a subscription.
func (h *history) live(e event.Recorded) {
	l := h.subscriptions[e.Stream]
	if l == nil {
		l = &life{twice: twice[subscription.State]{evolve: subscription.Evolve}, ended: event.NoStream, over: map[int64]bool{}}
		h.subscriptions[e.Stream] = l
	}
	before := l.state
	l.fold(e.Event)
	if i := e.GetSubscriptionImported(); i != nil {
		l.imported = i.PaidNumber
	}
	h.step(l, e, before)
	if l.ended == event.NoStream && l.state.Ended() {
		l.ended = e.Revision
	}
	h.post(e)
	h.order(e)
	h.tell(e)
}

// owner reads merchant and id from "<category>-<merchant>.<id>".
func owner(stream string) (merchant, id string) {
	_, rest, _ := strings.Cut(stream, "-")
	merchant, id, _ = strings.Cut(rest, ".")
	return merchant, id
}

// order is what the events say of an order.
type order struct {
	kind       string
	full       int64
	effect     int64
	connection string
}

// ordering is what every event tells that makes an order.
type ordering interface {
	GetOrderId() int64
	GetConnectionId() string
}

// order notes what an event says of an order: amounts as told, and what it did to the merchant's money.
func (h *history) order(e event.Recorded) {
	note := func(o ordering, kind string, a *ledgerv1.Amounts, sign int64) {
		id, connection := o.GetOrderId(), cmp.Or(o.GetConnectionId(), h.books.subscriptions[e.Stream].first)
		if id == 0 {
			return
		}
		if _, twice := h.orders[id]; twice {
			h.broken("I-14", "%s/%d makes order %d a second time", e.Stream, e.Revision, id)
		}
		full := a.GetFull().GetMinorUnits()
		h.orders[id] = order{kind, full, sign * full, connection}
		h.report.Orders++
		if sign != 0 {
			h.books.tills[till{e.Stream, connection, a.GetFull().GetCurrencyCode()}] -= sign * full
		}
	}
	sold := func(number uint32) string {
		if number == 1 {
			return "sale"
		}
		return "rebill"
	}
	refunded := func(full bool) string {
		if full {
			return "refund"
		}
		return "partial_refund"
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_PaymentSucceeded:
		note(k.PaymentSucceeded, sold(k.PaymentSucceeded.PayNumber), k.PaymentSucceeded.Amounts, 1)
	case *ledgerv1.Event_LateChargeObserved:
		note(k.LateChargeObserved, sold(k.LateChargeObserved.PayNumber), k.LateChargeObserved.Amounts, 1)
	case *ledgerv1.Event_PaymentObserved:
		note(k.PaymentObserved, sold(k.PaymentObserved.PayNumber), k.PaymentObserved.Amounts, 1)
	case *ledgerv1.Event_PaymentDeclined:
		note(k.PaymentDeclined, "failed", k.PaymentDeclined.Amounts, 0)
	case *ledgerv1.Event_RefundSucceeded:
		note(k.RefundSucceeded, refunded(k.RefundSucceeded.Full), k.RefundSucceeded.Amounts, -1)
	case *ledgerv1.Event_RefundObserved:
		note(k.RefundObserved, refunded(k.RefundObserved.Full), k.RefundObserved.Amounts, -1)
	case *ledgerv1.Event_RefundReversed:
		note(k.RefundReversed, "refund_reversed", k.RefundReversed.Amounts, 1)
	case *ledgerv1.Event_DisputeFundsWithdrawn:
		note(k.DisputeFundsWithdrawn, "chargeback", k.DisputeFundsWithdrawn.Amounts, -1)
	case *ledgerv1.Event_DisputeFundsReinstated:
		note(k.DisputeFundsReinstated, "chargeback_reversed", k.DisputeFundsReinstated.Amounts, 1)
	case *ledgerv1.Event_SubscriptionCancelled:
		note(k.SubscriptionCancelled, "cancellation", nil, 0)
	}
}
