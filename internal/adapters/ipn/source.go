package ipn

import (
	"context"
	"fmt"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// Source finds in the log what a notification tells of. Everything is as of the event, or earlier: what it gives for
// a delivery never changes.
type Source struct {
	Log       event.Log
	Endpoints *aggregate.Runner[endpoint.State]
	Merchants *aggregate.Runner[merchant.State]
}

// Body renders a delivery. It holds the secret key; Redacted leaves it out.
func (s Source) Body(ctx context.Context, d projection.DueDelivery) (Body, error) {
	n, err := s.Notice(ctx, d)
	if err != nil {
		return nil, err
	}
	return Render(n)
}

// Notice gathers what a delivery is rendered from.
func (s Source) Notice(ctx context.Context, d projection.DueDelivery) (n Notice, err error) {
	if n.Before, n.Event, err = s.upTo(ctx, d.Stream, d.Revision); err != nil {
		return Notice{}, err
	}
	if n.Event.ID.String() != d.EventID {
		return Notice{}, fmt.Errorf("%s has event %s at revision %d, not %s", d.Stream, n.Event.ID, d.Revision, d.EventID)
	}
	n.After = subscription.Evolve(n.Before, n.Event.Event)
	n.Processor = n.After.Processor(connectionOf(n.Event.Event))
	if n.Endpoint, err = s.Endpoints.LoadAt(ctx, d.Endpoint, d.EndpointAt); err != nil {
		return Notice{}, err
	}
	if n.Merchant, err = s.Merchants.LoadAt(ctx, merchant.Stream(d.MerchantID), d.Position); err != nil {
		return Notice{}, err
	}
	return n, nil
}

// connectionOf is the connection that an event names; empty if it names none.
func connectionOf(e *ledgerv1.Event) string {
	kind := e.ProtoReflect().WhichOneof(e.ProtoReflect().Descriptor().Oneofs().ByName("kind"))
	if kind == nil {
		return ""
	}
	m := e.ProtoReflect().Get(kind).Message()
	named := m.Descriptor().Fields().ByName("connection_id")
	if named == nil {
		return ""
	}
	return m.Get(named).String()
}

// upTo reads a stream once for both the event at a revision and the state just before it.
func (s Source) upTo(ctx context.Context, stream string, revision event.Revision) (before subscription.State, e event.Recorded, err error) {
	for raw, err := range s.Log.Read(ctx, stream, 0) {
		if err != nil {
			return before, e, fmt.Errorf("read %s: %w", stream, err)
		}
		if e, err = event.Decode(raw); err != nil {
			return before, e, fmt.Errorf("read %s: %w", stream, err)
		}
		if e.Revision == revision {
			return before, e, nil
		}
		before = subscription.Evolve(before, e.Event)
	}
	return before, e, fmt.Errorf("read %s: there is no revision %d", stream, revision)
}
