package payabl

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// role is what an order id stands for. One key may have a redirect and the payment that follows the consent given there.
type role string

const (
	roleSale     role = "s"
	roleRedirect role = "r"
	roleRefund   role = "f" // as external_id: a refund has the order id of its payment
)

// orderID is the name under which payabl. has what was asked for under a key of ours: letters and digits, one for each
// key and role, and short enough for every call that takes one. It says nothing about a buyer.
func orderID(r role, key string) string {
	sum := sha256.Sum256([]byte(string(r) + "\x00" + key))
	return string(r) + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:28]
}

// kind is what has to happen before a payment counts.
type kind string

const (
	direct kind = ""      // the one call
	first  kind = "first" // the buyer's consent, then a payment
	store  kind = "store" // the buyer's consent alone
	once   kind = "once"  // the buyer's approval, then a capture
)

// memo is what a payment has to remember of itself. payabl. keeps it as custom1, the one field of the merchant's own that
// tx_diagnose gives back, and so whoever looks a payment up needs no store of his own.
type memo struct {
	key, subscription string
	kind              kind
	until             time.Time // when a redirect runs out; zero if it is none
	method            *ledgerv1.PaymentMethod
}

func (m memo) String() string {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("k", m.key)
	set("s", m.subscription)
	set("p", string(m.kind))
	if !m.until.IsZero() {
		set("u", strconv.FormatInt(m.until.Unix(), 10))
	}
	set("r", m.method.GetReference())
	set("b", m.method.GetBrand())
	set("l", m.method.GetLast4())
	set("a", m.method.GetAgreementId())
	return v.Encode()
}

// over is when a redirect's payment is over. Nothing is taken from the deadline on, but what was sent just before it may
// still turn up, and somebody has to ask once more then: a reservation that nobody took is given back.
func (m memo) over() time.Time { return m.until.Add(horizon) }

// errNoMemo says that a payment is not of our asking, or was edited.
var errNoMemo = errors.New("it carries no memo of ours")

func parseMemo(text string) (memo, error) {
	v, err := parsePairs([]byte(text))
	if err != nil || v.Get("k") == "" {
		return memo{}, errNoMemo
	}
	m := memo{key: v.Get("k"), subscription: v.Get("s"), kind: kind(v.Get("p"))}
	switch m.kind {
	case direct, first, store, once:
	default:
		return memo{}, errNoMemo
	}
	if u := v.Get("u"); u != "" {
		unix, err := strconv.ParseInt(u, 10, 64)
		if err != nil {
			return memo{}, errNoMemo
		}
		m.until = time.Unix(unix, 0).UTC()
	}
	if v.Has("r") {
		m.method = &ledgerv1.PaymentMethod{
			Reference: v.Get("r"), Brand: v.Get("b"), Last4: v.Get("l"), AgreementId: v.Get("a"),
		}
	}
	return m, nil
}
