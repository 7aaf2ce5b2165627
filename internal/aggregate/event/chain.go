package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

const (
	hashKey = `,"hash":"`
	// hashSuffixLen is what withHash adds to metadata that has other keys, less the brace that it replaces.
	hashSuffixLen = len(hashKey) + 44 + len(`"}`) - 1
)

// chain is the hash of an event whose Metadata does not contain it yet: SHA-256 over the previous event's hash and
// everything that is stored of this one, each part after its length, so that no byte can move from one to the next.
func chain(prev []byte, r RawRecorded) [32]byte {
	b := make([]byte, 0, 8*8+len(prev)+len(r.Stream)+len(r.ID)+len(r.Type)+len(r.Data)+len(r.Metadata))
	part := func(n int) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	part(len(prev))
	b = append(b, prev...)
	part(len(r.Stream))
	b = append(b, r.Stream...)
	part(8)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Revision))
	part(len(r.ID))
	b = append(b, r.ID[:]...)
	part(len(r.Type))
	b = append(b, r.Type...)
	part(len(r.Data))
	b = append(b, r.Data...)
	part(len(r.Metadata))
	b = append(b, r.Metadata...)
	return sha256.Sum256(b)
}

// VerifyChain checks that a stored event follows from the one before it in its stream, whose hash is prev (nil for
// the first), and returns its own hash. It looks at the stored bytes only, so it holds for kinds that this program
// does not know. A break is ErrChain; the hash that the event claims comes with it, so that whoever goes on from there
// meets each break once.
func VerifyChain(prev []byte, r RawRecorded) (hash []byte, err error) {
	stored, rest, ok := cutHash(r.Metadata)
	if !ok {
		return nil, fmt.Errorf("%w: %s at revision %d carries no hash", ErrChain, r.Stream, r.Revision)
	}
	r.Metadata = rest
	if want := chain(prev, r); !bytes.Equal(stored, want[:]) {
		return stored, fmt.Errorf("%w: %s at revision %d", ErrChain, r.Stream, r.Revision)
	}
	return stored, nil
}

// cutHash undoes withHash.
func cutHash(metadata []byte) (hash, rest []byte, ok bool) {
	at := len(metadata) - hashSuffixLen - 1
	switch {
	case at >= 1 && bytes.HasPrefix(metadata[at:], []byte(hashKey)):
		rest = make([]byte, 0, at+1)
		rest = append(append(rest, metadata[:at]...), '}')
	case at == 0 && bytes.HasPrefix(metadata, []byte("{"+hashKey[1:])):
		rest = []byte("{}")
	default:
		return nil, nil, false
	}
	text, closed := bytes.CutSuffix(metadata[at+len(hashKey):], []byte(`"}`))
	hash, err := base64.StdEncoding.Strict().DecodeString(string(text))
	return hash, rest, closed && err == nil && len(hash) == sha256.Size
}
