package invariant

import (
	"bytes"
	"context"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// checkRawCanaries checks that an event holds none of the texts that the ledger must not keep, but in fields that are
// marked as secret: those it has to keep.
func (h *history) checkRawCanaries(raw event.RawRecorded) {
	for _, c := range h.world.Canaries {
		if !bytes.Contains(raw.Data, []byte(c)) && !bytes.Contains(raw.Metadata, []byte(c)) {
			continue
		}
		if e, err := event.Decode(raw); err != nil || holds(e.Event, c) {
			h.broken("I-19", "%s/%d holds a secret that was planted", raw.Stream, raw.Revision)
		}
	}
}

// holds reports whether an event has a text outside of its secret fields.
func holds(e *ledgerv1.Event, text string) bool {
	e = proto.CloneOf(e)
	clearSecrets(e.ProtoReflect())
	plain, err := protojson.Marshal(e)
	return err != nil || bytes.Contains(plain, []byte(text))
}

func clearSecrets(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case proto.GetExtension(f.Options(), ledgerv1.E_Secret).(bool):
			m.Clear(f)
		case f.Kind() != protoreflect.MessageKind || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				clearSecrets(v.List().Get(i).Message())
			}
		default:
			clearSecrets(v.Message())
		}
		return true
	})
}

// checkCanaries checks that no row of any table holds a text that the ledger must not keep.
func (h *history) checkCanaries(ctx context.Context, store projection.Reader) error {
	if len(h.world.Canaries) == 0 {
		return nil
	}
	tables, err := tablesOf(ctx, store)
	if err != nil {
		return err
	}
	for _, t := range tables {
		err := t.rows(ctx, store, nil, func(columns []string, row []any) error {
			for i, v := range row {
				for _, c := range h.world.Canaries {
					if strings.Contains(text(v), c) {
						h.broken("I-19", "table %s holds a secret that was planted, in %s", t.name, columns[i])
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
