package event

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// appendJSON writes a message. It refuses what could not be read again, and enums that are unspecified.
func appendJSON(b []byte, m protoreflect.Message, s *shape) ([]byte, error) {
	if b == nil {
		b = make([]byte, 0, 1024)
	}
	if s.timestamp {
		return appendTime(b, m)
	}
	b = append(b, '{')
	empty := len(b)
	for i := range s.fields {
		f := &s.fields[i]
		if !m.Has(f.desc) {
			if f.mustSet {
				return nil, fmt.Errorf("%s is unspecified", f.desc.FullName())
			}
			continue
		}
		if len(b) > empty {
			b = append(b, ',')
		}
		b = append(b, f.key...)
		var err error
		if f.list {
			b, err = appendList(b, m.Get(f.desc).List(), f)
		} else {
			b, err = appendValue(b, m.Get(f.desc), f)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendList(b []byte, l protoreflect.List, f *field) (_ []byte, err error) {
	b = append(b, '[')
	for i := range l.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, l.Get(i), f); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendValue(b []byte, v protoreflect.Value, f *field) ([]byte, error) {
	switch f.kind {
	case protoreflect.StringKind:
		return appendString(b, v.String(), f)
	case protoreflect.MessageKind:
		return appendJSON(b, v.Message(), f.inside)
	case protoreflect.EnumKind:
		name, ok := f.names[v.Enum()]
		if !ok {
			return nil, fmt.Errorf("%s is %d, which has no name", f.desc.FullName(), v.Enum())
		}
		return append(append(append(b, '"'), name...), '"'), nil
	case protoreflect.Int32Kind:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case protoreflect.Uint32Kind:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case protoreflect.Int64Kind: // a string, because JavaScript's numbers end at 2^53
		return append(strconv.AppendInt(append(b, '"'), v.Int(), 10), '"'), nil
	case protoreflect.Uint64Kind:
		return append(strconv.AppendUint(append(b, '"'), v.Uint(), 10), '"'), nil
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	default: // bytes, the last kind that a shape takes
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes()), '"'), nil
	}
}

func appendString(b []byte, s string, f *field) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%s is not UTF-8", f.desc.FullName())
	}
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[done:]...), '"'), nil
}

// appendTime writes a Timestamp in UTC with as many thousands of a fraction as it needs.
func appendTime(b []byte, m protoreflect.Message) ([]byte, error) {
	ts, ok := m.Interface().(*timestamppb.Timestamp)
	if !ok {
		return nil, errors.New("a Timestamp of another type") // only a dynamic message has one
	}
	if err := ts.CheckValid(); err != nil {
		return nil, err
	}
	layout := `"2006-01-02T15:04:05.000000000Z"`
	switch nanos := ts.GetNanos(); {
	case nanos == 0:
		layout = `"2006-01-02T15:04:05Z"`
	case nanos%1e6 == 0:
		layout = `"2006-01-02T15:04:05.000Z"`
	case nanos%1e3 == 0:
		layout = `"2006-01-02T15:04:05.000000Z"`
	}
	return time.Unix(ts.GetSeconds(), int64(ts.GetNanos())).UTC().AppendFormat(b, layout), nil
}
