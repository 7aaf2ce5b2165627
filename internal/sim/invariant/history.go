package invariant

import (
	"cmp"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// history is the log as it was read: every stream's chain, every subscription folded, and what follows from it.
type history struct {
	report        *Report
	streams       map[string]*stream
	subscriptions map[string]subscription.State
	imported      map[string]uint32 // pay numbers that were paid before the ledger took over, by stream
	orders        map[int64]order
	books         books
	told          []told
	concluded     map[string]string // conclusion by delivery id
	endpoints     map[string]map[string]*ledgerv1.EndpointSettings
	head          event.Position
}

// stream is how far a stream's chain was checked.
type stream struct {
	revision event.Revision
	hash     []byte
	recorded time.Time
	created  time.Time // when its first event was recorded
}

// order is what the events say of an order.
type order struct {
	kind       string
	full       int64
	effect     int64
	connection string
}

// told is an event that an endpoint has to hear of.
type told struct{ delivery, event string }

func newHistory(r *Report) *history {
	return &history{
		report: r, streams: map[string]*stream{}, subscriptions: map[string]subscription.State{}, imported: map[string]uint32{},
		orders: map[int64]order{}, books: newBooks(), concluded: map[string]string{}, endpoints: map[string]map[string]*ledgerv1.EndpointSettings{},
	}
}

// read takes in one event, in log order.
func (h *history) read(raw event.RawRecorded) {
	h.report.Events++
	if raw.Position.Compare(h.head) <= 0 {
		h.report.violation("%s/%d stands at %s, not after %s", raw.Stream, raw.Revision, raw.Position, h.head)
	}
	h.head = raw.Position
	s := h.streams[raw.Stream]
	if s == nil {
		s = &stream{revision: event.NoStream}
		h.streams[raw.Stream] = s
		h.report.Streams++
	}
	if raw.Revision != s.revision+1 {
		h.report.violation("%s: revision %d follows %d", raw.Stream, raw.Revision, s.revision)
	}
	s.revision = raw.Revision
	hash, err := event.VerifyChain(s.hash, raw)
	if err != nil {
		h.report.violation("%v", err)
	}
	s.hash = hash
	e, err := event.Decode(raw)
	if err != nil {
		h.report.violation("%s/%d: %v", raw.Stream, raw.Revision, err)
		return
	}
	recorded := e.Metadata.GetRecordedAt().AsTime()
	if recorded.Before(s.recorded) {
		h.report.violation("%s/%d was recorded at %s, before the one ahead of it", raw.Stream, raw.Revision, recorded)
	}
	s.recorded = recorded
	if raw.Revision == 0 {
		s.created = recorded
	}
	h.take(e)
}

// take sorts an event by what it is about.
func (h *history) take(e event.Recorded) {
	merchant, id := owner(e.Stream)
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_EndpointCreated:
		h.endpoint(merchant)[id] = k.EndpointCreated.Settings
	case *ledgerv1.Event_EndpointChanged:
		h.endpoint(merchant)[id] = k.EndpointChanged.Settings
	case *ledgerv1.Event_EndpointDisabled:
		delete(h.endpoint(merchant), id)
	case *ledgerv1.Event_DeliveryConcluded:
		c := k.DeliveryConcluded
		if _, twice := h.concluded[c.DeliveryId]; twice {
			h.report.violation("notification %s was concluded twice", c.DeliveryId)
		}
		h.concluded[c.DeliveryId] = strings.ToLower(strings.TrimPrefix(c.Conclusion.String(), "DELIVERY_CONCLUSION_"))
	}
	if event.Category(e.Stream) != subscription.Category {
		return
	}
	before := h.subscriptions[e.Stream]
	after := subscription.Evolve(before, e.Event)
	h.subscriptions[e.Stream] = after
	if i := e.GetSubscriptionImported(); i != nil {
		h.imported[e.Stream] = i.PaidNumber
	} else {
		h.checkStep(e, before, after)
	}
	h.post(e)
	h.order(e)
	if t, _, ok := projection.IPNType(e.Event); ok {
		for endpoint, settings := range h.endpoint(merchant) {
			if wants(settings, t) {
				h.told = append(h.told, told{projection.DeliveryID(e.ID, endpoint), e.ID.String()})
			}
		}
	}
}

func (h *history) endpoint(merchant string) map[string]*ledgerv1.EndpointSettings {
	m := h.endpoints[merchant]
	if m == nil {
		m = map[string]*ledgerv1.EndpointSettings{}
		h.endpoints[merchant] = m
	}
	return m
}

func wants(s *ledgerv1.EndpointSettings, t ledgerv1.IpnType) bool {
	if len(s.GetTypes()) == 0 {
		return true
	}
	for _, w := range s.Types {
		if w == t {
			return true
		}
	}
	return false
}

// owner reads merchant and id from "<category>-<merchant>.<id>".
func owner(stream string) (merchant, id string) {
	_, rest, _ := strings.Cut(stream, "-")
	merchant, id, _ = strings.Cut(rest, ".")
	return merchant, id
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
			h.report.violation("%s/%d makes order %d a second time", e.Stream, e.Revision, id)
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
