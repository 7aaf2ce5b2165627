package aggregatetest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
)

// others are the kinds of event that streams of other nouns hold.
func others() map[protoreflect.Name]bool {
	return map[protoreflect.Name]bool{
		"merchant_created": true, "merchant_changed": true, "connection_created": true,
		"endpoint_created": true, "endpoint_changed": true, "endpoint_disabled": true,
		"delivery_concluded": true, "numbers_reserved": true,
		"connection_blocked": true, "connection_unblocked": true, "first_payment_reserved": true,
		"consent_requested": true, "connection_activated": true, "connection_refused": true, "connection_update_needed": true,
		"connection_expired": true, "connection_disconnected": true, "connection_resealed": true,
	}
}

func kinds() protoreflect.FieldDescriptors {
	return (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
}

func kindOf(e event.Recorded) protoreflect.FieldDescriptor {
	m := e.ProtoReflect()
	return m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
}

func TestEveryKindOfASubscriptionIsInSomeHistory(t *testing.T) {
	t.Parallel()
	seen := map[protoreflect.Name]bool{}
	for _, h := range aggregatetest.Histories() {
		for _, e := range h.Events {
			seen[kindOf(e).Name()] = true
		}
	}
	for i := range kinds().Len() {
		if name := kinds().Get(i).Name(); !seen[name] && !others()[name] {
			t.Errorf("no history has a %s", name)
		} else if seen[name] && others()[name] {
			t.Errorf("%s is listed as another noun's and is in a history", name)
		}
	}
}

func TestHistoriesAreApart(t *testing.T) {
	t.Parallel()
	names, streams, ids, orders := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[int64]bool{}
	for _, h := range aggregatetest.Histories() {
		if names[h.Name] || streams[h.Stream] {
			t.Errorf("two histories are called %q or lie in %s", h.Name, h.Stream)
		}
		names[h.Name], streams[h.Stream] = true, true
		for _, e := range h.Events {
			if ids[e.ID.String()] {
				t.Errorf("%s: event id %s is not unique", h.Name, e.ID)
			}
			ids[e.ID.String()] = true
			if id := orderOf(e); id != 0 {
				if orders[id] {
					t.Errorf("%s: order %d is not unique", h.Name, id)
				}
				orders[id] = true
			}
		}
	}
}

// orderOf reads the order that an event makes; 0 for none.
func orderOf(e event.Recorded) int64 {
	m := e.ProtoReflect().Get(kindOf(e)).Message()
	if f := m.Descriptor().Fields().ByName("order_id"); f != nil {
		return m.Get(f).Int()
	}
	return 0
}

func TestHistoriesHoldTogether(t *testing.T) {
	t.Parallel()
	for _, h := range aggregatetest.Histories() {
		number := h.Events[0].GetSubscriptionStarted().GetNumber() + h.Events[0].GetSubscriptionImported().GetNumber() // one of them
		ordinal := int64(0)
		tried := map[[2]uint32]bool{}
		for i, e := range h.Events {
			if e.Stream != h.Stream || e.Revision != event.Revision(i) {
				t.Errorf("%s, event %d stands at %s %d", h.Name, i, e.Stream, e.Revision)
			}
			if i > 0 {
				before := h.Events[i-1].Metadata.RecordedAt.AsTime()
				if now := e.Metadata.RecordedAt.AsTime(); now.Before(before) {
					t.Errorf("%s, event %d is recorded at %s, before the one before it at %s", h.Name, i, now, before)
				}
			}
			if r := e.GetPaymentRequested(); r != nil {
				if try := [2]uint32{r.PayNumber, r.Attempt}; tried[try] {
					t.Errorf("%s, event %d makes attempt %d of number %d again", h.Name, i, r.Attempt, r.PayNumber)
				} else {
					tried[try] = true
				}
			}
			if id := orderOf(e); id != 0 {
				ordinal++
				if want := number*10_000 + ordinal; id != want {
					t.Errorf("%s, event %d makes order %d, want %d", h.Name, i, id, want)
				}
			}
			eachAmounts(e.ProtoReflect(), func(a *ledgerv1.Amounts) {
				full := a.Base.MinorUnits - a.Discount.MinorUnits + a.Shipping.MinorUnits + a.Tax.MinorUnits
				if a.Full.MinorUnits != full {
					t.Errorf("%s, event %d: full amount %d, want %d", h.Name, i, a.Full.MinorUnits, full)
				}
			})
		}
	}
}

func eachAmounts(m protoreflect.Message, f func(*ledgerv1.Amounts)) {
	if a, ok := m.Interface().(*ledgerv1.Amounts); ok {
		f(a)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() != nil && !fd.IsList() && !fd.IsMap() {
			eachAmounts(v.Message(), f)
		}
		return true
	})
}

func TestHistoriesAreStoredAndReadBack(t *testing.T) {
	t.Parallel()
	for _, h := range aggregatetest.Histories() {
		raws, err := h.Raws()
		if err != nil {
			t.Fatal(err)
		}
		for i, raw := range raws {
			want := h.Events[i]
			got, err := event.Decode(event.RawRecorded{Stream: want.Stream, Revision: want.Revision, Position: want.Position, Raw: raw})
			if err != nil {
				t.Fatalf("%s, event %d: %v", h.Name, i, err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("%s, event %d, as written (-) and read back (+):\n%s", h.Name, i, diff)
			}
		}
	}
}

func TestACallerMayChangeAHistory(t *testing.T) {
	t.Parallel()
	const name = "bought once"
	aggregatetest.Named(name).Events[0].GetSubscriptionStarted().Terms.ProductName = "changed"
	if got := aggregatetest.Named(name).Events[0].GetSubscriptionStarted().Terms.ProductName; got == "changed" {
		t.Error("a change of one caller's history is seen by the next")
	}
}
