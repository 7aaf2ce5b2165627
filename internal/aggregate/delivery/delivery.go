// Package delivery remembers how notifications ended: one stream per endpoint and subscription, one event per
// notification. What is still under way is the sender's business and stands nowhere in the log.
package delivery

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Category is the category of delivery streams.
const Category = "delivery"

// Stream names the stream of an endpoint's notifications about a subscription.
func Stream(merchant, endpoint, subscription string) string {
	return Category + "-" + merchant + "." + endpoint + "." + subscription
}

// Type ties State and Evolve to the runner.
func Type() aggregate.Type[State] {
	return aggregate.Type[State]{
		Category: Category,
		New:      func() State { return State{} },
		Evolve:   Evolve,
	}
}

// State knows which notifications ended, and how. It is a list whose older part is shared by all later states, so
// that a long stream is folded in linear time and nothing that somebody holds ever changes.
type State struct{ latest *concluded }

type concluded struct {
	id         string
	conclusion ledgerv1.DeliveryConclusion
	before     *concluded
}

// Conclusion tells how a notification ended; ok is false if it has not.
func (s State) Conclusion(id string) (c ledgerv1.DeliveryConclusion, ok bool) {
	for d := s.latest; d != nil; d = d.before {
		if d.id == id {
			return d.conclusion, true
		}
	}
	return ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_UNSPECIFIED, false
}

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	d := e.GetDeliveryConcluded()
	if d == nil {
		return s
	}
	return State{latest: &concluded{id: d.DeliveryId, conclusion: d.Conclusion, before: s.latest}}
}

// Conclude ends a notification. What has ended stays as it is: concluding it again changes nothing.
type Conclude struct{ *ledgerv1.DeliveryConcluded }

// Decide implements aggregate.Command.
func (c Conclude) Decide(s State) ([]*ledgerv1.Event, error) {
	if c.GetDeliveryId() == "" {
		return nil, aggregate.InvalidField("delivery_id", "ID_INVALID", "a conclusion is of some notification")
	}
	if c.GetConclusion() == ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_UNSPECIFIED {
		return nil, aggregate.InvalidField("conclusion", "CONCLUSION_REQUIRED", "a notification ends in some way")
	}
	if _, ended := s.Conclusion(c.DeliveryId); ended {
		return nil, nil
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_DeliveryConcluded{DeliveryConcluded: c.DeliveryConcluded}}}, nil
}
