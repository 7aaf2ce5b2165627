package openapi_test

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"ledger.internal/ledger/api/openapi"
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsOpenAPI(t *testing.T) {
	t.Parallel()
	doc := load(t)
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("got version %s, want 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// methods are all methods of the API that have an address in REST.
func methods(t *testing.T) (all []protoreflect.MethodDescriptor) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFilesByPackage(ledgerv1.File_ledger_v1_event_proto.Package(), func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				if proto.HasExtension(s.Methods().Get(j).Options(), annotations.E_Http) {
					all = append(all, s.Methods().Get(j))
				}
			}
		}
		return true
	})
	if len(all) < 30 {
		t.Fatalf("got %d methods, want to have found them", len(all))
	}
	return all
}

// address is where REST has a method.
func address(m protoreflect.MethodDescriptor) (verb, path string) {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if post := rule.GetPost(); post != "" {
		return "POST", post
	}
	return "GET", rule.GetGet()
}

func TestEveryMethodIsDescribed(t *testing.T) {
	t.Parallel()
	doc := load(t)
	described := 0
	for _, item := range doc.Paths.Map() {
		described += len(item.Operations())
	}
	if want := len(methods(t)); described != want {
		t.Errorf("got %d operations, want the %d methods that have an address", described, want)
	}
	for _, m := range methods(t) {
		verb, path := address(m)
		item := doc.Paths.Value(path)
		if item == nil || item.GetOperation(verb) == nil {
			t.Errorf("%s: got no operation %s %s: run make gen", m.FullName(), verb, path)
			continue
		}
		checkOperation(t, m, item.GetOperation(verb))
	}
}

func checkOperation(t *testing.T, m protoreflect.MethodDescriptor, o *openapi3.Operation) {
	t.Helper()
	service := string(m.Parent().Name())
	if o.OperationID != service+"_"+string(m.Name()) || !slices.Equal(o.Tags, []string{service}) {
		t.Errorf("%s: got operation %s of %v", m.FullName(), o.OperationID, o.Tags)
	}
	if o.Summary == "" || !strings.HasPrefix(o.Description, string(m.Name())+" ") {
		t.Errorf("%s: got %q and %q, want a summary and the proto's comment", m.FullName(), o.Summary, o.Description)
	}
	for field, header := range map[protoreflect.Name]string{"request_id": "Idempotency-Key", "wait": "Prefer"} {
		takes := m.Input().Fields().ByName(field) != nil
		if p := o.Parameters.GetByInAndName("header", header); (p != nil) != takes {
			t.Errorf("%s: got header %s %t, want %t", m.FullName(), header, p != nil, takes)
		}
	}
	if r := o.Responses.Default(); r == nil || r.Value.Content.Get("application/json").Schema.Ref != "#/components/schemas/google.rpc.Status" {
		t.Errorf("%s: got no google.rpc.Status as the default answer", m.FullName())
	}
}

// TestNamesAreThoseOfTheProtos compares every property and parameter with the fields that there are.
func TestNamesAreThoseOfTheProtos(t *testing.T) {
	t.Parallel()
	doc := load(t)
	for name, s := range doc.Components.Schemas {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		m, ok := d.(protoreflect.MessageDescriptor)
		if err != nil || !ok || strings.HasPrefix(name, "google.") {
			continue
		}
		if len(s.Value.Properties) != m.Fields().Len() {
			t.Errorf("%s: got %d properties, want %d", name, len(s.Value.Properties), m.Fields().Len())
		}
		for property, value := range s.Value.Properties {
			checkProperty(t, name+"."+property, m.Fields().ByName(protoreflect.Name(property)), value.Value)
		}
	}
	for _, m := range methods(t) {
		verb, path := address(m)
		for _, p := range doc.Paths.Value(path).GetOperation(verb).Parameters {
			if p.Value.In != "header" {
				checkProperty(t, path+" "+p.Value.Name, m.Input().Fields().ByName(protoreflect.Name(p.Value.Name)), p.Value.Schema.Value)
			}
		}
	}
}

func checkProperty(t *testing.T, where string, fd protoreflect.FieldDescriptor, s *openapi3.Schema) {
	t.Helper()
	switch {
	case fd == nil:
		t.Errorf("%s: there is no such field", where)
	case fd.Kind() == protoreflect.Int64Kind && !fd.IsList() && !s.Type.Is("string"):
		t.Errorf("%s: got %v, want 64 bits as a string", where, s.Type)
	}
}

// TestExamplesAreMessages reads every example as the message that it stands for.
func TestExamplesAreMessages(t *testing.T) {
	t.Parallel()
	doc := load(t)
	found := 0
	for _, m := range methods(t) {
		verb, path := address(m)
		o := doc.Paths.Value(path).GetOperation(verb)
		examples := map[any]protoreflect.MessageDescriptor{}
		if o.RequestBody != nil {
			examples[&o.RequestBody.Value.Content.Get("application/json").Example] = m.Input()
		}
		examples[&o.Responses.Status(200).Value.Content.Get("application/json").Example] = m.Output()
		for e, message := range examples {
			value := *e.(*any)
			if value == nil {
				continue
			}
			found++
			raw, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if err := protojson.Unmarshal(raw, dynamicpb.NewMessage(message)); err != nil {
				t.Errorf("%s: %v", m.FullName(), err)
			}
		}
	}
	if found < 5 {
		t.Errorf("got %d examples, want those of the main operations", found)
	}
}

// TestErrorsAreListed is about the form of errors.json; the rpc package compares its reasons with the code.
func TestErrorsAreListed(t *testing.T) {
	t.Parallel()
	var list []struct {
		Reason  string `json:"reason"`
		Answers []struct {
			Code string `json:"grpc_code"`
			HTTP int    `json:"http_status"`
		} `json:"answers"`
		Meaning string `json:"meaning"`
		Action  string `json:"action"`
	}
	if err := json.Unmarshal(openapi.Errors, &list); err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
	for _, r := range list {
		if !word.MatchString(r.Reason) || r.Meaning == "" || r.Action == "" {
			t.Errorf("got %+v, want a reason, a meaning and what to do", r)
		}
		for _, a := range r.Answers {
			if !word.MatchString(a.Code) || a.HTTP < 400 {
				t.Errorf("%s: got %+v, want a code and a status", r.Reason, a)
			}
		}
	}
	if len(list) < 50 {
		t.Errorf("got %d reasons, want all of them", len(list))
	}
}
