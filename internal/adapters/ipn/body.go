package ipn

import (
	"net/url"
	"slices"
	"strings"
)

// Pair is one variable of a notification.
type Pair struct{ Key, Value string }

// Body is a notification: its variables in the order in which they are sent.
type Body []Pair

// secretKey is the variable by which a receiver of Kartra's notifications knows the sender. It is no signature.
const secretKey = "secret_key"

// Encode writes the body as application/x-www-form-urlencoded, in its order.
func (b Body) Encode() []byte {
	var text strings.Builder
	for i, p := range b {
		if i > 0 {
			text.WriteByte('&')
		}
		text.WriteString(url.QueryEscape(p.Key))
		text.WriteByte('=')
		text.WriteString(url.QueryEscape(p.Value))
	}
	return []byte(text.String())
}

// Redacted is the body without the value of the secret key, for people to look at.
func (b Body) Redacted() Body {
	b = slices.Clone(b)
	for i := range b {
		if b[i].Key == secretKey {
			b[i].Value = ""
		}
	}
	return b
}

// String is the body with one key=value per line, and without the secret key: it may be printed.
func (b Body) String() string {
	var text strings.Builder
	for _, p := range b.Redacted() {
		text.WriteString(p.Key + "=" + p.Value + "\n")
	}
	return text.String()
}
