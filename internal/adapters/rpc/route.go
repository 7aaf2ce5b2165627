package rpc

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// route is one method of one service, and where REST has it.
type route struct {
	method   protoreflect.MethodDescriptor
	verb     string
	path     *regexp.Regexp
	bound    []protoreflect.FieldDescriptor // fields of the request that stand in the path
	withBody bool
}

// fullName is the method as gRPC writes it: /package.Service/Method.
func (r route) fullName() string {
	return "/" + string(r.method.Parent().FullName()) + "/" + string(r.method.Name())
}

// services are the files of the API, each with one service.
func services() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		ledgerv1.File_ledger_v1_subscription_service_proto,
		ledgerv1.File_ledger_v1_order_service_proto,
		ledgerv1.File_ledger_v1_merchant_service_proto,
		ledgerv1.File_ledger_v1_connection_service_proto,
		ledgerv1.File_ledger_v1_endpoint_service_proto,
		ledgerv1.File_ledger_v1_report_service_proto,
		ledgerv1.File_ledger_v1_operation_service_proto,
	}
}

// routes are every method's, read from their google.api.http options.
var routes = sync.OnceValues(readRoutes)

func readRoutes() ([]route, error) {
	var all []route
	for _, file := range services() {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				r, err := routeOf(methods.Get(j))
				if err != nil {
					return nil, err
				}
				all = append(all, r)
			}
		}
	}
	return all, nil
}

func routeOf(m protoreflect.MethodDescriptor) (route, error) {
	r := route{method: m}
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	var template string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.verb, template = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		r.verb, template = http.MethodPost, p.Post
	default:
		return r, fmt.Errorf("rpc: %s has no route", m.FullName())
	}
	r.withBody = rule.GetBody() != ""
	var err error
	r.path, r.bound, err = compile(template, m.Input())
	return r, err
}

// compile turns a template like /v1/merchants/{merchant_id}:update into an expression with a group for each field.
func compile(template string, input protoreflect.MessageDescriptor) (*regexp.Regexp, []protoreflect.FieldDescriptor, error) {
	var bound []protoreflect.FieldDescriptor
	expr := "^"
	for template != "" {
		literal, rest, found := strings.Cut(template, "{")
		expr += regexp.QuoteMeta(literal)
		if !found {
			break
		}
		name, tail, _ := strings.Cut(rest, "}")
		fd := input.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			return nil, nil, fmt.Errorf("rpc: %s has no field %s for its path", input.FullName(), name)
		}
		bound = append(bound, fd)
		expr += "([^/]*)"
		template = tail
	}
	re, err := regexp.Compile(expr + "$")
	return re, bound, err
}

// find returns the route of a request and what its path names. Without one it tells which verbs the path has; none
// means that there is no such path. The longest template wins, so that a custom verb (…:cancel) is never taken for a
// part of an id.
func find(all []route, verb, path string) (found route, values []string, verbs []string) {
	longest := ""
	for _, r := range all {
		if template := r.path.String(); len(template) > len(longest) && r.path.MatchString(path) {
			longest = template
		}
	}
	for _, r := range all {
		if r.path.String() != longest {
			continue
		}
		if r.verb == verb {
			return r, r.path.FindStringSubmatch(path)[1:], nil
		}
		verbs = append(verbs, r.verb)
	}
	return route{}, nil, verbs
}
