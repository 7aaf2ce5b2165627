package connection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

func blocked(reason string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionBlocked{ConnectionBlocked: &ledgerv1.ConnectionBlocked{
		MerchantId: "acme", ConnectionId: "main", Reason: reason,
	}}}
}

func unblocked() *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionUnblocked{ConnectionUnblocked: &ledgerv1.ConnectionUnblocked{
		MerchantId: "acme", ConnectionId: "main",
	}}}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	there := created("Stripe", "")
	block := connection.Block{ID: "main", Reason: " suspended "}
	unblock := connection.Unblock{ID: "main"}
	for name, c := range map[string]struct {
		given  []*ledgerv1.Event
		when   aggregate.Command[connection.State]
		then   []*ledgerv1.Event
		reason string // of the refusal
	}{
		"blocked":                    {given: []*ledgerv1.Event{there}, when: block, then: []*ledgerv1.Event{blocked("suspended")}},
		"blocked again":              {given: []*ledgerv1.Event{there, blocked("a"), unblocked()}, when: block, then: []*ledgerv1.Event{blocked("suspended")}},
		"unblocked":                  {given: []*ledgerv1.Event{there, blocked("a")}, when: unblock, then: []*ledgerv1.Event{unblocked()}},
		"blocked while it is":        {given: []*ledgerv1.Event{there, blocked("a")}, when: block, reason: "CONNECTION_BLOCKED"},
		"unblocked while it is not":  {given: []*ledgerv1.Event{there}, when: unblock, reason: "CONNECTION_NOT_BLOCKED"},
		"unblocked twice":            {given: []*ledgerv1.Event{there, blocked("a"), unblocked()}, when: unblock, reason: "CONNECTION_NOT_BLOCKED"},
		"blocked for no reason":      {given: []*ledgerv1.Event{there}, when: connection.Block{ID: "main", Reason: " \t"}, reason: "REASON_REQUIRED"},
		"one that is not there":      {when: block, reason: "NOT_FOUND"},
		"unblocked and is not there": {when: unblock, reason: "NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := connection.State{}
			for _, e := range c.given {
				s = connection.Evolve(s, e)
			}
			got, err := c.when.Decide(s)
			var reason string
			if e, ok := err.(*aggregate.Error); ok {
				reason = e.Reason
			} else if err != nil {
				t.Fatal(err)
			}
			if reason != c.reason {
				t.Errorf("refused with %q, want %q", reason, c.reason)
			}
			if diff := cmp.Diff(c.then, got, protocmp.Transform()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvolveBlock(t *testing.T) {
	t.Parallel()
	free := connection.Evolve(connection.State{}, created("Stripe", ""))
	held := connection.Evolve(free, blocked("suspended"))
	want := free
	want.Blocked, want.BlockedReason = true, "suspended"
	if diff := cmp.Diff(want, held); diff != "" {
		t.Errorf("blocked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(free, connection.Evolve(held, unblocked())); diff != "" {
		t.Errorf("unblocked (-want +got):\n%s", diff)
	}
}
