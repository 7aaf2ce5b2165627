package event

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Stored events are protobuf JSON with the names of the proto files. The bytes are hashed, so they are a contract,
// and protojson promises nothing about bytes: it even varies its white space on purpose. What is written here is
// what protojson writes, without white space (a test compares them), and takes a fifth of its time.

// mayBeUnset lists the enum fields whose zero value says something: a one-time price has no period, only recurring
// installments have a frequency, and a withdrawal from before there were policies names none. Every other enum must
// be set to be stored, for a reader could not tell "unspecified" from a value that he does not know.
var mayBeUnset = map[protoreflect.FullName]bool{
	"ledger.v1.Terms.period":                 true,
	"ledger.v1.Terms.frequency":              true,
	"ledger.v1.DisputeFundsWithdrawn.policy": true,
}

// metadataShape is the shape of Metadata.
var metadataShape = shapeOf((&ledgerv1.Metadata{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]*shape{})

// shape is what the codec knows of a message type: its fields in the order in which they are written.
type shape struct {
	timestamp bool
	fields    []field
}

type field struct {
	desc    protoreflect.FieldDescriptor
	name    string
	key     string // the name as it is written: "name":
	kind    protoreflect.Kind
	list    bool
	mustSet bool   // an enum that may not be left unspecified
	inside  *shape // of a message
	names   map[protoreflect.EnumNumber]string
	numbers map[string]protoreflect.EnumNumber
}

func shapeOf(m protoreflect.MessageDescriptor, known map[protoreflect.FullName]*shape) *shape {
	if s, ok := known[m.FullName()]; ok {
		return s
	}
	s := &shape{timestamp: m.FullName() == "google.protobuf.Timestamp"}
	known[m.FullName()] = s
	if s.timestamp {
		return s
	}
	if m.ParentFile().Package() == "google.protobuf" {
		panic(fmt.Sprintf("event: %s has no stored form", m.FullName()))
	}
	for i := range m.Fields().Len() {
		s.fields = append(s.fields, fieldOf(m.Fields().Get(i), known))
	}
	return s
}

func fieldOf(d protoreflect.FieldDescriptor, known map[protoreflect.FullName]*shape) field {
	f := field{
		desc: d, name: string(d.Name()), key: `"` + string(d.Name()) + `":`, kind: d.Kind(), list: d.IsList(),
		mustSet: d.Enum() != nil && !d.IsList() && !d.HasPresence() && !mayBeUnset[d.FullName()],
	}
	switch f.kind {
	case protoreflect.BoolKind, protoreflect.StringKind, protoreflect.BytesKind, protoreflect.Int32Kind,
		protoreflect.Uint32Kind, protoreflect.Int64Kind, protoreflect.Uint64Kind:
	case protoreflect.EnumKind:
		f.names, f.numbers = map[protoreflect.EnumNumber]string{}, map[string]protoreflect.EnumNumber{}
		for i := range d.Enum().Values().Len() {
			v := d.Enum().Values().Get(i)
			if v.Number() != 0 { // what is unspecified is never written
				f.names[v.Number()], f.numbers[string(v.Name())] = string(v.Name()), v.Number()
			}
		}
	case protoreflect.MessageKind:
		if !d.IsMap() { // a map has no order
			f.inside = shapeOf(d.Message(), known)
			break
		}
		fallthrough
	default: // a number with a fraction is no amount
		panic(fmt.Sprintf("event: %s has no stored form", d.FullName()))
	}
	return f
}
