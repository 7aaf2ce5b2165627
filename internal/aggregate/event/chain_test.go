package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// chained is a stream of three events.
func chained(t *testing.T) []RawRecorded {
	t.Helper()
	var all []RawRecorded
	var prev []byte
	for i, typ := range []string{"subscription_started", "payment_requested", "payment_succeeded"} {
		const stream = "subscription-m.1"
		e := filled(typ)
		raw, err := Encode(prev, stream, Revision(i), ID(stream, "r", i), e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, RawRecorded{Stream: stream, Revision: Revision(i), Raw: raw})
		prev = e.Metadata.Hash
	}
	return all
}

func verify(all []RawRecorded) error {
	var prev []byte
	for _, r := range all {
		hash, err := VerifyChain(prev, r)
		if err != nil {
			return err
		}
		prev = hash
	}
	return nil
}

func TestChain(t *testing.T) {
	t.Parallel()
	if err := verify(chained(t)); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	for name, tamper := range map[string]func([]RawRecorded) []RawRecorded{
		"an amount": func(a []RawRecorded) []RawRecorded {
			a[2].Data = bytes.Replace(a[2].Data, []byte("9"), []byte("8"), 1)
			return a
		},
		"an actor": func(a []RawRecorded) []RawRecorded {
			a[1].Metadata = bytes.Replace(a[1].Metadata, []byte("actor \\"), []byte("thief \\"), 1)
			return a
		},
		"a type":           func(a []RawRecorded) []RawRecorded { a[2].Type = "payment_declined"; return a },
		"an id":            func(a []RawRecorded) []RawRecorded { a[1].ID[3]++; return a },
		"a stream":         func(a []RawRecorded) []RawRecorded { a[0].Stream = "subscription-m.2"; return a },
		"a revision":       func(a []RawRecorded) []RawRecorded { a[1].Revision++; return a },
		"an event is gone": func(a []RawRecorded) []RawRecorded { return append(a[:1], a[2]) },
		"the first gone":   func(a []RawRecorded) []RawRecorded { return a[1:] },
		"the order":        func(a []RawRecorded) []RawRecorded { a[1], a[2] = a[2], a[1]; return a },
		"the hash":         func(a []RawRecorded) []RawRecorded { m := a[1].Metadata; m[len(m)-9] ^= 1; return a },
		"no hash":          func(a []RawRecorded) []RawRecorded { a[1].Metadata = []byte(`{"actor":"api"}`); return a },
		"a short hash":     func(a []RawRecorded) []RawRecorded { a[1].Metadata = []byte(`{"hash":"AAAA"}`); return a },
		"no metadata":      func(a []RawRecorded) []RawRecorded { a[1].Metadata = nil; return a },
	} {
		if err := verify(tamper(chained(t))); !errors.Is(err, ErrChain) {
			t.Errorf("changed: %s: got %v, want ErrChain", name, err)
		}
	}
}

func TestHashOfEmptyMetadata(t *testing.T) {
	t.Parallel()
	e := &ledgerv1.Event{Metadata: &ledgerv1.Metadata{}, Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{First: 1}}}
	raw, err := Encode(nil, "numbers", 0, ID("numbers", "r", 0), e)
	if err != nil {
		t.Fatal(err)
	}
	r := RawRecorded{Stream: "numbers", Raw: raw}
	if _, err := VerifyChain(nil, r); err != nil {
		t.Error(err)
	}
	if _, err := Decode(r); err != nil {
		t.Error(err)
	}
}

// TestHashIsAsWritten pins the formula: other programs verify the chain, too.
func TestHashIsAsWritten(t *testing.T) {
	t.Parallel()
	all := chained(t)
	prev, err := VerifyChain(nil, all[0])
	if err != nil {
		t.Fatal(err)
	}
	r := all[1]
	_, metadata, _ := cutHash(r.Metadata)
	h := sha256.New()
	for _, part := range [][]byte{prev, []byte(r.Stream), binary.BigEndian.AppendUint64(nil, 1), r.ID[:], []byte(r.Type), r.Data, metadata} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	if got, err := VerifyChain(prev, r); err != nil || !bytes.Equal(got, h.Sum(nil)) {
		t.Errorf("got %x, %v; want %x", got, err, h.Sum(nil))
	}
}
