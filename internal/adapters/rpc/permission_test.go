package rpc_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// methods are all methods of the API.
func methods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("ledger.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				all = append(all, f.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	return all
}

func TestEveryMethodNamesItsPermission(t *testing.T) {
	t.Parallel()
	all := methods()
	if len(all) < 25 {
		t.Fatalf("got %d methods, want all of them", len(all))
	}
	for _, m := range all {
		permission, _ := proto.GetExtension(m.Options(), ledgerv1.E_Permission).(string)
		noun, right, ok := strings.Cut(permission, ".")
		if !ok || noun == "" || right == "" {
			t.Errorf("%s has permission %q, want <noun>.<right>", m.FullName(), permission)
		}
		options, _ := m.Options().(*descriptorpb.MethodOptions)
		if reads := options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS; reads != (right == "read") {
			t.Errorf("%s has permission %q and idempotency level %v", m.FullName(), permission, options.GetIdempotencyLevel())
		}
	}
}

// TestEveryMethodIsServed finds services that the server or REST forgot.
func TestEveryMethodIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range methods() {
		if m.IsStreamingServer() {
			continue
		}
		name := string(m.Parent().Name()) + "/" + string(m.Name())
		err := w.call(name, newMessage(t, m.Input()), newMessage(t, m.Output()))
		if err != nil && strings.Contains(err.Error(), "Unimplemented") {
			t.Errorf("%s is not served: %v", name, err)
		}
	}
}

func newMessage(t testing.TB, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	m, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return m.New().Interface()
}
