package connection_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

func created(processor, url string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionCreated{ConnectionCreated: &ledgerv1.ConnectionCreated{
		MerchantId: "acme", ConnectionId: "main", Gateway: "sandbox", Processor: processor,
		Mode: ledgerv1.Mode_MODE_TEST, Url: url, Credentials: []byte("sealed"),
	}}}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	good := connection.Create{Merchant: "acme", ID: "main", Gateway: "sandbox", Credentials: []byte("sealed")}
	with := func(change func(*connection.Create)) connection.Create {
		c := good
		change(&c)
		return c
	}
	invalid := func(reason, field string) *aggregate.Error {
		return &aggregate.Error{Kind: aggregate.Invalid, Reason: reason, Field: field}
	}
	for name, c := range map[string]struct {
		given []*ledgerv1.Event
		when  connection.Create
		then  []*ledgerv1.Event
		err   *aggregate.Error // kind, reason and field
	}{
		"with defaults": {when: good, then: []*ledgerv1.Event{created("Stripe", "")}},
		"for PayPal elsewhere": {
			when: with(func(c *connection.Create) { c.Processor, c.URL = "PayPal", "https://sandbox.example:8443/api" }),
			then: []*ledgerv1.Event{created("PayPal", "https://sandbox.example:8443/api")},
		},
		"twice": {
			given: []*ledgerv1.Event{created("Stripe", "")},
			when:  good,
			err:   &aggregate.Error{Kind: aggregate.Exists, Reason: "CONNECTION_EXISTS"},
		},
		"with a merchant's id that is none": {
			when: with(func(c *connection.Create) { c.Merchant = "a.b" }),
			err:  invalid("ID_INVALID", "merchant_id"),
		},
		"with an id that is none": {
			when: with(func(c *connection.Create) { c.ID = "" }),
			err:  invalid("ID_INVALID", "connection_id"),
		},
		"at no gateway": {
			when: with(func(c *connection.Create) { c.Gateway = "" }),
			err:  invalid("GATEWAY_UNKNOWN", "gateway"),
		},
		"for a processor nobody knows": {
			when: with(func(c *connection.Create) { c.Processor = "stripe" }),
			err:  invalid("PROCESSOR_UNKNOWN", "processor"),
		},
		"with a URL that is none": {
			when: with(func(c *connection.Create) { c.URL = "localhost:8080" }),
			err:  invalid("URL_INVALID", "url"),
		},
		"of an account whose name is too long": {
			when: with(func(c *connection.Create) { c.Account = strings.Repeat("a", 256) }),
			err:  invalid("ACCOUNT_TOO_LONG", "account"),
		},
		"with a publishable key that is too long": {
			when: with(func(c *connection.Create) { c.PublishableKey = strings.Repeat("a", 256) }),
			err:  invalid("ACCOUNT_TOO_LONG", "publishable_key"),
		},
		"until a day that has passed": {
			when: with(func(c *connection.Create) { c.Now, c.UpdateBy = noon, noon }),
			err:  invalid("UPDATE_BY_PAST", "update_by"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := connection.Type().New()
			for _, e := range c.given {
				s = connection.Evolve(s, e)
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

func TestEveryProcessorCanBeStoodFor(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"Stripe", "PayPal", "Braintree", "Authorize.net", "payabl"} {
		c := connection.Create{Merchant: "acme", ID: "main", Gateway: "sandbox", Processor: p, Credentials: []byte("sealed")}
		got, err := c.Decide(connection.State{})
		if diff := cmp.Diff([]*ledgerv1.Event{created(p, "")}, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("%s: error %v, events (-want +got):\n%s", p, err, diff)
		}
	}
}

func TestEvolve(t *testing.T) {
	t.Parallel()
	s := connection.State{}
	if s.Exists() {
		t.Error("a connection exists before its first event")
	}
	s = connection.Evolve(s, created("PayPal", "http://127.0.0.1:9000"))
	s = connection.Evolve(s, &ledgerv1.Event{Kind: &ledgerv1.Event_NumbersReserved{}}) // somebody else's
	want := connection.State{
		Merchant: "acme", ID: "main", Gateway: "sandbox", Processor: "PayPal", Mode: ledgerv1.Mode_MODE_TEST,
		URL: "http://127.0.0.1:9000", Credentials: []byte("sealed"), Status: ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE,
	}
	if diff := cmp.Diff(want, s); diff != "" || !s.Exists() {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if got := connection.Stream("acme", "main"); got != "connection-acme.main" {
		t.Errorf("got stream %q, want connection-acme.main", got)
	}
}
