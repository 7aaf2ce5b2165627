package rpc_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// place is one field of a request, however deep. set puts a value into it, and into one of its elements if it is a list
// or a map.
type place struct {
	path string
	fd   protoreflect.FieldDescriptor
	set  func(root protoreflect.Message, v protoreflect.Value)
}

// places are the fields of a message. No request of this API contains itself.
func places(path string, d protoreflect.MessageDescriptor, enter func(protoreflect.Message) protoreflect.Message) []place {
	var all []place
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		at := strings.TrimPrefix(path+"."+string(fd.Name()), ".")
		if fd.IsList() {
			at += "[0]"
		}
		if m := fd.Message(); m != nil && !fd.IsMap() && m.ParentFile().Package() != "google.protobuf" {
			all = append(all, places(at, m, func(root protoreflect.Message) protoreflect.Message {
				if fd.IsList() {
					return enter(root).Mutable(fd).List().AppendMutable().Message()
				}
				return enter(root).Mutable(fd).Message()
			})...)
			continue
		}
		all = append(all, place{at, fd, func(root protoreflect.Message, v protoreflect.Value) {
			switch m := enter(root); {
			case fd.IsList():
				m.Mutable(fd).List().Append(v)
			case fd.IsMap():
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString("key").MapKey(), v)
			default:
				m.Set(fd, v)
			}
		}})
	}
	return all
}

// wrongValue is what a field of its kind cannot have, and why.
type wrongValue struct {
	value   protoreflect.Value
	reasons []string // one of them, as the field is
}

func wrongValues(fd protoreflect.FieldDescriptor) []wrongValue {
	text := []wrongValue{
		{protoreflect.ValueOfString("no. 4242 4242-4242 4242"), []string{"PAN_REJECTED"}},
		{protoreflect.ValueOfString("a\u0000b"), []string{"CONTROL_CHARACTER", "ID_INVALID", "IDEMPOTENCY_KEY_INVALID"}},
		{protoreflect.ValueOfString(strings.Repeat("x", 2049)), []string{"TEXT_TOO_LONG", "ID_INVALID", "IDEMPOTENCY_KEY_INVALID"}},
	}
	switch {
	case fd.IsMap():
		return text[:2] // how long it may be, the aggregate knows
	case fd.Kind() == protoreflect.StringKind:
		return text
	case fd.Kind() == protoreflect.EnumKind:
		return []wrongValue{{protoreflect.ValueOfEnum(99), []string{"ENUM_UNKNOWN", "EVENT_TYPE_UNKNOWN"}}}
	case fd.Message() == nil:
		return nil
	case fd.Message().Name() == "Timestamp":
		var times []wrongValue
		for _, t := range []*timestamppb.Timestamp{{Seconds: -62135596801}, {Seconds: 253402300800}, {Nanos: 1e9}, {Nanos: -1}} {
			times = append(times, wrongValue{protoreflect.ValueOfMessage(t.ProtoReflect()), []string{"TIME_INVALID"}})
		}
		return times
	case fd.Message().Name() == "Duration":
		long := &durationpb.Duration{Seconds: 1 << 60}
		return []wrongValue{{protoreflect.ValueOfMessage(long.ProtoReflect()), []string{"WAIT_RANGE", "DURATION_INVALID"}}}
	}
	return nil
}

// TestEveryFieldOfEveryRequest puts what no field may hold into each field there is: it is refused, with the field's
// path, before anything else is asked, and card numbers are not repeated.
func TestEveryFieldOfEveryRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.head()
	tried := 0
	for _, m := range methods() {
		if m.IsStreamingServer() {
			continue
		}
		method := string(m.Parent().Name()) + "/" + string(m.Name())
		for _, p := range places("", m.Input(), func(root protoreflect.Message) protoreflect.Message { return root }) {
			for _, wrong := range wrongValues(p.fd) {
				tried++
				r := newMessage(t, m.Input())
				if fd := m.Input().Fields().ByName("request_id"); fd != nil {
					r.ProtoReflect().Set(fd, protoreflect.ValueOfString("r"))
				}
				p.set(r.ProtoReflect(), wrong.value)
				s := status.Convert(w.call(method, r, &emptypb.Empty{}))
				if reason := info(s).GetReason(); !slices.Contains(wrong.reasons, reason) || field(s) != p.path {
					t.Errorf("%s with %s %v: got %v %q about %q, want one of %v", method, p.path, wrong.value, s.Code(), reason, field(s), wrong.reasons)
				}
				noCanary(t, s.Proto().String())
			}
		}
	}
	if tried < 300 {
		t.Errorf("tried %d wrong values, want to have found all fields", tried)
	}
	if after := w.head(); after != before {
		t.Errorf("the log's head moved from %v to %v", before, after)
	}
	noCanary(t, w.logged.String())
}

// byHand is what those who run the ledger do, and see the effect of at once.
var byHand = []protoreflect.Name{"AdvanceClock", "ReplayParked", "ResolveInDoubt", "RetryWebhook"}

func TestEveryCommandNamesItsRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.head()
	for _, m := range methods() {
		if m.IsStreamingServer() {
			continue
		}
		method := string(m.Parent().Name()) + "/" + string(m.Name())
		fields := m.Input().Fields()
		if fields.ByName("request_id") != nil {
			check(t, w.call(method, newMessage(t, m.Input()), &emptypb.Empty{}), "InvalidArgument", "IDEMPOTENCY_KEY_REQUIRED")
		}
		if reads := strings.HasPrefix(string(m.Name()), "List") || strings.HasPrefix(string(m.Name()), "Get"); !reads && fields.ByName("request_id") == nil &&
			!slices.Contains(byHand, m.Name()) {
			t.Errorf("%s changes something and names no request", method)
		}
	}
	if after := w.head(); after != before {
		t.Errorf("the log's head moved from %v to %v", before, after)
	}
}

func TestEveryListRefusesPagesItCannotGive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("s", "tok_ok", wait)
	lists := 0
	for _, m := range methods() {
		fields := m.Input().Fields()
		if fields.ByName("page_size") == nil || m.Name() == "ListParked" || m.Name() == "ListWebhooks" { // whose pages the program makes
			continue
		}
		lists++
		method := string(m.Parent().Name()) + "/" + string(m.Name())
		for reason, change := range map[string]struct {
			field protoreflect.Name
			value any
		}{
			"PAGE_SIZE":          {"page_size", int32(-1)},
			"PAGE_TOKEN_INVALID": {"page_token", "garbage"},
			"POSITION_INVALID":   {"min_position", "1"},
		} {
			r := good(t, m)
			fd := fields.ByName(change.field)
			if fd == nil {
				continue
			}
			r.ProtoReflect().Set(fd, protoreflect.ValueOf(change.value))
			err := w.call(method, r, &emptypb.Empty{})
			check(t, err, "InvalidArgument", reason)
			if got := field(status.Convert(err)); got != string(change.field) {
				t.Errorf("%s: got field %q, want %s", method, got, change.field)
			}
		}
		r := good(t, m)
		r.ProtoReflect().Set(fields.ByName("page_size"), protoreflect.ValueOf(int32(1<<31-1)))
		if err := w.call(method, r, &emptypb.Empty{}); err != nil {
			t.Errorf("%s: a page of 2^31-1 is refused with %v, want one of 500", method, err)
		}
	}
	if lists < 6 {
		t.Errorf("found %d lists, want all", lists)
	}
}

// good is a list's request that is answered.
func good(t *testing.T, m protoreflect.MethodDescriptor) proto.Message {
	r := newMessage(t, m.Input())
	for name, value := range map[protoreflect.Name]any{
		"merchant_id": "acme", "subscription_id": "s", "account": "sales", "currency_code": "USD", "mode": protoreflect.EnumNumber(1),
	} {
		if fd := m.Input().Fields().ByName(name); fd != nil && (name != "account" || m.Name() == "GetStatement") {
			r.ProtoReflect().Set(fd, protoreflect.ValueOf(value))
		}
	}
	return r
}
