package invariant

import (
	"context"
	"slices"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// hearing is who hears of what, as the events say it in their order.
type hearing struct {
	endpoints map[string]map[string]*ledgerv1.EndpointSettings // by merchant and id; those that are not disabled
	told      []told
	concluded map[string]string // conclusion by delivery id
}

// told is an event that an endpoint has to hear of.
type told struct {
	delivery, event            string
	merchant, endpoint, stream string
}

func newHearing() hearing {
	return hearing{endpoints: map[string]map[string]*ledgerv1.EndpointSettings{}, concluded: map[string]string{}}
}

// hear takes in what an event says of endpoints, and of how notifications ended.
func (h *history) hear(e event.Recorded) {
	merchant, id := owner(e.Stream)
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_EndpointCreated:
		h.endpointsOf(merchant)[id] = k.EndpointCreated.Settings
	case *ledgerv1.Event_EndpointChanged:
		h.endpointsOf(merchant)[id] = k.EndpointChanged.Settings
	case *ledgerv1.Event_EndpointDisabled:
		delete(h.endpointsOf(merchant), id)
	case *ledgerv1.Event_DeliveryConcluded:
		c := k.DeliveryConcluded
		if _, twice := h.concluded[c.DeliveryId]; twice {
			h.broken("I-10", "notification %s was concluded twice", c.DeliveryId)
		}
		h.concluded[c.DeliveryId] = strings.ToLower(strings.TrimPrefix(c.Conclusion.String(), "DELIVERY_CONCLUSION_"))
	}
}

func (h *history) endpointsOf(merchant string) map[string]*ledgerv1.EndpointSettings {
	m := h.endpoints[merchant]
	if m == nil {
		m = map[string]*ledgerv1.EndpointSettings{}
		h.endpoints[merchant] = m
	}
	return m
}

// tell notes who has to hear of a subscription's event.
func (h *history) tell(e event.Recorded) {
	t, _, ok := projection.IPNType(e.Event)
	if !ok {
		return
	}
	merchant, _ := owner(e.Stream)
	for endpoint, settings := range h.endpointsOf(merchant) {
		if types := settings.GetTypes(); len(types) == 0 || slices.Contains(types, t) {
			h.told = append(h.told, told{projection.DeliveryID(e.ID, endpoint), e.ID.String(), merchant, endpoint, e.Stream})
		}
	}
}

// checkDeliveries checks that every endpoint was, or visibly will be, told of everything it has to hear of, once.
func (h *history) checkDeliveries(ctx context.Context, work projection.Reader) error {
	states := map[string]string{}
	err := each(ctx, work, `SELECT delivery_id, state FROM delivery_rows`, func(scan func(...any) error) error {
		var id, state string
		if err := scan(&id, &state); err != nil {
			return err
		}
		states[id] = state
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range h.told {
		h.report.Notifications++
		state, ok := states[t.delivery]
		delete(states, t.delivery)
		concluded, ended := h.concluded[t.delivery]
		switch {
		case !ok:
			h.broken("I-10", "event %s was never queued as notification %s", t.event, t.delivery)
		case ended && state != concluded:
			h.broken("I-10", "notification %s is %s, but was concluded as %s", t.delivery, state, concluded)
		case !ended && !strings.HasSuffix(state, "ing"): // pending, sending
			h.broken("I-10", "notification %s is %s without an event that says so", t.delivery, state)
		}
	}
	for id := range states {
		h.broken("I-10", "notification %s is queued, and nothing asks for it", id)
	}
	return nil
}

// heard is what receivers got of one notification.
type heard struct {
	body         string
	acknowledged int // place among the receipts that were acknowledged first; 0 if none was
}

// delivered is how a notification ends that was acknowledged.
const delivered = "delivered"

// checkReceipts checks what receivers got against what they had to hear of.
func (h *history) checkReceipts() {
	asked := map[string]told{}
	for _, t := range h.told {
		asked[t.delivery] = t
	}
	for id := range h.concluded {
		if _, ok := asked[id]; !ok {
			h.broken("I-10", "notification %s was concluded, and nothing asks for it", id)
		}
	}
	got := map[string]*heard{}
	for i, r := range h.world.Receipts {
		t, ok := asked[r.WebhookID]
		switch {
		case !ok:
			h.broken("I-10", "%s of %s got notification %s, which no event made", r.Endpoint, r.Merchant, r.WebhookID)
			continue
		case t.merchant != r.Merchant || t.endpoint != r.Endpoint:
			h.broken("I-10", "%s of %s got notification %s, which was for %s of %s", r.Endpoint, r.Merchant, r.WebhookID, t.endpoint, t.merchant)
			continue
		case !r.Genuine:
			h.broken("I-10", "%s of %s got notification %s with a wrong signature", r.Endpoint, r.Merchant, r.WebhookID)
		}
		x := got[r.WebhookID]
		if x == nil {
			x = &heard{body: r.Body}
			got[r.WebhookID] = x
		}
		if x.body != r.Body {
			h.broken("I-10", "notification %s said something else when it came again", r.WebhookID)
		}
		if r.Acknowledged && x.acknowledged == 0 {
			x.acknowledged = i + 1
		}
	}
	if h.world.Receipts != nil {
		h.checkAcknowledged(got)
	}
}

// checkAcknowledged checks that what is said to be delivered was acknowledged, each subscription's in the order of its
// events, and that in the end everything was, or was visibly given up.
func (h *history) checkAcknowledged(got map[string]*heard) {
	type pair struct{ endpoint, stream string }
	latest := map[pair]int{}
	for _, t := range h.told {
		x := got[t.delivery]
		if x == nil {
			x = &heard{}
		}
		end, ended := h.concluded[t.delivery]
		switch {
		case end == delivered && x.acknowledged == 0:
			h.broken("I-10", "notification %s was concluded as delivered, and nobody has acknowledged it", t.delivery)
		case h.world.AtRest && !ended:
			h.broken("I-10", "event %s was neither acknowledged by %s of %s nor given up", t.event, t.endpoint, t.merchant)
		}
		if x.acknowledged == 0 || ended && end != delivered {
			continue // given up, others may have gone ahead
		}
		p := pair{t.endpoint, t.stream}
		if x.acknowledged < latest[p] {
			h.broken("I-11", "%s: %s has acknowledged event %s after a later one", t.stream, t.endpoint, t.event)
		}
		latest[p] = max(latest[p], x.acknowledged)
	}
}
