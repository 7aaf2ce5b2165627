package event

import (
	"bytes"
	"encoding/base64"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// readJSON reads exactly what appendJSON writes: no white space, each field at most once and in order, no escapes, no
// other spelling of a value. It reports whether data is that and m is filled; if not, m holds anything.
func readJSON(data []byte, m protoreflect.Message, s *shape) bool {
	r := &reader{data}
	return r.message(m, s) && len(r.rest) == 0
}

type reader struct{ rest []byte }

// skip moves over what must come next.
func (r *reader) skip(c byte) bool {
	if len(r.rest) == 0 || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *reader) message(m protoreflect.Message, s *shape) bool {
	if s.timestamp {
		return r.time(m)
	}
	if !r.skip('{') {
		return false
	}
	if r.skip('}') {
		return true
	}
	for i := range s.fields {
		f := &s.fields[i]
		if len(r.rest) < len(f.key) || string(r.rest[:len(f.key)]) != f.key {
			continue
		}
		r.rest = r.rest[len(f.key):]
		if !r.field(m, f) {
			return false
		}
		if !r.skip(',') {
			return r.skip('}')
		}
	}
	return false // a key that is unknown, or stands where it should not
}

func (r *reader) field(m protoreflect.Message, f *field) bool {
	if f.list {
		return r.list(m.Mutable(f.desc).List(), f)
	}
	if f.inside != nil {
		return r.message(m.Mutable(f.desc).Message(), f.inside)
	}
	v, ok := r.value(f)
	if ok {
		m.Set(f.desc, v)
	}
	return ok
}

func (r *reader) list(l protoreflect.List, f *field) bool {
	if !r.skip('[') {
		return false
	}
	for {
		if f.inside != nil {
			if !r.message(l.AppendMutable().Message(), f.inside) {
				return false
			}
		} else {
			v, ok := r.value(f)
			if !ok {
				return false
			}
			l.Append(v)
		}
		if !r.skip(',') {
			return r.skip(']')
		}
	}
}

func (r *reader) value(f *field) (v protoreflect.Value, ok bool) {
	switch f.kind {
	case protoreflect.BoolKind:
		if rest, found := bytes.CutPrefix(r.rest, []byte("true")); found {
			r.rest = rest
			return protoreflect.ValueOfBool(true), true
		}
		return v, false // false is absent
	case protoreflect.Int32Kind:
		n, ok := r.number()
		return protoreflect.ValueOfInt32(int32(n)), ok && int64(int32(n)) == n
	case protoreflect.Uint32Kind:
		n, ok := r.number()
		return protoreflect.ValueOfUint32(uint32(n)), ok && int64(uint32(n)) == n
	case protoreflect.Int64Kind:
		n, ok := r.quotedNumber()
		return protoreflect.ValueOfInt64(n), ok
	case protoreflect.Uint64Kind:
		n, ok := r.quotedNumber()
		return protoreflect.ValueOfUint64(uint64(n)), ok && n >= 0
	}
	text, ok := r.text()
	if !ok {
		return v, false
	}
	switch f.kind {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(text)), utf8.Valid(text)
	case protoreflect.EnumKind:
		n, ok := f.numbers[string(text)]
		return protoreflect.ValueOfEnum(n), ok
	default: // bytes
		b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
		return protoreflect.ValueOfBytes(b), err == nil
	}
}

// text reads a string that needs no escapes.
func (r *reader) text() ([]byte, bool) {
	if !r.skip('"') {
		return nil, false
	}
	for i, c := range r.rest {
		switch {
		case c == '"':
			text := r.rest[:i]
			r.rest = r.rest[i+1:]
			return text, true
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// number reads an integer of at most 18 digits: it cannot overflow.
func (r *reader) number() (n int64, ok bool) {
	negative := r.skip('-')
	i := 0
	for ; i < len(r.rest) && i < 19 && '0' <= r.rest[i] && r.rest[i] <= '9'; i++ {
		n = n*10 + int64(r.rest[i]-'0')
	}
	if i == 0 || i == 19 || r.rest[0] == '0' && (i > 1 || negative) {
		return 0, false
	}
	r.rest = r.rest[i:]
	if negative {
		n = -n
	}
	return n, true
}

func (r *reader) quotedNumber() (n int64, ok bool) {
	if !r.skip('"') {
		return 0, false
	}
	n, ok = r.number()
	return n, ok && r.skip('"')
}

func (r *reader) time(m protoreflect.Message) bool {
	text, ok := r.text()
	ts, mine := m.Interface().(*timestamppb.Timestamp)
	if !ok || !mine || len(text) < len("2006-01-02T15:04:05Z") || text[len(text)-1] != 'Z' || bytes.IndexByte(text, ',') >= 0 {
		return false
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil || len(text) > len("2006-01-02T15:04:05.000000000Z") {
		return false
	}
	ts.Seconds, ts.Nanos = t.Unix(), int32(t.Nanosecond())
	return ts.IsValid()
}
