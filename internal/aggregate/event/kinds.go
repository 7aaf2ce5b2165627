package event

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// The oneof is the registry: a kind's stored type name is the name of its field.
var (
	oneof = (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
	kinds = oneofKinds()
)

// kind is one field of the oneof and the shape of its message.
type kind struct {
	desc  protoreflect.FieldDescriptor
	shape *shape
}

func oneofKinds() map[string]kind {
	fields, known := oneof.Fields(), map[protoreflect.FullName]*shape{}
	byType := make(map[string]kind, fields.Len())
	for i := range fields.Len() {
		f := fields.Get(i)
		byType[string(f.Name())] = kind{f, shapeOf(f.Message(), known)}
	}
	return byType
}

// TypeName is the name under which an event is stored; "" if it has no kind.
func TypeName(e *ledgerv1.Event) string {
	if f := kindOf(e); f != nil {
		return string(f.Name())
	}
	return ""
}

func kindOf(e *ledgerv1.Event) protoreflect.FieldDescriptor {
	if e == nil {
		return nil
	}
	return e.ProtoReflect().WhichOneof(oneof)
}
