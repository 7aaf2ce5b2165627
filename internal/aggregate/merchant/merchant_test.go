package merchant_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/merchant"
)

func created(name, zone string, gdprOff bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_MerchantCreated{MerchantCreated: &ledgerv1.MerchantCreated{
		MerchantId: "acme", Name: name, TimeZone: zone, GdprOff: gdprOff,
	}}}
}

func changed(name, zone string, gdprOff bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_MerchantChanged{MerchantChanged: &ledgerv1.MerchantChanged{
		Name: name, TimeZone: zone, GdprOff: gdprOff,
	}}}
}

func settings(name, zone string, gdprOff bool) merchant.Settings {
	return merchant.Settings{Name: name, TimeZone: zone, GDPROff: gdprOff}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	acme := created("Acme", "UTC", false)
	for name, c := range map[string]struct {
		given []*ledgerv1.Event
		when  aggregate.Command[merchant.State]
		then  []*ledgerv1.Event
		err   *aggregate.Error // kind, reason and field
	}{
		"create": {
			when: merchant.Create{ID: "acme", Settings: settings("Acme", "Europe/Berlin", true), ZoneKnown: true},
			then: []*ledgerv1.Event{created("Acme", "Europe/Berlin", true)},
		},
		"create without a zone": {
			when: merchant.Create{ID: "acme", Settings: settings("Acme", "", false)},
			then: []*ledgerv1.Event{acme},
		},
		"create twice": {
			given: []*ledgerv1.Event{acme},
			when:  merchant.Create{ID: "acme", Settings: settings("Acme", "", false)},
			err:   &aggregate.Error{Kind: aggregate.Exists, Reason: "MERCHANT_EXISTS"},
		},
		"create with an id that is none": {
			when: merchant.Create{ID: "a/b", Settings: settings("Acme", "", false)},
			err:  &aggregate.Error{Kind: aggregate.Invalid, Reason: "ID_INVALID", Field: "merchant_id"},
		},
		"create without a name": {
			when: merchant.Create{ID: "acme", Settings: settings(" ", "", false)},
			err:  &aggregate.Error{Kind: aggregate.Invalid, Reason: "NAME_REQUIRED", Field: "name"},
		},
		"create in a zone nobody knows": {
			when: merchant.Create{ID: "acme", Settings: settings("Acme", "Mars/Olympus", false)},
			err:  &aggregate.Error{Kind: aggregate.Invalid, Reason: "TIME_ZONE_INVALID", Field: "time_zone"},
		},
		"create in the server's own zone": {
			when: merchant.Create{ID: "acme", Settings: settings("Acme", "Local", false), ZoneKnown: true},
			err:  &aggregate.Error{Kind: aggregate.Invalid, Reason: "TIME_ZONE_INVALID", Field: "time_zone"},
		},
		"update": {
			given: []*ledgerv1.Event{acme},
			when:  merchant.Update{ID: "acme", Settings: settings("Acme & Sons", "Asia/Tokyo", true), ZoneKnown: true},
			then:  []*ledgerv1.Event{changed("Acme & Sons", "Asia/Tokyo", true)},
		},
		"update to what it is": {
			given: []*ledgerv1.Event{acme},
			when:  merchant.Update{ID: "acme", Settings: settings("Acme", "", false)},
			err:   &aggregate.Error{Kind: aggregate.FailedPrecondition, Reason: "UNCHANGED"},
		},
		"update back": {
			given: []*ledgerv1.Event{acme, changed("Other", "UTC", true)},
			when:  merchant.Update{ID: "acme", Settings: settings("Acme", "", false)},
			then:  []*ledgerv1.Event{changed("Acme", "UTC", false)},
		},
		"update without a name": {
			given: []*ledgerv1.Event{acme},
			when:  merchant.Update{ID: "acme"},
			err:   &aggregate.Error{Kind: aggregate.Invalid, Reason: "NAME_REQUIRED", Field: "name"},
		},
		"update of nobody": {
			when: merchant.Update{ID: "acme", Settings: settings("Acme", "", false)},
			err:  &aggregate.Error{Kind: aggregate.NotFound, Reason: "NOT_FOUND"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := merchant.Type().New()
			for _, e := range c.given {
				s = merchant.Evolve(s, e)
			}
			before := s
			got, err := c.when.Decide(s)
			wantError(t, err, c.err)
			if diff := cmp.Diff(c.then, got, protocmp.Transform()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if s != before {
				t.Errorf("deciding changed the state from %+v to %+v", before, s)
			}
		})
	}
}

// wantError compares kind, reason and field; nil wants no error.
func wantError(t *testing.T, got error, want *aggregate.Error) {
	t.Helper()
	e, ok := got.(*aggregate.Error)
	switch {
	case want == nil && got != nil:
		t.Fatalf("got error %v, want none", got)
	case want != nil && (!ok || e.Kind != want.Kind || e.Reason != want.Reason || e.Field != want.Field):
		t.Fatalf("got error %#v, want %#v", got, want)
	}
}

func TestEvolve(t *testing.T) {
	t.Parallel()
	s := merchant.State{}
	if s.Exists() {
		t.Error("a merchant exists before its first event")
	}
	for _, e := range []*ledgerv1.Event{
		created("Acme", "UTC", false),
		changed("Acme & Sons", "Asia/Tokyo", true),
		{Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{}}}, // somebody else's
	} {
		s = merchant.Evolve(s, e)
	}
	want := merchant.State{ID: "acme", Settings: settings("Acme & Sons", "Asia/Tokyo", true)}
	if diff := cmp.Diff(want, s); diff != "" || !s.Exists() {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	if got := merchant.Stream("acme"); got != "merchant-acme" {
		t.Errorf("got %q, want merchant-acme", got)
	}
}
