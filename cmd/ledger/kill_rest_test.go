package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// restConn carries the calls of a gRPC client over REST, as a program of a merchant would make them: the request id is
// the Idempotency-Key header, what the path names is not in the body. So a driver says the same whichever way it goes.
type restConn struct {
	base   string
	client *http.Client
}

var _ grpc.ClientConnInterface = (*restConn)(nil)

// Invoke implements grpc.ClientConnInterface. What is no answer of the ledger's is Unavailable, as with gRPC.
func (c *restConn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	req, err := c.request(ctx, method, proto.Clone(args.(proto.Message)).ProtoReflect())
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		return status.Error(codes.Unavailable, err.Error())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if resp.StatusCode == http.StatusOK {
		return protojson.Unmarshal(text, reply.(proto.Message))
	}
	var s spb.Status
	if err := protojson.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("%s is answered with %s and %q", req.URL, resp.Status, text)
	}
	return status.ErrorProto(&s)
}

var pathField = regexp.MustCompile(`{(\w+)}`)

// request writes a call as its http annotation says.
func (c *restConn) request(ctx context.Context, method string, m protoreflect.Message) (*http.Request, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method[1:], "/", ".")))
	if err != nil {
		return nil, err
	}
	take := func(field string) string {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(field))
		if f == nil {
			return ""
		}
		defer m.Clear(f)
		return m.Get(f).String()
	}
	rule := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	verb, path := http.MethodPost, rule.GetPost()
	if path == "" {
		verb, path = http.MethodGet, rule.GetGet()
	}
	path = pathField.ReplaceAllStringFunc(path, func(field string) string { return take(strings.Trim(field, "{}")) })
	key := take("request_id")
	var body io.Reader
	if verb == http.MethodPost {
		text, err := protojson.Marshal(m.Interface())
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, verb, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if verb == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
	}
	return req, nil
}

// NewStream implements grpc.ClientConnInterface.
func (c *restConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "the drivers stream nothing")
}
