package projection

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"ledger.internal/ledger/internal/aggregate"
)

// How many rows a page has if the caller does not say, and at most.
const (
	DefaultPageSize = 50
	MaxPageSize     = 500
)

// Page says which part of a list is wanted, in the words of a request: 0 means DefaultPageSize, more than
// MaxPageSize means MaxPageSize, and the token comes from the page before.
type Page struct {
	Size  int32
	Token string
}

// ReadPage reads one page of a list by keyset: a token names the last row that was given, so that rows which come
// and go meanwhile neither repeat nor hide others. read returns the rows behind a key (nil: from the start), at most
// as many as it is told; key is what read needs to go on behind a row.
//
// A token is bound to the list's name and its filter. One that was made for another list or filter is refused.
func ReadPage[R, K any](
	p Page, list string, filter any, read func(behind *K, limit int) ([]R, error), key func(R) K,
) (rows []R, next string, err error) {
	size, err := p.limit()
	if err != nil {
		return nil, "", err
	}
	bound, err := bind(list, filter)
	if err != nil {
		return nil, "", err
	}
	behind, err := decodeToken[K](p.Token, bound)
	if err != nil {
		return nil, "", err
	}
	// One row more than wanted tells whether there is another page.
	rows, err = read(behind, size+1)
	if err != nil || len(rows) <= size {
		return rows, "", err
	}
	rows = rows[:size]
	next, err = encodeToken(key(rows[size-1]), bound)
	return rows, next, err
}

func (p Page) limit() (int, error) {
	switch {
	case p.Size < 0:
		return 0, aggregate.InvalidField("page_size", "PAGE_SIZE", "must not be negative")
	case p.Size == 0:
		return DefaultPageSize, nil
	}
	return min(int(p.Size), MaxPageSize), nil
}

// token is what a page token holds. It is not a secret and proves nothing: whatever a caller puts into it, the query
// still names his merchant.
type token[K any] struct {
	List []byte `json:"l"`
	Key  *K     `json:"k"`
}

// bind hashes what a token may be used with.
func bind(list string, filter any) ([]byte, error) {
	text, err := json.Marshal(filter)
	if err != nil {
		return nil, fmt.Errorf("filter of %s: %w", list, err)
	}
	sum := sha256.Sum256(append([]byte(list+"\n"), text...))
	return sum[:12], nil
}

func encodeToken[K any](key K, bound []byte) (string, error) {
	text, err := json.Marshal(token[K]{List: bound, Key: &key})
	if err != nil {
		return "", fmt.Errorf("page token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// decodeToken reads what encodeToken wrote, and nothing else: any other spelling of a token is refused, too.
func decodeToken[K any](text string, bound []byte) (*K, error) {
	if text == "" {
		return nil, nil
	}
	invalid := aggregate.InvalidField("page_token", "PAGE_TOKEN_INVALID", "is not a token of this list with this filter")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, invalid
	}
	var t token[K]
	// PostgreSQL's text cannot hold NUL.
	if err := json.Unmarshal(raw, &t); err != nil || bytes.Contains(raw, []byte(`\u0000`)) {
		return nil, invalid
	}
	if t.Key == nil || !bytes.Equal(t.List, bound) {
		return nil, invalid
	}
	if again, err := encodeToken(*t.Key, bound); err != nil || again != text {
		return nil, invalid
	}
	return t.Key, nil
}
