package rpc

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/text"
)

const (
	// defaultMaxLength is how many characters a text field takes that has no (ledger.v1.max_length).
	defaultMaxLength = 255
	// maxWait is how long a command may wait for a gateway's outcome.
	maxWait = 30 * time.Second
)

// checkRequest walks over a whole request and refuses what no field may hold: text that is not text, card numbers,
// enum numbers and times that do not exist, ids that are none. What a field means is for the aggregates to judge.
func checkRequest(m proto.Message) error {
	if err := checkMessage("", m.ProtoReflect()); err != nil {
		return err
	}
	if r, ok := m.(interface{ GetRequestId() string }); ok {
		return checkRequestID(r.GetRequestId())
	}
	return nil
}

// checkRequestID accepts 1 to 255 printable ASCII characters that do not begin as the ledger's own requests do.
func checkRequestID(id string) error {
	if id == "" {
		return aggregate.InvalidField("request_id", "IDEMPOTENCY_KEY_REQUIRED", "every command names its request (REST: Idempotency-Key)")
	}
	if !validKey(id) || strings.HasPrefix(id, aggregate.InternalPrefix) {
		return aggregate.InvalidField("request_id", "IDEMPOTENCY_KEY_INVALID", "1 to 255 printable ASCII characters, not beginning with %q", aggregate.InternalPrefix)
	}
	return nil
}

func validKey(id string) bool {
	outside := func(r rune) bool { return r < 0x20 || r > 0x7e }
	return len(id) <= 255 && strings.IndexFunc(id, outside) < 0
}

func checkMessage(path string, m protoreflect.Message) (err error) {
	switch v := m.Interface().(type) {
	case *timestamppb.Timestamp:
		if v.CheckValid() != nil {
			return aggregate.InvalidField(path, "TIME_INVALID", "a time from year 1 to 9999")
		}
		return nil
	case *durationpb.Duration:
		return checkDuration(path, v)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		err = checkField(join(path, string(fd.Name())), fd, v)
		return err == nil
	})
	return err
}

// join adds a name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func checkField(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if fd.IsMap() {
		return checkMap(path, v.Map())
	}
	if !fd.IsList() {
		return checkValue(path, fd, v)
	}
	for i := range v.List().Len() {
		if err := checkValue(path+"["+strconv.Itoa(i)+"]", fd, v.List().Get(i)); err != nil {
			return err
		}
	}
	return nil
}

// checkMap checks keys as texts of their own. Which key is wrong is not said: it may be what was wrong to send. How many
// pairs there may be, and how long, the aggregates know.
func checkMap(path string, m protoreflect.Map) (err error) {
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		for _, s := range []string{k.String(), v.String()} {
			if err = cmp.Or(checkSafe(path, s), checkPrintable(path, s)); err != nil {
				return false
			}
		}
		return true
	})
	return err
}

func checkValue(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return checkMessage(path, v.Message())
	case protoreflect.StringKind:
		return checkString(path, fd, v.String())
	case protoreflect.EnumKind:
		if fd.Enum().Values().ByNumber(v.Enum()) == nil {
			return unknownEnum(path, fd)
		}
	case protoreflect.Int32Kind:
		if fd.Name() == "page_size" && v.Int() < 0 {
			return aggregate.InvalidField(path, "PAGE_SIZE", "must not be negative")
		}
	}
	return nil
}

func unknownEnum(path string, fd protoreflect.FieldDescriptor) error {
	reason := "ENUM_UNKNOWN"
	if fd.Enum().FullName() == ledgerv1.IpnType(0).Descriptor().FullName() {
		reason = "EVENT_TYPE_UNKNOWN"
	}
	var names []string
	for i := 1; i < fd.Enum().Values().Len(); i++ { // the first is UNSPECIFIED
		names = append(names, string(fd.Enum().Values().Get(i).Name()))
	}
	return aggregate.InvalidField(path, reason, "is not a value of %s: %s", fd.Enum().Name(), strings.Join(names, ", "))
}

func checkString(path string, fd protoreflect.FieldDescriptor, s string) error {
	if err := checkSafe(path, s); err != nil {
		return err
	}
	switch {
	case fd.Name() == "request_id":
		return nil // judged as a whole by checkRequestID
	case isID(fd):
		if s != "" && !text.ValidID(s) {
			return invalidID(path)
		}
		return nil
	}
	if err := checkPrintable(path, s); err != nil {
		return err
	}
	if limit := maxLength(fd); utf8.RuneCountInString(s) > limit {
		return aggregate.InvalidField(path, "TEXT_TOO_LONG", "has more than %d characters", limit)
	}
	return nil
}

// checkSafe refuses what must not even be repeated.
func checkSafe(path, s string) error {
	switch {
	case !utf8.ValidString(s):
		return aggregate.InvalidField(path, "UTF8_INVALID", "is not valid UTF-8")
	case text.FindPAN(s):
		return aggregate.InvalidField(path, "PAN_REJECTED", "looks like a card number; the ledger takes none")
	}
	return nil
}

func checkPrintable(path, s string) error {
	if text.HasControl(s) {
		return aggregate.InvalidField(path, "CONTROL_CHARACTER", "holds a control character")
	}
	return nil
}

// isID reports whether a field names something in a stream's name.
func isID(fd protoreflect.FieldDescriptor) bool {
	switch fd.Name() {
	case "merchant_id", "subscription_id", "connection_id", "endpoint_id":
		return true
	}
	return false
}

func invalidID(path string) error {
	return aggregate.InvalidField(path, "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
}

func required(path string) error { return aggregate.InvalidField(path, "ID_INVALID", "is required") }

func maxLength(fd protoreflect.FieldDescriptor) int {
	if n, ok := proto.GetExtension(fd.Options(), ledgerv1.E_MaxLength).(uint32); ok && n > 0 {
		return int(n)
	}
	return defaultMaxLength
}

func checkDuration(path string, d *durationpb.Duration) error {
	if path == "wait" {
		if d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > maxWait {
			return aggregate.InvalidField(path, "WAIT_RANGE", "between 0 and %v", maxWait)
		}
		return nil
	}
	if d.CheckValid() != nil || d.GetSeconds() > math.MaxInt64/int64(time.Second) || d.GetSeconds() < math.MinInt64/int64(time.Second) {
		return aggregate.InvalidField(path, "DURATION_INVALID", "is not a duration of at most 292 years")
	}
	return nil
}

// checkBound refuses a request that does not name what its path is about: ids that stand in the URL are required,
// whichever way the request came.
func checkBound(m protoreflect.Message, bound []protoreflect.FieldDescriptor) error {
	for _, fd := range bound {
		if !m.Has(fd) {
			return required(string(fd.Name()))
		}
	}
	return nil
}
