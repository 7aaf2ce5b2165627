package endpoint_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/endpoint"
)

const (
	sale   = ledgerv1.IpnType_IPN_TYPE_SALE
	rebill = ledgerv1.IpnType_IPN_TYPE_REBILL
	refund = ledgerv1.IpnType_IPN_TYPE_REFUND
)

// settings are good ones as they are stored, changed as the case wants.
func settings(change func(*ledgerv1.EndpointSettings)) *ledgerv1.EndpointSettings {
	s := &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn?x=1", SecretKey: "key", DateZone: "EST"}
	if change != nil {
		change(s)
	}
	return s
}

func created(s *ledgerv1.EndpointSettings) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointCreated{EndpointCreated: &ledgerv1.EndpointCreated{
		MerchantId: "acme", EndpointId: "shop", Settings: s, SigningSecret: "whsec_aGVsbG8=",
	}}}
}

func changed(s *ledgerv1.EndpointSettings) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointChanged{EndpointChanged: &ledgerv1.EndpointChanged{Settings: s}}}
}

func disabled(reason string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointDisabled{EndpointDisabled: &ledgerv1.EndpointDisabled{Reason: reason}}}
}

func create(s *ledgerv1.EndpointSettings) endpoint.Create {
	return endpoint.Create{Merchant: "acme", ID: "shop", Settings: s, SigningSecret: "whsec_aGVsbG8="}
}

func invalid(reason, field string) *aggregate.Error {
	return &aggregate.Error{Kind: aggregate.Invalid, Reason: reason, Field: field}
}

// given/when/then; err says kind, reason and field.
type story struct {
	given []*ledgerv1.Event
	when  aggregate.Command[endpoint.State]
	then  []*ledgerv1.Event
	err   *aggregate.Error
}

func check(t *testing.T, stories map[string]story) {
	t.Helper()
	for name, c := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := endpoint.Type().New()
			for _, e := range c.given {
				s = endpoint.Evolve(s, e)
			}
			before := proto.Clone(s.Settings)
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
			if diff := cmp.Diff(before, proto.Message(s.Settings), protocmp.Transform()); diff != "" {
				t.Errorf("deciding changed the state (-before +after):\n%s", diff)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	zone := func(name string) *ledgerv1.EndpointSettings {
		return settings(func(s *ledgerv1.EndpointSettings) { s.DateZone = name })
	}
	url := func(url string) *ledgerv1.EndpointSettings {
		return settings(func(s *ledgerv1.EndpointSettings) { s.Url = url })
	}
	types := func(types ...ledgerv1.IpnType) *ledgerv1.EndpointSettings {
		return settings(func(s *ledgerv1.EndpointSettings) { s.Types = types })
	}
	noKey := settings(func(s *ledgerv1.EndpointSettings) { s.SecretKey = "" })
	berlin := create(zone("Europe/Berlin"))
	berlin.ZoneKnown = true
	local := create(zone("Local"))
	local.ZoneKnown = true
	badID, badMerchant, unsigned := create(settings(nil)), create(settings(nil)), create(settings(nil))
	badID.ID, badMerchant.Merchant, unsigned.SigningSecret = "a-b", "", ""
	check(t, map[string]story{
		"plain":                    {when: create(settings(nil)), then: []*ledgerv1.Event{created(settings(nil))}},
		"without a secret key":     {when: create(noKey), then: []*ledgerv1.Event{created(noKey)}},
		"without a zone":           {when: create(zone("")), then: []*ledgerv1.Event{created(zone("EST"))}},
		"in Berlin":                {when: berlin, then: []*ledgerv1.Event{created(zone("Europe/Berlin"))}},
		"types are put in order":   {when: create(types(refund, sale)), then: []*ledgerv1.Event{created(types(sale, refund))}},
		"without settings":         {when: create(nil), err: invalid("URL_INVALID", "settings.url")},
		"without a URL":            {when: create(url("")), err: invalid("URL_INVALID", "settings.url")},
		"with a user in the URL":   {when: create(url("https://u:p@shop.example/")), err: invalid("URL_INVALID", "settings.url")},
		"in a zone nobody knows":   {when: create(zone("Mars/Olympus")), err: invalid("TIME_ZONE_INVALID", "settings.date_zone")},
		"in the server's zone":     {when: local, err: invalid("TIME_ZONE_INVALID", "settings.date_zone")},
		"a type nobody knows":      {when: create(types(sale, 99)), err: invalid("EVENT_TYPE_UNKNOWN", "settings.types")},
		"an unspecified type":      {when: create(types(0)), err: invalid("EVENT_TYPE_UNKNOWN", "settings.types")},
		"a type twice":             {when: create(types(sale, refund, sale)), err: invalid("EVENT_TYPE_DUPLICATE", "settings.types")},
		"an id that is none":       {when: badID, err: invalid("ID_INVALID", "endpoint_id")},
		"no merchant":              {when: badMerchant, err: invalid("ID_INVALID", "merchant_id")},
		"without a signing secret": {when: unsigned, err: invalid("SECRET_REQUIRED", "signing_secret")},
		"twice": {
			given: []*ledgerv1.Event{created(settings(nil))},
			when:  create(settings(nil)),
			err:   &aggregate.Error{Kind: aggregate.Exists, Reason: "ENDPOINT_EXISTS"},
		},
	})
}

func TestDecidingLeavesWhatWasSent(t *testing.T) {
	t.Parallel()
	sent := &ledgerv1.EndpointSettings{Url: "https://shop.example/", Types: []ledgerv1.IpnType{refund, sale}}
	before := proto.CloneOf(sent)
	if _, err := create(sent).Decide(endpoint.State{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, sent, protocmp.Transform()); diff != "" {
		t.Errorf("settings (-before +after):\n%s", diff)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	first := []*ledgerv1.Event{created(settings(nil))}
	moved := settings(func(s *ledgerv1.EndpointSettings) { s.Url, s.SecretKey = "https://new.example/", "other" })
	movedKeepingKey := settings(func(s *ledgerv1.EndpointSettings) { s.Url = "https://new.example/" })
	movedWithoutKey := settings(func(s *ledgerv1.EndpointSettings) { s.Url, s.SecretKey = "https://new.example/", "" })
	asItIs := settings(func(s *ledgerv1.EndpointSettings) { s.SecretKey, s.DateZone = "", "" })
	check(t, map[string]story{
		"with a new key": {
			given: first,
			when:  endpoint.Update{ID: "shop", Settings: moved},
			then:  []*ledgerv1.Event{changed(moved)},
		},
		"without a key keeps it": {
			given: first,
			when:  endpoint.Update{ID: "shop", Settings: movedWithoutKey},
			then:  []*ledgerv1.Event{changed(movedKeepingKey)},
		},
		"to what it is": {
			given: first,
			when:  endpoint.Update{ID: "shop", Settings: asItIs},
			err:   &aggregate.Error{Kind: aggregate.FailedPrecondition, Reason: "UNCHANGED"},
		},
		"to what it is enables a disabled one": {
			given: append(first, disabled("gone")),
			when:  endpoint.Update{ID: "shop", Settings: asItIs},
			then:  []*ledgerv1.Event{changed(settings(nil))},
		},
		"with a URL that is none": {
			given: first,
			when:  endpoint.Update{ID: "shop", Settings: &ledgerv1.EndpointSettings{Url: "ftp://shop.example"}},
			err:   invalid("URL_INVALID", "settings.url"),
		},
		"of none": {
			when: endpoint.Update{ID: "shop", Settings: settings(nil)},
			err:  &aggregate.Error{Kind: aggregate.NotFound, Reason: "NOT_FOUND"},
		},
	})
}

func TestDisable(t *testing.T) {
	t.Parallel()
	first := []*ledgerv1.Event{created(settings(nil))}
	check(t, map[string]story{
		"by the merchant":     {given: first, when: endpoint.Disable{ID: "shop", Reason: endpoint.ByMerchant}, then: []*ledgerv1.Event{disabled("merchant")}},
		"because it is gone":  {given: first, when: endpoint.Disable{ID: "shop", Reason: endpoint.Gone}, then: []*ledgerv1.Event{disabled("gone")}},
		"for no reason":       {given: first, when: endpoint.Disable{ID: "shop"}, err: invalid("DISABLE_REASON_INVALID", "reason")},
		"gone while disabled": {given: append(first, disabled("merchant")), when: endpoint.Disable{ID: "shop", Reason: endpoint.Gone}},
		"of none": {
			when: endpoint.Disable{ID: "shop", Reason: endpoint.ByMerchant},
			err:  &aggregate.Error{Kind: aggregate.NotFound, Reason: "NOT_FOUND"},
		},
		"twice": {
			given: append(first, disabled("gone")),
			when:  endpoint.Disable{ID: "shop", Reason: endpoint.ByMerchant},
			err:   &aggregate.Error{Kind: aggregate.FailedPrecondition, Reason: "ENDPOINT_DISABLED"},
		},
	})
}

func TestWants(t *testing.T) {
	t.Parallel()
	s := endpoint.State{}
	if s.Exists() || s.Wants(sale) {
		t.Error("an endpoint that does not exist wants sales")
	}
	onlySales := settings(func(s *ledgerv1.EndpointSettings) { s.Types = []ledgerv1.IpnType{sale, refund} })
	for _, step := range []struct {
		name         string
		event        *ledgerv1.Event
		sale, rebill bool
	}{
		{"created for all", created(settings(nil)), true, true},
		{"changed to some", changed(onlySales), true, false},
		{"disabled", disabled("gone"), false, false},
		{"enabled", changed(settings(nil)), true, true},
		{"somebody else's event", &ledgerv1.Event{Kind: &ledgerv1.Event_NumbersReserved{}}, true, true},
	} {
		s = endpoint.Evolve(s, step.event)
		if gotSale, gotRebill := s.Wants(sale), s.Wants(rebill); gotSale != step.sale || gotRebill != step.rebill {
			t.Errorf("%s: wants sales %v and rebills %v; want %v and %v", step.name, gotSale, gotRebill, step.sale, step.rebill)
		}
		if s.Wants(ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED) || s.Wants(99) {
			t.Errorf("%s: wants notifications that there are none of", step.name)
		}
	}
	want := endpoint.State{Merchant: "acme", ID: "shop", Settings: settings(nil), SigningSecret: "whsec_aGVsbG8="}
	if diff := cmp.Diff(want, s, protocmp.Transform()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if got := endpoint.Stream("acme", "shop"); got != "endpoint-acme.shop" {
		t.Errorf("got stream %q, want endpoint-acme.shop", got)
	}
}
