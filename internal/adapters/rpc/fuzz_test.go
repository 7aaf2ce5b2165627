package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"

	"ledger.internal/ledger/internal/aggregate"
)

// FuzzRequest decodes bodies as the front of REST does, into the request of a method that is chosen by its number.
// What is refused is refused in our own words; what is taken says the same once it is written and read again, names
// nothing twice, and has every number in digits.
func FuzzRequest(f *testing.F) {
	all, err := routes()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method uint, raw []byte) {
		to := all[method%uint(len(all))]
		read := func(raw []byte) (proto.Message, error) {
			typ, err := protoregistry.GlobalTypes.FindMessageByName(to.method.Input().FullName())
			if err != nil {
				t.Fatal(err)
			}
			m := typ.New().Interface()
			return m, (&requestBody{raw: raw, route: to, values: make([]string, len(to.bound))}).decode(m)
		}
		m, err := read(raw)
		var refusal *aggregate.Error
		if err != nil {
			if !errors.As(err, &refusal) || refusal.Reason == "" {
				t.Fatalf("%s: refused with %v, want a reason", to.fullName(), err)
			}
			return
		}
		if len(raw) > 0 && !plainJSON(raw) {
			t.Fatalf("%s takes %q", to.fullName(), raw)
		}
		_ = checkMessage("", m.ProtoReflect()) // must not panic on what was decoded
		written, err := answerJSON().Marshal(m)
		if err != nil {
			t.Fatalf("%s: decoded but not written: %v", to.fullName(), err)
		}
		again, err := read(written)
		if err != nil {
			t.Fatalf("%s: written but not read: %v\n%s", to.fullName(), err, written)
		}
		if diff := cmp.Diff(m, again, protocmp.Transform()); diff != "" {
			t.Errorf("%s, there and back (-there +back):\n%s", to.fullName(), diff)
		}
	})
}

// plainJSON is a second opinion on bodies: one value, no name twice in an object, integers in digits up to 2^53.
func plainJSON(raw []byte) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value func() bool
	value = func() bool {
		t, err := d.Token()
		if err != nil {
			return false
		}
		switch v := t.(type) {
		case json.Number:
			n, err := v.Int64()
			return err == nil && n <= 1<<53 && n >= -1<<53 && v.String() != "-0"
		case json.Delim:
			names := map[any]bool{}
			for d.More() {
				if v == '{' {
					name, err := d.Token()
					if err != nil || names[name] {
						return false
					}
					names[name] = true
				}
				if !value() {
					return false
				}
			}
			_, err := d.Token()
			return err == nil
		}
		return true
	}
	if !value() {
		return false
	}
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

// FuzzQuery checks parameters behind a question mark: never a panic, and nothing is taken for an enum or a number that
// the field cannot hold.
func FuzzQuery(f *testing.F) {
	all, err := routes()
	if err != nil {
		f.Fatal(err)
	}
	var lists []route
	for _, r := range all {
		if !r.withBody {
			lists = append(lists, r)
		}
	}
	f.Fuzz(func(t *testing.T, method uint, name, value string) {
		to := lists[method%uint(len(lists))]
		if checkQuery(map[string][]string{name: {value}}, to) != nil {
			return
		}
		fd := fieldOf(to.method.Input(), name)
		if fd == nil {
			t.Fatalf("%s has no parameter %q", to.fullName(), name)
		}
		if fd.Kind() == protoreflect.EnumKind && fd.Enum().Values().ByName(protoreflect.Name(value)) == nil {
			t.Fatalf("%s takes %q for a %s", to.fullName(), value, fd.Enum().Name())
		}
		if checkQuery(map[string][]string{name: {value, value}}, to) == nil && !fd.IsList() {
			t.Fatalf("%s takes %s twice", to.fullName(), name)
		}
	})
}

// FuzzRequestID says that a request's id is taken in a header exactly if it is taken in a message, goes through
// unchanged, and is nothing that a log line or a header could be broken with.
func FuzzRequestID(f *testing.F) {
	f.Fuzz(func(t *testing.T, id string) {
		refused := checkRequestID(id)
		out, err := acceptHeaders(http.Header{idempotencyKeyHeader: {id}})
		if err == nil && out.Get(idempotencyKeyHeader) != id {
			t.Fatalf("%q became %q", id, out.Get(idempotencyKeyHeader))
		}
		if refused == nil && err != nil {
			t.Fatalf("%q is taken in a message, in a header %v", id, err)
		}
		for _, c := range []byte(id) {
			if refused == nil && (c < ' ' || c > '~') {
				t.Fatalf("%q is taken, with byte %#x", id, c)
			}
		}
		if n := len(id); refused == nil && (n == 0 || n > 255) {
			t.Fatalf("%d characters are taken", n)
		}
	})
}
