package payabl

import (
	"crypto/sha1" //nolint:gosec // payabl.'s choice
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// params are the parameters of a request, as text of ours.
type params map[string]string

// set adds a parameter that has something to say.
func (p params) set(name, value string) {
	if value != "" {
		p[name] = value
	}
}

// seal checks the parameters, signs them and writes them as payabl. reads them.
func (p params) seal(secret string) (body string, err error) {
	names := slices.Sorted(maps.Keys(p))
	if err := p.checkAll(names); err != nil {
		return "", err
	}
	var form, values strings.Builder
	for _, name := range names {
		value, err := toLatin1(name, p[name])
		if err != nil {
			return "", err
		}
		values.WriteString(value)
		form.WriteString(name + "=" + url.QueryEscape(value) + "&")
	}
	key, err := toLatin1("secret", secret)
	if err != nil {
		return "", err
	}
	return form.String() + "signature=" + requestSignature(values.String(), key), nil
}

// checkAll refuses the first parameter that is wrong; accountname last, for it is made of two others, and whoever gave those
// looks for them.
func (p params) checkAll(names []string) error {
	var made error
	for _, name := range names {
		err := p.check(name)
		if err == nil {
			_, err = toLatin1(name, p[name])
		}
		switch {
		case err != nil && name == "accountname":
			made = err
		case err != nil:
			return err
		}
	}
	return made
}

// requestSignature is of all values but the signature's own, ordered by the names of their parameters, not URL-encoded
// and with nothing between them: https://docs.payabl.com/docs/signature-calculation.
func requestSignature(values, secret string) string {
	sum := sha1.Sum([]byte(values + secret)) //nolint:gosec // payabl.'s choice
	return hex.EncodeToString(sum[:])
}

// noticeSignature is a notification's "security": https://docs.payabl.com/docs/signature-calculation2.
func noticeSignature(transaction, kind, code, timestamp, secret string) string {
	sum := sha256.Sum256([]byte(transaction + kind + code + timestamp + secret))
	return hex.EncodeToString(sum[:])
}

func sameSignature(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// A fieldError is a parameter that payabl. would not take, or would read as something else.
type fieldError struct{ field, why string }

func (e *fieldError) Error() string { return e.field + ": " + e.why }

// toLatin1 writes text as payabl. reads it: in ISO-8859-1, one byte for a character; nothing else is supported
// (https://docs.payabl.com/docs/help). Control characters are in that set and in nobody's name.
func toLatin1(field, text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", &fieldError{field, "it is not text"}
	}
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return "", &fieldError{field, fmt.Sprintf("%q cannot be written in ISO-8859-1", r)}
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return "", &fieldError{field, "it holds a control character"}
		}
		b = append(b, byte(r))
	}
	return string(b), nil
}

// fromLatin1 reads bytes in ISO-8859-1.
func fromLatin1(b string) string {
	text := make([]rune, 0, len(b))
	for i := range len(b) {
		text = append(text, rune(b[i]))
	}
	return string(text)
}
