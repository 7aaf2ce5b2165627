package delivery_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/delivery"
)

const (
	none      = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_UNSPECIFIED
	delivered = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DELIVERED
	gaveUp    = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_GAVE_UP
)

func ended(id string, how ledgerv1.DeliveryConclusion) *ledgerv1.DeliveryConcluded {
	return &ledgerv1.DeliveryConcluded{
		DeliveryId: id, EventId: "e", Type: ledgerv1.IpnType_IPN_TYPE_SALE, OrderId: 10001, Conclusion: how, Tries: 2, HttpStatus: 200,
	}
}

func concluded(id string, how ledgerv1.DeliveryConclusion) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DeliveryConcluded{DeliveryConcluded: ended(id, how)}}
}

func TestConclude(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []*ledgerv1.Event
		when  delivery.Conclude
		then  []*ledgerv1.Event
		err   *aggregate.Error
	}{
		"the first": {
			when: delivery.Conclude{DeliveryConcluded: ended("a", delivered)},
			then: []*ledgerv1.Event{concluded("a", delivered)},
		},
		"another": {
			given: []*ledgerv1.Event{concluded("a", delivered)},
			when:  delivery.Conclude{DeliveryConcluded: ended("b", gaveUp)},
			then:  []*ledgerv1.Event{concluded("b", gaveUp)},
		},
		"again": {
			given: []*ledgerv1.Event{concluded("a", delivered), concluded("b", delivered)},
			when:  delivery.Conclude{DeliveryConcluded: ended("a", delivered)},
		},
		"again in another way": {
			given: []*ledgerv1.Event{concluded("a", gaveUp)},
			when:  delivery.Conclude{DeliveryConcluded: ended("a", delivered)},
		},
		"nothing": {
			when: delivery.Conclude{},
			err:  &aggregate.Error{Kind: aggregate.Invalid, Reason: "ID_INVALID", Field: "delivery_id"},
		},
		"in no way": {
			when: delivery.Conclude{DeliveryConcluded: ended("a", none)},
			err:  &aggregate.Error{Kind: aggregate.Invalid, Reason: "CONCLUSION_REQUIRED", Field: "conclusion"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := delivery.Type().New()
			for _, e := range c.given {
				s = delivery.Evolve(s, e)
			}
			got, err := c.when.Decide(s)
			e, ok := err.(*aggregate.Error)
			switch {
			case c.err == nil && err != nil:
				t.Fatalf("got error %v, want none", err)
			case c.err != nil && (!ok || e.Kind != c.err.Kind || e.Reason != c.err.Reason || e.Field != c.err.Field):
				t.Fatalf("got error %#v, want %#v", err, c.err)
			}
			if diff := cmp.Diff(c.then, got, protocmp.Transform()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatesAreIndependent(t *testing.T) {
	t.Parallel()
	base := delivery.Evolve(delivery.State{}, concluded("a", delivered))
	b := delivery.Evolve(base, concluded("b", delivered))
	c := delivery.Evolve(base, concluded("c", gaveUp))
	same := delivery.Evolve(base, &ledgerv1.Event{Kind: &ledgerv1.Event_NumbersReserved{}}) // somebody else's
	for name, s := range map[string]struct {
		delivery.State
		want map[string]ledgerv1.DeliveryConclusion
	}{
		"base":           {base, map[string]ledgerv1.DeliveryConclusion{"a": delivered}},
		"one branch":     {b, map[string]ledgerv1.DeliveryConclusion{"a": delivered, "b": delivered}},
		"another branch": {c, map[string]ledgerv1.DeliveryConclusion{"a": delivered, "c": gaveUp}},
		"not touched":    {same, map[string]ledgerv1.DeliveryConclusion{"a": delivered}},
	} {
		for _, id := range []string{"a", "b", "c"} {
			want, wantOK := s.want[id]
			if got, ok := s.Conclusion(id); got != want || ok != wantOK {
				t.Errorf("%s: %s ended %v (%v), want %v (%v)", name, id, got, ok, want, wantOK)
			}
		}
	}
	if got := delivery.Stream("acme", "shop", "sub_1"); got != "delivery-acme.shop.sub_1" {
		t.Errorf("got stream %q, want delivery-acme.shop.sub_1", got)
	}
}
