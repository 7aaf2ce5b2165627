package neighbour

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Webhook is a message on its way to the ledger.
//
// A message is lost only if the ledger has promised to find out by itself: about a charge or a refund that it waits for,
// and about an agreement, which the next charge tells. What nobody looks up is never lost, only late and repeated: a
// dispute, a refund or a payment of the gateway's own doing, a charge that was declined and captured after all, a refund
// that had succeeded and came back.
type Webhook struct {
	Gateway, Merchant, Connection string
	ID                            string // the gateway's; also that of an edited one, but not of a forged one
	Header                        http.Header
	Body                          []byte
	// NotBefore is when it may arrive. Zero: at once, before the call that causes it is answered.
	NotBefore time.Time
	// Genuine: its signature is right. One that is not is answered 401.
	Genuine bool
	// Edited: it says something else under the id of another one.
	Edited bool
	// Sign makes the headers when it is delivered, if they tell of the time; else Header has them.
	Sign func(at time.Time) http.Header
	// Patient: it is sent again if it is refused.
	Patient bool
}

// Path is where it is posted to.
func (w Webhook) Path() string {
	return "/webhooks/" + w.Gateway + "/" + w.Merchant + "/" + w.Connection
}

// signatureHeader carries the hexadecimal HMAC-SHA256 of the raw body.
const signatureHeader = "Sim-Signature"

// Why Verify refuses a webhook.
var (
	ErrNoSecret     = errors.New("the connection has no webhook secret")
	ErrBadSignature = errors.New("the webhook's signature is missing or wrong")
)

// message is what a webhook says, in the dialect that all simulated gateways speak.
type message struct {
	ID           string                   `json:"id"`
	Kind         gateway.NoticeKind       `json:"kind"`
	Merchant     string                   `json:"merchant"`
	Connection   string                   `json:"connection"`
	Subscription string                   `json:"subscription,omitempty"`
	Key          string                   `json:"key,omitempty"`
	Code         string                   `json:"code,omitempty"`
	Method       string                   `json:"method,omitempty"`
	Dispute      *gateway.Dispute         `json:"dispute,omitempty"`
	Payment      *gateway.ObservedPayment `json:"payment,omitempty"`
	Refund       *gateway.ObservedRefund  `json:"refund,omitempty"`
	Note         string                   `json:"note,omitempty"`
}

// Verify implements gateway.Notifier. The time is not asked for: a message may be late by any time.
func (g *Gateway) Verify(conn gateway.Connection, header http.Header, body []byte, _ time.Time) (gateway.Notice, error) {
	if conn.WebhookSecret == "" {
		return gateway.Notice{}, ErrNoSecret
	}
	got, err := hex.DecodeString(header.Get(signatureHeader))
	if err != nil || !hmac.Equal(got, signed(conn.WebhookSecret, body)) {
		return gateway.Notice{}, ErrBadSignature
	}
	return g.Read(conn, body)
}

// Read implements gateway.Notifier.
func (g *Gateway) Read(conn gateway.Connection, body []byte) (gateway.Notice, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil || m.ID == "" || m.Merchant != conn.Merchant || m.Connection != conn.ID {
		return gateway.Notice{}, gateway.ErrUnreadable
	}
	return gateway.Notice{
		ID: m.ID, Kind: m.Kind, Subscription: m.Subscription, Key: m.Key, Code: m.Code, Method: m.Method,
		Dispute: m.Dispute, Payment: m.Payment, Refund: m.Refund,
	}, nil
}

func signed(secret string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body) // never fails
	return h.Sum(nil)
}

// tellOf sends the webhook of a record's i-th step.
func (g *Gateway) tellOf(r *record, i int, now time.Time) {
	m := message{Kind: gateway.NoticeCharge, Subscription: r.about.Subscription, Key: r.key}
	if r.of != nil {
		m.Kind = gateway.NoticeRefund
	}
	if r.of == nil && r.about.Subscription == "" || r.key == "" {
		return
	}
	// What was decided before is not looked up again.
	losable := i == 0 || r.course[i-1].Class == gateway.Pending
	g.send(r.account, m, r.course[i].at, now, losable)
}

// send posts a message about what happens at an instant, and whatever else comes of it.
func (g *Gateway) send(a account, m message, at, now time.Time, losable bool) {
	if g.manners.silent {
		return
	}
	m.ID, m.Merchant, m.Connection = g.next("evt"), a.merchant, a.connection
	if losable && g.chance(g.Mischief.Lost) {
		g.hit(WebhookLost)
		return
	}
	from := at.Add(g.within(10 * time.Second))
	switch {
	case !at.After(now) && g.chance(g.Mischief.Early):
		g.hit(WebhookEarly)
		from = time.Time{}
	case g.chance(g.Mischief.Late):
		g.hit(WebhookLate)
		from = at.Add(g.within(6 * time.Hour))
	}
	g.post(a, m, from, true)
	g.repeat(a, m, at)
	g.falsify(a, m, at, losable)
}

// repeat posts a message again.
func (g *Gateway) repeat(a account, m message, at time.Time) {
	n := 0
	switch {
	case g.chance(g.Mischief.TenTimes):
		g.hit(WebhookTenTimes)
		n = 9
	case g.chance(g.Mischief.Twice):
		g.hit(WebhookTwice)
		n = 1
	}
	for range n {
		g.post(a, m, at.Add(g.within(48*time.Hour)), true)
	}
}

// falsify posts what looks like a message and is none: another body under the same id, and a body that nobody signed.
// The first body of an id counts, and an edited one may be faster; so one that must not be lost is only reworded.
func (g *Gateway) falsify(a account, m message, at time.Time, losable bool) {
	if g.chance(g.Mischief.Edited) {
		g.hit(WebhookEdited)
		edited := m
		edited.Note = "edited"
		if losable {
			edited.Key += "x"
		}
		g.post(a, edited, at.Add(g.within(time.Hour)), true)
	}
	if g.chance(g.Mischief.Forged) {
		g.hit(WebhookForged)
		forged := m
		forged.ID = "forged_" + m.ID
		g.post(a, forged, at.Add(g.within(time.Hour)), false)
	}
}

// post puts a message into the mail.
func (g *Gateway) post(a account, m message, from time.Time, genuine bool) {
	conn := g.accounts[a]
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // a message is made of what JSON can say
	}
	signature := hex.EncodeToString(signed(conn.WebhookSecret, body))
	if !genuine {
		signature = hex.EncodeToString(signed(conn.WebhookSecret+"?", body))
	}
	g.out = append(g.out, Webhook{
		Gateway: conn.Gateway, Merchant: a.merchant, Connection: a.connection, ID: m.ID,
		Header: http.Header{"Content-Type": {"application/json"}, signatureHeader: {signature}},
		Body:   body, NotBefore: from, Genuine: genuine, Edited: m.Note != "",
	})
}
