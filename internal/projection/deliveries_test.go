package projection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	saleType   = ledgerv1.IpnType_IPN_TYPE_SALE
	rebillType = ledgerv1.IpnType_IPN_TYPE_REBILL
	failedType = ledgerv1.IpnType_IPN_TYPE_FAILED
)

// told is a log being written, one event after the other, of several streams.
type told struct {
	events []event.Recorded
	next   map[string]event.Revision
}

func newTold() *told { return &told{next: map[string]event.Revision{}} }

// add appends an event in the minute of its position.
func (l *told) add(stream string, e *ledgerv1.Event) *told {
	n := len(l.events) + 1
	e.Metadata = &ledgerv1.Metadata{OccurredAt: timestamppb.New(minute(n)), RecordedAt: timestamppb.New(minute(n))}
	l.events = append(l.events, event.Recorded{
		Stream: stream, Revision: l.next[stream], Position: event.Position{Commit: uint64(n), Prepare: uint64(n)},
		ID: uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s %d", stream, n)), Event: e,
	})
	l.next[stream]++
	return l
}

func (l *told) endpoint(id string, types ...ledgerv1.IpnType) *told {
	return l.add("endpoint-acme."+id, &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointCreated{EndpointCreated: &ledgerv1.EndpointCreated{
		MerchantId: "acme", EndpointId: id, Settings: &ledgerv1.EndpointSettings{Url: "https://a.example", Types: types},
	}}})
}

func (l *told) changed(id string, types ...ledgerv1.IpnType) *told {
	return l.add("endpoint-acme."+id, &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointChanged{EndpointChanged: &ledgerv1.EndpointChanged{
		Settings: &ledgerv1.EndpointSettings{Url: "https://b.example", Types: types},
	}}})
}

func (l *told) disabled(id string) *told {
	return l.add("endpoint-acme."+id, &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointDisabled{EndpointDisabled: &ledgerv1.EndpointDisabled{Reason: "gone"}}})
}

// sold adds a payment of a subscription: order 10001 pays number 1, and so on.
func (l *told) sold(id string, order int64) *told {
	return l.add("subscription-acme."+id, succeeded(order, uint32(order%10000), 1, 0))
}

// concluded says how the notification of the n-th event, from 1, ended for an endpoint.
func (l *told) concluded(n int, endpoint string, how ledgerv1.DeliveryConclusion) *told {
	e := l.events[n-1]
	subscription := strings.TrimPrefix(e.Stream, "subscription-acme.")
	t, order, _ := projection.IPNType(e.Event)
	return l.add("delivery-acme."+endpoint+"."+subscription, &ledgerv1.Event{Kind: &ledgerv1.Event_DeliveryConcluded{DeliveryConcluded: &ledgerv1.DeliveryConcluded{
		DeliveryId: projection.DeliveryID(e.ID, endpoint), EventId: e.ID.String(), Type: t, OrderId: order,
		Conclusion: how, Tries: 2, HttpStatus: 200,
	}}})
}

const (
	deliveredWell = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DELIVERED
	gaveUp        = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_GAVE_UP
)

// deliveryLines are all notifications of acme in short, the oldest first: "shop 10001 sale pending due 12:02".
func deliveryLines(t *testing.T, r projection.Reader, f projection.DeliveryFilter) []string {
	t.Helper()
	f.MerchantID = "acme"
	all, next, err := projection.ListDeliveries(context.Background(), r, f, projection.Page{Size: projection.MaxPageSize})
	if err != nil || next != "" {
		t.Fatalf("ListDeliveries: next page %q, error %v; want one page", next, err)
	}
	lines := make([]string, 0, len(all))
	for _, d := range slices.Backward(all) {
		s := fmt.Sprintf("%s %d %s %s", d.EndpointId, d.OrderId, strings.ToLower(strings.TrimPrefix(d.Type.String(), "IPN_TYPE_")), d.State)
		if d.NextTryAt != nil {
			s += " due " + d.NextTryAt.AsTime().Format("15:04")
		}
		if d.ConcludedAt != nil {
			s += " at " + d.ConcludedAt.AsTime().Format("15:04")
		}
		lines = append(lines, s)
	}
	return lines
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		log  *told
		want []string
	}{
		{"nobody to tell", newTold().sold("s1", 10001), nil},
		{"told from its creation on", newTold().sold("s1", 10001).endpoint("shop").sold("s2", 20001), []string{
			"shop 20001 sale pending due 12:03",
		}},
		{"told to each", newTold().endpoint("a").endpoint("b").sold("s1", 10001), []string{
			"a 10001 sale pending due 12:03", "b 10001 sale pending due 12:03",
		}},
		{"only the types it wants", newTold().endpoint("shop", rebillType, failedType).sold("s1", 10001).sold("s1", 10002), []string{
			"shop 10002 rebill pending due 12:03",
		}},
		{"the types it wants by now", newTold().endpoint("shop", rebillType).changed("shop", saleType).sold("s1", 10001).sold("s1", 10002), []string{
			"shop 10001 sale pending due 12:03",
		}},
		{"all types again", newTold().endpoint("shop", rebillType).changed("shop").sold("s1", 10001), []string{
			"shop 10001 sale pending due 12:03",
		}},
		{"the second one waits for the first", newTold().endpoint("shop").sold("s1", 10001).sold("s1", 10002), []string{
			"shop 10001 sale pending due 12:02", "shop 10002 rebill pending",
		}},
		{"nobody waits for another subscription or endpoint", newTold().endpoint("a").endpoint("b", rebillType).sold("s1", 10001).sold("s1", 10002).sold("s2", 20001), []string{
			"a 10001 sale pending due 12:03", "a 10002 rebill pending", "b 10002 rebill pending due 12:04", "a 20001 sale pending due 12:05",
		}},
		{"the turn is passed on", newTold().endpoint("shop").sold("s1", 10001).sold("s1", 10002).sold("s1", 10003).concluded(2, "shop", deliveredWell), []string{
			"shop 10001 sale delivered at 12:05", "shop 10002 rebill pending due 12:05", "shop 10003 rebill pending",
		}},
		{"the turn is passed on to what comes later", newTold().endpoint("shop").sold("s1", 10001).concluded(2, "shop", gaveUp).sold("s1", 10002), []string{
			"shop 10001 sale gave_up at 12:03", "shop 10002 rebill pending due 12:04",
		}},
		{"disabled: what waits is for the senders to conclude, nothing new comes", newTold().endpoint("shop").sold("s1", 10001).disabled("shop").sold("s1", 10002), []string{
			"shop 10001 sale pending due 12:02",
		}},
		{"enabled again", newTold().endpoint("shop").disabled("shop").sold("s1", 10001).changed("shop").sold("s1", 10002), []string{
			"shop 10002 rebill pending due 12:05",
		}},
		{"cancelled before anything was sold", newTold().endpoint("shop").add("subscription-acme.s1", cancelled(0)), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.Deliveries())
			v.apply(tt.log.events...)
			want := append([]string{}, tt.want...)
			slices.Sort(want)
			sorted := func() []string {
				lines := deliveryLines(t, v.store, projection.DeliveryFilter{})
				slices.Sort(lines)
				return lines
			}
			if d := cmp.Diff(want, sorted()); d != "" {
				t.Errorf("deliveries (-want +got):\n%s", d)
			}
			v.apply(tt.log.events...)
			if d := cmp.Diff(want, sorted()); d != "" {
				t.Errorf("deliveries after a replay (-want +got):\n%s", d)
			}
			v.forget()
			v.apply(tt.log.events...)
			if d := cmp.Diff(want, sorted()); d != "" {
				t.Errorf("deliveries made anew (-want +got):\n%s", d)
			}
		})
	}
}

func TestAnotherMerchantsEndpointHearsNothing(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	l := newTold().sold("s1", 10001)
	l.add("endpoint-other.shop", &ledgerv1.Event{Kind: &ledgerv1.Event_EndpointCreated{EndpointCreated: &ledgerv1.EndpointCreated{
		MerchantId: "other", EndpointId: "shop", Settings: &ledgerv1.EndpointSettings{Url: "https://a.example"},
	}}})
	l.sold("s1", 10002)
	v.apply(l.events...)
	all, _, err := projection.ListDeliveries(context.Background(), v.store, projection.DeliveryFilter{MerchantID: "other"}, projection.Page{})
	if err != nil || len(all) != 0 {
		t.Errorf("the other merchant is told %v (%v), want nothing", all, err)
	}
}

// TestEveryHistoryIsToldInItsOrder sends row by row, as a sender does, what each history tells.
func TestEveryHistoryIsToldInItsOrder(t *testing.T) {
	t.Parallel()
	for _, h := range aggregatetest.Histories() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.Deliveries())
			v.apply(newTold().endpoint("shop").events...)
			v.apply(h.Events...)
			var want, got []string
			for _, e := range h.Events {
				if kind, order, yes := projection.IPNType(e.Event); yes {
					want = append(want, fmt.Sprint(kind, order))
				}
			}
			ctx := context.Background()
			for range len(want) + 1 {
				due, err := projection.DueDeliveries(ctx, v.store, "endpoint-acme.shop", minute(0).AddDate(10, 0, 0), 10)
				if err != nil {
					t.Fatal(err)
				}
				if len(due) > 1 {
					t.Fatalf("%d notifications of one subscription may be sent at once, want 1", len(due))
				}
				for _, d := range due {
					got = append(got, fmt.Sprint(d.Type, d.OrderID))
					if e := h.Events[d.Revision]; d.EventID != e.ID.String() || d.Stream != e.Stream || d.Position != e.Position {
						t.Errorf("order %d is told of event %s at %s %d, want %s", d.OrderID, d.EventID, d.Stream, d.Revision, e.ID)
					}
					v.update(func(tx projection.Tx) error {
						_, err := projection.ConcludeDelivery(tx, &ledgerv1.DeliveryConcluded{DeliveryId: d.ID, Conclusion: deliveredWell}, minute(30))
						return err
					})
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
		})
	}
}

func TestEveryKindIsToldOrListedAsSilent(t *testing.T) {
	t.Parallel()
	told := map[string]ledgerv1.IpnType{
		"payment_succeeded": rebillType, "late_charge_observed": rebillType, "payment_declined": failedType,
		"payment_observed":        rebillType,
		"refund_succeeded":        ledgerv1.IpnType_IPN_TYPE_PARTIAL_REFUND,
		"refund_observed":         ledgerv1.IpnType_IPN_TYPE_PARTIAL_REFUND,
		"dispute_funds_withdrawn": ledgerv1.IpnType_IPN_TYPE_CHARGEBACK,
	}
	kinds := (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	if kinds.Len() == 0 {
		t.Fatal("the oneof has no kinds")
	}
	for i := range kinds.Len() {
		kind := kinds.Get(i)
		e := &ledgerv1.Event{Metadata: &ledgerv1.Metadata{}}
		e.ProtoReflect().Set(kind, e.ProtoReflect().NewField(kind))
		got, _, yes := projection.IPNType(e)
		if want, ok := told[string(kind.Name())]; got != want || yes != ok {
			t.Errorf("%s is told as %s (%t), want %s (%t)", kind.Name(), got, yes, want, ok)
		}
		stream := map[bool]string{true: "endpoint-acme.shop", false: "subscription-acme.s1"}[strings.HasPrefix(string(kind.Name()), "endpoint_")]
		err := projection.Deliveries().Apply(blindTx{}, minute(0), event.Recorded{Stream: stream, Event: e})
		if err != nil {
			t.Errorf("the projection takes no %s: %v", kind.Name(), err)
		}
	}
	if _, _, yes := projection.IPNType(&ledgerv1.Event{}); yes {
		t.Error("an event of no kind is told")
	}
	err := projection.Deliveries().Apply(blindTx{}, minute(0), event.Recorded{Stream: "subscription-acme.s1", Event: &ledgerv1.Event{}})
	if !errors.Is(err, event.ErrUnknownKind) {
		t.Errorf("an event of no kind: got %v, want %v", err, event.ErrUnknownKind)
	}
}

func TestIPNType(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		e     *ledgerv1.Event
		want  ledgerv1.IpnType
		order int64
	}{
		"first payment":         {succeeded(10001, 1, 1, 0), saleType, 10001},
		"a later one":           {succeeded(10002, 2, 1, 0), rebillType, 10002},
		"first payment, late":   {late(10003, 1, 1), saleType, 10003},
		"a later one, late":     {late(10004, 2, 1), rebillType, 10004},
		"declined":              {declined(10005, 2, 1, 0, 0), failedType, 10005},
		"part of a refund":      {refunded(10006, "a", 10001, 100, false), ledgerv1.IpnType_IPN_TYPE_PARTIAL_REFUND, 10006},
		"the rest of a refund":  {refunded(10007, "b", 10001, 100, true), ledgerv1.IpnType_IPN_TYPE_REFUND, 10007},
		"funds withdrawn":       {withdrawn(10008, 10001, 100), ledgerv1.IpnType_IPN_TYPE_CHARGEBACK, 10008},
		"cancelled":             {cancelled(10009), ledgerv1.IpnType_IPN_TYPE_CANCELLATION, 10009},
		"cancelled before sale": {cancelled(0), ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED, 0},
		"refund reversed":       {refundReversed(10010, "a", 10001, 100), ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED, 0},
		"funds reinstated":      {reinstated(10011, 10001, 100), ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED, 0},
	} {
		got, order, yes := projection.IPNType(c.e)
		if got != c.want || order != c.order || yes != (c.want != 0) {
			t.Errorf("%s: %s, order %d, told %t; want %s, order %d", name, got, order, yes, c.want, c.order)
		}
	}
}

// due is the one notification that may be sent now.
func due(t *testing.T, v *views, now time.Time) projection.DueDelivery {
	t.Helper()
	all, err := projection.DueDeliveries(context.Background(), v.store, "endpoint-acme.shop", now, 10)
	if err != nil || len(all) != 1 {
		t.Fatalf("due are %v (%v), want one", all, err)
	}
	return all[0]
}

func begin(t *testing.T, v *views, d projection.DueDelivery, owner string, now time.Time) (claimed bool) {
	t.Helper()
	v.update(func(tx projection.Tx) (err error) {
		claimed, err = projection.BeginTry(tx, d, projection.Lease{Owner: owner, Until: now.Add(time.Minute)}, now)
		return err
	})
	return claimed
}

func TestOneSenderWins(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	v.apply(newTold().endpoint("shop").sold("s1", 10001).events...)
	d := due(t, v, minute(5))
	if !begin(t, v, d, "a", minute(5)) {
		t.Fatal("the first sender did not get the row")
	}
	if begin(t, v, d, "b", minute(5)) {
		t.Error("the second sender got the row, too")
	}
	if got, want := deliveryLines(t, v.store, projection.DeliveryFilter{}), []string{"shop 10001 sale sending"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, tries, err := projection.GetDelivery(context.Background(), v.store, "acme", d.ID)
	want := []*ledgerv1.DeliveryTry{{Number: 1, StartedAt: timestamppb.New(minute(5))}}
	if diff := cmp.Diff(want, tries, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("tries (-want +got):\n%s (%v)", diff, err)
	}
}

func TestATryThatFailsIsRepeatedLater(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	v.apply(newTold().endpoint("shop").sold("s1", 10001).sold("s1", 10002).events...)
	d := due(t, v, minute(5))
	begin(t, v, d, "a", minute(5))
	try := &ledgerv1.DeliveryTry{Number: 1, HttpStatus: 500, Error: "HTTP 500", TookMs: 12, Response: "oops"}
	v.update(func(tx projection.Tx) error {
		if err := projection.EndTry(tx, d.ID, try); err != nil {
			return err
		}
		return projection.PostponeDelivery(tx, d.ID, try, minute(9))
	})
	want := []string{"shop 10001 sale pending due 12:09", "shop 10002 rebill pending"}
	if diff := cmp.Diff(want, deliveryLines(t, v.store, projection.DeliveryFilter{})); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	got, tries, err := projection.GetDelivery(context.Background(), v.store, "acme", d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Tries != 1 || got.LastHttpStatus != 500 || got.LastError != "HTTP 500" {
		t.Errorf("the row says %v, want one try, status 500", got)
	}
	try.StartedAt = timestamppb.New(minute(5))
	if diff := cmp.Diff([]*ledgerv1.DeliveryTry{try}, tries, protocmp.Transform()); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
	if all, err := projection.DueDeliveries(context.Background(), v.store, d.Endpoint, minute(8), 10); err != nil || len(all) != 0 {
		t.Errorf("before its time may be sent %v (%v), want nothing", all, err)
	}
	if again := due(t, v, minute(9)); again.ID != d.ID || again.Tries != 1 {
		t.Errorf("then is due %v, want the same once more", again)
	}
}

func TestWhatASenderLeftIsReclaimed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner string
		now   time.Time
		back  bool
	}{
		"by another while the lease runs": {"b", minute(5), false},
		"by another after it":             {"b", minute(6), true},
		"by its successor at once":        {"a", minute(5), true},
		"by nobody while the lease runs":  {"", minute(5), false},
	} {
		v := newViews(t, projection.Deliveries())
		v.apply(newTold().endpoint("shop").sold("s1", 10001).events...)
		begin(t, v, due(t, v, minute(5)), "a", minute(5))
		if at, err := projection.AbandonedDeliveries(context.Background(), v.store); err != nil || !at.Equal(minute(6)) {
			t.Errorf("%s: the lease ends at %s (%v), want %s", name, at, err, minute(6))
		}
		v.update(func(tx projection.Tx) error { return projection.ReclaimDeliveries(tx, c.owner, c.now) })
		waiting, err := projection.DeliveryEndpoints(context.Background(), v.store)
		if _, back := waiting["endpoint-acme.shop"]; err != nil || back != c.back {
			t.Errorf("%s: it may be sent again: %t (%v), want %t", name, back, err, c.back)
		}
	}
}

// TestAConclusionThatComesTooLateChangesNothing: the sender's own write and the event of it meet in either order.
func TestAConclusionThatComesTooLateChangesNothing(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	l := newTold().endpoint("shop").sold("s1", 10001).concluded(2, "shop", deliveredWell)
	v.apply(l.events...)
	id := projection.DeliveryID(l.events[1].ID, "shop")
	for name, how := range map[string]func(projection.Tx) error{
		"conclude": func(tx projection.Tx) error {
			changed, err := projection.ConcludeDelivery(tx, &ledgerv1.DeliveryConcluded{DeliveryId: id, Conclusion: gaveUp}, minute(20))
			if changed {
				t.Error("a row was concluded twice")
			}
			return err
		},
		"postpone": func(tx projection.Tx) error {
			return projection.PostponeDelivery(tx, id, &ledgerv1.DeliveryTry{Number: 2}, minute(20))
		},
		"reclaim": func(tx projection.Tx) error { return projection.ReclaimDeliveries(tx, "a", minute(20)) },
		"the event once more": func(tx projection.Tx) error {
			return projection.Deliveries().Apply(tx, minute(20), l.events[1])
		},
	} {
		v.update(how)
		if got, want := deliveryLines(t, v.store, projection.DeliveryFilter{}), []string{"shop 10001 sale delivered at 12:03"}; !slices.Equal(got, want) {
			t.Errorf("after %s: got %v, want %v", name, got, want)
		}
	}
}

func TestDisablingMakesWhatWaitsDueAtOnce(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	l := newTold().endpoint("shop").sold("s1", 10001)
	v.apply(l.events...)
	d := due(t, v, minute(2))
	begin(t, v, d, "a", minute(2))
	v.update(func(tx projection.Tx) error {
		return projection.PostponeDelivery(tx, d.ID, &ledgerv1.DeliveryTry{Number: 1}, minute(50))
	})
	l.disabled("shop")
	v.apply(l.events[2:]...)
	if got, want := deliveryLines(t, v.store, projection.DeliveryFilter{}), []string{"shop 10001 sale pending due 12:03"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDeliveryEndpointsTellsTheFirstOfEach(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	v.apply(newTold().endpoint("a").endpoint("b").endpoint("c", failedType).sold("s1", 10001).sold("s2", 20001).events...)
	got, err := projection.DeliveryEndpoints(context.Background(), v.store)
	want := map[string]time.Time{"endpoint-acme.a": minute(4), "endpoint-acme.b": minute(4)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("waiting endpoints (-want +got):\n%s (%v)", diff, err)
	}
}

func TestListDeliveries(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	v.apply(newTold().endpoint("a").endpoint("b").sold("s1", 10001).sold("s1", 10002).sold("s2", 20001).
		concluded(3, "a", deliveredWell).concluded(5, "b", gaveUp).events...)
	for name, c := range map[string]struct {
		filter projection.DeliveryFilter
		want   int
	}{
		"all":             {projection.DeliveryFilter{}, 6},
		"endpoint":        {projection.DeliveryFilter{EndpointID: "a"}, 3},
		"subscription":    {projection.DeliveryFilter{SubscriptionID: "s2"}, 2},
		"order":           {projection.DeliveryFilter{OrderID: 10002}, 2},
		"one state":       {projection.DeliveryFilter{States: []string{"gave_up"}}, 1},
		"two states":      {projection.DeliveryFilter{States: []string{"gave_up", "delivered"}}, 2},
		"all of them":     {projection.DeliveryFilter{EndpointID: "b", SubscriptionID: "s1", OrderID: 10001, States: []string{"pending"}}, 1},
		"nothing of that": {projection.DeliveryFilter{EndpointID: "c"}, 0},
	} {
		if got := deliveryLines(t, v.store, c.filter); len(got) != c.want {
			t.Errorf("%s: got %v, want %d", name, got, c.want)
		}
	}
	ctx, f := context.Background(), projection.DeliveryFilter{MerchantID: "acme"}
	var paged []string
	for token := ""; ; {
		page, next, err := projection.ListDeliveries(ctx, v.store, f, projection.Page{Size: 2, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			paged = append(paged, d.DeliveryId)
		}
		if token = next; token == "" {
			break
		}
	}
	all, _, err := projection.ListDeliveries(ctx, v.store, f, projection.Page{})
	if err != nil || len(all) != 6 {
		t.Fatalf("got %d notifications (%v), want 6", len(all), err)
	}
	for i, d := range all {
		if i >= len(paged) || paged[i] != d.DeliveryId {
			t.Fatalf("pages of two gave %v, the whole list has %s at %d", paged, d.DeliveryId, i)
		}
	}
	_, _, err = projection.ListDeliveries(ctx, v.store, projection.DeliveryFilter{MerchantID: "acme", States: []string{"lost"}}, projection.Page{})
	var refused *aggregate.Error
	if !errors.As(err, &refused) || refused.Field != "states" {
		t.Errorf("an unknown state: got %v, want a refusal of states", err)
	}
}

func TestGetDeliveryOfAnotherMerchantIsNotFound(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.Deliveries())
	l := newTold().endpoint("shop").sold("s1", 10001)
	v.apply(l.events...)
	id := projection.DeliveryID(l.events[1].ID, "shop")
	_, _, err := projection.GetDelivery(context.Background(), v.store, "other", id)
	_, err2 := projection.FindDelivery(context.Background(), v.store, "other", id)
	for _, err := range []error{err, err2} {
		var refused *aggregate.Error
		if !errors.As(err, &refused) || refused.Kind != aggregate.NotFound {
			t.Errorf("got %v, want that it is not found", err)
		}
	}
	if d, err := projection.FindDelivery(context.Background(), v.store, "acme", id); err != nil || d.OrderID != 10001 {
		t.Errorf("its own merchant finds %v (%v), want order 10001", d, err)
	}
}
