package buyer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/aggregate/text"
)

// Path is where all addresses of the package begin.
const Path = "/return/"

// cancelled is what the address of a buyer who has turned back ends in.
const cancelled = "cancel"

const (
	// macSize keeps tokens short: payabl. takes addresses of 255 characters. 128 bits are not guessed online.
	macSize = 16
	// maxToken is more than any token has: two ids, a key and the code.
	maxToken = 512
)

// Addresses makes the addresses at which gateways give buyers back, and reads them. An address holds a token that names
// one payment and carries a code which only we can make, so that nobody asks about another's payment, or ends it.
type Addresses struct {
	base   string
	secret []byte
}

// NewAddresses returns addresses that begin with base. With another secret they are other addresses, and the old ones
// lead nowhere: the secret has to stay.
func NewAddresses(base string, secret []byte) (*Addresses, error) {
	if len(secret) < sha256.Size {
		return nil, errors.New("buyer: the secret of the addresses is too short")
	}
	return &Addresses{base: strings.TrimSuffix(base, "/"), secret: secret}, nil
}

// Of are the two addresses for a charge: for a buyer who comes back, and for one who has turned back. They depend on
// nothing but who is charged, where, and the key, so that a charge that is repeated names the same.
func (a *Addresses) Of(conn gateway.Connection, c gateway.Charge) (back, cancel string) {
	p := payment{gateway: conn.Gateway, merchant: c.Merchant, subscription: c.Subscription, key: c.Key}
	back = a.base + Path + p.gateway + "/" + a.token(p)
	return back, back + "/" + cancelled
}

// payment is what a token names: a payment, or a method that is stored.
type payment struct{ gateway, merchant, subscription, key string }

func (p payment) stream() string { return subscription.Stream(p.merchant, p.subscription) }

// text is what a token says, besides its code. Ids hold no full stop.
func (p payment) text() string { return p.merchant + "." + p.subscription + "." + p.key }

func (a *Addresses) token(p payment) string {
	return base64.RawURLEncoding.EncodeToString(append(a.code(p), p.text()...))
}

func (a *Addresses) code(p payment) []byte {
	m := hmac.New(sha256.New, a.secret)
	m.Write([]byte("return/1\x00" + p.gateway + "\x00" + p.text()))
	return m.Sum(nil)[:macSize]
}

// read finds out which payment a token names; ok is false if it is not ours. Decoding is strict, so that one payment has
// one token.
func (a *Addresses) read(gatewayName, token string) (p payment, ok bool) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return payment{}, false // the decoder skips line breaks
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < macSize {
		return payment{}, false
	}
	parts := strings.SplitN(string(raw[macSize:]), ".", 3)
	if len(parts) != 3 || !text.ValidID(parts[0]) || !text.ValidID(parts[1]) {
		return payment{}, false
	}
	p = payment{gateway: gatewayName, merchant: parts[0], subscription: parts[1], key: parts[2]}
	return p, hmac.Equal(raw[:macSize], a.code(p))
}
