package docs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "ledger.internal/ledger/api/proto/ledger/v1" // the order of everything
)

// page is all that the template shows.
type page struct {
	Intro    []string // paragraphs
	Services []service
	Errors   []reason
	Refusal  string // what an error looks like
	Messages []message
	Start    operation // the example of the first steps
}

// service is a tag of the document and its operations.
type service struct {
	Name       string
	About      string
	Operations []operation
}

type operation struct {
	ID, Verb, Path, Summary, About string

	Parameters []field
	Body       []field
	Answer     kind
	Statuses   []string // of refusals
	Curl       string   // without the server's address, which the template writes
	Flags      string   // what follows the address
	Response   string   // an example of the answer
}

// message is a schema: a message's fields or an enumeration's values.
type message struct {
	Name   string
	About  string
	Fields []field
	Values []string
}

type field struct {
	Name, In string
	Required bool
	Kind     kind
	About    string
}

// kind is a type: a word, perhaps around a message of the page.
type kind struct{ Before, Message string }

// reason is a row of the list of errors.
type reason struct {
	Reason  string `json:"reason"`
	Answers []struct {
		Code string `json:"grpc_code"`
		HTTP int    `json:"http_status"`
	} `json:"answers"`
	Retryable bool   `json:"retryable"`
	Meaning   string `json:"meaning"`
	Action    string `json:"action"`
}

// The parts of an OpenAPI document that the page shows.
type (
	document struct {
		Info  struct{ Description string }
		Tags  []struct{ Name, Description string }
		Paths map[string]map[string]*described

		Components struct {
			Schemas    map[string]*schema
			Parameters map[string]parameter
			Responses  map[string]struct{ Content content }
		}
	}
	described struct {
		OperationID, Summary, Description string
		Tags                              []string
		Parameters                        []parameter
		RequestBody                       struct{ Content content }
		Responses                         map[string]struct{ Content content }
	}
	parameter struct {
		Ref                   string `json:"$ref"`
		Name, In, Description string
		Required              bool
		Schema                *schema
		Example               string
	}
	content map[string]struct {
		Schema  *schema
		Example json.RawMessage
	}
	schema struct {
		Ref                                string `json:"$ref"`
		Type, Format, Description, Pattern string
		Const                              string
		Properties                         map[string]*schema
		AdditionalProperties               any
		Items                              *schema
		Enum                               []string
		OneOf                              []*schema
	}
)

const jsonMedia = "application/json"

// newPage reads the OpenAPI document and the list of errors.
func newPage(rawDocument, rawErrors []byte) (page, error) {
	var d document
	if err := json.Unmarshal(rawDocument, &d); err != nil {
		return page{}, err
	}
	p := page{Intro: strings.Split(strings.TrimSpace(d.Info.Description), "\n\n")}
	if err := json.Unmarshal(rawErrors, &p.Errors); err != nil {
		return page{}, err
	}
	p.Refusal = indented(d.Components.Responses["400"].Content[jsonMedia].Example)
	for _, tag := range d.Tags {
		s := service{Name: tag.Name, About: tag.Description}
		for path, item := range d.Paths {
			for verb, o := range item {
				if slices.Contains(o.Tags, tag.Name) {
					s.Operations = append(s.Operations, d.operation(strings.ToUpper(verb), path, o))
				}
			}
		}
		sortByProto(s.Operations, func(o operation) protoreflect.FullName {
			return protoreflect.FullName("ledger.v1." + strings.Replace(o.ID, "_", ".", 1))
		})
		p.Services = append(p.Services, s)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		p.Messages = append(p.Messages, message{Name: name, About: s.Description, Values: s.Enum, Fields: fieldsOf(s, name)})
	}
	return p, p.chooseStart()
}

// chooseStart takes the operation that a reader should try first.
func (p *page) chooseStart() error {
	const first = "SubscriptionService_StartTrial"
	for _, s := range p.Services {
		for _, o := range s.Operations {
			if o.ID == first {
				p.Start = o
				return nil
			}
		}
	}
	return fmt.Errorf("the document has no operation %s", first)
}

func (d *document) operation(verb, path string, o *described) operation {
	out := operation{ID: o.OperationID, Verb: verb, Path: path, Summary: o.Summary, About: o.Description}
	body := o.RequestBody.Content[jsonMedia]
	flags := ""
	if body.Schema != nil {
		flags += " \\\n  -H 'Content-Type: application/json'"
		out.Body = fieldsOf(body.Schema, "")
		d.sortBody(o.OperationID, out.Body)
	}
	address := path
	for _, p := range o.Parameters {
		p = d.resolve(p)
		out.Parameters = append(out.Parameters, field{Name: p.Name, In: p.In, Required: p.Required, Kind: kindOf(p.Schema), About: p.Description})
		switch {
		case p.In == "path":
			address = strings.ReplaceAll(address, "{"+p.Name+"}", sampleOf(p.Name))
		case p.Name == "Idempotency-Key":
			flags += " \\\n  -H 'Idempotency-Key: " + keyOf(o.OperationID) + "'"
		case p.In == "header":
			flags += " \\\n  -H '" + p.Name + ": " + p.Example + "'"
		}
	}
	if body.Schema != nil {
		flags += " \\\n  -d '" + strings.ReplaceAll(cmp.Or(indented(body.Example), "{}"), "'", `'\''`) + "'"
	}
	out.Curl, out.Flags = address, flags
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if strings.HasPrefix(status, "4") || strings.HasPrefix(status, "5") {
			out.Statuses = append(out.Statuses, status)
		}
	}
	good := o.Responses["200"].Content[jsonMedia]
	out.Answer, out.Response = kindOf(good.Schema), indented(good.Example)
	return out
}

func (d *document) resolve(p parameter) parameter {
	if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
		return d.Components.Parameters[name]
	}
	return p
}

// sampleOf is what an example has in its path.
func sampleOf(name string) string {
	samples := map[string]string{
		"merchant_id": "default", "subscription_id": "alpha", "connection_id": "sandbox", "endpoint_id": "shop",
		"order_id": "10002",
	}
	if s, ok := samples[name]; ok {
		return s
	}
	return strings.ToUpper(name)
}

// keyOf is the key of an example: refund-1.
func keyOf(operationID string) string {
	_, name, _ := strings.Cut(operationID, "_")
	return strings.ToLower(name) + "-1"
}

// sortBody gives a request's fields the order that they have in its message.
func (d *document) sortBody(operationID string, fields []field) {
	m, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("ledger.v1." + strings.Replace(operationID, "_", ".", 1)))
	if method, ok := m.(protoreflect.MethodDescriptor); err == nil && ok {
		sortFields(fields, method.Input())
	}
}

// fieldsOf are the properties of a schema, in the order of the message that it is named after.
func fieldsOf(s *schema, name string) (fields []field) {
	for _, property := range slices.Sorted(maps.Keys(s.Properties)) {
		v := s.Properties[property]
		fields = append(fields, field{Name: property, Kind: kindOf(v), About: v.Description})
	}
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name)); err == nil {
		if m, ok := d.(protoreflect.MessageDescriptor); ok {
			sortFields(fields, m)
		}
	}
	return fields
}

func sortFields(fields []field, m protoreflect.MessageDescriptor) {
	sortByProto(fields, func(f field) protoreflect.FullName { return m.FullName().Append(protoreflect.Name(f.Name)) })
}

// sortByProto gives things the order in which the protos tell them.
func sortByProto[T any](all []T, name func(T) protoreflect.FullName) {
	index := func(t T) int {
		if d, err := protoregistry.GlobalFiles.FindDescriptorByName(name(t)); err == nil {
			return d.Index()
		}
		return -1
	}
	slices.SortStableFunc(all, func(a, b T) int { return index(a) - index(b) })
}

// kindOf says in a word what a value is.
func kindOf(s *schema) kind {
	switch {
	case s == nil:
		return kind{}
	case s.Ref != "":
		return kind{Message: strings.TrimPrefix(s.Ref, "#/components/schemas/")}
	case s.Items != nil:
		k := kindOf(s.Items)
		return kind{Before: strings.TrimSpace("list of " + k.Before), Message: k.Message}
	case s.Type == "object" && s.Properties["result"] != nil: // a stream
		k := kindOf(s.Properties["result"])
		return kind{Before: "stream of", Message: k.Message}
	case s.Type == "object":
		return kind{Before: "map of strings"}
	case s.Format == "date-time":
		return kind{Before: "time"}
	case s.Format == "password":
		return kind{Before: "string, secret"}
	case strings.HasSuffix(s.Pattern, "s$"):
		return kind{Before: "duration"}
	case s.Format == "int64" && s.Type == "string":
		return kind{Before: "int64 as string"}
	}
	return kind{Before: s.Type}
}

// flat matches an object or a list in indented JSON that holds no other.
var flat = regexp.MustCompile(`[{\[]\n[^{}\[\]]*[}\]]`)

// indented is JSON for people, with what fits on a line on one; "" for none.
func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Indent(&b, raw, "", "  ") != nil {
		return ""
	}
	return flat.ReplaceAllStringFunc(b.String(), func(s string) string {
		if line := strings.Join(strings.Fields(s), " "); len(line) <= 60 {
			return strings.NewReplacer("{ ", "{", " }", "}", "[ ", "[", " ]", "]").Replace(line)
		}
		return s
	})
}

var (
	code   = regexp.MustCompile("`([^`]+)`")
	strong = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	word   = regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b`)
)

// Prose shows what little Markdown our texts have, and leads from a reason to its row.
func (p page) Prose(s string) template.HTML {
	s = template.HTMLEscapeString(s)
	s = code.ReplaceAllString(s, "<code>$1</code>")
	s = strong.ReplaceAllString(s, "<strong>$1</strong>")
	s = word.ReplaceAllStringFunc(s, func(w string) string {
		if slices.ContainsFunc(p.Errors, func(r reason) bool { return r.Reason == w }) {
			return `<a href="#` + w + `"><code>` + w + `</code></a>`
		}
		return w
	})
	return template.HTML(s)
}

// breakable lets a long name end its line where a word of it ends.
func breakable(s string) template.HTML {
	return template.HTML(strings.NewReplacer("_", "_<wbr>", "/", "/<wbr>", ":", "<wbr>:").Replace(template.HTMLEscapeString(s)))
}

// short is a message's name without its package, where the package is ours.
func short(name string) string { return strings.TrimPrefix(name, "ledger.v1.") }
