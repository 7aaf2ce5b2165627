package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// maxExact is the largest integer that every JSON library reads exactly from a number.
const maxExact = 1 << 53

// checkJSON refuses what protobuf's JSON would let pass or would not name: fields given twice or unknown, and numbers
// that are not plainly the integer they mean (1e3, 1.0, 2^53+1). It walks the text along the message's description, which
// nests no deeper than the API does, so that a tower of brackets ends at its first floor.
func checkJSON(body []byte, desc protoreflect.MessageDescriptor) error {
	if !utf8.Valid(body) {
		return &aggregate.Error{Kind: aggregate.Invalid, Reason: "UTF8_INVALID", Message: "the body is not valid UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	w := jsonWalk{d}
	if err := w.message("", desc); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalidJSON("")
	}
	return nil
}

type jsonWalk struct{ *json.Decoder }

func invalidJSON(path string) error {
	return &aggregate.Error{Kind: aggregate.Invalid, Reason: "JSON_INVALID", Field: path, Message: "is not the JSON it should be"}
}

// message reads one object, or null.
func (w jsonWalk) message(path string, desc protoreflect.MessageDescriptor) error {
	t, err := w.Token()
	if err != nil {
		return invalidJSON(path)
	}
	if t == nil && path != "" {
		return nil
	}
	if t != json.Delim('{') {
		return invalidJSON(path)
	}
	seen := map[protoreflect.FieldNumber]bool{}
	for w.More() {
		key, err := w.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return invalidJSON(path)
		}
		fd := fieldOf(desc, name)
		if fd == nil {
			return unknownField(path, name, desc)
		}
		at := join(path, string(fd.Name()))
		if seen[fd.Number()] {
			return aggregate.InvalidField(at, "JSON_DUPLICATE_KEY", "is given twice")
		}
		seen[fd.Number()] = true
		if err := w.field(at, fd); err != nil {
			return err
		}
	}
	return w.end(path)
}

// plainName is a name that can be repeated in an error without repeating something else with it.
var plainName = regexp.MustCompile(`^[A-Za-z_]{1,40}$`)

func unknownField(path, name string, desc protoreflect.MessageDescriptor) error {
	if plainName.MatchString(name) {
		path = join(path, name)
	}
	return aggregate.InvalidField(path, "FIELD_UNKNOWN", "%s has no such field", desc.Name())
}

// fieldOf finds a field by either of the names that protobuf's JSON reads.
func fieldOf(desc protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := desc.Fields().ByJSONName(name); fd != nil {
		return fd
	}
	return desc.Fields().ByTextName(name)
}

// end reads the bracket that More stopped at.
func (w jsonWalk) end(path string) error {
	if _, err := w.Token(); err != nil {
		return invalidJSON(path)
	}
	return nil
}

// pairs reads an object whose names are the caller's own and whose values are texts, or null. It does not say which
// name is given twice: that may be what was wrong to send.
func (w jsonWalk) pairs(path string) error {
	t, err := w.Token()
	if err == nil && t == nil {
		return nil
	}
	if err != nil || t != json.Delim('{') {
		return invalidJSON(path)
	}
	seen := map[string]bool{}
	for w.More() {
		key, err := w.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return invalidJSON(path)
		}
		if seen[name] {
			return aggregate.InvalidField(path, "JSON_DUPLICATE_KEY", "has a key twice")
		}
		seen[name] = true
		value, err := w.Token()
		if err != nil {
			return invalidJSON(path)
		}
		if _, ok := value.(string); !ok {
			return aggregate.InvalidField(path, "METADATA_LIMIT", "every value is a text")
		}
	}
	return w.end(path)
}

func (w jsonWalk) field(path string, fd protoreflect.FieldDescriptor) error {
	if fd.IsMap() {
		return w.pairs(path)
	}
	if !fd.IsList() {
		return w.value(path, fd)
	}
	t, err := w.Token()
	if err == nil && t == nil {
		return nil
	}
	if err != nil || t != json.Delim('[') {
		return invalidJSON(path)
	}
	for i := 0; w.More(); i++ {
		if err := w.value(path+"["+strconv.Itoa(i)+"]", fd); err != nil {
			return err
		}
	}
	return w.end(path)
}

func (w jsonWalk) value(path string, fd protoreflect.FieldDescriptor) error {
	if fd.Kind() == protoreflect.MessageKind && !isText(fd.Message()) {
		return w.message(path, fd.Message())
	}
	t, err := w.Token()
	if err != nil {
		if isInteger(fd) {
			return invalidInteger(path, fd) // NaN, Infinity, 01, +5, 0x10
		}
		return invalidJSON(path)
	}
	switch v := t.(type) {
	case nil:
		return nil
	case string:
		return checkText(path, fd, v)
	case json.Number:
		return checkNumber(path, fd, v.String())
	case bool:
		if fd.Kind() == protoreflect.BoolKind {
			return nil
		}
	}
	if isInteger(fd) {
		return invalidInteger(path, fd)
	}
	return invalidJSON(path)
}

// isText reports whether protobuf's JSON writes a message as a text.
func isText(m protoreflect.MessageDescriptor) bool { return isTimestamp(m) || isDuration(m) }

func isTimestamp(m protoreflect.MessageDescriptor) bool {
	return m.FullName() == "google.protobuf.Timestamp"
}

func isDuration(m protoreflect.MessageDescriptor) bool {
	return m.FullName() == "google.protobuf.Duration"
}

func isInteger(fd protoreflect.FieldDescriptor) bool {
	switch fd.Kind() {
	case protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.Uint64Kind, protoreflect.Uint32Kind:
		return true
	}
	return false
}

func invalidInteger(path string, fd protoreflect.FieldDescriptor) error {
	reason := "NUMBER_FORMAT"
	if fd.ContainingMessage().FullName() == (&ledgerv1.Money{}).ProtoReflect().Descriptor().FullName() {
		reason = "AMOUNT_FORMAT"
	}
	return aggregate.InvalidField(path, reason, "write an integer in digits only, as a text beyond 2^53")
}

// checkNumber judges a number token.
func checkNumber(path string, fd protoreflect.FieldDescriptor, token string) error {
	if fd.Kind() == protoreflect.EnumKind {
		if n, err := strconv.ParseInt(token, 10, 32); err != nil || fd.Enum().Values().ByNumber(protoreflect.EnumNumber(n)) == nil {
			return unknownEnum(path, fd)
		}
		return nil
	}
	if !isInteger(fd) {
		return invalidJSON(path)
	}
	if n, err := strconv.ParseInt(token, 10, 64); err != nil || n > maxExact || n < -maxExact {
		return invalidInteger(path, fd)
	}
	return checkText(path, fd, token)
}

// plainInteger is an integer written in the one way that means nothing else.
var plainInteger = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// checkText judges a text that stands for the value of a field, in a body or in a query.
func checkText(path string, fd protoreflect.FieldDescriptor, s string) error {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return nil
	case protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.Uint64Kind, protoreflect.Uint32Kind:
		if !plainInteger.MatchString(s) || !fits(fd.Kind(), s) {
			return invalidInteger(path, fd)
		}
		return nil
	case protoreflect.EnumKind:
		if fd.Enum().Values().ByName(protoreflect.Name(s)) == nil {
			return unknownEnum(path, fd)
		}
		return nil
	case protoreflect.MessageKind:
		return checkTime(path, fd.Message(), s)
	}
	return invalidJSON(path)
}

func fits(k protoreflect.Kind, s string) (ok bool) {
	var err error
	switch k {
	case protoreflect.Int64Kind:
		_, err = strconv.ParseInt(s, 10, 64)
	case protoreflect.Int32Kind:
		_, err = strconv.ParseInt(s, 10, 32)
	case protoreflect.Uint64Kind:
		_, err = strconv.ParseUint(s, 10, 64)
	case protoreflect.Uint32Kind:
		_, err = strconv.ParseUint(s, 10, 32)
	}
	return err == nil
}

// How protobuf's JSON writes a duration and a time; time.Parse alone would let a comma and more than nine decimals pass.
var (
	plainDuration = regexp.MustCompile(`^-?[0-9]{1,12}(\.[0-9]{1,9})?s$`)
	plainTime     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$`)
)

// checkTime refuses what protobuf's JSON does not read, or would read as something that no Timestamp and no Duration
// can be: the first hours of the year 1 in Berlin lie in the year 0.
func checkTime(path string, m protoreflect.MessageDescriptor, s string) error {
	if isDuration(m) {
		if !plainDuration.MatchString(s) || protojson.Unmarshal([]byte(strconv.Quote(s)), &durationpb.Duration{}) != nil {
			return aggregate.InvalidField(path, "DURATION_INVALID", `write seconds: "10s", "0.5s"`)
		}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !plainTime.MatchString(s) || timestamppb.New(t).CheckValid() != nil {
		return aggregate.InvalidField(path, "TIME_INVALID", "write a time with its zone: 2030-01-31T10:00:00Z")
	}
	return nil
}
