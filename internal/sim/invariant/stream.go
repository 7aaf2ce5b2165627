package invariant

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/numbers"
	"ledger.internal/ledger/internal/aggregate/reservation"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// stream is how far a stream's chain was checked.
type stream struct {
	revision event.Revision
	hash     []byte
	recorded time.Time
	created  time.Time // when its first event was recorded
	request  string    // of its last event
	made     int       // how many events that request has made
	folding            // of what is no subscription
}

// folding folds a stream twice, side by side.
type folding interface {
	fold(*ledgerv1.Event)
	same() bool
}

// newFolding knows the fold of every category but the subscriptions', whose states are kept apart; nil if there is no
// such category.
func newFolding(category string) folding {
	switch category {
	case connection.Category:
		return folded(connection.Type())
	case delivery.Category:
		return folded(delivery.Type())
	case endpoint.Category:
		return folded(endpoint.Type())
	case merchant.Category:
		return folded(merchant.Type())
	case numbers.Category:
		return folded(numbers.Type())
	case reservation.Category:
		return folded(reservation.Type())
	}
	return nil
}

// twice holds two states that were folded from the same events, neither sharing anything with the other.
type twice[S any] struct {
	evolve       func(S, *ledgerv1.Event) S
	state, again S
}

func folded[S any](t aggregate.Type[S]) *twice[S] {
	return &twice[S]{evolve: t.Evolve, state: t.New(), again: t.New()}
}

func (t *twice[S]) fold(e *ledgerv1.Event) {
	t.state, t.again = t.evolve(t.state, e), t.evolve(t.again, e)
}

func (t *twice[S]) same() bool { return same(reflect.ValueOf(t.state), reflect.ValueOf(t.again)) }

// same compares states as cmp would: messages by what they say, all else by its parts.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.Pointer() == b.Pointer() || a.IsNil() || b.IsNil() {
			return a.Pointer() == b.Pointer()
		}
		if a.CanInterface() {
			if m, ok := a.Interface().(proto.Message); ok {
				return proto.Equal(m, b.Interface().(proto.Message))
			}
		}
		return same(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map, reflect.Interface, reflect.Func:
		return a.CanInterface() && reflect.DeepEqual(a.Interface(), b.Interface())
	}
	return a.Equal(b)
}

// link checks that an event follows the last one of its stream and of the log, and that no byte of it was changed.
func (h *history) link(raw event.RawRecorded) *stream {
	if raw.Position.Compare(h.head) <= 0 {
		h.broken("I-08", "%s/%d stands at %s, not after %s", raw.Stream, raw.Revision, raw.Position, h.head)
	}
	h.head = raw.Position
	s := h.streams[raw.Stream]
	if s == nil {
		category := event.Category(raw.Stream)
		s = &stream{revision: event.NoStream, folding: newFolding(category)}
		if s.folding == nil {
			s.folding = &twice[struct{}]{evolve: func(struct{}, *ledgerv1.Event) (none struct{}) { return none }}
			if category != subscription.Category {
				h.broken("I-14", "nobody folds stream %s", raw.Stream)
			}
		}
		h.streams[raw.Stream] = s
		h.report.Streams++
	}
	if raw.Revision != s.revision+1 {
		h.broken("I-08", "%s: revision %d follows %d", raw.Stream, raw.Revision, s.revision)
	}
	s.revision = raw.Revision
	if _, twice := h.ids[raw.ID]; twice {
		h.broken("I-08", "%s/%d has id %s, which another event has", raw.Stream, raw.Revision, raw.ID)
	}
	hash, err := event.VerifyChain(s.hash, raw)
	if err != nil {
		h.broken("I-23", "%v", err)
	}
	s.hash = hash
	return s
}

// stamp checks when an event was recorded.
func (h *history) stamp(s *stream, e event.Recorded) {
	recorded := e.Metadata.GetRecordedAt().AsTime()
	if recorded.Before(s.recorded) {
		h.broken("I-08", "%s/%d was recorded at %s, before the one ahead of it", e.Stream, e.Revision, recorded)
	}
	s.recorded = recorded
	if e.Revision == 0 {
		s.created = recorded
	}
}

// requests are what the ledger asks of itself, by how the names of the requests begin behind aggregate.InternalPrefix.
var requests = []string{
	"payment/", "refund/", "return/", "method/", // outcomes of what was asked of a gateway
	"observed-payment/", "observed-refund/", "dispute/", "agreement/", // what a gateway told by itself
	"wake/", "delivery/", "gone/", "reserve/", "block/", "seed/",
	"active/", "refused/", "disconnected/", "reseal/", // what becomes of connections
	"charge/", "observed/", // as early versions named them
}

// cause checks that an event has a cause, and that the cause made it once: its id follows from it.
func (h *history) cause(s *stream, e event.Recorded) {
	m := e.Metadata
	request := m.GetRequestId()
	if s.made++; request != s.request || e.Revision == 0 {
		s.request, s.made = request, 1
	}
	name, internal := strings.CutPrefix(request, aggregate.InternalPrefix)
	switch {
	case request == "":
		h.broken("I-05", "%s/%d: no request made it", e.Stream, e.Revision)
	case internal && !slices.ContainsFunc(requests, func(p string) bool { return strings.HasPrefix(name, p) }):
		h.broken("I-05", "%s/%d: the ledger makes no request like %q", e.Stream, e.Revision, request)
	case !internal && h.asked != nil && !h.asked[request]:
		h.broken("I-05", "%s/%d: nobody has asked with request %q", e.Stream, e.Revision, request)
	}
	if after, woken := strings.CutPrefix(name, "wake/"); internal && woken {
		if n, err := strconv.ParseInt(after, 10, 64); err != nil || event.Revision(n) >= e.Revision {
			h.broken("I-05", "%s/%d: request %q is of a wake that had not seen the event before it", e.Stream, e.Revision, request)
		}
	}
	if e.ID != event.ID(e.Stream, request, s.made-1) {
		h.broken("I-16", "%s/%d: id %s is not that of event %d of request %q, so that a repetition would not be known", e.Stream, e.Revision, e.ID, s.made, request)
	}
	if m.GetCausation() != "" {
		id, err := uuid.Parse(m.Causation)
		if _, known := h.ids[id]; err != nil || !known {
			h.broken("I-05", "%s/%d: it was caused by event %s, and there was none", e.Stream, e.Revision, m.Causation)
		}
	}
	if x := h.effects[effectOf{e.Stream, request}]; x != nil {
		x.note(e)
	}
}
