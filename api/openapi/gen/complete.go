package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/rpc"
)

// object is a JSON object of the document.
type object = map[string]any

//go:embed intro.md
var intro string

// examples has what stands in the document for some operations: a request, and the answer to it.
//
//go:embed examples.json
var examples []byte

// serviceOrder is the order in which a reader wants the services; those that are not named come after.
var serviceOrder = []string{"SubscriptionService", "OrderService", "ReportService", "EndpointService", "ConnectionService", "MerchantService", "OperationService"}

// complete makes the published document of the plain one.
func complete(plain []byte, reasons []rpc.Reason) ([]byte, error) {
	var doc object
	if err := json.Unmarshal(plain, &doc); err != nil {
		return nil, err
	}
	var samples map[string]example
	if err := json.Unmarshal(examples, &samples); err != nil {
		return nil, fmt.Errorf("examples.json: %w", err)
	}
	doc["info"] = object{
		"title": "Ledger", "version": "v1", "summary": "An event-sourced subscription ledger.", "description": intro,
		"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
	}
	doc["servers"] = []any{object{"url": "http://127.0.0.1:8080", "description": "ledger serve, as it starts by itself: loopback only, without authentication"}}
	doc["security"] = []any{}
	sortTags(doc["tags"].([]any))

	components := doc["components"].(object)
	if err := completeSchemas(components["schemas"].(object)); err != nil {
		return nil, err
	}
	maps.Copy(components["schemas"].(object), errorSchemas(reasons))
	components["responses"] = errorResponses(reasons)
	components["parameters"] = headers()
	for path, item := range doc["paths"].(object) {
		for verb, o := range item.(object) {
			if err := completeOperation(o.(object), samples); err != nil {
				return nil, fmt.Errorf("%s %s: %w", verb, path, err)
			}
		}
	}
	if len(samples) > 0 {
		return nil, fmt.Errorf("examples.json: there are no operations %v", slices.Sorted(maps.Keys(samples)))
	}
	return encode(doc)
}

func sortTags(tags []any) {
	rank := func(tag any) int {
		if i := slices.Index(serviceOrder, tag.(object)["name"].(string)); i >= 0 {
			return i
		}
		return len(serviceOrder)
	}
	slices.SortStableFunc(tags, func(a, b any) int { return rank(a) - rank(b) })
}

// completeSchemas gives the properties of all messages the names that they have in our JSON.
func completeSchemas(schemas object) error {
	for name, s := range schemas {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
		if m, ok := d.(protoreflect.MessageDescriptor); ok {
			completeProperties(s.(object), m)
		}
	}
	return nil
}

// completeProperties renames the properties of a message, and says more about some.
func completeProperties(schema object, m protoreflect.MessageDescriptor) {
	properties, _ := schema["properties"].(object)
	named := object{}
	for name, p := range properties {
		if fd := m.Fields().ByJSONName(name); fd != nil {
			completeValue(p.(object), fd)
			name = string(fd.Name())
		}
		named[name] = p
	}
	if len(named) > 0 {
		schema["properties"] = named
	}
}

// completeValue says about a value what its field tells and its type does not.
func completeValue(schema object, fd protoreflect.FieldDescriptor) {
	secret, _ := proto.GetExtension(fd.Options(), ledgerv1.E_Secret).(bool)
	switch {
	case secret:
		schema["format"] = "password"
	case fd.Kind() == protoreflect.MessageKind && fd.Message().FullName() == "google.protobuf.Duration":
		schema["pattern"] = `^-?[0-9]+(\.[0-9]{1,9})?s$`
		schema["examples"] = []any{"10s"}
	}
}

// example is what the document shows for an operation, in the order in which it is written.
type example struct {
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

// completeOperation says about one operation what HTTP asks of it. It takes the operation's example out of samples.
func completeOperation(o object, samples map[string]example) error {
	id, _ := o["operationId"].(string)
	service, name, _ := strings.Cut(id, "_")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("ledger.v1." + service + "." + name))
	if err != nil {
		return err
	}
	method := d.(protoreflect.MethodDescriptor)
	sample := samples[id]
	delete(samples, id)

	o["summary"], o["description"] = describe(name, o)
	completeParameters(o, method.Input())
	if body, ok := o["requestBody"].(object); ok {
		media := body["content"].(object)["application/json"].(object)
		schema := media["schema"].(object)
		completeProperties(schema, method.Input())
		properties := schema["properties"].(object)
		delete(properties, "request_id") // both are headers in REST
		delete(properties, "wait")
		schema["additionalProperties"] = false
		if sample.Request != nil {
			media["example"] = sample.Request
		}
	}
	completeResponses(o, method, sample)
	return nil
}

// describe makes a title of an operation's name, and a description of the comment in the proto.
func describe(name string, o object) (summary, description string) {
	comment, _ := o["summary"].(string)
	if more, _ := o["description"].(string); more != "" {
		comment += "\n\n" + more
	}
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			summary += " "
			r += 'a' - 'A'
		}
		summary += string(r)
	}
	return summary, comment
}

// completeParameters names the parameters as the protos do and adds the headers that mean something to the method.
func completeParameters(o object, input protoreflect.MessageDescriptor) {
	all, _ := o["parameters"].([]any)
	for _, p := range all {
		p := p.(object)
		name := p["name"].(string)
		fd := input.Fields().ByJSONName(name)
		if fd == nil {
			fd = input.Fields().ByName(protoreflect.Name(name))
		}
		p["name"] = string(fd.Name())
		schema := p["schema"].(object)
		if p["in"] == "path" && fd.Kind() == protoreflect.StringKind && strings.HasSuffix(string(fd.Name()), "_id") && fd.Name() != "delivery_id" {
			schema["pattern"] = "^[A-Za-z0-9_]{1,40}$"
		}
		if fd.Name() == "page_size" {
			schema["minimum"], schema["maximum"] = 0, 500
		}
	}
	for _, h := range []struct{ field, header string }{{"request_id", "IdempotencyKey"}, {"wait", "Prefer"}} {
		if input.Fields().ByName(protoreflect.Name(h.field)) != nil {
			all = append(all, object{"$ref": "#/components/parameters/" + h.header})
		}
	}
	if len(all) > 0 {
		o["parameters"] = all
	}
}

// headers are the headers of requests that mean something.
func headers() object {
	return object{
		"IdempotencyKey": object{
			"name": "Idempotency-Key", "in": "header", "required": true,
			"description": "Names the request, so that it is done once: the same key with the same request is answered again, with `replayed`; " +
				"with another request it is refused with IDEMPOTENCY_KEY_REUSED. It holds for ever. (gRPC: `request_id`.)",
			"schema":  object{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
			"example": "5f0c9d4e-8e55-4b0a-9d0e-3a5d2d5f7a10",
		},
		"Prefer": object{
			"name": "Prefer", "in": "header",
			"description": "`wait=10` waits up to ten seconds (30 at most) for the gateway's outcome, so that it stands in the answer. " +
				"Without it the answer comes at once. (gRPC: `wait`.)",
			"schema":  object{"type": "string"},
			"example": "wait=10",
		},
	}
}

// completeResponses describes the answer and the refusals.
func completeResponses(o object, m protoreflect.MethodDescriptor, sample example) {
	responses := o["responses"].(object)
	good := responses["200"].(object)
	media := good["content"].(object)["application/json"].(object)
	if m.IsStreamingServer() {
		good["description"] = "A stream of JSON texts, one a line: each has a result, or the error that ends it. " + good["description"].(string)
		media["schema"] = object{"type": "object", "properties": object{
			"result": media["schema"],
			"error":  object{"$ref": "#/components/schemas/google.rpc.Status"},
		}}
	}
	if sample.Response != nil {
		media["example"] = sample.Response
	}
	statuses := []string{"400", "404", "500", "503"}
	if o["requestBody"] != nil {
		statuses = append(statuses, "413", "415")
	}
	if m.Input().Fields().ByName("request_id") != nil {
		statuses = append(statuses, "409", "429")
	}
	for _, status := range statuses {
		responses[status] = object{"$ref": "#/components/responses/" + status}
	}
	responses["default"] = object{"$ref": "#/components/responses/default"}
}
