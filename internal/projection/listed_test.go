package projection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

func TestListedConnections(t *testing.T) {
	t.Parallel()
	at := func(n int, id string, e *ledgerv1.Event) event.Recorded {
		e.Metadata = &ledgerv1.Metadata{RecordedAt: timestamppb.New(minute(n))}
		return event.Recorded{Stream: "connection-acme." + id, Event: e}
	}
	created := func(id string) *ledgerv1.Event {
		return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionCreated{ConnectionCreated: &ledgerv1.ConnectionCreated{MerchantId: "acme", ConnectionId: id}}}
	}
	blocked := &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionBlocked{ConnectionBlocked: &ledgerv1.ConnectionBlocked{MerchantId: "acme", ConnectionId: "a"}}}
	v := newViews(t, projection.ListedConnections())
	v.apply(at(2, "b", created("b")), at(1, "a", created("a")), at(3, "a", blocked))
	got, err := projection.AllListedConnections(t.Context(), v.store)
	want := []projection.ListedConnection{{"acme", "a", minute(1)}, {"acme", "b", minute(2)}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}
