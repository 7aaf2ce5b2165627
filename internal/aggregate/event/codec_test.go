package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

var update = flag.Bool("update", false, "add missing samples of stored events; existing ones are never touched")

const samples = "testdata/stored"

// sample is a stored event: data and metadata as two lines of a file that is named for its type. A type that got
// fields after its first sample was stored has more of them: payment_declined.json, payment_declined.2.json, …
func sample(tb testing.TB, file string) RawRecorded {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 3 || lines[2] != "" {
		tb.Fatalf("%s: want two lines, data and metadata", file)
	}
	typ, _, _ := strings.Cut(filepath.Base(file), ".")
	return at(typ, Raw{Type: typ, Data: []byte(lines[0]), Metadata: []byte(lines[1])})
}

// at puts a sample in the place that its hash was made for.
func at(typ string, r Raw) RawRecorded {
	stream := "sample-" + typ
	r.ID = ID(stream, "sample", 0)
	return RawRecorded{Stream: stream, Revision: 0, Position: Position{Commit: 1, Prepare: 1}, Raw: r}
}

func sampleFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob(samples + "/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no samples in %s: %v", samples, err)
	}
	return files
}

// TestStoredSamples is the promise that what was stored can be read for ever, and is still written the same.
func TestStoredSamples(t *testing.T) {
	t.Parallel()
	for _, file := range sampleFiles(t) {
		r := sample(t, file)
		got, err := Decode(r)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if name := TypeName(got.Event); name != r.Type {
			t.Errorf("%s: decoded as %q", file, name)
		}
		if hash, err := VerifyChain(nil, r); err != nil || !bytes.Equal(hash, got.Metadata.Hash) {
			t.Errorf("%s: hash %x, %v; want %x", file, hash, err, got.Metadata.Hash)
		}
		again, err := Encode(nil, r.Stream, r.Revision, r.ID, got.Event)
		if err != nil {
			t.Errorf("%s: encode again: %v", file, err)
			continue
		}
		if diff := cmp.Diff(text(r.Raw), text(again)); diff != "" {
			t.Errorf("%s: encoded again (-stored +got):\n%s", file, diff)
		}
	}
}

// TestEveryKindHasASample names the kinds and the fields that stand in no sample; -update adds one that has them.
// It does not run in parallel: those that do find what it added.
func TestEveryKindHasASample(t *testing.T) {
	for typ := range kinds {
		file, missing := newestSample(t, typ)
		if len(missing) > 0 && *update {
			if err := addSample(typ, file); err != nil {
				t.Fatal(err)
			}
			file, missing = newestSample(t, typ)
		}
		if len(missing) > 0 {
			t.Errorf("%s stands in no sample with its %v; run the test with -update to add %s", typ, missing, file)
		}
	}
}

// newestSample looks for the last sample of a type. It returns what is missing there, and the file for a newer one.
func newestSample(t *testing.T, typ string) (file string, missing []string) {
	missing = []string{"first field, and all others"}
	for n := 1; ; n++ {
		file = filepath.Join(samples, typ+".json")
		if n > 1 {
			file = filepath.Join(samples, fmt.Sprintf("%s.%d.json", typ, n))
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return file, missing
		}
		e, err := Decode(sample(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		missing = unsetFields(e.ProtoReflect().Get(kinds[typ].desc).Message(), "")
	}
}

func addSample(typ, file string) error {
	e := filled(typ)
	r := at(typ, Raw{})
	raw, err := Encode(nil, r.Stream, r.Revision, r.ID, e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(samples, 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%s\n%s\n", raw.Data, raw.Metadata), 0o644)
}

// filled is an event of a kind with every field set.
func filled(typ string) *ledgerv1.Event {
	e := &ledgerv1.Event{Metadata: &ledgerv1.Metadata{}}
	fill(e.Metadata.ProtoReflect())
	fill(e.ProtoReflect().Mutable(kinds[typ].desc).Message())
	return e
}

func fill(m protoreflect.Message) {
	if ts, ok := m.Interface().(*timestamppb.Timestamp); ok {
		proto.Merge(ts, timestamppb.New(time.Date(2026, 2, 28, 23, 59, 58, 123456000, time.UTC)))
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.IsList() && f.Message() != nil:
			fill(m.Mutable(f).List().AppendMutable().Message())
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		case f.Message() != nil:
			fill(m.Mutable(f).Message())
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	n := int64(f.Number())
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%s \"é\" <&> \\ / 猫", f.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{0xfb, byte(n)}, 16))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1<<53 + n)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	}
	panic(fmt.Sprintf("%s: no sample value for kind %s", f.FullName(), f.Kind()))
}

func unsetFields(m protoreflect.Message, path string) (unset []string) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch name := path + string(f.Name()); {
		case !m.Has(f):
			unset = append(unset, name)
		case f.IsList() && f.Message() != nil:
			unset = append(unset, unsetFields(m.Get(f).List().Get(0).Message(), name+".")...)
		case f.Message() != nil && !f.IsList():
			unset = append(unset, unsetFields(m.Get(f).Message(), name+".")...)
		}
	}
	return unset
}

type textual struct{ ID, Type, Data, Metadata string }

func text(r Raw) textual {
	return textual{r.ID.String(), r.Type, string(r.Data), string(r.Metadata)}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	meta := func() *ledgerv1.Metadata { return &ledgerv1.Metadata{Actor: "api"} }
	terms := func(change func(*ledgerv1.Terms)) *ledgerv1.Event {
		s := &ledgerv1.SubscriptionStarted{Mode: ledgerv1.Mode_MODE_TEST, Terms: &ledgerv1.Terms{Kind: ledgerv1.PriceKind_PRICE_KIND_ONE_TIME}}
		change(s.Terms)
		return &ledgerv1.Event{Metadata: meta(), Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: s}}
	}
	endpoint := func(types ...ledgerv1.IpnType) *ledgerv1.Event {
		return &ledgerv1.Event{Metadata: meta(), Kind: &ledgerv1.Event_EndpointChanged{EndpointChanged: &ledgerv1.EndpointChanged{
			Settings: &ledgerv1.EndpointSettings{Types: types}}}}
	}
	tests := map[string]struct {
		event *ledgerv1.Event
		ok    bool
	}{
		"no event":    {nil, false},
		"no kind":     {&ledgerv1.Event{Metadata: meta()}, false},
		"no metadata": {&ledgerv1.Event{Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{}}}, false},
		"all fields absent": {&ledgerv1.Event{Metadata: meta(),
			Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{}}}, true},
		"an empty category": {&ledgerv1.Event{Metadata: meta(),
			Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{}}}, false},
		"a category without a name": {&ledgerv1.Event{Metadata: meta(),
			Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{Category: 99}}}, false},
		"one-time terms without a period": {terms(func(*ledgerv1.Terms) {}), true},
		"terms without a kind":            {terms(func(t *ledgerv1.Terms) { t.Kind = 0 }), false},
		"no types":                        {endpoint(), true},
		"an unspecified type in a list":   {endpoint(ledgerv1.IpnType_IPN_TYPE_SALE, 0), false},
		"a text that is not text": {&ledgerv1.Event{Metadata: meta(),
			Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{Code: "\xff"}}}, false},
		"a time out of range": {&ledgerv1.Event{Metadata: &ledgerv1.Metadata{OccurredAt: &timestamppb.Timestamp{Nanos: -1}},
			Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{}}}, false},
	}
	for name, tt := range tests {
		r, err := Encode(nil, "subscription-m.1", 0, uuid.New(), tt.event)
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("%s: got %s, %v; want success %t, else ErrInvalidArgument", name, r.Data, err, tt.ok)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := sample(t, samples+"/refund_failed.json")
	tests := map[string]struct {
		change func(*RawRecorded)
		want   error
	}{
		"an unknown kind":           {func(r *RawRecorded) { r.Type = "refund_evaporated" }, ErrUnknownKind},
		"the oneof's other field":   {func(r *RawRecorded) { r.Type = "metadata" }, ErrUnknownKind},
		"an unknown field":          {func(r *RawRecorded) { r.Data = []byte(`{"refund_id":"r","colour":"red"}`) }, nil},
		"an unknown metadata field": {func(r *RawRecorded) { r.Metadata = []byte(`{"actor":"api","mood":"good"}`) }, nil},
		"an unknown enum value": {func(r *RawRecorded) {
			r.Type, r.Data = "dispute_closed", []byte(`{"outcome":"DISPUTE_OUTCOME_DRAW"}`)
		}, nil},
		"a field twice":  {func(r *RawRecorded) { r.Data = []byte(`{"code":"a","code":"b"}`) }, nil},
		"broken data":    {func(r *RawRecorded) { r.Data = r.Data[:len(r.Data)-1] }, nil},
		"something more": {func(r *RawRecorded) { r.Data = append(bytes.Clone(r.Data), "{}"...) }, nil},
		"no data":        {func(r *RawRecorded) { r.Data = nil }, nil},
		"no metadata":    {func(r *RawRecorded) { r.Metadata = nil }, nil},
	}
	for name, tt := range tests {
		r := good
		tt.change(&r)
		got, err := Decode(r)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, %v; want error %v", name, got.Event, err, tt.want)
		}
	}
}

func TestUpcast(t *testing.T) {
	t.Parallel()
	// An older program called a failed refund refund_broken, and its code the reason.
	old := func(typ string, data []byte) (string, []byte, error) {
		if typ != "refund_broken" {
			return upcast(typ, data)
		}
		var was struct {
			RefundID string `json:"refund_id"`
			Reason   string `json:"reason"`
		}
		if err := json.Unmarshal(data, &was); err != nil {
			return "", nil, err
		}
		now, err := json.Marshal(map[string]string{"refund_id": was.RefundID, "code": was.Reason})
		return "refund_failed", now, err
	}
	r := at("refund_broken", Raw{Type: "refund_broken", Data: []byte(`{"refund_id":"r1","reason":"expired"}`), Metadata: []byte(`{"actor":"api"}`)})
	got, err := decode(r, old)
	if err != nil {
		t.Fatal(err)
	}
	want := &ledgerv1.Event{Metadata: &ledgerv1.Metadata{Actor: "api"},
		Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{RefundId: "r1", Code: "expired"}}}
	if diff := cmp.Diff(want, got.Event, protocmp.Transform()); diff != "" {
		t.Errorf("upcast (-want +got):\n%s", diff)
	}
	r.Data = []byte(`{"refund_id":7}`)
	if _, err := decode(r, old); err == nil {
		t.Error("what cannot be upcast was decoded")
	}
	if _, err := Decode(r); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("without the upcast: got %v, want ErrUnknownKind", err)
	}
}

// storedID stands in logs: were it another, repeated requests would be done twice.
const storedID = "7d565afe-71bf-582b-9ba4-482e5f495d81"

func TestID(t *testing.T) {
	t.Parallel()
	if got := ID("subscription-m.1", "request", 0).String(); got != storedID {
		t.Errorf("the id of a request's first event is %s, want %s for ever", got, storedID)
	}
	seen := map[uuid.UUID]string{}
	for _, c := range []struct {
		stream, request string
		n               int
	}{{"a", "b", 0}, {"a", "b", 1}, {"a", "b1", 0}, {"ab", "", 0}, {"", "ab", 0}, {"a", "b", 10}, {"a", "b1", 1}} {
		id, name := ID(c.stream, c.request, c.n), fmt.Sprint(c)
		if other, ok := seen[id]; ok || id.Version() != 5 {
			t.Errorf("%s: id %s of version %d, also of %q", name, id, id.Version(), other)
		}
		seen[id] = name
	}
}

// FuzzDecode looks for bytes that make Decode panic, or that it takes and Encode cannot give back.
func FuzzDecode(f *testing.F) {
	for _, file := range sampleFiles(f) {
		r := sample(f, file)
		f.Add(r.Type, r.Data, r.Metadata)
	}
	f.Fuzz(func(t *testing.T, typ string, data, metadata []byte) {
		r := at(typ, Raw{Type: typ, Data: data, Metadata: metadata})
		_, _ = VerifyChain(nil, r) // must not panic
		got, err := Decode(r)
		if err != nil {
			return
		}
		raw, err := Encode(nil, r.Stream, r.Revision, r.ID, got.Event)
		if errors.Is(err, ErrInvalidArgument) { // an enum without meaning can be read, and is not written
			return
		}
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		again, err := Decode(at(typ, raw))
		if err != nil {
			t.Fatalf("encoded but not decoded: %v\n%s\n%s", err, raw.Data, raw.Metadata)
		}
		if diff := cmp.Diff(got.Event, again.Event, protocmp.Transform()); diff != "" {
			t.Errorf("there and back (-there +back):\n%s", diff)
		}
		if _, err := VerifyChain(nil, at(typ, raw)); err != nil {
			t.Errorf("its own hash: %v", err)
		}
	})
}

// usual is an event as it is every day: short plain texts.
func usual(typ string) *ledgerv1.Event {
	e := filled(typ)
	plain(e.ProtoReflect())
	return e
}

func plain(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				plain(v.List().Get(i).Message())
			}
		case f.IsList():
		case f.Message() != nil:
			plain(v.Message())
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("of "+string(f.Name())))
		}
		return true
	})
}

// TestWritesWhatProtojsonWrites compares with the library that other programs read the log with.
func TestWritesWhatProtojsonWrites(t *testing.T) {
	t.Parallel()
	for typ, k := range kinds {
		for name, e := range map[string]*ledgerv1.Event{"usual": usual(typ), "odd": filled(typ)} {
			for _, part := range []struct {
				m protoreflect.Message
				s *shape
			}{{e.ProtoReflect().Get(k.desc).Message(), k.shape}, {e.Metadata.ProtoReflect(), metadataShape}} {
				got, err := appendJSON(nil, part.m, part.s)
				if err != nil {
					t.Fatalf("%s, %s: %v", typ, name, err)
				}
				if diff := cmp.Diff(protoJSON(t, part.m.Interface()), string(got)); diff != "" {
					t.Errorf("%s, %s (-protojson +got):\n%s", typ, name, diff)
				}
				back := part.m.New()
				if fast := readJSON(got, back, part.s); !fast && name == "usual" {
					t.Errorf("%s, %s: left to protojson: %s", typ, name, got)
				} else if diff := cmp.Diff(part.m.Interface(), back.Interface(), protocmp.Transform()); fast && diff != "" {
					t.Errorf("%s, %s: read (-want +got):\n%s", typ, name, diff)
				}
			}
		}
	}
}

func protoJSON(t *testing.T, m proto.Message) string {
	t.Helper()
	loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, loose); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestReadsAsProtojsonReads tries what the fast reader must not take otherwise than protojson does.
func TestReadsAsProtojsonReads(t *testing.T) {
	t.Parallel()
	for typ, texts := range map[string][]string{
		"payment_requested": {
			`{}`, `{ }`, `{"pay_number":1}`, `{"pay_number":"1"}`, `{"pay_number":1.0}`, `{"pay_number":1e0}`, `{"pay_number":01}`,
			`{"pay_number":-1}`, `{"pay_number":-0}`, `{"pay_number":4294967296}`, `{"pay_number":}`, `{"pay_number":1,}`, `{"pay_number":1`,
			`{"attempt":1,"pay_number":1}`, `{"pay_number":1,"pay_number":1}`, `{"payNumber":1}`, `{"pay_number":null}`, `null`, `[]`, ``,
			`{"due":"2026-02-30T00:00:00Z"}`, `{"due":"2026-02-28T00:00:00.1Z"}`, `{"due":"2026-02-28T00:00:00,123Z"}`,
			`{"due":"0000-01-01T00:00:00Z"}`, `{"due":"2026-02-28T01:00:00+01:00"}`, `{"due":"2026-02-28T24:00:00Z"}`, `{"due":""}`,
			`{"due":"2026-02-28T00:00:00.1234567890Z"}`, `{"due":"2026-02-28t00:00:00Z"}`, `{"due":"12026-02-28T00:00:00Z"}`,
			`{"key":"\u0061"}`, `{"key":"a\nb"}`, "{\"key\":\"a\nb\"}", "{\"key\":\"\xff\"}", `{"key":"\ud83d\ude00"}`, `{"key":7}`, `{"key":"`,
			`{"amounts":{"full":{"minor_units":"9223372036854775807"}}}`, `{"amounts":{"full":{"minor_units":"9223372036854775808"}}}`,
			`{"amounts":{"full":{"minor_units":"-9223372036854775808"}}}`, `{"amounts":{"full":{"minor_units":5}}}`, `{"amounts":{"full":{"minor_units":"5 "}}}`,
			`{"amounts":{"full":{"minor_units":"123456789012345678"}}}`, `{"amounts":{"full":{"minor_units":""}}}`, `{"amounts":{"full":{"minor_units":"-"}}}`,
			`{"amounts":{}}`, `{"amounts":[]}`, `{"amounts":null}`, `{"amounts":{}}x`,
		},
		"endpoint_changed": {
			`{"settings":{"types":[]}}`, `{"settings":{"types":["IPN_TYPE_SALE","IPN_TYPE_REBILL"]}}`, `{"settings":{"types":[1]}}`,
			`{"settings":{"types":["IPN_TYPE_SALE",]}}`, `{"settings":{"types":["sale"]}}`, `{"settings":{"types":["IPN_TYPE_UNSPECIFIED"]}}`,
			`{"settings":{"spaced_shipping_keys":true}}`, `{"settings":{"spaced_shipping_keys":false}}`, `{"settings":{"spaced_shipping_keys":"true"}}`,
			`{"settings":{"spaced_shipping_keys":truer}}`,
		},
	} {
		for _, text := range texts {
			got := (&ledgerv1.Event{}).ProtoReflect().Mutable(kinds[typ].desc).Message()
			reference := (&ledgerv1.Event{}).ProtoReflect().Mutable(kinds[typ].desc).Message()
			wantErr := protojson.Unmarshal([]byte(text), reference.Interface())
			gotErr := unmarshal([]byte(text), got, kinds[typ].shape)
			if (wantErr == nil) != (gotErr == nil) {
				t.Errorf("%s %s: got error %v, protojson's is %v", typ, text, gotErr, wantErr)
				continue
			}
			if diff := cmp.Diff(reference.Interface(), got.Interface(), protocmp.Transform()); wantErr == nil && diff != "" {
				t.Errorf("%s %s (-protojson +got):\n%s", typ, text, diff)
			}
		}
	}
}

var benchKinds = []string{"payment_succeeded", "subscription_started", "refund_pending"}

func BenchmarkEncode(b *testing.B) {
	for _, typ := range benchKinds {
		b.Run(typ, func(b *testing.B) {
			e := usual(typ)
			prev := bytes.Repeat([]byte{1}, 32)
			id := uuid.New()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(prev, "subscription-merchant.1", 7, id, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, typ := range benchKinds {
		b.Run(typ, func(b *testing.B) {
			raw, err := Encode(nil, "subscription-merchant.1", 0, uuid.New(), usual(typ))
			if err != nil {
				b.Fatal(err)
			}
			r := RawRecorded{Stream: "subscription-merchant.1", Raw: raw}
			b.SetBytes(int64(len(raw.Data) + len(raw.Metadata)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
