package invariant_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

// world is a ledger that was never run: its log holds histories, its rows were made from them, and what others saw is
// what they would have seen.
type world struct {
	t     testing.TB
	log   *memory.Log
	views *db.Memory
	work  *work.Work
	seen  invariant.Evidence
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, log: memory.New(), views: memoryStore(t)}
	var err error
	w.work, err = work.New(context.Background(), memoryStore(t))
	w.ok(err)
	return w
}

func memoryStore(t testing.TB) *db.Memory {
	t.Helper()
	m, err := db.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// healthy is a world in which every history was lived, and everybody was told.
func healthy(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.live(aggregatetest.Histories()...)
	w.deliver()
	w.project()
	w.see()
	return w
}

// live appends what the histories say, to an endpoint that hears of all of it.
func (w *world) live(histories ...aggregatetest.History) {
	w.t.Helper()
	w.create("shop")
	for _, h := range histories {
		w.append(h)
	}
}

func (w *world) create(id string) {
	w.t.Helper()
	_, err := aggregate.NewRunner(w.log, endpoint.Type()).Do(w.t.Context(), endpoint.Stream(aggregatetest.Merchant, id),
		aggregate.Request{ID: "create", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		endpoint.Create{Merchant: aggregatetest.Merchant, ID: id, SigningSecret: "whsec_c2VjcmV0",
			Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn"}})
	w.ok(err)
}

func (w *world) append(h aggregatetest.History) {
	w.t.Helper()
	raws, err := h.Raws()
	w.ok(err)
	_, err = w.log.Append(w.t.Context(), h.Stream, event.NoStream, raws...)
	w.ok(err)
}

const delivered = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DELIVERED

// deliver has the endpoint get and acknowledge all it has to hear of.
func (w *world) deliver() {
	w.t.Helper()
	for _, e := range w.events(subscription.Category) {
		w.deliverOne(e, delivered)
	}
}

func (w *world) deliverOne(e event.Recorded, how ledgerv1.DeliveryConclusion) {
	w.t.Helper()
	kind, order, told := projection.IPNType(e.Event)
	if !told {
		return
	}
	_, id, _ := strings.Cut(e.Stream, ".")
	d := projection.DeliveryID(e.ID, "shop")
	w.seen.Receipts = append(w.seen.Receipts, invariant.Receipt{Merchant: aggregatetest.Merchant, Endpoint: "shop",
		WebhookID: d, Body: "of " + e.ID.String(), Genuine: true, Acknowledged: true})
	_, err := aggregate.NewRunner(w.log, delivery.Type()).Do(w.t.Context(), delivery.Stream(aggregatetest.Merchant, "shop", id),
		aggregate.Request{ID: aggregate.InternalPrefix + "delivery/" + d, At: e.Metadata.GetRecordedAt().AsTime(), Cause: e.ID},
		delivery.Conclude{DeliveryConcluded: &ledgerv1.DeliveryConcluded{
			DeliveryId: d, EventId: e.ID.String(), Type: kind, OrderId: order, Conclusion: how, Tries: 1, HttpStatus: 200}})
	w.ok(err)
}

// project makes the rows, as followers do.
func (w *world) project() {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context())
	w.ok(err)
	w.follow(w.views, projection.Views(), head)
	w.follow(w.work, projection.Work(), head)
}

func (w *world) follow(store projection.Store, list []projection.Projection, head event.Position) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	for _, p := range list {
		f := projection.NewFollower(w.log, store, p)
		w.ok(f.Prepare(ctx))
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		w.t.Cleanup(func() { <-done })
		w.ok(f.WaitFor(ctx, head))
	}
}

// see notes what callers and gateways saw: what the log says.
func (w *world) see() {
	w.t.Helper()
	w.seen.Captures, w.seen.Returns, w.seen.Asked = []invariant.Capture{}, []invariant.Return{}, []string{"create"}
	last := map[string]event.Recorded{}
	for _, e := range w.events(subscription.Category) {
		last[e.Stream] = e
		if id := e.Metadata.RequestId; !strings.HasPrefix(id, aggregate.InternalPrefix) {
			w.ack(e)
		}
	}
	for stream := range last {
		s, _, err := aggregate.NewRunner(w.log, subscription.Type()).Load(w.t.Context(), stream)
		w.ok(err)
		w.book(s)
	}
	slices.SortFunc(w.seen.Captures, func(a, b invariant.Capture) int { return cmp.Compare(a.Reference, b.Reference) })
	slices.SortFunc(w.seen.Returns, func(a, b invariant.Return) int { return cmp.Compare(a.Reference, b.Reference) })
}

// ack notes that a caller had an answer. Of the events of one request the last one's counts.
func (w *world) ack(e event.Recorded) {
	a := invariant.Ack{Stream: e.Stream, RequestID: e.Metadata.RequestId, Revision: int64(e.Revision), Position: e.Position.String()}
	if n := len(w.seen.Acks); n > 0 && w.seen.Acks[n-1].Stream == a.Stream && w.seen.Acks[n-1].RequestID == a.RequestID {
		w.seen.Acks = w.seen.Acks[:n-1]
	}
	w.seen.Acks = append(w.seen.Acks, a)
	w.seen.Asked = append(w.seen.Asked, a.RequestID)
}

// book writes what a gateway's book would hold of a subscription.
func (w *world) book(s subscription.State) {
	st := s.Started
	capture := func(number uint32, connection, key, reference string, m *ledgerv1.Money) {
		if reference != "" && m.GetMinorUnits() > 0 {
			w.seen.Captures = append(w.seen.Captures, invariant.Capture{Merchant: st.MerchantId, Subscription: st.SubscriptionId,
				PayNumber: number, Connection: connection, Key: key, Reference: reference, Currency: m.CurrencyCode, Minor: m.MinorUnits})
		}
	}
	for _, c := range s.Charges {
		capture(c.Number, c.Connection, c.Key, c.Reference, c.Amounts.Full)
	}
	for _, a := range s.Attempts {
		switch a.Status {
		case subscription.AttemptMismatched:
			capture(a.Number, a.Connection, a.Key, a.Reference, a.Captured)
		case subscription.AttemptDuplicate: // the gateway charged it by itself
			capture(a.Number, a.Connection, "", a.Reference, a.Captured)
		}
	}
	for _, r := range s.Refunds {
		if r.Status != subscription.RefundSucceeded && r.Status != subscription.RefundReversed {
			continue
		}
		c, _ := s.FindCharge(r.Parent)
		w.seen.Returns = append(w.seen.Returns, invariant.Return{Merchant: st.MerchantId, Subscription: st.SubscriptionId,
			Connection: c.Connection, Kind: invariant.Refunded, Key: r.Key, Reference: r.Reference, ChargeReference: c.Reference,
			Currency: r.Amounts.Full.CurrencyCode, Minor: r.Amounts.Full.MinorUnits})
	}
	for _, d := range s.Disputes {
		if full := d.Withdrawn.GetFull(); full != nil {
			w.seen.Returns = append(w.seen.Returns, invariant.Return{Merchant: st.MerchantId, Subscription: st.SubscriptionId,
				Kind: invariant.ChargedBack, Reference: d.ID, Currency: full.CurrencyCode, Minor: full.MinorUnits})
		}
	}
}

// events are those of a category, in log order.
func (w *world) events(category string) (all []event.Recorded) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	_ = w.log.Follow(ctx, []string{category}, event.Cursor{}, func(_ context.Context, m event.Message) error {
		if m.Kind == event.KindCaughtUp {
			return context.Canceled
		}
		if m.Kind == event.KindEvent {
			e, err := event.Decode(m.Event)
			w.ok(err)
			all = append(all, e)
		}
		return nil
	})
	return all
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// world is all that there is to be checked.
func (w *world) world() invariant.World {
	return invariant.World{Log: w.log, Views: w.views, Work: w.work, Evidence: w.seen}
}

func (w *world) check(in invariant.World) *invariant.Report {
	w.t.Helper()
	r, err := invariant.Check(w.t.Context(), in)
	w.ok(err)
	return r
}

// exec changes a store past everybody.
func (w *world) exec(store projection.Store, statement string) {
	w.t.Helper()
	w.ok(store.Update(w.t.Context(), func(tx projection.Tx) error {
		n, err := tx.Exec(statement)
		if n == 0 {
			w.t.Error("the statement changed nothing")
		}
		return err
	}))
}

// appendBehind writes events behind a stream without asking whether they may be.
func (w *world) appendBehind(stream string, more func(subscription.State) []*ledgerv1.Event) {
	w.t.Helper()
	s, revision, err := aggregate.NewRunner(w.log, subscription.Type()).Load(w.t.Context(), stream)
	w.ok(err)
	var last event.Recorded
	for raw, err := range w.log.Read(w.t.Context(), stream, revision) {
		w.ok(err)
		last, err = event.Decode(raw)
		w.ok(err)
	}
	prev, at := last.Metadata.Hash, last.Metadata.RecordedAt
	for i, e := range more(s) {
		e.Metadata = &ledgerv1.Metadata{OccurredAt: at, RecordedAt: timestamppb.New(at.AsTime().Add(time.Second)), Actor: "thief", RequestId: "forced"}
		raw, err := event.Encode(prev, stream, revision+1, event.ID(stream, "forced", i), e)
		w.ok(err)
		_, err = w.log.Append(w.t.Context(), stream, revision, raw)
		w.ok(err)
		prev = e.Metadata.Hash
		revision++
	}
}

// tampered is a log that somebody has been at.
type tampered struct {
	event.Log
	change func(n int, e *event.RawRecorded) (drop bool)
}

func (l tampered) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	n := 0
	return l.Log.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
		if m.Kind == event.KindEvent {
			n++
			m.Event.Data = append([]byte(nil), m.Event.Data...)
			m.Event.Metadata = append([]byte(nil), m.Event.Metadata...)
			if l.change(n, &m.Event) {
				return nil
			}
		}
		return h(ctx, m)
	})
}

// wantClean fails with every violation there is.
func wantClean(t testing.TB, r *invariant.Report) {
	t.Helper()
	if len(r.Violations) > 0 {
		t.Errorf("violations in lives that follow the rules:\n%s", strings.Join(r.Violations, "\n"))
	}
}

// wantBroken fails unless one promise was broken, and no other one.
func wantBroken(t *testing.T, violations []string, promise, says string) {
	t.Helper()
	found := false
	for _, v := range violations {
		found = found || strings.HasPrefix(v, promise+": ") && strings.Contains(v, says)
		if !strings.HasPrefix(v, promise+": ") {
			t.Errorf("found %q, want only violations of %s", v, promise)
		}
	}
	if !found {
		t.Errorf("found %q, want a violation of %s that says %q", violations, promise, says)
	}
}
